"""The main table of a section, and the table of all datasets: what stands in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from leaderboards import words
from leaderboards.records import DOMAINS, Cell, Change, DatasetCell, Domain, Measure, Row, Section

Order = Literal["ascending", "descending"]


@dataclass(frozen=True)
class Column:
    """A column: its title, the small lines beneath, and the order that puts the best first."""

    title: str
    small: tuple[str, ...] = ()
    domain: Domain | Literal[""] = ""
    first: Order = "ascending"
    kind: str = ""


@dataclass(frozen=True)
class Entry:
    """One shown value: its text, the small line beneath, its label on a phone, its CSS class, what
    it is sorted by (None: last), where it leads to, and what is said of it when pointed at.
    """

    text: str
    small: str = ""
    label: str = ""
    kind: str = ""
    sort: float | None = None
    link: str = ""
    title: str = ""


def link(section: Section, fingerprint: str, dataset: str) -> str:
    """The place of a cell in the page's address; any name may stand in it."""
    parts = (section.comparison.name, fingerprint, dataset)
    return "#cell/" + "/".join(quote(part, safe="") for part in parts)


def domains(section: Section) -> list[Domain]:
    """What has a column: the domains with datasets, and real always, since it is the question."""
    return [d for d in DOMAINS if d == "real" or d in section.shown()]


def columns(section: Section) -> list[Column]:
    """The columns after place and model."""
    unit, best = section.measure.unit, _best_first(section.measure)
    found = []
    for domain in domains(section):
        given = bool(section.comparison.datasets(domain))
        small = unit if given else words.ADD_REAL
        found.append(Column(words.TITLES[domain], (small,) if small else (), domain, best, "value"))
        found += _beside(section, domain)
        if domain != "synthetic" and given:
            title, sum_of = words.difference(section.measure, domain)
            found.append(Column(title, (sum_of, "+ is worse"), first="ascending", kind="change"))
    if any(row.rtfx is not None for row in section.rows):
        found.append(Column("Speed", ("× real time",), first="descending", kind="side"))
    if section.calibration is not None:  # no room: what a model is stands in the files
        return [*found, Column("Failed", ("of all clips",), kind="side")]
    if any(row.parameters is not None for row in section.rows):
        found.append(Column("Weights", ("parameters",), first="ascending", kind="side"))
    if any(row.hardware for row in section.rows):
        found.append(Column("Hardware", (), kind="side text"))
    return [*found, Column("Failed", ("of all clips",), kind="side")]


def _beside(section: Section, domain: Domain) -> list[Column]:
    """The columns beside blind synthetic values: the true ones, and the estimator's own error."""
    if section.calibration is None or not truthful(section, domain):
        return []
    first = _best_first(section.measure)
    true = Column(f"True {domain}", (section.calibration.truth,), "", first, "side")
    return [true, Column("Error", ("of the guess",), kind="side")]


def truthful(section: Section, domain: Domain) -> bool:
    """Whether true values stand beside a domain's blind ones: beside synthetic ones, where known.

    What is known in other domains is told below, dataset by dataset: a table has its width.
    """
    found = section.calibration
    return found is not None and domain == "synthetic" and domain in found.known()


def lines(section: Section) -> list[dict[str, Any]]:
    """A line a model, in the ranking's order."""
    called = words.names(section.rows)
    leaders = {domain: _leaders(section, called, domain) for domain in DOMAINS}
    return [
        {
            "row": row,
            "name": called[row.fingerprint],
            "place": _place(section, row),
            "mark": words.ROLE_MARKS[row.role],
            "why": row.unranked,
            "entries": _entries(section, row, leaders),
        }
        for row in section.rows
    ]


def matrix(section: Section) -> list[list[Entry]]:
    """Every model on every dataset, the models in the ranking's order."""
    listed = [(d, name) for d in section.shown() for name in section.comparison.datasets(d)]
    return [[_on(section, row, domain, name) for domain, name in listed] for row in section.rows]


def weights(count: int) -> str:
    """A number of weights as people say it: `330 M`, `1.2 B`, `48 k`."""
    for size, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            shown = count / size
            return f"{shown:.0f}{letter}" if shown >= 10 else f"{shown:.1f}{letter}"
    return str(count)


def _best_first(measure: Measure) -> Order:
    return "descending" if measure.higher_is_better else "ascending"


def _leaders(section: Section, called: dict[str, str], domain: Domain) -> set[str]:
    """The fingerprints of who is first in a domain, and of who is tied with the first."""
    first = next((row for row in section.rows if row.cell(domain).rank == 1), None)
    if first is None:
        return set()
    name, tied = called[first.fingerprint], set(first.cell(domain).tied_with)
    return {first.fingerprint} | {
        row.fingerprint
        for row in section.rows
        if called[row.fingerprint] in tied and name in row.cell(domain).tied_with
    }


def _place(section: Section, row: Row) -> Entry:
    cell = row.cell(section.headline)
    text = words.place(row, section.headline)
    if cell.rank is None:
        return Entry("", sort=None, title="not ranked")
    title = ""
    if cell.tied_with:
        title = f"tied with {words.joined(cell.tied_with)}: their difference may be chance"
    elif cell.tie_unknown:
        title = f"too few speakers to tell it from {words.joined(cell.tie_unknown)}"
    return Entry(text, sort=float(cell.rank), title=title)


