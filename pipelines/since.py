"""A board beside an earlier evaluation of the same suite: what became better or worse."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from leaderboards import terminal, tracking, words
from leaderboards.records import Board, Domain, Row, Section
from leaderboards.tracking import Tracker
from pipelines.records import RealEarError

LAST = "last"


@dataclass(frozen=True)
class Earlier:
    """What an earlier evaluation found: values by comparison, model, fingerprint and quantity."""

    run: str
    when: str
    values: Mapping[tuple[str, ...], float]

    def value(self, section: Section, row: Row, domain: Domain) -> float | None:
        """What it found for this model, by its fingerprint or else by its name; None if nothing.

        A name that stood for several models then, or stands for several now, is no help.
        """
        place = section.comparison.name
        exact = self.values.get((place, row.model, row.fingerprint, domain))
        if exact is not None:
            return exact
        then = [
            v for k, v in self.values.items() if (k[0], k[1], k[3]) == (place, row.model, domain)
        ]
        now = [other for other in section.rows if other.model == row.model]
        return then[0] if len(then) == len(now) == 1 else None

    def losses(self, section: Section, row: Row) -> dict[Domain, float]:
        """By how much each domain's value is worse now, in the metric's own unit."""
        sign = -1.0 if section.measure.higher_is_better else 1.0
        found = {}
        for domain in section.shown():
            before, now = self.value(section, row, domain), row.cell(domain).value
            if before is not None and now is not None:
                found[domain] = sign * (now - before)
        return found


def find(tracker: Tracker, wanted: str, *, before: str | None = None) -> Earlier | None:
    """An evaluation by its MLflow run id, or the `last` one before a time.

    None where there is no last one yet; RealEarError for an id that is none.
    """
    found = tracker.earlier(before if wanted == LAST else None)
    if wanted == LAST:
        chosen = found[0] if found else None
    else:
        chosen = next((run for run in found if run.run == wanted), None)
        if chosen is None:
            listed = ", ".join(run.run for run in found[:5]) or "none"
            raise RealEarError(
                f"--since {wanted}: expected `last` or the run of an evaluation of "
                f"{tracker.suite!r}; the latest are: {listed}"
            )
    if chosen is None:
        return None
    values = {tuple(name.split("|")): value for name, value in tracking.values(chosen).items()}
    return Earlier(chosen.run, chosen.when, values)


def show(board: Board, earlier: Earlier, console: Console | None = None) -> None:
    """Print what changed since: a table a comparison, models by domains."""
    console = console or Console(file=sys.stdout, highlight=False)
    terminal.line(console, f"Since {earlier.when[:16].replace('T', ' ')} UTC ({earlier.run})",
                  style="bold")  # fmt: skip
    for section in board.sections:
        rows = [(row, earlier.losses(section, row)) for row in section.rows]
        if any(losses for _, losses in rows):
            _table(console, section, rows)
        else:
            terminal.line(console, f"{section.comparison.title}: not compared then", style="dim")


def _table(console: Console, section: Section, rows: list[tuple[Row, dict[Domain, float]]]) -> None:
    called = words.names(section.rows)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 1))
    unit = f", {section.measure.unit}" if section.measure.unit else ""
    title = f"{section.comparison.title}: {section.measure.title}{unit}, + is worse"
    table.add_column(terminal.plain(console, title), overflow="fold")
    for domain in section.shown():
        table.add_column(words.TITLES[domain], justify="right")
    for row, losses in rows:
        cells = [words.signed(section.measure, losses.get(domain)) for domain in section.shown()]
        shown = [called[row.fingerprint], *cells]
        table.add_row(*(terminal.plain(console, cell) for cell in shown))
    console.print(table)
