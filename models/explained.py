"""A classifier and an explainer of it, asked together: which class, why, and what is left of it.

The class of a clip is the one that the classifier says, c = argmax f(x), not the true one. What is
said of the parts comes from the rounded mask, as it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import explaining
from models.adapters.pooling import check_rate_of
from models.base import Model, Signal
from models.explaining import Explainable, Explainer

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found of one clip.

    `said`: the place of its class in `labels`. `mask`: (frames, frequencies) uint8, see
    `models.explaining`. `kept` and `removed`: x_in and x_out, (time,). `logits`: (3, classes) of x,
    x_in and x_out. `embeddings`: of x and x_in and, where the clip came with it, of the source that
    it is about: (2 or 3, dim), dim 0 from a classifier that shows none.
    """

    labels: tuple[str, ...]
    said: int
    mask: NDArray[np.uint8]
    kept: Signal
    removed: Signal
    logits: Floats
    embeddings: Floats


class Pair:
    """Asked as a model is; every batch of clips becomes few batches of the classifier's."""

    judges = False
    array = False
    padding = "exact"  # clips of unlike lengths are put apart here, where they must be
    padded_to = 0.0

    def __init__(self, classifier: Model, explainer: Explainer) -> None:
        self.classifier, self.explainer = classifier, explainer
        self.role = explainer.role
        self.loaded_in = 0.0

    @property
    def sample_rate(self) -> int | None:
        """Hz that the classifier hears."""
        return self.classifier.sample_rate

    @property
    def batch_seconds(self) -> float:
        """As the classifier."""
        return self.classifier.batch_seconds

    @property
    def device(self) -> str:
        """As the classifier."""
        return self.classifier.device

    @property
    def libraries(self) -> tuple[str, ...]:
        """Of both."""
        return tuple(sorted({*self.classifier.libraries, *self.explainer.libraries}))

    @property
    def size(self) -> int | None:
        """Numbers that the explainer learnt; None where it learnt none."""
        return self.explainer.size

    def load(self) -> None:
        """Load both; ValueError where they do not fit each other."""
        self.classifier.load()
        self.explainer.load()
        self.explainer.check(self.classifier)

    def warm_up(self) -> None:
        """Explain half a second of noise, so that no clip is charged for what is set up then."""
        rate = self.sample_rate or 16_000
        noise = np.random.default_rng(0).normal(0, 0.1, rate // 2).astype(np.float32)
        given = {"references": [np.stack([noise, 0 * noise])]} if self.role == "oracle" else {}
        self.explain([noise], sample_rate=rate, **given)

    def explain(
        self,
        signals: Sequence[Signal],
        *,
        sample_rate: int,
        cleans: Sequence[Signal | None] | None = None,
        **references: Any,
    ) -> list[Explanation]:
        """What is found of each (time,) signal.

        `cleans`: the sources that the clips are about, as long as they are, where they are known;
        `references` are an oracle's. FailedPrediction for a signal without a sample.
        """
        if self.sample_rate is not None:
            check_rate_of(self.classifier, sample_rate)
        signals = explaining.checked(signals)
        if not signals:
            return []
        logits, embeddings = self._heard(signals, sample_rate)
        said = logits.argmax(axis=1).tolist()
        found = self.explainer.explain(
            signals, self.classifier, said, sample_rate=sample_rate, **references
        )
        masks = [explaining.rounded(mask) for mask in found]
        kept = [
            explaining.kept(signal, mask, sample_rate)
            for signal, mask in zip(signals, masks, strict=True)
        ]
        removed = [signal - part for signal, part in zip(signals, kept, strict=True)]
        known = {n: clean for n, clean in enumerate(cleans or ()) if clean is not None}
        parts = [*kept, *removed, *known.values()]
        more_logits, more_embeddings = self._heard(parts, sample_rate)
        clean_at = {number: 2 * len(signals) + at for at, number in enumerate(known)}
        return [
            Explanation(
                labels=tuple(self.classifier.labels),
                said=said[n],
                mask=masks[n],
                kept=kept[n],
                removed=removed[n],
                logits=np.stack([logits[n], more_logits[n], more_logits[len(signals) + n]]),
                embeddings=np.stack(
                    [embeddings[n], more_embeddings[n]]
                    + ([more_embeddings[clean_at[n]]] if n in clean_at else [])
                ),
            )
            for n in range(len(signals))
        ]

    def _heard(self, signals: Sequence[Signal], sample_rate: int) -> tuple[Floats, Floats]:
        """Logits (clips, classes) and embeddings (clips, dim)."""
        if not explaining.opens(self.classifier):
            logits = self.classifier.classify(signals, sample_rate=sample_rate)
            return np.stack(logits).astype(np.float32), np.zeros((len(signals), 0), np.float32)
        import torch

        from models.masking import batches

        assert isinstance(self.classifier, Explainable)
        found: list[Any] = [None] * len(signals)
        with torch.inference_mode():
            for batch in batches(self.classifier, signals, sample_rate):
                heard = self.classifier.listen(batch.samples, batch.lengths)
                both = (each.float().cpu().numpy() for each in (heard.logits, heard.embedding))
                for number, one, other in zip(batch.numbers, *both, strict=True):
                    found[number] = one, other
        return np.stack([one for one, _ in found]), np.stack([other for _, other in found])
