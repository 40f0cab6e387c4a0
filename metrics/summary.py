"""A classifier on a whole dataset: micro and macro accuracy, mAP, folds, confusion, near ties.

What is said clip by clip (`metrics.classification`) is put together here, with intervals over
clusters as everywhere. Folds are the dataset's own; their deviation tells how much a single split
may mislead, not how sure the mean is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import classification
from metrics.base import UndefinedMetric
from metrics.intervals import Estimate, interval
from metrics.ranks import Ranks
from metrics.tally import Tally

NEAR = 1e-4  # by which the two best scores differ at least where a decision is no near tie
REPLICATES = 200  # for mAP, which is computed anew under each

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MacroAccuracy:
    """The unweighted mean over classes of the share of their clips that are right.

    `right` and `clips` count by cluster and class, (clusters, classes). A `Statistic` of
    `metrics.intervals`: under weights, classes that no clip is left of are left out.
    """

    clusters: tuple[str, ...]
    right: Integers
    clips: Integers

    @classmethod
    def of(
        cls, clusters: Sequence[str], labels: Integers, hits: ArrayLike, classes: int
    ) -> MacroAccuracy:
        """From a row a clip: its cluster, its class and whether it was right."""
        ids, places = np.unique(np.array(clusters), return_inverse=True)
        flat = places * classes + labels
        shape, size = (len(ids), classes), len(ids) * classes
        right = np.bincount(flat, weights=np.asarray(hits, float), minlength=size)
        clips = np.bincount(flat, minlength=size)
        return cls(
            tuple(map(str, ids)), right.astype(np.int64).reshape(shape), clips.reshape(shape)
        )

    @property
    def value(self) -> float | None:
        """Between 0 and 1; None without clips."""
        found = float(self.under(np.ones((1, len(self.clusters)), np.int64))[0])
        return None if np.isnan(found) else found

    def under(self, weights: NDArray[np.integer]) -> Floats:
        """The value under each row of `weights (replicates, clusters)`; NaN where none is left."""
        wide = weights.astype(np.float64)
        right, clips = wide @ self.right, wide @ self.clips
        there = clips > 0
        shares = np.divide(right, clips, out=np.zeros_like(right), where=there)
        counts = there.sum(axis=1)
        answer = np.full(len(wide), np.nan)
        np.divide(shares.sum(axis=1), counts, out=answer, where=counts > 0)
        return answer


@dataclass(frozen=True, eq=False)
class Summary:
    """All numbers are shares, 0 to 1. `per_class` and `clips_of` are in the order of the classes;
    `confusion[i, j]` counts clips of class i that were called j; `folds` are accuracies.
    `top_5` is None up to 5 classes; `fold_mean` and `fold_deviation` (of a sample) under 2 folds.
    """

    top_1: Estimate
    top_5: Estimate | None
    macro: Estimate
    mean_precision: Estimate
    per_class: tuple[float | None, ...]
    clips_of: tuple[int, ...]
    confusion: Integers
    folds: Mapping[str, float]
    fold_mean: float | None
    fold_deviation: float | None
    near_ties: int


def summarise(
    labels: ArrayLike,
    scores: ArrayLike,
    clusters: Sequence[str],
    folds: Sequence[str | None] | None = None,
) -> Summary:
    """Labels `(clips,)` as places in the classes, scores `(clips, classes)`, clusters and folds.

    Ties count against the true class. UndefinedMetric("no_items") without clips; ValueError for
    columns of unequal length; a class that a clip was not asked about may have the score -inf.
    """
    given = np.asarray(scores, dtype=np.float64)
    found = classification.ranks(labels, given)
    wanted = np.asarray(labels, dtype=np.int64)
    if not len(found):
        raise UndefinedMetric("no_items", "there is nothing to divide by")
    if len(clusters) != len(found):
        raise ValueError(f"clusters: expected {len(found)}, found {len(clusters)}")
    classes = given.shape[1]
    confusion = classification.confusion_matrix(wanted, _said(wanted, given, found), classes)
    by_fold = _by_fold(found == 1, folds or [None] * len(found))
    values = list(by_fold.values())
    several = len(values) >= 2
    return Summary(
        top_1=_share(found == 1, clusters),
        top_5=_share(found <= 5, clusters) if classes > 5 else None,
        macro=_estimate(MacroAccuracy.of(clusters, wanted, found == 1, classes)),
        mean_precision=_mean_precision(wanted, given, clusters),
        per_class=classification.per_class_accuracy(confusion),
        clips_of=tuple(int(n) for n in confusion.sum(axis=1)),
        confusion=confusion,
        folds=by_fold,
        fold_mean=float(np.mean(values)) if several else None,
        fold_deviation=float(np.std(values, ddof=1)) if several else None,
        near_ties=near_ties(given),
    )


def near_ties(scores: ArrayLike) -> int:
    """How many of `(clips, classes)` have two best scores within 1e-4 of each other."""
    given = np.asarray(scores, dtype=np.float64)
    if given.shape[1] < 2:
        return 0
    best = np.partition(given, given.shape[1] - 2, axis=1)[:, -2:]
    return int(np.count_nonzero(best[:, 1] - best[:, 0] < NEAR))


def _said(labels: Integers, scores: Floats, ranks: Integers) -> Integers:
    """The best class of each clip; where it is tied with the true one, one of the others."""
    others = scores.copy()
    np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
    return np.where(ranks == 1, labels, others.argmax(axis=1))


def _by_fold(hits: NDArray[np.bool_], folds: Sequence[str | None]) -> dict[str, float]:
    """The share of hits in each fold, in the folds' order; clips without a fold are in none."""
    if len(folds) != len(hits):
        raise ValueError(f"folds: expected {len(hits)}, found {len(folds)}")
    names = sorted({fold for fold in folds if fold is not None}, key=lambda name: (len(name), name))
    where = np.array([fold or "" for fold in folds])
    return {name: float(hits[where == name].mean()) for name in names}


def _share(hits: NDArray[np.bool_], clusters: Sequence[str]) -> Estimate:
    tally = Tally.from_arrays(clusters, hits.astype(float), np.ones(len(hits)))
    return Estimate(tally.value, interval(tally))


def _estimate(statistic: MacroAccuracy) -> Estimate:
    return Estimate(statistic.value, interval(statistic))


def _mean_precision(labels: Integers, scores: Floats, clusters: Sequence[str]) -> Estimate:
    """MAP over the classes that have clips, one against the others."""
    clips, classes = scores.shape
    finite = np.where(
        np.isfinite(scores), scores, np.nanmin(np.where(np.isfinite(scores), scores, np.nan)) - 1
    )
    relevant = labels[:, None] == np.arange(classes)
    ranks = Ranks.from_arrays(
        "map",
        np.repeat(np.array(clusters), classes).tolist(),
        relevant.astype(float).ravel(),
        finite.ravel(),
        groups=np.tile(np.arange(classes), clips).astype(str).tolist(),
    )
    return Estimate(ranks.value, interval(ranks, replicates=REPLICATES))
