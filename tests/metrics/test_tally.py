import io
import pickle
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import (
    ClipScore,
    FailedPrediction,
    Moments,
    Ranks,
    Tally,
    UndefinedMetric,
    common,
    from_arrow,
    to_arrow,
)

CLUSTERS = st.sampled_from(["corpus/ann", "corpus/bob", "corpus/cy"])
SCORES = st.builds(
    ClipScore, st.floats(-1e6, 1e6), st.sampled_from([0.0, 1.0, 7.0]), st.just({"capped": True})
)
FAULTS = st.sampled_from([UndefinedMetric("too_short"), FailedPrediction("not_finite")])
ENDS = st.lists(st.tuples(CLUSTERS, st.one_of(SCORES, FAULTS)), max_size=25)


@given(ENDS, st.randoms(), st.integers(1, 5))
def test_neither_order_nor_sharding_matters(ends, random, shards):
    whole = Tally.of(ends)
    shuffled = list(ends)
    random.shuffle(shuffled)
    parts = [Tally.of(shuffled[shard::shards]) for shard in range(shards)]
    random.shuffle(parts)
    assert sum(parts, Tally.zero()) == Tally.of(shuffled) == whole
    assert whole.total == len(ends)
    assert from_arrow(to_arrow(whole)) == whole


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 99)), min_size=1, max_size=30))
def test_counts_are_exact(counts):
    above, below = map(list, zip(*counts, strict=True))
    tally = Tally.from_arrays(["c"] * len(counts), above, below)
    assert tally.value == float(Fraction(sum(above), sum(below)))


def test_plain_means_are_within_half_a_unit():
    values = np.random.default_rng(0).normal(10, 5, 1000)
    tally = Tally.from_arrays([f"s{i % 7}" for i in range(1000)], values, np.ones(1000))
    assert tally.value == pytest.approx(values.mean(), abs=2**-25)
    assert tally.clips.tolist() == [143] * 6 + [142]


def test_every_clip_has_one_of_three_ends():
    tally = Tally.of(
        [
            ("b", ClipScore(2, 4)),
            ("a", ClipScore(100.0, 1.0, {"capped": True})),
            ("a", UndefinedMetric("too_short")),
            ("c", FailedPrediction("silent_estimate")),
            ("c", FailedPrediction("silent_estimate")),
        ]
    )
    assert tally.clusters == ("a", "b")
    assert (tally.scored, tally.n_undefined, tally.n_failed, tally.total) == (2, 1, 2, 5)
    assert tally.undefined == {"too_short": 1}
    assert tally.failed == {"silent_estimate": 2}
    assert tally.capped == 1
    assert tally.value == 102 / 5


def test_columns_equal_ends_one_by_one():
    columns = Tally.from_arrays(
        ["b", "a", "x", None, "a"],
        [1.0, 2.0, np.nan, None, 3.0],
        [4.0, 5.0, np.nan, None, 6.0],
        ends=["scored", "scored", "undefined", "failed", "scored"],
        reasons=[None, None, "too_short", "not_finite", None],
        capped=[False, True, False, False, False],
    )
    ends = [
        ("b", ClipScore(1, 4)),
        ("a", ClipScore(2, 5, {"capped": True})),
        ("x", UndefinedMetric("too_short")),
        ("x", FailedPrediction("not_finite")),
        ("a", ClipScore(3, 6)),
    ]
    assert columns == Tally.of(ends)


def test_columns_may_be_numpys():
    ids = np.array(["a", "b", "a"])
    tally = Tally.from_arrays(ids, np.arange(3), np.ones(3, int), ends=np.full(3, "scored"))
    assert tally == Tally.from_arrays(ids.tolist(), [0, 1, 2], [1, 1, 1])
    assert [type(cluster) for cluster in tally.clusters] == [str, str]


