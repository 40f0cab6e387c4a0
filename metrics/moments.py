"""How estimated numbers relate to true ones, as sums that add in any order, exactly.

For estimates y of truths x: Pearson's correlation, bias (the mean of y - x), mean absolute and root
mean square error. Both become integers in units of 2^-24; their sums, and those of their products
(units of 2^-48), are whole numbers of any size, so neither order nor sharding changes a bit and no
digit is lost to cancellation. Each is kept per cluster, for intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import columns
from metrics.tally import LIMIT, UNITS, Tally, round_to_units

Floats = NDArray[np.float64]


class Sums(NamedTuple):
    """The sums of one cluster, as whole numbers: x, y in units of 2^-24, products of 2^-48."""

    clips: int = 0
    x: int = 0
    y: int = 0
    xx: int = 0
    yy: int = 0
    xy: int = 0
    apart: int = 0  # sum of |y - x|, units of 2^-24

    def plus(self, other: Sums) -> Sums:
        """Both, added up."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Moments:
    """The clips of one model on one dataset (or slice): truths and estimates, summed.

    `sums[i]` belongs to the cluster `clusters[i]`; the ids are sorted and each has a scored clip.
    `undefined` and `failed` count the other clips by reason. Moments add with `+` and compare with
    `==`. `value` is Pearson's correlation.
    """

    clusters: tuple[str, ...] = ()
    sums: tuple[Sums, ...] = ()
    undefined: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def zero(cls) -> Moments:
        """No clips at all: the neutral element of `+`; its value is None."""
        return cls()

    @classmethod
    def from_arrays(
        cls,
        clusters: Sequence[str],
        truths: ArrayLike,
        estimates: ArrayLike,
        *,
        ends: Sequence[str] | None = None,
        reasons: Sequence[str | None] | None = None,
    ) -> Moments:
        """The moments of columns with a row a clip; `ends` and `reasons` as in `Tally.from_arrays`.

        ValueError for columns of unequal length or scored numbers that are not finite,
        OverflowError where one column's sum to 1.7e10 or more.
        """
        rows = columns.rows(
            clusters, ends=ends, reasons=reasons, truths=truths, estimates=estimates
        )
        pairs = zip(
            rows.places.tolist(),
            round_to_units(columns.finite(truths, rows.scored)).tolist(),
            round_to_units(columns.finite(estimates, rows.scored)).tolist(),
            strict=True,
        )
        grouped: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for place, x, y in pairs:
            grouped[place].append((x, y))
        sums = tuple(_sums(grouped[place]) for place in range(len(rows.clusters)))
        return cls(rows.clusters, sums, rows.undefined, rows.failed)

    def __add__(self, other: Moments) -> Moments:
        if not isinstance(other, Moments):
            return NotImplemented
        merged = dict(zip(self.clusters, self.sums, strict=True))
        for cluster, sums in zip(other.clusters, other.sums, strict=True):
            merged[cluster] = merged.get(cluster, Sums()).plus(sums)
        ids = tuple(sorted(merged))
        return Moments(
            ids,
            tuple(merged[name] for name in ids),
            columns.added(self.undefined, other.undefined),
            columns.added(self.failed, other.failed),
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def total(self) -> Sums:
        """The sums over all clusters."""
        return Sums(*map(sum, zip(*self.sums, strict=True))) if self.sums else Sums()

    @property
    def scored(self) -> int:
        """How many clips were scored."""
        return self.total.clips

    @property
    def value(self) -> float | None:
        """Pearson's correlation, -1 to 1; None under 2 clips or where either side never varies."""
        n, x, y, xx, yy, xy, _ = self.total
        spread_x, spread_y, together = n * xx - x * x, n * yy - y * y, n * xy - x * y
        if not spread_x or not spread_y:
            return None
        # Whole numbers, so the quotient is rounded once and cannot pass 1 but by that rounding.
        square = min(float(Fraction(together * together, spread_x * spread_y)), 1.0)
        return float(square**0.5) if together >= 0 else -float(square**0.5)

    @property
    def bias(self) -> float | None:
        """The mean of estimate - truth: positive where the model flatters; None without clips."""
        total = self.total
        return (total.y - total.x) / (total.clips * UNITS) if total.clips else None

    @property
    def mae(self) -> float | None:
        """The mean absolute error; None without clips."""
        total = self.total
        return total.apart / (total.clips * UNITS) if total.clips else None

    @property
    def rmse(self) -> float | None:
        """The root of the mean squared error; None without clips."""
        total = self.total
        squares = total.xx + total.yy - 2 * total.xy
        return float((squares / (total.clips * UNITS**2)) ** 0.5) if total.clips else None

    def errors(self) -> Tally:
        """The tally whose value is `bias`, so that it has intervals and comparisons."""
        return self._tally([sums.y - sums.x for sums in self.sums])

    def absolute_errors(self) -> Tally:
        """The tally whose value is `mae`."""
        return self._tally([sums.apart for sums in self.sums])

    def under(self, weights: NDArray[np.integer]) -> Floats:
        """Pearson's correlation under each row of `weights (replicates, clusters)`; NaN for None.

        Every sum is taken about the mean of all clips first (exactly), so floats suffice after.
        """
        n, x, y, xx, yy, xy = (weights @ column for column in self._centred().T)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt((n * xx - x * x).clip(0)) * np.sqrt((n * yy - y * y).clip(0))
            return np.where(spread > 0, np.clip((n * xy - x * y) / spread, -1, 1), np.nan)

    def _centred(self) -> Floats:
        """(clusters, 6) float64: clips and the sums of x, y, xx, yy, xy less the overall means."""
        total = self.total
        a, b = total.x // max(total.clips, 1), total.y // max(total.clips, 1)
        table = [
            (
                s.clips,
                s.x - s.clips * a,
                s.y - s.clips * b,
                s.xx - 2 * a * s.x + s.clips * a * a,
                s.yy - 2 * b * s.y + s.clips * b * b,
                s.xy - a * s.y - b * s.x + s.clips * a * b,
            )
            for s in self.sums
        ]
        return np.array(table, dtype=np.float64).reshape(-1, 6)

    def _tally(self, numerators: list[int]) -> Tally:
        clips = np.array([sums.clips for sums in self.sums], np.int64)
        return Tally(
            self.clusters,
            np.array(_within_limit(numerators), np.int64),
            clips * UNITS,
            clips,
            self.undefined,
            self.failed,
        )


def _sums(pairs: list[tuple[int, int]]) -> Sums:
    return Sums(
        len(pairs),
        sum(x for x, _ in pairs),
        sum(y for _, y in pairs),
        sum(x * x for x, _ in pairs),
        sum(y * y for _, y in pairs),
        sum(x * y for x, y in pairs),
        sum(abs(y - x) for x, y in pairs),
    )


def _within_limit(units: list[int]) -> list[int]:
    total = sum(map(abs, units))
    if total >= LIMIT:
        raise OverflowError(
            f"expected errors that sum to less than {LIMIT / UNITS:.3g}, "
            f"found {total / UNITS:.3g}; use a larger unit"
        )
    return units
