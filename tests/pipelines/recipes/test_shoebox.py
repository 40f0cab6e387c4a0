"""Shoebox rooms: pyroomacoustics' own responses, delays, decays, walls that keep their promise."""

import math

import numpy as np
import pyroomacoustics as acoustics
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.recipes.decay import decay_curve, reverberation_time
from pipelines.recipes.shoebox import (
    SPEED_OF_SOUND,
    direct_sound,
    eyring_t60,
    fitted_walls,
    high_passed,
    images,
    simulated,
)

RATE = 16_000  # Hz
SIZE, SOURCE, MICROPHONE = (5.0, 4.0, 3.0), (1.0, 1.2, 1.5), (2.5, 2.0, 1.4)


def response(*, absorption=0.35, seconds=0.3, sample_rate=RATE):
    return simulated(
        SIZE, SOURCE, MICROPHONE, absorption=absorption, seconds=seconds, sample_rate=sample_rate
    )


def box(absorption, order):
    """The same room by pyroomacoustics alone, without its high-pass."""
    acoustics.constants.set("rir_hpf_enable", False)
    try:
        room = acoustics.ShoeBox(
            SIZE, fs=RATE, materials=acoustics.Material(absorption), max_order=order
        )
        room.add_source(SOURCE)
        room.add_microphone(MICROPHONE)
        room.compute_rir()
    finally:
        acoustics.constants.set("rir_hpf_enable", True)
    return room


def test_the_response_is_the_one_that_pyroomacoustics_computes():
    theirs = np.asarray(box(0.35, 30).rir[0][0], dtype=np.float64)[40:]  # its filters' delay
    complete = round(30 * min(SIZE) / math.sqrt(3) / SPEED_OF_SOUND * RATE)  # none beyond order 30
    ours = response(seconds=complete / RATE)[: complete - 41]
    np.testing.assert_allclose(ours, high_passed(theirs, RATE)[: ours.size], atol=5e-4)
    assert np.abs(ours).max() > 0.4


def test_the_images_are_those_of_pyroomacoustics():
    room = box(0.35, 12)
    room.image_source_model()
    theirs = room.sources[0]
    distance = np.linalg.norm(theirs.images.T - MICROPHONE, axis=1)
    radius = 12.0  # m: no image so near was mirrored more than 12 times
    found = [
        np.concatenate(part) for part in zip(*images(SIZE, SOURCE, MICROPHONE, radius), strict=True)
    ]
    expected = sorted(zip(distance.round(3), theirs.orders, strict=True))
    assert sorted(zip(found[0].round(3), found[1], strict=True)) == [
        (far, order) for far, order in expected if far <= radius
    ]


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 48_000])
def test_the_direct_sound_arrives_in_time_and_strength(sample_rate):
    distance = math.dist(SOURCE, MICROPHONE)
    alone = direct_sound(distance, seconds=0.3, sample_rate=sample_rate)
    arrival = distance / SPEED_OF_SOUND * sample_rate
    assert abs(int(np.argmax(alone)) - arrival) <= 0.5 + 1e-9
    spectrum = np.abs(np.fft.rfft(alone, 8 * sample_rate))  # an eighth of a hertz a bin
    np.testing.assert_allclose(spectrum[8 * 200 : 8 * 3_000], 1.0 / distance, rtol=0.02)
    whole = response(sample_rate=sample_rate)
    nothing_else = round(arrival + 0.0005 * sample_rate)
    np.testing.assert_allclose(whole[:nothing_else], alone[:nothing_else], atol=0.02)


def test_all_rates_hear_the_same_room():
    """Delay to a sample and decay to 10 %; and what lies below 3 kHz is one and the same."""
    walls, _ = fitted_walls(SIZE, [SOURCE], MICROPHONE, t60_s=0.4, sample_rate=RATE)
    heard = {
        rate: response(absorption=walls, seconds=0.5, sample_rate=rate) for rate in (8_000, RATE)
    }
    t60s = [reverberation_time(heard[rate], rate) for rate in heard]
    assert t60s[0] == pytest.approx(t60s[1], rel=0.1)
    low, high = (np.fft.rfft(heard[rate])[100:1_500] for rate in heard)  # 2 Hz a bin
    assert np.linalg.norm(high - low) < 0.02 * np.linalg.norm(low)


def test_sound_dies_away_and_harder_walls_let_it_live():
    curves = [decay_curve(response(absorption=absorption)) for absorption in (0.5, 0.3, 0.1)]
    at = [curve[round(0.1 * RATE)] for curve in curves]
    assert at == sorted(at)
    assert at[0] < -25.0 < -3.0 < at[-1] + 5.0
    tenths = [float(np.sum(part**2)) for part in np.array_split(response(), 10)]
    assert tenths == sorted(tenths, reverse=True)


def test_the_tail_is_whole():
    """Twice as long a response has the same beginning: nothing of it came from later images."""
    short, long = response(seconds=0.25), response(seconds=0.5)
    np.testing.assert_array_equal(short[:-41], long[: short.size - 41])
    assert np.flatnonzero(np.abs(long) > 1e-6)[-1] > 0.99 * long.size


def test_there_is_no_offset_left():
    found = response(absorption=0.1, seconds=1.0)
    spectrum = np.abs(np.fft.rfft(found)) ** 2  # 1 Hz a bin
    assert spectrum[:15].mean() < 0.1 * spectrum[200:1_000].mean()


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(st.floats(3.0, 10.0), st.floats(3.0, 8.0), st.floats(2.4, 4.0)),
    st.floats(0.1, 0.6),
    st.integers(1, 3),
    st.sampled_from([8_000, 16_000]),
)
def test_walls_give_the_wanted_t60_in_the_mean(size, absorption, talkers, rate):
    wanted = min(eyring_t60(size, absorption), 0.5)  # more would be seconds of work
    microphone = (0.4 * size[0], 0.55 * size[1], 1.3)
    sources = [(0.4 * size[0] + 0.5 + 0.2 * n, 0.45 * size[1], 1.7) for n in range(talkers)]
    found, t60s = fitted_walls(size, sources, microphone, t60_s=wanted, sample_rate=rate)
    assert 0.0 < found < 0.8
    assert math.prod(t60s) ** (1 / talkers) == pytest.approx(wanted, rel=0.08)
    heard = simulated(
        size, sources[0], microphone, absorption=found, seconds=1.1 * wanted, sample_rate=rate
    )
    assert reverberation_time(heard, rate) == pytest.approx(t60s[0], rel=0.06)


@pytest.mark.parametrize(
    ("size", "wanted"), [((9.0, 4.0, 2.5), 0.4), ((8.0, 7.0, 2.4), 0.5), ((6.0, 3.0, 2.5), 0.6)]
)
def test_formulas_alone_would_miss(size, wanted):
    def measured(absorption):
        heard = simulated(
            size, SOURCE, MICROPHONE, absorption=absorption, seconds=wanted, sample_rate=RATE
        )
        return reverberation_time(heard, RATE)

    ours, _ = fitted_walls(size, [SOURCE], MICROPHONE, t60_s=wanted, sample_rate=RATE)
    assert measured(ours) == pytest.approx(wanted, rel=0.03)
    sabine, _ = acoustics.inverse_sabine(wanted, size)
    eyring = 1.0 - math.exp(-eyring_t60(size, 1.0 - math.exp(-1.0)) / wanted)
    assert measured(sabine) > 1.15 * wanted
    assert measured(eyring) > 1.15 * wanted
