"""PESQ (ITU-T P.862, P.862.2) by `pesq`; STOI and ESTOI (Taal 2011, Jensen 2016) by `pystoi`.

Both libraries answer some unscorable inputs with a number, or end the process; everything of that
kind is checked here first.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from threading import Lock
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

STOI_RATE = 10_000  # Hz, inside pystoi
# 30 frames of 256 samples, hop 128, once frames were cut out and joined: 31 before that.
STOI_SHORTEST = 256 + 30 * 128 + 1  # samples at STOI_RATE: 0.41 s
_TOO_FEW_FRAMES = 1e-5  # what pystoi answers, with a warning, where too little speech is left
_NUMPY_GENERATOR = Lock()  # ESTOI draws from the one generator of the whole process


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


def stoi(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """STOI, at most 1 (perfect), about 0 for unrelated signals; higher is better.

    Signals are `(time,)`; pystoi resamples to 10 kHz. Raises UndefinedMetric("too_short") under 30
    frames (about 0.41 s) of speech, and as `pesq` for silence, NaN and unequal lengths.
    """
    source, guess = _stoi_pair(reference, estimate, sample_rate)
    return _stoi(source, guess, sample_rate, extended=False)


def estoi(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Extended STOI: as `stoi`, and repeatable.

    pystoi adds noise from numpy's global generator; here that is seeded with 0 and put back.
    """
    source, guess = _stoi_pair(reference, estimate, sample_rate)
    with _NUMPY_GENERATOR:
        state = np.random.get_state()
        try:
            np.random.seed(0)
            return _stoi(source, guess, sample_rate, extended=True)
        finally:
            np.random.set_state(state)


def score_pesq(item: SignalItem, *, mode: str | None = None) -> ClipScore:
    """PESQ of a clip: the mean over its sources."""
    return _score(
        item, lambda reference, estimate: pesq(reference, estimate, item.sample_rate, mode)
    )


def score_stoi(item: SignalItem) -> ClipScore:
    """STOI of a clip: the mean over its sources."""
    return _score(item, lambda reference, estimate: stoi(reference, estimate, item.sample_rate))


def score_estoi(item: SignalItem) -> ClipScore:
    """ESTOI of a clip: the mean over its sources."""
    return _score(item, lambda reference, estimate: estoi(reference, estimate, item.sample_rate))


def _score(item: SignalItem, function: Callable[[Signal, Signal], float]) -> ClipScore:
    check_sources(item)
    return clip_score(
        [function(*pair) for pair in zip(item.references, item.estimates, strict=True)]
    )


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


def _stoi_pair(
    reference: ArrayLike, estimate: ArrayLike, sample_rate: int
) -> tuple[Signal, Signal]:
    if sample_rate <= 0:
        raise ValueError(f"stoi: expected a positive sample rate in Hz, found {sample_rate}")
    source, guess = as_channel(reference, "reference"), as_channel(estimate, "estimate")
    check_pair(source, guess)
    if math.ceil(len(source) * STOI_RATE / sample_rate) < STOI_SHORTEST:
        raise _too_few_frames()
    return source, guess


def _stoi(reference: Signal, estimate: Signal, sample_rate: int, *, extended: bool) -> float:
    import pystoi

    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.filterwarnings("ignore", "Not enough STFT frames", RuntimeWarning)
        value = float(pystoi.stoi(reference, estimate, sample_rate, extended=extended))
    # The value, not the warning, is trusted: warning filters are shared between threads.
    if value == _TOO_FEW_FRAMES:
        raise _too_few_frames()
    if not np.isfinite(value):
        raise UndefinedMetric("not_a_number", "some band envelope has no variation to correlate")
    return value


def _too_few_frames() -> UndefinedMetric:
    return UndefinedMetric(
        "too_short", "expected at least 30 frames (about 0.41 s) of speech in the reference"
    )


def canonical_pesq(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """PESQ's parameters, checked: ValueError for an unknown mode, or one impossible at its rate."""
    mode, rate = parameters["mode"], parameters["sample_rate"]
    if mode is not None:
        check_pesq_mode(mode)
    if rate is not None:
        pesq_mode(rate, mode)
    return dict(parameters)


_FAILURES = (
    "undefined: silent, empty, non-finite or too short reference; failed: silent, non-finite or "
    "unequally long estimate, another number of sources"
)


def _sheet(name: str, title: str, summary: str, **fields: Any) -> Metric:
    return signal_sheet(
        name, title, summary,
        **{"unit": "", "function": f"metrics.perceptual:score_{name}", "libraries": ("pystoi",),
           "failure_policy": _FAILURES, **fields},
    )  # fmt: skip


SHEETS: tuple[Metric, ...] = (
    _sheet(
        "pesq",
        "PESQ",
        "perceived quality, narrow-band under 16 kHz, wide-band from there",
        unit="MOS",
        parameters={"mode": None},
        libraries=("pesq", "soxr"),
        canonical="metrics.perceptual:canonical_pesq",
        source="ITU-T P.862, P.862.2",
        failure_policy=f"{_FAILURES}; undefined: no utterance in the reference, over 19 s",
    ),
    _sheet(
        "stoi",
        "STOI",
        "short-time intelligibility",
        source="Taal et al. 2011",
    ),
    _sheet(
        "estoi",
        "ESTOI",
        "extended short-time intelligibility",
        source="Jensen and Taal 2016",
    ),
)
