"""Posthoc interpretation via quantization (Paissan, Subakan & Ravanelli, arXiv 2303.12659).

A classifier's last layers are quantised with words of a codebook that belong to the class to be
explained, and a decoder makes a mask of them: what the class has no words for cannot be kept.
It says for every place how loud a cell has to be to be kept. That is ours: the paper's decoder,
which does not see the clip itself, can only keep whole places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.classifier import frames_of, within
from models.sampling import Sampler, Up, halved

SMALL: dict[str, int] = {"codes": 16, "dim": 48}
LEAST, STEEP = 3.0, 1.0  # how loud a cell must be, and how sharp that is, before it is learnt


@dataclass(frozen=True)
class Quantised:
    """What PIQ makes of a batch.

    Attributes:
        masks: (batch, frames, frequencies), 0 to 1, as `models.explaining` wants them.
        encoded: (batch, dim, bands', frames') before quantisation, 0 behind a clip's end.
        words: the words of the codebook that stand for them, alike.
    """

    masks: Tensor
    encoded: Tensor
    words: Tensor


class Codebook(nn.Module):
    """So many words for each class; those of one class stand together."""

    def __init__(self, classes: int, codes: int, dim: int) -> None:
        super().__init__()
        self.codes = codes
        self.words = nn.Parameter(torch.randn(classes, codes, dim) * dim**-0.5)

    def forward(self, encoded: Tensor, classes: Tensor) -> Tensor:
        """(batch, dim, bands, frames): the word of the clip's class (batch,) nearest to each."""
        own = self.words[classes]  # (batch, codes, dim)
        flat = encoded.flatten(2).transpose(1, 2)  # (batch, places, dim)
        nearest = torch.cdist(flat.detach(), own.detach()).argmin(2)
        found = own.gather(1, nearest[:, :, None].expand(-1, -1, own.shape[2]))
        return found.transpose(1, 2).reshape(encoded.shape)


class Piq(nn.Module):
    """The network, for a `models.classifier.Classifier` of so many `classes`, `mels` and `channels`
    of its layers; `codes` words a class of `dim` numbers each.
    """

    def __init__(
        self, *, classes: int, mels: int, channels: Sequence[int], codes: int, dim: int
    ) -> None:
        super().__init__()
        self.bands = [halved(mels, turns) for turns in range(len(channels) + 1)]
        self.last = nn.Conv2d(channels[-1], dim, 1)
        self.before = nn.Conv2d(channels[-2], dim, 1)
        self.adapter = nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1))
        self.codebook = Codebook(classes, codes, dim)
        widths = [dim, *(max(dim * 2 // (3 + turn), 8) for turn in range(len(channels) - 1))]
        self.ups = nn.ModuleList(Up(a, b) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[-1], 2, 1)
        self.sampler = Sampler(mels)

    def forward(
        self, hidden: Sequence[Tensor], lengths: Tensor, classes: Tensor, loudness: Tensor
    ) -> Quantised:
        """Masks for `classes` (batch,) of clips whose layers are `hidden`, as `Heard` has them, and
        `lengths` (batch,) in samples; `loudness` (batch, frames, frequencies) of their cells.
        """
        encoded, words = self.quantised(hidden, lengths, classes)
        values = encoded + (words - encoded).detach()  # gradients pass straight through
        return Quantised(self.masks(values, lengths, loudness), encoded, words)

    def quantised(
        self, hidden: Sequence[Tensor], lengths: Tensor, classes: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What is encoded, and the words that stand for it; see `Quantised`."""
        frames = self._levels(lengths)[-2]
        encoded = self._encoded([layer.transpose(2, 3) for layer in hidden], frames)
        return encoded, within(self.codebook(encoded, classes), frames)

    def masks(self, words: Tensor, lengths: Tensor, loudness: Tensor) -> Tensor:
        """(batch, frames, frequencies) that words, or anything near them, are decoded into."""
        levels = self._levels(lengths)
        values = words
        for up, level in zip(self.ups, reversed(range(len(levels) - 2)), strict=True):
            values = up(values, self.bands[level], levels[level])
        steep, least = (
            self.sampler(each, levels[0], lengths) for each in self.out(values).unbind(1)
        )
        above = loudness - LEAST - least
        return torch.sigmoid(nn.functional.softplus(steep + STEEP) * above)

    def _levels(self, lengths: Tensor) -> list[Tensor]:
        """Frames of each clip: of the spectra, and after every layer."""
        levels = [frames_of(lengths)]
        for _ in self.bands[1:]:
            levels.append(halved(levels[-1]))
        return levels

    def _encoded(self, hidden: Sequence[Tensor], frames: Tensor) -> Tensor:
        """The last two layers as one, of the size of the last but one."""
        fine = self.before(hidden[-2])
        coarse = nn.functional.interpolate(self.last(hidden[-1]), scale_factor=2)
        coarse = coarse[:, :, : fine.shape[2], : fine.shape[3]]
        return within(self.adapter(fine + coarse), frames)
