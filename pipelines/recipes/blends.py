"""Blends: an estimate of a source made as good, or as bad, as is wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
HALVINGS = 30  # of the range of shares, in decades
SHARES = (-5.0, 5.0)  # powers of ten of the rest of a mixture in a blend


def at_si_snr(reference: Signal, estimate: Signal, rest: Signal, wanted_db: float) -> Signal:
    """An estimate, (time,), blended until its SI-SNR against `reference` is `wanted_db`.

    One that is worse is blended with the truth: its own error, of whatever kind, grows fainter. One
    that is better gets a share of `rest`, what else there is in the mixture, the way up that the
    estimate is: upside down, the rest would be heard against the talker, as it is in no mixture.
    Where either is silent the estimate comes back as it is, and where no share of the rest will
    do, as near as is possible.
    """
    target = _projected(estimate, reference)
    error = estimate - estimate.mean() - target
    if not target.any() or not error.any():
        return estimate
    made_db = _ratio_db(target, error)
    if made_db <= wanted_db:
        return np.asarray(target + 10 ** ((made_db - wanted_db) / 20) * error)
    if estimate @ reference < 0:
        rest = -rest
    low, high = SHARES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        blended = estimate + 10**middle * rest
        part = _projected(blended, reference)
        enough = _ratio_db(part, blended - blended.mean() - part) <= wanted_db
        low, high = (low, middle) if enough else (middle, high)
    return np.asarray(estimate + 10**high * rest)


def _projected(signal: Signal, reference: Signal) -> Signal:
    """What a signal has of a reference, means removed."""
    centred = reference - reference.mean()
    energy = float(centred @ centred)
    if not energy:
        return np.zeros_like(signal)
    return np.asarray((signal - signal.mean()) @ centred / energy * centred)


def _ratio_db(target: Signal, error: Signal) -> float:
    powers = np.array([target @ target, error @ error]) + np.finfo(np.float64).tiny
    return float(10 * np.log10(powers[0] / powers[1]))
