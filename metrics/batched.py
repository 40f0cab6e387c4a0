"""`metrics.intervals` for many cells at once: all models, pairs of models or slices of a board.

The same values, and the same intervals to rounding, as `intervals.combine` of each cell; what is
looped over there, a cell at a time, are here the rows of matrices. A cell is a sum of coefficient
times ratio over layers, one for each dataset (two where models or sides are compared).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.intervals import (
    BOOTSTRAP_CLUSTERS,
    FEWEST_CLUSTERS,
    LEVEL,
    REPLICATES,
    Estimate,
    Interval,
    weights,
)

BLOCK = 1024  # cells resampled at a time: 8 MB a matrix of 1,000 replicates
_EXACT_FLOATS = 2.0**53

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Sums:
    """Many tallies over one dataset's clips: a row a tally, a column a cluster.

    `numerators`, `denominators` (int64, units of 2^-24) and `clips` (int64) are
    `(tallies, clusters)`; a cluster without a scored clip holds 0 in all three.
    """

    clusters: tuple[str, ...]
    numerators: Integers
    denominators: Integers
    clips: Integers

    def take(self, rows: Places) -> Sums:
        """These tallies, in this order."""
        return Sums(self.clusters, self.numerators[rows], self.denominators[rows], self.clips[rows])

    @property
    def values(self) -> Floats:
        """Each tally's value `(tallies,)`, correctly rounded; NaN over denominator 0."""
        above, below = self.numerators.sum(axis=1), self.denominators.sum(axis=1)
        if max(np.abs(above).max(initial=0), np.abs(below).max(initial=0)) >= _EXACT_FLOATS:
            both = zip(above.tolist(), below.tolist(), strict=True)
            return np.array([a / b if b else np.nan for a, b in both], np.float64)
        return _divided(above, below)

    @property
    def present(self) -> Flags:
        """Which clusters have a scored clip `(tallies, clusters)`."""
        return np.asarray(self.clips > 0)


@dataclass(frozen=True, eq=False)
class Layer:
    """One dataset's part in every cell: `coefficients` times the values of `sums`' `rows`.

    All three have an entry a cell; a coefficient of 0 leaves the dataset out of that cell. Layers
    of one `salt` are resampled together where their cluster ids agree.
    """

    coefficients: Floats
    sums: Sums
    rows: Places
    salt: str = ""

    def part(self, cells: slice) -> Layer:
        """The same of some cells, with only the tallies that they need."""
        needed, rows = np.unique(self.rows[cells], return_inverse=True)
        return Layer(self.coefficients[cells], self.sums.take(needed), rows, self.salt)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Values and intervals, an entry a cell: NaN where `Estimate` has None.

    `bootstrap` tells replicates from t; `clusters` counts those that a cell stands on.
    """

    values: Floats
    low: Floats
    high: Floats
    bootstrap: Flags
    clusters: Integers

    @classmethod
    def joined(cls, parts: Sequence[Estimates]) -> Estimates:
        """The cells of all parts, one after the other."""
        if not parts:
            none = np.zeros(0)
            return cls(none, none, none, none.astype(bool), none.astype(np.int64))
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Estimate]:
        columns = (self.values, self.low, self.high, self.bootstrap, self.clusters)
        for value, low, high, drawn, count in zip(*(c.tolist() for c in columns), strict=True):
            spread = Interval(low, high, "bootstrap" if drawn else "t", count)
            yield Estimate(None if np.isnan(value) else value, None if np.isnan(low) else spread)

    @property
    def hold_zero(self) -> Flags:
        """Where the interval holds 0; False without one."""
        return np.asarray((self.low <= 0.0) & (self.high >= 0.0))


def combine(
    layers: Sequence[Layer], *, replicates: int = REPLICATES, level: float = LEVEL
) -> Estimates:
    """Every cell's value and interval at `level`; a cell of no layer has neither.

    As `intervals.combine` of the cell's terms in the order of the layers: no value unless all its
    layers have one, no interval where one has under 3 clusters, a t interval under 6.
    """
    cells = len(layers[0].rows) if layers else 0
    drawn = [weights(layer.sums.clusters, replicates, salt=layer.salt) for layer in layers]
    # Matrices this small take longer on several threads, and hundredfold on a busy machine.
    with _blas().limit(limits=1):
        return Estimates.joined(
            [_combined([layer.part(b) for layer in layers], drawn, level) for b in _blocks(cells)]
        )


@cache
def _blas() -> Any:
    """What sets the threads of numpy's BLAS: found once, 1.5 ms, for the many boxes of a board."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _blocks(cells: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, cells, BLOCK)]


