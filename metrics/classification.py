"""Classification: top-k, accuracies, the confusion matrix and mean average precision.

Arguments come as (labels, scores) or (labels, predictions): labels are places in the classes,
scores `(items, classes)` on any scale, higher is likelier. Nothing to count raises
`UndefinedMetric`; a class without items has no accuracy (None), never 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClassItem, ClipScore, FailedPrediction, Metric, UndefinedMetric

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def ranks(labels: ArrayLike, scores: ArrayLike) -> Integers:
    """The rank of each item's true class, 1 is first: `(items,)` from `(items, classes)`.

    Ties count against the true class: every other class with the same score comes before it, so
    that a model which says the same of all classes is never right by the order of the classes.
    Raises FailedPrediction("not_finite") for NaN; infinities are ordered like any number.
    """
    given = _scores(scores)
    wanted = _labels(labels, items=len(given), classes=given.shape[1])
    true = np.take_along_axis(given, wanted[:, None], axis=1)
    return np.asarray((given >= true).sum(axis=1), dtype=np.int64)


def top_k_accuracy(labels: ArrayLike, scores: ArrayLike, k: int) -> float:
    """The share of items whose true class is among the `k` best, 0 to 1, ties counted against it.

    ValueError unless 1 <= k <= classes; UndefinedMetric("no_items") without items.
    """
    classes = _scores(scores).shape[1]
    if not 1 <= k <= classes:
        raise ValueError(f"k: expected 1 to {classes} (the classes), found {k}")
    found = ranks(labels, scores)
    _check_items(len(found))
    return float((found <= k).mean())


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> Integers:
    """How often class `column` was said of an item of class `row`: `(classes, classes)` counts.

    No items give zeros everywhere. Parts add: the matrix of two halves is the sum of theirs.
    """
    said = np.asarray(predictions)
    wanted = _labels(labels, items=len(said), classes=classes)
    found = _labels(said, items=len(said), classes=classes, name="predictions")
    cells = np.bincount(wanted * classes + found, minlength=classes * classes)
    return cells.reshape(classes, classes)


def micro_accuracy(confusion: ArrayLike) -> float:
    """The share of all items that are right, from a confusion matrix."""
    matrix = _confusion(confusion)
    _check_items(int(matrix.sum()))
    return float(np.trace(matrix) / matrix.sum())


def per_class_accuracy(confusion: ArrayLike) -> tuple[float | None, ...]:
    """The share of each class's items that are right (its recall); None for one without items."""
    matrix = _confusion(confusion)
    return tuple(
        float(right / items) if items else None
        for right, items in zip(np.diag(matrix), matrix.sum(axis=1), strict=True)
    )


def macro_accuracy(confusion: ArrayLike) -> float:
    """The unweighted mean of `per_class_accuracy` over the classes that have items."""
    known = [share for share in per_class_accuracy(confusion) if share is not None]
    _check_items(len(known))
    return float(np.mean(known))


