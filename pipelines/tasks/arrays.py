"""Answers that are numbers rather than sounds or words: as members of a tar, and back."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import FailedPrediction


def vector(answer: ArrayLike) -> NDArray[np.float32]:
    """A model's logits or embedding, (n,) float32; FailedPrediction where it is none, or not
    finite.
    """
    found = np.asarray(answer, dtype=np.float32)
    if found.ndim != 1 or not found.size:
        raise FailedPrediction("wrong_shape", f"expected (n,), found {found.shape}")
    if not np.isfinite(found).all():
        raise FailedPrediction("not_finite", "the answer holds NaN or infinity")
    return found


def to_npy(values: NDArray[np.float32]) -> bytes:
    """An array as `.npy`: little-endian, the same bytes whatever the machine."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values, dtype="<f4"), allow_pickle=False)
    return buffer.getvalue()


def to_bytes(values: NDArray[np.uint8]) -> bytes:
    """Numbers from 0 to 255 as `.npy`."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values, dtype=np.uint8), allow_pickle=False)
    return buffer.getvalue()


def to_json(values: Mapping[str, Any]) -> bytes:
    """An object as `.json`: keys sorted, no spaces, no NaN."""
    text = json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def read_npy(answer: Mapping[str, bytes], name: str) -> NDArray[np.float32]:
    """A stored vector; FailedPrediction where it is missing or damaged. Nothing is unpickled."""
    return vector(_loaded(answer, name))


def read_array(answer: Mapping[str, bytes], name: str, axes: int) -> NDArray[np.float32]:
    """A stored array of so many axes, of finite numbers; FailedPrediction as for `read_npy`."""
    found = _loaded(answer, name)
    if found.ndim != axes or found.dtype.kind != "f" or not np.isfinite(found).all():
        detail = f"{name}: expected {axes} axes of finite numbers, found {found.shape}"
        raise FailedPrediction("undecodable", detail)
    return found.astype(np.float32)


def read_bytes(answer: Mapping[str, bytes], name: str) -> NDArray[np.uint8]:
    """A stored array of numbers from 0 to 255, of two axes; FailedPrediction as for `read_npy`."""
    found = _loaded(answer, name)
    if found.ndim != 2 or found.dtype != np.uint8:
        raise FailedPrediction("undecodable", f"{name}: expected bytes, found {found.dtype}")
    return found


def _loaded(answer: Mapping[str, bytes], name: str) -> NDArray[Any]:
    data = _member(answer, name)
    try:
        found: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise FailedPrediction("undecodable", f"{name}: {error}") from error
    return found


def read_json(answer: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """A stored object; FailedPrediction where it is missing, damaged or something else."""
    data = _member(answer, name)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FailedPrediction("undecodable", f"{name}: {error}") from error
    if not isinstance(found, dict):
        raise FailedPrediction("undecodable", f"{name}: expected an object")
    return found


def _member(answer: Mapping[str, bytes], name: str) -> bytes:
    if name not in answer:
        raise FailedPrediction("missing", f"the prediction has no member {name!r}")
    return answer[name]
