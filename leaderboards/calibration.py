"""How far a blind metric can be trusted: its guesses beside the truth, clip by clip.

Where clips come with a truth they are scored by both, the guess and what is guessed, and the
estimator's own error is measured on the very data of the board. Where they do not, all that can be
said is how many of them are unlike what the estimator learnt from, if it says so itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from leaderboards import slices
from leaderboards.cells import Scores, domain_cells
from leaderboards.labels import Index
from leaderboards.records import (
    DOMAINS,
    BlindError,
    BlindOrder,
    Calibration,
    Foreign,
    Row,
    ScoreTable,
    Truth,
)
from metrics.agreement import calibration_curve, kendall_tau_b
from metrics.registry import METRICS

OUTSIDE = 0.5  # from here on an estimator says that a signal is unlike all that it learnt from
FEWEST = 3  # clips for a correlation
BINS = 10

Floats = NDArray[np.float64]
Values = Mapping[str, tuple[float, Mapping[str, Any]]]  # key to value and detail of scored clips


@dataclass
class _Pairs:
    """Guesses and truths of the same clips, and how many of how many intervals hold the truth."""

    guesses: list[float] = field(default_factory=list)
    truths: list[float] = field(default_factory=list)
    held: int = 0
    intervals: int = 0

    def add(self, other: _Pairs) -> None:
        """More clips."""
        self.guesses += other.guesses
        self.truths += other.truths
        self.held += other.held
        self.intervals += other.intervals


def calibrated(
    rows: Sequence[Row],
    guessed: Sequence[ScoreTable],
    true: Sequence[ScoreTable],
    truths: Scores,
    indexes: Mapping[str, Index],
) -> Calibration | None:
    """What the board's own tables tell of a blind metric; None for a metric that is not blind.

    `guessed` and `true` are the tables of the metric and of what it guesses, `truths` the latter as
    scores; `rows` are in the board's order. ValueError for a table without details.
    """
    blind = truths.comparison.blind
    if blind is None:
        return None
    wanted = {n: slices.counting(truths.comparison, index) for n, index in indexes.items()}
    values = {(t.fingerprint, t.dataset): _values(t, wanted.get(t.dataset)) for t in guessed}
    known = {(t.fingerprint, t.dataset): _values(t, wanted.get(t.dataset)) for t in true}
    pairs = {place: _paired(values[place], known[place]) for place in known if place in values}
    return Calibration(
        blind.estimator,
        METRICS[blind.truth].title,
        truths=(found := tuple(_true(rows, truths))),
        errors=tuple(_errors(rows, truths, pairs)),
        orders=tuple(_orders(rows, found)),
        foreign=tuple(_foreign(rows, truths, values)),
        curve=_curve(list(pairs.values())),
        card=blind.card,
    )


def _values(table: ScoreTable, wanted: pa.StringArray | None) -> Values:
    """A table's scored clips by key, in the order of keys."""
    columns = ["key", "end", "numerator", "denominator", "detail"]
    found = pa.concat_tables([pq.ParquetFile(path).read(columns=columns) for path in table.paths])
    found = found.filter(pc.and_(pc.equal(found["end"], "scored"), pc.not_equal(
        pc.fill_null(found["denominator"], 0.0), 0.0)))  # fmt: skip
    if wanted is not None:
        found = found.filter(pc.is_in(found["key"], value_set=wanted))
    found = found.sort_by("key")
    # One text for all clips: parsing them one by one takes three times as long.
    details = json.loads(f"[{','.join(pc.fill_null(found['detail'], '{}').to_pylist())}]")
    values = pc.divide(found["numerator"], found["denominator"]).to_pylist()
    return dict(zip(found["key"].to_pylist(), zip(values, details, strict=True), strict=True))


def _true(rows: Sequence[Row], truths: Scores) -> Iterator[Truth]:
    """Every model's true cell, in the domains where some model has one."""
    models = [row.fingerprint for row in rows]
    for domain in DOMAINS:
        cells = domain_cells(truths, domain, models) if truths.of(domain) else []
        if any(cell.value is not None for cell in cells):
            yield from map(Truth, models, cells)


