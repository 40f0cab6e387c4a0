"""Retrieval between two kinds (audio and text): recall at k and mAP@10, both ways.

All numbers come from one similarity matrix `(audios, texts)`. Each text belongs to one audio
(`owners`), an audio may have several texts. Ranks count ties against what was sought: everything
irrelevant with the same similarity comes first, so that no order of rows or columns helps.
Large matrices are read in blocks; a memory-mapped one never stands in memory as a whole. From
embeddings (`search`) the matrix is never made: it is computed, and counted, tile by tile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, FailedPrediction, Metric, RankItem, UndefinedMetric

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

TILE = 2048  # audios, and texts, whose similarities are computed at once: 16 MB of float32
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
    _check_ks(ks)
    texts = np.arange(matrix.shape[1])
    own = np.asarray(matrix[owned, texts])
    return Retrieval(
        audio_to_text=_direction(_counts(matrix, owned, texts), own, owned, ks),
        text_to_audio=_direction(_counts(matrix.T, texts, owned), own, texts, ks),
    )


def search(
    audios: NDArray[np.floating],
    texts: NDArray[np.floating],
    *,
    owners: ArrayLike | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> Retrieval:
    """`retrieval` of the cosines of embeddings `(audios, dim)` and `(texts, dim)`, tile by tile.

    Memory beside the arguments, which may be memory-mapped, is that of a few tiles and of some
    numbers a row. Cosines are float32: those closer than about 1e-6 may be put in either order, but
    rows that are equal are equally near.
    """
    owned = _owned(owners, len(audios), len(texts))
    _check_ks(ks)
    found = nearer(audios, texts, owned, np.arange(len(owned)))
    return Retrieval(
        audio_to_text=_direction(found.texts, found.own, owned, ks),
        text_to_audio=_direction(found.audios, found.own, np.arange(len(owned)), ks),
    )


def places(
    audios: NDArray[np.floating], texts: NDArray[np.floating], captions: Integers
) -> tuple[Integers, Integers]:
    """(audio to text, text to audio) places of every audio, 1 is first; ties count against it.

    `texts` `(texts, dim)` are all different, `captions` `(audios,)` says which is whose. A caption
    that several audios share is one text, and of the audios that share it only the one in question
    is counted.
    """
    found = nearer(audios, texts, np.arange(len(audios)), captions)
    order = np.argsort(captions, kind="stable")
    same = np.empty(len(captions), np.int64)
    same[order] = _siblings(found.own[order], captions[order])
    return found.texts, found.audios + 1 - same


@dataclass(frozen=True, eq=False)
class Nearer:
    """For each pair of an audio and its text: their cosine (`own`), how many `texts` are as near to
    that audio at least, and how many `audios` to that text, their own included.
    """

    own: NDArray[np.float32]
    texts: Integers
    audios: Integers


def nearer(
    audios: NDArray[np.floating],
    texts: NDArray[np.floating],
    owners: Integers,
    captions: Integers,
) -> Nearer:
    """What `search` counts: pair i is audio `owners[i]` and text `captions[i]`.

    FailedPrediction for NaN, infinity, zeros.
    """
    sounds, words = _Rows(audios, "audios"), _Rows(texts, "texts")
    if sounds.values.shape[1] != words.values.shape[1]:
        found = f"{sounds.values.shape[1]} and {words.values.shape[1]}"
        raise ValueError(f"expected one dimension, found {found}")
    at, to = sounds.of[owners], words.of[captions]
    own = _own(sounds, words, at, to)
    counts = Nearer(own, np.zeros(len(owners), np.int64), np.zeros(len(owners), np.int64))
    for rows in sounds.tiles():
        left, here = sounds.unit(rows), np.flatnonzero((at >= rows.start) & (at < rows.stop))
        for columns in words.tiles():
            similar = left @ words.unit(columns).T
            there = np.flatnonzero((to >= columns.start) & (to < columns.stop))
            both = np.intersect1d(here, there, assume_unique=True)
            similar[at[both] - rows.start, to[both] - columns.start] = own[both]
            near = similar[at[here] - rows.start] >= own[here, None]
            counts.texts[here] += _counted(near, words.times[columns])
            alone = len(there) == similar.shape[1] and bool((np.diff(to[there]) == 1).all())
            asked = similar if alone else similar[:, to[there] - columns.start]
            counts.audios[there] += _counted((asked >= own[there]).T, sounds.times[rows])
    return counts


def _counted(near: NDArray[np.bool_], times: Integers) -> Integers:
    """How many rows are near, `(queries, rows)`, each as often as it stands for others."""
    if times.max(initial=1) == 1:
        return np.asarray(np.count_nonzero(near, axis=1))
    return np.asarray(near.astype(np.float64) @ times, dtype=np.int64)


class _Rows:
    """Embeddings whose equal rows are kept once: `of` says where each row of the whole is among
    them, `times` how many it stands for.
    """

    def __init__(self, values: NDArray[np.floating], name: str) -> None:
        if values.ndim != 2:
            raise ValueError(f"{name}: expected (items, dim), found shape {values.shape}")
        self.values, self.name = values, name
        seen: dict[bytes, int] = {}
        first: list[int] = []
        self.of = np.empty(len(values), np.int64)
        for row in range(len(values)):
            data = values[row].tobytes()
            key = data if len(data) <= 16 else hashlib.blake2b(data, digest_size=16).digest()
            self.of[row] = seen.setdefault(key, len(first))
            if self.of[row] == len(first):
                first.append(row)
        self.first = np.array(first, dtype=np.int64)
        self.times = np.bincount(self.of, minlength=len(first))

    def tiles(self) -> Iterator[slice]:
        """The different rows, TILE at a time."""
        for start in range(0, len(self.first), TILE):
            yield slice(start, min(start + TILE, len(self.first)))

    def unit(self, rows: slice | Integers) -> NDArray[np.float32]:
        """Different rows at length 1."""
        return _directions(self.values[self.first[rows]], self.name).astype(np.float32)


def _own(sounds: _Rows, words: _Rows, at: Integers, to: Integers) -> NDArray[np.float32]:
    """The cosine of each pair of different rows; equal pairs have equal ones."""
    pairs, places = np.unique(np.stack([at, to], axis=1), axis=0, return_inverse=True)
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), TILE):
        part = pairs[start : start + TILE]
        left, right = sounds.unit(part[:, 0]), words.unit(part[:, 1])
        found[start : start + TILE] = np.einsum("id,id->i", left, right)
    return found[places.reshape(-1)]


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
    counts: Integers, own: NDArray[np.floating], queries: Integers, ks: Sequence[int]
) -> Direction:
    """Pair i is a query and one of its answers, `own[i]` near; `counts[i]` answers are as near."""
    order = np.argsort(queries, kind="stable")
    queries, own = queries[order], own[order]
    places = counts[order] + 1 - _siblings(own, queries)
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


def _counts(matrix: NDArray[np.floating], queries: Integers, answers: Integers) -> Integers:
    """The answers at least as near as each pair's own, itself included."""
    found = np.empty(len(queries), dtype=np.int64)
    step = max(1, BLOCK // matrix.shape[1])
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        rows = np.asarray(matrix[queries[part]])
        own = np.take_along_axis(rows, answers[part, None], axis=1)
        if np.isnan(rows).any():
            raise FailedPrediction("not_finite", "the similarities hold NaN")
        found[part] = (rows >= own).sum(axis=1)
    return found


def _siblings(own: NDArray[np.floating], queries: Integers) -> Integers:
    """How many relevant answers of the same query, itself included, are at least as near; sorted by
    query.
    """
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
    return matrix, _owned(owners, audios, texts)


def _check_ks(ks: Sequence[int]) -> None:
    if not all(k >= 1 for k in ks):
        raise ValueError(f"ks: expected 1 or more, found {list(ks)}")


def _owned(owners: ArrayLike | None, audios: int, texts: int) -> Integers:
    if not (audios and texts):
        raise UndefinedMetric("no_queries", f"found {audios} audios and {texts} texts")
    if owners is None and audios != texts:
        raise ValueError(
            f"similarity: expected a square without owners, found {(audios, texts)}; say which "
            "audio each text describes with owners="
        )
    owned = np.arange(texts) if owners is None else np.asarray(owners)
    if owned.shape != (texts,) or owned.dtype.kind not in "iu":
        raise ValueError(f"owners: expected {texts} whole numbers, found {owned.shape}")
    if owned.min() < 0 or owned.max() >= audios:
        raise ValueError(
            f"owners: expected 0 to {audios - 1}, found {owned.min()} to {owned.max()}"
        )
    return owned.astype(np.int64)


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


def score_recall(item: RankItem, *, way: str, k: int) -> ClipScore:
    """1 where what was sought is among the k nearest, ties counted against it, otherwise 0.

    UndefinedMetric("too_few") up to k things to find: it could not be missed.
    """
    place = _place(item, way, k)
    return ClipScore(float(place <= k), detail={"place": place})


def score_precision(item: RankItem, *, way: str) -> ClipScore:
    """The average precision of the 10 nearest, one of them relevant: 1 / place, 0 beyond 10.

    UndefinedMetric("too_few") where there is one thing to find.
    """
    place = _place(item, way, 1)
    return ClipScore(1.0 / place if place <= CUTOFF else 0.0, detail={"place": place})


def _place(item: RankItem, way: str, few: int) -> int:
    place, among = item.text_to_audio, item.audios
    if way == "a2t":
        place, among = item.audio_to_text, item.texts
    if among <= few:
        raise UndefinedMetric("too_few", f"expected over {few} to search, found {among}")
    if not 1 <= place <= among:
        raise FailedPrediction("wrong_place", f"expected 1 to {among}, found {place}")
    return place


score_t2a_r1, score_t2a_r5, score_t2a_r10 = (
    partial(score_recall, way="t2a", k=k) for k in (1, 5, 10)
)
score_a2t_r1, score_a2t_r5, score_a2t_r10 = (
    partial(score_recall, way="a2t", k=k) for k in (1, 5, 10)
)
score_t2a_map10, score_a2t_map10 = (partial(score_precision, way=way) for way in ("t2a", "a2t"))

WAYS = {"t2a": "text to audio", "a2t": "audio to text"}


def _sheet(way: str, name: str, title: str, summary: str) -> Metric:
    return Metric(
        name=f"{way}_{name}",
        title=f"{title}, {WAYS[way]}",
        unit="%",
        scale=100.0,
        higher_is_better=True,
        version="1",
        pooled=False,
        item="ranks",
        function=f"metrics.retrieval:score_{way}_{name}",
        parameters={},
        summary=summary,
        needs=("caption",),
        failure_policy="undefined: no caption, or (R@k) no more to search than k",
        source="Manning, Raghavan & Schütze 2008; DCASE, language-based audio retrieval",
    )


def _sheets() -> Iterator[Metric]:
    for way in WAYS:
        for k in (1, 5, 10):
            told = f"share of queries that find theirs among the {k} nearest, ties against it"
            yield _sheet(way, f"r{k}", f"R@{k}", told)
        told = "mean of 1 / place up to the tenth, one relevant answer a query, ties against it"
        yield _sheet(way, "map10", "mAP@10", told)


SHEETS: tuple[Metric, ...] = tuple(_sheets())
