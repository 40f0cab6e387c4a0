"""Classification: a clip in, a number for every class that the model tells apart out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics import ClassItem, FailedPrediction, UndefinedMetric
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays
from pipelines.tasks.base import Question, Task

LOGITS, LABELS = "npy", "json"
TRUTHS = ("class", "label")  # what a clip's class may be called among its labels; the first is ours


class Classification(Task):
    """Models with `classify`; the prediction is `{key}.npy`, (classes,) float32 logits, and
    `{key}.json`, what they are called, so that every clip can be read by itself.

    Classes are matched by name, whatever their case, underscores and hyphens: numbers of classes
    mean nothing outside the dataset or the model that gave them.
    """

    name = "classification"
    method = "classify"
    metrics = ("top_1", "top_5")

    def applies(self, row: Row) -> bool:
        """Clips that have a class."""
        return truth(row) is not None

    def members(self, clip: Row) -> tuple[str, ...]:
        """Logits, and their classes."""
        return (LOGITS, LABELS)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """(labels, logits) of every clip."""
        signals = [question.signal for question in questions]
        answers = model.classify(signals, sample_rate=questions[0].sample_rate)
        labels = tuple(model.labels)
        return [(labels, logits) for logits in answers]

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The logits and labels of one clip."""
        labels, logits = answer
        if not all(isinstance(label, str) for label in labels) or len(set(labels)) < len(labels):
            raise FailedPrediction("wrong_labels", "expected a different name for every class")
        vector = arrays.vector(logits)
        if len(vector) != len(labels):
            detail = f"expected a logit for each of {len(labels)} labels, found {len(vector)}"
            raise FailedPrediction("wrong_classes", detail)
        return {LOGITS: arrays.to_npy(vector), LABELS: arrays.to_json({"labels": list(labels)})}

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> ClassItem:
        """The place of the true class among the model's, and the logits.

        UndefinedMetric("unknown_label") where the model does not know the class, by exactly one of
        its own names.
        """
        found = truth(clip.row)
        if found is None:
            raise UndefinedMetric("no_reference", "the clip has no class")
        logits = arrays.read_npy(answer, LOGITS)
        labels = arrays.read_json(answer, LABELS).get("labels")
        if not isinstance(labels, list) or logits.shape != (len(labels),):
            raise FailedPrediction("wrong_classes", f"{logits.shape} logits do not fit the labels")
        return ClassItem(place(found, [str(label) for label in labels]), logits.astype(np.float64))


def truth(row: Row) -> str | None:
    """What a clip is said to be."""
    return next((row.labels[name] for name in TRUTHS if row.labels.get(name)), None)


def place(truth: str, labels: Sequence[str]) -> int:
    """Where a class is among labels: under its very name, else under the only one that is like it.

    UndefinedMetric where it is nowhere or may be several.
    """
    if truth in labels:
        return labels.index(truth)
    found = [place for place, label in enumerate(labels) if _plain(label) == _plain(truth)]
    if len(found) != 1:
        detail = f"the class {truth!r} is {len(found)} of the model's {len(labels)} classes"
        raise UndefinedMetric("unknown_label", detail)
    return found[0]


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold())).strip()
