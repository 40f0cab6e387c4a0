"""Filters without phase, bands removed, frequencies moved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.recipes.base import generator
from pipelines.recipes.levels import power
from pipelines.recipes.spectra import (
    band,
    curve,
    earlier,
    lag_seconds,
    shaped,
    shifted,
    without_bands,
)

RATE = 16_000  # Hz


def tone(hz, samples=RATE, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(samples) / rate)


def gain_db(before, after):
    """The change in level of the middle of a signal."""
    inside = slice(before.size // 4, -before.size // 4)
    return 10 * np.log10(power(after[inside]) / power(before[inside]))


@pytest.mark.parametrize(
    ("hz", "expected", "within"),
    [
        (1_000, 0.0, 0.01),
        (300, -6.02, 0.1),
        (3_400, -6.02, 0.1),
        (150, -96.3, 1.0),
        (5_000, -54, 2),
    ],
)
def test_a_band_passes_what_is_inside_and_halves_its_edges(hz, expected, within):
    heard = shaped(tone(hz), RATE, band(300.0, 3_400.0))
    assert gain_db(tone(hz), heard) == pytest.approx(expected, abs=within)


def test_an_edge_alone_leaves_the_other_side_open():
    assert gain_db(tone(50), shaped(tone(50), RATE, band(None, 3_400.0))) == pytest.approx(
        0, abs=0.01
    )
    assert gain_db(tone(7_000), shaped(tone(7_000), RATE, band(300.0, None))) == pytest.approx(
        0, abs=0.01
    )


def test_a_curve_goes_through_its_points_and_is_level_outside():
    points = ((100.0, 6.0), (1_000.0, -3.0), (4_000.0, 0.0))
    for hz, expected in (*points, (50.0, 6.0), (6_000.0, 0.0)):
        heard = shaped(tone(hz), RATE, curve(points))
        assert gain_db(tone(hz), heard) == pytest.approx(expected, abs=0.05)
    between = 20 * np.log10(curve(points)(np.geomspace(100, 4_000, 500)))
    assert between.min() >= -3.0 - 1e-9
    assert between.max() <= 6.0 + 1e-9


@given(st.integers(0, 3_000), st.sampled_from([8_000, 16_000, 44_100]))
@settings(deadline=None)
def test_nothing_moves_and_no_sample_is_lost(samples, rate):
    signal = generator("signal", samples).standard_normal(samples)
    for heard in (
        shaped(signal, rate, band(100.0, 3_000.0)),
        shifted(signal, rate, 30.0),
        without_bands(signal, rate, [(500.0, 800.0)]),
    ):
        assert heard.shape == signal.shape
        assert np.isfinite(heard).all()
    np.testing.assert_allclose(shaped(signal, rate, np.ones_like), signal, atol=1e-12)
    np.testing.assert_array_equal(shifted(signal, rate, 0.0), signal)
    np.testing.assert_allclose(without_bands(signal, rate, [(1e6, 2e6)]), signal, atol=1e-12)


def test_a_filter_has_no_phase():
    pulse = np.zeros(RATE)
    pulse[5_000] = 1.0
    heard = shaped(pulse, RATE, band(300.0, 3_400.0))
    assert np.argmax(heard) == 5_000
    np.testing.assert_allclose(heard[5_001:6_000], heard[4_999:4_000:-1], atol=1e-12)


@pytest.mark.parametrize("hz", [-250.0, -3.5, 40.0, 1_000.0])
def test_a_shift_moves_a_tone_and_leaves_no_image(hz):
    heard = shifted(tone(2_000), RATE, hz)
    np.testing.assert_allclose(
        np.abs(np.fft.rfft(heard * np.hanning(RATE))),
        np.abs(np.fft.rfft(tone(2_000 + hz) * np.hanning(RATE))),
        atol=0.005 * RATE / 4,
    )


@pytest.mark.parametrize(("low", "hz"), [(30, -100.0), (7_990, 100.0)])
def test_what_a_shift_would_fold_back_is_taken_away(low, hz):
    assert gain_db(tone(low), shifted(tone(low), RATE, hz)) < -40.0


def test_a_band_taken_away_is_gone_and_the_rest_is_there():
    noise = generator("noise").standard_normal(4 * RATE)
    heard = without_bands(noise, RATE, [(1_000.0, 2_000.0), (3_000.0, 3_500.0)])
    inside = band(1_100.0, 1_900.0)
    outside = band(2_100.0, 2_900.0)
    # The test's own filters let a little pass beside their edges.
    assert gain_db(shaped(noise, RATE, inside), shaped(heard, RATE, inside)) < -14.0
    assert gain_db(tone(1_500), without_bands(tone(1_500), RATE, [(1_000.0, 2_000.0)])) < -60.0
    assert gain_db(shaped(noise, RATE, outside), shaped(heard, RATE, outside)) > -0.5


@pytest.mark.parametrize("seconds", [-9e-5, -5e-5, 0.0, 1e-5, 8e-5])
def test_a_lag_is_found_and_taken_away(seconds):
    sound = shaped(generator("sound").standard_normal(RATE), RATE, band(100.0, 6_000.0))
    late = earlier(sound, RATE, -seconds)
    assert lag_seconds(sound, late, RATE, 1e-4) == pytest.approx(seconds, abs=2e-7)
    back = earlier(late, RATE, lag_seconds(sound, late, RATE, 1e-4))
    assert gain_db(sound, back - sound) < -35.0


def test_silence_has_no_lag():
    assert lag_seconds(np.zeros(100), np.zeros(100), RATE, 1e-4) == 0.0
