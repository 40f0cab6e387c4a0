from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from metrics.base import FailedPrediction, LogitsItem, UndefinedMetric
from metrics.faithfulness import (
    SHEETS,
    average_drop,
    average_gain,
    average_increase,
    complexity,
    faithfulness,
    faithfulness_logit,
    input_fidelity,
    sparseness,
)

# `metrics.faithfulness` is the function; the module of that name is asked for by its path.
module = import_module("metrics.faithfulness")
SEEDS = st.integers(0, 2**32 - 1)
ALL = (
    faithfulness,
    faithfulness_logit,
    input_fidelity,
    average_increase,
    average_drop,
    average_gain,
)


def rows(seed, items, classes):
    random = np.random.default_rng(seed)
    return random.normal(0, 3, (2, items, classes))


PAIRS = st.builds(rows, SEEDS, st.integers(1, 20), st.integers(2, 8))


def by_the_table(full, masked):
    """The table of definitions, an item at a time, with scipy's softmax."""
    for x, y in zip(full, masked, strict=True):
        c = max(range(len(x)), key=lambda i: x[i])
        before, after = softmax(x)[c], softmax(y)[c]
        yield (
            before - after,
            x[c] - y[c],
            float(max(range(len(y)), key=lambda i: y[i]) == c),
            100.0 * (after > before),
            100 * max(0, before - after) / before,
            100 * max(0, after - before) / (1 - before),
        )


@given(PAIRS)
def test_agrees_with_the_definitions_item_by_item(pair):
    for function, wanted in zip(ALL, np.array(list(by_the_table(*pair))).T, strict=True):
        assert function(*pair) == pytest.approx(wanted, abs=1e-8)


@given(PAIRS)
def test_bounds(pair):
    assert (np.abs(faithfulness(*pair)) <= 1).all()
    for function in (average_increase, average_drop, average_gain):
        assert ((function(*pair) >= 0) & (function(*pair) <= 100)).all()
    assert not (average_drop(*pair) * average_gain(*pair)).any()
    assert ((average_gain(*pair) > 0) <= (average_increase(*pair) == 100)).all()


@given(PAIRS, st.floats(-50, 50))
def test_probabilities_do_not_feel_a_constant(pair, constant):
    full, masked = pair
    moved = faithfulness(full + constant, masked - constant)
    assert moved == pytest.approx(faithfulness(full, masked), abs=1e-9)


def test_by_hand():
    full, masked = np.log([0.5, 0.25, 0.25]), np.log([0.8, 0.1, 0.1])
    assert faithfulness(full, masked) == pytest.approx(-0.3)
    assert faithfulness_logit(full, masked) == pytest.approx(np.log(0.5 / 0.8))
    assert average_increase(full, masked) == 100
    assert average_drop(full, masked) == 0
    assert average_gain(full, masked) == pytest.approx(60)
    assert average_drop(masked, full) == pytest.approx(37.5)
    assert input_fidelity(full, masked) == 1
    assert input_fidelity(full, np.log([0.2, 0.6, 0.2])) == 0


def test_softmax_is_taken_once():
    # The class vanishes: a drop of 100 %. Softmax over probabilities leaves 63 % of it.
    full, kept = np.array([[40.0, 0, 0]]), np.array([[0.0, 40, 0]])
    assert average_drop(full, kept) == pytest.approx(100)
    twice, kept_twice = softmax(softmax(full)), softmax(softmax(kept))
    faulty = 100 * (twice[0, 0] - kept_twice[0, 0]) / twice[0, 0]
    assert 61 < faulty < 64
    assert average_drop(softmax(full), softmax(kept))[0] == pytest.approx(faulty)


def test_the_class_is_each_items_own():
    full = np.array([[0.0, 5], [5, 0], [0, 5]])
    kept = np.array([[0.0, 5], [0, 5], [5, 0]])
    assert input_fidelity(full, kept).tolist() == [1, 0, 0]
    flipped = input_fidelity(full[:, ::-1], kept[:, ::-1])
    assert flipped.tolist() == [1, 0, 0]


