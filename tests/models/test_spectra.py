"""The transform and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.spectra import STFT


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(0, 3000),
    hop=st.integers(1, 200),
    overlap=st.integers(2, 8),
    seed=st.integers(0, 99),
)
def test_there_and_back_at_any_length(samples, hop, overlap, seed):
    stft = STFT(hop * overlap, overlap)
    signal = np.random.default_rng(seed).standard_normal(samples)
    spectrogram = stft.forward(signal)
    assert spectrogram.shape == (stft.frames(samples), hop * overlap // 2 + 1)
    np.testing.assert_allclose(stft.inverse(spectrogram, samples), signal, atol=1e-12)


def test_leading_axes_are_clips_of_their_own():
    stft = STFT(64, 4)
    signals = np.random.default_rng(0).standard_normal((2, 3, 500))
    together = stft.forward(signals)
    assert np.array_equal(together[1, 2], stft.forward(signals[1, 2]))
    assert np.array_equal(stft.inverse(together, 500)[1, 2], stft.inverse(together[1, 2], 500))


def test_energy_is_kept():
    signal = np.random.default_rng(1).standard_normal(2000)
    stft = STFT(128, 2)
    power = np.abs(stft.forward(signal)) ** 2
    doubled = power[:, 1:-1].sum() * 2 + power[:, [0, -1]].sum()  # rfft drops the mirror half
    assert doubled / 128 == pytest.approx((signal**2).sum())


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 16000, 44100])
def test_a_window_in_seconds(rate):
    stft = STFT.of_seconds(0.032, sample_rate=rate, overlap=4)
    assert stft.window_samples % 4 == 0
    assert abs(stft.window_samples - 0.032 * rate) <= 2
    assert stft.hop_samples == stft.window_samples // 4


def test_a_window_shorter_than_a_sample_is_one_sample_a_hop():
    assert STFT.of_seconds(1e-9, sample_rate=8000) == STFT(2, 2)


@pytest.mark.parametrize(("window", "overlap"), [(64, 1), (63, 2), (0, 2)])
def test_a_window_that_does_not_overlap_evenly_is_refused(window, overlap):
    with pytest.raises(
        ValueError, match=r"expected an overlap of 2 or more .* got .*; use STFT.of_s"
    ):
        STFT(window, overlap)
