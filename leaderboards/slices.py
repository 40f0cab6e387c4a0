"""Slices: the same values over groups of clips, all models and groups of a rule at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from leaderboards.cells import Scores
from leaderboards.clips import Grid
from leaderboards.labels import Index, groups, meets, read_index
from leaderboards.records import DOMAINS, Comparison, DatasetInfo, Domain, SliceCell, SliceRule
from metrics.batched import Layer, Sums, combine

FAINT = 20  # clips; a group with fewer is shown faintly

Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Cut:
    """A dataset's clips in groups: `sums` has a row for every model × group."""

    grid: Grid
    sums: Sums


def indexes(comparison: Comparison, datasets: Sequence[DatasetInfo]) -> dict[str, Index]:
    """The index of every dataset that names one, with the columns that the comparison asks for.

    Empty without slices and rules for clips. ValueError where clips are chosen by a column, but a
    dataset names no index, and where an index is not there.
    """
    columns = [rule.column for rule in comparison.slices]
    columns += [rule.column for rule in comparison.clips]
    if not columns:
        return {}
    wanted = [name for domain in DOMAINS for name in comparison.datasets(domain)]
    paths = {info.name: info.index for info in datasets if info.index}
    for name in wanted:
        if comparison.clips and name not in paths:
            raise ValueError(
                f"comparison {comparison.name!r}: expected an index of dataset {name!r} to choose "
                "clips by, found none; name its index"
            )
    return {name: read_index(paths[name], columns) for name in wanted if name in paths}


def counting(comparison: Comparison, index: Index | None) -> pa.StringArray | None:
    """The keys of the clips that count; None where all do."""
    if not comparison.clips or index is None:
        return None
    kept = set(index.rows)
    for rule in comparison.clips:
        values = index.values(rule.column, index.rows)
        met = [key for key, value in zip(index.rows, values, strict=True) if meets(rule, value)]
        kept &= set(met)
    return pa.array(sorted(kept), pa.string())


def cells(
    scores: Scores, models: Sequence[str], found: Mapping[str, Index]
) -> tuple[SliceCell, ...]:
    """Every model's value in every group that has a clip, domain by domain.

    In the order of rules, groups, domains and `models` (fingerprints). Datasets without an index
    take no part, and a rule whose column no clip has gives nothing.
    """
    return tuple(
        cell for rule in scores.comparison.slices for cell in _of_rule(scores, rule, models, found)
    )


def _of_rule(
    scores: Scores, rule: SliceRule, models: Sequence[str], found: Mapping[str, Index]
) -> list[SliceCell]:
    grids = [(d, grid) for d in DOMAINS for grid in scores.of(d) if grid.dataset in found]
    values = [found[grid.dataset].values(rule.column, grid.keys) for _, grid in grids]
    names, places = groups(rule, [value for column in values for value in column])
    if not len(places) or (places == len(names) - 1).all():
        return []
    ends = np.cumsum([len(column) for column in values])[:-1]
    cut: dict[Domain, list[_Cut]] = {domain: [] for domain in DOMAINS}
    for (domain, grid), of in zip(grids, np.split(places, ends), strict=True):
        cut[domain].append(_Cut(grid, _summed(grid, of, len(names))))
    answers = {
        domain: _cells(rule, names, domain, cut[domain], models)
        for domain in DOMAINS
        if cut[domain]
    }
    heard = {name for group in answers.values() for name in group}
    return [
        cell
        for name in names
        if name in heard
        for group in answers.values()
        for cell in group.get(name, [])
    ]


def _summed(grid: Grid, places: Places, count: int) -> Sums:
    """The sums of every model × group, a model's groups one after the other."""
    codes = grid.places * count + places
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    size = (len(grid.models), len(grid.clusters), count)

    def summed(clips: NDArray[np.int64]) -> NDArray[np.int64]:
        whole = np.zeros((size[0], size[1] * size[2]), np.int64)
        if len(found):
            whole[:, found] = np.add.reduceat(clips[:, order], starts, axis=1)
        return whole.reshape(size).swapaxes(1, 2).reshape(-1, size[1])

    return Sums(
        grid.clusters,
        summed(grid.numerators),
        summed(grid.denominators),
        summed(grid.scored.astype(np.int64)),
    )


def _cells(
    rule: SliceRule,
    names: Sequence[str],
    domain: Domain,
    cuts: Sequence[_Cut],
    models: Sequence[str],
) -> dict[str, list[SliceCell]]:
    """A domain's cells by group; groups in which no model was scored on a clip are left out."""
    count = len(names)
    rows = [_rows(cut.grid, models, count) for cut in cuts]
    known = np.array(
        [(of >= 0) & ~np.isnan(cut.sums.values[of]) for cut, of in zip(cuts, rows, strict=True)]
    )
    datasets = known.sum(axis=0)
    shares = np.where(known, 1.0 / np.maximum(datasets, 1), 0.0)
    clips = [
        np.where(of >= 0, cut.sums.clips.sum(axis=1)[of], 0)
        for cut, of in zip(cuts, rows, strict=True)
    ]
    estimates = combine(
        [
            Layer(share, cut.sums, np.maximum(of, 0))
            for share, cut, of in zip(shares, cuts, rows, strict=True)
        ]
    )
    scored = np.sum(clips, axis=0)
    answer: dict[str, list[SliceCell]] = {
        name: []
        for name, any_ in zip(names, scored.reshape(-1, count).any(axis=0), strict=True)
        if any_
    }
    places = ((model, name) for model in models for name in names)
    columns = zip(
        estimates, scored.tolist(), estimates.clusters.tolist(), datasets.tolist(), strict=True
    )
    for (model, name), (estimate, heard, clusters, parts) in zip(places, columns, strict=True):
        if name in answer:
            answer[name].append(
                SliceCell(
                    rule.name, name, model, domain, estimate.value, estimate.interval, heard,
                    clusters, heard < FAINT, parts,
                )
            )  # fmt: skip
    return answer


def _rows(grid: Grid, models: Sequence[str], count: int) -> Places:
    """Each model × group's row of the grid's sums; -1 for models without scores there."""
    first = [grid.row(model) * count if grid.has(model) else -1 for model in models]
    rows = np.array(first, np.intp)[:, None]
    return np.where(rows < 0, -1, rows + np.arange(count)).reshape(-1)
