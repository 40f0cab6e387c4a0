"""A board as one self-contained HTML page: its sections, their tables and the order of things."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from leaderboards import charts, layout, words
from leaderboards import examples as clips
from leaderboards.examples import Example
from leaderboards.records import DOMAINS, Board, Change, Domain, Measure, Row, Section

WIDE, NARROW = 912, 360  # pixels: the column of a desk, and of a phone
ENDING = [("reading", "How to read this"), ("provenance", "Provenance")]  # every board's


@dataclass(frozen=True)
class Entry:
    """One shown value: its text, the small line beneath, its label on a phone, its CSS class."""

    text: str
    small: str = ""
    label: str = ""
    kind: str = ""
    add: bool = False


def build_page(board: Board, *, examples: Sequence[Example] = ()) -> str:
    """The whole page as text; the same board and examples give the same bytes.

    The caller guarantees that the examples' audio may be handed on.
    """
    views = [_view(section, examples) for section in board.sections]
    return layout.render(
        "board",
        title=board.title,
        brand="RealEar leaderboard",
        lede=_lede(board),
        places=[(view["id"], view["section"].comparison.title) for view in views] + ENDING,
        data=board.to_json(),
        board=board,
        views=views,
        measures=_measures(board),
        fingerprints=_fingerprints(board),
        tolerated=f"{board.tolerated_failures * 100:g} %",
        words=words,
    )


def _lede(board: Board) -> str:
    models = {row.fingerprint for section in board.sections for row in section.rows}
    shown = [d for d in DOMAINS if any(d in section.shown() for section in board.sections)]
    clips = sum(dataset.clips for dataset in board.datasets)
    seconds = sum(dataset.seconds for dataset in board.datasets)
    size = f": {clips:,} clips, {words.duration(seconds)}" if board.datasets else ""
    return (
        f"{_many(len(models), 'system')} side by side on {words.joined(shown)} audio, "
        f"in {_many(len(board.sections), 'comparison')} over "
        f"{_many(len(board.datasets), 'dataset')}{size}."
    )


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _measures(board: Board) -> list[dict[str, str]]:
    found = {section.measure.hash: section.measure for section in board.sections}
    return [
        {
            "title": measure.title,
            "hash": measure.hash,
            "summary": measure.summary,
            "pretty": json.dumps(measure.to_json()["spec"], indent=2, ensure_ascii=False),
        }
        for measure in found.values()
    ]


def _fingerprints(board: Board) -> list[tuple[str, str]]:
    return sorted({(r.model, r.fingerprint) for section in board.sections for r in section.rows})


def _view(section: Section, given: Sequence[Example]) -> dict[str, Any]:
    return {
        "id": f"comparison-{section.comparison.name}",
        "section": section,
        "wide": Markup(charts.dumbbell(section, width=WIDE)),
        "narrow": Markup(charts.dumbbell(section, width=NARROW)),
        "described": charts.described(section),
        "columns": _columns(section),
        "lines": _lines(section),
        "datasets": _datasets(section),
        "counts": _counts(section),
        "notes": words.notes(section),
        "examples": clips.shown(section, given),
    }


def _timed(section: Section) -> bool:
    return any(row.rtfx is not None for row in section.rows)


def _columns(section: Section) -> list[dict[str, str]]:
    unit = section.measure.unit
    answer = []
    for domain in _domains(section):
        answer.append({"title": words.TITLES[domain], "small": unit, "domain": domain})
        if domain != "synthetic":
            title, sum_of = words.difference(section.measure, domain)
            answer.append({"title": title, "small": sum_of, "note": "+ is worse", "domain": ""})
    if _timed(section):
        answer.append({"title": "Speed", "small": "× real time", "domain": ""})
    return answer


def _domains(section: Section) -> list[Domain]:
    """What has a column: the domains with datasets, and real always."""
    return [d for d in DOMAINS if d == "real" or d in section.shown()]


def _lines(section: Section) -> list[dict[str, Any]]:
    called = words.names(section.rows)
    return [
        {
            "row": row,
            "name": called[row.fingerprint],
            "place": words.place(row, section.headline),
            "mark": words.ROLE_MARKS[row.role],
            "why": row.unranked,
            "entries": _entries(section, row),
        }
        for row in section.rows
    ]


def _entries(section: Section, row: Row) -> list[Entry]:
    entries = []
    for domain in _domains(section):
        entries.append(_value(section, row, domain))
        if domain != "synthetic":
            change = row.gap if domain == "real" else row.change
            entries.append(_difference(section.measure, change, domain))
    if _timed(section):
        speed = words.NOTHING if row.rtfx is None else f"{row.rtfx:.1f}×"
        entries.append(Entry(speed, label="Speed", kind="chance"))
    return entries


def _value(section: Section, row: Row, domain: Domain) -> Entry:
    cell, label = row.cell(domain), words.TITLES[domain]
    if not section.comparison.datasets(domain):
        return Entry(words.ADD_REAL, label=label, add=True)
    small = words.span(section.measure, cell.interval) or cell.note
    return Entry(words.number(section.measure, cell.value), small, label)


def _difference(measure: Measure, change: Change, domain: Domain) -> Entry:
    label = words.difference(measure, domain)[0]
    if change.value is None:
        return Entry(words.NOTHING, label=label, kind="chance")
    text = words.signed(measure, change.value)
    return Entry(text, words.span(measure, change.interval), label, _kind(change, text))


def _kind(change: Change, text: str) -> str:
    """Only a difference beyond chance, and large enough to be seen, is coloured."""
    if (
        change.interval is None
        or not text.strip("0.")
        or change.interval.low <= 0 <= change.interval.high
    ):
        return "chance"
    return "worse" if change.interval.low > 0 else "better"


def _datasets(section: Section) -> list[dict[str, Any]]:
    return [
        {"name": name, "domain": domain, "small": words.TITLES[domain]}
        | {"entries": [_on(section, row, domain, name) for row in section.rows]}
        for domain in section.shown()
        for name in section.comparison.datasets(domain)
    ]


def _on(section: Section, row: Row, domain: Domain, name: str) -> Entry:
    for cell in row.cell(domain).datasets:
        if cell.dataset == name:
            small = words.span(section.measure, cell.interval) or cell.note
            return Entry(words.number(section.measure, cell.value), small)
    return Entry(words.NOTHING, "not scored")


def _counts(section: Section) -> list[dict[str, str]]:
    called = words.names(section.rows)
    return [
        {
            "model": called[row.fingerprint],
            "dataset": cell.dataset,
            "domain": cell.domain,
            "scored": f"{cell.counts.scored:,}",
            "capped": f"{cell.counts.capped:,} at the cap" if cell.counts.capped else "",
            "undefined": f"{cell.counts.n_undefined:,}",
            "undefined_why": words.reasons(cell.counts.undefined),
            "failed": f"{cell.counts.n_failed:,}",
            "failed_why": words.reasons(cell.counts.failed),
        }
        for row in section.rows
        for domain in section.shown()
        for cell in row.cell(domain).datasets
    ]
