"""What a judge's raw guesses are worth: correction, intervals, what it has never heard, its card.

Fitted once, by `fit`, on estimates whose truth is known and that the judge did not learn from;
applied by numpy alone. Decibels throughout.

- *Correction*: isotonic regression of truth on guess (Zadrozny & Elkan, KDD 2002), kept as knots;
  beyond the outermost it goes on with slope 1, so nothing saturates.
- *Intervals*: split conformal prediction (Lei et al., JASA 2018), of 90 %: errors over the
  deviations that the network predicts, and their quantile.
- *Outside*: how far a clip lies from the nearest that were learnt from, in whitened features (k
  nearest neighbours: Sun et al., ICML 2022), against the distance that 98 % of held-out clips keep:
  new voices are somewhat strange to a judge, too, and must not be flagged for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
T = TypeVar("T")

LEVEL = 0.9  # of the intervals
ORDINARY = 0.98  # share of held-out clips within the distance that counts as known
KNOTS = 33  # at most, each the mean of
FEWEST = 10  # clips or more
NEIGHBOURS = 8
MOST_KNOWN = 1_000  # clips that others are compared with
KEPT = 0.995  # of the features' variance
BIN_DB, LOWEST_DB, HIGHEST_DB = 5.0, -5.0, 20.0  # bins of the truth in a card
AT_AN_END = 0.05  # dB from an end of a network's range: a guess is saturated
ALONE = "alone"  # what a calibration without the others is called at rest
TINY = 1e-9


@dataclass(frozen=True)
class Guesses:
    """A judge's raw guesses, (n,) each: dB, the deviation it predicts, and (n, features).

    `deviation` is None of a judge that predicts none, `features` of one that compares none.
    """

    si_snr: Array
    deviation: Array | None = None
    features: Array | None = None


@dataclass(frozen=True)
class Known:
    """Clips that were learnt from, whitened: `features` (clips, directions) by `mean`, `whitening`
    (features, directions); beyond `threshold` from the nearest, a clip is outside.
    """

    features: Array
    mean: Array
    whitening: Array
    threshold: float

    def distance(self, features: Array) -> Array:
        """(n,) mean distance to the nearest known clips of (n, features)."""
        placed = (features - self.mean) @ self.whitening
        squares = (placed**2).sum(1)[:, None] + (self.features**2).sum(1)[None]
        apart = np.sqrt(np.maximum(squares - 2 * placed @ self.features.T, 0))
        count = min(NEIGHBOURS, len(self.features))
        return np.asarray(np.partition(apart, count - 1, axis=1)[:, :count].mean(axis=1))

    def outside(self, features: Array) -> Array:
        """(n,) 0 to 1: ½ at the threshold, 1 infinitely far."""
        distance = self.distance(features)
        return np.asarray(distance / (distance + self.threshold))


@dataclass(frozen=True)
class Calibration:
    """Raw guesses made honest: `raw` and `corrected` are knots, `quantile` deviations make 90 %.

    `alone`: of estimates that were heard without the others of their mixtures, which a judge knows
    less about; None of a judge that never hears the others.
    """

    raw: Array
    corrected: Array
    quantile: float
    known: Known | None = None
    alone: Calibration | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What `judgements` says."""
        return ("si_snr", "lower", "upper", *(("outside",) if self.known is not None else ()))

    def correct(self, raw: Array) -> Array:
        """(n,) dB of (n,) raw dB."""
        inner = np.interp(raw, self.raw, self.corrected)
        beyond = np.minimum(raw - self.raw[0], 0) + np.maximum(raw - self.raw[-1], 0)
        return np.asarray(inner + beyond)

    def judgements(
        self, guesses: Guesses, alone: NDArray[np.bool_] | None = None
    ) -> dict[str, Array]:
        """si_snr, lower, upper and, where features are compared, outside; (n,) each. `alone`: which
        estimates, (n,), were heard without others; None for none.
        """
        found = self._judged(guesses)
        if alone is None or self.alone is None or not alone.any():
            return found
        without = self.alone._judged(guesses)
        return {name: np.where(alone, without[name], values) for name, values in found.items()}

    def _judged(self, guesses: Guesses) -> dict[str, Array]:
        middle = self.correct(guesses.si_snr)
        deviation = np.ones_like(middle) if guesses.deviation is None else guesses.deviation
        half = self.quantile * deviation
        found = {"si_snr": middle, "lower": middle - half, "upper": middle + half}
        if self.known is not None and guesses.features is not None:
            found["outside"] = self.known.outside(guesses.features)
        return found