def average_precision(relevant: ArrayLike, scores: ArrayLike) -> float:
    """Area under precision over recall by steps, 0 to 1, of `(items,)` booleans and scores.

    Σ (Rₙ - Rₙ₋₁) Pₙ over the distinct thresholds, without interpolation, as in scikit-learn:
    items with equal scores share a threshold, so that their order does not matter.
    UndefinedMetric("no_positives") where nothing is relevant.
    """
    wanted = _relevant(relevant)
    given = np.asarray(scores, dtype=np.float64)
    if wanted.ndim != 1 or wanted.shape != given.shape:
        raise ValueError(f"expected two arrays (items,), found {wanted.shape} and {given.shape}")
    _check_numbers(given)
    if not wanted.any():
        raise UndefinedMetric("no_positives", f"none of {len(wanted)} items is relevant")
    order = np.argsort(-given, kind="stable")
    last = np.append(np.diff(given[order]) != 0, True)  # the last item of each threshold
    hits = np.cumsum(wanted[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float(np.diff(hits, prepend=0) @ precision / hits[-1])


def mean_average_precision(targets: ArrayLike, scores: ArrayLike) -> float:
    """The unweighted mean of the classes' average precision, of `(items, classes)` booleans.

    An item may have several classes. Classes without a relevant item are left out;
    UndefinedMetric("no_positives") where none is left.
    """
    wanted, given = _relevant(targets), _scores(scores)
    if wanted.shape != given.shape:
        raise ValueError(f"expected targets like the scores {given.shape}, found {wanted.shape}")
    known = np.flatnonzero(wanted.any(axis=0))
    if not len(known):
        raise UndefinedMetric("no_positives", f"no class has one of {len(wanted)} items")
    return float(np.mean([average_precision(wanted[:, c], given[:, c]) for c in known]))


def score_top_1(item: ClassItem) -> ClipScore:
    """1 where the true class is strictly the best, otherwise 0."""
    return _score_top(item, 1)


def score_top_5(item: ClassItem) -> ClipScore:
    """1 where the true class is among the five best, ties counted against it, otherwise 0.

    UndefinedMetric("too_few_classes") up to 5 classes: it could not be missed.
    """
    return _score_top(item, 5)


def _score_top(item: ClassItem, k: int) -> ClipScore:
    given = np.asarray(item.scores, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"scores: expected (classes,), found shape {given.shape}")
    if len(given) <= k:
        raise UndefinedMetric("too_few_classes", f"expected over {k} classes, found {len(given)}")
    rank = int(ranks([item.label], given[None])[0])
    return ClipScore(float(rank <= k), detail={"rank": rank})


def _scores(values: ArrayLike) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 2:
        raise ValueError(f"scores: expected (items, classes), found shape {given.shape}")
    _check_numbers(given)
    return given


def _labels(values: ArrayLike, *, items: int, classes: int, name: str = "labels") -> Integers:
    given = np.asarray(values)
    if given.shape != (items,):
        raise ValueError(f"{name}: expected ({items},), found shape {given.shape}")
    if items and given.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected whole numbers, found dtype {given.dtype}")
    if items and not (given.min() >= 0 and given.max() < classes):
        raise ValueError(
            f"{name}: expected 0 to {classes - 1}, found {given.min()} to {given.max()}"
        )
    return given.astype(np.int64)


def _relevant(values: ArrayLike) -> NDArray[np.bool_]:
    given = np.asarray(values)
    if given.dtype.kind not in "biu" or not np.isin(given, (0, 1)).all():
        raise TypeError(f"expected booleans, or whole numbers 0 and 1, found dtype {given.dtype}")
    return given.astype(np.bool_)


def _confusion(values: ArrayLike) -> Integers:
    matrix = np.asarray(values, dtype=np.int64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"confusion: expected (classes, classes), found shape {matrix.shape}")
    return matrix


def _check_numbers(values: Floats) -> None:
    if np.isnan(values).any():
        raise FailedPrediction("not_finite", "the scores hold NaN")


def _check_items(items: int) -> None:
    if not items:
        raise UndefinedMetric("no_items", "there is nothing to divide by")


def _sheet(k: int) -> Metric:
    return Metric(
        name=f"top_{k}",
        title=f"Top-{k}",
        unit="%",
        scale=100.0,
        higher_is_better=True,
        version="1",
        pooled=False,
        item="class",
        function=f"metrics.classification:score_top_{k}",
        parameters={},
        summary=f"share of clips whose true class is among the {k} best, ties against it"
        if k > 1
        else "share of clips whose true class is the best, ties against it",
        needs=("class label",),
        failure_policy=f"undefined: up to {k} classes; failed: NaN among the scores",
        source="Krizhevsky et al. 2012; scikit-learn top_k_accuracy_score but for ties",
    )


SHEETS: tuple[Metric, ...] = tuple(_sheet(k) for k in (1, 5))
