"""Sums that add in any order, exactly: what a score is until somebody asks for its value.

Per-clip values become integers in units of 2^-24 (6e-8 of a dB or a word) and are summed per
cluster, so a tally does not depend on sharding, order or workers, and counts are exact: 3 errors in
7 words are exactly 3/7. Clusters (speakers or sessions) are what intervals resample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import columns
from metrics.base import ClipScore, FailedPrediction, UndefinedMetric

UNITS = 1 << 24  # integers in a whole
ENDS = columns.ENDS
LIMIT = (
    2.0**58
)  # sums stay below this, so that sums of up to 20 times as much (bootstrap weights) fit int64

Integers = NDArray[np.int64]
End = ClipScore | UndefinedMetric | FailedPrediction


@dataclass(frozen=True, eq=False)
class Tally:
    """The clips of one model on one dataset (or slice), summed.

    `clusters` are the sorted ids that have a scored clip; `numerators`, `denominators` (int64,
    units of 2^-24) and `clips` (int64) hold a sum for each. `undefined` and `failed` count clips by
    reason; `capped` counts scored clips whose value was cut. Tallies add with `+` and compare with
    `==`.
    """

    clusters: tuple[str, ...] = ()
    numerators: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    denominators: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    clips: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    undefined: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    capped: int = 0

    @classmethod
    def zero(cls) -> Tally:
        """No clips at all: the neutral element of `+`; its value is None."""
        return cls()

    @classmethod
    def of(cls, ends: Iterable[tuple[str, End]]) -> Tally:
        """The tally of (cluster id, end) pairs; an end is a ClipScore or one of the exceptions."""
        pairs = list(ends)
        scores = [(cluster, end) for cluster, end in pairs if isinstance(end, ClipScore)]
        tally = cls.from_arrays(
            [cluster for cluster, _ in scores],
            [score.numerator for _, score in scores],
            [score.denominator for _, score in scores],
            capped=[score.capped for _, score in scores],
        )
        undefined = [end.reason for _, end in pairs if isinstance(end, UndefinedMetric)]
        failed = [end.reason for _, end in pairs if isinstance(end, FailedPrediction)]
        return tally + cls(undefined=columns.counted(undefined), failed=columns.counted(failed))

    @classmethod
    def from_arrays(
        cls,
        clusters: Sequence[str],
        numerators: ArrayLike,
        denominators: ArrayLike,
        *,
        ends: Sequence[str] | None = None,
        reasons: Sequence[str | None] | None = None,
        capped: ArrayLike | None = None,
    ) -> Tally:
        """The tally of columns with a row a clip.

        Without `ends` every row is scored. With it ("scored", "undefined", "failed"), the rows of
        the two last kinds are counted by `reasons` and their numbers, which may be NaN, are not
        read. ValueError for columns of unequal length, an unknown end, or a number that is not
        finite; OverflowError where sums could leave int64 under bootstrap weights (from 2^34, about
        1.7e10).
        """
        rows = columns.rows(
            clusters, ends=ends, reasons=reasons, numerators=numerators, denominators=denominators
        )
        size = len(rows.clusters)
        flags = np.zeros(len(clusters), bool) if capped is None else np.asarray(capped, dtype=bool)
        return cls(
            clusters=rows.clusters,
            numerators=_sums(_units(numerators, rows.scored), rows.places, size),
            denominators=_sums(_units(denominators, rows.scored), rows.places, size),
            clips=np.bincount(rows.places, minlength=size).astype(np.int64),
            undefined=rows.undefined,
            failed=rows.failed,
            capped=int(np.count_nonzero(flags & rows.scored)),
        )

    def __post_init__(self) -> None:
        for column in (self.numerators, self.denominators, self.clips):
            column.flags.writeable = False

    def __add__(self, other: Tally) -> Tally:
        if not isinstance(other, Tally):
            return NotImplemented
        ids, places = columns.layout([*self.clusters, *other.clusters])

        def merged(mine: Integers, theirs: Integers) -> Integers:
            return _sums(np.concatenate([mine, theirs]), places, len(ids))

        return Tally(
            clusters=ids,
            numerators=merged(self.numerators, other.numerators),
            denominators=merged(self.denominators, other.denominators),
            clips=merged(self.clips, other.clips),
            undefined=columns.added(self.undefined, other.undefined),
            failed=columns.added(self.failed, other.failed),
            capped=self.capped + other.capped,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        arrays = ("numerators", "denominators", "clips")
        plain = ("clusters", "undefined", "failed", "capped")
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in arrays
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def value(self) -> float | None:
        """Numerators over denominators, correctly rounded; None over nothing, or 0 words."""
        below = sum(self.denominators.tolist())
        return sum(self.numerators.tolist()) / below if below else None

    @property
    def scored(self) -> int:
        """How many clips were scored."""
        return int(self.clips.sum())

    @property
    def n_undefined(self) -> int:
        """How many clips could not be scored because of their input."""
        return sum(self.undefined.values())

    @property
    def n_failed(self) -> int:
        """How many clips the model failed on."""
        return sum(self.failed.values())

    @property
    def total(self) -> int:
        """Every clip, whatever its end."""
        return self.scored + self.n_undefined + self.n_failed


def common(keys_a: ArrayLike, keys_b: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers of the keys that stand in both columns, in the same (key) order on both sides.

    For differences of two models: take each one's *scored* rows at these numbers. ValueError where
    a key stands twice in one column.
    """
    a, b = np.asarray(keys_a), np.asarray(keys_b)
    for name, column in (("first", a), ("second", b)):
        if len(np.unique(column)) != len(column):
            raise ValueError(f"expected every key once, found repeated ones in the {name} column")
    _, rows_a, rows_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    return rows_a, rows_b


def round_to_units(values: NDArray[np.float64]) -> Integers:
    """Finite numbers as integers of 2^-24, half to even; OverflowError where they sum too high."""
    _check_size(np.abs(values).sum() * UNITS)
    return np.rint(values * UNITS).astype(np.int64)


def _units(values: ArrayLike, scored: NDArray[np.bool_]) -> Integers:
    return round_to_units(columns.finite(values, scored))


def _sums(units: Integers, places: NDArray[np.intp], size: int) -> Integers:
    _check_size(np.abs(units.astype(np.float64)).sum())
    sums = np.zeros(size, np.int64)
    np.add.at(sums, places, units)
    return sums


def _check_size(units: float) -> None:
    if units >= LIMIT:
        most = LIMIT / UNITS
        raise OverflowError(
            f"expected values that sum to less than {most:.3g}, found {units / UNITS:.3g}; "
            "use a larger unit"
        )
