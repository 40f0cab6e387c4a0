"""Lanes: what each local worker does, and who helps whom when one of them is done.

The parts of a step are packed by cost into a lane a worker, dearest first. A worker that has done
its own goes on with what the others have not begun, from their ends: on a machine that others use
too, one worker may get a fifth less of it than the next. When nothing of a step is left to begin it
goes on to the next one.

What is to be done lies in a folder of the launcher's; to begin a group is to make its file there.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.records import Part

Group = tuple[Part, ...]  # parts that are done in one go; one alone, but for a Joint


@dataclass(frozen=True)
class Lane:
    """A worker's lanes, one of each step, as they travel to it: they lie in a folder."""

    folder: str
    number: int
    lanes: int
    steps: int


@contextmanager
def laid(steps: Sequence[Sequence[Sequence[Group]]]) -> Iterator[list[Lane]]:
    """Lanes to hand to as many workers, until the block ends: each step has one for each."""
    with tempfile.TemporaryDirectory(prefix="realear-lanes-") as folder:
        for step, lanes in enumerate(steps):
            for number, groups in enumerate(lanes):
                _file(folder, step, number).write_bytes(packed(groups))
        workers = len(steps[0])
        yield [Lane(folder, number, workers, len(steps)) for number in range(workers)]


def taken(lane: Lane) -> Iterator[Group]:
    """Step by step the lane's groups in order, then what is left of the others', as far as nobody
    has begun them; each is begun when it is asked for.
    """
    for step in range(lane.steps):
        for turn in range(lane.lanes):
            number = (lane.number + turn) % lane.lanes
            groups = unpacked(_file(lane.folder, step, number).read_bytes())
            places = range(len(groups))
            for place in reversed(places) if turn else places:
                if _begun(f"{lane.folder}/{step}-{number}-{place}"):
                    yield groups[place]


def _file(folder: str, step: int, number: int) -> Path:
    return Path(folder, f"lane-{step}-{number}")


def _begun(path: str) -> bool:
    """Whether it was this process that made the file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def packed(groups: Sequence[Group]) -> bytes:
    """Compressed: a million clips' references would else lie in the launcher several times."""
    return zlib.compress(pickle.dumps(list(groups)))


def unpacked(lane: bytes) -> list[Group]:
    """What `packed` packed: our own launcher's, as are Beam's own pickles."""
    groups: list[Group] = pickle.loads(zlib.decompress(lane))
    return groups


def by_cost(costs: Sequence[float], workers: int) -> list[list[int]]:
    """Indices packed into one lane a worker, dearest first, each to the lane with least to do."""
    lane: list[list[int]] = [[] for _ in range(workers)]
    load = [0.0] * workers
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        shortest = load.index(min(load))
        lane[shortest].append(index)
        load[shortest] += costs[index]
    return [indices for indices in lane if indices]
