"""A description of a dataset for a terminal: readable at 80 columns, at 120, and in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table

from leaderboards import dataset_words as words
from leaderboards.dataset_words import Fact
from leaderboards.description import Description, Label, Quantity
from leaderboards.terminal import ROOMY, line, plain

BARS, BAR_COLUMNS = 12, 26  # lines of a histogram, and columns of its longest bar
VALUES = 5  # shown of a label


def show(found: Description, *, file: TextIO | None = None, width: int | None = None) -> None:
    """Print the description, to standard output without `file`; colours on terminals only."""
    console = Console(file=file or sys.stdout, width=width, highlight=False)
    line(console, words.safe(found.name), style="bold")
    line(console, words.lede(found))
    facts = [fact for fact in words.overview(found) if fact.text != fact.small]
    _section(console, "", _facts(console, [*facts, *words.particulars(found)]))
    for note in found.notes:
        line(console, f"Note: {words.safe(note, 400)}", style="dim")
    if found.clips:
        _section(console, "Figures", _figures(console, found))
        _section(console, "", *_side_by_side(console, words.pictured(found)))
        _section(console, "What is said of the clips", _labels(console, found))
    if found.refused:
        _section(console, "Refused", _refused(console, found))


def _section(console: Console, title: str, *parts: RenderableType) -> None:
    for part in parts:
        console.print()
        if title:
            line(console, title, style="bold")
        console.print(Padding(part, (0, 1)))


def _facts(console: Console, facts: Sequence[Fact]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for fact in facts:
        said = f"{fact.text} ({fact.small})" if fact.small else fact.text
        table.add_row(plain(console, fact.title, style="dim"), plain(console, said))
    return table


def _figures(console: Console, found: Description) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for header in ("least", "5 %", "median", "95 %", "most"):
        table.add_column(plain(console, header, style="dim"), justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("", style="dim")
    for quantity in words.tabulated(found):
        cells = [words.TITLES[quantity.name], *words.figures(quantity), words.unit(quantity)]
        cells.append(words.remark(quantity) if console.width >= ROOMY else "")
        table.add_row(*(plain(console, cell) for cell in cells))
    return table


def _side_by_side(console: Console, quantities: Sequence[Quantity]) -> Iterator[RenderableType]:
    """Two histograms a row where there is room."""
    each = 2 if console.width >= ROOMY else 1
    for start in range(0, len(quantities), each):
        row = Table.grid(padding=(0, 4, 0, 0))
        row.add_row(*(_histogram(console, found) for found in quantities[start : start + each]))
        yield row


def _histogram(console: Console, quantity: Quantity) -> RenderableType:
    drawn = quantity.histogram.merged(BARS)
    ends = [words.edge(edge, drawn) for edge in drawn.edges]
    most = max(drawn.counts) or 1
    bars = Table.grid(padding=(0, 1, 0, 0))
    for column in ("right", "left", "left"):
        bars.add_column(justify=column, no_wrap=True)
    for low, high, count in zip(ends, ends[1:], drawn.counts, strict=False):
        bar = "█" * round(BAR_COLUMNS * count / most) or ("▏" if count else "")
        cells = (f"{low} to {high}", bar, f"{count:,}" if count else "")
        bars.add_row(*(plain(console, cell) for cell in cells))
    title = plain(console, f"{words.TITLES[quantity.name]}, {quantity.unit}", style="bold")
    return Group(title, bars)


def _labels(console: Console, found: Description) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold", min_width=8)
    table.add_column(overflow="fold")
    for label in found.labels:
        said = words.coverage(label, found.clips)
        name = plain(console, words.safe(label.name, 40), style="bold")
        table.add_row(name, plain(console, said))
        if values := _values(label):
            table.add_row("", plain(console, values, style="dim"))
    return table


def _values(label: Label) -> str:
    shown = words.common(label)
    first = [f"{words.safe(value, 40)} {count:,}" for value, count in shown[:VALUES]]
    return ", ".join(first) + (", …" if first and label.values > len(first) else "")


def _refused(console: Console, found: Description) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for refusal in found.refused:
        cells = (words.safe(refusal.reason), f"{refusal.clips:,}", words.example(refusal))
        table.add_row(*(plain(console, cell) for cell in cells))
    return table
