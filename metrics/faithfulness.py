"""Faithfulness of explanations, from logits alone; sparseness and complexity of saliency maps.

Three logits `(..., classes)` tell of one clip: f(x), f(x_in) of the part that the explanation
keeps and f(x_out) of what it removes. p = softmax(f(x)), once; c = argmax f(x), per item and over
classes: the class that the model says, not the true one. Every function answers per item, `(...)`
from `(..., classes)`; a data set's value is the mean over its items.
Sources: Paissan et al. 2024 (L-MAC); Zhang et al. 2024 (Opti-CAM, average gain).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, FailedPrediction, LogitsItem, Metric, UndefinedMetric

Floats = NDArray[np.float64]


def faithfulness(logits: ArrayLike, logits_out: ArrayLike) -> Floats:
    """p_c(x) - p_c(x_out), -1 to 1: how much the clip's class loses with the explained part."""
    full, out = _pair(logits, logits_out)
    said = full.argmax(axis=-1)
    return _probability(full, said) - _probability(out, said)


def faithfulness_logit(logits: ArrayLike, logits_out: ArrayLike) -> Floats:
    """f_c(x) - f_c(x_out) in logits: unbounded, and blind to the other classes."""
    full, out = _pair(logits, logits_out)
    said = full.argmax(axis=-1)
    return _of(full, said) - _of(out, said)


def input_fidelity(logits: ArrayLike, logits_in: ArrayLike) -> Floats:
    """1 where the explained part alone has the clip's class (Fid-In), otherwise 0."""
    full, kept = _pair(logits, logits_in)
    return np.asarray(full.argmax(axis=-1) == kept.argmax(axis=-1), dtype=np.float64)


def average_increase(logits: ArrayLike, logits_in: ArrayLike) -> Floats:
    """100 where the explained part alone is likelier of the class than the clip, otherwise 0, %."""
    before, after = _rests(logits, logits_in)
    return np.where(after < before, 100.0, 0.0)


def average_drop(logits: ArrayLike, logits_in: ArrayLike) -> Floats:
    """100 · max(0, p_c - p_in,c) / p_c: the share of its probability that the class loses, %."""
    full, kept = _pair(logits, logits_in)
    said = full.argmax(axis=-1)
    before, after = _probability(full, said), _probability(kept, said)
    return 100 * np.maximum(0, before - after) / before


def average_gain(logits: ArrayLike, logits_in: ArrayLike) -> Floats:
    """100 · max(0, p_in,c - p_c) / (1 - p_c): the share of the way to certainty gained, %.

    0 where p_c is 1 to the last bit: nothing is left to gain.
    """
    before, after = _rests(logits, logits_in)
    gained = np.maximum(0, before - after)
    return 100 * np.divide(gained, before, out=np.zeros_like(before), where=before > 0)


def sparseness(saliency: ArrayLike) -> float:
    """Gini index of a map's magnitudes, of any shape: 0 is even, 1 - 1/cells is a single cell.

    1 - 2 Σ |s|₍ₖ₎ / Σ|s| · (n - k + 1/2) / n over ascending magnitudes (Hurley & Rickard 2009).
    Raises FailedPrediction("zero_map") for a map of zeros, ("not_finite") for NaN or infinity.
    """
    share = np.sort(_shares(saliency))
    cells = len(share)
    left = (cells - np.arange(1, cells + 1) + 0.5) / cells
    return max(0.0, float(1 - 2 * share @ left))


def complexity(saliency: ArrayLike) -> float:
    """Entropy in nats of a map's magnitudes over their sum: 0 is one cell, ln(cells) is even.

    Bhatt et al. 2020. Raises as `sparseness`.
    """
    share = _shares(saliency)
    held = share[share > 0]
    return max(0.0, -float(held @ np.log(held)))


def score_faithfulness(item: LogitsItem) -> ClipScore:
    """`faithfulness` of one clip."""
    return _score(faithfulness, item.logits, item.logits_out)


def score_faithfulness_logit(item: LogitsItem) -> ClipScore:
    """`faithfulness_logit` of one clip."""
    return _score(faithfulness_logit, item.logits, item.logits_out)


def score_input_fidelity(item: LogitsItem) -> ClipScore:
    """`input_fidelity` of one clip."""
    return _score(input_fidelity, item.logits, item.logits_in)


def score_average_increase(item: LogitsItem) -> ClipScore:
    """`average_increase` of one clip, %."""
    return _score(average_increase, item.logits, item.logits_in)


