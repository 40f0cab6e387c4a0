"""A board as tables for a terminal: readable at 80 columns, at 120, and in a log file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leaderboards import records, tables, words
from leaderboards.records import DOMAINS, Board, Change, Domain, Row, Section, SliceCell

ROOMY = 112  # columns from which intervals get their brackets and the speed its column
_GROUP, _ACROSS = 18, 22  # columns for the name of a group, and for each model beside it
_ASCII = str.maketrans("−≈↑↓–×·█▏", "-=^v-x;#|") | {ord("…"): "..", ord("→"): "->"}


def show(board: Board, *, file: TextIO | None = None, width: int | None = None) -> None:
    """Print the board, to standard output without `file`; colours on terminals only."""
    console = Console(file=file or sys.stdout, width=width, highlight=False)
    line(console, board.title, style="bold")
    for section in board.sections:
        _section(console, section)


def slices(section: Section, *, file: TextIO | None = None, width: int | None = None) -> None:
    """Print a section's slices: a table a rule, a line a group, a column a model, best first.

    Values of the headline's domain; faint (in brackets) under 20 clips. What does not fit beside
    each other follows below.
    """
    console = Console(file=file or sys.stdout, width=width, highlight=False)
    line(console, f"{section.comparison.title} {words.PLACES[section.headline]}", style="bold")
    found = [cell for cell in section.slices if cell.domain == section.headline]
    if not found:
        line(console, "No slices: name some under `slices` in the comparison.")
    across = max(1, (console.width - _GROUP) // _ACROSS)
    for name in dict.fromkeys(cell.slice for cell in found):
        cells = [cell for cell in found if cell.slice == name]
        for start in range(0, len(section.rows), across):
            console.print()
            console.print(
                _slice_table(console, section, name, cells, section.rows[start : start + across])
            )


def _slice_table(
    console: Console, section: Section, name: str, cells: Sequence[SliceCell], rows: Sequence[Row]
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=False)
    called = words.names(section.rows)
    for place, title in enumerate([name, *(called[row.fingerprint] for row in rows)]):
        justify: Literal["left", "right"] = "right" if place else "left"
        table.add_column(plain(console, title, style="bold"), justify=justify, overflow="fold")
    by_place = {(cell.group, cell.fingerprint): cell for cell in cells}
    for group in dict.fromkeys(cell.group for cell in cells):
        of = [by_place.get((group, row.fingerprint)) for row in rows]
        shown = [_slice_cell(section, cell) for cell in of]
        table.add_row(*(plain(console, text) for text in (group, *shown)))
    return table


def _slice_cell(section: Section, cell: SliceCell | None) -> str:
    if cell is None:
        return words.NOTHING
    spread = words.span(section.measure, cell.interval, form="{}…{}")
    shown = " ".join(p for p in (words.number(section.measure, cell.value), spread) if p)
    return f"({shown})" if cell.faint else shown


def _section(console: Console, section: Section) -> None:
    console.print()
    line(console, section.comparison.title, style="bold")
    line(console, f"{section.comparison.task} · {words.heading(section.measure)}", style="dim")
    console.print(_table(console, section))
    console.print()
    line(console, section.finding)
    for table in section.tables:
        _beside(console, table)
    for note in [*_unranked(section), *words.notes(section)]:
        line(console, note, style="dim")


def _beside(console: Console, found: records.Table) -> None:
    """A further table, unless it is one for the page."""
    if found.long:
        return
    console.print()
    line(console, found.title, style="bold")
    padding = (0, 2 if console.width >= ROOMY else 1, 1, 0)
    table = Table(box=None, pad_edge=False, padding=padding, expand=False)
    for place, column in enumerate(found.columns):
        justify: Literal["left", "right"] = "right" if place else "left"
        title = plain(console, column.replace(" ", "\n"), style="bold")
        table.add_column(title, justify=justify, overflow="fold", min_width=None if place else 10)
    for row in found.rows:
        table.add_row(*(plain(console, text) for text in row))
    console.print(table)
    if found.note:
        line(console, found.note, style="dim")


def _unranked(section: Section) -> list[str]:
    called = words.names(section.rows)
    return [
        f"{called[row.fingerprint]} is not ranked: {row.unranked}."
        for row in section.rows
        if row.unranked
    ]


def line(console: Console, text: str, *, style: str = "") -> None:
    """Print a line of text, set in by a column."""
    console.print(Padding(plain(console, text, style=style), (0, 1)))


def plain(console: Console, text: str, *, style: str = "") -> Text:
    """The text as it stands, never read as markup, in ASCII where the stream knows no more."""
    unicode = console.encoding.lower().startswith("utf")
    safe = text if unicode else text.translate(_ASCII).encode("ascii", "replace").decode()
    return Text(safe, style=style)


def _table(console: Console, section: Section) -> Table:
    roomy = console.width >= ROOMY
    table = Table(box=None, pad_edge=False, padding=(0, 2 if roomy else 1, 1, 0), expand=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("Model", overflow="fold", min_width=10)
    for header in _headers(section, roomy=roomy):
        title = plain(console, header, style="bold")
        table.add_column(title, justify="right", vertical="top")
    for row, name in _named(section):
        style = "dim" if row.unranked else ""
        cells = [words.place(row, section.headline), name, *_cells(section, row, roomy=roomy)]
        table.add_row(*(plain(console, cell, style=style) for cell in cells))
    return table


def _headers(section: Section, *, roomy: bool) -> list[str]:
    headers = []
    for domain in _domains(section):
        empty = not section.comparison.datasets(domain)
        headers.append(words.TITLES[domain])
        if tables.truthful(section, domain):
            headers += ["True", "Error"] if roomy else ["True"]
        if domain != "synthetic" and not empty:
            name, arithmetic = words.difference(section.measure, domain)
            headers.append(f"{name}\n{arithmetic}\n+ is worse" if roomy else f"{name}\n+ is worse")
    return headers + (["Speed"] if roomy and _timed(section) else [])


def _named(section: Section) -> Sequence[tuple[Row, str]]:
    called = words.names(section.rows)
    return [(row, _name(row, called[row.fingerprint])) for row in section.rows]


def _name(row: Row, name: str) -> str:
    marks = [words.ROLE_MARKS[row.role], "unranked" if row.unranked else ""]
    marked = ", ".join(mark for mark in marks if mark)
    return f"{name}\n({marked})" if marked else name


def _domains(section: Section) -> list[Domain]:
    return [domain for domain in DOMAINS if domain == "real" or domain in section.shown()]


def _timed(section: Section) -> bool:
    return any(row.rtfx is not None for row in section.rows)


def _cells(section: Section, row: Row, *, roomy: bool) -> list[str]:
    cells = []
    for domain in _domains(section):
        empty = not section.comparison.datasets(domain)
        cells.append(words.ADD_REAL if empty else _value(section, row, domain, roomy=roomy))
        cells += _truth(section, row, domain, roomy=roomy)
        if domain != "synthetic" and not empty:
            change = row.gap if domain == "real" else row.change
            cells.append(_change(section, change, roomy=roomy))
    if roomy and _timed(section):
        cells.append(words.NOTHING if row.rtfx is None else f"{row.rtfx:.1f}×")
    return cells


def _value(section: Section, row: Row, domain: Domain, *, roomy: bool) -> str:
    cell = row.cell(domain)
    spread = words.span(section.measure, cell.interval, form=_form(roomy=roomy)) or cell.note
    return f"{words.number(section.measure, cell.value)}\n{spread}".strip()


def _truth(section: Section, row: Row, domain: Domain, *, roomy: bool) -> list[str]:
    """The true value beside a blind one and, where there is room, how far guesses are from it."""
    if section.calibration is None or not tables.truthful(section, domain):
        return []
    cell = section.calibration.true(row.fingerprint, domain)
    value, spread = (cell.value, cell.interval) if cell else (None, None)
    shown = words.span(section.measure, spread, form=_form(roomy=roomy))
    true = f"{words.number(section.measure, value)}\n{shown}".strip()
    error, told = tables.blind_error(section, row, domain)
    shown = "\n".join((words.number(section.measure, error), *told[:1]))
    return [true, shown] if roomy else [true]


def _change(section: Section, change: Change, *, roomy: bool) -> str:
    spread = words.span(section.measure, change.interval, form=_form(roomy=roomy))
    return f"{words.signed(section.measure, change.value)}\n{spread}".strip()


def _form(*, roomy: bool) -> str:
    return "[{}, {}]" if roomy else "{}…{}"
