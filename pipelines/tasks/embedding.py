"""Embedding: a clip in, one vector out, such that like clips lie near each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from metrics import UndefinedMetric
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays
from pipelines.tasks.base import Question, Task

VECTOR = "npy"


class Embedding(Task):
    """Models with `embed_audio`; the prediction is `{key}.npy`, (dim,) float32.

    What tells a good embedding from a bad one (equal error rate, retrieval) needs pairs of clips of
    a whole set, not clips one by one: there are no metrics here yet.
    """

    name = "embedding"
    method = "embed_audio"
    metrics = ()

    def applies(self, row: Row) -> bool:
        """No clip carries a truth of its own."""
        return False

    def members(self, clip: Row) -> tuple[str, ...]:
        """One vector."""
        return (VECTOR,)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """The vector of every clip."""
        signals = [question.signal for question in questions]
        answers: Sequence[Any] = model.embed_audio(signals, sample_rate=questions[0].sample_rate)
        return answers

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The vector of one clip."""
        return {VECTOR: arrays.to_npy(arrays.vector(answer))}

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> NoReturn:
        """Nothing: no clip is scored by itself."""
        raise UndefinedMetric("no_reference", "embeddings are not scored clip by clip")
