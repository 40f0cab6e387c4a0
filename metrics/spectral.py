"""Log-spectral distance and mel-cepstral distortion: how far apart two spectra are, in dB.

Both compare frame by frame, without any alignment in time: for estimates that are in step with
their reference. Frames are those that lie wholly inside the signal, under a periodic Hann window.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, FailedPrediction, Metric, Signal, SignalItem, UndefinedMetric
from metrics.checks import as_channel, check_pair, check_sources
from metrics.signal import clip_score, levelled, signal_sheet

LSD_WINDOW, LSD_HOP = 0.032, 0.008  # seconds
MCD_WINDOW, MCD_HOP = 0.025, 0.005  # seconds
FLOOR = 1e-8  # of a peak: what lies 80 dB under it counts as 80 dB under it
MELS = 40
_NOTHING = "no frame holds any energy"
COEFFICIENTS = 13  # of the mel cepstrum, the 0th (the level) left out


def log_spectral_distance(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Log-spectral distance (LSD) in dB, from 0 (perfect); lower is better.

    The mean over frames of the root mean square, over frequencies, of the difference of the two
    power spectra in dB (Gray and Markel 1976). Signals are `(time,)`; frames of 32 ms every 8 ms;
    powers below -80 dB of the reference's highest count as that. Levels count: twice the signal is
    6.02 dB away. Raises UndefinedMetric for a silent, empty or non-finite reference or under one
    frame ("too_short"), FailedPrediction for such an estimate or another length.
    """
    source, guess = _pair(reference, estimate)
    wanted = _powers(source, sample_rate, LSD_WINDOW, LSD_HOP)
    found = _powers(guess, sample_rate, LSD_WINDOW, LSD_HOP)
    floor = FLOOR * _peak(wanted, UndefinedMetric("silent_reference", _NOTHING))
    difference = _decibels(wanted, floor) - _decibels(found, floor)
    return float(np.sqrt((difference**2).mean(axis=-1)).mean())


def mel_cepstral_distortion(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Mel-cepstral distortion (MCD) in dB, from 0 (perfect); lower is better.

    The mean over frames of 10 / ln 10 · sqrt(2 Σ (c_d - c'_d)²), d = 1 to 13 (Kubichek 1993):
    without the 0th coefficient, so without level, and without time warping. The cepstrum c_d is
    the mean over 40 mel bands m of ln P_m cos(π d (m + 1/2) / 40), the scale of SPTK's; values
    from orthonormal MFCCs are larger. Bands are HTK's triangles from 0 to half the rate; frames of
    25 ms every 5 ms; powers below -80 dB of a signal's own highest count as that. Signals are
    `(time,)`; raises as `log_spectral_distance`.
    """
    source, guess = _pair(reference, estimate)
    wanted = _cepstra(source, sample_rate, UndefinedMetric("silent_reference", _NOTHING))
    found = _cepstra(guess, sample_rate, FailedPrediction("silent_estimate", _NOTHING))
    distances = np.sqrt(2 * ((wanted - found) ** 2).sum(axis=-1))
    return float(10 / np.log(10) * distances.mean())


def mel_filters(sample_rate: int, bins: int, mels: int = MELS) -> NDArray[np.float64]:
    """Triangles of height 1, evenly spaced on HTK's mel scale: `(mels, bins)`, 0 Hz to half rate.

    mel = 2595 log10(1 + f / 700).
    """
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    frequencies = np.linspace(0, sample_rate / 2, bins)
    left, centre, right = (edges[start : start + mels, None] for start in range(3))
    rising = (frequencies - left) / (centre - left)
    falling = (right - frequencies) / (right - centre)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)))


def score_lsd(item: SignalItem) -> ClipScore:
    """Log-spectral distance of a clip: the mean over its sources."""
    return _score(item, log_spectral_distance)


def score_mcd(item: SignalItem) -> ClipScore:
    """Mel-cepstral distortion of a clip: the mean over its sources."""
    return _score(item, mel_cepstral_distortion)


def _score(item: SignalItem, function: Callable[[Signal, Signal, int], float]) -> ClipScore:
    check_sources(item)
    pairs = zip(item.references, item.estimates, strict=True)
    return clip_score([function(*pair, item.sample_rate) for pair in pairs])


def _pair(reference: ArrayLike, estimate: ArrayLike) -> tuple[Signal, Signal]:
    """Checked signals, brought by one power of two to where squares neither vanish nor overflow."""
    source, guess = as_channel(reference, "reference"), as_channel(estimate, "estimate")
    check_pair(source, guess)
    with np.errstate(over="ignore"):
        return levelled(source), levelled(guess, like=source)


def _powers(signal: Signal, sample_rate: int, window: float, hop: float) -> Signal:
    """Power spectra `(frames, bins)`; the transform is at least twice as long as the window."""
    from scipy.fft import next_fast_len, rfft

    length, step = round(window * sample_rate), round(hop * sample_rate)
    if step < 1:
        raise ValueError(f"expected a sample rate of audio in Hz, found {sample_rate}")
    if len(signal) < length:
        raise UndefinedMetric(
            "too_short", f"expected at least one frame of {length} samples, found {len(signal)}"
        )
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::step]
    spectra = rfft(frames * hann, next_fast_len(2 * length, real=True), axis=-1)
    return np.asarray(spectra.real**2 + spectra.imag**2)


def _decibels(powers: Signal, floor: float) -> Signal:
    return np.asarray(10 * np.log10(np.maximum(powers, floor)))


def _peak(powers: Signal, otherwise: Exception) -> float:
    if not powers.any():
        raise otherwise
    return float(powers.max())


def _cepstra(signal: Signal, sample_rate: int, otherwise: Exception) -> Signal:
    """Coefficients 1 to 13 of the mel cepstrum `(frames, 13)`, of the log of power."""
    from scipy.fft import dct

    powers = _powers(levelled(signal), sample_rate, MCD_WINDOW, MCD_HOP)
    bands = powers @ mel_filters(sample_rate, powers.shape[-1]).T
    logs = np.log(np.maximum(bands, FLOOR * _peak(bands, otherwise)))
    return np.asarray(dct(logs, type=2, axis=-1)[:, 1 : COEFFICIENTS + 1] / (2 * MELS))


def _sheet(name: str, title: str, summary: str, *, source: str) -> Metric:
    return signal_sheet(
        name, title, summary, unit="dB", higher_is_better=False, source=source,
        function=f"metrics.spectral:score_{name}",
        failure_policy="undefined: silent, empty, non-finite or too short reference; failed: "
        "silent, non-finite or unequally long estimate, another number of sources",
    )  # fmt: skip


SHEETS: tuple[Metric, ...] = (
    _sheet(
        "lsd", "LSD", "log-spectral distance, frames of 32 ms", source="Gray and Markel 1976"
    ),
    _sheet(
        "mcd", "MCD", "mel-cepstral distortion, 13 coefficients without c0, no time warping",
        source="Kubichek 1993",
    ),
)  # fmt: skip
