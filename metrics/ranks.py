"""Numbers that depend on order alone: Spearman's rho, average precision, equal error rate.

They cannot be had from sums, so the items themselves are kept: a row for every different
(cluster, group, x, y), with how often it occurred. Past 100,000 items the rows become a histogram:
x and y are rounded to a fixed number of significant bits, on a grid that depends on no data, and
equal rows are merged. So the outcome depends neither on the order nor on the sharding of the
items, and all three numbers are computed from rows with counts, exact or rounded.

What x and y mean: for "spearman" the truth and the estimate; for "map" and "eer" a label (1 is
relevant or same, 0 not) and the score, higher meaning likelier 1. Groups are classes or queries,
and the value is the unweighted mean over the groups that have one (for "map": a positive).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import columns

MOST_ITEMS = 100_000  # kept as they are; beyond, rounded
# Significant bits beyond that: steps of 0.2 % for scores against labels. Two rounded sides make
# more combinations, so theirs are 1.6 %.
BITS = {"spearman": 7, "map": 10, "eer": 10}

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Curve = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Ranks:
    """The items of one model on one dataset (or slice), for the rank-based number `kind`.

    `clusters` and `groups` are sorted ids; `table` `(rows, 3)` int64 holds a row's cluster, its
    group and its count, `points` `(rows, 2)` float64 its x and y, in one canonical order.
    `undefined` and `failed` count the other clips by reason. Adds with `+`, compares with `==`.
    """

    kind: str
    clusters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    table: Integers = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    points: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    undefined: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def zero(cls, kind: str) -> Ranks:
        """No items at all: the neutral element of `+`; its value is None."""
        return cls(kind)

    @classmethod
    def from_arrays(
        cls,
        kind: str,
        clusters: Sequence[str],
        x: ArrayLike,
        y: ArrayLike,
        *,
        groups: Sequence[str] | None = None,
        ends: Sequence[str] | None = None,
        reasons: Sequence[str | None] | None = None,
    ) -> Ranks:
        """The items of columns with a row each; `ends` and `reasons` as in `Tally.from_arrays`.

        ValueError for an unknown kind, unequal lengths, scored numbers that are not finite, or
        labels other than 0 and 1.
        """
        rows = columns.rows(clusters, ends=ends, reasons=reasons, x=x, y=y)
        points = np.stack([columns.finite(x, rows.scored), columns.finite(y, rows.scored)], axis=1)
        named = ["all"] * len(clusters) if groups is None else groups
        columns.check_lengths(len(clusters), groups=np.asarray(named))
        kept = [name for name, one in zip(named, rows.scored.tolist(), strict=True) if one]
        ids, places = columns.layout(kept)
        table = np.stack([rows.places, places, np.ones(len(kept), np.int64)], axis=1)
        return _canonical(cls(kind, rows.clusters, ids, table, points, rows.undefined, rows.failed))

    def __post_init__(self) -> None:
        if self.kind not in BITS:
            raise ValueError(f"kind: expected one of {', '.join(BITS)}, found {self.kind!r}")
        if self.kind != "spearman" and not np.isin(self.points[:, 0], (0.0, 1.0)).all():
            raise ValueError(f"{self.kind}: expected labels 0 or 1, found others")
        self.table.flags.writeable = False
        self.points.flags.writeable = False

    def __add__(self, other: Ranks) -> Ranks:
        if not isinstance(other, Ranks):
            return NotImplemented
        if self.kind != other.kind:
            raise ValueError(f"expected ranks of one kind, found {self.kind} and {other.kind}")
        clusters, groups = (
            tuple(sorted({*self.clusters, *other.clusters})),
            tuple(sorted({*self.groups, *other.groups})),
        )
        return _canonical(
            Ranks(
                self.kind,
                clusters,
                groups,
                np.concatenate([_moved(part, clusters, groups) for part in (self, other)]),
                np.concatenate([self.points, other.points]),
                columns.added(self.undefined, other.undefined),
                columns.added(self.failed, other.failed),
            )
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranks):
            return NotImplemented
        plain = ("kind", "clusters", "groups", "undefined", "failed")
        return (
            all(getattr(self, name) == getattr(other, name) for name in plain)
            and np.array_equal(self.table, other.table)
            and np.array_equal(self.points, other.points)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def scored(self) -> int:
        """How many items there are."""
        return int(self.table[:, 2].sum())

    @property
    def exact(self) -> bool:
        """Whether the items are still as they came: up to 100,000 of them."""
        return self.scored <= MOST_ITEMS

    @property
    def value(self) -> float | None:
        """The number that `kind` names; None where it is not defined (nothing to put in order)."""
        found = float(self.under(np.ones((1, len(self.clusters)), np.int64))[0])
        return None if np.isnan(found) else found

    def under(self, weights: NDArray[np.integer]) -> Floats:
        """The number under each row of `weights (replicates, clusters)`; NaN where undefined."""
        parts = []
        for group in range(len(self.groups)):
            rows = self.table[:, 1] == group
            evaluate = _STATISTICS[self.kind](*self.points[rows].T)
            cluster, count = self.table[rows, 0], self.table[rows, 2]
            parts.append([evaluate(row[cluster] * count) for row in weights.astype(np.int64)])
        return _mean_of_known(np.array(parts, dtype=np.float64).reshape(-1, len(weights)))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rho of two columns, -1 to 1, ties sharing their mean rank; NaN if one is flat."""
    return _spearman(np.asarray(x, float), np.asarray(y, float))(np.ones(len(np.asarray(x))))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Sum of (recall step) x precision over the distinct scores, 0 to 1; NaN without a positive."""
    return _average_precision(np.asarray(labels, float), np.asarray(scores, float))(
        np.ones(len(np.asarray(labels)))
    )


def equal_error_rate(labels: ArrayLike, scores: ArrayLike) -> float:
    """Where misses and false alarms are equally frequent, 0 to 1, between thresholds on a line.

    NaN without both labels.
    """
    return _equal_error_rate(np.asarray(labels, float), np.asarray(scores, float))(
        np.ones(len(np.asarray(labels)))
    )


Evaluate = Callable[[NDArray], float]


def _spearman(x: Floats, y: Floats) -> Evaluate:
    places = [np.unique(side, return_inverse=True)[1] for side in (x, y)]

    def evaluate(weight: NDArray) -> float:
        total = weight.sum()
        a, b = (_middle_ranks(place, weight) - total / 2 for place in places)
        spread = (weight * a * a).sum() * (weight * b * b).sum()
        return float((weight * a * b).sum() / spread**0.5) if spread > 0 else np.nan

    return evaluate


def _middle_ranks(places: NDArray[np.intp], weight: NDArray) -> Floats:
    """The mean rank of each row's value; less half of all weight, the ranks' mean is 0."""
    masses = np.bincount(places, weights=weight)
    middles: Floats = np.cumsum(masses) - masses / 2
    return np.asarray(middles[places])


def _average_precision(labels: Floats, scores: Floats) -> Evaluate:
    counts = _curve(labels, scores)

    def evaluate(weight: NDArray) -> float:
        right, wrong = counts(weight)
        if not right[-1]:
            return np.nan
        taken = right + wrong
        precision = np.divide(right, taken, out=np.zeros_like(right), where=taken > 0)
        return float((np.diff(right) * precision[1:]).sum() / right[-1])

    return evaluate


def _equal_error_rate(labels: Floats, scores: Floats) -> Evaluate:
    counts = _curve(labels, scores)

    def evaluate(weight: NDArray) -> float:
        right, wrong = counts(weight)
        if not right[-1] or not wrong[-1]:
            return np.nan
        miss, alarm = 1 - right / right[-1], wrong / wrong[-1]
        after = int(np.argmax(alarm >= miss))  # true at the end at the latest: 1 >= 0
        before = after - 1  # never the start: 0 < 1
        fall, rise = miss[before] - miss[after], alarm[after] - alarm[before]
        share = (miss[before] - alarm[before]) / (fall + rise)
        return float(alarm[before] + share * rise)

    return evaluate


def _curve(labels: Floats, scores: Floats) -> Callable[[NDArray], Curve]:
    """Positives and negatives at or above each threshold, highest first, from (0, 0) on."""
    values, places = np.unique(-scores, return_inverse=True)

    def counts(weight: NDArray) -> Curve:
        sides = (weight * labels, weight * (1 - labels))
        sums = [np.cumsum(np.bincount(places, weights=w, minlength=len(values))) for w in sides]
        right, wrong = (np.concatenate([[0.0], column]) for column in sums)
        return right, wrong

    return counts


_STATISTICS: dict[str, Callable[[Floats, Floats], Evaluate]] = {
    "spearman": _spearman,
    "map": _average_precision,
    "eer": _equal_error_rate,
}


def _mean_of_known(parts: Floats) -> Floats:
    """The mean over groups `(groups, replicates)` that are not NaN; NaN over none."""
    known = ~np.isnan(parts)
    sums, counts = np.where(known, parts, 0.0).sum(axis=0), known.sum(axis=0)
    answer = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=answer, where=counts > 0)
    return answer


def _moved(part: Ranks, clusters: tuple[str, ...], groups: tuple[str, ...]) -> Integers:
    """The table of `part` with its places in longer lists of clusters and groups."""
    table = part.table.copy()
    for column, (mine, all_) in enumerate([(part.clusters, clusters), (part.groups, groups)]):
        place = {name: index for index, name in enumerate(all_)}
        new = np.array([place[name] for name in mine], np.int64)
        table[:, column] = new[table[:, column]] if len(new) else table[:, column]
    return table


def _canonical(ranks: Ranks) -> Ranks:
    """Rounded if there are too many items, equal rows merged, in order."""
    points = ranks.points if ranks.exact else _rounded(ranks.points, BITS[ranks.kind])
    points = points + 0.0  # -0 becomes 0
    cluster, group, count = ranks.table.T
    order = np.lexsort((points[:, 1], points[:, 0], group, cluster))
    keys = np.column_stack([cluster, group])[order]
    points = points[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(keys, axis=0) != 0).any(axis=1) | (np.diff(points, axis=0) != 0).any(axis=1)
    counts = np.bincount(np.cumsum(new) - 1, weights=count[order]).astype(np.int64)
    table = np.column_stack([keys[new], counts]).astype(np.int64)
    return Ranks(
        ranks.kind,
        ranks.clusters,
        ranks.groups,
        table,
        points[new],
        ranks.undefined,
        ranks.failed,
    )


def _rounded(values: Floats, bits: int) -> Floats:
    """To `bits` significant bits; doing it twice changes nothing."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits))
