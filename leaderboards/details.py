"""What stands behind one value of a board: how a model's clips spread, and which to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from leaderboards import clips, description, slices
from leaderboards.clips import Clips
from leaderboards.description import Histogram
from leaderboards.examples import Place
from leaderboards.records import DOMAINS, Board, ScoreTable, Section

WORST = ("worst", "second worst", "third worst")
MEDIAN = "median"


@dataclass(frozen=True)
class Pick:
    """A clip to look at: why it was chosen, its key, and its value in the metric's own unit."""

    kinds: tuple[str, ...]
    key: str
    value: float


@dataclass(frozen=True)
class Detail:
    """One model on one dataset: its clips' values, and the clips to look at.

    `histogram` and `median` are in the unit that is shown; both are None where no clip has a finite
    value. `picks` are the worst three and the median clip, no clip twice.
    """

    histogram: Histogram | None
    median: float | None
    picks: tuple[Pick, ...]


@dataclass(frozen=True)
class Origin:
    """How the values of one model on one dataset come about: the commands that make them again, and
    facts to check them by, such as fingerprints and digests.
    """

    fingerprint: str
    dataset: str
    commands: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def read(board: Board, tables: Sequence[ScoreTable]) -> dict[Place, Detail]:
    """The detail of every model × dataset that the board shows and a score table is there for.

    Only clips that count in a comparison are taken. ValueError for a score table or an index that
    cannot be read.
    """
    found: dict[Place, Detail] = {}
    by_spec = {(t.fingerprint, t.dataset, t.metric_hash): t for t in tables}
    for section in board.sections:
        comparison = section.comparison
        indexes = slices.indexes(replace(comparison, slices=()), board.datasets)
        wanted = {name: slices.counting(comparison, index) for name, index in indexes.items()}
        for fingerprint, dataset in places(section):
            table = by_spec.get((fingerprint, dataset, section.measure.hash))
            if table is not None:
                place = (comparison.name, fingerprint, dataset)
                found[place] = of(clips.read(table, wanted.get(dataset)), section)
    return found


def places(section: Section) -> Iterator[tuple[str, str]]:
    """Model fingerprint and dataset of every cell: best model first, datasets as the suite has
    them.
    """
    for row in section.rows:
        for domain in DOMAINS:
            yield from ((row.fingerprint, cell.dataset) for cell in row.cell(domain).datasets)


def of(found: Clips, section: Section) -> Detail:
    """The detail of a model's scored clips."""
    values, keys = _finite(found)
    if not len(values):
        return Detail(None, None, ())
    shown = description.quantity("value", values * section.measure.scale, unit="")
    sign = 1.0 if section.measure.higher_is_better else -1.0
    order = np.lexsort((keys, sign * values))  # the worst first, of equals the first key
    return Detail(
        histogram=shown.histogram if shown else None,
        median=shown.median if shown else None,
        picks=_picks(values, keys, order),
    )


def _finite(found: Clips) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Values and keys of the scored clips, but for those divided by nothing."""
    kept = np.flatnonzero(found.scored & (found.denominators != 0))
    values = found.numerators[kept] / found.denominators[kept]
    return values, found.keys.take(kept).to_numpy(zero_copy_only=False).astype(str)


def _picks(
    values: NDArray[np.float64], keys: NDArray[np.str_], order: NDArray[np.intp]
) -> tuple[Pick, ...]:
    kinds: dict[int, tuple[str, ...]] = {}
    for kind, at in zip(WORST, order, strict=False):
        kinds[int(at)] = (kind,)
    middle = int(order[(len(order) - 1) // 2])
    kinds[middle] = (*kinds.get(middle, ()), MEDIAN)
    return tuple(Pick(kind, str(keys[at]), float(values[at])) for at, kind in kinds.items())


def picked(found: Mapping[Place, Detail]) -> Iterator[tuple[int, Place, Pick]]:
    """Every pick with its round: first the worst and the median clips of all cells, then the second
    worst of all, then the third, so that what a budget leaves out is what matters least.
    """
    late = {kind: turn for turn, kind in enumerate(WORST)}
    turns = [
        (min(late.get(kind, 0) for kind in pick.kinds), place, pick)
        for place, detail in found.items()
        for pick in detail.picks
    ]
    yield from sorted(turns, key=lambda turn: turn[0])
