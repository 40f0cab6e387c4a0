import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import roc_curve

from metrics.base import FailedPrediction, UndefinedMetric
from metrics.verification import equal_error_rate, error_rates, min_dcf


def trials(seed, items, levels):
    random = np.random.default_rng(seed)
    targets = random.random(items) < 0.4
    targets[:2] = True, False
    return targets, np.round((random.normal(size=items) + targets) * levels) / levels


TRIALS = st.builds(trials, st.integers(0, 2**32 - 1), st.integers(2, 60), st.sampled_from([1, 99]))


@given(TRIALS)
def test_equal_error_rate_agrees_with_the_roc_curve_of_scikit_learn(pair):
    alarms, hits, _ = roc_curve(*pair, drop_intermediate=False)
    line = interp1d(alarms, hits)
    theirs = brentq(lambda x: 1 - x - line(x), 0, 1)
    ours = equal_error_rate(*pair)
    misses, false = error_rates(*pair)
    assert np.allclose(false, alarms)
    assert np.allclose(1 - misses, hits)
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(TRIALS)
def test_min_dcf_is_the_best_of_all_thresholds(pair):
    targets, scores = pair
    costs = []
    for threshold in [*scores, np.inf]:
        accepted = scores >= threshold
        miss, alarm = np.mean(~accepted[targets]), np.mean(accepted[~targets])
        costs.append((10 * 0.05 * miss + 1 * 0.95 * alarm) / min(10 * 0.05, 0.95))
    ours = min_dcf(targets, scores, p_target=0.05, cost_miss=10)
    assert ours == pytest.approx(min(costs), abs=1e-12)
    assert 0 <= ours <= 1


def test_by_hand():
    targets = [1, 1, 1, 0, 0, 0]
    scores = [0.9, 0.8, 0.4, 0.5, 0.3, 0.1]
    assert equal_error_rate(targets, scores) == pytest.approx(1 / 3)
    # At P = 0.01 a false alarm is 99 times as dear as a miss: accept only 0.9 and 0.8.
    assert min_dcf(targets, scores) == pytest.approx(1 / 3)
    assert min_dcf(targets, scores, p_target=0.5) == pytest.approx(1 / 3)
    misses, alarms = error_rates(targets, scores)
    assert misses == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    assert alarms == pytest.approx([0, 0, 0, 1 / 3, 1 / 3, 2 / 3, 1])


def test_perfect_chance_and_inverted():
    assert equal_error_rate([1, 1, 0, 0], [4, 3, 2, 1]) == 0.0
    assert min_dcf([1, 1, 0, 0], [4, 3, 2, 1]) == 0.0
    assert equal_error_rate([1, 1, 0, 0], [1, 2, 3, 4]) == 1.0
    assert min_dcf([1, 1, 0, 0], [1, 2, 3, 4]) == 1.0
    assert equal_error_rate([1, 0, 1, 0], [7, 7, 7, 7]) == 0.5  # one threshold: all or none
    assert min_dcf([1, 0], [7, 7]) == 1.0


@given(TRIALS)
def test_order_and_scale_do_not_matter(pair):
    targets, scores = pair
    assert equal_error_rate(targets[::-1], scores[::-1]) == equal_error_rate(targets, scores)
    assert equal_error_rate(targets, 3 * scores + 2) == equal_error_rate(targets, scores)
    assert min_dcf(targets[::-1], scores[::-1]) == min_dcf(targets, scores)


def test_one_side_alone_is_undefined():
    with pytest.raises(UndefinedMetric, match="no_targets"):
        equal_error_rate([False, False], [1, 2])
    with pytest.raises(UndefinedMetric, match="no_targets"):
        equal_error_rate([], [])
    with pytest.raises(UndefinedMetric, match="no_nontargets"):
        min_dcf([True, True], [1, 2])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: equal_error_rate([1, 0], [1]), ValueError, "expected two arrays"),
        (lambda: equal_error_rate([2, 0], [1, 1]), TypeError, "targets: expected booleans"),
        (lambda: equal_error_rate([1, 0], [np.nan, 1]), FailedPrediction, "not_finite"),
        (lambda: min_dcf([1, 0], [1, 0], p_target=0), ValueError, "p_target: expected"),
        (lambda: min_dcf([1, 0], [1, 0], cost_miss=0), ValueError, "costs: expected"),
    ],
)
def test_wrong_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
