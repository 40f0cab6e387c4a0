"""Retrieval between two kinds (audio and text): recall at k and mAP@10, both ways.

All numbers come from one similarity matrix `(audios, texts)`. Each text belongs to one audio
(`owners`), an audio may have several texts. Ranks count ties against what was sought: everything
irrelevant with the same similarity comes first, so that no order of rows or columns helps.
Large matrices are read in blocks; a memory-mapped one never stands in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import FailedPrediction, UndefinedMetric

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK = 2**22  # similarities ranked at once: 32 MB of float64
CUTOFF = 10  # mAP@10


@dataclass(frozen=True)
class Direction:
    """One way of asking: `recall[k]` (share, 0 to 1), `map_10` (0 to 1) over `queries`."""

    queries: int
    recall: Mapping[int, float]
    map_10: float


@dataclass(frozen=True)
class Retrieval:
    """Both ways of one similarity matrix."""

    audio_to_text: Direction
    text_to_audio: Direction


def cosine_similarity(audios: ArrayLike, texts: ArrayLike) -> Floats:
    """`(audios, texts)` cosines of `(audios, dim)` and `(texts, dim)` embeddings, -1 to 1."""
    left, right = _directions(audios, "audios"), _directions(texts, "texts")
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"expected one dimension, found {left.shape[1]} and {right.shape[1]}")
    return np.asarray(left @ right.T)


def retrieval(
    similarity: NDArray[np.floating],
    *,
    owners: ArrayLike | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> Retrieval:
    """R@k and mAP@10 both ways, from similarities `(audios, texts)`, higher is nearer.

    `owners` is `(texts,)`: the audio that each text describes; None: text i describes audio i.
    R@k of an audio asks whether any of its texts is among the k nearest. An audio without text is
    no query, though it may be found. UndefinedMetric("no_queries") without texts.
    """
    matrix, owned = _checked(similarity, owners)
    if not all(k >= 1 for k in ks):
        raise ValueError(f"ks: expected 1 or more, found {list(ks)}")
    texts = np.arange(matrix.shape[1])
    return Retrieval(
        audio_to_text=_direction(matrix, owned, texts, ks),
        text_to_audio=_direction(matrix.T, texts, owned, ks),
    )


def recall_at_k(
    similarity: NDArray[np.floating], k: int, *, owners: ArrayLike | None = None
) -> tuple[float, float]:
    """(audio to text, text to audio) share of queries that find theirs among the `k` nearest."""
    found = retrieval(similarity, owners=owners, ks=(k,))
    return found.audio_to_text.recall[k], found.text_to_audio.recall[k]


def map_at_10(
    similarity: NDArray[np.floating], *, owners: ArrayLike | None = None
) -> tuple[float, float]:
    """(audio to text, text to audio) mean average precision of the 10 nearest.

    AP@10 = Σ precision at each relevant place up to 10, over min(10, relevant ones); with one
    relevant answer that is 1 / its rank up to 10 (DCASE, language-based audio retrieval).
    """
    found = retrieval(similarity, owners=owners)
    return found.audio_to_text.map_10, found.text_to_audio.map_10


def _direction(
    matrix: NDArray[np.floating], queries: Integers, answers: Integers, ks: Sequence[int]
) -> Direction:
    """Pair i says that `answers[i]` is relevant to `queries[i]`; rows of `matrix` are queries."""
    order = np.argsort(queries, kind="stable")
    queries, answers = queries[order], answers[order]
    places = _places(matrix, queries, answers)
    starts = np.flatnonzero(np.diff(queries, prepend=-1))
    sizes = np.diff(np.append(starts, len(queries)))
    within = np.arange(len(queries)) - np.repeat(starts, sizes)
    order = np.lexsort((places, queries))  # the k-th relevant answer follows k - 1 others
    ranked = places[order] + within
    best = ranked[starts]
    precision = np.where(ranked <= CUTOFF, (within + 1) / ranked, 0.0)
    averages = np.add.reduceat(precision, starts) / np.minimum(sizes, CUTOFF)
    recall = {k: float((best <= k).mean()) for k in ks}
    return Direction(len(starts), recall, float(averages.mean()))


def _places(matrix: NDArray[np.floating], queries: Integers, answers: Integers) -> Integers:
    """1 + the irrelevant answers at least as near as each pair's own."""
    found = np.empty(len(queries), dtype=np.int64)
    step = max(1, BLOCK // matrix.shape[1])
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        rows = np.asarray(matrix[queries[part]])
        own = np.take_along_axis(rows, answers[part, None], axis=1)
        if np.isnan(rows).any():
            raise FailedPrediction("not_finite", "the similarities hold NaN")
        found[part] = (rows >= own).sum(axis=1)
    return found + 1 - _siblings(matrix, queries, answers)


def _siblings(matrix: NDArray[np.floating], queries: Integers, answers: Integers) -> Integers:
    """How many relevant answers of the same query, itself included, are at least as near."""
    own = np.asarray(matrix[queries, answers])
    order = np.lexsort((-own, queries))
    starts = np.flatnonzero(np.diff(queries, prepend=-1))
    first = np.repeat(starts, np.diff(np.append(starts, len(queries))))
    differs = (np.diff(own[order]) != 0) | (np.diff(queries) != 0)
    ends = np.append(np.flatnonzero(differs) + 1, len(queries))  # of runs of equal similarity
    counts = np.repeat(ends, np.diff(ends, prepend=0)) - first
    found = np.empty_like(counts)
    found[order] = counts
    return found


def _checked(
    similarity: NDArray[np.floating], owners: ArrayLike | None
) -> tuple[NDArray[np.floating], Integers]:
    matrix = np.asarray(similarity)
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise ValueError(
            f"similarity: expected floats (audios, texts), found {matrix.dtype} {matrix.shape}"
        )
    audios, texts = matrix.shape
    if not (audios and texts):
        raise UndefinedMetric("no_queries", f"found {audios} audios and {texts} texts")
    if owners is None and audios != texts:
        raise ValueError(
            f"similarity: expected a square without owners, found {matrix.shape}; say which audio "
            "each text describes with owners="
        )
    owned = np.arange(texts) if owners is None else np.asarray(owners)
    if owned.shape != (texts,) or owned.dtype.kind not in "iu":
        raise ValueError(f"owners: expected {texts} whole numbers, found {owned.shape}")
    if owned.min() < 0 or owned.max() >= audios:
        raise ValueError(
            f"owners: expected 0 to {audios - 1}, found {owned.min()} to {owned.max()}"
        )
    return matrix, owned.astype(np.int64)


def _directions(values: ArrayLike, name: str) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 2:
        raise ValueError(f"{name}: expected (items, dim), found shape {given.shape}")
    if not np.isfinite(given).all():
        raise FailedPrediction("not_finite", f"the embeddings of {name} hold NaN or infinity")
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    if not lengths.all():
        raise FailedPrediction("zero_embedding", f"an embedding of {name} is zero everywhere")
    return np.asarray(given / lengths)
