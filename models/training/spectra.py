"""Mel spectra: what our own recogniser hears, in training and after."""

from __future__ import annotations

import torch
from torch import Tensor
from torchaudio.transforms import MelSpectrogram

FLOOR = 1e-5  # power, about that of 16-bit noise in a mel band


class Spectra(torch.nn.Module):
    """(batch, time) at 16 kHz to (batch, frames, mels): logarithms, each clip's mean removed."""

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.mel = MelSpectrogram(16_000, n_fft=400, hop_length=320, n_mels=mels, center=False)

    def forward(self, signals: Tensor) -> Tensor:
        """Spectra of clips of one length."""
        found: Tensor = torch.log(self.mel(signals) + FLOOR)
        return (found - found.mean((1, 2), keepdim=True)).transpose(1, 2)
