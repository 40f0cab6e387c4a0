"""The cells of a board: every model on every dataset, in every domain, and its change and gap.

All models are resampled at once. A domain's value is the unweighted mean over its datasets, None
unless the model was scored on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leaderboards import words
from leaderboards.clips import Grid
from leaderboards.records import (
    Cell,
    Change,
    Comparison,
    Counts,
    DatasetCell,
    Domain,
    Measure,
)
from metrics import intervals
from metrics.batched import Estimates, Layer, combine
from metrics.intervals import Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """What a comparison's models were scored, a grid a dataset; none where there are no scores."""

    comparison: Comparison
    grids: Mapping[str, Grid]

    def of(self, domain: Domain) -> list[Grid]:
        """The grids of a domain, in the suite's order."""
        names = self.comparison.datasets(domain)
        return [self.grids[name] for name in names if name in self.grids]

    def has(self, model: str, dataset: str) -> bool:
        """Whether there is a score table of the model (by fingerprint) on the dataset."""
        return dataset in self.grids and self.grids[dataset].has(model)

    def missing(self, model: str, domain: Domain) -> list[str]:
        """The domain's datasets that the model has no score table on."""
        names = self.comparison.datasets(domain)
        return [name for name in names if not self.has(model, name)]


def layers(
    scores: Scores, domain: Domain, models: Sequence[str], *, sign: float = 1.0, salt: str = ""
) -> list[Layer]:
    """The domain's mean times `sign` for each model, a layer a dataset.

    Models that are not scored on all datasets take part in none.
    """
    names = scores.comparison.datasets(domain)
    whole = np.array([not scores.missing(model, domain) for model in models], bool)
    shares = np.where(whole, sign / max(len(names), 1), 0.0)
    return [_layer(grid, models, shares, salt) for grid in scores.of(domain)]


def _layer(grid: Grid, models: Sequence[str], shares: Floats, salt: str) -> Layer:
    rows = [grid.row(model) if grid.has(model) else 0 for model in models]
    return Layer(shares, grid.sums, np.array(rows, np.intp), salt)


def domain_cells(scores: Scores, domain: Domain, models: Sequence[str]) -> list[Cell]:
    """Each model's cell in a domain."""
    parts = _dataset_cells(scores, domain)
    means = combine(layers(scores, domain, models)) if scores.of(domain) else Estimates.joined([])
    found = list(means) or [Estimate(None, None)] * len(models)
    return [
        _cell(scores, domain, model, estimate, parts)
        for model, estimate in zip(models, found, strict=True)
    ]


def _dataset_cells(scores: Scores, domain: Domain) -> dict[tuple[str, str], DatasetCell]:
    """By model and dataset."""
    answer = {}
    for grid in scores.of(domain):
        every = np.arange(len(grid.models))
        found = combine([Layer(np.ones(len(every)), grid.sums, every)])
        speakers = grid.sums.present.sum(axis=1).tolist()
        for row, (model, estimate) in enumerate(zip(grid.models, found, strict=True)):
            counts = grid.counts(row)
            note = thin(speakers[row]) if counts.scored else "nothing scored"
            answer[model, grid.dataset] = DatasetCell(
                grid.dataset, domain, estimate.value, estimate.interval, counts, note
            )
    return answer


def _cell(
    scores: Scores,
    domain: Domain,
    model: str,
    estimate: Estimate,
    cells: Mapping[tuple[str, str], DatasetCell],
) -> Cell:
    names, missing = scores.comparison.datasets(domain), scores.missing(model, domain)
    parts = tuple(cells[model, name] for name in names if name not in missing)
    counts = sum((part.counts for part in parts), Counts())
    if not names or missing:
        note = f"not scored on {words.joined(missing)}" if missing else _empty(domain)
        return Cell(domain, None, None, counts, parts, note)
    note = thin(min(_speakers(scores.grids[name], model) for name in names))
    if estimate.value is None:
        note = f"nothing scored on {words.joined([p.dataset for p in parts if p.value is None])}"
    return Cell(domain, estimate.value, estimate.interval, counts, parts, note)


def _empty(domain: Domain) -> str:
    return words.ADD_REAL if domain == "real" else f"no {domain} dataset"


def _speakers(grid: Grid, model: str) -> int:
    return int(np.count_nonzero(grid.sums.clips[grid.row(model)]))


def thin(fewest: int) -> str:
    """Why there is no interval, or a rough one: the fewest speakers of any dataset."""
    if fewest >= intervals.BOOTSTRAP_CLUSTERS:
        return ""
    return f"{fewest} speaker{'' if fewest == 1 else 's'}"


def changes(
    scores: Scores, measure: Measure, models: Sequence[str], away: Mapping[str, Cell]
) -> list[Change]:
    """How much worse each model is in the domain of its `away` cell than on synthetic data.

    The sides are resampled together where clips of both carry shared pair ids, and clusters.
    """
    answers = {model: _no_change(scores, model, away[model]) for model in models}
    asked = [model for model in models if answers[model] is None]
    paired = {model: _paired(scores, model, away[model].domain) for model in asked}
    for together in (False, True):
        group = [model for model in asked if paired[model] is together]
        if group:
            domain = away[group[0]].domain
            found = _differences(scores, measure, domain, group, paired=together)
            for model, estimate in zip(group, found, strict=True):
                answers[model] = Change(estimate.value, estimate.interval, together)
    return [answers[model] or Change(None) for model in models]


def _no_change(scores: Scores, model: str, away: Cell) -> Change | None:
    if away.value is None:
        return Change(None, note=away.note)
    if not scores.comparison.synthetic or scores.missing(model, "synthetic"):
        return Change(None, note="no synthetic value to compare with")
    return None


def _differences(
    scores: Scores, measure: Measure, away: Domain, models: Sequence[str], *, paired: bool
) -> Estimates:
    """As `metrics.intervals.gap`: positive is worse, the sides independent unless paired."""
    better: tuple[Domain, Domain] = ("synthetic", away)
    first, second = better if measure.higher_is_better else better[::-1]
    salts = ("", "") if paired else ("a", "b")
    return combine(
        [
            *layers(scores, first, models, salt=salts[0]),
            *layers(scores, second, models, sign=-1.0, salt=salts[1]),
        ]
    )


def _paired(scores: Scores, model: str, away: Domain) -> bool:
    """Whether clips of the two sides belong together, and are clustered so that it can be used."""
    domains: tuple[Domain, Domain] = ("synthetic", away)
    sides = [[(grid, grid.row(model)) for grid in scores.of(d)] for d in domains]
    if not all(any(grid.paired for grid, _ in side) for side in sides):
        return False
    pairs = [{pair for grid, row in side for pair in grid.pairs_of(row)} for side in sides]
    clusters = [{name for grid, row in side for name in grid.clusters_of(row)} for side in sides]
    return bool(pairs[0] & pairs[1]) and bool(clusters[0] & clusters[1])