@pytest.mark.parametrize("function", ALL)
def test_a_column_of_labels_is_refused(function):
    # argmax over (batch, 1) is class 0 for every item.
    with pytest.raises(ValueError, match="a column of labels is no logits"):
        function(np.array([[3], [1]]), np.array([[3], [1]]))
    with pytest.raises(ValueError, match="of one shape"):
        function(np.zeros((3, 4)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="at least 2 classes"):
        function(3.0, 2.0)


def test_shapes():
    pair = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for function in ALL:
        assert function(*pair).shape == (3, 4)
        assert function(*pair)[1, 2] == function(pair[0, 1, 2], pair[1, 1, 2])
        assert function(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0,)


def test_certainty_loses_no_digits():
    # p_c is 1 to the last bit in both, yet the rest halves: half of the way to certainty.
    full, kept = np.array([50.0, 0.0]), np.array([50.0 + np.log(2), 0.0])
    assert average_increase(full, kept) == 100
    assert average_gain(full, kept) == pytest.approx(50)
    assert average_gain(np.array([2000.0, 0.0]), np.array([3000.0, 0.0])) == 0  # nothing left
    assert average_drop(np.array([2000.0, 0.0]), np.array([-2000.0, 0.0])) == 100


def test_the_same_signal_changes_nothing():
    logits = np.random.default_rng(1).normal(size=(5, 4))
    assert not faithfulness(logits, logits).any()
    assert not average_increase(logits, logits).any()
    assert not average_drop(logits, logits).any()
    assert not average_gain(logits, logits).any()
    assert input_fidelity(logits, logits).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_a_failure(bad):
    with pytest.raises(FailedPrediction, match="not_finite"):
        faithfulness([bad, 1.0], [0.0, 1.0])
    with pytest.raises(FailedPrediction, match="not_finite"):
        average_drop([0.0, 1.0], [bad, 1.0])
    with pytest.raises(FailedPrediction, match="not_finite"):
        sparseness([bad, 1.0])


def test_clips_score_as_the_functions_do():
    full, kept, out = np.random.default_rng(2).normal(size=(3, 4))
    item = LogitsItem(full, kept, out)
    for sheet, function in zip(SHEETS, ALL, strict=True):
        assert sheet.function == f"metrics.faithfulness:score_{sheet.name}"
        masked = out if sheet.name.startswith("faithfulness") else kept
        clip = getattr(module, f"score_{sheet.name}")(item)
        assert clip.value == float(function(full, masked))
        assert clip.detail == {"class": int(full.argmax())}
    with pytest.raises(ValueError, match=r"expected \(classes,\) of one clip"):
        module.score_faithfulness(LogitsItem(full[None], kept[None], out[None]))


@given(SEEDS, st.integers(1, 60))
def test_saliency_agrees_with_other_formulas(seed, cells):
    saliency = np.random.default_rng(seed).normal(size=cells)
    size = np.abs(saliency)
    differences = np.abs(size[:, None] - size).sum() / (2 * cells * size.sum())
    assert sparseness(saliency) == pytest.approx(differences, abs=1e-9)
    assert complexity(saliency) == pytest.approx(entropy(size), abs=1e-9)
    assert sparseness(saliency * 1e300) == pytest.approx(sparseness(saliency), abs=1e-9)
    assert 0 <= sparseness(saliency) <= 1 - 1 / cells + 1e-12
    assert 0 <= complexity(saliency) <= np.log(cells) + 1e-12


def test_maps_agree_with_quantus():
    """quantus 0.6.0's Sparseness and Complexity, `normalise=False`, of these maps; it adds 1e-7 to
    every cell of the first, and 1e-12 in the logarithm of the second.
    """
    maps = np.abs(np.random.default_rng(0).normal(size=(3, 1, 12, 15)))
    told = ([0.40247989, 0.41582411, 0.39657193], [4.92539805, 4.90186243, 4.9308322])
    for function, wanted in zip((sparseness, complexity), told, strict=True):
        np.testing.assert_allclose([function(each) for each in maps], wanted, atol=1e-6)


def test_even_and_single_maps():
    even, single = np.ones((4, 5)), np.zeros((4, 5))
    single[2, 3] = -7.0
    assert sparseness(even) == pytest.approx(0, abs=1e-12)
    assert complexity(even) == pytest.approx(np.log(20))
    assert sparseness(single) == pytest.approx(1 - 1 / 20)
    assert complexity(single) == 0.0


@pytest.mark.parametrize("function", [sparseness, complexity])
def test_a_map_of_zeros_is_a_failure_and_no_skip(function):
    with pytest.raises(FailedPrediction, match="zero_map"):
        function(np.zeros((3, 3)))
    with pytest.raises(UndefinedMetric, match="empty_map"):
        function(np.zeros((0, 3)))
