"""Noises: their spectra, their levels, their repeatability."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from pipelines.recipes import noise
from pipelines.recipes.base import generator
from pipelines.recipes.levels import power

SAMPLES = 160_000


def row(kind, *, seed=5, keys=(), **options):
    return noise.NoiseRow(
        kind=kind, type=kind, snr_db=5.0, loudness_lufs=None, against="all", seed=seed, keys=keys,
        **options,
    )  # fmt: skip


def made(kind, samples, *, read=None, **options):
    return noise.make(row(kind, **options), samples, 16_000, read)[0]


def octave_powers(signal):
    """dB in each octave from 125 Hz to 4 kHz, at 16 kHz."""
    frequencies, density = scipy.signal.welch(signal, 16_000, nperseg=4096)
    edges = 125.0 * 2.0 ** np.arange(6)
    inside = [(frequencies >= low) & (frequencies < 2 * low) for low in edges]
    return 10 * np.log10([density[mask].sum() for mask in inside])


@pytest.mark.parametrize(("kind", "slope_db"), [("white", 3.0), ("pink", 0.0)])
def test_power_in_octaves(kind, slope_db):
    slopes = np.diff(octave_powers(made(kind, SAMPLES, seed=3)))
    np.testing.assert_allclose(slopes, slope_db, atol=0.5)


@pytest.mark.parametrize("samples", [2, 3, 1_009, 16_001])
def test_pink_noise_has_unit_power_and_no_mean(samples):
    signal = noise.pink(samples, generator("p"))
    assert signal.shape == (samples,)
    assert power(signal) == pytest.approx(1.0)
    assert signal.mean() == pytest.approx(0.0, abs=1e-12)


def test_noise_is_named_by_its_seed():
    for kind in ("white", "pink"):
        first = made(kind, 100, seed=1)
        np.testing.assert_array_equal(first, made(kind, 100, seed=1))
        assert not np.allclose(first, made(kind, 100, seed=2))


def test_babble_is_every_talker_at_one_level_and_goes_round():
    voices = {"a": np.array([1.0, -1.0]), "b": np.array([0.01, -0.01, 0.01, -0.01])}
    total = made("babble", 9, keys=("a", "b"), read=voices.__getitem__)
    assert total.shape == (9,)
    assert set(np.round(np.abs(total), 9)) <= {0.0, 2.0}  # both of power 1, however quiet


def test_babble_needs_talkers_that_are_heard():
    with pytest.raises(ValueError, match="one talker or more"):
        made("babble", 9, read=lambda key: np.ones(3))
    with pytest.raises(ValueError, match="babble talker 'x', found 3 samples of silence"):
        made("babble", 9, keys=("x",), read=lambda key: np.zeros(3))


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


def test_a_recording_begins_where_it_is_told_and_goes_round():
    signal = np.arange(5.0)
    assert noise.recorded(signal, 3, start=1).tolist() == [1, 2, 3]
    assert noise.recorded(signal, 7, start=3).tolist() == [3, 4, 0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="a noise of some length, found 0 samples"):
        noise.recorded(np.zeros(0), 3, start=0)


def test_a_recording_that_went_round_is_told():
    planned = row("recorded", keys=("hum",), start_seconds=0.5)
    for samples, round_ in [(4, False), (5, True)]:
        signal, went = noise.make(planned, samples, 4, lambda key: np.arange(4.0))
        assert (signal[0], went) == (2.0, round_)


def test_ranges_name_their_kinds_and_one_level():
    assert noise.NoiseRanges().drawn == ("white", "pink", "babble")
    assert noise.NoiseRanges(of="demand").drawn == ("recorded",)
    assert noise.NoiseRanges(of="demand", kinds=("recorded", "pink")).drawn[1] == "pink"
    assert noise.NoiseRanges(loudness_lufs=(-38, -30)).loudness_lufs == (-38, -30)
    for extra in ({"snr_db": 5}, {"against": "loudest"}):
        with pytest.raises(ValueError, match="snr_db or loudness_lufs of a noise, found both"):
            noise.NoiseRanges(loudness_lufs=(-38, -30), **extra)
