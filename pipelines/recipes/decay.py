"""Reverberation time from an impulse response, after ISO 3382.

The decay curve is Schroeder's (1965): the energy that is still to come at each moment, over all of
it. A straight line through the curve from 5 dB to 35 dB below its start, by least squares, is
extrapolated to 60 dB: *T30* in ISO 3382-1:2009, written T60 here as this field does. Where a
recording's noise comes too early for that, the line ends at 25 dB (*T20*). The standard asks for
octave or third-octave bands; here the response is taken as a whole, because one number labels a
clip.

**Noise.** In a recording the decay ends in noise, whose sum would bend the curve upwards. So the
curve is integrated up to where the decay meets the noise, and the energy that an exponential decay
would still have had after it is added. The point is found in the manner of Lundeby and others
(1995): a line through the levels of short blocks, down to the level of the noise. As the standard
asks, the noise must lie 10 dB below the end of the line; where it does not even for T20, the
response has no T60.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BEGIN_DB = -5.0  # where the line begins
_FALLS_DB = (30.0, 20.0)  # dB of decay that the line spans: T30, else T20
_CLEARANCE_DB = 10.0  # of the line's end above the noise
_BLOCK = 0.01  # s, in which levels are averaged to find the noise
_LAST = 0.1  # share of a recording, at its end, that is taken for noise at first and at least
_MARGIN_DB = 5.0  # above the noise, where the line through the blocks' levels ends
_ROUNDS = 5  # of refining where decay and noise meet
_NEVER = 1e-30  # of the energy: stands for none, -300 dB


def decay_curve(response: np.ndarray, *, beyond: float = 0.0) -> np.ndarray:
    """The energy still to come at each sample, in dB against the whole.

    Args:
        response: (time,) float.
        beyond: energy that would have come after the response's end.

    Returns:
        (time,) float64, from 0 downwards; empty for an empty response or one of silence.
    """
    energy = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1] + beyond
    if not energy.size or not energy[0] > 0.0:
        return np.zeros(0)
    curve: np.ndarray = 10.0 * np.log10(np.maximum(energy / energy[0], _NEVER))
    return curve


def reverberation_time(
    response: np.ndarray, sample_rate: int, *, fall_db: float = 30.0, beyond: float = 0.0
) -> float | None:
    """T60 in seconds of a response without noise, from the line through `fall_db` of its decay.

    None where the response is silent, or dies too suddenly to draw a line.
    """
    curve = decay_curve(response, beyond=beyond)
    used = np.flatnonzero((curve <= _BEGIN_DB) & (curve >= _BEGIN_DB - fall_db))
    line = _line(used / sample_rate, curve[used])
    return None if line is None else -60.0 / line[0]


def recorded_reverberation_time(response: np.ndarray, sample_rate: int) -> float | None:
    """T60 in seconds of a recorded response that begins with the direct sound.

    None where the noise leaves less than T20's 25 dB of decay and 10 dB of clearance.
    """
    end = ending(response, sample_rate)
    curve = decay_curve(response[: end.sample], beyond=end.beyond)
    reached = -float(curve[-1]) if curve.size and end.beyond else 0.0
    for fall_db in _FALLS_DB:
        if reached >= fall_db - _BEGIN_DB + _CLEARANCE_DB:
            decay = response[: end.sample]
            return reverberation_time(decay, sample_rate, fall_db=fall_db, beyond=end.beyond)
    return None


@dataclass(frozen=True)
class Ending:
    """Where a recorded decay meets the noise.

    Attributes:
        sample: index of the meeting; the response's length where nothing decays.
        beyond: energy that an exponential decay would have had from there on; 0 where nothing does.
    """

    sample: int
    beyond: float


def ending(response: np.ndarray, sample_rate: int) -> Ending:
    """Where the decay of a recorded response (time,) meets the noise that it ends in.

    The last tenth is taken for noise; once the meeting is known, all that follows it is.
    """
    block = max(round(_BLOCK * sample_rate), 1)
    blocks = response.size // block
    powers = np.square(response[: blocks * block]).reshape(blocks, block).mean(axis=1)
    if not blocks or not powers.max() > 0.0:
        return Ending(response.size, 0.0)
    levels = 10.0 * np.log10(np.maximum(powers / powers.max(), _NEVER))
    latest = blocks - max(round(blocks * _LAST), 1)  # block where the noise begins at the latest
    meeting, result = latest, Ending(response.size, 0.0)
    for _ in range(_ROUNDS):
        floor = 10.0 * np.log10(np.mean(10.0 ** (levels[meeting:] / 10.0)))
        line = _decay(levels, floor)
        if line is None:
            return result
        slope, level = line  # dB a block; dB at the first block
        crossing = min(max((floor - level) / slope, 1.0), blocks - 1.0)
        energy = 10.0 ** (floor / 10.0) * powers.max() * block * 10.0 / (-slope * np.log(10.0))
        result = Ending(round(crossing * block), float(energy))
        meeting = min(round(crossing), latest)
    return result


def _decay(levels: np.ndarray, floor: float) -> tuple[float, float] | None:
    """The line from the loudest block to the last one that stands out from the noise."""
    peak = int(np.argmax(levels))
    faint = np.flatnonzero(levels[peak:] < floor + _MARGIN_DB)
    used = np.arange(peak, peak + int(faint[0]) if faint.size else levels.size)
    return _line(used + 0.5, levels[used])


def _line(time: np.ndarray, level_db: np.ndarray) -> tuple[float, float] | None:
    """Slope and level at time 0 of the line of least squares; None where nothing falls."""
    if time.size < 2:
        return None
    centred = time - time.mean()
    slope = float(centred @ (level_db - level_db.mean()) / (centred @ centred))
    return (slope, float(level_db.mean() - slope * time.mean())) if slope < 0.0 else None
