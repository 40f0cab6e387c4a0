"""Listen to interpret (Parekh, Parekh, Mozharovskyi, d'Alché-Buc & Richard, arXiv 2202.11479).

Spectra are sums of components, learnt by NMF; how strong each component is at each time is told
from a classifier's layers, and a linear head says the class from these activations alone. The
components that speak for a class are what is kept of a clip, as their share in every cell. That it
is kept only where the clip is loud enough is ours: a component fills quiet cells as well as loud
ones. How loud, is learnt for each class and component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import explaining
from models.classifier import RATE, frames_of, within
from models.sampling import Sampler, halved

SMALL: dict[str, int] = {"components": 64, "dim": 96}
QUIET = (
    0.05  # magnitude of a cell, at full scale 1, that log(1 + magnitude / QUIET) tells from none
)
STEEP, LEAST, MORE = 1.0, 2.0, 0.3  # of the sigmoid over a cell's loudness, before it is learnt
TINY = 1e-6
ITERATIONS = 200  # of the multiplicative updates


def dictionary(columns: NDArray[np.float64], components: int, seed: int) -> NDArray[np.float64]:
    """(frequencies, components) of (frequencies, spectra), both not negative: NMF by multiplicative
    updates (Lee & Seung, 2001), squared error; each component's greatest value is 1.
    """
    from sklearn.decomposition import NMF

    model = NMF(
        components, solver="mu", init="nndsvda", max_iter=ITERATIONS, random_state=seed, tol=0
    )
    model.fit(columns.T)
    found = np.asarray(model.components_.T, dtype=np.float64)
    return np.asarray(found / np.maximum(found.max(axis=0), TINY))


@dataclass(frozen=True)
class Interpreted:
    """What L2I makes of a batch.

    Attributes:
        activations: (batch, components, frames) at the masks' frames, not negative.
        pooled: (batch, components), over time, weighted by attention.
        logits: (batch, classes), linear in `pooled`.
    """

    activations: Tensor
    pooled: Tensor
    logits: Tensor


class L2i(nn.Module):
    """The network, for a `models.classifier.Classifier` of so many `classes`, `mels` and `channels`
    of its layers: `components` of the dictionary, `dim` numbers to tell them from.
    """

    def __init__(
        self, *, classes: int, mels: int, channels: Sequence[int], components: int, dim: int
    ) -> None:
        super().__init__()
        bins = explaining.shape(0, RATE)[1]
        self.register_buffer("dictionary", torch.rand(bins, components))
        self.levels = range(2, len(channels) + 1)  # layer 1 is too close to the spectrum itself
        self.ins = nn.ModuleList(
            nn.Conv1d(channels[level - 1] * halved(mels, level), dim, 1) for level in self.levels
        )
        self.norm = nn.BatchNorm1d(dim)
        self.mix = nn.Conv1d(dim, dim, 5, padding=2)
        self.out = nn.Conv1d(dim, components, 3, padding=1)
        self.attention = nn.Conv1d(components, 1, 1)
        self.head = nn.Linear(components, classes, bias=False)
        self.steep, self.more = (nn.Parameter(torch.tensor(value)) for value in (STEEP, MORE))
        self.least = nn.Parameter(torch.full((classes, components), LEAST))
        self.sampler = Sampler(mels)

    def forward(self, hidden: Sequence[Tensor], lengths: Tensor) -> Interpreted:
        """Of clips whose layers are `hidden`, as `Heard` has them; `lengths` (batch,), samples."""
        frames = frames_of(lengths)
        values = within(torch.relu(self.norm(self._joined(hidden, frames))), frames)
        values = within(torch.relu(self.mix(values)), frames)
        activations = within(nn.functional.softplus(self.out(values)), frames)
        inside = torch.arange(activations.shape[2], device=frames.device) < frames[:, None]
        scores = self.attention(activations)[:, 0].masked_fill(~inside, -torch.inf)
        pooled = (activations * scores.softmax(1)[:, None]).sum(2)
        fine = self.sampler.in_time(activations, frames, lengths)
        return Interpreted(fine, pooled, self.head(pooled))

    def _joined(self, hidden: Sequence[Tensor], frames: Tensor) -> Tensor:
        """(batch, dim, frames): what every layer says, at the pace of the spectra."""
        total: Tensor | None = None
        for level, layer in zip(self.levels, self.ins, strict=True):
            part = layer(hidden[level - 1].transpose(2, 3).flatten(1, 2))
            part = nn.functional.interpolate(part, scale_factor=2**level)
            part = part[:, :, : int(frames.max())]
            total = part if total is None else total + part
        assert total is not None
        return total

    def relevance(self, pooled: Tensor, classes: Tensor) -> Tensor:
        """(batch, components), at most 1: how far each component speaks for a clip's class, against
        the one that speaks for it, or against it, the most.
        """
        spoken = pooled * self.head.weight[classes]
        return spoken / (spoken.abs().amax(1, keepdim=True) + TINY)

    def share(self, activations: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, frequencies) twice: the share of components, (batch, components) of them
        0 to 1, in the sum of all, 0 where there is none; and that sum, the loudness as told.
        """
        heard = activations.transpose(1, 2)  # (batch, frames, components)
        kept, every = torch.stack([heard * gates[:, None], heard]) @ self.dictionary.T
        return kept / (every + TINY), every

    def masks(self, activations: Tensor, gates: Tensor, loudness: Tensor, least: Tensor) -> Tensor:
        """(batch, frames, frequencies), 0 to 1: shares, where a clip's `loudness` is above what its
        components there, `least` (batch, components), and all that they tell, ask for.
        """
        heard = activations.transpose(1, 2)
        weighed = heard * least[:, None]
        kept, every, asked = (
            torch.stack([heard * gates[:, None], heard, weighed]) @ self.dictionary.T
        )
        above = loudness - asked / (every + TINY) - self.more * every
        return kept / (every + TINY) * torch.sigmoid(nn.functional.softplus(self.steep) * above)
