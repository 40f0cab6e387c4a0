"""A small classifier of sounds of our own, made to be explained: gradients reach its samples, its
layers can be looked at, and what is put behind a clip's end changes nothing.

A CNN over log-mel spectra in the manner of PANNs (Kong et al., TASLP 2020), in small: blocks that
halve the map, a mean and a maximum over what is left of the time, an embedding, a linear head.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from models.explaining import Heard

RATE = 16_000  # Hz
FFT, HOP = 512, 320  # samples
LOWEST = 50.0  # Hz, of the mel bands
QUIET = 1e-5  # power of a mel band, at full scale 1, that log(1 + power / QUIET) tells from none
SCALE = 0.1  # of the logarithm: a loud band is about 1
SMALL: dict[str, int] = {"mels": 48, "width": 16, "depth": 4, "dim": 96}


def band_centres(bands: int) -> NDArray[np.float64]:
    """Hz in the middle of each of so many bands that divide the mel scale (HTK's) evenly."""
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (LOWEST, RATE / 2))
    mels = low + (np.arange(bands) + 0.5) / bands * (high - low)
    return np.asarray(700 * (10 ** (mels / 2595) - 1))


def frames_of(lengths: Tensor) -> Tensor:
    """How many spectra clips of so many samples have: one every HOP samples, the first at 0."""
    return 1 + torch.div(lengths, HOP, rounding_mode="floor")


def within(values: Tensor, frames: Tensor) -> Tensor:
    """`values` (batch, …, time), 0 from each clip's number of frames on."""
    inside = torch.arange(values.shape[-1], device=values.device) < frames[:, None]
    return values * inside.reshape(len(frames), *[1] * (values.ndim - 2), -1)


class Spectra(nn.Module):
    """(batch, time) at 16 kHz to (batch, 1, mels, frames): 0 for silence, about 1 where it is loud.

    Levels stay what they are: a part that is removed gets quiet, and is not brought up again.
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        bank = melscale_fbanks(FFT // 2 + 1, LOWEST, RATE / 2, mels, RATE)
        self.register_buffer("bank", bank, persistent=False)  # (bins, mels)
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)

    def forward(self, signals: Tensor, lengths: Tensor) -> Tensor:
        """Spectra of clips that are zeros from their `lengths` on; 16 bits would be too few."""
        with torch.autocast(signals.device.type, enabled=False):
            found = torch.stft(
                signals, FFT, HOP, window=self.window, pad_mode="constant", return_complex=True
            )
            power = (found.real.square() + found.imag.square()) / FFT  # (batch, bins, frames)
            mels = (power.transpose(1, 2) @ self.bank).transpose(1, 2)
        return within(SCALE * torch.log1p(mels / QUIET), frames_of(lengths))[:, None]


class Block(nn.Module):
    """A convolution, normalised, and half the size; an odd last row or column counts by itself, so
    that what follows a clip's end does not matter.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, values: Tensor, frames: Tensor) -> Tensor:
        """(batch, outputs, mels / 2, frames / 2), rounded up."""
        values = within(torch.relu(self.norm(self.conv(values))), frames)
        return nn.functional.max_pool2d(values, 2, ceil_mode=True)


class Classifier(nn.Module):
    """The network: `classes` are how many it tells apart."""

    def __init__(self, *, classes: int, mels: int, width: int, depth: int, dim: int) -> None:
        super().__init__()
        sizes = [1, *(width * 2**n for n in range(depth))]
        self.spectra = Spectra(mels)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(sizes))
        for _ in range(depth):
            mels = -(-mels // 2)
        self.embed = nn.Linear(2 * sizes[-1] * mels, dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, signals: Tensor, lengths: Tensor) -> Heard:
        """What it makes of clips (batch, time), zeros from their `lengths`, in samples, on.

        All of it is differentiable. `hidden` is what each block gives: (batch, channels, frames,
        bands), 0 behind a clip's end. The embedding, (batch, dim), is not negative.
        """
        frames = frames_of(lengths)
        values = self.spectra(signals, lengths)
        layers = []
        for block in self.blocks:
            values = block(values, frames)
            frames = torch.div(frames + 1, 2, rounding_mode="floor")
            layers.append(values.transpose(2, 3))
            values = layers[-1].transpose(2, 3)  # so that gradients are known at what is shown
        flat = values.flatten(1, 2)  # (batch, channels and mels, frames)
        pooled = torch.cat([flat.sum(2) / frames[:, None], flat.amax(2)], dim=1)
        embedding = torch.relu(self.embed(nn.functional.dropout(pooled, 0.3, self.training)))
        return Heard(self.head(embedding), embedding, tuple(layers))
