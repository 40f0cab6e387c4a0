"""The explanations' spectrogram in torch: gradients flow through it, and clips go in batches.

The same transform as `models.spectra.STFT`, in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models import explaining


class Spectrograms:
    """Forth and back between samples and the cells that masks are put on, at a rate in Hz."""

    def __init__(self, sample_rate: int, device: str = "cpu") -> None:
        self._stft = explaining.stft(sample_rate)
        self._window = torch.from_numpy(self._stft.window).float().to(device)

    def forward(self, batch: Tensor) -> Tensor:
        """(clips, time) to (clips, frames, frequencies) complex64; zeros behind a clip change none
        of its own frames.
        """
        size, hop = self._stft.window_samples, self._stft.hop_samples
        length = (self._stft.frames(batch.shape[-1]) - 1) * hop + size
        lead = size - hop
        padded = torch.nn.functional.pad(batch, (lead, length - lead - batch.shape[-1]))
        return torch.fft.rfft(padded.unfold(-1, size, hop) * self._window, dim=-1)

    def inverse(self, spectra: Tensor, samples: int) -> Tensor:
        """(clips, frames, frequencies) to (clips, samples), of which `forward` was made."""
        size, hop = self._stft.window_samples, self._stft.hop_samples
        pieces = torch.fft.irfft(spectra, n=size, dim=-1) * self._window
        overlap = size // hop
        parts = [
            torch.nn.functional.pad(
                pieces[:, :, turn * hop : (turn + 1) * hop], (0, 0, turn, overlap - 1 - turn)
            )
            for turn in range(overlap)
        ]
        blocks = torch.stack(parts).sum(0)
        return blocks.flatten(1)[:, size - hop : size - hop + samples]

    def masked(self, batch: Tensor, masks: Tensor) -> Tensor:
        """x_in of (clips, time) by masks (clips, frames, frequencies)."""
        return self.inverse(self.forward(batch) * masks, batch.shape[-1])
