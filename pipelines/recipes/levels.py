"""Levels of signals: power, root mean square in dBFS, and the one gain that avoids clipping."""

from __future__ import annotations

import numpy as np

SPEECH_DB = -25.0  # dBFS, root mean square to which talkers are brought; peaks then stay below 1
PEAK = 0.95  # of full scale; a mixture that passes it is turned down as a whole


def power(signal: np.ndarray) -> float:
    """The mean square of a signal; 0 for an empty one."""
    return float(np.mean(np.square(signal))) if signal.size else 0.0


def to_level(signal: np.ndarray, level_db: float, *, name: str) -> np.ndarray:
    """A signal (time,) scaled by `gain_to`, whose errors it shares."""
    scaled: np.ndarray = signal * gain_to(signal, level_db, name=name)
    return scaled


def gain_to(signal: np.ndarray, level_db: float, *, name: str) -> float:
    """The factor that brings a signal (time,) to a root mean square of `level_db` dBFS.

    Raises:
        ValueError: the signal is empty, silent or not finite; `name` says which one it is.
    """
    found = power(signal)
    if not np.isfinite(found):
        raise ValueError(f"expected finite samples of {name}, found NaN or infinity: mend the clip")
    if found == 0.0:
        raise ValueError(
            f"expected sound in {name}, found {signal.size} samples of silence: leave the clip out"
        )
    return float(decibels(level_db) / np.sqrt(found))


def decibels(gain_db: float) -> float:
    """The amplitude factor of a gain in dB."""
    return float(10.0 ** (gain_db / 20.0))


def headroom(signal: np.ndarray) -> float:
    """The gain, at most 1, that keeps a signal's peak within 0.95."""
    peak = float(np.max(np.abs(signal), initial=0.0))
    return PEAK / peak if peak > PEAK else 1.0
