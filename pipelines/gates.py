"""Gates: what must not be true of a board for the command to end well, as `gap.wer > 0.05`.

    [comparison.][model.]quantity.metric[.low|.high] op number

`quantity` is a domain (synthetic, simulated, real), `change` or `gap` (positive is worse), `failed`
(the share of clips that the model failed on), or `worse`: by how much a domain's value is worse
than in the evaluation of `--since`. Numbers are raw, as the metric has them: a word error rate of
5 % is 0.05. `.low` and `.high` are the ends of the interval: `gap.wer.low > 0` fires only where the
gap is beyond chance. A gate is asked of every model, and of baselines and oracles that it names.
Words that the suite does not know are refused before any work. A value that is not there fires the
gate, since nobody can say that all is well; an interval that is not there does not.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from leaderboards import words
from leaderboards.records import DOMAINS, Board, Cell, Change, Domain, Measure, Row, Section
from pipelines import explanations, zeroshot
from pipelines.config import ComparisonConfig, Suite
from pipelines.records import RealEarError
from pipelines.schema import nearest
from pipelines.since import Earlier

QUANTITIES = (*DOMAINS, "change", "gap", "failed", "worse")
NEEDS: Mapping[str, tuple[Domain, ...]] = {
    **{domain: (domain,) for domain in DOMAINS},
    "change": ("synthetic", "simulated"),
    "gap": ("synthetic", "real"),
}
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
BOUNDS = ("low", "high")
_GATE = re.compile(r"^\s*(\S+?)\s*(>=|<=|>|<)\s*(\S+)\s*$")


@dataclass(frozen=True)
class Gate:
    """One condition: `text` as it was written, and what it says. `of` limits it, '' does not."""

    text: str
    of: str
    quantity: str
    metric: str
    bound: str
    op: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether the condition is true of a value, which is what must not be."""
        return OPERATORS[self.op](value, self.limit)


@dataclass(frozen=True)
class Known:
    """What a gate may name: a comparison (under its names), its models, metrics and domains."""

    names: tuple[str, ...]
    models: tuple[str, ...]
    metrics: tuple[str, ...]
    domains: tuple[Domain, ...]


def of_suite(suite: Suite) -> list[Known]:
    """What gates may name in a suite, before anything is run."""
    return [
        Known(
            (name, *(f"{name}-{metric}" for metric in comparison.wanted())),
            _rows(suite, comparison),
            tuple(comparison.wanted()),
            tuple(domain for domain in DOMAINS if getattr(comparison, domain)),
        )
        for name, comparison in suite.comparisons.items()
    ]


def _rows(suite: Suite, comparison: ComparisonConfig) -> tuple[str, ...]:
    """What the rows of a comparison will be called."""
    if comparison.task == explanations.TASK:
        pairs = itertools.product(comparison.classifiers, comparison.models)
        return tuple(explanations.row_name(*each) for each in pairs)
    if comparison.task != zeroshot.TASK:
        return tuple(comparison.models)
    named = (zeroshot.row_names(m, suite.model(m), comparison) for m in comparison.models)
    return tuple(name for names in named for name in names)


def of_board(board: Board) -> list[Known]:
    """What gates may name in a board that came without its suite."""
    return [
        Known(
            _names(section),
            tuple(row.model for row in section.rows),
            (section.measure.name,),
            section.shown(),
        )
        for section in board.sections
    ]


def _names(section: Section) -> tuple[str, ...]:
    """A section's own name, and that of the suite's comparison if it is of a further metric."""
    name = section.comparison.name
    return tuple(dict.fromkeys((name, name.removesuffix(f"-{section.measure.name}"))))


def parse(text: str, known: Sequence[Known], *, since: bool = False) -> Gate:
    """A checked gate; RealEarError with the nearest names for a word that nothing is called by.

    `since` says whether there is an earlier evaluation that `worse` can be asked of.
    """
    match = _GATE.match(text)
    if match is None:
        raise _wrong(text, "expected it as 'gap.wer > 0.05'")
    left, op, number = match.groups()
    try:
        limit = float(number)
    except ValueError as error:
        raise _wrong(text, f"expected a number, found {number!r}") from error
    if not math.isfinite(limit):
        raise _wrong(text, f"expected a finite number, found {number!r}")
    gate = _parts(text, left, op, limit)
    _check(gate, known)
    if gate.quantity == "worse" and not since:
        raise _wrong(text, "`worse` compares with an earlier evaluation: name it by --since")
    return gate


