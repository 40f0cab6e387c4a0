"""The explanations' spectrogram in torch: gradients flow through it, and clips go in batches.

The same transform as `models.spectra.STFT`, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import explaining
from models.base import Signal

QUIET = 0.05  # magnitude of a cell, at full scale 1, that `loudness` tells from none


def loudness(magnitudes: Tensor) -> Tensor:
    """log(1 + magnitude / QUIET) of cells: 0 for silence, about 5 where a tone is loud."""
    return torch.log1p(magnitudes / QUIET)


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

    def frames(self, lengths: Tensor) -> Tensor:
        """Of clips of so many samples."""
        return self._stft.frames(lengths)

    def masked(self, batch: Tensor, masks: Tensor) -> Tensor:
        """x_in of (clips, time) by masks (clips, frames, frequencies)."""
        return self.inverse(self.forward(batch) * masks, batch.shape[-1])


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips that may be heard together: their places among those given, (clips, time) samples on
    the classifier's device, zeros behind a clip's end, and (clips,) lengths.
    """

    numbers: list[int]
    samples: Tensor
    lengths: Tensor


def batches(
    classifier: Any, signals: Sequence[Signal], sample_rate: int, *, alike: bool = False
) -> Iterator[Batch]:
    """All clips, in batches of as many seconds as the classifier takes at once; of one length each
    where its `padding` is not "exact", or `alike` says so.
    """
    device, shortest = getattr(classifier, "device", "cpu"), getattr(classifier, "shortest", 1)
    sizes = [max(len(signal), shortest) for signal in signals]
    most = classifier.batch_seconds * sample_rate
    exact = classifier.padding == "exact" and not alike
    for numbers in _together(sizes, most, exact=exact):
        filled = np.zeros((len(numbers), max(sizes[number] for number in numbers)), np.float32)
        for row, number in zip(filled, numbers, strict=True):
            row[: len(signals[number])] = signals[number]
        lengths = torch.tensor([sizes[number] for number in numbers], device=device)
        yield Batch(numbers, torch.from_numpy(filled).to(device), lengths)


def _together(sizes: Sequence[int], most: float, *, exact: bool) -> Iterator[list[int]]:
    """Numbers of clips of so many samples, the longest first."""
    batch: list[int] = []
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        longest = sizes[batch[0]] if batch else 0
        if batch and ((len(batch) + 1) * longest > most or (not exact and sizes[number] < longest)):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def silenced(samples: Tensor, lengths: Tensor) -> Tensor:
    """(clips, time) with zeros behind each clip's end."""
    within = torch.arange(samples.shape[1], device=samples.device) < lengths[:, None]
    return samples * within


def costs(kept: Tensor, removed: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """(clips,) twice, in nats: how improbable a clip's class is in what a mask keeps, and how
    improbable all others are in what it removes, of log-probabilities (clips, classes) of both.
    """
    of_class = classes[:, None]
    others = removed.scatter(1, of_class, -torch.inf)
    # Not log(1 - p): as exact where the class is next to certain.
    return -kept.gather(1, of_class)[:, 0], -others.logsumexp(1)
