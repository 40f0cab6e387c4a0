"""Verification (is this the same speaker?): equal error rate and minimum detection cost.

Arguments come as (targets, scores): `targets` are booleans `(trials,)`, true where the trial is a
target; a trial is accepted where its score is at least the threshold. Both rates are defined on
the distinct thresholds only, so that the order of trials with equal scores does not matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import FailedPrediction, UndefinedMetric

Floats = NDArray[np.float64]


def error_rates(targets: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """(misses, false alarms) as shares, at every distinct threshold, from accepting none to all.

    Misses fall from 1 to 0 while false alarms rise from 0 to 1. UndefinedMetric("no_targets") or
    ("no_nontargets") where one side has no trial, FailedPrediction("not_finite") for NaN.
    """
    wanted, given = _trials(targets, scores)
    order = np.argsort(-given, kind="stable")
    last = np.append(np.diff(given[order]) != 0, True)  # the last trial of each threshold
    hits = np.append(0, np.cumsum(wanted[order])[last])
    alarms = np.append(0, np.cumsum(~wanted[order])[last])
    return 1 - hits / hits[-1], alarms / alarms[-1]


def equal_error_rate(targets: ArrayLike, scores: ArrayLike) -> float:
    """Where misses and false alarms are equal, as a share: 0 is perfect, 0.5 is chance.

    Between two thresholds both rates are joined by a straight line (the ROC curve as scikit-learn
    draws it, met by the line misses = false alarms); no convex hull.
    """
    misses, alarms = error_rates(targets, scores)
    after = int(np.argmax(alarms >= misses))  # never 0: there misses are 1 and alarms 0
    before = after - 1
    gap, next_gap = misses[before] - alarms[before], alarms[after] - misses[after]
    share = gap / (gap + next_gap)
    return float(alarms[before] + share * (alarms[after] - alarms[before]))


def min_dcf(
    targets: ArrayLike,
    scores: ArrayLike,
    *,
    p_target: float = 0.01,
    cost_miss: float = 1.0,
    cost_false_alarm: float = 1.0,
) -> float:
    """The least detection cost over all thresholds, over that of the best blind answer: 0 to 1.

    min(C_miss P_miss P + C_fa P_fa (1 - P)) / min(C_miss P, C_fa (1 - P)), by NIST's speaker
    recognition evaluations; the defaults are the first operating point of SRE 2016
    (P = 0.01, both costs 1). ValueError for a `p_target` outside 0 to 1 or costs not above 0.
    """
    if not 0 < p_target < 1:
        raise ValueError(f"p_target: expected a share between 0 and 1, found {p_target}")
    if not (cost_miss > 0 and cost_false_alarm > 0):
        raise ValueError(f"costs: expected above 0, found {cost_miss} and {cost_false_alarm}")
    misses, alarms = error_rates(targets, scores)
    missing, alarming = cost_miss * p_target, cost_false_alarm * (1 - p_target)
    return float((missing * misses + alarming * alarms).min() / min(missing, alarming))


def _trials(targets: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    wanted, given = np.asarray(targets), np.asarray(scores, dtype=np.float64)
    if wanted.ndim != 1 or wanted.shape != given.shape:
        raise ValueError(f"expected two arrays (trials,), found {wanted.shape} and {given.shape}")
    if wanted.size and (wanted.dtype.kind not in "biu" or not np.isin(wanted, (0, 1)).all()):
        raise TypeError(f"targets: expected booleans or 0 and 1, found dtype {wanted.dtype}")
    if np.isnan(given).any():
        raise FailedPrediction("not_finite", "the scores hold NaN")
    kinds = wanted.astype(np.bool_)
    if not kinds.any():
        raise UndefinedMetric("no_targets", f"none of {len(kinds)} trials is a target")
    if kinds.all():
        raise UndefinedMetric("no_nontargets", f"all {len(kinds)} trials are targets")
    return kinds, given
