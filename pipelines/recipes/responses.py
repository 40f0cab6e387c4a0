"""What a room does to a talker, in the parts that references are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EARLY = 0.05  # s after the direct sound: ISO 3382-1's limit for speech (C50, D50)


@dataclass(frozen=True, eq=False)
class Responses:
    """The impulse response from a talker to a microphone, whole and in parts; all (time,) float64.

    All have one length and one start, so what they make of a clip is aligned with one another.

    Attributes:
        full: the whole response, which makes what is heard.
        early: `full` up to 50 ms after the direct sound, zero after it.
        anechoic: the direct sound alone; makes the dry reference, delay (also the part of a sample
            that a whole number cannot say) and level included.
        direct: index of the sample that is nearest to the direct sound's arrival.
        t60_s: measured from `full` in seconds, `recipes.decay` says how; None where its noise or
            its end leaves nothing to measure. This is the label of a clip.
    """

    full: np.ndarray
    early: np.ndarray
    anechoic: np.ndarray
    direct: int
    t60_s: float | None


def until(response: np.ndarray, sample: int) -> np.ndarray:
    """The response (time,) before a sample, zero from it on."""
    kept = response.copy()
    kept[sample:] = 0.0
    return kept