def _combined(layers: Sequence[Layer], drawn: Sequence[NDArray[Any]], level: float) -> Estimates:
    values, fewest = _values(layers), _fewest(layers)
    known = ~np.isnan(values) & (fewest >= FEWEST_CLUSTERS)
    resampled = known & (fewest >= BOOTSTRAP_CLUSTERS)
    variance, inflation, freedom, clusters = _linearised(layers)
    quantile = _t_quantile(freedom, level)
    margin = np.where(known, quantile * np.sqrt(variance), np.nan)
    low, high = values - margin, values + margin
    cells = np.flatnonzero(resampled)
    if len(cells):
        chosen = [_of(layer, cells) for layer in layers]
        tail = _normal_probability(-quantile[cells] * np.sqrt(inflation[cells]))
        found = np.sort(_replicates(chosen, drawn), axis=1)
        low[cells], high[cells] = _quantiles(found, tail), _quantiles(found, 1 - tail)
    return Estimates(values, low, high, resampled, clusters)


def _of(layer: Layer, cells: Places) -> Layer:
    return Layer(layer.coefficients[cells], layer.sums, layer.rows[cells], layer.salt)


def _values(layers: Sequence[Layer]) -> Floats:
    total, taking_part = np.zeros(len(layers[0].rows)), np.zeros(len(layers[0].rows), bool)
    for layer in layers:
        active = layer.coefficients != 0.0
        total[active] += (layer.coefficients * layer.sums.values[layer.rows])[active]
        taking_part |= active
    return np.where(taking_part, total, np.nan)


def _fewest(layers: Sequence[Layer]) -> Integers:
    """The fewest clusters of any dataset that takes part in a cell."""
    fewest = np.full(len(layers[0].rows), np.iinfo(np.int64).max)
    for layer in layers:
        counts = layer.sums.present.sum(axis=1)[layer.rows]
        fewest = np.where(layer.coefficients != 0.0, np.minimum(fewest, counts), fewest)
    return fewest


def _replicates(layers: Sequence[Layer], drawn: Sequence[NDArray[Any]]) -> Floats:
    """Each cell under each replicate's weights `(cells, replicates)`; NaN over denominator 0."""
    total = np.zeros((len(layers[0].rows), len(drawn[0])))
    for layer, weight in zip(layers, drawn, strict=True):
        sums = layer.sums
        ratios = _divided(_product(sums.numerators, weight), _product(sums.denominators, weight))
        active = np.flatnonzero(layer.coefficients)
        added = layer.coefficients[active, None] * ratios[layer.rows[active]]
        if len(active) == len(total):
            total += added
        else:
            total[active] += added
    return total


def _product(sums: Integers, drawn: NDArray[Any]) -> NDArray[Any]:
    """`sums @ drawn.T` exactly: in float64 where every sum stays within 53 bits, else in int64."""
    largest = np.abs(sums.astype(np.float64)).sum(axis=1).max(initial=0.0)
    kind = np.float64 if largest * drawn.max(initial=0) < _EXACT_FLOATS else np.int64
    return np.asarray(sums.astype(kind) @ drawn.T.astype(kind))


