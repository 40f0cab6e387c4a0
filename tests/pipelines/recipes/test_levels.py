"""Levels: power, loudness against an independent measurement, sixteen bits at a power."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.recording import measure
from pipelines.recipes.base import generator
from pipelines.recipes.levels import (
    PEAK,
    gain_to,
    gain_to_loudness,
    headroom,
    loudness,
    power,
    quantised_to_power,
    to_level,
)

RATE = 16_000  # Hz


def bursts(seconds=2.0, *, rate=RATE, seed=0):
    """Noise that comes and goes, as speech does."""
    size = round(seconds * rate)
    return generator("bursts", seed).standard_normal(size) * np.sin(np.arange(size) / rate * 4)


def test_levels():
    signal = generator("l").standard_normal(100)
    assert 10 * np.log10(power(to_level(signal, -12.0, name="x"))) == pytest.approx(-12.0)
    assert gain_to(np.full(4, 0.5), 0.0, name="x") == pytest.approx(2.0)
    assert power(np.zeros(0)) == 0.0
    assert power(np.array([-16_384, 16_384], np.int16)) == 0.25
    with pytest.raises(ValueError, match="sound in x, found 0 samples"):
        gain_to(np.zeros(0), 0.0, name="x")


@given(st.floats(0, 100), st.sampled_from([PEAK, 0.9]))
def test_headroom_only_ever_turns_down(peak, most):
    gain = headroom(np.array([0.0, -peak]), most)
    assert gain <= 1.0
    assert peak * gain <= most * (1 + 1e-12)
    assert gain == 1.0 or peak > most
    assert headroom(np.zeros(0)) == 1.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_loudness_is_the_one_that_another_implementation_finds(rate):
    signal = 0.1 * bursts(3.0, rate=rate)
    assert loudness(signal, rate) == pytest.approx(measure(signal, rate).loudness_lufs, abs=0.15)


def test_a_sine_of_full_scale_has_the_loudness_that_the_standard_states():
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48_000) / 48_000)
    assert loudness(sine, 48_000) == pytest.approx(-3.01, abs=0.05)


@given(st.floats(-45, -15), st.floats(-80, 20), st.integers(0, 20))
def test_loudness_is_as_asked_however_quiet_the_recording(lufs, recorded_db, seed):
    signal = 10 ** (recorded_db / 20) * bursts(1.0, seed=seed)
    gain = gain_to_loudness(signal, RATE, lufs, name="x")
    assert loudness(gain * signal, RATE) == pytest.approx(lufs, abs=0.02)


def test_what_has_no_loudness_is_refused():
    with pytest.raises(ValueError, match=r"0\.4 s of sound or more .* found 0\.399 s"):
        loudness(np.ones(6_384), RATE)
    with pytest.raises(ValueError, match="sound in x"):
        gain_to_loudness(np.zeros(RATE), RATE, -30.0, name="x")
    assert loudness(np.zeros(RATE), RATE) == -np.inf


@given(st.floats(-90.3, -15), st.integers(0, 50))
def test_sixteen_bits_have_the_power_asked_for_down_to_a_step(wanted_db, seed):
    steps = quantised_to_power(bursts(0.5, seed=seed), 10 ** (wanted_db / 10), name="x")
    assert steps.dtype == np.int16
    assert 10 * np.log10(power(steps)) == pytest.approx(wanted_db, abs=0.005)


def test_what_sixteen_bits_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"-90 dBFS or more of x, found -110\.0: 16 bits"):
        quantised_to_power(bursts(), 1e-11, name="x")
    impulse = np.zeros(RATE)
    impulse[0] = 1.0
    with pytest.raises(ValueError, match="turn it down"):
        quantised_to_power(impulse, 0.1, name="x")