def score_average_drop(item: LogitsItem) -> ClipScore:
    """`average_drop` of one clip, %."""
    return _score(average_drop, item.logits, item.logits_in)


def score_average_gain(item: LogitsItem) -> ClipScore:
    """`average_gain` of one clip, %."""
    return _score(average_gain, item.logits, item.logits_in)


def _score(
    function: Callable[[ArrayLike, ArrayLike], Floats], logits: Floats, masked: Floats
) -> ClipScore:
    if np.ndim(logits) != 1:
        raise ValueError(f"logits: expected (classes,) of one clip, found {np.shape(logits)}")
    return ClipScore(float(function(logits, masked)), detail={"class": int(np.argmax(logits))})


def _pair(logits: ArrayLike, masked: ArrayLike) -> tuple[Floats, Floats]:
    full, part = np.asarray(logits, dtype=np.float64), np.asarray(masked, dtype=np.float64)
    if full.shape != part.shape:
        raise ValueError(f"expected logits of one shape, found {full.shape} and {part.shape}")
    if full.ndim == 0 or full.shape[-1] < 2:
        # An argmax over a column is class 0 for every item: scores that look like scores.
        raise ValueError(
            f"expected logits (..., classes) of at least 2 classes, found shape {full.shape}; "
            "a column of labels is no logits"
        )
    for values in (full, part):
        if not np.isfinite(values).all():
            raise FailedPrediction("not_finite", "the logits hold NaN or infinity")
    return full, part


def _of(values: Floats, classes: NDArray[np.intp]) -> Floats:
    return np.asarray(np.take_along_axis(values, classes[..., None], axis=-1)[..., 0])


def _weights(logits: Floats) -> Floats:
    return np.asarray(np.exp(logits - logits.max(axis=-1, keepdims=True)))


def _probability(logits: Floats, classes: NDArray[np.intp]) -> Floats:
    weights = _weights(logits)
    return np.asarray(_of(weights, classes) / weights.sum(axis=-1))


def _rests(logits: ArrayLike, logits_in: ArrayLike) -> tuple[Floats, Floats]:
    """1 - p_c and 1 - p_in,c, summed over the other classes: exact where p_c rounds to 1."""
    full, kept = _pair(logits, logits_in)
    said = full.argmax(axis=-1)
    return _rest(full, said), _rest(kept, said)


def _rest(logits: Floats, classes: NDArray[np.intp]) -> Floats:
    weights = _weights(logits)
    others = weights.copy()
    np.put_along_axis(others, classes[..., None], 0.0, axis=-1)
    return np.asarray(others.sum(axis=-1) / weights.sum(axis=-1))


def _shares(saliency: ArrayLike) -> Floats:
    """The map's magnitudes over their sum, flat."""
    size = np.abs(np.asarray(saliency, dtype=np.float64)).ravel()
    if not size.size:
        raise UndefinedMetric("empty_map", "the saliency map has no cells")
    if not np.isfinite(size).all():
        raise FailedPrediction("not_finite", "the saliency map holds NaN or infinity")
    if not size.any():
        raise FailedPrediction("zero_map", "every cell of the saliency map is zero")
    size = size / size.max()  # so that the sum can neither overflow nor vanish
    return np.asarray(size / size.sum())


def _sheet(name: str, title: str, summary: str, unit: str = "%", **fields: Any) -> Metric:
    higher, scale = fields.get("higher_is_better", True), fields.get("scale", 1.0)
    return Metric(
        name=name,
        title=title,
        unit=unit,
        scale=scale,
        higher_is_better=higher,
        version="1",
        pooled=False,
        item="logits",
        function=f"metrics.faithfulness:score_{name}",
        parameters={},
        summary=summary,
        needs=("logits of the clip, of the part kept and of the part removed",),
        failure_policy="failed: NaN or infinity among the logits",
        source="Paissan et al. 2024 (L-MAC)",
    )


SHEETS: tuple[Metric, ...] = (
    _sheet("faithfulness", "Faithfulness", "probability lost with the explained part", unit=""),
    _sheet(
        "faithfulness_logit",
        "Faithfulness (logit)",
        "logit lost with the explained part",
        unit="logit",
    ),
    _sheet(
        "input_fidelity", "Fid-In", "share whose explained part alone keeps the class", scale=100.0
    ),
    _sheet("average_increase", "AI", "share whose explained part alone is likelier of the class"),
    _sheet(
        "average_drop",
        "AD",
        "share of the class's probability lost by keeping the explained part alone",
        higher_is_better=False,
    ),
    _sheet("average_gain", "AG", "share of the way to certainty gained by it"),
)
