"""Noises: their spectra, their levels, their repeatability."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipes import noise
from pipelines.recipes.base import generator
from pipelines.recipes.levels import PEAK, gain_to, headroom, power, to_level

SAMPLES = 160_000


def octave_powers(signal):
    """dB in each octave from 125 Hz to 4 kHz, at 16 kHz."""
    frequencies, density = scipy.signal.welch(signal, 16_000, nperseg=4096)
    edges = 125.0 * 2.0 ** np.arange(6)
    inside = [(frequencies >= low) & (frequencies < 2 * low) for low in edges]
    return 10 * np.log10([density[mask].sum() for mask in inside])


@pytest.mark.parametrize(("kind", "slope_db"), [("white", 3.0), ("pink", 0.0)])
def test_power_in_octaves(kind, slope_db):
    slopes = np.diff(octave_powers(noise.make(kind, SAMPLES, seed=3)))
    np.testing.assert_allclose(slopes, slope_db, atol=0.5)


@pytest.mark.parametrize("samples", [2, 3, 1_009, 16_001])
def test_pink_noise_has_unit_power_and_no_mean(samples):
    signal = noise.pink(samples, generator("p"))
    assert signal.shape == (samples,)
    assert power(signal) == pytest.approx(1.0)
    assert signal.mean() == pytest.approx(0.0, abs=1e-12)


def test_noise_is_named_by_its_seed():
    for kind in ("white", "pink"):
        first = noise.make(kind, 100, seed=1)
        np.testing.assert_array_equal(first, noise.make(kind, 100, seed=1))
        assert not np.allclose(first, noise.make(kind, 100, seed=2))


def test_babble_is_every_talker_at_one_level_and_goes_round():
    voices = {"a": np.array([1.0, -1.0]), "b": np.array([0.01, -0.01, 0.01, -0.01])}
    total = noise.make("babble", 9, seed=5, babble_keys=("a", "b"), read=voices.__getitem__)
    assert total.shape == (9,)
    assert set(np.round(np.abs(total), 9)) <= {0.0, 2.0}  # both of power 1, however quiet


def test_babble_needs_talkers_that_are_heard():
    with pytest.raises(ValueError, match="one talker or more"):
        noise.make("babble", 9, seed=5, read=lambda key: np.ones(3))
    with pytest.raises(ValueError, match="babble talker 'x', found 3 samples of silence"):
        noise.make("babble", 9, seed=5, babble_keys=("x",), read=lambda key: np.zeros(3))
    with pytest.raises(ValueError, match="expected `read`"):
        noise.make("babble", 9, seed=5, babble_keys=("x",))


@given(st.floats(-30, 60), st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_the_snr_is_the_one_asked_for(snr_db, loud, noisy):
    speech = loud * generator("s").standard_normal(500)
    scaled = noise.scale_to_snr(speech, noisy * generator("n").standard_normal(500), snr_db)
    assert 10 * np.log10(power(speech) / power(scaled)) == pytest.approx(snr_db, abs=1e-6)


@pytest.mark.parametrize(
    ("speech", "added", "message"),
    [
        (np.ones(3), np.ones(4), r"shape \(3,\), found \(4,\)"),
        (np.zeros(3), np.ones(3), "speech with sound, found power 0.0"),
        (np.full(3, np.nan), np.ones(3), "speech with sound, found power nan"),
        (np.ones(3), np.zeros(3), "sound in the noise, found 3 samples of silence"),
        (np.ones(3), np.full(3, np.inf), "finite samples of the noise"),
    ],
)
def test_what_has_no_snr_is_refused(speech, added, message):
    with pytest.raises(ValueError, match=message):
        noise.scale_to_snr(speech, added, 0.0)


def test_levels():
    signal = generator("l").standard_normal(100)
    assert 10 * np.log10(power(to_level(signal, -12.0, name="x"))) == pytest.approx(-12.0)
    assert gain_to(np.full(4, 0.5), 0.0, name="x") == pytest.approx(2.0)
    assert power(np.zeros(0)) == 0.0
    with pytest.raises(ValueError, match="sound in x, found 0 samples"):
        gain_to(np.zeros(0), 0.0, name="x")


@given(st.floats(0, 100))
def test_headroom_only_ever_turns_down(peak):
    gain = headroom(np.array([0.0, -peak]))
    assert gain <= 1.0
    assert peak * gain <= PEAK * (1 + 1e-12)
    assert gain == 1.0 or peak > PEAK
    assert headroom(np.zeros(0)) == 1.0
