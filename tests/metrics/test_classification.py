import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer

from metrics.base import ClassItem, FailedPrediction, UndefinedMetric
from metrics.classification import (
    SHEETS,
    average_precision,
    confusion_matrix,
    macro_accuracy,
    mean_average_precision,
    micro_accuracy,
    per_class_accuracy,
    ranks,
    score_top_1,
    score_top_5,
    top_k_accuracy,
)

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(1, 40), st.integers(3, 9), st.integers(1, 2))
def test_top_k_agrees_with_scikit_learn(seed, items, classes, k):
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, classes, items), random.normal(size=(items, classes))
    theirs = peer.top_k_accuracy_score(labels, scores, k=k, labels=range(classes))
    assert top_k_accuracy(labels, scores, k) == pytest.approx(theirs, abs=1e-12)


def test_top_k_by_hand():
    scores = [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]
    assert ranks([1, 1, 0], scores).tolist() == [1, 2, 3]
    assert top_k_accuracy([1, 1, 0], scores, 1) == 1 / 3
    assert top_k_accuracy([1, 1, 0], scores, 2) == 2 / 3
    assert top_k_accuracy([1, 1, 0], scores, 3) == 1.0


def test_ties_count_against_the_true_class():
    # By argmax, a model that says the same of all classes would be right on every class 0.
    assert top_k_accuracy([0, 0], np.zeros((2, 4)), 1) == 0.0
    assert top_k_accuracy([0, 3], np.zeros((2, 4)), 3) == 0.0
    assert ranks([0], [[1.0, 1.0, 0.0]]).tolist() == [2]


@given(SEEDS, st.permutations(range(5)))
def test_ranks_do_not_depend_on_the_order_of_classes(seed, order):
    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, 5, 20), random.integers(0, 3, (20, 5)).astype(float)
    moved = np.argsort(order)[labels]
    assert (ranks(labels, scores) == ranks(moved, scores[:, order])).all()


@given(SEEDS, st.integers(1, 60), st.integers(2, 6))
def test_confusion_and_accuracies_agree_with_scikit_learn(seed, items, classes):
    random = np.random.default_rng(seed)
    labels, said = random.integers(0, classes, (2, items))
    ours = confusion_matrix(labels, said, classes)
    assert (ours == peer.confusion_matrix(labels, said, labels=range(classes))).all()
    assert micro_accuracy(ours) == pytest.approx(peer.accuracy_score(labels, said))
    recalls = [np.mean(said[labels == c] == c) for c in np.unique(labels)]
    assert macro_accuracy(ours) == pytest.approx(np.mean(recalls))
    assert [share is None for share in per_class_accuracy(ours)] == [
        c not in labels for c in range(classes)
    ]


