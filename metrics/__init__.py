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
    BlindItem,
    ClassItem,
    ClipScore,
    EstimateItem,
    ExplanationItem,
    FailedPrediction,
    LogitsItem,
    Metric,
    Parts,
    RankItem,
    SignalItem,
    TextItem,
    UndefinedMetric,
)
from metrics.bss import bss_eval
from metrics.classification import mean_average_precision, top_k_accuracy
from metrics.embeddings import frechet_distance
from metrics.faithfulness import (
    average_drop,
    average_gain,
    average_increase,
    complexity,
    faithfulness,
    faithfulness_logit,
    input_fidelity,
    sparseness,
)
from metrics.intelligibility import estoi, stoi
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
from metrics.perceptual import pesq
from metrics.ranks import Ranks
from metrics.registry import METRICS, MetricSpec, spec
from metrics.retrieval import recall_at_k
from metrics.signal import pit_si_snr, si_sdr, si_snr, snr
from metrics.tally import Tally, common
from metrics.text import align, cer, wer
from metrics.verification import equal_error_rate, min_dcf

__all__ = [
    "METRICS",
    "Agreement",
    "BlindItem",
    "CalibrationBin",
    "ClassItem",
    "ClipScore",
    "Estimate",
    "EstimateItem",
    "ExplanationItem",
    "FailedPrediction",
    "Interval",
    "LogitsItem",
    "Metric",
    "MetricSpec",
    "Moments",
    "Parts",
    "RankItem",
    "Ranks",
    "SignalItem",
    "Tally",
    "Term",
    "TextItem",
    "UndefinedMetric",
    "align",
    "average_drop",
    "average_gain",
    "average_increase",
    "better",
    "bss_eval",
    "calibration_curve",
    "calibration_error",
    "cer",
    "combine",
    "combine_all",
    "common",
    "compare",
    "complexity",
    "difference",
    "domain",
    "equal_error_rate",
    "estoi",
    "faithfulness",
    "faithfulness_logit",
    "frechet_distance",
    "from_arrow",
    "gap",
    "input_fidelity",
    "interval",
    "kendall_tau_b",
    "mean_average_precision",
    "min_dcf",
    "pesq",
    "pit_si_snr",
    "rank_agreement",
    "rank_flips",
    "recall_at_k",
    "replicate_all",
    "replicate_values",
    "si_sdr",
    "si_snr",
    "snr",
    "sparseness",
    "spearman_rho",
    "spec",
    "stoi",
    "tied",
    "to_arrow",
    "top_k_accuracy",
    "weights",
    "wer",
]
