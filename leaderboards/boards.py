"""From score tables to a board: models × domains, with intervals, gap, ranks, ties and flips.

A domain's value is the unweighted mean over its datasets and None unless the model was scored on
all of them. Means are over a model's scored clips; two models are compared over the clips that both
were scored on, and under the same bootstrap weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from leaderboards import calibration, clips, slices, words
from leaderboards.agreement import agreements
from leaderboards.cells import Scores, changes, domain_cells
from leaderboards.clips import Grid
from leaderboards.duels import neighbours
from leaderboards.labels import Index
from leaderboards.ranking import flips, ordered, ranked
from leaderboards.records import (
    DOMAINS,
    Board,
    Cell,
    Comparison,
    DatasetInfo,
    Domain,
    Measure,
    Row,
    ScoreTable,
    Section,
)
from metrics.registry import METRICS


def build(
    comparisons: Sequence[Comparison],
    tables: Sequence[ScoreTable],
    datasets: Sequence[DatasetInfo] = (),
    *,
    title: str = "Leaderboard",
    tolerated_failures: float = 0.0,
    suite_digest: str = "",
    versions: Mapping[str, str] | None = None,
) -> Board:
    """The board of these comparisons.

    `tolerated_failures` is the share of a dataset's clips, 0 to 1, that a model may fail on and
    still be ranked. `versions` (of Python, of libraries) are shown as provenance. Score tables that
    no comparison asks for are left aside. ValueError for a comparison without score tables, with
    tables of different metric specs, or with a dataset in the wrong domain.
    """
    if not 0.0 <= tolerated_failures <= 1.0:
        raise ValueError(
            f"tolerated_failures: expected a share from 0 to 1, found {tolerated_failures}; "
            "5 % is 0.05"
        )
    sections = [
        _section(comparison, tables, datasets, tolerated_failures) for comparison in comparisons
    ]
    return Board(
        title, tuple(sections), tuple(datasets), tolerated_failures, suite_digest, versions or {}
    )


def _section(
    comparison: Comparison,
    tables: Sequence[ScoreTable],
    datasets: Sequence[DatasetInfo],
    tolerated: float,
) -> Section:
    chosen = _chosen(comparison, tables, {info.name: info.domain for info in datasets})
    measure = _measure(comparison, chosen)
    found = slices.indexes(comparison, datasets)
    scores = Scores(comparison, _grids(comparison, chosen, found))
    rows = _rows(scores, measure, _by_model(chosen), tolerated)
    better = measure.higher_is_better
    for domain in DOMAINS:
        rows = ranked(rows, domain, scores, higher_is_better=better)
    headline = _headline(comparison, rows)
    rows = _in_order(rows, headline, measure)
    truths = _truths(comparison, tables, chosen)
    section = Section(
        comparison,
        measure,
        rows,
        flips(rows, "real" if comparison.real else "simulated", scores, higher_is_better=better),
        headline,
        slices=slices.cells(scores, [row.fingerprint for row in rows], found),
        agreements=agreements(rows, scores),
        duels=neighbours(rows, headline, scores, higher_is_better=better),
        calibration=calibration.calibrated(
            rows, chosen, truths, Scores(comparison, _grids(comparison, truths, found)), found
        ),
    )
    return replace(section, findings=words.findings(section))


def _grids(
    comparison: Comparison, chosen: Sequence[ScoreTable], found: Mapping[str, Index]
) -> dict[str, Grid]:
    by_dataset: dict[str, list[ScoreTable]] = {}
    for table in sorted(chosen, key=lambda t: (t.model, t.fingerprint)):
        by_dataset.setdefault(table.dataset, []).append(table)
    answer = {}
    for name, of in by_dataset.items():
        wanted = slices.counting(comparison, found.get(name))
        answer[name] = Grid.of([clips.read(table, wanted) for table in of])
    return answer


def _chosen(
    comparison: Comparison, tables: Sequence[ScoreTable], domains: Mapping[str, Domain]
) -> list[ScoreTable]:
    """The comparison's tables, checked: one metric spec, the right domains, none twice."""
    wanted = {name: domain for domain in DOMAINS for name in comparison.datasets(domain)}
    chosen = [
        table
        for table in tables
        if table.dataset in wanted
        and table.metric["name"] == comparison.metric
        and comparison.metric_hash in (None, table.metric_hash)
        and (not comparison.models or table.fingerprint in comparison.models)
    ]
    if not chosen:
        raise ValueError(
            f"comparison {comparison.name!r}: expected score tables of {comparison.metric} on "
            f"{', '.join(wanted)}, found none; score the predictions first"
        )
    _check_domains(comparison, wanted, {t.dataset: t.domain for t in chosen})
    _check_domains(comparison, wanted, domains)
    _check_single(comparison, chosen)
    return chosen


def _truths(
    comparison: Comparison, tables: Sequence[ScoreTable], chosen: Sequence[ScoreTable]
) -> list[ScoreTable]:
    """The score tables of what a blind metric guesses, of the same models and datasets."""
    if comparison.blind is None:
        return []
    places = {(table.fingerprint, table.dataset) for table in chosen}
    found = [
        table
        for table in tables
        if table.metric_hash == comparison.blind.truth_hash
        and (table.fingerprint, table.dataset) in places
    ]
    return list({table.paths: table for table in found}.values())