def _divided(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    answer = np.full(above.shape, np.nan)
    np.divide(above, below, out=answer, where=below != 0)
    return answer


def _quantiles(ordered: Floats, shares: Floats) -> Floats:
    """Each row's quantile at its own share, between values on a line; NaN, which lie last, are out.

    In numpy.quantile's own arithmetic.
    """
    last = ordered.shape[1] - np.isnan(ordered).sum(axis=1) - 1
    place = last * shares
    below = np.floor(place).astype(np.intp)
    above, row = np.minimum(below + 1, last), np.arange(len(ordered))
    low, high, along = ordered[row, below], ordered[row, above], place - below
    step = high - low
    return np.asarray(np.where(along >= 0.5, high - step * (1 - along), low + step * along))


def _linearised(layers: Sequence[Layer]) -> tuple[Floats, Floats, Floats, Integers]:
    """(variance, its ratio to the bootstrap's, degrees of freedom, clusters), an entry a cell."""
    columns, width = _columns(layers)
    cells = len(layers[0].rows)
    biased, unbiased = np.zeros((cells, width)), np.zeros((cells, width))
    seen = np.zeros((cells, width), bool)
    for layer, column in zip(layers, columns, strict=True):
        z, scale = _contributions(layer)
        biased[:, column] += z
        unbiased[:, column] += z * scale[:, None]
        seen[:, column] |= _active(layer)
    plain = (biased * biased).sum(axis=1)
    variance, freedom, lowest = _freedom(layers, columns, unbiased)
    flat = (variance == 0.0) | (plain == 0.0)
    inflation = np.divide(variance, plain, out=np.ones(cells), where=~flat)
    clusters = seen.sum(axis=1).astype(np.int64)
    return np.where(flat, 0.0, variance), inflation, np.where(flat, lowest, freedom), clusters


def _columns(layers: Sequence[Layer]) -> tuple[list[Places], int]:
    """Where each layer's clusters stand among all: one place for each salt and id."""
    place: dict[tuple[str, str], int] = {}
    columns = [
        np.array([place.setdefault((layer.salt, c), len(place)) for c in layer.sums.clusters])
        for layer in layers
    ]
    return [column.astype(np.intp) for column in columns], len(place)


def _active(layer: Layer) -> Flags:
    """Which clusters take part in each cell `(cells, clusters)`."""
    return np.asarray(layer.sums.present[layer.rows] & (layer.coefficients != 0.0)[:, None])


def _contributions(layer: Layer) -> tuple[Floats, Floats]:
    """What each cluster adds to first order, `(cells, clusters)`, and √(G / (G - 1)), `(cells,)`.

    Coefficient (n - R d) / D; 0 where the dataset takes no part.
    """
    sums = layer.sums
    above, below = sums.numerators.astype(np.float64), sums.denominators.astype(np.float64)
    whole = below.sum(axis=1)
    ratio = _divided(above.sum(axis=1), whole)
    z = np.nan_to_num(
        _divided(above - ratio[:, None] * below, np.broadcast_to(whole[:, None], below.shape))
    )
    count = sums.present.sum(axis=1)
    scale = np.sqrt(count / np.maximum(count - 1, 1))
    return layer.coefficients[:, None] * z[layer.rows], scale[layer.rows]


def _freedom(
    layers: Sequence[Layer], columns: Sequence[Places], summed: Floats
) -> tuple[Floats, Floats, Floats]:
    """(variance, Welch and Satterthwaite's freedom, the fewest of any part), an entry a cell.

    `summed` holds every cluster's contribution. Datasets that share clusters are one part.
    """
    labels = _labels(layers, columns)
    shape = (len(layers), len(summed))
    variances, freedoms = np.zeros(shape), np.full(shape, np.inf)
    done = np.zeros(summed.shape, bool)
    cell = np.arange(len(summed))
    for layer, column, label in zip(layers, columns, labels, strict=True):
        active = _active(layer)
        fresh = active & ~done[:, column]  # each cluster once, in whichever part it is
        done[:, column] |= active
        squares = np.where(fresh, summed[:, column] ** 2, 0.0).sum(axis=1)
        variances[label, cell] += squares
        known = np.where(layer.coefficients != 0.0, active.sum(axis=1) - 1.0, np.inf)
        freedoms[label, cell] = np.minimum(freedoms[label, cell], known)
    variance = variances.sum(axis=0)
    shares = np.divide(variances**2, freedoms, out=np.zeros(shape), where=freedoms > 0).sum(axis=0)
    freedom = np.divide(variance**2, shares, out=np.ones(len(summed)), where=shares > 0)
    return variance, freedom, freedoms.min(axis=0)


def _labels(layers: Sequence[Layer], columns: Sequence[Places]) -> NDArray[np.intp]:
    """`(layers, cells)`: the first layer of each one's part, linked by clusters in common."""
    labels = np.repeat(np.arange(len(layers))[:, None], len(layers[0].rows), axis=1)
    links = list(_links(layers, columns))
    moved = bool(links)
    while moved:
        before = labels.copy()
        for one, other, shared in links:
            least = np.minimum(labels[one], labels[other])
            labels[one] = np.where(shared, least, labels[one])
            labels[other] = np.where(shared, least, labels[other])
        moved = not np.array_equal(before, labels)
    return labels


def _links(layers: Sequence[Layer], columns: Sequence[Places]) -> Iterator[tuple[int, int, Flags]]:
    """The pairs of layers that have clusters in common, and in which cells they do."""
    for one, mine in enumerate(columns):
        for other in range(one + 1, len(columns)):
            _, a, b = np.intersect1d(mine, columns[other], return_indices=True)
            if len(a):
                shared = _active(layers[one])[:, a] & _active(layers[other])[:, b]
                yield one, other, np.asarray(shared.any(axis=1))


def _t_quantile(freedom: Floats, level: float) -> Floats:
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, (1 + level) / 2), np.float64)


def _normal_probability(z: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(z), np.float64)