def test_macro_and_micro_differ_and_an_absent_class_is_none():
    matrix = confusion_matrix([0, 0, 0, 1], [0, 0, 1, 0], 3)
    assert matrix.tolist() == [[2, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert micro_accuracy(matrix) == 0.5
    assert per_class_accuracy(matrix) == (2 / 3, 0.0, None)
    assert macro_accuracy(matrix) == 1 / 3  # the absent class is no 0


def test_matrices_of_parts_add_to_that_of_the_whole():
    labels, said = np.random.default_rng(1).integers(0, 4, (2, 50))
    parts = [confusion_matrix(labels[a:b], said[a:b], 4) for a, b in ((0, 20), (20, 50))]
    assert (sum(parts) == confusion_matrix(labels, said, 4)).all()
    assert not confusion_matrix([], [], 4).any()


@given(SEEDS, st.integers(1, 50), st.sampled_from([2, 5, 1000]))
def test_average_precision_agrees_with_scikit_learn_ties_included(seed, items, levels):
    random = np.random.default_rng(seed)
    wanted = random.random(items) < 0.4
    wanted[0] = True
    scores = random.integers(0, levels, items) / levels
    theirs = peer.average_precision_score(wanted, scores)
    assert average_precision(wanted, scores) == pytest.approx(theirs, abs=1e-12)
    order = random.permutation(items)
    shuffled = average_precision(wanted[order], scores[order])
    assert shuffled == average_precision(wanted, scores)


def test_mean_average_precision_agrees_with_scikit_learn():
    random = np.random.default_rng(5)
    targets, scores = random.random((80, 6)) < 0.3, random.normal(size=(80, 6))
    theirs = peer.average_precision_score(targets, scores, average="macro")
    assert mean_average_precision(targets, scores) == pytest.approx(theirs, abs=1e-12)
    targets[:, 2] = False  # scikit-learn would warn and count a 0
    known = [c for c in range(6) if c != 2]
    theirs = peer.average_precision_score(targets[:, known], scores[:, known], average="macro")
    assert mean_average_precision(targets, scores) == pytest.approx(theirs, abs=1e-12)


def test_average_precision_by_hand():
    assert average_precision([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1]) == (1 + 2 / 3) / 2
    assert average_precision([True, True, False], [3, 2, 1]) == 1.0


def test_nothing_to_count_is_undefined():
    for call in (
        lambda: top_k_accuracy([], np.zeros((0, 3)), 1),
        lambda: micro_accuracy(np.zeros((3, 3))),
        lambda: macro_accuracy(np.zeros((3, 3))),
    ):
        with pytest.raises(UndefinedMetric, match="no_items"):
            call()
    for call in (
        lambda: average_precision([0, 0], [1, 2]),
        lambda: average_precision(np.zeros(0, bool), []),
        lambda: mean_average_precision(np.zeros((4, 2), bool), np.zeros((4, 2))),
    ):
        with pytest.raises(UndefinedMetric, match="no_positives"):
            call()


def test_not_a_number_is_the_models_failure():
    with pytest.raises(FailedPrediction, match="not_finite"):
        top_k_accuracy([0], [[np.nan, 1.0]], 1)
    with pytest.raises(FailedPrediction, match="not_finite"):
        average_precision([1, 0], [np.nan, 1.0])
    assert ranks([0], [[-np.inf, 0.0]]).tolist() == [2]  # a masked class


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: top_k_accuracy([0], [[1.0, 2.0]], 3), ValueError, "expected 1 to 2"),
        (lambda: top_k_accuracy([2], [[1.0, 2.0]], 1), ValueError, "labels: expected 0 to 1"),
        (lambda: top_k_accuracy([-1], [[1.0, 2.0]], 1), ValueError, "labels: expected 0 to 1"),
        (lambda: top_k_accuracy([0.0], [[1.0, 2.0]], 1), TypeError, "expected whole numbers"),
        (lambda: top_k_accuracy([[0]], [[1.0, 2.0]], 1), ValueError, "labels: expected"),
        (lambda: top_k_accuracy([0], [1.0, 2.0], 1), ValueError, r"expected \(items, classes\)"),
        (lambda: confusion_matrix([0], [2], 2), ValueError, "predictions: expected 0 to 1"),
        (lambda: micro_accuracy(np.zeros((2, 3))), ValueError, r"expected \(classes, classes\)"),
        (lambda: average_precision([0.5], [1.0]), TypeError, "expected booleans"),
        (lambda: average_precision([2, 0], [1.0, 1.0]), TypeError, "expected booleans"),
        (lambda: average_precision([1], [1.0, 2.0]), ValueError, "expected two arrays"),
        (lambda: mean_average_precision([[1]], [[1.0, 2.0]]), ValueError, "expected targets like"),
        (lambda: score_top_1(ClassItem(0, np.ones((2, 2)))), ValueError, r"expected \(classes,\)"),
    ],
)
def test_wrong_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_clips_score_as_the_whole_does():
    random = np.random.default_rng(6)
    labels, scores = random.integers(0, 8, 50), random.normal(size=(50, 8))
    items = [ClassItem(int(label), row) for label, row in zip(labels, scores, strict=True)]
    for k, score in ((1, score_top_1), (5, score_top_5)):
        clips = [score(item) for item in items]
        assert np.mean([clip.value for clip in clips]) == top_k_accuracy(labels, scores, k)
        assert [clip.detail["rank"] for clip in clips] == ranks(labels, scores).tolist()
    with pytest.raises(UndefinedMetric, match="too_few_classes"):
        score_top_5(ClassItem(0, np.arange(5.0)))
    assert score_top_5(ClassItem(1, np.arange(6.0))).value == 1.0


def test_sheets():
    assert [sheet.name for sheet in SHEETS] == ["top_1", "top_5"]
    assert all(sheet.item == "class" and sheet.higher_is_better for sheet in SHEETS)