def _parts(text: str, left: str, op: str, limit: float) -> Gate:
    parts = left.split(".")
    bound = parts.pop() if parts[-1] in BOUNDS else ""
    if len(parts) < 2:
        raise _wrong(text, f"expected quantity.metric, such as gap.wer, found {left!r}")
    *of, quantity, metric = parts
    if quantity not in QUANTITIES:
        raise _wrong(text, f"unknown quantity {quantity!r}: {nearest(quantity, QUANTITIES)}")
    if bound and quantity in ("failed", "worse"):
        raise _wrong(text, f"{quantity} has no interval: leave .{bound} out")
    return Gate(text, ".".join(of), quantity, metric, bound, op, limit)


def _check(gate: Gate, known: Sequence[Known]) -> None:
    metrics = {name for each in known for name in each.metrics}
    if gate.metric not in metrics:
        raise _wrong(gate.text, f"unknown metric {gate.metric!r}: {nearest(gate.metric, metrics)}")
    named = {name for each in known for name in _prefixes(each)}
    if gate.of and gate.of not in named:
        raise _wrong(gate.text, f"unknown comparison or model {gate.of!r}: "
                                f"{nearest(gate.of, named)}")  # fmt: skip
    meant = [each for each in known if gate.metric in each.metrics]
    if gate.of:
        meant = [each for each in meant if gate.of in _prefixes(each)]
    if not meant:
        raise _wrong(gate.text, f"{gate.of} is not scored by {gate.metric}")
    needed = NEEDS.get(gate.quantity, ())
    if not any(set(needed) <= set(each.domains) for each in meant):
        found = words.joined(sorted({domain for each in meant for domain in each.domains}))
        raise _wrong(
            gate.text, f"{gate.quantity} needs {words.joined(needed)} datasets, found {found} ones"
        )


def _prefixes(known: Known) -> set[str]:
    """All that may stand before the quantity."""
    both = {f"{name}.{model}" for name in known.names for model in known.models}
    return {*known.names, *known.models, *both}


def _wrong(text: str, what: str) -> RealEarError:
    return RealEarError(f"--fail-if {text!r}: {what}")


def fired(gates: Iterable[Gate], board: Board, earlier: Earlier | None = None) -> list[str]:
    """A line for every row that makes a gate fire; empty when all is well."""
    return [
        line
        for gate in gates
        for section in board.sections
        for row in section.rows
        if section.measure.name == gate.metric and _is_meant(gate, section, row)
        for line in _judged(gate, section, row, earlier)
    ]


def _is_meant(gate: Gate, section: Section, row: Row) -> bool:
    names = _names(section)
    if not gate.of or gate.of in names:
        return row.role == "model"
    return gate.of in {row.model, *(f"{name}.{row.model}" for name in names)}


def _judged(gate: Gate, section: Section, row: Row, earlier: Earlier | None) -> Iterator[str]:
    called = f"{section.comparison.name}: {words.names(section.rows)[row.fingerprint]}"
    if not set(NEEDS.get(gate.quantity, ())) <= set(section.shown()):
        return  # the gate is about other comparisons
    if gate.quantity == "failed":
        share = _failed(row)
        if gate.holds(share):
            yield _said(gate, f"{called} failed on {share:.1%} of its clips")
    elif gate.quantity == "worse":
        for domain, loss in (earlier.losses(section, row) if earlier else {}).items():
            if gate.holds(loss):
                shown = words.signed(section.measure, loss)
                yield _said(gate, f"{called} is {shown} worse {words.PLACES[domain]} than before")
    else:
        yield from _of_value(gate, section.measure, called, _part(gate, row))


def _part(gate: Gate, row: Row) -> Cell | Change:
    if gate.quantity == "gap":
        return row.gap
    if gate.quantity == "change":
        return row.change
    return {cell.domain: cell for cell in (row.synthetic, row.simulated, row.real)}[gate.quantity]  # type: ignore[index]


def _of_value(gate: Gate, measure: Measure, called: str, part: Cell | Change) -> Iterator[str]:
    if part.value is None:
        yield _said(gate, f"{called} has no {gate.quantity} value ({part.note or 'not scored'})")
        return
    value = part.value
    if gate.bound:
        if part.interval is None:
            return
        value = getattr(part.interval, gate.bound)
    if gate.holds(value):
        spread = words.span(measure, part.interval)
        shown = " ".join(filter(None, (words.amount(measure, part.value), spread)))
        yield _said(gate, f"{called} has a {gate.quantity} {measure.name} of {shown}")


def _failed(row: Row) -> float:
    counts = [cell.counts for domain in DOMAINS for cell in row.cell(domain).datasets]
    total = sum(each.total for each in counts)
    return sum(each.n_failed for each in counts) / total if total else 0.0


def _said(gate: Gate, what: str) -> str:
    return f"{gate.text}: {what}"
