import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from metrics import Ranks, from_arrow, interval, ranks, to_arrow, weights
from metrics.ranks import average_precision, equal_error_rate, spearman

KINDS = ("spearman", "map", "eer")
ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cy"]),
        st.sampled_from([0.0, 1.0]),
        st.one_of(st.floats(-100, 100), st.sampled_from([0.5, 0.25])),
        st.sampled_from(["dog", "cat"]),
        st.sampled_from(["scored", "scored", "undefined", "failed"]),
    ),
    max_size=40,
)


def tally(kind, items) -> Ranks:
    clusters, x, y, groups, ends = zip(*items, strict=True) if items else ((), (), (), (), ())
    reasons = [None if end == "scored" else f"too_{end}" for end in ends]
    return Ranks.from_arrays(kind, clusters, x, y, groups=groups, ends=ends, reasons=reasons)


def scores(seed=0, items=400, speakers=10, coarse=False):
    rng = np.random.default_rng(seed)
    labels = (rng.random(items) < 0.3).astype(float)
    guesses = labels + rng.normal(size=items)
    guesses = np.round(guesses, 1) if coarse else guesses
    return [f"s{i % speakers}" for i in range(items)], labels, guesses


def eer_oracle(labels, guesses) -> float:
    alarm, hit, _ = sklearn_metrics.roc_curve(labels, guesses, drop_intermediate=False)
    from scipy.optimize import brentq

    return brentq(lambda rate: 1 - rate - np.interp(rate, alarm, hit), 0, 1)


@pytest.mark.parametrize("most", [10, 100_000])
@pytest.mark.parametrize("kind", KINDS)
@given(items=ITEMS, random=st.randoms(), shards=st.integers(1, 5))
def test_neither_order_nor_sharding_changes_a_bit(kind, most, items, random, shards):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranks, "MOST_ITEMS", most)
        whole = tally(kind, items)
        shuffled = list(items)
        random.shuffle(shuffled)
        parts = [tally(kind, shuffled[shard::shards]) for shard in range(shards)]
        random.shuffle(parts)
        merged = sum(parts, Ranks.zero(kind))
        assert merged == tally(kind, shuffled) == whole
        assert merged.value == whole.value
        assert from_arrow(to_arrow(whole)) == pickle.loads(pickle.dumps(whole)) == whole
        assert whole.exact == (whole.scored <= most)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_agree_with_scipy_and_sklearn(seed, coarse):
    clusters, labels, guesses = scores(seed, coarse=coarse)
    noisy = np.round(labels + guesses, 1)
    rho = Ranks.from_arrays("spearman", clusters, noisy, guesses)
    assert rho.value == pytest.approx(stats.spearmanr(noisy, guesses).statistic, abs=1e-12)
    precision = Ranks.from_arrays("map", clusters, labels, guesses)
    theirs = sklearn_metrics.average_precision_score(labels, guesses)
    assert precision.value == pytest.approx(theirs, abs=1e-12)
    error = Ranks.from_arrays("eer", clusters, labels, guesses)
    assert error.value == pytest.approx(eer_oracle(labels, guesses), abs=1e-9)
    assert rho.value == pytest.approx(spearman(noisy, guesses), abs=1e-12)
    assert precision.value == average_precision(labels, guesses)
    assert error.value == equal_error_rate(labels, guesses)


@pytest.mark.parametrize("seed", range(5))
def test_they_are_the_plain_functions_of_the_other_modules(seed):
    from metrics import classification, verification

    _, labels, guesses = scores(seed, coarse=True)
    labels = labels.astype(int)
    theirs = classification.average_precision(labels, guesses)
    assert average_precision(labels, guesses) == pytest.approx(theirs, abs=1e-12)
    theirs = verification.equal_error_rate(labels, guesses)
    assert equal_error_rate(labels, guesses) == pytest.approx(theirs, abs=1e-12)


def test_mean_average_precision_is_the_mean_over_classes_with_a_positive():
    rng = np.random.default_rng(3)
    labels, guesses = (rng.random((50, 4)) < 0.4).astype(float), rng.random((50, 4))
    labels[:, 3] = 0.0
    names = np.tile([f"class{c}" for c in range(4)], 50)
    found = Ranks.from_arrays(
        "map", ["s"] * 200, labels.ravel(), guesses.ravel(), groups=names.tolist()
    )
    theirs = sklearn_metrics.average_precision_score(labels[:, :3], guesses[:, :3], average="macro")
    assert found.value == pytest.approx(theirs, abs=1e-12)


