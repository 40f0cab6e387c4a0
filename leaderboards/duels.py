"""Two models against each other: the paired difference, and the clips that decide it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from leaderboards import clips
from leaderboards.cells import Scores
from leaderboards.clips import Grid
from leaderboards.pairs import differences
from leaderboards.records import Comparison, DatasetInfo, Domain, Duel, Row, ScoreTable, Section
from leaderboards.slices import counting, indexes
from metrics.intervals import Estimate

MOST_DECIDING = 3  # clips, for either side

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


def neighbours(
    rows: Sequence[Row], domain: Domain, scores: Scores, *, higher_is_better: bool
) -> tuple[Duel, ...]:
    """Every ranked model against the next one in the domain, in the order of ranks."""
    placed = sorted((row.cell(domain).rank or 0, row.fingerprint) for row in rows)
    names = [name for rank, name in placed if rank]
    pairs = list(pairwise(names))
    found = differences(scores.of(domain), [a for a, _ in pairs], [b for _, b in pairs])
    return tuple(
        _duel(scores.of(domain), domain, pair, estimate, higher_is_better=higher_is_better)
        for pair, estimate in zip(pairs, found, strict=True)
    )


def duel(
    section: Section,
    tables: Sequence[ScoreTable],
    one: str,
    other: str,
    *,
    domain: Domain | None = None,
    datasets: Sequence[DatasetInfo] = (),
) -> Duel:
    """Two models (fingerprints) of a section in a domain, the headline's unless another is named.

    `tables` are the board's score tables; `datasets` its datasets, needed where the comparison
    chooses clips. ValueError where a model has no scores on one of the domain's datasets.
    """
    place, comparison = domain or section.headline, section.comparison
    found = indexes(comparison, datasets) if comparison.clips else {}
    grids = []
    for name in comparison.datasets(place):
        wanted = counting(comparison, found.get(name))
        chosen = [_table(comparison, tables, name, model) for model in (one, other)]
        grids.append(Grid.of([clips.read(table, wanted) for table in chosen]))
    (estimate,) = differences(grids, [one], [other])
    better = section.measure.higher_is_better
    return _duel(grids, place, (one, other), estimate, higher_is_better=better)


def _table(
    comparison: Comparison, tables: Sequence[ScoreTable], dataset: str, model: str
) -> ScoreTable:
    for table in tables:
        about = (table.fingerprint, table.dataset, table.metric["name"])
        if about == (model, dataset, comparison.metric) and comparison.metric_hash in (
            None,
            table.metric_hash,
        ):
            return table
    raise ValueError(
        f"expected scores of {model} on {dataset}, found none; name two models that were scored on "
        "all datasets of the domain"
    )


def _duel(
    grids: Sequence[Grid],
    domain: Domain,
    models: tuple[str, str],
    estimate: Estimate,
    *,
    higher_is_better: bool,
) -> Duel:
    parts = [_apart(grid, *map(grid.row, models)) for grid in grids]
    signs = np.concatenate([np.sign(apart) for _, apart, _ in parts])
    wins = int(np.count_nonzero(signs > 0))
    losses = int(np.count_nonzero(signs < 0))
    return Duel(
        *models,
        domain,
        estimate.value,
        estimate.interval,
        wins=wins if higher_is_better else losses,
        losses=losses if higher_is_better else wins,
        equal=int(np.count_nonzero(signs == 0)),
        deciding=_deciding(grids, parts),
    )


def _apart(grid: Grid, one: int, other: int) -> tuple[Places, Floats, Floats]:
    """Clips that both were scored on: their columns, the differences of their values, and what
    each adds to the dataset's difference.

    A clip without a denominator has no value of its own: what it adds stands for the difference.
    """
    rows = [one, other]
    columns = np.flatnonzero(grid.scored[rows].all(axis=0))
    above, below = (
        part[rows][:, columns].astype(np.float64) for part in (grid.numerators, grid.denominators)
    )
    whole = np.maximum(below.sum(axis=1, keepdims=True), 1.0)
    added = above / whole
    values = np.divide(above, below, out=added.copy(), where=below != 0.0)
    return columns, values[0] - values[1], added[0] - added[1]


def _deciding(
    grids: Sequence[Grid], parts: Sequence[tuple[Places, Floats, Floats]]
) -> tuple[tuple[str, str, float], ...]:
    """The clips that add most for either side, the weightiest first."""
    found = []
    for grid, (columns, apart, added) in zip(grids, parts, strict=True):
        order = np.argsort(added, kind="stable")
        ends = np.unique(np.concatenate([order[:MOST_DECIDING], order[-MOST_DECIDING:]]))
        found += [
            (float(added[i]), grid.dataset, grid.keys[columns[i]], float(apart[i])) for i in ends
        ]
    ranked = sorted(found, key=lambda clip: (-abs(clip[0]), clip[1:]))
    above, below = ([c for c in ranked if sign * c[0] > 0.0] for sign in (1.0, -1.0))
    chosen = {*above[:MOST_DECIDING], *below[:MOST_DECIDING]}
    return tuple(clip[1:] for clip in ranked if clip in chosen)
