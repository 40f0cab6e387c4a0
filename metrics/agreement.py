"""Whether two worlds agree: rank correlation of models, rank flips, calibration.

Kendall's tau-b (Kendall 1945) and Spearman's rho (1904), both corrected for ties, between the
models' values in two domains. Their intervals say how far the resampled speakers move the ranking
of *these* models; they say nothing about models that were not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import intervals
from metrics.intervals import REPLICATES, Estimate
from metrics.tally import Tally

FEWEST_MODELS = 5  # below, a rank correlation takes so few values that an interval says nothing

_PAIRS = 1 << 20  # of models, compared at a time

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How far two domains rank the models alike: tau-b and rho, -1 to 1, over how many models."""

    tau_b: Estimate
    rho: Estimate
    models: int


@dataclass(frozen=True)
class CalibrationBin:
    """The clips whose predicted value lies in `low <= value < high` (the last bin holds `high`).

    `expected` is the mean of what was predicted, `observed` of what was true; None over no clip.
    """

    low: float
    high: float
    clips: int
    expected: float | None
    observed: float | None


def kendall_tau_b(a: ArrayLike, b: ArrayLike) -> float | None:
    """Kendall's tau-b between two lists of the models' values, -1 to 1.

    None under 2 models or where a list never varies; ValueError for unequal lengths or NaN.
    """
    return _known(_tau_b(*_columns(a, b))[0])


def spearman_rho(a: ArrayLike, b: ArrayLike) -> float | None:
    """Spearman's rho, as `kendall_tau_b`; equal values share their mean rank."""
    return _known(_rho(*_columns(a, b))[0])


def rank_agreement(
    synthetic: Sequence[Sequence[Tally]],
    real: Sequence[Sequence[Tally]],
    *,
    replicates: int = REPLICATES,
) -> Agreement:
    """How far two domains rank the same models alike.

    For each model its tallies, a dataset each, on either side, in one order of models. A domain's
    value is the unweighted mean over datasets. Models without a value on either side are left out.
    Intervals from 5 models and, in every dataset, 6 clusters on: the expanded percentile interval
    over replicates, in which all models meet the same weights and the sides are independent;
    widened to the value where that is at the edge (replicates are noisier, so they agree less).
    ValueError where the sides list unequal numbers of models.
    """
    if len(synthetic) != len(real):
        raise ValueError(
            f"expected every model on both sides, found {len(synthetic)} and {len(real)}"
        )
    pairs = [(a, b) for a, b in zip(synthetic, real, strict=True) if _value(a, b)]
    sides = [[pair[side] for pair in pairs] for side in (0, 1)]
    values = [np.array([[_mean(m) for m in side]], float) for side in sides]
    drawn = [_drawn(side, salt, replicates) for side, salt in zip(sides, "ab", strict=True)]
    fewest = min((len(t.clusters) for side in sides for m in side for t in m), default=0)
    return Agreement(
        _estimate(_tau_b, values, drawn, fewest),
        _estimate(_rho, values, drawn, fewest),
        len(pairs),
    )


def rank_flips(synthetic: ArrayLike, real: ArrayLike) -> list[tuple[int, int]]:
    """The pairs of models (their places, smaller first) whose order differs between two domains.

    A pair that is equal in either domain is no flip. ValueError for unequal lengths or NaN.
    """
    a, b = (side[0] for side in _columns(synthetic, real))
    return [
        (i, j)
        for i, j in combinations(range(len(a)), 2)
        if np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) < 0
    ]


def calibration_curve(
    predicted: ArrayLike, true: ArrayLike, *, edges: ArrayLike | int = 10
) -> list[CalibrationBin]:
    """Expected against observed, bin by bin of what was predicted; on the diagonal is calibrated.

    `predicted` are confidences, or estimates of a quality in its unit; `true` whether they were
    right (0 or 1), or the quality. `edges` are increasing, or a number of equally wide bins from
    the lowest to the highest prediction. No clips: no bins. ValueError for unequal lengths, NaN,
    edges that do not increase, or a prediction outside them.
    """
    guesses, truths = (side[0] for side in _columns(predicted, true))
    if not len(guesses):
        return []
    borders = _edges(guesses, edges)
    places = np.clip(np.searchsorted(borders, guesses, side="right") - 1, 0, len(borders) - 2)
    return [
        _bin(borders, place, guesses, truths, places == place) for place in range(len(borders) - 1)
    ]


def calibration_error(bins: Sequence[CalibrationBin]) -> float | None:
    """The mean of |observed - expected| over clips (ECE, for confidences); None without clips."""
    known = [(b.clips, b.expected, b.observed) for b in bins]
    parts = [n * abs(o - e) for n, e, o in known if e is not None and o is not None]
    total = sum(b.clips for b in bins)
    return sum(parts) / total if total else None


