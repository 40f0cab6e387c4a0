"""Numbers from arrays and strings, and how sure one may be of them. Imports nothing else of ours.

Arguments come as (reference, prediction). What cannot be scored raises `UndefinedMetric` (the
input's fault) or `FailedPrediction` (the model's). Functions answer one question; `spec` fixes a
metric's parameters, `Tally` sums its scores and `intervals` says how far they may be off.
"""

from metrics.agreement import (
    Agreement,
    CalibrationBin,
    calibration_curve,
    calibration_error,
    kendall_tau_b,
    rank_agreement,
    rank_flips,
    spearman_rho,
)
from metrics.arrow import from_arrow, to_arrow
from metrics.base import (
    ClassItem,
    ClipScore,
    FailedPrediction,
    LogitsItem,
    Metric,
    SignalItem,
    TextItem,
    UndefinedMetric,
)
from metrics.intervals import (
    Estimate,
    Interval,
    Term,
    better,
    combine,
    combine_all,
    compare,
    difference,
    domain,
    gap,
    interval,
    replicate_all,
    replicate_values,
    tied,
    weights,
)
from metrics.moments import Moments
from metrics.perceptual import estoi, pesq, stoi
from metrics.ranks import Ranks
from metrics.registry import METRICS, MetricSpec, spec
from metrics.signal import pit_si_snr, si_sdr, si_snr
from metrics.tally import Tally, common
from metrics.text import cer, wer

__all__ = [
    "METRICS",
    "Agreement",
    "CalibrationBin",
    "ClassItem",
    "ClipScore",
    "Estimate",
    "FailedPrediction",
    "Interval",
    "LogitsItem",
    "Metric",
    "MetricSpec",
    "Moments",
    "Ranks",
    "SignalItem",
    "Tally",
    "Term",
    "TextItem",
    "UndefinedMetric",
    "better",
    "calibration_curve",
    "calibration_error",
    "cer",
    "combine",
    "combine_all",
    "common",
    "compare",
    "difference",
    "domain",
    "estoi",
    "from_arrow",
    "gap",
    "interval",
    "kendall_tau_b",
    "pesq",
    "pit_si_snr",
    "rank_agreement",
    "rank_flips",
    "replicate_all",
    "replicate_values",
    "si_sdr",
    "si_snr",
    "spearman_rho",
    "spec",
    "stoi",
    "tied",
    "to_arrow",
    "weights",
    "wer",
]
