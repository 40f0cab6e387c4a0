import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metrics import Moments, Tally, compare, from_arrow, interval, to_arrow, weights

NUMBERS = st.floats(-1e3, 1e3)
CLIPS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cy"]),
        NUMBERS,
        NUMBERS,
        st.sampled_from(["scored", "scored", "undefined", "failed"]),
    ),
    max_size=30,
)


def moments(clips) -> Moments:
    clusters, truths, estimates, ends = zip(*clips, strict=True) if clips else ((), (), (), ())
    reasons = [None if end == "scored" else f"too_{end}" for end in ends]
    return Moments.from_arrays(clusters, truths, estimates, ends=ends, reasons=reasons)


def estimates(seed=0, speakers=12, clips=9, noise=1.0):
    rng = np.random.default_rng(seed)
    truths = rng.normal(size=speakers)[:, None] + rng.normal(size=(speakers, clips))
    guesses = 0.8 * truths + 0.5 + noise * rng.normal(size=truths.shape)
    ids = np.repeat([f"c/s{speaker}" for speaker in range(speakers)], clips)
    return ids.tolist(), truths.ravel(), guesses.ravel()


@given(CLIPS, st.randoms(), st.integers(1, 5))
def test_neither_order_nor_sharding_changes_a_bit(clips, random, shards):
    whole = moments(clips)
    shuffled = list(clips)
    random.shuffle(shuffled)
    parts = [moments(shuffled[shard::shards]) for shard in range(shards)]
    random.shuffle(parts)
    merged = sum(parts, Moments.zero())
    assert merged == moments(shuffled) == whole
    assert (merged.value, merged.bias, merged.mae, merged.rmse) == (
        whole.value, whole.bias, whole.mae, whole.rmse,
    )  # fmt: skip
    assert from_arrow(to_arrow(whole)) == pickle.loads(pickle.dumps(whole)) == whole


def test_agrees_with_scipy_and_plain_means():
    clusters, truths, guesses = estimates()
    found = Moments.from_arrays(clusters, truths, guesses)
    assert found.value == pytest.approx(stats.pearsonr(truths, guesses).statistic, abs=1e-8)
    assert found.bias == pytest.approx((guesses - truths).mean(), abs=1e-7)
    assert found.mae == pytest.approx(np.abs(guesses - truths).mean(), abs=1e-7)
    assert found.rmse == pytest.approx(((guesses - truths) ** 2).mean() ** 0.5, abs=1e-7)
    assert found.scored == 108


def test_a_large_offset_costs_no_digit():
    clusters, truths, guesses = estimates(clips=3)
    small = Moments.from_arrays(clusters, np.rint(truths * 1024), np.rint(guesses * 1024))
    far = np.rint(truths * 1024) + 1e7, np.rint(guesses * 1024) - 1e7
    assert Moments.from_arrays(clusters, *far).value == small.value


def test_nothing_to_correlate_is_none():
    assert Moments.zero().value is None
    assert Moments.zero().bias is None
    assert Moments.zero().mae is None
    assert Moments.zero().rmse is None
    assert Moments.from_arrays(["a"], [1.0], [2.0]).value is None
    flat = Moments.from_arrays(["a", "b"], [1.0, 1.0], [2.0, 3.0])
    assert (flat.value, flat.bias) == (None, 1.5)
    assert Moments.from_arrays(["a", "b"], [1.0, 2.0], [5.0, 7.0]).value == 1.0
    assert Moments.from_arrays(["a", "b"], [1.0, 2.0], [7.0, 5.0]).value == -1.0


def test_bias_and_error_are_tallies_with_intervals():
    clusters, truths, guesses = estimates()
    found = Moments.from_arrays(clusters, truths, guesses)
    assert isinstance(found.errors(), Tally)
    assert found.errors().value == found.bias
    assert found.absolute_errors().value == found.mae
    assert interval(found.errors()).clusters == 12
    better = Moments.from_arrays(clusters, truths, truths)
    assert compare([better.absolute_errors()], [found.absolute_errors()]).above_zero < 0.01


def test_replicates_are_the_correlation_of_the_weighted_clips():
    clusters, truths, guesses = estimates(speakers=7)
    found = Moments.from_arrays(clusters, truths + 1000, guesses - 50)
    drawn = weights(found.clusters, 40)
    place = {name: index for index, name in enumerate(found.clusters)}
    rows = np.array([place[name] for name in clusters])
    for value, row in zip(found.under(drawn), drawn, strict=True):
        kept = np.repeat(np.arange(len(rows)), row[rows])
        assert value == pytest.approx(np.corrcoef(truths[kept], guesses[kept])[0, 1], abs=1e-6)


@pytest.mark.parametrize(("speakers", "method"), [(12, "bootstrap"), (4, "t"), (2, None)])
def test_the_correlation_has_an_interval(speakers, method):
    found = Moments.from_arrays(*estimates(speakers=speakers))
    made = interval(found)
    if method is None:
        assert made is None
    else:
        assert made.method == method
        assert made.low < found.value < made.high
        assert made.clusters == speakers


def test_columns_are_checked():
    with pytest.raises(ValueError, match="columns of 1 rows like clusters"):
        Moments.from_arrays(["a"], [1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="finite numbers in scored rows"):
        Moments.from_arrays(["a"], [np.nan], [1.0])
    with pytest.raises(OverflowError):
        Moments.from_arrays(["a"], [1e11], [1.0])
    with pytest.raises(TypeError):
        Moments.zero() + 1
    with pytest.raises(OverflowError, match="errors that sum to less than"):
        sum([Moments.from_arrays(["a"], [-8e9], [8e9])] * 2, Moments.zero()).errors()
