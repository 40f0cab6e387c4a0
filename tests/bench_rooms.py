"""Reverberant clips against pyroomacoustics in a plain loop: `python -m tests.bench_rooms`.

Both make the same scenes from the same sources. Ours plans them, fits the walls to the T60, renders
the three references of each clip and sums in whole 16-bit steps; the loop asks pyroomacoustics for
each clip's response, with walls by its inverse of Sabine's formula, and convolves once.
"""

from __future__ import annotations

import numpy as np
import pyroomacoustics
import scipy.signal

from pipelines.recipes import rooms, scenes
from pipelines.recipes.base import generator
from pipelines.recipes.rooms import Room, RoomRanges
from tests.bench import compare

RATE = 16_000  # Hz
SECONDS = 4.0
CLIPS = 20


def signal(key: str) -> np.ndarray:
    """A source clip: noise, since its content costs nobody anything."""
    return 0.1 * generator(key).standard_normal(round(SECONDS * RATE))


def planned(shared: int | None) -> list[scenes.Scene]:
    """The scenes, in so many rooms; nothing is remembered from the round before."""
    rooms._room.cache_clear()
    rooms._full.cache_clear()
    recipe = scenes.Scenes(sample_rate=RATE, room=RoomRanges(rooms=shared))
    sources = [scenes.SourceClip(f"clip-{n}", f"speaker-{n}", SECONDS) for n in range(CLIPS)]
    return scenes.plan(recipe, sources)


def plain(rows: list[scenes.Scene]) -> None:
    """pyroomacoustics, clip by clip, as its manual has it."""
    for row in rows:
        room = row.talkers[0].room
        assert isinstance(room, Room)
        absorption, order = pyroomacoustics.inverse_sabine(room.asked_t60_s, room.size_m)
        box = pyroomacoustics.ShoeBox(
            room.size_m,
            fs=RATE,
            materials=pyroomacoustics.Material(absorption),
            max_order=order,
        )
        box.add_source(room.source)
        box.add_microphone(room.microphone)
        box.compute_rir()
        scipy.signal.oaconvolve(signal(row.talkers[0].key), box.rir[0][0])


def main() -> None:
    """A line for shared rooms, one for a room of its own for each clip."""
    for shared in (5, None):
        rows = planned(shared)
        found = len({row.talkers[0].room for row in rows})

        def ours(shared: int | None = shared) -> None:
            for row in planned(shared):
                scenes.render(row, signal)

        def theirs(rows: list[scenes.Scene] = rows) -> None:
            plain(rows)

        what = f"plan and render {CLIPS} clips of {SECONDS:g} s in {found} rooms"
        compare(what, "pyroomacoustics in a loop", ours, theirs)


if __name__ == "__main__":
    main()