def test_perfect_and_hopeless():
    ids, labels = ["a"] * 4, [0.0, 0.0, 1.0, 1.0]
    right, wrong = [1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]
    for kind, best, worst in (("spearman", 1.0, -1.0), ("map", 1.0, 5 / 12), ("eer", 0.0, 1.0)):
        x = right if kind == "spearman" else labels
        assert Ranks.from_arrays(kind, ids, x, right).value == pytest.approx(best)
        assert Ranks.from_arrays(kind, ids, x, wrong).value == pytest.approx(worst)
    assert Ranks.from_arrays("eer", ids, labels, [0.0] * 4).value == 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_put_in_order_is_none(kind):
    assert Ranks.zero(kind).value is None
    assert interval(Ranks.zero(kind)) is None
    assert Ranks.from_arrays(kind, ["a", "a"], [0.0, 0.0], [1.0, 2.0]).value is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_histogram_is_close_to_the_items(kind, monkeypatch):
    clusters, labels, guesses = scores(7, items=3000)
    x = labels + 0.5 * guesses if kind == "spearman" else labels
    exact = Ranks.from_arrays(kind, clusters, x, guesses)
    monkeypatch.setattr(ranks, "MOST_ITEMS", 1000)
    rounded = Ranks.from_arrays(kind, clusters, x, guesses)
    assert not rounded.exact
    assert rounded.scored == 3000
    assert rounded.value == pytest.approx(exact.value, abs=2e-3)
    assert not np.array_equal(np.unique(rounded.points), np.unique(exact.points))


def test_rows_beyond_the_limit_stop_growing(monkeypatch):
    monkeypatch.setattr(ranks, "MOST_ITEMS", 1000)
    rng = np.random.default_rng(0)
    parts = [
        Ranks.from_arrays("eer", ["s"] * 20_000, rng.integers(0, 2, 20_000), rng.random(20_000))
        for _ in range(5)
    ]
    sizes = [len(sum(parts[:n], Ranks.zero("eer")).table) for n in (1, 3, 5)]
    assert sizes[0] > sizes[1] / 2
    assert sizes[2] < 2 * 10 * 512 + 10


@pytest.mark.parametrize("kind", KINDS)
def test_replicates_are_the_number_of_the_repeated_items(kind):
    clusters, labels, guesses = scores(1, items=120, speakers=6, coarse=True)
    x = np.round(labels + guesses) if kind == "spearman" else labels
    found = Ranks.from_arrays(kind, clusters, x, guesses)
    drawn = weights(found.clusters, 30)
    rows = np.array([found.clusters.index(name) for name in clusters])
    for value, row in zip(found.under(drawn), drawn, strict=True):
        kept = np.repeat(np.arange(len(rows)), row[rows])
        again = Ranks.from_arrays(kind, ["s"] * len(kept), x[kept], guesses[kept])
        assert value == pytest.approx(again.value, abs=1e-12)


@pytest.mark.parametrize(("speakers", "method"), [(10, "bootstrap"), (4, "t")])
@pytest.mark.parametrize("kind", KINDS)
def test_they_have_intervals(kind, speakers, method):
    clusters, labels, guesses = scores(2, speakers=speakers)
    found = Ranks.from_arrays(kind, clusters, labels, guesses)
    made = interval(found, replicates=300)
    assert made.method == method
    assert made.low < found.value < made.high


def test_a_hundred_thousand_items_are_kept_and_reweighted():
    rng = np.random.default_rng(5)
    ids = [f"s{i % 50}" for i in range(100_000)]
    found = Ranks.from_arrays("eer", ids, rng.integers(0, 2, 100_000), rng.random(100_000))
    assert found.exact
    assert interval(found, replicates=50) is not None


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="kind: expected one of spearman, map, eer, found 'auc'"):
        Ranks.zero("auc")
    with pytest.raises(ValueError, match="eer: expected labels 0 or 1"):
        Ranks.from_arrays("eer", ["a"], [0.5], [1.0])
    with pytest.raises(ValueError, match="ranks of one kind, found eer and map"):
        Ranks.zero("eer") + Ranks.zero("map")
    with pytest.raises(ValueError, match="columns of 1 rows like clusters"):
        Ranks.from_arrays("eer", ["a"], [1.0], [1.0], groups=["a", "b"])
    with pytest.raises(TypeError):
        Ranks.zero("eer") + 1
    assert Ranks.zero("eer") != "eer"
