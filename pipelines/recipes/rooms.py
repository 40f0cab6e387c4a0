"""Rooms: drawn from ranges, with walls fitted to the wanted reverberation time.

A `Room` is decided by its size, its walls and two places in it; `recipes.shoebox` makes its impulse
response. The walls are fitted when rooms are drawn, so a row says which T60 was asked for and which
one the room has, measured as `recipes.decay` does. The two differ by more than 15 % in few rooms,
mostly dry ones with several talkers; those rows say so themselves (`Room.missed`).

**Which T60 a room can have.** Where walls have to take nearly all of the energy, the response is a
few reflections and no decay. So the shortest T60 of a room is the one that Eyring's formula gives
for walls that take 0.6 of it. A plan draws a T60 from the part of its range that the drawn room can
have; a range that leaves nothing for the largest room is refused when the recipe is made, so a plan
cannot fail halfway. A range whose longest T60 makes the smallest room too costly is refused, too.

**Shared rooms.** A response costs far more than the clip that is convolved with it. So a recipe has
a number of rooms, 200 if it says nothing, and every clip is in one of them: each room is fitted
once, and a worker keeps the responses that it made (512 of them: 20 MB at 16 kHz and 0.6 s).
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from pipelines.recipes.base import Range, Recipe, Row, Spread, generator, seed_of, uniform
from pipelines.recipes.decay import reverberation_time
from pipelines.recipes.responses import EARLY, until
from pipelines.recipes.responses import Responses as Responses  # whoever asks for rooms wants it
from pipelines.recipes.shoebox import (
    SPEED_OF_SOUND,
    Point,
    direct_sound,
    eyring_t60,
    fitted_walls,
    simulated,
)

MOST_ABSORPTION = 0.6  # of the energy; see the module's text
MOST_IMAGES = 1e7  # of a response: some 4 s of work
LEEWAY = 0.15  # share of the asked T60 by which a room may miss it
WALL_MARGIN = 0.4  # m, of talkers and microphones from every wall
NEAREST = 0.05  # m, of a talker to the microphone: nearer, the direct sound hides the decay
_TRIES = 1_000  # positions to draw before giving up
_HEIGHTS = (1.0, 1.9)  # m, of mouths and microphones: sitting to standing
_KEPT = 512  # responses in memory
_FITTED = 4096  # rooms in memory


class Room(Row):
    """One talker and one microphone in a room; decides an impulse response.

    Attributes:
        size_m: length, width and height.
        source, microphone: where they are, m from the corner at the origin.
        absorption: share of the energy that each wall takes.
        asked_t60_s: seconds in which sound was to decay by 60 dB.
        t60_s: seconds in which it does, measured at the sample rate that it was drawn for.
    """

    size_m: Point
    source: Point
    microphone: Point
    absorption: Annotated[float, Field(gt=0.0, lt=1.0)]
    asked_t60_s: float
    t60_s: float

    @property
    def missed(self) -> bool:
        """Whether the room has a T60 more than 15 % away from the one asked for."""
        return abs(self.t60_s / self.asked_t60_s - 1.0) > LEEWAY

    @property
    def distance_m(self) -> float:
        """From talker to microphone."""
        return math.dist(self.source, self.microphone)


class RoomRanges(Recipe):
    """What rooms are drawn from.

    Attributes:
        t60_s: [low, high], one value or {grid: […]}: reverberation time, longer where the drawn
            room is too large for a short one.
        distance_m: the same: from talker to microphone.
        length_m, width_m, height_m: [low, high] of the room.
        rooms: how many different rooms all clips share; null for one of its own for each clip,
            which takes some 10 to 100 ms a clip to plan.
    """

    t60_s: Spread = Spread(range=(0.2, 0.6))
    distance_m: Spread = Spread(range=(0.5, 2.5))
    length_m: Range = (4.0, 8.0)
    width_m: Range = (3.5, 6.0)
    height_m: Range = (2.5, 3.5)
    rooms: Annotated[int, Field(ge=1)] | None = 200

    @model_validator(mode="after")
    def _possible(self) -> Self:
        smallest = (self.length_m[0], self.width_m[0], self.height_m[0])
        if min(smallest) < 2.0:
            raise ValueError(f"expected rooms of 2 m or more every way, found {smallest}: enlarge")
        longest, least = self.t60_s.bounds[1], self.distance_m.bounds[0]
        largest = (self.length_m[1], self.width_m[1], self.height_m[1])
        if longest < shortest_t60(largest):
            raise ValueError(
                f"expected t60_s up to {shortest_t60(largest):.2f} s or more, the shortest that "
                f"the largest room {largest} m can have, found {longest}: raise it or make the "
                "rooms smaller"
            )
        if longest > longest_t60(smallest):
            raise ValueError(
                f"expected t60_s up to {longest_t60(smallest):.2f} s at most, for which the "
                f"smallest room {smallest} m can be computed, found {longest}: lower it or "
                "enlarge the rooms"
            )
        reach = min(smallest[:2]) / 2 - WALL_MARGIN
        if not NEAREST <= least <= reach:
            raise ValueError(
                f"expected distance_m to begin between {NEAREST} and {reach:.2f} m, which fits "
                f"anywhere in the smallest room, found {least}: change it or the rooms"
            )
        return self


def shortest_t60(size_m: Point) -> float:
    """The smallest T60 in seconds that a room of this size is given."""
    return eyring_t60(size_m, MOST_ABSORPTION)


def longest_t60(size_m: Point) -> float:
    """The largest T60 in seconds for which a room of this size is computed."""
    volume = MOST_IMAGES * math.prod(size_m)  # m³: of the sphere that holds so many images
    return math.cbrt(volume * 3.0 / (4.0 * math.pi)) / SPEED_OF_SOUND


def draw_rooms(
    ranges: RoomRanges,
    random: np.random.Generator,
    *,
    talkers: int,
    seed: int = 0,
    sample_rate: int = 16_000,
) -> tuple[Room, ...]:
    """One room with one microphone and `talkers` talkers in it: a `Room` for each talker.

    Size, T60, microphone and each talker's place are drawn apart from one another: the same room
    with more talkers has the first ones where they were (its walls are fitted to all of them).

    Args:
        ranges: what is drawn from.
        random: draws which of the shared rooms; without shared rooms, the room itself.
        talkers: how many, 1 or more.
        seed: of the shared rooms: another one, other rooms. A recipe hands over its own, so that
            training and evaluation data with different seeds do not share rooms.
        sample_rate: Hz of the scenes, at which the T60 is measured; changes the walls by a little.
    """
    if ranges.rooms is None:
        identity = int(random.integers(2**53))
    else:
        identity = seed_of(seed, "room", int(random.integers(ranges.rooms)))
    return _room(ranges, identity, talkers, sample_rate)


@functools.lru_cache(_FITTED)
def _room(ranges: RoomRanges, identity: int, talkers: int, sample_rate: int) -> tuple[Room, ...]:
    """The room of that identity."""
    random = generator(identity, "size")
    size = (
        uniform(random, ranges.length_m, digits=2),
        uniform(random, ranges.width_m, digits=2),
        uniform(random, ranges.height_m, digits=2),
    )
    asked = _asked_t60(ranges.t60_s, size, generator(identity, "t60"))
    microphone = _microphone(size, generator(identity, "microphone"))
    sources = [
        _beside(microphone, size, ranges.distance_m, generator(identity, "talker", talker))
        for talker in range(talkers)
    ]
    absorption, found = fitted_walls(
        size, sources, microphone, t60_s=asked, sample_rate=sample_rate
    )
    return tuple(
        Room(
            size_m=size,
            source=source,
            microphone=microphone,
            absorption=absorption,
            asked_t60_s=asked,
            t60_s=round(t60, 4),
        )
        for source, t60 in zip(sources, found, strict=True)
    )


def _asked_t60(spread: Spread, size: Point, random: np.random.Generator) -> float:
    """A T60 in seconds of those that the room can have."""
    low, high = spread.bounds
    reachable = min(max(low, math.ceil(1e3 * shortest_t60(size)) / 1e3), high)  # milliseconds
    if spread.range is not None:
        return uniform(random, (reachable, high))
    return Spread(grid=tuple(t60 for t60 in spread.grid if t60 >= reachable)).draw(random)


def _microphone(size: Point, random: np.random.Generator) -> Point:
    """Anywhere in the room but near a wall."""
    return (
        uniform(random, (WALL_MARGIN, size[0] - WALL_MARGIN)),
        uniform(random, (WALL_MARGIN, size[1] - WALL_MARGIN)),
        uniform(random, _HEIGHTS),
    )


def _beside(
    microphone: Point, size: Point, distance_m: Spread, random: np.random.Generator
) -> Point:
    """A mouth at a distance from the microphone: drawn again until it is inside the room."""
    for _ in range(_TRIES):
        distance, angle = distance_m.draw(random), float(random.uniform(0.0, 2.0 * math.pi))
        rise = uniform(random, _HEIGHTS) - microphone[2]
        if abs(rise) >= distance:
            continue
        across = math.sqrt(distance**2 - rise**2)
        x = round(microphone[0] + across * math.cos(angle), 3)
        y = round(microphone[1] + across * math.sin(angle), 3)
        if all(WALL_MARGIN <= a <= b - WALL_MARGIN for a, b in ((x, size[0]), (y, size[1]))):
            return (x, y, round(microphone[2] + rise, 3))
    raise ValueError(
        f"expected a place {distance_m.bounds} m from the microphone at {microphone} in a room of "
        f"{size} m, found none in {_TRIES} draws: lower distance_m or enlarge the room"
    )


def responses(room: Room, sample_rate: int) -> Responses:
    """The room's impulse response from talker to microphone, and its parts.

    Sound leaves the talker at the first sample; the response ends when it has decayed by 60 dB,
    `t60_s` after the direct sound. The same room gives the same bits, at whatever time.

    Raises:
        ValueError: talker or microphone stand outside of the room, or in one place.
    """
    full, t60 = _full(room, sample_rate)
    seconds, arrival = full.size / sample_rate, room.distance_m / SPEED_OF_SOUND
    return Responses(
        full=full.astype(np.float64),
        early=until(full.astype(np.float64), round((arrival + EARLY) * sample_rate) + 1),
        anechoic=direct_sound(room.distance_m, seconds=seconds, sample_rate=sample_rate),
        direct=round(arrival * sample_rate),
        t60_s=t60,
    )


@functools.lru_cache(_KEPT)
def _full(room: Room, sample_rate: int) -> tuple[np.ndarray, float | None]:
    """The whole response as float32, to keep many, and its T60 in seconds."""
    _inside(room)
    full = simulated(
        room.size_m,
        room.source,
        room.microphone,
        absorption=room.absorption,
        seconds=room.t60_s + room.distance_m / SPEED_OF_SOUND,
        sample_rate=sample_rate,
    )
    kept = full.astype(np.float32)
    kept.flags.writeable = False
    return kept, reverberation_time(full, sample_rate)


def _inside(room: Room) -> None:
    for point in (room.source, room.microphone):
        if not all(0.0 < x < side for x, side in zip(point, room.size_m, strict=True)):
            raise ValueError(
                f"expected talker and microphone inside the room of {room.size_m} m, found "
                f"{point}: move it"
            )
    if not room.distance_m > 0.0:
        raise ValueError(f"expected talker and microphone apart, found both at {room.source}")
