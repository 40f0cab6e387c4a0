"""Ranks in each domain, which of them are statistical ties, and where the order turns round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from leaderboards import words
from leaderboards.cells import Scores
from leaderboards.pairs import differences
from leaderboards.records import Cell, Domain, Flip, Row
from metrics.intervals import LEVEL

Verdict = Literal["clear", "tied", "unknown"]
Pair = tuple[str, str]  # fingerprints


def ranked(
    rows: Sequence[Row], domain: Domain, scores: Scores, *, higher_is_better: bool
) -> tuple[Row, ...]:
    """The rows with `rank`, `tied_with` and `tie_unknown` of their cells in `domain` filled in.

    Ties are by the comparison's `tie_level`; without one there are none.
    """
    order = ordered(rows, domain, higher_is_better=higher_is_better)
    names = [row.fingerprint for row in order]
    found = _neighbouring(scores, domain, names)
    called = words.names(rows)
    cells = {}
    for place, row in enumerate(order):
        beside = _neighbours(names, found, place)
        cells[row.fingerprint] = replace(
            row.cell(domain),
            rank=place + 1,
            tied_with=tuple(called[name] for name, v in beside if v == "tied"),
            tie_unknown=tuple(called[name] for name, v in beside if v == "unknown"),
        )
    return tuple(_with_cell(row, cells.get(row.fingerprint, row.cell(domain))) for row in rows)


def ordered(rows: Sequence[Row], domain: Domain, *, higher_is_better: bool) -> list[Row]:
    """The rows that take part in a domain's ranking, best first; equal values by name."""
    taking_part = [row for row in rows if not row.unranked and row.cell(domain).value is not None]
    sign = -1.0 if higher_is_better else 1.0
    return sorted(
        taking_part,
        key=lambda row: (sign * (row.cell(domain).value or 0.0), row.model, row.fingerprint),
    )


def verdicts(
    scores: Scores, domain: Domain, pairs: Sequence[Pair], *, level: float = LEVEL
) -> list[Verdict]:
    """Whether the models of each pair differ beyond chance on the clips both were scored on.

    "tied" where the paired interval holds zero; "unknown" where there is none, because a dataset
    has too few speakers, or no clip in common.
    """
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = differences(scores.of(domain), one, other, level=level)
    tied, known = found.hold_zero.tolist(), (found.low == found.low).tolist()
    return [
        ("tied" if holds else "clear") if there else "unknown"
        for holds, there in zip(tied, known, strict=True)
    ]


def flips(
    rows: Sequence[Row], domain: Domain, scores: Scores, *, higher_is_better: bool
) -> tuple[Flip, ...]:
    """The pairs whose order on synthetic data is the other way round in `domain`."""
    before = ordered(rows, "synthetic", higher_is_better=higher_is_better)
    after = ordered(rows, domain, higher_is_better=higher_is_better)
    place = {row.fingerprint: index for index, row in enumerate(after)}
    both = [row.fingerprint for row in before if row.fingerprint in place]
    turned = [
        (ahead, behind)
        for index, ahead in enumerate(both)
        for behind in both[index + 1 :]
        if place[ahead] > place[behind]
    ]
    level = scores.comparison.tie_level or LEVEL
    domains: tuple[Domain, ...] = ("synthetic", domain)
    sides = [verdicts(scores, name, turned, level=level) for name in domains]
    called = words.names(rows)
    return tuple(
        Flip(called[ahead], called[behind], domain, clear=(near, far) == ("clear", "clear"))
        for (ahead, behind), near, far in zip(turned, *sides, strict=True)
    )


def _neighbouring(scores: Scores, domain: Domain, names: Sequence[str]) -> list[Verdict]:
    pairs = list(pairwise(names))
    level = scores.comparison.tie_level
    return ["clear"] * len(pairs) if level is None else verdicts(scores, domain, pairs, level=level)


def _neighbours(
    names: Sequence[str], found: Sequence[Verdict], place: int
) -> list[tuple[str, Verdict]]:
    beside = []
    if place > 0:
        beside.append((names[place - 1], found[place - 1]))
    if place < len(found):
        beside.append((names[place + 1], found[place]))
    return beside


def _with_cell(row: Row, cell: Cell) -> Row:
    return replace(row, **{cell.domain: cell})  # type: ignore[arg-type]
