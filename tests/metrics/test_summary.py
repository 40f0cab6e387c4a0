import numpy as np
import pytest
from sklearn import metrics as peers

from metrics.base import UndefinedMetric
from metrics.summary import MacroAccuracy, near_ties, summarise


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(3)
    labels = random.integers(0, 7, 300)
    scores = random.normal(size=(300, 7)) + 1.2 * np.eye(7)[labels]
    clusters = [f"c/{n}" for n in random.integers(0, 20, 300)]
    return labels, scores, clusters, [str(n) for n in random.integers(1, 11, 300)]


def test_every_number_is_scikit_learns(case):
    labels, scores, clusters, folds = case
    found = summarise(labels, scores, clusters, folds)
    said = scores.argmax(axis=1)
    assert found.top_1.value == pytest.approx(peers.accuracy_score(labels, said))
    assert found.top_5.value == pytest.approx(peers.top_k_accuracy_score(labels, scores, k=5))
    assert found.macro.value == pytest.approx(peers.balanced_accuracy_score(labels, said))
    wanted = peers.average_precision_score(np.eye(7)[labels], scores, average="macro")
    assert found.mean_precision.value == pytest.approx(wanted)
    np.testing.assert_array_equal(found.confusion, peers.confusion_matrix(labels, said))
    recalls = peers.recall_score(labels, said, average=None)
    np.testing.assert_allclose(found.per_class, recalls)
    assert list(found.folds) == [str(n) for n in range(1, 11)]
    by_hand = [np.mean((said == labels)[np.array(folds) == fold]) for fold in found.folds]
    assert found.fold_mean == pytest.approx(np.mean(by_hand))
    assert found.fold_deviation == pytest.approx(np.std(by_hand, ddof=1))
    for each in (found.top_1, found.top_5, found.macro, found.mean_precision):
        assert each.interval.low < each.value < each.interval.high


def test_macro_accuracy_under_weights_is_that_of_repeated_clips():
    clusters, labels, hits = ["a", "a", "b", "b", "c"], np.array([0, 1, 0, 1, 1]), [1, 0, 0, 1, 1]
    found = MacroAccuracy.of(clusters, labels, hits, 3)
    assert found.value == pytest.approx((1 / 2 + 2 / 3) / 2)
    weights = np.array([[2, 0, 1], [0, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(found.under(weights), [(1 + 1 / 3) / 2, 1.0, np.nan])


def test_ties_count_against_the_model_and_are_counted():
    scores = np.array([[1.0, 1.0, 0.0], [0.5, 0.4, 0.50005], [0.2, 0.9, 0.1]])
    found = summarise([0, 0, 1], scores, ["a", "b", "c"])
    assert found.top_1.value == pytest.approx(1 / 3)
    assert found.near_ties == near_ties(scores) == 2
    assert found.confusion.tolist() == [[0, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert found.top_5 is None
    assert found.fold_mean is None


def test_a_class_that_was_not_asked_about_is_behind_all_others():
    scores = np.array([[0.1, -np.inf], [-np.inf, -3.0]])
    assert summarise([0, 1], scores, ["a", "b"]).top_1.value == 1.0


def test_nothing_is_not_zero():
    with pytest.raises(UndefinedMetric, match="no_items"):
        summarise([], np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match="clusters: expected 2, found 1"):
        summarise([0, 1], np.eye(2), ["a"])
