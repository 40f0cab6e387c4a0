"""Rooms: shoebox rooms and their impulse responses by the image-source method.

Images by pyroomacoustics (Scheibler et al., 2018), after Allen and Berkley (1979), the same for all
frequencies. The walls' absorption follows from the wanted reverberation time by Sabine's formula.

**Which reverberation times a room can have.** Sabine's formula asks for walls that absorb more than
everything when the time is short and the room large, and overrates the time long before (measured:
20 % short at an absorption of 0.65, half at 0.9). So walls absorb at most 0.6 of the energy, and
the smallest T60 of a room is the one that Sabine's formula gives for 0.6. A plan draws a T60 from
the part of its range that the drawn room can have; a range that leaves nothing for the largest room
is refused when the recipe is made, so a plan cannot fail halfway.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
from pydantic import model_validator

from pipelines.recipes.base import Range, Recipe, Row, uniform

SPEED_OF_SOUND = 343.0  # m/s, air at 20 °C
MOST_ABSORPTION = 0.6  # of the energy; see the module's text
WALL_MARGIN = 0.4  # m, of talkers and microphones from every wall
_TRIES = 1_000  # positions to draw before giving up
_HEIGHTS = (1.0, 1.9)  # m, of mouths and microphones: sitting to standing

Point = tuple[float, float, float]  # m, along length, width and height


class Room(Row):
    """One talker and one microphone in a room; decides an impulse response.

    Attributes:
        size_m: length, width and height. t60_s: seconds in which sound decays by 60 dB.
        source, microphone: where they are, from the corner at the origin.
    """

    size_m: Point
    t60_s: float
    source: Point
    microphone: Point


class RoomRanges(Recipe):
    """What rooms are drawn from; every pair is [low, high].

    Attributes:
        t60_s: reverberation time, raised where the drawn room is too large for a short one.
        distance_m: from talker to microphone.
        length_m, width_m, height_m: of the room.
    """

    t60_s: Range = (0.2, 0.6)
    distance_m: Range = (0.5, 2.5)
    length_m: Range = (4.0, 8.0)
    width_m: Range = (3.5, 6.0)
    height_m: Range = (2.5, 3.5)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        smallest = (self.length_m[0], self.width_m[0], self.height_m[0])
        if min(smallest) < 2.0:
            raise ValueError(f"expected rooms of 2 m or more every way, found {smallest}: enlarge")
        largest = (self.length_m[1], self.width_m[1], self.height_m[1])
        if self.t60_s[1] < shortest_t60(largest):
            raise ValueError(
                f"expected t60_s up to {shortest_t60(largest):.2f} s or more, the shortest that "
                f"the largest room {largest} m can have, found {self.t60_s}: raise it or make "
                "the rooms smaller"
            )
        reach = min(smallest[:2]) / 2 - WALL_MARGIN
        if not 0.0 < self.distance_m[0] <= reach:
            raise ValueError(
                f"expected distance_m to begin above 0 and not above {reach:.2f} m, which fits "
                f"anywhere in the smallest room, found {self.distance_m}: change it or the rooms"
            )
        return self


def shortest_t60(size_m: Point) -> float:
    """The smallest T60 in seconds that a room of this size is given: Sabine's at 0.6 absorption."""
    length, width, height = size_m
    surface = 2.0 * (length * width + length * height + width * height)
    volume = length * width * height
    return 24.0 * math.log(10.0) * volume / (SPEED_OF_SOUND * surface * MOST_ABSORPTION)


def draw_rooms(
    ranges: RoomRanges, random: np.random.Generator, *, talkers: int
) -> tuple[Room, ...]:
    """One room with one microphone and `talkers` talkers in it: a `Room` for each talker."""
    size = (
        uniform(random, ranges.length_m, digits=2),
        uniform(random, ranges.width_m, digits=2),
        uniform(random, ranges.height_m, digits=2),
    )
    low, high = ranges.t60_s
    reachable = math.ceil(1e3 * shortest_t60(size)) / 1e3  # whole milliseconds
    t60 = uniform(random, (min(max(low, reachable), high), high))
    microphone = _microphone(size, random)
    places = [_beside(microphone, size, ranges.distance_m, random) for _ in range(talkers)]
    return tuple(
        Room(size_m=size, t60_s=t60, source=place, microphone=microphone) for place in places
    )


def _microphone(size: Point, random: np.random.Generator) -> Point:
    """Anywhere in the room but near a wall."""
    return (
        uniform(random, (WALL_MARGIN, size[0] - WALL_MARGIN)),
        uniform(random, (WALL_MARGIN, size[1] - WALL_MARGIN)),
        uniform(random, _HEIGHTS),
    )


def _beside(
    microphone: Point, size: Point, distance_m: tuple[float, float], random: np.random.Generator
) -> Point:
    """A mouth at a distance from the microphone: drawn again until it is inside the room."""
    for _ in range(_TRIES):
        distance, angle = uniform(random, distance_m), float(random.uniform(0.0, 2.0 * math.pi))
        rise = uniform(random, _HEIGHTS) - microphone[2]
        if abs(rise) >= distance:
            continue
        across = math.sqrt(distance**2 - rise**2)
        x = round(microphone[0] + across * math.cos(angle), 3)
        y = round(microphone[1] + across * math.sin(angle), 3)
        if all(WALL_MARGIN <= a <= b - WALL_MARGIN for a, b in ((x, size[0]), (y, size[1]))):
            return (x, y, round(microphone[2] + rise, 3))
    raise ValueError(
        f"expected a place {distance_m} m from the microphone at {microphone} in a room of "
        f"{size} m, found none in {_TRIES} draws: lower distance_m or enlarge the room"
    )


def impulse_response(room: Room, sample_rate: int) -> np.ndarray:
    """The room's impulse response from talker to microphone.

    Returns:
        (time,) float64. Sound leaves the talker 40 samples after the first one (half of
        the fractional delay filter) and arrives after its way through the air. Computed in float32
        by a single thread: several would add in another order, and the bits would differ.

    Raises:
        ValueError: the room cannot have its T60, or talker or microphone stand outside.
    """
    import pyroomacoustics as acoustics  # takes a second and a half: only where rooms are wanted

    if room.t60_s < shortest_t60(room.size_m):
        raise ValueError(
            f"expected a T60 of {shortest_t60(room.size_m):.3f} s or more in a room of "
            f"{room.size_m} m, found {room.t60_s}: raise it or make the room smaller"
        )
    acoustics.constants.set("num_threads", 1)
    absorption, order = acoustics.inverse_sabine(room.t60_s, room.size_m, c=SPEED_OF_SOUND)
    box = acoustics.ShoeBox(
        list(room.size_m),
        fs=sample_rate,
        materials=acoustics.Material(absorption),
        max_order=order,
    )
    box.add_source(list(room.source))
    box.add_microphone(list(room.microphone))
    box.compute_rir()
    return np.asarray(box.rir[0][0], dtype=np.float64)