def _paired(guessed: Values, true: Values) -> _Pairs:
    """The clips that have a guess and a truth."""
    found = _Pairs()
    for key in guessed.keys() & true.keys():
        found.guesses.append(guessed[key][0])
        found.truths.append(true[key][0])
        held = list(_held(*guessed[key], *true[key]))
        found.held += sum(held)
        found.intervals += len(held)
    order = np.lexsort((found.truths, found.guesses))  # sets have no order; sums must have one
    found.guesses = [found.guesses[at] for at in order]
    found.truths = [found.truths[at] for at in order]
    return found


def _held(
    guess: float, said: Mapping[str, Any], truth: float, known: Mapping[str, Any]
) -> Iterator[bool]:
    """Whether the interval of each signal holds its truth; nothing without intervals, or where
    nobody noted which signal belongs to which source.
    """
    del guess
    sources = known.get("sources", [truth])
    order = known.get("permutation", [0] if len(sources) == 1 else [])
    if {len(order), *(len(said.get(end, ())) for end in ("lower", "upper"))} == {len(sources)}:
        for value, at in zip(sources, order, strict=True):
            yield said["lower"][at] <= value <= said["upper"][at]


def _errors(
    rows: Sequence[Row], truths: Scores, pairs: Mapping[tuple[str, str], _Pairs]
) -> Iterator[BlindError]:
    for domain in DOMAINS:
        for dataset in truths.comparison.datasets(domain):
            of = [(row.fingerprint, pairs.get((row.fingerprint, dataset))) for row in rows]
            some = [(name, found) for name, found in of if found and found.guesses]
            whole = _Pairs()
            for _, found in some:
                whole.add(found)
            for name, found in [("", whole), *some] if some else []:
                yield BlindError(name, dataset, domain, **_figures(found))


def _figures(found: _Pairs) -> dict[str, Any]:
    guesses, truths = np.array(found.guesses), np.array(found.truths)
    apart = guesses - truths
    return {
        "clips": len(apart),
        "truth": float(truths.mean()),
        "guess": float(guesses.mean()),
        "deviation": float(truths.std()),
        "mae": float(np.abs(apart).mean()),
        "bias": float(apart.mean()),
        "pearson": _pearson(guesses, truths),
        "covered": found.held / found.intervals if found.intervals else None,
        "intervals": found.intervals,
    }


def _pearson(guesses: Floats, truths: Floats) -> float | None:
    if len(guesses) < FEWEST or not np.ptp(guesses) or not np.ptp(truths):
        return None
    return float(np.corrcoef(guesses, truths)[0, 1])


def _orders(rows: Sequence[Row], truths: Sequence[Truth]) -> Iterator[BlindOrder]:
    """Over the models that are ranked, and oracles: to an estimator they are models as any."""
    by_place = {(truth.fingerprint, truth.cell.domain): truth.cell.value for truth in truths}
    taken = [row for row in rows if not row.unranked or row.role == "oracle"]
    for domain in DOMAINS:
        sides = [(row.cell(domain).value, by_place.get((row.fingerprint, domain))) for row in taken]
        whole = [
            (guess, truth) for guess, truth in sides if guess is not None and truth is not None
        ]
        if len(whole) > 1:
            guesses, known = zip(*whole, strict=True)
            yield BlindOrder(domain, len(whole), kendall_tau_b(guesses, known))


def _foreign(
    rows: Sequence[Row], truths: Scores, values: Mapping[tuple[str, str], Values]
) -> Iterator[Foreign]:
    for domain in DOMAINS:
        for dataset in truths.comparison.datasets(domain):
            for row in rows:
                of = values.get((row.fingerprint, dataset), {})
                said = [detail["outside"] for _, detail in of.values() if detail.get("outside")]
                outside = sum(max(found) >= OUTSIDE for found in said)
                if said:
                    yield Foreign(row.fingerprint, dataset, domain, len(said), outside)


def _curve(pairs: Sequence[_Pairs]) -> tuple[tuple[float, float, int], ...]:
    """The reliability curve over every clip with a truth; bins without a clip are left out."""
    guesses = [guess for found in pairs for guess in found.guesses]
    truths = [truth for found in pairs for truth in found.truths]
    return tuple(
        (of.expected, of.observed, of.clips)
        for of in calibration_curve(guesses, truths, edges=BINS)
        if of.expected is not None and of.observed is not None
    )
