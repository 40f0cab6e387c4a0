"""Many cells at once are the same numbers as each cell alone."""

import numpy as np
import pytest

from metrics import Tally, Term, intervals
from metrics.batched import Layer, Sums, combine


def sums(seed: int, tallies: int, clusters: list[str], *, missing: float = 0.0) -> Sums:
    """Random word counts of about ten clips a cluster; `missing` is the share of empty clusters."""
    rng = np.random.default_rng(seed)
    shape = (tallies, len(clusters))
    clips = rng.integers(1, 20, len(clusters)) * (rng.random(shape) >= missing)
    words = clips * rng.integers(5, 12, len(clusters))
    errors = rng.binomial(words, rng.uniform(0.05, 0.6, (tallies, 1)))
    unit = 1 << 24
    return Sums(tuple(sorted(clusters)), errors * unit, words * unit, clips)


def tally(found: Sums, row: int) -> Tally:
    kept = np.flatnonzero(found.clips[row])
    return Tally(
        tuple(found.clusters[i] for i in kept),
        found.numerators[row, kept],
        found.denominators[row, kept],
        found.clips[row, kept],
    )


def alone(layers: list[Layer], cell: int) -> intervals.Estimate:
    return intervals.combine(
        [
            Term(float(layer.coefficients[cell]), tally(layer.sums, layer.rows[cell]), layer.salt)
            for layer in layers
            if layer.coefficients[cell]
        ]
    )


def check(layers: list[Layer]) -> None:
    found = combine(layers)
    for cell, one in enumerate(found):
        expected = alone(layers, cell)
        assert one.value == expected.value
        if expected.interval is None:
            assert one.interval is None
            continue
        assert one.interval is not None
        assert (one.interval.method, one.interval.clusters) == (
            expected.interval.method,
            expected.interval.clusters,
        )
        ends = (expected.interval.low, expected.interval.high)
        assert (one.interval.low, one.interval.high) == pytest.approx(ends, rel=1e-12, abs=1e-13)


def ids(name: str, count: int) -> list[str]:
    return [f"{name}/{number}" for number in range(count)]


CASES = {
    "apart": [ids("a", 12), ids("b", 8)],
    "shared": [ids("a", 12), ids("a", 9), ids("b", 7)],
    "chained": [ids("a", 8), [*ids("a", 3), *ids("b", 6)], ids("b", 9), ids("c", 8)],
    "few": [ids("a", 4), ids("b", 9)],
    "too few": [ids("a", 2), ids("b", 9)],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_cells_equal_those_computed_alone(case: str, missing: float) -> None:
    cells, found = 24, []
    rng = np.random.default_rng(1)
    for seed, clusters in enumerate(CASES[case]):
        table = sums(seed, 9, clusters, missing=missing)
        coefficients = np.where(rng.random(cells) < 0.8, rng.choice([-1.0, 0.5], cells), 0.0)
        found.append(Layer(coefficients, table, rng.integers(0, 9, cells), rng.choice(["", "b"])))
    check(found)


def test_pairs_of_models_equal_compare() -> None:
    table = sums(3, 6, ids("a", 10))
    first, second = np.triu_indices(6, 1)
    one = np.ones(len(first))
    found = list(combine([Layer(one, table, first), Layer(-one, table, second)]))
    for estimate, a, b in zip(found, first, second, strict=True):
        expected = intervals.compare([tally(table, a)], [tally(table, b)])
        assert estimate.value == expected.value
        assert estimate.interval.low == pytest.approx(expected.interval.low, abs=1e-13)
        assert estimate.interval.high == pytest.approx(expected.interval.high, abs=1e-13)


def test_equal_models_differ_by_nothing() -> None:
    table = sums(3, 1, ids("a", 10))
    one, row = np.ones(1), np.zeros(1, np.intp)
    found = combine([Layer(one, table, row), Layer(-one, table, row)])
    assert (found.low[0], found.high[0]) == (0.0, 0.0)
    assert found.hold_zero.all()


def test_a_higher_level_is_wider() -> None:
    table = sums(3, 4, ids("a", 10))
    layer = Layer(np.ones(4), table, np.arange(4))
    usual, wide = combine([layer]), combine([layer], level=0.99)
    assert (wide.low < usual.low).all()
    assert (wide.high > usual.high).all()


def test_nothing_scored_and_no_part_are_no_value() -> None:
    zero = np.zeros((1, 2), np.int64)
    silent = Sums(("a", "b"), zero, zero, zero + 3)
    layer = Layer(np.array([1.0, 0.0]), silent, np.zeros(2, np.intp))
    found = list(combine([layer]))
    assert [(one.value, one.interval) for one in found] == [(None, None)] * 2
    assert list(combine([])) == []


def test_sums_beyond_exact_floats_stay_exact() -> None:
    high = 1 << 56
    numerators = np.array([[high + 1, 1, 3, 4, 5, 6, 8]])
    table = Sums(tuple("abcdefg"), numerators, np.full((1, 7), 1 << 24), np.ones((1, 7), np.int64))
    check([Layer(np.ones(1), table, np.zeros(1, np.intp))])


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sums(3, 40, ids("a", 10), missing=0.2)
    layer = Layer(np.ones(40), table, np.arange(40))
    whole = combine([layer])
    monkeypatch.setattr("metrics.batched.BLOCK", 7)
    parts = combine([layer])
    assert np.array_equal(whole.low, parts.low)
    assert np.array_equal(whole.values, parts.values)
