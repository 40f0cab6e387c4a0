"""Numbers from arrays and strings, and how sure one may be of them. Imports nothing else of ours.

Arguments come as (reference, prediction). What cannot be scored raises `UndefinedMetric` (the
input's fault) or `FailedPrediction` (the model's). Functions answer one question; `spec` fixes a
metric's parameters, `Tally` sums its scores and `intervals` says how far they may be off.
"""

from metrics.base import ClipScore, FailedPrediction, Metric, SignalItem, TextItem, UndefinedMetric
from metrics.intervals import (
    Estimate,
    Interval,
    Term,
    combine,
    compare,
    difference,
    domain,
    gap,
    interval,
    replicate_values,
    weights,
)
from metrics.perceptual import estoi, pesq, stoi
from metrics.registry import METRICS, MetricSpec, spec
from metrics.signal import pit_si_snr, si_sdr, si_snr
from metrics.tally import Tally, common
from metrics.text import cer, wer

__all__ = [
    "METRICS",
    "ClipScore",
    "Estimate",
    "FailedPrediction",
    "Interval",
    "Metric",
    "MetricSpec",
    "SignalItem",
    "Tally",
    "Term",
    "TextItem",
    "UndefinedMetric",
    "cer",
    "combine",
    "common",
    "compare",
    "difference",
    "domain",
    "estoi",
    "gap",
    "interval",
    "pesq",
    "pit_si_snr",
    "replicate_values",
    "si_sdr",
    "si_snr",
    "spec",
    "stoi",
    "weights",
    "wer",
]