def _edges(guesses: Floats, edges: ArrayLike | int) -> Floats:
    if isinstance(edges, int):
        low, high = float(guesses.min()), float(guesses.max())
        if edges < 1:
            raise ValueError(f"edges: expected at least 1 bin, found {edges}")
        return np.linspace(low, high, edges + 1) if low < high else np.array([low, low])
    borders = np.asarray(edges, float)
    if borders.ndim != 1 or len(borders) < 2 or not (np.diff(borders) > 0).all():
        raise ValueError(f"edges: expected 2 or more increasing numbers, found {borders.tolist()}")
    if guesses.min() < borders[0] or guesses.max() > borders[-1]:
        raise ValueError(
            f"expected predictions from {borders[0]} to {borders[-1]}, found "
            f"{guesses.min()} to {guesses.max()}; widen the edges"
        )
    return borders


def _bin(
    borders: Floats, place: int, guesses: Floats, truths: Floats, inside: NDArray[np.bool_]
) -> CalibrationBin:
    clips = int(np.count_nonzero(inside))
    means = [float(side[inside].mean()) if clips else None for side in (guesses, truths)]
    return CalibrationBin(float(borders[place]), float(borders[place + 1]), clips, *means)


def _columns(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    """Both lists as `(1, models)`, checked."""
    sides = np.asarray(a, float), np.asarray(b, float)
    if sides[0].ndim != 1 or sides[0].shape != sides[1].shape:
        raise ValueError(
            f"expected two lists of one length, found shapes {sides[0].shape} and {sides[1].shape}"
        )
    if not all(np.isfinite(side).all() for side in sides):
        raise ValueError("expected finite values, found NaN or infinity; leave such models out")
    return sides[0][None], sides[1][None]


def _tau_b(a: Floats, b: Floats) -> Floats:
    """Tau-b of each row of `(replicates, models)`; NaN where a row never varies."""
    first, second = np.triu_indices(a.shape[1], 1)
    sides = ((np.sign(side[:, first] - side[:, second]) for side in part) for part in _parts(a, b))
    return np.concatenate([_cosine(*part) for part in sides])


def _rho(a: Floats, b: Floats) -> Floats:
    """Rho of each row of `(replicates, models)`; NaN where a row never varies."""
    return np.concatenate([_cosine(*map(_centred_ranks, part)) for part in _parts(a, b)])


def _parts(a: Floats, b: Floats) -> Iterator[tuple[Floats, Floats]]:
    """The rows, so many at a time that all pairs of models fit into 8 MB."""
    step = max(1, _PAIRS // max(a.shape[1] ** 2, 1))
    for start in range(0, max(len(a), 1), step):
        yield a[start : start + step], b[start : start + step]


def _centred_ranks(values: Floats) -> Floats:
    """How many of a row lie below each value less how many lie above: twice its centred rank."""
    return np.asarray(np.sign(values[:, :, None] - values[:, None, :]).sum(axis=2))


def _cosine(x: Floats, y: Floats) -> Floats:
    # Small whole numbers: exact until the last division.
    length = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    answer = np.full(len(x), np.nan)
    np.divide((x * y).sum(axis=1), length, out=answer, where=length > 0)
    return answer


def _drawn(side: Sequence[Sequence[Tally]], salt: str, replicates: int) -> Floats:
    """`(replicates, models)` values of one domain."""
    terms = [intervals.mean_terms(tallies, salt=salt) for tallies in side]
    rows = intervals.replicate_all(terms, replicates=replicates)
    return np.stack(rows, axis=1) if rows else np.zeros((replicates, 0))


def _estimate(
    statistic: Callable[[Floats, Floats], Floats],
    values: list[Floats],
    drawn: list[Floats],
    fewest: int,
) -> Estimate:
    value = _known(statistic(*values)[0]) if values[0].size else None
    enough = values[0].size >= FEWEST_MODELS and fewest >= intervals.BOOTSTRAP_CLUSTERS
    if value is None or not enough:
        return Estimate(value, None)
    whole = ~np.isnan(drawn[0] + drawn[1]).any(axis=1)
    found = statistic(*(side[whole] for side in drawn))
    spread = intervals.expanded(found[~np.isnan(found)], fewest)
    return Estimate(
        value, replace(spread, low=min(spread.low, value), high=max(spread.high, value))
    )


def _mean(tallies: Sequence[Tally]) -> float:
    return sum(tally.value or 0.0 for tally in tallies) / len(tallies)


def _value(*sides: Sequence[Tally]) -> bool:
    return all(tallies and all(t.value is not None for t in tallies) for tallies in sides)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