def _check_domains(
    comparison: Comparison, wanted: Mapping[str, Domain], found: Mapping[str, Domain]
) -> None:
    for name, domain in wanted.items():
        if found.get(name, domain) != domain:
            raise ValueError(
                f"comparison {comparison.name!r}: expected {name!r} to be {domain}, found "
                f"{found[name]}; list it under {found[name]}"
            )


def _check_single(comparison: Comparison, chosen: Sequence[ScoreTable]) -> None:
    hashes = sorted({table.metric_hash for table in chosen})
    if len(hashes) > 1 and not comparison.mixed:
        raise ValueError(
            f"comparison {comparison.name!r}: expected one metric spec in all columns, "
            f"found {comparison.metric} as {words.joined(hashes)}; score again with one "
            "version and one set of parameters, pick one by its metric_hash, or say mixed=True"
        )
    seen: set[tuple[str, str]] = set()
    for table in chosen:
        key = (table.fingerprint, table.dataset)
        if key in seen:
            raise ValueError(
                f"comparison {comparison.name!r}: expected one score table of {table.model} "
                f"({table.fingerprint}) on {table.dataset}, found two; give the files of all "
                "shards in one table"
            )
        seen.add(key)


def _measure(comparison: Comparison, chosen: Sequence[ScoreTable]) -> Measure:
    if comparison.metric not in METRICS:
        raise ValueError(
            f"comparison {comparison.name!r}: expected a metric of {', '.join(sorted(METRICS))}, "
            f"found {comparison.metric!r}"
        )
    known, table = METRICS[comparison.metric], chosen[0]
    return Measure(
        name=known.name,
        title=known.title,
        unit=known.unit,
        higher_is_better=known.higher_is_better,
        scale=known.scale,
        summary=known.summary,
        hash=table.metric_hash,
        spec=dict(table.metric),
    )


def _by_model(chosen: Sequence[ScoreTable]) -> list[list[ScoreTable]]:
    groups: dict[str, list[ScoreTable]] = {}
    for table in sorted(chosen, key=lambda t: (t.model, t.fingerprint)):
        groups.setdefault(table.fingerprint, []).append(table)
    return list(groups.values())


def _rows(
    scores: Scores, measure: Measure, found: Sequence[Sequence[ScoreTable]], tolerated: float
) -> tuple[Row, ...]:
    models = [tables[0].fingerprint for tables in found]
    cells = {
        domain: dict(zip(models, domain_cells(scores, domain, models), strict=True))
        for domain in DOMAINS
    }
    apart = {
        domain: dict(zip(models, changes(scores, measure, models, cells[domain]), strict=True))
        for domain in ("simulated", "real")
    }
    return tuple(
        Row(
            model=tables[0].model,
            fingerprint=model,
            role=tables[0].role,
            synthetic=cells["synthetic"][model],
            simulated=cells["simulated"][model],
            real=cells["real"][model],
            change=apart["simulated"][model],
            gap=apart["real"][model],
            rtfx=_speed(tables),
            unranked=_unranked(
                tables[0].role,
                [cells[domain][model] for domain in DOMAINS],
                tolerated,
                scores.comparison.min_scored,
            ),
            parameters=next((t.parameters for t in tables if t.parameters is not None), None),
            hardware=words.joined(sorted({t.hardware for t in tables if t.hardware})),
        )
        for model, tables in zip(models, found, strict=True)
    )


def _speed(tables: Sequence[ScoreTable]) -> float | None:
    """The slowest of the datasets' speeds, so that nobody is promised too much."""
    return min((table.rtfx for table in tables if table.rtfx is not None), default=None)


def _unranked(role: str, cells: Sequence[Cell], tolerated: float, least: float) -> str:
    if role == "oracle":
        return "an oracle: it is shown the truth"
    for part in (part for cell in cells for part in cell.datasets):
        counts = part.counts
        if counts.n_failed > tolerated * counts.total:
            return (
                f"{counts.n_failed:,} of {counts.total:,} clips failed in {part.dataset}, more "
                f"than the tolerated {tolerated * 100:g} %"
            )
        if counts.scored < least * counts.total:
            return (
                f"{counts.scored:,} of {counts.total:,} clips were scored in {part.dataset}, fewer "
                f"than the {least * 100:g} % that the ranking asks for"
            )
    return ""


def _headline(comparison: Comparison, rows: Sequence[Row]) -> Domain:
    """The domain closest to life that any model has a value in: what the board is ordered by."""
    for domain in reversed(DOMAINS):
        if any(row.cell(domain).rank for row in rows):
            return domain
    return next(domain for domain in reversed(DOMAINS) if comparison.datasets(domain))


def _in_order(rows: Sequence[Row], headline: Domain, measure: Measure) -> tuple[Row, ...]:
    """Ranked rows best first, then what has no rank here, models before oracles."""
    first = ordered(rows, headline, higher_is_better=measure.higher_is_better)
    placed = {row.fingerprint for row in first}
    rest = [row for row in rows if row.fingerprint not in placed]
    return (*first, *sorted(rest, key=lambda row: (row.role == "oracle", row.model)))
