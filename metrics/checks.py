"""The checks that every signal metric makes first: input before model, and no library guesses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import FailedPrediction, Signal, SignalItem, UndefinedMetric


def as_signal(values: ArrayLike, name: str) -> Signal:
    """`values` as float64; TypeError unless they are real numbers, ValueError for a bare number."""
    return as_real(values, name).astype(np.float64, copy=False)


def as_real(values: ArrayLike, name: str) -> NDArray[Any]:
    """As `as_signal`, in the precision that came; a torch tensor leaves its device and graph."""
    array = np.asarray(as_numpy(values) if is_tensor(values) else values)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name}: expected real numbers, found dtype {array.dtype}; take real parts first"
        )
    if array.ndim == 0:
        raise ValueError(
            f"{name}: expected an array whose last axis is time, found a single number"
        )
    return array


def is_tensor(values: object) -> bool:
    """Whether `values` is a torch tensor; torch itself is never imported for the answer."""
    return type(values).__module__.partition(".")[0] == "torch"


def as_numpy(tensor: Any) -> NDArray[Any]:
    """A torch tensor as an array; of a precision that numpy lacks (bfloat16) as float32."""
    values = tensor.detach().cpu()
    array: NDArray[Any] = (values.float() if values.element_size() < 4 else values).numpy()
    return array


def as_channel(values: ArrayLike, name: str) -> Signal:
    """`values` as one float64 signal `(time,)`; ValueError for more axes."""
    array = as_signal(values, name)
    if array.ndim != 1:
        raise ValueError(
            f"{name}: expected one signal (time,), found shape {array.shape}; score them one by one"
        )
    return array


def check_pair(reference: Signal, estimate: Signal) -> None:
    """Raise unless both are finite, not silent and of one length; the reference goes first."""
    check_reference(reference, "reference")
    check_estimate(estimate, reference)


def check_estimate(estimate: Signal, reference: Signal) -> None:
    """Raise FailedPrediction where an estimate is not finite, silent or of another length."""
    if estimate.shape[-1] != reference.shape[-1]:
        lengths = (
            f"expected {reference.shape[-1]} samples like the reference, found {estimate.shape[-1]}"
        )
        raise FailedPrediction("wrong_length", lengths)
    if not np.isfinite(estimate).all():
        raise FailedPrediction("not_finite", "the estimate holds NaN or infinity")
    if silent(estimate).any():
        raise FailedPrediction("silent_estimate", "every sample of the estimate is zero")


def check_reference(reference: Signal, name: str) -> None:
    """Raise UndefinedMetric where an input signal is empty, not finite or silent."""
    if reference.shape[-1] == 0:
        raise UndefinedMetric(f"empty_{name}", f"the {name} has no samples")
    if not np.isfinite(reference).all():
        raise UndefinedMetric(f"not_finite_{name}", f"the {name} holds NaN or infinity")
    if silent(reference).any():
        raise UndefinedMetric(f"silent_{name}", f"every sample of the {name} is zero")


def silent(signal: Signal) -> NDArray[np.bool_]:
    """Whether every sample is zero, for each signal `(..., time)`."""
    return np.asarray(~signal.any(axis=-1))


def check_sources(item: SignalItem) -> None:
    """FailedPrediction unless each reference has one estimate, UndefinedMetric without any."""
    wanted, found = item.references.shape, item.estimates.shape
    if len(wanted) != 2 or len(found) != 2:
        raise ValueError(
            f"expected (sources, time) on both sides, found references {wanted}, estimates {found}"
        )
    if not wanted[0]:
        raise UndefinedMetric("no_references", "the item has no reference signal")
    if wanted[0] != found[0]:
        raise FailedPrediction("wrong_sources", f"expected {wanted[0]} sources, found {found[0]}")
