"""PESQ (ITU-T P.862, P.862.2) by `pesq`.

The library answers some unscorable inputs with a number, or ends the process: everything of that
kind is checked here first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import ClipScore, Metric, Signal, SignalItem, UndefinedMetric
from metrics.checks import as_channel, check_pair, check_sources
from metrics.signal import clip_score, signal_sheet

NARROW_RATE = 8_000  # Hz
WIDE_RATE = 16_000  # Hz
PESQ_MODES = ("nb", "wb")
PESQ_SHORTEST = 0.25  # seconds; below, pesq has no buffer to work on
# pesq 0.0.4 keeps 50 utterances in fixed arrays and writes past them: silently wrong from the 51st,
# a crash of the process soon after. An utterance and its pause last at least 97 frames of 4 ms (its
# voice activity detector joins pauses up to 50 frames and drops speech under 50), so 50 of them
# need 19.4 s.
PESQ_LONGEST = 19.0  # seconds


def pesq(
    reference: ArrayLike, estimate: ArrayLike, sample_rate: int, mode: str | None = None
) -> float:
    """PESQ as MOS-LQO, about 1.0 to 4.64 (wide-band) or 4.55 (narrow-band); higher is better.

    Signals are `(time,)`, floats of any scale: pesq divides both by their common peak and then
    levels each. At 8 kHz it is narrow-band; from 16 kHz up wide-band at 16 kHz; between,
    narrow-band at 8 kHz (soxr HQ). `mode` "nb" or "wb" overrides the mode at that rate. Raises
    UndefinedMetric for a silent, empty or non-finite reference, one without an utterance
    ("no_utterances"), under 0.25 s ("too_short") or over 19 s ("too_long"); FailedPrediction for a
    silent, non-finite or unequally long estimate; ValueError for a rate under 8 kHz or an
    impossible mode.
    """
    rate, band = pesq_rate(sample_rate), pesq_mode(sample_rate, mode)
    source, guess = as_channel(reference, "reference"), as_channel(estimate, "estimate")
    check_pair(source, guess)
    _check_pesq_length(len(source) / sample_rate)
    return _pesq(
        _lowered(source, sample_rate, rate),
        _lowered(guess, sample_rate, rate),
        rate=rate,
        mode=band,
    )


def pesq_rate(sample_rate: int) -> int:
    """The rate in Hz at which PESQ listens to audio of `sample_rate`; ValueError under 8 kHz."""
    if sample_rate < NARROW_RATE:
        raise ValueError(
            f"pesq: expected {NARROW_RATE} Hz or more, found {sample_rate}; nothing is brought up"
        )
    return WIDE_RATE if sample_rate >= WIDE_RATE else NARROW_RATE


def pesq_mode(sample_rate: int, mode: str | None = None) -> str:
    """The mode for audio of `sample_rate`: by rate, unless given; ValueError if impossible."""
    if mode is None:
        return "wb" if pesq_rate(sample_rate) == WIDE_RATE else "nb"
    check_pesq_mode(mode)
    if mode == "wb" and pesq_rate(sample_rate) != WIDE_RATE:
        raise ValueError(
            f"pesq: mode 'wb' needs {WIDE_RATE} Hz or more, found {sample_rate}; use 'nb'"
        )
    return mode


def check_pesq_mode(mode: str) -> None:
    """ValueError unless `mode` is "nb" or "wb"."""
    if mode not in PESQ_MODES:
        raise ValueError(f"pesq: expected mode 'nb', 'wb' or None (by rate), found {mode!r}")


def score_pesq(item: SignalItem, *, mode: str | None = None) -> ClipScore:
    """PESQ of a clip: the mean over its sources."""
    check_sources(item)
    pairs = zip(item.references, item.estimates, strict=True)
    return clip_score([pesq(*pair, item.sample_rate, mode) for pair in pairs])


def _check_pesq_length(seconds: float) -> None:
    if seconds < PESQ_SHORTEST:
        raise UndefinedMetric(
            "too_short", f"expected at least {PESQ_SHORTEST} s, found {seconds:.3f} s"
        )
    if seconds > PESQ_LONGEST:
        raise UndefinedMetric(
            "too_long", f"expected at most {PESQ_LONGEST} s, found {seconds:.1f} s; cut the clip"
        )


def _lowered(signal: Signal, sample_rate: int, rate: int) -> Signal:
    if sample_rate == rate:
        return signal
    import soxr

    return np.asarray(soxr.resample(signal, sample_rate, rate, quality="HQ"), dtype=np.float64)


def _pesq(reference: Signal, estimate: Signal, *, rate: int, mode: str) -> float:
    import pesq as library

    try:
        return float(library.pesq(rate, reference, estimate, mode))
    except library.NoUtterancesError as error:
        raise UndefinedMetric(
            "no_utterances", "pesq found no utterance in the reference"
        ) from error
    except library.BufferTooShortError as error:
        raise UndefinedMetric(
            "too_short", f"expected at least {PESQ_SHORTEST} s at {rate} Hz"
        ) from error


def canonical_pesq(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """PESQ's parameters, checked: ValueError for an unknown mode, or one impossible at its rate."""
    mode, rate = parameters["mode"], parameters["sample_rate"]
    if mode is not None:
        check_pesq_mode(mode)
    if rate is not None:
        pesq_mode(rate, mode)
    return dict(parameters)


FAILURES = (
    "undefined: silent, empty, non-finite or too short reference; failed: silent, non-finite or "
    "unequally long estimate, another number of sources"
)

SHEETS: tuple[Metric, ...] = (
    signal_sheet(
        "pesq",
        "PESQ",
        "perceived quality, narrow-band under 16 kHz, wide-band from there",
        unit="MOS",
        function="metrics.perceptual:score_pesq",
        parameters={"mode": None},
        libraries=("pesq", "soxr"),
        canonical="metrics.perceptual:canonical_pesq",
        source="ITU-T P.862, P.862.2",
        failure_policy=f"{FAILURES}; undefined: no utterance in the reference, over 19 s",
    ),
)
