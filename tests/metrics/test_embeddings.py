import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from metrics.base import FailedPrediction, UndefinedMetric
from metrics.embeddings import frechet_distance


def by_sqrtm(first, second):
    """The formula as FID's authors compute it."""
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b).real
    moved = np.sum((first.mean(0) - second.mean(0)) ** 2)
    return moved + np.trace(a) + np.trace(b) - 2 * np.trace(root)


def test_agrees_with_the_matrix_root():
    random = np.random.default_rng(0)
    for _ in range(5):
        first = random.normal(size=(80, 6)) @ random.normal(size=(6, 6))
        second = random.normal(size=(50, 6)) @ random.normal(size=(6, 6)) + 1
        assert frechet_distance(first, second) == pytest.approx(by_sqrtm(first, second), rel=1e-8)


def test_one_dimension_by_hand():
    # (μ₁ - μ₂)² + (σ₁ - σ₂)²; means 0 and 3, variances 2 and 8.
    first, second = [[-1.0], [1.0]], [[1.0], [5.0]]
    assert frechet_distance(first, second) == pytest.approx(9 + (2**0.5 - 8**0.5) ** 2)


def test_known_gaussians():
    random = np.random.default_rng(1)
    first = random.normal(0, 1, (100_000, 3))
    second = random.normal(2, 3, (100_000, 3))
    assert frechet_distance(first, second) == pytest.approx(3 * (2**2 + 2**2), rel=0.02)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 6))
def test_symmetric_zero_for_the_same_and_blind_to_order_and_turns(seed, items, dim):
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(items, dim)), random.normal(size=(items + 1, dim))
    value = frechet_distance(first, second, minimum=2)
    assert value >= 0
    assert frechet_distance(second, first, minimum=2) == pytest.approx(value, abs=1e-9)
    assert frechet_distance(first, first[::-1], minimum=2) == pytest.approx(0, abs=1e-9)
    turn = np.linalg.qr(random.normal(size=(dim, dim)))[0]
    turned = frechet_distance(first @ turn, second @ turn, minimum=2)
    assert turned == pytest.approx(value, abs=1e-9)
    shifted = frechet_distance(first, first + 2, minimum=2)
    assert shifted == pytest.approx(4 * dim, abs=1e-9)


def test_singular_covariances_do_no_harm():
    random = np.random.default_rng(2)
    flat = np.zeros((40, 8))
    flat[:, :2] = random.normal(size=(40, 2))
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-12)
    constant = np.full((9, 8), 0.5)
    spread = flat.var(axis=0, ddof=1).sum() + np.sum((flat.mean(axis=0) - 0.5) ** 2)
    assert frechet_distance(flat, constant) == pytest.approx(spread)


def test_few_embeddings_are_undefined_unless_asked_for():
    few, many = np.random.default_rng(3).normal(size=(2, 4, 4))
    with pytest.raises(UndefinedMetric, match="expected at least 5 on either side, found 4 and 4"):
        frechet_distance(few, many)
    assert frechet_distance(few, many, minimum=4) > 0
    with pytest.raises(UndefinedMetric, match="too_few_embeddings"):
        frechet_distance(few[:1], many, minimum=2)
    with pytest.raises(UndefinedMetric, match="too_few_embeddings"):
        frechet_distance(np.zeros((0, 4)), many)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: frechet_distance([1.0], [[1.0]]), ValueError, "reference: expected embeddings"),
        (lambda: frechet_distance([[1.0]], [[1.0, 2.0]]), ValueError, "one dimension, found 1"),
        (lambda: frechet_distance([[np.nan]] * 3, [[1.0]] * 3), UndefinedMetric, "not_finite_ref"),
        (lambda: frechet_distance([[1.0]] * 3, [[np.inf]] * 3), FailedPrediction, "not_finite"),
        (lambda: frechet_distance([[1.0]], [[1.0]], minimum=1), ValueError, "expected 2 or more"),
    ],
)
def test_wrong_arguments_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
