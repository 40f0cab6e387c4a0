import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve as sklearn_curve

from metrics import (
    Tally,
    calibration_curve,
    calibration_error,
    kendall_tau_b,
    rank_agreement,
    rank_flips,
    replicate_values,
    spearman_rho,
)
from metrics.intervals import Term

VALUES = st.integers(2, 12).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(-4, 4), min_size=size, max_size=size)] * 2)
)


def model(seed: int, quality: float, *, speakers: int = 10, noise: float = 0.3) -> Tally:
    rng = np.random.default_rng(seed)
    ids = [f"c/s{speaker}" for speaker in range(speakers)]
    return Tally.from_arrays(ids, quality + noise * rng.normal(size=speakers), np.ones(speakers))


def world(seed: int, qualities, **options) -> list[list[Tally]]:
    return [[model(seed + i, quality, **options)] for i, quality in enumerate(qualities)]


@given(VALUES)
def test_agree_with_scipy(lists):
    a, b = lists
    if len({*a}) == 1 or len({*b}) == 1:
        assert kendall_tau_b(a, b) is None
        assert spearman_rho(a, b) is None
    else:
        assert kendall_tau_b(a, b) == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)
        assert spearman_rho(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_the_same_order_is_one_and_the_reverse_minus_one():
    assert kendall_tau_b([1, 2, 3], [10, 20, 30]) == spearman_rho([1, 2, 3], [1, 8, 9]) == 1.0
    assert kendall_tau_b([1, 2, 3], [3, 2, 1]) == spearman_rho([1, 2, 3], [3, 2, 1]) == -1.0
    assert kendall_tau_b([], []) is None
    assert spearman_rho([1.0], [2.0]) is None


def test_two_worlds_that_rank_alike():
    qualities = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found = rank_agreement(world(0, qualities), world(100, qualities, speakers=8))
    assert found.models == 6
    assert found.tau_b.value == found.rho.value == 1.0
    assert found.tau_b.interval.high == 1.0
    assert found.tau_b.interval.low > 0.5
    assert (found.tau_b.interval.method, found.tau_b.interval.clusters) == ("bootstrap", 8)


def test_the_interval_is_the_replicates_quantiles():
    synthetic = world(0, [1.0, 1.1, 1.2, 1.3, 1.4], noise=0.2)
    real = world(50, [1.2, 1.0, 1.1, 1.4, 1.3], noise=0.2)
    drawn = [
        np.stack([replicate_values([Term(1.0, m[0], salt)]) for m in side], axis=1)
        for side, salt in ((synthetic, "a"), (real, "b"))
    ]
    taus = [stats.kendalltau(a, b).statistic for a, b in zip(*drawn, strict=True)]
    tail = stats.norm.cdf(-stats.t.ppf(0.975, 9) * (10 / 9) ** 0.5)
    found = rank_agreement(synthetic, real).tau_b
    values = [[m[0].value for m in side] for side in (synthetic, real)]
    assert found.value == pytest.approx(stats.kendalltau(*values).statistic)
    expected = np.quantile(taus, [tail, 1 - tail])
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(expected))
    assert found.interval.low < found.value < found.interval.high


def test_no_interval_under_five_models_or_six_clusters():
    qualities = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert rank_agreement(world(0, qualities), world(9, qualities)).rho.interval is not None
    four = rank_agreement(world(0, qualities[:4]), world(9, qualities[:4]))
    assert (four.rho.value, four.rho.interval, four.models) == (1.0, None, 4)
    few = rank_agreement(world(0, qualities), world(9, qualities, speakers=5))
    assert (few.tau_b.value, few.tau_b.interval) == (1.0, None)
    nothing = rank_agreement([], [])
    assert (nothing.rho.value, nothing.rho.interval, nothing.models) == (None, None, 0)


def test_models_without_a_value_take_no_part():
    qualities = [1.0, 2.0, 3.0]
    with_gap = [*world(0, qualities), [Tally.zero()]]
    found = rank_agreement(with_gap, [*world(9, qualities), [model(1, 0.0)]])
    assert (found.models, found.rho.value) == (3, 1.0)
    with pytest.raises(ValueError, match="every model on both sides, found 4 and 3"):
        rank_agreement(with_gap, world(9, qualities))


def test_rank_flips_are_the_pairs_that_turn_round():
    assert rank_flips([1, 2, 3], [1, 3, 2]) == [(1, 2)]
    assert rank_flips([1, 2, 3], [3, 2, 1]) == [(0, 1), (0, 2), (1, 2)]
    assert rank_flips([1, 1, 3], [2, 1, 3]) == []
    assert rank_flips([], []) == []


def test_the_calibration_curve_is_sklearns():
    rng = np.random.default_rng(0)
    confidences = rng.random(500)
    right = rng.random(500) < confidences**2
    found = calibration_curve(confidences, right, edges=np.linspace(0, 1, 11))
    observed, expected = sklearn_curve(right, confidences, n_bins=10)
    assert [b.expected for b in found] == pytest.approx(expected)
    assert [b.observed for b in found] == pytest.approx(observed)
    assert sum(b.clips for b in found) == 500
    counts = np.array([b.clips for b in found])
    assert calibration_error(found) == pytest.approx(
        (np.abs(observed - expected) * counts).sum() / 500
    )


def test_a_perfect_estimator_lies_on_the_diagonal():
    truths = np.linspace(-5, 25, 61)
    found = calibration_curve(truths, truths, edges=6)
    assert [b.expected for b in found] == [b.observed for b in found]
    assert (found[0].low, found[-1].high) == (-5.0, 25.0)
    assert calibration_error(found) == 0.0


def test_empty_bins_and_empty_curves():
    found = calibration_curve([0.1, 0.9], [0, 1], edges=[0.0, 0.5, 0.8, 1.0])
    assert [b.clips for b in found] == [1, 0, 1]
    assert (found[1].expected, found[1].observed) == (None, None)
    assert calibration_curve([], []) == []
    assert calibration_error([]) is None
    (flat,) = calibration_curve([0.5, 0.5], [0, 1])
    assert (flat.clips, flat.expected, flat.observed) == (2, 0.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0, 2.0], 3), "two lists of one length"),
        (([np.nan], [1.0], 3), "expected finite values"),
        (([1.0], [1.0], 0), "expected at least 1 bin, found 0"),
        (([1.0], [1.0], [1.0, 1.0]), "2 or more increasing numbers"),
        (([2.0], [1.0], [0.0, 1.0]), "predictions from 0.0 to 1.0, found 2.0"),
    ],
)
def test_arguments_are_checked(arguments, message):
    predicted, true, edges = arguments
    with pytest.raises(ValueError, match=message):
        calibration_curve(predicted, true, edges=edges)
