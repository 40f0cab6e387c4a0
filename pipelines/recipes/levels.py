"""Levels of signals: power, dBFS, loudness in LUFS, and the one gain that avoids clipping."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.recipes.base import quantised

if TYPE_CHECKING:
    from pyloudnorm import Meter

SPEECH_DB = -25.0  # dBFS, root mean square to which talkers are brought; peaks then stay below 1
PEAK = 0.95  # of full scale; a mixture that passes it is turned down as a whole
LOUDNESS_PEAK = 0.9  # the same where levels are loudnesses: LibriMix's
BLOCK_SECONDS = 0.4  # of sound at least: the shortest that has a loudness (ITU-R BS.1770)
_LEAST_STEPS = 1.0  # root mean square in steps of 16 bits, below which rounding decides the level
_NEAR = 1e-3  # of a power: 0.004 dB
_BRACKET = 2.0  # how far from the exact gain the one is that makes up for rounding, at most
_HALVINGS = 40


def power(signal: np.ndarray) -> float:
    """The mean square of a signal, of 16-bit samples as fractions of full scale; 0 if empty."""
    samples = signal / 32_768.0 if signal.dtype == np.int16 else signal
    return float(np.mean(np.square(samples))) if samples.size else 0.0


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


def loudness(signal: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4, by pyloudnorm) of (time,) in [-1, 1).

    Returns:
        LUFS; minus infinity where nothing is louder than -70 LUFS.

    Raises:
        ValueError: the signal is shorter than 0.4 s, the block that loudness is measured in.
    """
    samples = signal / 32_768.0 if signal.dtype == np.int16 else signal
    if samples.size < BLOCK_SECONDS * sample_rate:
        raise ValueError(
            f"expected {BLOCK_SECONDS} s of sound or more to measure its loudness, found "
            f"{samples.size / sample_rate:.3f} s: leave the clip out or use level_db"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(_meter(sample_rate).integrated_loudness(samples))


@functools.cache
def _meter(sample_rate: int) -> Meter:
    import pyloudnorm  # only where loudness is wanted

    return pyloudnorm.Meter(sample_rate)


def gain_to_loudness(signal: np.ndarray, sample_rate: int, lufs: float, *, name: str) -> float:
    """The factor that brings a signal (time,) to a loudness in LUFS.

    The signal is measured at -25 dBFS: there the gate at -70 LUFS takes nothing away from speech,
    however quietly it was recorded.

    Raises:
        ValueError: the signal is silent, not finite, or shorter than 0.4 s.
    """
    gain = gain_to(signal, SPEECH_DB, name=name)
    return gain * decibels(lufs - loudness(signal * gain, sample_rate))


def decibels(gain_db: float) -> float:
    """The amplitude factor of a gain in dB."""
    return float(10.0 ** (gain_db / 20.0))


def headroom(signal: np.ndarray, peak: float = PEAK) -> float:
    """The gain, at most 1, that keeps every sample within `peak`."""
    found = float(np.max(np.abs(signal), initial=0.0))
    return peak / found if found > peak else 1.0


def quantised_to_power(signal: np.ndarray, wanted: float, *, name: str) -> NDArray[np.int16]:
    """A signal (time,) in 16 bits with a mean square of `wanted`, within 0.005 dB.

    Rounding adds power of its own, which matters to sounds of a few steps; so where that is too
    much, the gain is found by halving.

    Raises:
        ValueError: the signal is silent, `wanted` is below what 16 bits can hold, or it would clip.
    """
    least = (_LEAST_STEPS / 32_768.0) ** 2
    if not wanted >= least:
        raise ValueError(
            f"expected a level of {10 * np.log10(least):.0f} dBFS or more of {name}, found "
            f"{10 * np.log10(max(wanted, 1e-30)):.1f}: 16 bits hold no less; lower the SNR"
        )
    gain = gain_to(signal, 10.0 * float(np.log10(wanted)), name=name)
    low, high = gain / _BRACKET, gain * _BRACKET
    for _ in range(_HALVINGS):
        steps = quantised(signal * gain)
        found = power(steps)
        if abs(found / wanted - 1.0) < _NEAR:
            return steps
        low, high = (gain, high) if found < wanted else (low, gain)
        gain = float(np.sqrt(low * high))
    raise ValueError(
        f"expected {name} at {10 * np.log10(wanted):.2f} dBFS in 16 bits, found no gain for it: "
        "it is too quiet; lower the SNR"
    )
