"""PIQ, learnt; see `models.piq`."""

from __future__ import annotations

from torch import Tensor

from models import piq
from models.masking import loudness
from models.training.masking import WEIGHTS, Asked, MaskTraining

SMALL: dict[str, float] = {**piq.SMALL, **WEIGHTS, "commitment": 0.25}


class PiqTraining(MaskTraining):
    """Trains `models.piq.Piq`: masks, and words that come to what they stand for (van den Oord,
    Vinyals & Kavukcuoglu, NeurIPS 2017): the weight of `commitment` holds the encoder to its words.
    """

    def terms(self, asked: Asked) -> tuple[Tensor, Tensor]:
        """Masks, and how far words and what they stand for are from each other."""
        heard = loudness(asked.spectra.abs())
        found = self.network(asked.heard.hidden, asked.lengths, asked.classes, heard)
        words = (found.words - found.encoded.detach()).square()
        encoded = (found.words.detach() - found.encoded).square()
        filled = (found.encoded.detach().abs().sum((1, 2), keepdim=True) > 0).float()
        places = filled.sum() * found.encoded.shape[1] * found.encoded.shape[2]
        return found.masks, (words + self.weights["commitment"] * encoded).sum() / places
