"""A classifier made of a model of sounds and words: classes are what they are called.

What `pipelines.zeroshot` does to stored embeddings, as a model that can be asked about sounds: so
it can be explained, and stand wherever a classifier does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.base import Model, Signal, Vector, check_number
from models.explaining import Explainable, Heard

if TYPE_CHECKING:
    import torch

PLACE = "{}"  # of the class in a template
TINY = 1e-12  # the least length that a vector is divided by


@dataclass(kw_only=True)
class ZeroShotHead(Explainable, Model):
    """Which of `classes` a sound is nearest to, by a model that embeds sounds and texts.

    Logits are cosines over the `temperature`. Of several `templates` the directions are averaged.
    Our own CLAP can be looked into by explainers; for any other one, name those that only ask.
    """

    task = "classification"
    version = "1"
    libraries = ("numpy",)

    model: str
    classes: Sequence[str]
    templates: Sequence[str] = ("the sound of {}",)
    temperature: float = 0.01
    parameters_of: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from models.registry import create

        check_number(self, "temperature", 1e-6, 1e6)
        self.classes, self.templates = tuple(self.classes), tuple(self.templates)
        if len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(f"expected two different classes or more, got {list(self.classes)}")
        if not self.templates or any(PLACE not in template for template in self.templates):
            raise ValueError(f"expected templates with {PLACE}, got {list(self.templates)}")
        self._of = create(self.model, **self.parameters_of)
        if self._of.task != "embedding" or type(self._of).embed_text is Model.embed_text:
            raise ValueError(
                f"expected a model that embeds sounds and texts, got {self.model!r}: `realear list "
                "models` shows them under embedding"
            )
        self.sample_rate, self.device = self._of.sample_rate, self._of.device
        self.padding, self.labels = self._of.padding, self.classes
        self._directions: NDArray[np.float32] | None = None  # (dim, classes)

    @property
    def gradients(self) -> bool:  # type: ignore[override]
        """Whether the model's own embedding lets gradients through."""
        return hasattr(self._of, "hear")

    @property
    def batch_seconds(self) -> float:
        """As the model's."""
        return self._of.batch_seconds

    @property
    def weights(self) -> str | None:
        """sha256 of all that decides the model's embeddings."""
        from models.registry import record

        said = json.dumps(record(self._of, self.model), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def size(self) -> int | None:
        """As the model's."""
        return self._of.size

    def load(self) -> None:
        """Load the model and embed the classes."""
        self._of.load()
        if self._directions is not None:
            return
        texts = [each.replace(PLACE, name) for each in self.templates for name in self.classes]
        found = _unit(np.stack(self._of.embed_text(texts)))
        means = found.reshape(len(self.templates), len(self.classes), -1).mean(axis=0)
        self._directions = _unit(means).T.astype(np.float32)

    def classify(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """Cosines over the temperature of each (time,) signal, as `labels`."""
        self.load()
        heard = self._of.embed_audio(signals, sample_rate=sample_rate)
        directions = np.asarray(self._directions)
        return [(_unit(vector) @ directions) / self.temperature for vector in heard]

    def listen(self, batch: torch.Tensor, lengths: torch.Tensor) -> Heard:
        """See `models.explaining`; the embedding is the model's, hidden layers are not shown."""
        import torch

        self.load()
        vectors = self._of.hear(batch, lengths)  # type: ignore[attr-defined]
        directions = torch.as_tensor(self._directions, device=vectors.device)
        return Heard(vectors @ directions / self.temperature, vectors)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors (…, dim) brought to length 1; one of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, TINY), np.float32)
