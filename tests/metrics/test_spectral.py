import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import FailedPrediction, SignalItem, UndefinedMetric, spec
from metrics.spectral import (
    MELS,
    log_spectral_distance,
    mel_cepstral_distortion,
    mel_filters,
)

RATE = 16_000
BOTH = pytest.mark.parametrize("function", [log_spectral_distance, mel_cepstral_distortion])


def pair(seed: int = 0, noise: float = 0.3, time: int = 8000):
    rng = np.random.default_rng(seed)
    reference = np.convolve(rng.normal(size=time), [1, 0.9, 0.5], "same")
    return reference, reference + noise * rng.normal(size=time)


def frames_by_hand(signal: np.ndarray, rate: int, window: float, hop: float, size: int):
    """Powers by torch.stft, with torch's own window."""
    length = round(window * rate)
    padded = torch.nn.functional.pad(torch.from_numpy(signal), (0, size - length))
    hann = torch.zeros(size, dtype=torch.float64)
    hann[:length] = torch.hann_window(length, periodic=True, dtype=torch.float64)
    spectra = torch.stft(
        padded, size, round(hop * rate), window=hann, center=False, return_complex=True
    )
    return (spectra.abs() ** 2).T.numpy()


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_lsd_equals_torch(rate):
    reference, estimate = pair()
    powers = [
        frames_by_hand(x, rate, 0.032, 0.008, round(0.064 * rate)) for x in (reference, estimate)
    ]
    decibels = [10 * np.log10(np.maximum(p, 1e-8 * powers[0].max())) for p in powers]
    expected = np.sqrt(((decibels[0] - decibels[1]) ** 2).mean(axis=1)).mean()
    assert log_spectral_distance(reference, estimate, rate) == pytest.approx(expected, abs=1e-9)


def mcd_by_hand(reference, estimate, rate, coefficients=13, *, first=1) -> float:
    """MCD with torchaudio's filters and a cosine matrix written out."""
    size = 2 * round(0.025 * rate)
    filters = torchaudio.functional.melscale_fbanks(size // 2 + 1, 0.0, rate / 2, MELS, rate)
    band = (np.arange(MELS) + 0.5) / MELS
    cosines = np.cos(np.pi * np.outer(np.arange(first, coefficients + 1), band)) / MELS
    cepstra = []
    for signal in (reference, estimate):
        bands = frames_by_hand(signal, rate, 0.025, 0.005, size) @ filters.double().numpy()
        cepstra.append(np.log(np.maximum(bands, 1e-8 * bands.max())) @ cosines.T)
    squares = ((cepstra[0] - cepstra[1]) ** 2).sum(axis=1)
    return float(10 / np.log(10) * np.sqrt(2 * squares).mean())


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_mcd_equals_torchaudio(rate):
    reference, estimate = pair()
    expected = mcd_by_hand(reference, estimate, rate)
    assert mel_cepstral_distortion(reference, estimate, rate) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
def test_every_mel_filter_hears_something(rate):
    filters = mel_filters(rate, round(0.025 * rate) + 1)
    assert (filters.max(axis=1) > 0).all()
    assert filters.max() <= 1


@BOTH
def test_perfect_is_zero_and_more_noise_is_worse(function):
    values = [function(*pair(noise=noise), RATE) for noise in (0.0, 0.01, 0.1, 1.0)]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[1] > 0


def test_level_counts_for_lsd_alone():
    reference, estimate = pair()
    for gain in (2.0, 0.5, 10.0):
        distance = abs(20 * np.log10(gain))
        assert log_spectral_distance(reference, gain * reference, RATE) == pytest.approx(distance)
        assert mel_cepstral_distortion(reference, gain * reference, RATE) < 1e-9
    assert mel_cepstral_distortion(reference, 3 * estimate, RATE) == pytest.approx(
        mel_cepstral_distortion(reference, estimate, RATE), abs=1e-9
    )


def test_distances_are_bounded_by_the_floor():
    reference, estimate = pair()
    assert log_spectral_distance(reference, 1e-12 * estimate, RATE) <= 80
    assert mel_cepstral_distortion(reference, 1e-12 * estimate, RATE) <= 80


@BOTH
@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(1e-120, 1e120))
def test_a_common_scale_does_not_matter(function, seed, gain):
    reference, estimate = pair(seed, time=1000)
    expected = function(reference, estimate, RATE)
    assert function(gain * reference, gain * estimate, RATE) == pytest.approx(expected, abs=1e-9)


@BOTH
def test_what_cannot_be_compared(function):
    reference, estimate = pair()
    edge = np.zeros(600)
    edge[0] = 1.0  # where the only window is zero
    cases = [
        (0 * reference, estimate, UndefinedMetric, "silent_reference"),
        (np.nan * reference, estimate, UndefinedMetric, "not_finite_reference"),
        (reference[:0], estimate, UndefinedMetric, "empty_reference"),
        (reference[:300], estimate[:300], UndefinedMetric, "too_short"),
        (edge, estimate[:600], UndefinedMetric, "silent_reference"),
        (reference, 0 * estimate, FailedPrediction, "silent_estimate"),
        (reference, estimate[:-1], FailedPrediction, "wrong_length"),
    ]
    for wanted, found, kind, reason in cases:
        with pytest.raises(kind) as caught:
            function(wanted, found, RATE)
        assert caught.value.reason == reason
    with pytest.raises(ValueError, match="sample rate of audio in Hz, found 10"):
        function(reference, estimate, 10)


def test_clips_average_their_sources():
    references, estimates = (np.stack(rows) for rows in zip(pair(1), pair(2), strict=True))
    item = SignalItem(references, estimates, references.sum(axis=0), RATE, (0, 1))
    for name, function in (("lsd", log_spectral_distance), ("mcd", mel_cepstral_distortion)):
        parts = [function(*rows, RATE) for rows in zip(references, estimates, strict=True)]
        score = spec(name).score(item)
        assert score.detail == {"sources": parts}
        assert score.value == sum(parts) / 2
        assert not spec(name).metric.higher_is_better


def test_real_noisy_speech(noisy_speech):
    for clip in noisy_speech:
        signals = clip.references[0], clip.mixture
        assert 1 < log_spectral_distance(*signals, 16_000) < 60
        expected = mcd_by_hand(*signals, 16_000)
        assert mel_cepstral_distortion(*signals, 16_000) == pytest.approx(expected, abs=1e-4)
