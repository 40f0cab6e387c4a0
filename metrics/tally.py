"""Sums that add in any order, exactly: what a score is until somebody asks for its value.

Per-clip values become integers in units of 2^-24 (6e-8 of a dB or a word) and are summed per
cluster, so a tally does not depend on sharding, order or workers, and counts are exact: 3 errors in
7 words are exactly 3/7. Clusters (speakers or sessions) are what intervals resample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, FailedPrediction, UndefinedMetric

UNITS = 1 << 24  # integers in a whole
ENDS = ("scored", "undefined", "failed")
_LIMIT = (
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
        undefined = Counter(end.reason for _, end in pairs if isinstance(end, UndefinedMetric))
        failed = Counter(end.reason for _, end in pairs if isinstance(end, FailedPrediction))
        return tally + cls(undefined=_sorted(undefined), failed=_sorted(failed))

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
        rows = len(clusters)
        ends_column = np.full(rows, "scored") if ends is None else np.asarray(ends)
        _check_columns(rows, ends=ends_column, numerators=numerators, denominators=denominators)
        scored = ends_column == "scored"
        ids, places = _places(
            [cluster for cluster, kept in zip(clusters, scored.tolist(), strict=True) if kept]
        )
        flags = np.zeros(rows, bool) if capped is None else np.asarray(capped, dtype=bool)
        return cls(
            clusters=ids,
            numerators=_sums(_units(numerators, scored), places, len(ids)),
            denominators=_sums(_units(denominators, scored), places, len(ids)),
            clips=np.bincount(places, minlength=len(ids)).astype(np.int64),
            undefined=_count_reasons(ends_column, reasons, "undefined"),
            failed=_count_reasons(ends_column, reasons, "failed"),
            capped=int(np.count_nonzero(flags & scored)),
        )

    def __post_init__(self) -> None:
        for column in (self.numerators, self.denominators, self.clips):
            column.flags.writeable = False

    def __add__(self, other: Tally) -> Tally:
        if not isinstance(other, Tally):
            return NotImplemented
        ids, places = _places([*self.clusters, *other.clusters])

        def merged(mine: Integers, theirs: Integers) -> Integers:
            return _sums(np.concatenate([mine, theirs]), places, len(ids))

        return Tally(
            clusters=ids,
            numerators=merged(self.numerators, other.numerators),
            denominators=merged(self.denominators, other.denominators),
            clips=merged(self.clips, other.clips),
            undefined=_sorted(Counter(self.undefined) + Counter(other.undefined)),
            failed=_sorted(Counter(self.failed) + Counter(other.failed)),
            capped=self.capped + other.capped,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        columns = ("numerators", "denominators", "clips")
        plain = ("clusters", "undefined", "failed", "capped")
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in columns
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


def _places(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The sorted unique names, and for each name its place among them."""
    # A dictionary: numpy.unique sorts Python strings, which takes several times as long.
    unique = set(names)
    if not all(isinstance(name, str) and name for name in unique):
        raise ValueError("clusters: expected an id for every scored clip, found rows without one")
    ids = tuple(sorted(map(str, unique)))
    index = {name: place for place, name in enumerate(ids)}
    return ids, np.fromiter((index[name] for name in names), np.intp, len(names))


def _units(values: ArrayLike, scored: NDArray[np.bool_]) -> Integers:
    """The scored values as integers of 2^-24, rounded half to even."""
    kept = np.asarray(values, dtype=np.float64)[scored]
    if not np.isfinite(kept).all():
        raise ValueError(
            "expected finite numbers in scored rows, found NaN or infinity; such clips are failed"
        )
    _check_size(np.abs(kept).sum() * UNITS)
    return np.rint(kept * UNITS).astype(np.int64)


def _sums(units: Integers, places: NDArray[np.intp], size: int) -> Integers:
    _check_size(np.abs(units.astype(np.float64)).sum())
    sums = np.zeros(size, np.int64)
    np.add.at(sums, places, units)
    return sums


def _check_size(units: float) -> None:
    if units >= _LIMIT:
        most = _LIMIT / UNITS
        raise OverflowError(
            f"expected values that sum to less than {most:.3g}, found {units / UNITS:.3g}; "
            "use a larger unit"
        )


def _check_columns(rows: int, *, ends: NDArray[np.str_], **columns: ArrayLike) -> None:
    lengths = {name: len(np.asarray(column)) for name, column in {"ends": ends, **columns}.items()}
    if set(lengths.values()) != {rows}:
        raise ValueError(f"expected columns of {rows} rows like clusters, found {lengths}")
    unknown = set(ends.tolist()) - set(ENDS)
    if unknown:
        raise ValueError(
            f"ends: expected {', '.join(ENDS)}, found {', '.join(sorted(map(repr, unknown)))}"
        )


def _count_reasons(
    ends: NDArray[np.str_], reasons: Sequence[str | None] | None, end: str
) -> dict[str, int]:
    rows = np.flatnonzero(ends == end).tolist()
    if rows and reasons is None:
        raise ValueError(f"expected a column of reasons, because {len(rows)} rows are {end}")
    counts = Counter(reasons[row] for row in rows) if reasons is not None else Counter()
    if None in counts or "" in counts:
        raise ValueError(f"expected a reason for every {end} clip, found rows without one")
    return _sorted(counts)


def _sorted(counts: Mapping[str | None, int] | Mapping[str, int]) -> dict[str, int]:
    return {str(reason): counts[reason] for reason in sorted(counts, key=str)}  # type: ignore[index]
