"""The first view of a board's page: its sections, their tables and the order of things, as HTML.

It can be read without a script. What needs one (sorting, charts, a cell's clips) is added by
`board.js`, from files that lie beside the page; see `site`.
"""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from leaderboards import charts, layout, payloads, plots, tables, trust, words
from leaderboards.records import DOMAINS, Board, Section

WIDE, NARROW = 1024, 350  # pixels: the column of a desk, and of a phone
LONG = 12  # models from which a table has a box to filter them
ENDING = [("reading", "How to read this"), ("provenance", "Provenance")]  # every board's


def build_page(board: Board, *, library: str, note: str = "") -> str:
    """The whole page as text; the same board gives the same bytes.

    `library` is the file of the chart library in `vendor/`; `note` is said of all sounds.
    """
    views = [_view(board, section, at) for at, section in enumerate(board.sections)]
    return layout.render(
        "board",
        title=board.title,
        brand="RealEar leaderboard",
        lede=_lede(board),
        places=[(view["id"], view["section"].comparison.title) for view in views] + ENDING,
        board=board,
        views=views,
        note=note,
        library=library,
        most=payloads.DUMBBELL,
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
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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


def _view(board: Board, section: Section, at: int) -> dict[str, Any]:
    most = payloads.DUMBBELL
    drawn = [charts.dumbbell(section, width=width, most=most) for width in (WIDE, NARROW)]
    return {
        "id": f"comparison-{section.comparison.name}",
        "at": at,
        "section": section,
        "wide": Markup(drawn[0]),
        "narrow": Markup(drawn[1]),
        "described": charts.described(section),
        "cut": len(section.rows) if len(section.rows) > most else 0,
        "filtered": len(section.rows) >= LONG,
        "scatter": plots.facing(section),
        "timeline": bool(payloads.remembered(board, section)),
        "columns": tables.columns(section),
        "lines": tables.lines(section),
        "notes": words.conditions(section),
        "cuts": [rule.name for rule in section.comparison.slices],
        "agreements": [told for a in section.agreements if (told := words.agreement(a))],
        "trust": trust.view(section),
    }
