"""STOI against pystoi, step by step and as a whole."""

import numpy as np
import pystoi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pystoi import utils

from metrics import UndefinedMetric, stoi
from metrics import intelligibility as ours


def speechlike(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Noise in bursts, with pauses 60 dB below them."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    return rng.normal(size=len(time)) * (0.001 + np.maximum(0, np.sin(8 * time + seed)) ** 2)


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([8000, 10_000, 11_025, 12_345, 16_000, 22_050, 24_000, 44_100, 48_000]),
    seconds=st.floats(1.5, 9.0),  # under and over the segments that are compared at once
    seed=st.integers(0, 1000),
    noise=st.sampled_from([1e-3, 0.1, 3.0]),
    gain=st.sampled_from([1e-4, 1.0, 3e4]),
)
def test_the_value_is_pystois(rate, seconds, seed, noise, gain):
    reference = gain * speechlike(seconds, rate, seed)
    estimate = reference + noise * gain * np.random.default_rng(seed).normal(size=len(reference))
    assert stoi(reference, estimate, rate) == pytest.approx(
        pystoi.stoi(reference, estimate, rate), abs=1e-12
    )


def test_the_value_is_pystois_on_real_recordings(noisy_speech, mixtures):
    for rate, clips in ((16_000, noisy_speech), (8000, mixtures)):
        for clip in clips:
            pair = clip.references[0], clip.mixture
            assert stoi(*pair, rate) == pytest.approx(pystoi.stoi(*pair, rate), abs=1e-14)


def test_a_gap_in_the_estimate_and_a_tone_are_pystois_too():
    reference = speechlike(4.0, 16_000, 3)
    gap = reference + 0.1 * speechlike(4.0, 16_000, 4)
    gap[16_000:40_000] = 0.0
    tone = np.sin(np.arange(64_000) * 0.2)
    for estimate in (gap, tone):
        assert stoi(reference, estimate, 16_000) == pytest.approx(
            pystoi.stoi(reference, estimate, 16_000), abs=1e-12
        )


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("length", [500, 4097, 20_011])
def test_rates_change_as_by_octaves_filter(rate, length):
    pair = np.random.default_rng(0).normal(size=(2, length))
    theirs = [utils.resample_oct(each, 10_000, rate) for each in pair]
    np.testing.assert_allclose(ours._resampled(pair, rate), theirs, atol=1e-13)


@pytest.mark.parametrize("length", [4097, 4224, 9999])
def test_silence_is_cut_as_by_pystoi(length):
    pair = np.stack([speechlike(length / 1e4, 10_000, seed) for seed in (0, 1)])
    theirs = utils.remove_silent_frames(*pair, 40, 256, 128)
    np.testing.assert_allclose(ours._without_silence(pair), theirs, atol=1e-14)
    assert len(theirs[0]) < length - 256


def test_bands_are_thirds_of_an_octave():
    inside, low = ours._bands()
    theirs, centres = utils.thirdoct(10_000, 512, 15, 150)
    assert np.array_equal(inside, theirs[:, low : low + inside.shape[1]])
    assert theirs.sum() == inside.sum()
    assert centres[-1] == pytest.approx(3810, abs=1)


def test_a_clip_of_minutes_takes_little_memory():
    import tracemalloc

    reference = speechlike(300.0, 10_000, 0)
    tracemalloc.start()
    value = stoi(reference, reference + 0.1 * speechlike(300.0, 10_000, 1), 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 < value < 1
    assert peak < 600e6  # all segments at once would take gigabytes


def test_a_reference_of_one_loud_frame_is_too_short():
    reference = 1e-4 * speechlike(2.0, 10_000, 0)
    reference[:300] += 1.0
    with pytest.raises(UndefinedMetric, match="at least 30 frames"):
        stoi(reference, reference, 10_000)
