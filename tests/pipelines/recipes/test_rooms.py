"""Rooms: geometry that fits, reverberation as asked, the same bits again."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes.base import generator
from pipelines.recipes.rooms import (
    SPEED_OF_SOUND,
    WALL_MARGIN,
    Room,
    RoomRanges,
    draw_rooms,
    impulse_response,
    shortest_t60,
)

RATE = 16_000  # Hz


def room(size, t60, source=(1.0, 1.2, 1.5), microphone=(2.5, 2.0, 1.4)):
    return Room(size_m=size, t60_s=t60, source=source, microphone=microphone)


def schroeder_t60(response, *, top=-5.0, bottom=-25.0):
    """T60 in seconds by backward integration (Schroeder, 1965), from a line through 20 dB."""
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[0])
    used = (decay <= top) & (decay >= bottom)
    seconds = np.arange(response.size)[used] / RATE
    return -60.0 / np.polyfit(seconds, decay[used], 1)[0]


@pytest.mark.parametrize(
    ("size", "t60"),
    [
        ((4.0, 3.5, 2.5), 0.2),
        ((5.0, 4.0, 3.0), 0.3),
        ((5.0, 4.0, 3.0), 0.5),
        ((8.0, 6.0, 3.5), 0.3),
        ((8.0, 6.0, 3.5), 0.6),
    ],
)
def test_the_reverberation_time_is_about_right(size, t60):
    assert schroeder_t60(impulse_response(room(size, t60), RATE)) == pytest.approx(t60, rel=0.25)


def test_the_direct_sound_arrives_in_time():
    place = room((6.0, 5.0, 3.0), 0.3)
    response = impulse_response(place, RATE)
    delay = 40 + RATE * math.dist(place.source, place.microphone) / SPEED_OF_SOUND
    early = np.abs(response[: round(delay) + 10])  # before floor and ceiling answer together
    assert abs(int(np.argmax(early)) - delay) <= 1.5
    assert np.isfinite(response).all()


def test_an_impulse_response_is_the_same_again_whatever_the_threads():
    import pyroomacoustics

    first = impulse_response(room((5.0, 4.0, 3.0), 0.3), RATE)
    before = pyroomacoustics.constants.get("num_threads")
    pyroomacoustics.constants.set("num_threads", 4)
    try:
        np.testing.assert_array_equal(first, impulse_response(room((5.0, 4.0, 3.0), 0.3), RATE))
    finally:
        pyroomacoustics.constants.set("num_threads", before)


def test_a_room_too_large_for_its_time_is_refused():
    with pytest.raises(ValueError, match=r"T60 of 0\.2\d\d s or more in a room of \(8\.0"):
        impulse_response(room((8.0, 6.0, 3.5), 0.15), RATE)


RANGES = [
    RoomRanges(),
    RoomRanges(t60_s=(0.05, 0.25)),  # most rooms cannot be that dry: raised
    RoomRanges(distance_m=(0.05, 20.0)),
    RoomRanges(length_m=(2.0, 2.0), width_m=(2.0, 2.0), height_m=(2.0, 2.0), distance_m=(0.1, 3.0)),
]


@given(st.sampled_from(RANGES), st.integers(0, 10_000), st.integers(1, 3))
def test_drawn_rooms_can_exist(ranges, seed, talkers):
    rooms = draw_rooms(ranges, generator(seed), talkers=talkers)
    assert len(rooms) == talkers
    assert len({(place.size_m, place.t60_s, place.microphone) for place in rooms}) == 1
    for place in rooms:
        assert shortest_t60(place.size_m) <= place.t60_s <= ranges.t60_s[1]
        low, high = ranges.distance_m
        assert low - 2e-3 <= math.dist(place.source, place.microphone) <= high + 2e-3
        for point in (place.source, place.microphone):
            across = zip(point[:2], place.size_m[:2], strict=True)
            assert all(WALL_MARGIN - 1e-9 <= x <= side - WALL_MARGIN + 1e-9 for x, side in across)
            assert 1.0 <= point[2] <= 1.9 < place.size_m[2]
        assert Room.model_validate_json(place.model_dump_json()) == place


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t60_s": [0.1, 0.15]}, r"t60_s up to 0\.2\d s or more"),
        ({"length_m": [1.0, 3.0]}, "rooms of 2 m or more"),
        ({"distance_m": [2.0, 3.0]}, r"not above 1\.35 m"),
        ({"distance_m": [0.0, 3.0]}, "begin above 0"),
        ({"t60_s": [0.6, 0.2]}, "low <= high"),
        ({"t60": [0.2, 0.6]}, "Extra inputs"),
    ],
)
def test_ranges_that_hold_no_room_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        RoomRanges.model_validate(options)
