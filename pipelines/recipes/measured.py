"""Measured rooms: impulse responses recorded in real ones, read like any other clip.

A dataset of responses (the reader `files` lists a folder of them) is a source beside the talkers:
a `MeasuredRoom` names one, and rendering fetches it by the same `read` as speech.

- **Cleaned.** Digital silence at the end is cut off, and the high-pass at 50 Hz that simulated
  rooms have takes away an offset of the recording's, which would sound as long as the response.
- **The direct sound** is found as ISO 3382-1 finds a response's beginning: it begins at the first
  sample that is less than 20 dB below the largest one, and arrives at the largest sample of the
  millisecond from there on. What lies more than 2.5 ms before its arrival is cut off: it is the
  equipment's latency and noise.
- **The end** is where the decay meets the recording's noise (`recipes.decay`): what follows would
  sound like noise that comes and goes with the talker.
- **Parts.** `anechoic` goes on for 2.5 ms after the arrival (Zahorik, 2002, divides direct from
  reverberant sound there), `early` for 50 ms. Loudspeaker and microphone are in all of them.
- **T60** is measured and is the label; None, and no label, where noise leaves too little decay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipelines.recipes.base import Row
from pipelines.recipes.decay import ending, recorded_reverberation_time
from pipelines.recipes.responses import EARLY, Responses, until
from pipelines.recipes.shoebox import high_passed

DIRECT = 0.0025  # s around the arrival that count as direct sound
_ONSET_DB = -20.0  # against the largest sample, where the direct sound begins
_RISE = 0.001  # s from there, in which it arrives


class MeasuredRoom(Row):
    """A recorded impulse response; `key` is that of its clip."""

    key: str


def draw_measured(
    keys: Sequence[str], random: np.random.Generator, *, talkers: int
) -> tuple[MeasuredRoom, ...]:
    """A response for each talker, all different, whatever the order of the keys.

    Args:
        keys: of the responses to choose from; for talkers in one room, those of one room.
        random: draws which.
        talkers: how many, 1 or more.

    Raises:
        ValueError: fewer responses than talkers.
    """
    if len(keys) < talkers:
        raise ValueError(
            f"expected {talkers} or more measured responses, one a talker, found {len(keys)}: "
            "add responses or lower talkers"
        )
    names = sorted(keys)
    return tuple(MeasuredRoom(key=names[n]) for n in random.permutation(len(names))[:talkers])


def measured_responses(
    room: MeasuredRoom, sample_rate: int, read: Callable[[str], np.ndarray]
) -> Responses:
    """The recorded response and its parts; the module's text says how it is cut.

    Args:
        room: names the recording.
        sample_rate: Hz.
        read: fetches the recording by its key: (time,) float at `sample_rate`.

    Raises:
        ValueError: the recording is empty, silent, not finite or not of one channel.
    """
    recorded = _checked(room.key, np.asarray(read(room.key), dtype=np.float64))
    response = high_passed(np.trim_zeros(recorded, "b"), sample_rate)
    arrival = direct_arrival(response, sample_rate)
    start = max(arrival - round(DIRECT * sample_rate), 0)
    direct, response = arrival - start, response[start:]
    end = direct + ending(response[direct:], sample_rate).sample
    full = response[:end]
    return Responses(
        full=full,
        early=until(full, direct + round(EARLY * sample_rate) + 1),
        anechoic=until(full, direct + round(DIRECT * sample_rate) + 1),
        direct=direct,
        t60_s=recorded_reverberation_time(response[direct:], sample_rate),
    )


def direct_arrival(response: np.ndarray, sample_rate: int) -> int:
    """Index at which the direct sound of a response (time,) arrives."""
    size = np.abs(response)
    onset = int(np.argmax(size >= size.max() * 10.0 ** (_ONSET_DB / 20.0)))
    return onset + int(np.argmax(size[onset : onset + max(round(_RISE * sample_rate), 1)]))


def _checked(key: str, recorded: np.ndarray) -> np.ndarray:
    if recorded.ndim != 1:
        raise ValueError(
            f"expected one channel, shape (time,), of response {key!r}, found {recorded.shape}"
        )
    if not np.isfinite(recorded).all():
        raise ValueError(f"expected finite samples of response {key!r}, found NaN or infinity")
    if not recorded.any():
        raise ValueError(
            f"expected sound in response {key!r}, found {recorded.size} samples of silence"
        )
    return recorded
