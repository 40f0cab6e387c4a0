"""How far each domain ranks the models as synthetic data do."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboards.cells import Scores, thin
from leaderboards.records import Agreement, Domain, Row
from metrics.agreement import FEWEST_MODELS, rank_agreement
from metrics.tally import Tally


def agreements(rows: Sequence[Row], scores: Scores) -> tuple[Agreement, ...]:
    """Kendall's tau-b and Spearman's rho of synthetic against each other domain with scores.

    Over the rows that are ranked on both sides. Nothing without synthetic datasets, and nothing
    about a domain that shares fewer than two ranked models with them.
    """
    return tuple(
        _agreement(domain, models, scores)
        for domain in ("simulated", "real")
        if len(models := _in_both(rows, domain)) > 1
    )


def _in_both(rows: Sequence[Row], domain: Domain) -> list[str]:
    return [row.fingerprint for row in rows if row.cell("synthetic").rank and row.cell(domain).rank]


def _agreement(domain: Domain, models: Sequence[str], scores: Scores) -> Agreement:
    near, far = ([_tallies(scores, d, name) for name in models] for d in ("synthetic", domain))
    found = rank_agreement(near, far)
    return Agreement(domain, found.models, found.tau_b, found.rho, _note(len(models), near + far))


def _tallies(scores: Scores, domain: Domain, model: str) -> list[Tally]:
    return [grid.tally(grid.row(model)) for grid in scores.of(domain)]


def _note(models: int, sides: Sequence[Sequence[Tally]]) -> str:
    if models < FEWEST_MODELS:
        return f"{models} models: an interval takes at least {FEWEST_MODELS}"
    return thin(min(len(tally.clusters) for side in sides for tally in side))
