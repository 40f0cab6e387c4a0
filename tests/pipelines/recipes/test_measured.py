"""Measured rooms: direct sound, parts and decay of recordings, and those that cannot be used."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from pipelines.recipes.base import generator
from pipelines.recipes.decay import reverberation_time
from pipelines.recipes.measured import (
    MeasuredRoom,
    direct_arrival,
    draw_measured,
    measured_responses,
)

RATE = 16_000  # Hz
PLACE = MeasuredRoom(key="hall")
RECORDINGS = os.environ.get("REALEAR_RECORDINGS")


def recording(*, t60=0.4, latency=0.1, noise_db=-65.0, offset=0.0, padding=0, rate=RATE):
    """As a measurement gives it: latency, direct sound, reflections, noise, an offset, zeros."""
    random = generator("recording")
    time = np.arange(round(1.5 * t60 * rate)) / rate
    room = 0.1 * random.standard_normal(time.size) * 10.0 ** (-3.0 * time / t60)
    room[: round(0.003 * rate)] = 0.0
    room[0] = 1.0
    sound = np.concatenate([np.zeros(round(latency * rate)), room])
    sound += 10.0 ** (noise_db / 20.0) * random.standard_normal(sound.size) + offset
    return np.concatenate([sound, np.zeros(padding)])


def heard(signal, rate=RATE):
    return measured_responses(PLACE, rate, {"hall": signal}.__getitem__)


@pytest.mark.parametrize("latency", [0.0, 0.001, 0.1])
def test_the_direct_sound_is_found_and_latency_is_cut_off(latency):
    found = heard(recording(latency=latency))
    assert found.direct == min(round(latency * RATE), round(0.0025 * RATE))
    assert np.argmax(np.abs(found.full)) == found.direct
    assert found.anechoic[found.direct] == found.full[found.direct]


def test_the_direct_sound_may_be_weaker_than_a_reflection():
    response = np.zeros(2_000)
    response[[500, 503, 900]] = [0.2, -0.3, 1.0]
    assert direct_arrival(response, RATE) == 503
    response[500:504] *= 0.1  # more than 20 dB below the reflection: taken for noise
    assert direct_arrival(response, RATE) == 900


@pytest.mark.parametrize("t60", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("offset", "padding"), [(0.0, 0), (0.01, 0), (0.0, RATE)])
def test_the_t60_is_measured_whatever_surrounds_the_decay(t60, offset, padding):
    found = heard(recording(t60=t60, offset=offset, padding=padding))
    assert found.t60_s == pytest.approx(t60, rel=0.1)
    assert 0.7 * t60 < found.full.size / RATE < 1.3 * t60  # ends where the noise begins


def test_the_parts_make_the_whole():
    found = heard(recording())
    assert found.full.shape == found.early.shape == found.anechoic.shape
    for part, seconds in ((found.early, 0.05), (found.anechoic, 0.0025)):
        end = found.direct + round(seconds * RATE)
        np.testing.assert_array_equal(part[: end + 1], found.full[: end + 1])
        assert not part[end + 1 :].any()


def test_another_rate_hears_the_same_room():
    fine = recording(rate=48_000)
    found, coarse = heard(fine, 48_000), heard(soxr.resample(fine, 48_000, 8_000), 8_000)
    assert coarse.t60_s == pytest.approx(found.t60_s, rel=0.06)
    assert abs(coarse.direct - found.direct / 6) <= 1


def test_noise_that_hides_the_decay_leaves_no_label():
    assert heard(recording(noise_db=-35.0)).t60_s is None


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros((2, 8)), r"expected one channel, .*'hall', found \(2, 8\)"),
        (np.array([0.1, np.nan]), "expected finite samples of response 'hall'"),
        (np.zeros(9), "expected sound in response 'hall', found 9 samples of silence"),
        (np.zeros(0), "expected sound in response 'hall', found 0 samples"),
    ],
)
def test_recordings_that_hold_no_response_are_refused(signal, message):
    with pytest.raises(ValueError, match=message):
        heard(signal)


def test_talkers_have_different_responses_whatever_the_order():
    keys = [f"response-{number}" for number in range(6)]
    drawn = draw_measured(keys, generator("draw"), talkers=3)
    assert len(set(drawn)) == 3
    assert drawn == draw_measured(keys[::-1], generator("draw"), talkers=3)
    firsts = {draw_measured(keys, generator(seed), talkers=1)[0].key for seed in range(100)}
    assert firsts == set(keys)
    with pytest.raises(ValueError, match=r"expected 7 or more measured responses.*found 6"):
        draw_measured(keys, generator("draw"), talkers=7)


@pytest.mark.skipif(not RECORDINGS, reason="REALEAR_RECORDINGS names no folder")
def test_real_responses_are_cut_and_measured():
    """A hall, a near microphone with an offset, two quiet dry rooms."""
    t60s = {}
    for path in sorted(Path(RECORDINGS, "room-responses").glob("*.wav")):
        signal, rate = soundfile.read(path)
        found = heard(signal, rate)
        assert found.direct <= 40
        assert np.abs(found.full[: found.direct]).max() <= np.abs(found.full[found.direct])
        assert abs(found.full.mean()) < 0.05 * np.abs(found.full).max()
        early, full = float(np.sum(found.early**2)), float(np.sum(found.full**2))
        assert 0.5 * full < early <= full
        t60s[path.stem] = found.t60_s
        if found.t60_s is not None:
            decay = found.full[found.direct :]
            assert 0.5 < found.t60_s / reverberation_time(decay, rate, fall_db=20.0) < 1.5
    assert t60s["rir1"] == pytest.approx(0.72, rel=0.1)
    assert max(t60 or 0.0 for name, t60 in t60s.items() if name != "rir1") < 0.3
