"""Long clips in stretches: what a model hears at once stays bounded, however long a clip is.

A clip longer than LONGEST is cut into stretches of about STRETCH, which are decoded one after
another from its stored bytes and asked about as if they were clips; the task joins their answers.
That is for models that neither look at the whole (a talker's place among others, one class) nor
need the truth beside it: enhancement, whose stretches overlap and are faded into each other, and
recognition, whose stretches meet in the quietest moment near each border. All else, and oracles,
hear every clip whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines import audio, batches, tasks
from pipelines.records import Failure
from pipelines.shards.datasets import HEARD, Clip, Shard
from pipelines.tasks.base import Task

LONGEST = 600.0  # seconds of a clip that is heard whole
STRETCH = 60  # seconds, whole ones: as many samples at every rate
SHARED = 2.0  # seconds that neighbours share, half on each side of their border
SOUGHT = 4.0  # seconds around a border in which the quietest moment is looked for
MOMENT = 0.2  # seconds


@dataclass(frozen=True)
class Stretch(Clip):
    """Part of a clip, read as a clip: `row.seconds` is its own length. Seconds within the clip."""

    whole: Callable[[str], bytes]  # the clip's own `read`
    start: float
    end: float | None  # None for the clip's end

    def read(self, name: str = HEARD) -> bytes:
        """The whole clip's bytes."""
        return self.whole(name)

    def _samples(self, data: bytes) -> tuple[audio.Signal, int]:
        found = audio.decode(io.BytesIO(data), self.start, self.end)  # a stretch, also of WAV
        return audio.to_float(found.pcm), found.sample_rate


def inputs(task: str, shard: Shard) -> list[str]:
    """What decides answers to a shard beside its content: how its long clips are cut, if it may
    have any.
    """
    cut = tasks.get(task).cut if shard.seconds > LONGEST else ""
    return [f"{cut} stretches 1, {STRETCH} s of over {LONGEST:g} s"] if cut else []


def apply(task: Task, model: Any, clip: Clip) -> bool:
    """Whether a clip is heard in stretches."""
    return bool(task.cut) and model.role != "oracle" and clip.row.seconds > LONGEST


def ask(task: Task, model: Any, window: Sequence[Clip]) -> list[dict[str, bytes] | Failure]:
    """As `batches.ask`, of the clips of a window; a long clip is a window of its own."""
    if len(window) == 1 and apply(task, model, window[0]):
        return [_answer(task, model, window[0])]
    return batches.ask(task, model, window)


class _Failed(Exception):
    """A stretch of a clip has no answer; its argument is the clip's Failure."""


def _answer(task: Task, model: Any, clip: Clip) -> dict[str, bytes] | Failure:
    shared = SHARED if task.cut == "overlapping" else 0.0
    try:
        return task.join(_answers(task, model, _cut(clip, shared)), shared)
    except _Failed as error:
        failure: Failure = error.args[0]
        return failure


def _answers(task: Task, model: Any, cut: Iterator[Stretch]) -> Iterator[dict[str, bytes]]:
    """The answers to stretches, in order; as many are held as a window has."""
    for window in batches.windows(cut):
        for stretch, answer in zip(window, batches.ask(task, model, window), strict=True):
            if isinstance(answer, Failure):
                place = f"from {stretch.start:g} s on: "  # type: ignore[attr-defined]
                raise _Failed(replace(answer, detail=place + answer.detail))
            yield answer


def _cut(clip: Clip, shared: float) -> Iterator[Stretch]:
    """The stretches of a clip, in order."""
    read = cache(clip.read)
    seconds = clip.row.seconds
    borders = [float(at) for at in range(STRETCH, int(seconds) - STRETCH // 2, STRETCH)]
    if not shared:
        borders = [_quietest(_part(clip, read, at - SOUGHT / 2, at + SOUGHT / 2)) for at in borders]
    for start, end in pairwise([0.0, *borders, seconds]):
        yield _part(clip, read, max(start - shared / 2, 0.0), min(end + shared / 2, seconds))


def _part(clip: Clip, read: Callable[[str], bytes], start: float, end: float) -> Stretch:
    row = replace(clip.row, seconds=end - start)
    last = end >= clip.row.seconds
    return Stretch(row, clip.file, read, start, None if last else end)


def _quietest(stretch: Stretch) -> float:
    """The middle of a stretch's quietest MOMENT, in the clip's seconds; the first of equals."""
    signal, rate = stretch.signal(), stretch.row.sample_rate
    size = round(MOMENT * rate)
    energy = np.concatenate([[0.0], np.cumsum(np.square(signal))])
    place = int(np.argmin(energy[size:] - energy[:-size])) + size // 2
    return stretch.start + place / rate
