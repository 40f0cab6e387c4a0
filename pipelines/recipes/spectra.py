"""Spectra: filters without phase, so that nothing moves in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
import scipy.interpolate

PADDING_SECONDS = 0.5  # of zeros, for the filter's tail not to come round
ORDER = 8  # of the Butterworth low- and high-passes, applied forwards and backwards

Gain = Callable[[np.ndarray], np.ndarray]  # (frequencies,) Hz -> (frequencies,) amplitude factors


def shaped(signal: np.ndarray, sample_rate: int, gain: Gain) -> np.ndarray:
    """A signal (time,) with every frequency multiplied by a real gain: no delay, same length."""
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
    hertz, decibels = np.array(points).T
    if len(points) == 1:
        return lambda hz: np.full_like(hz, 10.0 ** (decibels[0] / 20.0))
    pieces = scipy.interpolate.PchipInterpolator(np.log(hertz), decibels)

    def gain(hz: np.ndarray) -> np.ndarray:
        inside = np.log(np.clip(hz, hertz[0], hertz[-1]))
        return np.asarray(10.0 ** (pieces(inside) / 20.0))

    return gain
