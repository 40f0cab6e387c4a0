"""Rooms: geometry that fits, reverberation as asked, parts that belong together, the same bits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.recipes.base import generator
from pipelines.recipes.decay import reverberation_time
from pipelines.recipes.rooms import (
    LEEWAY,
    SPEED_OF_SOUND,
    WALL_MARGIN,
    Room,
    RoomRanges,
    _full,
    _room,
    draw_rooms,
    responses,
    shortest_t60,
)

RATE = 16_000  # Hz
OWN = {"rooms": None}  # a room of its own for each clip
SMALL = {"length_m": (2.0, 2.5), "width_m": (2.0, 2.5), "height_m": (2.0, 2.5), "t60_s": (0.1, 0.2)}
RANGES = [
    RoomRanges(**OWN),
    RoomRanges(t60_s=(0.05, 0.25), rooms=20),  # most rooms cannot be that dry: longer
    RoomRanges(t60_s={"grid": (0.1, 0.2, 0.3)}, distance_m=1.0, **OWN),
    RoomRanges(distance_m=(0.1, 20.0), t60_s=(0.2, 0.3), **OWN),
    RoomRanges(distance_m=(0.1, 3.0), **{**SMALL, **OWN}),
]


def room(**changed):
    given = {
        "size_m": (5.0, 4.0, 3.0),
        "source": (1.0, 1.2, 1.5),
        "microphone": (2.5, 2.0, 1.4),
        "absorption": 0.35,
        "asked_t60_s": 0.25,
        "t60_s": 0.25,
    }
    return Room(**{**given, **changed})


def check_measured(rooms, sample_rate):
    """Of each room the ratio of the T60 in its response to the one asked for."""
    ratios = []
    for place in rooms:
        heard = responses(place, sample_rate)
        again = reverberation_time(heard.full, sample_rate)
        assert heard.t60_s == pytest.approx(again, rel=1e-3)
        assert heard.t60_s == pytest.approx(place.t60_s, rel=0.06)  # the row says what is heard
        ratios.append(heard.t60_s / place.asked_t60_s)
        assert abs(ratios[-1] - 1.0) <= LEEWAY + 0.02 or place.missed
    return ratios


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(RANGES),
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.sampled_from([8_000, RATE]),
)
def test_drawn_rooms_have_the_t60_that_was_asked_for(ranges, seed, talkers, sample_rate):
    rooms = draw_rooms(ranges, generator(seed), talkers=talkers, sample_rate=sample_rate)
    ratios = check_measured(rooms, sample_rate)
    assert math.prod(ratios) ** (1 / talkers) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("sample_rate", [8_000, RATE])
def test_of_300_rooms_none_misses_its_t60(sample_rate):
    drawn = [
        draw_rooms(RoomRanges(**OWN), generator(seed, "300"), talkers=2, sample_rate=sample_rate)
        for seed in range(150)
    ]
    ratios = check_measured([place for rooms in drawn for place in rooms], sample_rate)
    assert max(abs(ratio - 1.0) for ratio in ratios) < LEEWAY


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(RANGES), st.integers(0, 10_000), st.integers(1, 3))
def test_drawn_rooms_can_exist(ranges, seed, talkers):
    rooms = draw_rooms(ranges, generator(seed), talkers=talkers)
    assert len(rooms) == talkers
    assert len({(place.size_m, place.absorption, place.microphone) for place in rooms}) == 1
    for place in rooms:
        assert shortest_t60(place.size_m) <= place.asked_t60_s <= ranges.t60_s.bounds[1]
        low, high = ranges.distance_m.bounds
        assert low - 2e-3 <= place.distance_m <= high + 2e-3
        for point in (place.source, place.microphone):
            across = zip(point[:2], place.size_m[:2], strict=True)
            assert all(WALL_MARGIN - 1e-9 <= x <= side - WALL_MARGIN + 1e-9 for x, side in across)
            assert 1.0 <= point[2] <= 1.9 < place.size_m[2]
        assert Room.model_validate_json(place.model_dump_json()) == place


def test_a_grid_gives_its_own_values():
    ranges = RoomRanges(t60_s={"grid": (0.1, 0.3)}, distance_m={"grid": (0.5, 1.0)}, **OWN)
    rooms = [draw_rooms(ranges, generator(seed), talkers=1)[0] for seed in range(20)]
    small = [place for place in rooms if shortest_t60(place.size_m) < 0.099]
    assert {place.asked_t60_s for place in rooms if place not in small} == {0.3}
    assert {round(place.distance_m, 2) for place in rooms} == {0.5, 1.0}


def test_a_number_of_rooms_is_shared():
    ranges = RoomRanges(t60_s=(0.2, 0.3), rooms=5)
    drawn = [draw_rooms(ranges, generator(clip), talkers=1) for clip in range(60)]
    assert len(set(drawn)) == 5
    other_seed = [draw_rooms(ranges, generator(clip), talkers=1, seed=1) for clip in range(60)]
    assert len(set(other_seed)) == 5
    assert not set(drawn) & set(other_seed)
    _room.cache_clear()
    assert draw_rooms(ranges, generator(7), talkers=1) == drawn[7]


def test_more_talkers_and_other_ranges_move_nobody():
    ranges = RoomRanges(t60_s=(0.2, 0.3))
    alone = draw_rooms(ranges, generator(3), talkers=1)[0]
    first, second = draw_rooms(ranges, generator(3), talkers=2)
    assert (first.source, first.microphone) == (alone.source, alone.microphone)
    assert first.source != second.source
    longer = draw_rooms(RoomRanges(t60_s=(0.4, 0.5)), generator(3), talkers=1)[0]
    assert (longer.size_m, longer.source) == (alone.size_m, alone.source)
    assert longer.absorption < alone.absorption


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100])
def test_the_parts_make_the_whole(sample_rate):
    place = room()
    found = responses(place, sample_rate)
    arrival = place.distance_m / SPEED_OF_SOUND * sample_rate
    assert abs(found.direct - arrival) <= 0.5
    assert abs(int(np.argmax(found.anechoic)) - found.direct) <= 1
    assert found.full.shape == found.early.shape == found.anechoic.shape
    assert {part.dtype for part in (found.full, found.early, found.anechoic)} == {np.dtype(float)}
    assert found.full.size == round((place.t60_s + arrival / sample_rate) * sample_rate)
    limit = found.direct + round(0.05 * sample_rate)
    np.testing.assert_array_equal(found.early[:limit], found.full[:limit])
    assert not found.early[limit + 2 :].any()
    before_the_floor = round(arrival + 0.0005 * sample_rate)
    np.testing.assert_allclose(
        found.anechoic[:before_the_floor], found.full[:before_the_floor], atol=0.02
    )
    energies = [float(np.sum(part**2)) for part in (found.full, found.early, found.anechoic)]
    assert energies[0] > energies[1] > energies[2]
    assert energies[2] == pytest.approx(1.0 / place.distance_m**2, rel=0.05)


def test_responses_are_the_same_again_whatever_the_threads():
    import pyroomacoustics

    first = responses(room(), RATE)
    before = pyroomacoustics.constants.get("num_threads")
    pyroomacoustics.constants.set("num_threads", 4)
    _full.cache_clear()
    try:
        again = responses(room(), RATE)
    finally:
        pyroomacoustics.constants.set("num_threads", before)
    for part in ("full", "early", "anechoic"):
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))


def test_what_is_handed_out_may_be_changed():
    responses(room(), RATE).full[:] = 0.0
    assert responses(room(), RATE).full.any()


def test_a_room_says_when_it_missed():
    assert not room(asked_t60_s=0.22).missed
    assert room(asked_t60_s=0.3).missed
    assert room(asked_t60_s=0.2).missed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": (1.0, 4.5, 1.5)}, r"inside the room of \(5\.0, .*found \(1\.0, 4\.5"),
        ({"microphone": (0.0, 1.0, 1.5)}, r"inside the room"),
        ({"microphone": (1.0, 1.2, 1.5)}, r"talker and microphone apart"),
    ],
)
def test_places_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        responses(room(**changed), RATE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t60_s": [0.05, 0.1]}, r"t60_s up to 0\.1\d s or more"),
        ({"t60_s": [0.5, 3.0]}, r"t60_s up to 1\.2\d s at most"),
        ({"t60_s": {"grid": [0.5, 3.0]}}, r"t60_s up to 1\.2\d s at most"),
        ({"length_m": [1.0, 3.0]}, "rooms of 2 m or more"),
        ({"distance_m": [2.0, 3.0]}, r"between 0\.05 and 1\.35 m"),
        ({"distance_m": [0.0, 3.0]}, r"between 0\.05 and 1\.35 m"),
        ({"t60_s": [0.6, 0.2]}, "low <= high"),
        ({"t60": [0.2, 0.6]}, "Extra inputs"),
        ({"rooms": 0}, "greater than or equal to 1"),
    ],
)
def test_ranges_that_hold_no_room_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        RoomRanges.model_validate(options)
