"""Guessed quality: how far a model without a reference is from what the reference would have said.

The error of a clip is |guess - truth|; the truth is the metric of that name on the clip as it was
heard. Both are kept in a score's detail, so that a bias or a correlation can be told from a table.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from numpy.typing import ArrayLike

from metrics.base import ClipScore, EstimateItem, FailedPrediction, Metric, UndefinedMetric
from metrics.intelligibility import stoi
from metrics.perceptual import pesq
from metrics.signal import si_sdr

RATE = 16_000  # Hz, at which such models are trained; PESQ is wide-band there

Measure = Callable[[ArrayLike, ArrayLike], float]


def score_stoi_error(item: EstimateItem) -> ClipScore:
    """How far a guessed STOI is from the true one."""
    return _error(item, "stoi", lambda clean, heard: stoi(clean, heard, item.sample_rate))


def score_pesq_error(item: EstimateItem) -> ClipScore:
    """How far a guessed PESQ is from the true one, wide-band from 16 kHz."""
    return _error(item, "pesq", lambda clean, heard: pesq(clean, heard, item.sample_rate))


def score_si_sdr_error(item: EstimateItem) -> ClipScore:
    """How far a guessed SI-SDR is from the true one, in dB."""
    return _error(item, "si_sdr", lambda clean, heard: float(si_sdr(clean, heard)))


def _error(item: EstimateItem, name: str, measure: Measure) -> ClipScore:
    """UndefinedMetric where there is no truth, FailedPrediction where there is no guess."""
    try:
        truth = measure(item.reference, item.heard)
    except FailedPrediction as error:  # the sound is an input here, not an answer
        raise UndefinedMetric(error.reason, error.detail) from error
    if name not in item.estimates:
        known = ", ".join(sorted(item.estimates)) or "nothing"
        raise FailedPrediction("not_estimated", f"expected a guess of {name}, found {known}")
    guess = item.estimates[name]
    if not isfinite(guess):
        raise FailedPrediction("not_finite", f"the guess of {name} is {guess}")
    return ClipScore(abs(guess - truth), detail={"estimate": guess, "truth": truth})


def _sheet(name: str, title: str, unit: str, version: str, *libraries: str) -> Metric:
    return Metric(
        name=f"{name}_error",
        title=f"{title} error",
        unit=unit,
        higher_is_better=False,
        version=version,
        pooled=False,
        item="estimate",
        function=f"metrics.quality:score_{name}_error",
        parameters={"sample_rate": RATE},
        summary=f"how far a guessed {title} is from the true one, mean absolute error",
        libraries=libraries,
        needs=("clean signal",),
        failure_policy=f"undefined: no {title} of the clip as heard; failed: no guess of it, NaN",
        source="as Kumar et al. 2023, arXiv 2304.01448 (TorchAudio-SQUIM) report it",
    )


SHEETS: tuple[Metric, ...] = (
    _sheet("stoi", "STOI", "", "2"),
    _sheet("pesq", "PESQ", "MOS", "1", "pesq", "soxr"),
    _sheet("si_sdr", "SI-SDR", "dB", "1"),
)
