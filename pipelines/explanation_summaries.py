"""Summaries of explanations: how far what they keep lies from clean sounds, and class by class.

The Fréchet distance is between embeddings, by the explained classifier itself, of what explanations
keep and of clean sounds: the sources of covered clips where they are known, else the clips as they
are. It belongs to a whole dataset, so it has no value a clip and no interval.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import metrics
from leaderboards import words
from leaderboards.records import Table
from metrics import FailedPrediction, UndefinedMetric
from pipelines.records import Failure
from pipelines.shards.datasets import Row
from pipelines.tasks import arrays, explanation
from pipelines.tasks.classification import place, truth

MOST_CLASSES, MOST_ROWS = 100, 12  # of a table class by class
CLIP, KEPT, CLEAN = 0, 1, 2  # rows of a clip's embeddings


@dataclass
class Explained:
    """Clips one after another, with what was found of them."""

    logits: list[Any] = field(default_factory=list)  # (3, classes) each
    said: list[str] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)  # of clips whose class the classifier knows
    embeddings: list[Any] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row, answer: Mapping[str, bytes] | Failure) -> None:
        """Take in one clip, however it ended."""
        try:
            if isinstance(answer, Failure):
                raise FailedPrediction(answer.reason)
            self._take(row, answer)
        except FailedPrediction as error:
            self.failed[error.reason] += 1

    def _take(self, row: Row, answer: Mapping[str, bytes]) -> None:
        logits = explanation.logits_of(answer)
        heard = arrays.read_array(answer, explanation.EMBEDDINGS, 2)
        said = explanation.said_of(answer)
        self.logits.append(logits)
        self.embeddings.append(heard)
        self.said.append(said)
        labels = explanation.labels_of(answer)
        try:
            self.right.append(labels[place(truth(row) or "", labels)] == said)
        except UndefinedMetric:
            return

    def record(self) -> dict[str, Any]:
        """The summary as JSON; numbers are null where there is nothing to tell them from."""
        return {
            "scored": len(self.said),
            "failed": dict(self.failed),
            "right": float(np.mean(self.right)) if self.right else None,
            **self._distances(),
            "classes": self._classes(),
        }

    def _distances(self) -> dict[str, float | None]:
        """Of what is kept, and of the clips as they are, to clean sounds."""
        if not self.embeddings:
            return {"kept": None, "clips": None}
        clean = [one[CLEAN] if len(one) > CLEAN else one[CLIP] for one in self.embeddings]
        sets = {"kept": KEPT, "clips": CLIP}
        return {
            name: _distance(clean, [one[at] for one in self.embeddings])
            for name, at in sets.items()
        }

    def _classes(self) -> dict[str, dict[str, float]]:
        by_class: dict[str, list[Any]] = defaultdict(list)
        for said, logits in zip(self.said, self.logits, strict=True):
            by_class[said].append(logits)
        return {said: _of_class(np.stack(found)) for said, found in sorted(by_class.items())}


def _distance(clean: Sequence[Any], found: Sequence[Any]) -> float | None:
    """None for too few clips, or a classifier that shows no embeddings."""
    if not len(clean[0]):
        return None
    try:
        return metrics.frechet_distance(np.stack(clean), np.stack(found))
    except UndefinedMetric:
        return None


def _of_class(logits: Any) -> dict[str, float]:
    full, kept, removed = logits.transpose(1, 0, 2)
    return {
        "clips": len(full),
        "input_fidelity": float(metrics.input_fidelity(full, kept).mean()),
        "faithfulness": float(metrics.faithfulness(full, removed).mean()),
        "average_drop": float(metrics.average_drop(full, kept).mean()),
    }


COLUMNS = ("Classifier and explainer", "Clips", "Fréchet distance", "… of the clips", "Right")
NOTE = (
    "Fréchet distance: between embeddings, by the classifier, of what explanations keep and of "
    "clean sounds (the true sources where they are known); lower is better. … of the clips: of the "
    "clips as they are. Right: the share of clips whose own class is the one that was explained, %."
)


def tables(
    found: Mapping[tuple[str, str], Mapping[str, Any]],
    called: Mapping[str, str],
    datasets: Sequence[str],
) -> Iterator[Table]:
    """A table a dataset, then one class by class; `found` is by row and dataset, `called` the rows'
    names in the board's order.
    """
    for dataset in datasets:
        rows = tuple(
            (name, *_line(found[row, dataset]))
            for row, name in called.items()
            if (row, dataset) in found
        )
        note = NOTE if dataset == datasets[-1] else ""
        yield Table(f"Distance from clean sounds on {dataset}", COLUMNS, rows, note)
    for dataset in datasets:
        shown = [row for row in called if (row, dataset) in found][:MOST_ROWS]
        of = {called[row]: found[row, dataset] for row in shown}
        yield _by_class(dataset, of)


def _line(figures: Mapping[str, Any]) -> tuple[str, ...]:
    distances = (_number(figures[name], 1, 2) for name in ("kept", "clips"))
    return (f"{figures['scored']:,}", *distances, _number(figures["right"], 100, 1))


def _number(value: float | None, scale: float, digits: int) -> str:
    return words.NOTHING if value is None else f"{scale * value:.{digits}f}"


def _by_class(dataset: str, of: Mapping[str, Mapping[str, Any]]) -> Table:
    """Fid-In and faithfulness of every class that was explained, the most frequent first."""
    counts: Counter[str] = Counter()
    for figures in of.values():
        counts |= Counter({name: int(one["clips"]) for name, one in figures["classes"].items()})
    rows = [
        (name, f"{count:,}", *(_cell(figures["classes"].get(name)) for figures in of.values()))
        for name, count in counts.most_common(MOST_CLASSES)
    ]
    title = f"Fid-In (%) and faithfulness by the class explained on {dataset}"
    return Table(title, ("Class", "Clips", *of), tuple(rows), long=True)


def _cell(one: Mapping[str, float] | None) -> str:
    if one is None:
        return words.NOTHING
    return f"{100 * one['input_fidelity']:.0f}\n{one['faithfulness']:+.2f}"