def fit(guesses: Guesses, truth: Array, learnt: Array | None = None) -> Calibration:
    """Correction, quantile and known clips from guesses of held-out clips and their truth, (n,) dB.

    `learnt`: (m, features) of clips that the judge learnt from, which others are compared with;
    None of a judge that compares none. Needs scikit-learn.
    """
    from sklearn.isotonic import IsotonicRegression

    steps = IsotonicRegression(out_of_bounds="clip").fit_transform(guesses.si_snr, truth)
    order = np.argsort(guesses.si_snr, kind="stable")
    groups = np.array_split(order, max(1, min(KNOTS, len(order) // FEWEST)))
    means = np.array([[guesses.si_snr[group].mean(), steps[group].mean()] for group in groups])
    raw, corrected = means[np.concatenate([[True], np.diff(means[:, 0]) > TINY])].T
    middle = Calibration(raw, corrected, 1.0).correct(guesses.si_snr)
    deviation = np.ones_like(middle) if guesses.deviation is None else guesses.deviation
    quantile = _conformal(np.abs(truth - middle) / deviation)
    known = None
    if guesses.features is not None and learnt is not None:
        known = _known(learnt, guesses.features)
    return Calibration(raw, corrected, quantile, known)


def _conformal(scores: Array) -> float:
    """The score that a new one exceeds in a tenth of all cases at most, on average."""
    rank = min(int(np.ceil((len(scores) + 1) * LEVEL)), len(scores))
    return float(np.sort(scores)[rank - 1])


def _known(learnt: Array, held_out: Array) -> Known:
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0) + TINY
    _, sizes, axes = np.linalg.svd((learnt - mean) / deviation, full_matrices=False)
    shares = np.cumsum(sizes**2) / (sizes**2).sum()
    count = int(np.searchsorted(shares, KEPT)) + 1
    scale = sizes[:count] / np.sqrt(len(learnt)) + TINY
    whitening = axes[:count].T / scale / deviation[:, None]
    placed = (learnt - mean) @ whitening
    known = Known(placed.astype(np.float32).astype(np.float64), mean, whitening, 1.0)
    return replace(known, threshold=float(np.quantile(known.distance(held_out), ORDINARY)))


def some(rows: Sequence[T]) -> Sequence[T]:
    """Of rows that were learnt from as many, evenly, as others are compared with."""
    return rows[:: max(1, -(-len(rows) // MOST_KNOWN))]


# The card


def card(
    found: Mapping[str, Array],
    truth: Array,
    groups: Mapping[str, Sequence[str]],
    ends: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """What a calibrated judge's guesses turned out to be worth, as plain JSON values.

    Args:
        found: as `Calibration.judgements` has it.
        truth: (n,) dB.
        groups: by name (`separator`, `domain`), a value a clip.
        ends: of a network that cannot guess beyond, in corrected dB.
    """
    bins = [bin_of(value) for value in truth]
    return {
        **figures(found, truth, ends),
        "interval": LEVEL,
        **{
            f"by_{name}": _grouped(found, truth, np.asarray(values), ends)
            for name, values in groups.items()
        },
        "by_true_si_snr": _grouped(found, truth, np.asarray(bins), ends),
        "reliability": _reliability(found["si_snr"], truth),
    }


def bin_of(value: float) -> str:
    """The name of a true value's bin: of 5 dB from -5 to 20, and one to either side."""
    if value < LOWEST_DB:
        return f"below {LOWEST_DB:g}"
    if value >= HIGHEST_DB:
        return f"from {HIGHEST_DB:g}"
    low = LOWEST_DB + BIN_DB * np.floor((value - LOWEST_DB) / BIN_DB)
    return f"{low:g} to {low + BIN_DB:g}"


def figures(
    found: Mapping[str, Array], truth: Array, ends: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Agreement of guesses with the truth; a figure that cannot be had is None.

    pearson, spearman; mae_db; bias_db (guess less truth); truth_std_db; saturation, the share of
    guesses at an end of the range; coverage of the intervals; outside, the share of clips flagged.
    """
    guess = found["si_snr"]
    if not len(guess):
        return {"clips": 0}
    inside = (found["lower"] <= truth) & (truth <= found["upper"])
    low, high = ends or (-np.inf, np.inf)
    at_an_end = (guess <= low + AT_AN_END) | (guess >= high - AT_AN_END)
    return {
        "clips": len(guess),
        "pearson": _rounded(_correlation(guess, truth)),
        "spearman": _rounded(_correlation(_ranks(guess), _ranks(truth))),
        "mae_db": _rounded(float(np.abs(guess - truth).mean())),
        "bias_db": _rounded(float((guess - truth).mean())),
        "truth_std_db": _rounded(float(truth.std())),
        "saturation": _rounded(float(at_an_end.mean())),
        "coverage": _rounded(float(inside.mean())),
        "outside": (
            _rounded(float((found["outside"] >= 0.5).mean())) if "outside" in found else None
        ),
    }


def _grouped(
    found: Mapping[str, Array],
    truth: Array,
    values: NDArray[Any],
    ends: tuple[float, float] | None,
) -> dict[str, Any]:
    def of(value: Any) -> dict[str, Any]:
        chosen = values == value
        return figures({name: each[chosen] for name, each in found.items()}, truth[chosen], ends)

    return {str(value): of(value) for value in sorted(set(values.tolist()))}


def _reliability(guess: Array, truth: Array) -> list[dict[str, float]]:
    """Tenths of the guesses: their mean, the mean truth, and between what nine tenths of it lie."""
    order = np.array_split(np.argsort(guess, kind="stable"), min(10, max(len(guess), 1)))
    return [
        {
            "guess_db": round(float(guess[part].mean()), 3),
            "truth_db": round(float(truth[part].mean()), 3),
            "truth_low_db": round(float(np.quantile(truth[part], (1 - LEVEL) / 2)), 3),
            "truth_high_db": round(float(np.quantile(truth[part], (1 + LEVEL) / 2)), 3),
            "clips": len(part),
        }
        for part in order
        if len(part)
    ]


def _correlation(first: Array, second: Array) -> float | None:
    if len(first) < 2 or first.std() < TINY or second.std() < TINY:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: Array) -> Array:
    """Ranks, equals sharing their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places], dtype=np.float64)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


# At rest


def stored(calibration: Calibration) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A calibration as JSON values, and its arrays by name (none where nothing is compared)."""
    values: dict[str, Any] = {
        "raw_db": [round(float(value), 4) for value in calibration.raw],
        "corrected_db": [round(float(value), 4) for value in calibration.corrected],
        "quantile": round(calibration.quantile, 5),
    }
    arrays: dict[str, NDArray[Any]] = {}
    if calibration.known is not None:
        known = calibration.known
        values["threshold"] = round(known.threshold, 5)
        # Whitened features are of the order of 1: half precision is off by a thousandth of that.
        arrays = {
            "known": known.features.astype(np.float16),
            "mean": known.mean.astype(np.float32),
            "whitening": known.whitening.astype(np.float32),
        }
    if calibration.alone is not None:
        values[ALONE], more = stored(calibration.alone)
        arrays |= {f"{ALONE}.{name}": array for name, array in more.items()}
    return values, arrays


def read(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Calibration:
    """What `stored` gave, again."""
    known = None
    if "threshold" in values:
        exact = {n: np.asarray(arrays[n], np.float64) for n in ("known", "mean", "whitening")}
        known = Known(exact["known"], exact["mean"], exact["whitening"], float(values["threshold"]))
    raw, corrected = (np.array(values[name], float) for name in ("raw_db", "corrected_db"))
    alone = None
    if "raw_db" in values.get(ALONE, {}):
        own = {n.removeprefix(f"{ALONE}."): array for n, array in arrays.items() if ALONE in n}
        alone = read(values[ALONE], own)
    return Calibration(raw, corrected, float(values["quantile"]), known, alone)
