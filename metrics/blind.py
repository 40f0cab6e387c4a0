"""Blind values: what a metric would say of an answer, guessed by an estimator without the truth.

A real recording has no separate sources, so that its separation cannot be scored; an estimator that
learnt where the truth is known guesses the score instead (Subakan et al. 2021, REAL-M, arXiv
2110.10812; for one signal alone Kumar et al. 2023, TorchAudio-SQUIM, arXiv 2304.01448). The value
of a clip is the mean over its estimates; a score's detail keeps each of them, and where the
estimator gives them the ends of its 90 % intervals and how far outside its training each lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from metrics.base import BlindItem, ClipScore, FailedPrediction, Metric, UndefinedMetric

BESIDE = ("lower", "upper", "outside")  # what an estimator may say beside its guesses
JUDGE, LISTENER = "blind-si-snr", "torchaudio-squim-objective"  # estimators asked by default


def score_blind_si_snr(item: BlindItem, **_: Any) -> ClipScore:
    """The guessed SI-SNR of a clip in dB."""
    return _guessed(item, "si_snr")


def score_blind_si_sdr(item: BlindItem, **_: Any) -> ClipScore:
    """The guessed SI-SDR of a clip in dB."""
    return _guessed(item, "si_sdr")


def score_blind_stoi(item: BlindItem, **_: Any) -> ClipScore:
    """The guessed STOI of a clip."""
    return _guessed(item, "stoi")


def score_blind_pesq(item: BlindItem, **_: Any) -> ClipScore:
    """The guessed PESQ of a clip."""
    return _guessed(item, "pesq")


def _guessed(item: BlindItem, name: str) -> ClipScore:
    """The mean of an estimator's guesses; UndefinedMetric or FailedPrediction where it has none."""
    if item.undefined:
        raise UndefinedMetric(item.undefined, "nobody could tell from what was heard")
    if name not in item.guesses:
        known = ", ".join(sorted({*item.guesses} - {*BESIDE})) or "nothing"
        raise FailedPrediction("not_estimated", f"expected a guess of {name}, found {known}")
    values = [float(value) for value in item.guesses[name]]
    if not values or not all(map(isfinite, values)):
        raise FailedPrediction("not_finite", f"the guesses of {name} are {values}")
    detail: dict[str, Any] = {"sources": values} if len(values) > 1 else {}
    detail |= {beside: list(item.guesses[beside]) for beside in BESIDE if beside in item.guesses}
    return ClipScore(sum(values) / len(values), detail=detail)


def canonical(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, checked; ValueError for an estimator or a fingerprint that is no text."""
    for name in ("estimator", "fingerprint"):
        if not isinstance(parameters[name], str):
            raise ValueError(f"{name}: expected a text, found {parameters[name]!r}")
    if not parameters["estimator"]:
        raise ValueError("estimator: expected the name of a model, found none")
    if not isinstance(parameters["parameters"], Mapping):
        raise ValueError(
            "parameters: expected the estimator's, name by name, found "
            f"{parameters['parameters']!r}"
        )
    return {**parameters, "parameters": dict(parameters["parameters"])}


def _sheet(truth: str, title: str, unit: str, *, estimator: str, source: str) -> Metric:
    return Metric(
        name=f"blind_{truth}",
        title=f"Blind {title}",
        unit=unit,
        higher_is_better=True,
        version="1",
        pooled=False,
        item="blind",
        function=f"metrics.blind:score_blind_{truth}",
        parameters={"estimator": estimator, "parameters": {}, "fingerprint": ""},
        summary=f"{title} guessed by an estimator that has no reference",
        needs=("an estimator",),
        failure_policy=(
            "undefined: silent or empty mixture, too short for the estimator; failed: silent "
            "estimate, no guess, NaN, whatever the model or the estimator failed on"
        ),
        source=source,
        canonical="metrics.blind:canonical",
        truth=truth,
    )


_REAL_M = "Subakan et al. 2021, REAL-M, arXiv 2110.10812"
_SQUIM = "Kumar et al. 2023, arXiv 2304.01448 (TorchAudio-SQUIM)"

SHEETS: tuple[Metric, ...] = (
    _sheet("si_snr", "SI-SNR", "dB", estimator=JUDGE, source=_REAL_M),
    _sheet("si_sdr", "SI-SDR", "dB", estimator=LISTENER, source=_SQUIM),
    _sheet("stoi", "STOI", "", estimator=LISTENER, source=_SQUIM),
    _sheet("pesq", "PESQ", "MOS", estimator=LISTENER, source=_SQUIM),
)
