"""From score tables to a board: models × domains, with intervals, gap, ranks, ties and flips.

A domain's value is the unweighted mean over its datasets and None unless the model was scored on
all of them. Means are over a model's scored clips; two models are compared over the clips that both
were scored on, and under the same bootstrap weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from leaderboards import clips, words
from leaderboards.clips import Clips
from leaderboards.ranking import flips, ordered, ranked
from leaderboards.records import (
    DOMAINS,
    Board,
    Cell,
    Change,
    Comparison,
    Counts,
    DatasetCell,
    DatasetInfo,
    Domain,
    Flip,
    Measure,
    Row,
    ScoreTable,
    Section,
)
from metrics import intervals
from metrics.registry import METRICS
from metrics.tally import Tally

Read = Mapping[tuple[str, str], Clips]  # by model fingerprint and dataset


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
    domains = {info.name: info.domain for info in datasets}
    sections = [
        _section(comparison, tables, domains, tolerated_failures) for comparison in comparisons
    ]
    return Board(
        title, tuple(sections), tuple(datasets), tolerated_failures, suite_digest, versions or {}
    )


def _section(
    comparison: Comparison,
    tables: Sequence[ScoreTable],
    domains: Mapping[str, Domain],
    tolerated: float,
) -> Section:
    chosen = _chosen(comparison, tables, domains)
    measure = _measure(comparison, chosen)
    read = {(table.fingerprint, table.dataset): clips.read(table) for table in chosen}
    rows = _ranked([_row(comparison, measure, ts, read, tolerated) for ts in _by_model(chosen)],
                   comparison, measure, read)  # fmt: skip
    headline = _headline(comparison, rows)
    section = Section(
        comparison,
        measure,
        _in_order(rows, headline, measure),
        _turns(rows, comparison, measure, read),
        headline,
    )
    return replace(section, findings=words.findings(section))


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


def _row(
    comparison: Comparison,
    measure: Measure,
    tables: Sequence[ScoreTable],
    read: Read,
    tolerated: float,
) -> Row:
    first = tables[0]
    cells = {domain: _cell(comparison, domain, first.fingerprint, read) for domain in DOMAINS}
    return Row(
        model=first.model,
        fingerprint=first.fingerprint,
        role=first.role,
        synthetic=cells["synthetic"],
        simulated=cells["simulated"],
        real=cells["real"],
        change=_change(comparison, measure, cells["simulated"], first.fingerprint, read),
        gap=_change(comparison, measure, cells["real"], first.fingerprint, read),
        rtfx=_speed(tables),
        unranked=_unranked(first.role, list(cells.values()), tolerated),
    )


def _cell(comparison: Comparison, domain: Domain, fingerprint: str, read: Read) -> Cell:
    names = comparison.datasets(domain)
    found = {name: read[fingerprint, name] for name in names if (fingerprint, name) in read}
    parts = tuple(_dataset_cell(name, domain, found[name]) for name in found)
    counts = sum((part.counts for part in parts), Counts())
    missing = [name for name in names if name not in found]
    if not names or missing:
        note = f"not scored on {words.joined(missing)}" if missing else _empty(domain)
        return Cell(domain, None, None, counts, parts, note)
    estimate = intervals.domain([found[name].tally for name in names])
    note = _thin([found[name].tally for name in names])
    if estimate.value is None:
        empty = [part.dataset for part in parts if part.value is None]
        note = f"nothing scored on {words.joined(empty)}"
    return Cell(domain, estimate.value, estimate.interval, counts, parts, note)


def _empty(domain: Domain) -> str:
    return words.ADD_REAL if domain == "real" else f"no {domain} dataset"


def _dataset_cell(name: str, domain: Domain, part: Clips) -> DatasetCell:
    tally = part.tally
    note = _thin([tally]) if tally.scored else "nothing scored"
    return DatasetCell(name, domain, tally.value, intervals.interval(tally), part.counts, note)


def _thin(tallies: Sequence[Tally]) -> str:
    """Why there is no interval, or a rough one: the fewest speakers of any dataset."""
    fewest = min(len(tally.clusters) for tally in tallies)
    if fewest >= intervals.BOOTSTRAP_CLUSTERS:
        return ""
    return f"{fewest} speaker{'' if fewest == 1 else 's'}"


def _change(
    comparison: Comparison, measure: Measure, away: Cell, fingerprint: str, read: Read
) -> Change:
    if away.value is None:
        return Change(None, note=away.note)
    sides = [
        [read.get((fingerprint, name)) for name in comparison.datasets(domain)]
        for domain in ("synthetic", away.domain)
    ]
    near, far = ([part for part in side if part is not None] for side in sides)
    if not near or len(near) < len(comparison.synthetic):
        return Change(None, note="no synthetic value to compare with")
    paired = _paired(near, far)
    estimate = intervals.gap(
        [part.tally for part in near],
        [part.tally for part in far],
        higher_is_better=measure.higher_is_better,
        paired=paired,
    )
    return Change(estimate.value, estimate.interval, paired)


def _paired(near: Sequence[Clips], far: Sequence[Clips]) -> bool:
    """Whether clips of the two sides belong together, and are clustered so that it can be used."""
    pairs = [frozenset[str]().union(*(part.pairs for part in side)) for side in (near, far)]
    ids = [{name for part in side for name in part.tally.clusters} for side in (near, far)]
    return bool(pairs[0] & pairs[1]) and bool(ids[0] & ids[1])


def _speed(tables: Sequence[ScoreTable]) -> float | None:
    """The slowest of the datasets' speeds, so that nobody is promised too much."""
    return min((table.rtfx for table in tables if table.rtfx is not None), default=None)


def _unranked(role: str, cells: Sequence[Cell], tolerated: float) -> str:
    if role == "oracle":
        return "an oracle: it is shown the truth"
    for part in (part for cell in cells for part in cell.datasets):
        counts = part.counts
        if counts.n_failed > tolerated * counts.total:
            return (
                f"{counts.n_failed:,} of {counts.total:,} clips failed in {part.dataset}, more "
                f"than the tolerated {tolerated * 100:g} %"
            )
    return ""


def _ranked(
    rows: Sequence[Row], comparison: Comparison, measure: Measure, read: Read
) -> tuple[Row, ...]:
    answer = tuple(rows)
    for domain in DOMAINS:
        answer = ranked(
            answer,
            domain,
            scores=lambda row, at: _scores(comparison, read, row, at),
            higher_is_better=measure.higher_is_better,
        )
    return answer


def _scores(comparison: Comparison, read: Read, row: Row, domain: Domain) -> list[Clips]:
    return [read[row.fingerprint, name] for name in comparison.datasets(domain)]


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


def _turns(
    rows: Sequence[Row], comparison: Comparison, measure: Measure, read: Read
) -> tuple[Flip, ...]:
    domain: Domain = "real" if comparison.real else "simulated"
    return flips(
        rows,
        domain,
        scores=lambda row, at: _scores(comparison, read, row, at),
        higher_is_better=measure.higher_is_better,
    )