def test_nothing_scored_is_none_and_not_zero():
    assert Tally.zero().value is None
    assert Tally.from_arrays([], [], []) == Tally.zero()
    assert Tally.of([("a", UndefinedMetric("too_short"))]).value is None
    only_insertions = Tally.of([("a", ClipScore(2, 0))])
    assert only_insertions.value is None
    assert only_insertions.scored == 1


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((["a"], [1.0, 2.0], [1.0]), {}, "columns of 1 rows like clusters"),
        ((["a"], [np.nan], [1.0]), {}, "finite numbers in scored rows"),
        (([None], [1.0], [1.0]), {}, "expected an id for every scored clip"),
        ((["a"], [1.0], [1.0]), {"ends": ["done"]}, "expected scored, undefined, failed, found 'd"),
        ((["a"], [1.0], [1.0]), {"ends": ["failed"]}, "column of reasons, because 1 rows are fai"),
        ((["a"], [1.0], [1.0]), {"ends": ["failed"], "reasons": [None]}, "reason for every failed"),
    ],
)
def test_columns_are_checked(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        Tally.from_arrays(*arguments, **options)


def test_sums_that_would_leave_the_integers_are_refused():
    with pytest.raises(OverflowError, match=r"sum to less than 1\.72e"):
        Tally.from_arrays(["a"], [2e10], [1.0])
    half = Tally.from_arrays(["a"], [1e10], [1.0])
    with pytest.raises(OverflowError):
        half + half


def test_tallies_are_values():
    tally = Tally.from_arrays(["a"], [1.0], [1.0])
    assert pickle.loads(pickle.dumps(tally)) == tally
    assert tally != Tally.from_arrays(["a"], [2.0], [1.0])
    assert tally != "a"
    with pytest.raises(ValueError, match="read-only"):
        tally.numerators[0] = 5
    with pytest.raises(TypeError):
        tally + 1


def test_common_rows_of_two_models():
    rows_a, rows_b = common(["k3", "k1", "k2"], ["k2", "k9", "k3"])
    assert rows_a.tolist() == [2, 0]
    assert rows_b.tolist() == [0, 2]
    with pytest.raises(ValueError, match="repeated ones in the second column"):
        common(["a"], ["b", "b"])


def test_top_k_is_a_ratio_of_counts():
    hits = [1, 0, 1, 1, 0, 1, 1]
    tally = Tally.of((f"s{i % 2}", ClipScore(hit)) for i, hit in enumerate(hits))
    assert tally.value == 5 / 7


def test_a_mean_of_parts_is_weighted_by_their_clips():
    short = Tally.of([("a", ClipScore(1, 1))])
    long = Tally.of([("b", ClipScore(0, 9))])
    assert (short + long).value == 1 / 10 != (short.value + long.value) / 2


@pytest.mark.parametrize(
    "tally",
    [
        Tally.zero(),
        Tally.from_arrays(["é", "a"], [1.0, -(2.0**32)], [1.0, 2.0], capped=[True, False]),
        Tally.of([("a", FailedPrediction("not_finite")), ("a", UndefinedMetric("too_short"))]),
        Moments.zero(),
        Moments.from_arrays(["é", "a"], [1e9, 1e9], [-1e9, 0.1]),
        Ranks.zero("eer"),
        Ranks.from_arrays("map", ["é", "a"], [1.0, 0.0], [0.1, -0.0], groups=["g", "h"]),
    ],
)
def test_every_kind_lies_in_parquet_and_comes_back(tally):
    file = io.BytesIO()
    pq.write_table(to_arrow(tally), file)
    again = from_arrow(pq.read_table(file))
    assert again == tally
    assert again + tally == tally + again
    assert to_arrow(again).equals(to_arrow(tally))
    assert to_arrow(type(tally).zero(*([tally.kind] if isinstance(tally, Ranks) else []))).schema


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="expected a tally's table of version 1, found a table"):
        from_arrow(pa.table({"cluster": ["a"]}))
    newer = to_arrow(Tally.zero()).replace_schema_metadata(
        {"realear.tally": '{"kind": "Tally", "schema_version": 2}'}
    )
    with pytest.raises(ValueError, match="'schema_version': 2"):
        from_arrow(newer)