def _entries(section: Section, row: Row, leaders: dict[Domain, set[str]]) -> list[Entry]:
    found = []
    for domain in domains(section):
        first = row.fingerprint in leaders[domain]
        found.append(_value(section, row, domain, first=first))
        found += _truth(section, row, domain)
        if domain != "synthetic" and section.comparison.datasets(domain):
            found.append(
                _difference(section.measure, row.gap if domain == "real" else row.change, domain)
            )
    for column in columns(section):
        if column.title == "Speed":
            speed = words.NOTHING if row.rtfx is None else f"{row.rtfx:,.1f}×"
            found.append(Entry(speed, label="Speed", kind="side", sort=row.rtfx))
        if column.title == "Weights":
            found.append(_weights(row))
        if column.title == "Hardware":
            found.append(Entry(row.hardware or words.NOTHING, label="Hardware", kind="side text"))
    return [*found, _failed(section, row)]


def _weights(row: Row) -> Entry:
    if row.parameters is None:
        return Entry(words.NOTHING, label="Weights", kind="side")
    exact = f"{row.parameters:,} parameters"
    shown = weights(row.parameters)
    return Entry(shown, "", "Weights", "side", float(row.parameters), title=exact)


def _failed(section: Section, row: Row) -> Entry:
    counts = [row.cell(domain).counts for domain in section.shown()]
    failed, total = sum(c.n_failed for c in counts), sum(c.total for c in counts)
    reasons: dict[str, int] = {}
    for count in counts:
        for reason, n in count.failed.items():
            reasons[reason] = reasons.get(reason, 0) + n
    small = f"of {total:,}"
    kind = "side failed" if failed else "side"
    return Entry(f"{failed:,}", small, "Failed", kind, float(failed), title=words.reasons(reasons))


def _value(section: Section, row: Row, domain: Domain, *, first: bool) -> Entry:
    cell, label = row.cell(domain), words.TITLES[domain]
    if not section.comparison.datasets(domain):
        return Entry(words.NOTHING, label=label, kind="chance", title=words.ADD_REAL)
    small = words.span(section.measure, cell.interval) or cell.note
    text = words.number(section.measure, cell.value)
    kind = "first" if first else ""
    return Entry(text, small, label, kind, cell.value, _leads(section, row, cell))


def _truth(section: Section, row: Row, domain: Domain) -> list[Entry]:
    """The true value, and the estimator's mean absolute error on the domain's clips."""
    if section.calibration is None or not truthful(section, domain):
        return []
    measure, cell = section.measure, section.calibration.true(row.fingerprint, domain)
    small = (words.span(measure, cell.interval) or cell.note) if cell else ""
    label = f"True {domain}"
    value = cell.value if cell else None
    true = Entry(words.number(measure, value), small, label, "side", value)
    error, told = blind_error(section, row, domain)
    shown, bias = words.number(measure, error), "".join(told[:1])
    return [true, Entry(shown, bias, "Error", "side", error, title=", ".join(told))]


def blind_error(section: Section, row: Row, domain: Domain) -> tuple[float | None, tuple[str, ...]]:
    """The estimator's mean absolute error on a model, the mean over a domain's datasets, and in
    words its bias and, where there is one dataset, r.
    """
    found = section.calibration.errors if section.calibration else ()
    of = [e for e in found if (e.fingerprint, e.domain) == (row.fingerprint, domain)]
    if not of:
        return None, ()
    bias = words.signed(section.measure, sum(error.bias for error in of) / len(of))
    r = of[0].pearson if len(of) == 1 else None
    told = (f"bias {bias}",) + (() if r is None else (f"r {words.correlation(r)}",))
    return sum(error.mae for error in of) / len(of), told


def _leads(section: Section, row: Row, cell: Cell) -> str:
    """To the first of the domain's datasets that the model was scored on."""
    known = next((part.dataset for part in cell.datasets if part.value is not None), None)
    known = known or next((part.dataset for part in cell.datasets), None)
    return link(section, row.fingerprint, known) if known else ""


def _difference(measure: Measure, change: Change, domain: Domain) -> Entry:
    label = words.difference(measure, domain)[0]
    if change.value is None:
        return Entry(words.NOTHING, label=label, kind="chance", title=change.note)
    text = words.signed(measure, change.value)
    small = words.span(measure, change.interval)
    return Entry(text, small, label, _kind(change, text), change.value)


def _kind(change: Change, text: str) -> str:
    """Only a difference beyond chance, and large enough to be seen, is coloured."""
    if (
        change.interval is None
        or not text.strip("0.")
        or change.interval.low <= 0 <= change.interval.high
    ):
        return "chance"
    return "worse" if change.interval.low > 0 else "better"


def _on(section: Section, row: Row, domain: Domain, name: str) -> Entry:
    cell = find(row, domain, name)
    if cell is None:
        return Entry(words.NOTHING, "not scored")
    small = words.span(section.measure, cell.interval) or cell.note
    text = words.number(section.measure, cell.value)
    return Entry(text, small, sort=cell.value, link=link(section, row.fingerprint, name))


def find(row: Row, domain: Domain, dataset: str) -> DatasetCell | None:
    """The model's cell on a dataset; None where it was not scored on it."""
    cells: Sequence[DatasetCell] = row.cell(domain).datasets
    return next((cell for cell in cells if cell.dataset == dataset), None)
