"""When talkers speak: how much of each clip is used, and where in the scene it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np

from pipelines.recipes.base import uniform

Length = Literal["min", "max"] | float  # or seconds
Span = tuple[float, float]  # begin and end
_HALVINGS = 50  # of the search for an overlap: as exact as floats are


@dataclass(frozen=True)
class Stretch:
    """A part of a clip in a scene: seconds into the clip, how long, seconds into the scene."""

    start: float
    seconds: float
    offset: float


def place(
    lengths: Sequence[float],
    length: Length,
    overlap: float | None,
    *,
    cuts: np.random.Generator,
    starts: np.random.Generator,
) -> tuple[float, list[Stretch]]:
    """Where clips of the given lengths (seconds) lie in a scene.

    Args:
        lengths: of the clips, one or more, above 0.
        length: "min" cuts all clips to the shortest; "max" keeps all whole; a number makes scenes
            of so many seconds: of longer clips a part is taken, shorter ones begin at random.
        overlap: None to begin together ("min") or at random ("max", seconds); else the wanted
            `overlapped` share. Then the clips follow each other in a random order, and a scene is
            as long as they last together; one of fixed seconds cuts the clips to what fits.
        cuts: draws which part of a longer clip is used.
        starts: draws when talkers begin.

    Returns:
        seconds of the scene, and a stretch for each clip, in their order.
    """
    longest = _longest(lengths, length, overlap)
    used = [min(seconds, longest) for seconds in lengths]
    total = length if not isinstance(length, str) else None
    if overlap is None:
        total = total or max(used)
        offsets = [uniform(starts, (0.0, total - seconds)) for seconds in used]
    else:
        offsets = _in_turn(used, overlap, starts)
        end = max(offset + seconds for offset, seconds in zip(offsets, used, strict=True))
        late = uniform(starts, (0.0, max(total - end, 0.0))) if total else 0.0
        offsets = [late + offset for offset in offsets]
        total = total or end
    parts = [
        uniform(cuts, (0.0, seconds - taken)) if not isinstance(length, str) else 0.0
        for seconds, taken in zip(lengths, used, strict=True)
    ]
    return round(total, 6), [
        Stretch(start=start, seconds=round(taken, 6), offset=round(offset, 6))
        for start, taken, offset in zip(parts, used, offsets, strict=True)
    ]


def _longest(lengths: Sequence[float], length: Length, overlap: float | None) -> float:
    """The seconds that are used of a clip at most."""
    if isinstance(length, str):
        return min(lengths) if length == "min" else max(lengths)
    if overlap is None:
        return length
    return length / (max(chain([1.0] * len(lengths), overlap)) + 1.0)


def _in_turn(used: Sequence[float], overlap: float, starts: np.random.Generator) -> list[float]:
    """When stretches begin that follow each other in a random order."""
    order = [int(place) for place in starts.permutation(len(used))]
    begins = dict(zip(order, chain([used[place] for place in order], overlap), strict=True))
    return [begins[place] for place in range(len(used))]


def chain(lengths: Sequence[float], overlap: float) -> list[float]:
    """When stretches of these lengths begin, one after another, so that they overlap as wanted.

    Back to back they do not overlap; all begins are then drawn together by one factor until the
    `overlapped` share is the wanted one. Stretches of different lengths cannot reach 1: where the
    wanted share is beyond what they can have, all begin together.

    Returns:
        begins in the order given, the first 0.
    """
    serial = [0.0, *accumulate(lengths)][: len(lengths)]

    def begins(factor: float) -> list[float]:
        return [factor * begin for begin in serial]

    def share(factor: float) -> float:
        return overlapped([(b, b + s) for b, s in zip(begins(factor), lengths, strict=True)])

    if overlap <= 0.0 or share(0.0) <= overlap:
        return begins(1.0 if overlap <= 0.0 else 0.0)
    low, high = 0.0, 1.0  # too much overlap, too little
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if share(middle) > overlap else (low, middle)
    return begins(high)


def overlapped(spans: Sequence[Span]) -> float:
    """Of the time that one span or more covers, the share that two or more cover; 0 of nothing.

    For two talkers in clips of a and b seconds that overlap for o this is o / (a + b - o).
    """
    edges = sorted({edge for span in spans for edge in span})
    one = several = 0.0
    for begin, end in pairwise(edges):
        speaking = sum(first <= begin and end <= last for first, last in spans)
        one += (end - begin) * (speaking >= 1)
        several += (end - begin) * (speaking >= 2)
    return several / one if one else 0.0
