"""Spectra: filters without phase, bands removed, frequencies moved; nothing moves in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy  # its parts come in where they are used

PADDING_SECONDS = 0.5  # of zeros, for the filter's tail not to come round
WINDOW_SECONDS = 0.032  # of the short-time Fourier transform
_LAG_HZ = 4_000.0  # speech, and most music, is strongest below
ORDER = 8  # of the Butterworth low- and high-passes, applied forwards and backwards

Gain = Callable[[np.ndarray], np.ndarray]  # (frequencies,) Hz -> (frequencies,) factors


def shaped(signal: np.ndarray, sample_rate: int, gain: Gain) -> np.ndarray:
    """A signal (time,) with every frequency multiplied by a gain: the same length.

    A real gain has no phase: nothing is delayed.
    """
    if not signal.size:
        return signal.copy()
    size = scipy.fft.next_fast_len(signal.size + round(PADDING_SECONDS * sample_rate), real=True)
    spectrum = scipy.fft.rfft(signal, size)
    spectrum *= gain(scipy.fft.rfftfreq(size, 1.0 / sample_rate))
    return np.asarray(scipy.fft.irfft(spectrum, size)[: signal.size])


def band(low_hz: float | None, high_hz: float | None) -> Gain:
    """The gain of a high-pass at `low_hz` and a low-pass at `high_hz`; None for neither.

    Butterworth filters of order 8, forwards and backwards: -6 dB at the edges, 96 dB an octave.
    """

    def gain(hz: np.ndarray) -> np.ndarray:
        total = np.ones_like(hz)
        with np.errstate(over="ignore"):
            if low_hz is not None:
                total /= 1.0 + (low_hz / np.maximum(hz, 1e-3)) ** (2 * ORDER)
            if high_hz is not None:
                total /= 1.0 + (hz / high_hz) ** (2 * ORDER)
        return total

    return gain


def curve(points: Sequence[tuple[float, float]]) -> Gain:
    """The gain that goes smoothly through (Hz, dB) points, rising in Hz, level outside of them.

    Monotone cubic pieces (Fritsch and Carlson, 1980) over log frequency: no overshoot.
    """
    from scipy.interpolate import PchipInterpolator  # takes a second: only where it is wanted

    hertz, decibels = np.array(points).T
    if len(points) == 1:
        return lambda hz: np.full_like(hz, 10.0 ** (decibels[0] / 20.0))
    pieces = PchipInterpolator(np.log(hertz), decibels)

    def gain(hz: np.ndarray) -> np.ndarray:
        inside = np.log(np.clip(hz, hertz[0], hertz[-1]))
        return np.asarray(10.0 ** (pieces(inside) / 20.0))

    return gain


def shifted(signal: np.ndarray, sample_rate: int, hz: float) -> np.ndarray:
    """A signal (time,) with every frequency moved by `hz` (single sideband): the same length.

    What would leave 0 Hz to half the rate is taken away, so nothing folds back.
    """
    if not signal.size or hz == 0.0:
        return signal.copy()
    size = scipy.fft.next_fast_len(signal.size + round(PADDING_SECONDS * sample_rate), real=True)
    spectrum = scipy.fft.rfft(signal, size)
    frequencies = scipy.fft.rfftfreq(size, 1.0 / sample_rate)
    moved = frequencies + hz
    spectrum[(moved < 0.0) | (moved > sample_rate / 2)] = 0.0
    one_sided = np.zeros(size, dtype=np.complex128)
    one_sided[1 : frequencies.size] = 2.0 * spectrum[1:]
    one_sided[0] = spectrum[0]
    if size % 2 == 0:
        one_sided[size // 2] = spectrum[-1]
    analytic = scipy.fft.ifft(one_sided)[: signal.size]
    turning = np.exp(2j * np.pi * hz / sample_rate * np.arange(signal.size))
    return np.asarray((analytic * turning).real)


def without_bands(
    signal: np.ndarray, sample_rate: int, bands: Sequence[tuple[float, float]]
) -> np.ndarray:
    """A signal (time,) without what lies in [low, high) Hz bands: the same length.

    Bins of a short-time Fourier transform (Hann windows of 32 ms, a quarter apart) are set to zero
    and the rest added up with overlap, so an edge is about 60 Hz wide.
    """
    if not signal.size or not bands:
        return signal.copy()
    from scipy.signal import ShortTimeFFT  # takes a second: only where it is wanted
    from scipy.signal.windows import hann

    hop = max(1, round(WINDOW_SECONDS * sample_rate / 4))
    transform = ShortTimeFFT(hann(4 * hop, sym=False), hop, sample_rate)
    padded = np.pad(signal, (0, 4 * hop))  # a clip may be shorter than a window
    spectra = transform.stft(padded)
    for low, high in bands:
        spectra[(transform.f >= low) & (transform.f < high)] = 0.0
    return np.asarray(transform.istft(spectra)[: signal.size])


def lag_seconds(reference: np.ndarray, signal: np.ndarray, sample_rate: int, most: float) -> float:
    """By how many seconds, within ±`most`, a signal (time,) comes later than its reference.

    Where the cross-correlation of what lies below 4 kHz has its maximum, to a microsecond. Meant
    for less than a period of 4 kHz: up to 0.1 ms there is one maximum only. 0 for silence.
    """
    size = scipy.fft.next_fast_len(reference.size + round(PADDING_SECONDS * sample_rate), real=True)
    frequencies = (
        np.arange(min(round(_LAG_HZ / sample_rate * size), size // 2)) * sample_rate / size
    )
    cross = np.conj(scipy.fft.rfft(reference, size)) * scipy.fft.rfft(signal, size)
    cross = cross[: frequencies.size]
    if not cross.any():
        return 0.0
    from scipy.optimize import minimize_scalar  # takes a second: only where it is wanted

    found = minimize_scalar(
        lambda seconds: -np.sum(cross * np.exp(2j * np.pi * frequencies * seconds)).real,
        bounds=(-most, most),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(found.x)


def earlier(signal: np.ndarray, sample_rate: int, seconds: float) -> np.ndarray:
    """A signal (time,) moved forward by a fraction of a sample or a few: the same length."""
    return shaped(signal, sample_rate, lambda hz: np.exp(2j * np.pi * hz * seconds))
