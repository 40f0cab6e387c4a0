"""Fréchet distance between two sets of embeddings (FID, FAD): how far two distributions lie apart.

Each set is taken for a Gaussian; the distance has no interval and no value per clip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import FailedPrediction, UndefinedMetric

Floats = NDArray[np.float64]


def frechet_distance(
    reference: ArrayLike, estimate: ArrayLike, *, minimum: int | None = None
) -> float:
    """|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), at least 0, of two sets `(items, dim)`.

    Heusel et al. 2017 (FID), Kilgour et al. 2019 (FAD); covariances over n - 1. The root's trace
    is the sum of the singular values of R₂R₁ᵀ, the triangles of both centred sets: no covariance
    is squared and no complex root is taken, so singular ones do no harm.
    Either set needs `minimum` embeddings, by default dim + 1 (fewer leave the covariance singular
    and the distance biased upwards; 2 is the least that may be asked for).
    Raises UndefinedMetric("too_few_embeddings"), ("not_finite_reference") and
    FailedPrediction("not_finite"); ValueError for different dimensions.
    """
    first, second = _set(reference, "reference"), _set(estimate, "estimate")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"expected one dimension, found {first.shape[1]} and {second.shape[1]}")
    _check_numbers(first, second)
    _check_enough(first, second, minimum)
    (mean, triangle), (other_mean, other_triangle) = _moments(first), _moments(second)
    root = np.linalg.svd(other_triangle @ triangle.T, compute_uv=False).sum()
    spread = np.sum(triangle**2) + np.sum(other_triangle**2) - 2 * root
    return float(max(0.0, np.sum((mean - other_mean) ** 2) + spread))


def _moments(values: Floats) -> tuple[Floats, Floats]:
    """Mean `(dim,)` and R `(min(items, dim), dim)` with RᵀR = Σ."""
    mean = values.mean(axis=0)
    triangle = np.linalg.qr(values - mean, mode="r")
    return mean, triangle / np.sqrt(len(values) - 1)


def _set(values: ArrayLike, name: str) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 2 or not given.shape[1]:
        raise ValueError(f"{name}: expected embeddings (items, dim), found shape {given.shape}")
    return given


def _check_numbers(reference: Floats, estimate: Floats) -> None:
    if not np.isfinite(reference).all():
        raise UndefinedMetric("not_finite_reference", "the reference holds NaN or infinity")
    if not np.isfinite(estimate).all():
        raise FailedPrediction("not_finite", "the estimate holds NaN or infinity")


def _check_enough(reference: Floats, estimate: Floats, minimum: int | None) -> None:
    wanted = reference.shape[1] + 1 if minimum is None else minimum
    if wanted < 2:
        raise ValueError(f"minimum: expected 2 or more, found {minimum}")
    found = len(reference), len(estimate)
    if min(found) < wanted:
        raise UndefinedMetric(
            "too_few_embeddings",
            f"expected at least {wanted} on either side, found {found[0]} and {found[1]}; "
            "minimum= accepts fewer, at the price of a bias",
        )
