"""Ranks in each domain, which of them are statistical ties, and where the order turns round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from leaderboards import words
from leaderboards.clips import Clips, both_scored
from leaderboards.records import Cell, Domain, Flip, Row
from metrics import intervals

Verdict = Literal["clear", "tied", "unknown"]
Scores = Callable[[Row, Domain], Sequence[Clips]]  # a domain's clips, a dataset each, in order


def ranked(
    rows: Sequence[Row], domain: Domain, *, scores: Scores, higher_is_better: bool
) -> tuple[Row, ...]:
    """The rows with `rank`, `tied_with` and `tie_unknown` of their cells in `domain` filled in."""
    order = ordered(rows, domain, higher_is_better=higher_is_better)
    verdicts = [verdict(a, b, domain, scores) for a, b in pairwise(order)]
    called = words.names(rows)
    cells = {}
    for place, row in enumerate(order):
        beside = _neighbours(order, verdicts, place)
        cells[row.fingerprint] = replace(
            row.cell(domain),
            rank=place + 1,
            tied_with=tuple(called[r.fingerprint] for r, v in beside if v == "tied"),
            tie_unknown=tuple(called[r.fingerprint] for r, v in beside if v == "unknown"),
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


def verdict(one: Row, other: Row, domain: Domain, scores: Scores) -> Verdict:
    """Whether two models differ beyond chance on the clips that both were scored on.

    "unknown" where a dataset has too few speakers for an interval, or no clip in common.
    """
    pairs = [
        both_scored(a, b) for a, b in zip(scores(one, domain), scores(other, domain), strict=True)
    ]
    estimate = intervals.compare([a for a, _ in pairs], [b for _, b in pairs])
    if estimate.interval is None:
        return "unknown"
    return "tied" if estimate.interval.low <= 0 <= estimate.interval.high else "clear"


def flips(
    rows: Sequence[Row], domain: Domain, *, scores: Scores, higher_is_better: bool
) -> tuple[Flip, ...]:
    """The pairs whose order on synthetic data is the other way round in `domain`."""
    before = ordered(rows, "synthetic", higher_is_better=higher_is_better)
    after = ordered(rows, domain, higher_is_better=higher_is_better)
    place = {row.fingerprint: index for index, row in enumerate(after)}
    called = words.names(rows)
    return tuple(
        Flip(
            called[ahead.fingerprint],
            called[behind.fingerprint],
            domain,
            clear=_clear(ahead, behind, domain, scores),
        )
        for index, ahead in enumerate(before)
        for behind in before[index + 1 :]
        if {ahead.fingerprint, behind.fingerprint} <= set(place)
        and place[ahead.fingerprint] > place[behind.fingerprint]
    )


def _clear(one: Row, other: Row, domain: Domain, scores: Scores) -> bool:
    domains: tuple[Domain, ...] = ("synthetic", domain)
    return all(verdict(one, other, name, scores) == "clear" for name in domains)


def _neighbours(
    order: Sequence[Row], verdicts: Sequence[Verdict], place: int
) -> list[tuple[Row, Verdict]]:
    beside = []
    if place > 0:
        beside.append((order[place - 1], verdicts[place - 1]))
    if place < len(verdicts):
        beside.append((order[place + 1], verdicts[place]))
    return beside


def _with_cell(row: Row, cell: Cell) -> Row:
    return replace(row, **{cell.domain: cell})  # type: ignore[arg-type]
