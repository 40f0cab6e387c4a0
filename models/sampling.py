"""From a classifier's layers to the cells of the explanations' spectrogram, and back up in size."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models import explaining
from models.classifier import HOP, RATE, band_centres, within

Size = TypeVar("Size", int, Tensor)


def halved(size: Size, turns: int = 1) -> Size:
    """A number of bands or frames after so many blocks of the classifier: rounded up each time."""
    for _ in range(turns):
        size = (size + 1) // 2
    return size


class Up(nn.Module):
    """Twice the size, then a convolution, normalised."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor, bands: int, frames: Tensor) -> Tensor:
        """(batch, outputs, bands, frames) of (batch, channels, bands / 2, frames / 2), rounded up;
        0 from each clip's own number of `frames` on.
        """
        found = nn.functional.interpolate(values, scale_factor=2)
        found = within(found[:, :, :bands, : int(frames.max())], frames)
        return within(torch.relu(self.norm(self.conv(found))), frames)


class Sampler(nn.Module):
    """(batch, mels, frames) of the classifier's spectra to (batch, frames, frequencies) of masks,
    by linear interpolation in time and on the mel scale.
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        stft = explaining.stft(RATE)
        self._hop, self._frames = stft.hop_samples, stft.frames
        self._first = stft.window_samples // 2 - (stft.window_samples - stft.hop_samples)
        hertz = np.arange(stft.window_samples // 2 + 1) * RATE / stft.window_samples
        places = np.interp(hertz, band_centres(mels), np.arange(mels))
        weights = np.maximum(0, 1 - np.abs(places[None] - np.arange(mels)[:, None]))
        self.register_buffer("weights", torch.from_numpy(weights).float(), persistent=False)

    def forward(self, values: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
        """`frames` (batch,) of each clip are its own, as are `lengths` (batch,) in samples."""
        return self.in_time(values, frames, lengths).transpose(1, 2) @ self.weights

    def in_time(self, values: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
        """(batch, channels, frames) at the masks' frames; the ends go on as they are."""
        cells = self._frames(int(lengths.max()))
        middle = torch.arange(cells, device=values.device) * self._hop + self._first  # samples
        places = (
            (middle / HOP).clamp(min=0).minimum((frames - 1)[:, None].float())
        )  # (batch, cells)
        low = places.floor().long()
        high = (low + 1).minimum((frames - 1)[:, None])
        share = (places - low)[:, None]
        wide = (-1, values.shape[1], -1)
        before, after = (values.gather(2, at[:, None].expand(wide)) for at in (low, high))
        return before + share * (after - before)
