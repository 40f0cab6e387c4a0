"""Reverberation time: decays whose T60 is known, an independent implementation, noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroomacoustics.experimental import measure_rt60

from pipelines.recipes.base import generator
from pipelines.recipes.decay import (
    decay_curve,
    ending,
    recorded_reverberation_time,
    reverberation_time,
)

RATE = 16_000  # Hz


def dying(t60, *, seconds=None, noise_db=None, seed=0):
    """White noise that dies by 60 dB in `t60` seconds, in steady noise if a level is given."""
    time = np.arange(round((seconds or 1.5 * t60) * RATE)) / RATE
    random = generator(seed, "decay")
    response = random.standard_normal(time.size) * 10.0 ** (-3.0 * time / t60)
    if noise_db is not None:
        response += random.standard_normal(time.size) * 10.0 ** (noise_db / 20.0)
    return response


def test_an_exponential_decay_has_its_t60_exactly():
    exact = 10.0 ** (-3.0 * np.arange(RATE) / RATE / 0.4)  # without noise: a straight line
    assert reverberation_time(exact, RATE) == pytest.approx(0.4, rel=1e-3)
    assert reverberation_time(exact, RATE, fall_db=20.0) == pytest.approx(0.4, rel=1e-3)
    assert reverberation_time(1e-4 * exact, RATE) == reverberation_time(exact, RATE)


@settings(deadline=None)
@given(st.floats(0.15, 1.5), st.sampled_from([20.0, 30.0]), st.integers(0, 100))
def test_it_agrees_with_pyroomacoustics_and_with_the_truth(t60, fall_db, seed):
    response = dying(t60, seed=seed)
    found = reverberation_time(response, RATE, fall_db=fall_db)
    assert found == pytest.approx(measure_rt60(response, RATE, decay_db=fall_db), rel=0.01)
    assert found == pytest.approx(t60, rel=0.1)


def test_the_line_lies_between_5_and_35_db():
    """Steep at first, flat from 35 dB on: neither end counts, so the middle's T60 is found."""
    time = np.arange(2 * RATE) / RATE
    level = np.interp(time, [0.0, 0.001, 0.151, 2.0], [0.0, -5.0, -35.0, -60.0])
    energy = 10.0 ** (level / 10.0)
    response = np.sqrt(-np.diff(energy, append=0.0).clip(max=0.0))
    assert reverberation_time(response, RATE) == pytest.approx(0.3, rel=0.01)


def test_the_curve_falls_from_0_and_counts_what_came_after_the_end():
    response = dying(0.3)
    curve = decay_curve(response)
    assert curve[0] == 0.0
    assert (np.diff(curve) <= 0.0).all()
    half = response[: response.size // 4]
    rest = float(np.sum(response[half.size :] ** 2))
    np.testing.assert_allclose(decay_curve(half, beyond=rest), curve[: half.size])


@pytest.mark.parametrize("noise_db", [-70.0, -60.0, -50.0])
@pytest.mark.parametrize("t60", [0.2, 0.6, 1.2])
def test_noise_at_the_end_does_not_count(t60, noise_db):
    noisy = [dying(t60, seconds=4.0, noise_db=noise_db, seed=seed) for seed in range(10)]
    found = [recorded_reverberation_time(response, RATE) for response in noisy]
    assert np.median(found) == pytest.approx(t60, rel=0.03)
    assert found == pytest.approx([t60] * 10, rel=0.1)
    if noise_db == -50.0:  # taken as it is, it would
        assert reverberation_time(noisy[0], RATE) > 1.1 * t60


def test_the_decay_ends_where_it_meets_the_noise():
    met = ending(dying(0.6, seconds=2.0, noise_db=-50.0), RATE)
    assert met.sample / RATE == pytest.approx(0.6 * 50 / 60, rel=0.05)


def test_what_holds_no_decay_has_no_t60():
    noise = generator("noise").standard_normal(RATE)
    assert recorded_reverberation_time(noise, RATE) is None
    assert recorded_reverberation_time(dying(0.5, seconds=2.0, noise_db=-25.0), RATE) is None
    for response in (np.zeros(RATE), np.zeros(0), np.ones(1)):
        assert recorded_reverberation_time(response, RATE) is None
        assert reverberation_time(response, RATE) is None
        assert ending(response, RATE).sample == response.size


def test_where_noise_hides_t30_t20_is_taken():
    """A decay of two slopes tells which of them was used."""
    time = np.arange(2 * RATE) / RATE
    sound = generator("two slopes").standard_normal(time.size)
    steep, flat = 10.0 ** (-3.0 * time / 0.3), 0.06 * 10.0 ** (-3.0 * time / 0.9)
    noise = generator("floor").standard_normal(time.size)
    response = sound * np.hypot(steep, flat)
    quiet = recorded_reverberation_time(response + 1e-4 * noise, RATE)
    loud = recorded_reverberation_time(response + 10.0 ** (-41 / 20) * noise, RATE)
    assert quiet == pytest.approx(reverberation_time(response, RATE), rel=0.03)
    assert loud == pytest.approx(reverberation_time(response, RATE, fall_db=20.0), rel=0.1)
    assert loud < 0.9 * quiet
