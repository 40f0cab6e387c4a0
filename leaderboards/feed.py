"""What others may subscribe to or embed: a JSON feed of a board's evaluations, and a badge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from leaderboards import words
from leaderboards.records import Board, Measure, Moment, Row, Section

VERSION = "https://jsonfeed.org/version/1.1"
LETTER = 6.6  # pixels that a letter of the badge takes, on average
PAD = 7  # pixels beside a text
HEIGHT = 20  # pixels
INK, PAPER = "#24292f", "#f3f4f6"


def feed(board: Board, *, run: str = "", when: str = "") -> str:
    """A JSON Feed 1.1 with an item an evaluation, newest first: this board's, then its history.

    `run` and `when` (ISO 8601, UTC) are this evaluation's in MLflow; without them the item is named
    by the suite's digest and has no date.
    """
    latest: dict[str, Any] = {
        "id": run or board.suite_digest or board.title,
        "title": board.title,
        "content_text": "\n\n".join(_told(section) for section in board.sections),
    }
    dated = {"date_published": when} if when else {}
    record = {
        "version": VERSION,
        "title": board.title,
        "description": "Synthetic and real-life performance side by side, an item an evaluation.",
        "items": [latest | dated, *(_earlier(board, each) for each in reversed(board.history))],
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _told(section: Section) -> str:
    return f"{section.comparison.title}: {section.finding}"


def _earlier(board: Board, moment: Moment) -> dict[str, Any]:
    lines = [line for section in board.sections for line in _then(section, moment)]
    return {
        "id": moment.run,
        "title": board.title,
        "content_text": "\n".join(lines) or "Nothing of what is compared now was compared then.",
        "date_published": moment.when,
    }


def _then(section: Section, moment: Moment) -> list[str]:
    """A line for every model that was evaluated then: its values by domain."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, value in moment.values.items():
        comparison, model, fingerprint, domain = name.split("|")
        if comparison == section.comparison.name:
            shown = f"{domain} {words.amount(section.measure, value)}"
            found.setdefault((model, fingerprint), []).append(shown)
    title, metric = section.comparison.title, section.measure.title
    return [
        f"{title}, {model}, {metric}: {', '.join(texts)}" for (model, _), texts in found.items()
    ]


def badge(board: Board) -> str:
    """A small picture for a README, as SVG: the first comparison's best model, its value and gap.

    The value is that of the domain closest to life that was measured.
    """
    left, right = "RealEar", "nothing ranked"
    for section in board.sections[:1]:
        left = section.measure.title
        if row := _best(section.rows):
            right = _result(section, row)
    return _drawn(left, right)


def _best(rows: Sequence[Row]) -> Row | None:
    """The first ranked model; a baseline only where no model is ranked."""
    ranked = [row for row in rows if not row.unranked]
    return next((row for row in ranked if row.role == "model"), next(iter(ranked), None))


def _result(section: Section, row: Row) -> str:
    measure, domain = section.measure, section.headline
    shown = f"{row.model} · {domain} {words.amount(measure, row.cell(domain).value)}"
    change = row.gap if domain == "real" else row.change
    return (
        f"{shown} · {_away(measure, domain, change.value)}" if change.value is not None else shown
    )


def _away(measure: Measure, domain: str, value: float) -> str:
    return f"{'gap' if domain == 'real' else 'change'} {words.signed(measure, value)}"


def _drawn(left: str, right: str) -> str:
    """Two texts on two grounds; black on white where colours mean nothing."""
    widths = [round(len(text) * LETTER) + 2 * PAD for text in (left, right)]
    whole = sum(widths)
    said = escape(f"{left}: {right}")
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{HEIGHT}" role="img" '
        f'aria-label="{said}"><title>{said}</title>'
        f'<rect width="{whole}" height="{HEIGHT}" rx="3" fill="{INK}"/>'
        f'<path d="M{widths[0]} 0h{widths[1] - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{widths[0]}z" '
        f'fill="{PAPER}"/><g {font}>'
        f'<text x="{PAD}" y="14" fill="{PAPER}" textLength="{widths[0] - 2 * PAD}">'
        f"{escape(left)}</text>"
        f'<text x="{widths[0] + PAD}" y="14" fill="{INK}" textLength="{widths[1] - 2 * PAD}">'
        f"{escape(right)}</text></g></svg>\n"
    )
