"""L2I, learnt; see `models.l2i`."""

from __future__ import annotations

import torch
from torch import Tensor

from models import l2i
from models.masking import loudness
from models.training.masking import WEIGHTS, Asked, MaskTraining

SMALL: dict[str, float] = {
    **l2i.SMALL,
    **WEIGHTS,
    "fidelity": 1.0,
    "reconstruction": 1.0,
    "sparsity": 0.01,
    "threshold": 0.1,
}
SLOPE = 0.05  # of relevance, over which a gate opens while it is learnt


class L2iTraining(MaskTraining):
    """Trains `models.l2i.L2i` on a dictionary that stays as it is.

    As in the paper: `fidelity`, the cross-entropy of the head's classes against the classifier's;
    `reconstruction`, how far dictionary times activations are from the log-spectra; `sparsity` of
    the activations. The masks of `MaskTraining` are soft here: gates open around the threshold.
    """

    def terms(self, asked: Asked) -> tuple[Tensor, Tensor]:
        """Masks, and the paper's own loss."""
        found = self.network(asked.heard.hidden, asked.lengths)
        gates = self._gates(self.network.relevance(found.pooled, asked.classes))
        heard = loudness(asked.spectra.abs())
        _, told = self.network.share(found.activations, gates)
        off = (told - heard).square().mean()
        said = (asked.heard.logits.softmax(1) * found.logits.log_softmax(1)).sum(1).mean()
        weights = self.weights
        more = (
            -weights["fidelity"] * said
            + weights["reconstruction"] * off
            + weights["sparsity"] * found.activations.mean()
        )
        least = self.network.least[asked.classes]
        return self.network.masks(found.activations, gates, heard, least), more

    def _gates(self, relevance: Tensor) -> Tensor:
        off = relevance - self.weights["threshold"]
        return torch.sigmoid(off / SLOPE) if self.training else (off > 0).float()
