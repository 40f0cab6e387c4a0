"""Per-clip scores as they lie in Parquet files: read, checked, and set side by side by dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from leaderboards.records import Counts, ScoreTable
from metrics.batched import Sums
from metrics.columns import check_ends, count_reasons, finite
from metrics.tally import Tally, round_to_units

COLUMNS = ("key", "cluster", "pair", "end", "reason", "numerator", "denominator", "capped")

Integers = NDArray[np.int64]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Clips:
    """One model on one dataset, a row a clip, however it ended.

    `scored` and `capped` are flags; `numerators` and `denominators` int64 in units of 2^-24, 0
    where a clip was not scored. `undefined` and `failed` count the other clips by reason.
    """

    table: ScoreTable
    keys: pa.StringArray
    clusters: pa.StringArray
    pairs: pa.StringArray
    scored: Flags
    numerators: Integers
    denominators: Integers
    capped: Flags
    undefined: Mapping[str, int]
    failed: Mapping[str, int]

    @property
    def tally(self) -> Tally:
        """Everything summed, by cluster."""
        return Grid.of([self]).tally(0)


@dataclass(frozen=True, eq=False)
class Grid:
    """All models on one dataset: a row a model (by fingerprint), a column a clip.

    `places` `(clips,)` is each clip's place in `clusters`, which are sorted. `scored` and `capped`
    `(models, clips)` are flags; `numerators` and `denominators` int64 in units of 2^-24, 0 where a
    model was not scored. `undefined` and `failed` count each model's other clips by reason.
    """

    dataset: str
    models: tuple[str, ...]
    keys: tuple[str, ...]
    clusters: tuple[str, ...]
    places: Places
    pairs: tuple[str | None, ...]
    scored: Flags
    capped: Flags
    numerators: Integers
    denominators: Integers
    undefined: tuple[Mapping[str, int], ...]
    failed: tuple[Mapping[str, int], ...]

    @classmethod
    def of(cls, read: Sequence[Clips]) -> Grid:
        """The models' clips set side by side by key, in the order in which keys are first met.

        ValueError where two models have a clip in different clusters.
        """
        keys, clusters, pairs = read[0].keys, read[0].clusters, read[0].pairs
        rows = []
        for clips in read:
            found = _places(clips.keys, keys)
            if (fresh := np.flatnonzero(found < 0)).size:
                keys = pa.concat_arrays([keys, clips.keys.take(fresh)])
                clusters = pa.concat_arrays([clusters, clips.clusters.take(fresh)])
                pairs = pa.concat_arrays([pairs, clips.pairs.take(fresh)])
                found = _places(clips.keys, keys)
            _check_clusters(clips, clusters, found)
            rows.append(found)
        ids, places = _layout(clusters)
        shape = (len(read), len(keys))
        return cls(
            dataset=read[0].table.dataset,
            models=tuple(clips.table.fingerprint for clips in read),
            keys=tuple(keys.to_pylist()),
            clusters=ids,
            places=places,
            pairs=tuple(pairs.to_pylist()),
            scored=_filled([clips.scored for clips in read], rows, shape, bool),
            capped=_filled([clips.capped for clips in read], rows, shape, bool),
            numerators=_filled([clips.numerators for clips in read], rows, shape, np.int64),
            denominators=_filled([clips.denominators for clips in read], rows, shape, np.int64),
            undefined=tuple(clips.undefined for clips in read),
            failed=tuple(clips.failed for clips in read),
        )

    def row(self, model: str) -> int:
        """The row of a model's fingerprint; KeyError where it was not scored here."""
        return self._rows[model]

    def has(self, model: str) -> bool:
        """Whether there is a score table of the model (by fingerprint)."""
        return model in self._rows

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {model: row for row, model in enumerate(self.models)}

    @cached_property
    def sums(self) -> Sums:
        """Every model's clips summed by cluster."""
        return self.summed(np.arange(len(self.models)), self.scored)

    def summed(self, rows: Places, scored: Flags) -> Sums:
        """Models' `rows` summed by cluster over the clips that are `scored`, a line for each."""
        return Sums(
            self.clusters,
            self.by_cluster(np.where(scored, self.numerators[rows], 0)),
            self.by_cluster(np.where(scored, self.denominators[rows], 0)),
            self.by_cluster(scored.astype(np.int64)),
        )

    def by_cluster(self, clips: Integers) -> Integers:
        """Columns `(…, clips)` summed into `(…, clusters)`."""
        if not self.clusters:
            return np.zeros((*clips.shape[:-1], 0), np.int64)
        order, starts = self._order
        return np.asarray(np.add.reduceat(clips[..., order], starts, axis=-1))

    @cached_property
    def _order(self) -> tuple[Places, Places]:
        """The clips cluster by cluster, and where each cluster starts; every cluster has a clip."""
        counts = np.bincount(self.places, minlength=len(self.clusters))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return np.argsort(self.places, kind="stable"), starts.astype(np.intp)

    @cached_property
    def masks(self) -> tuple[Flags, Places]:
        """The different sets of scored clips `(sets, clips)`, and each model's place among them."""
        found, of = np.unique(self.scored, axis=0, return_inverse=True)
        return found, of.reshape(-1).astype(np.intp)

    @cached_property
    def paired(self) -> bool:
        """Whether any clip carries a pair id."""
        return any(self.pairs)

    def pairs_of(self, row: int) -> set[str]:
        """The pair ids of the clips that a model was scored on."""
        scored = self.scored[row].tolist()
        return {pair for pair, one in zip(self.pairs, scored, strict=True) if one and pair}

    def clusters_of(self, row: int) -> list[str]:
        """The clusters in which a model was scored on a clip."""
        return [self.clusters[place] for place in np.flatnonzero(self.sums.clips[row]).tolist()]

    def tally(self, row: int) -> Tally:
        """A model's clips as the tally of `metrics`."""
        sums, capped = self.sums, self.capped[row] & self.scored[row]
        kept = np.flatnonzero(sums.present[row])
        return Tally(
            clusters=tuple(self.clusters_of(row)),
            numerators=sums.numerators[row, kept],
            denominators=sums.denominators[row, kept],
            clips=sums.clips[row, kept],
            undefined=self.undefined[row],
            failed=self.failed[row],
            capped=int(np.count_nonzero(capped)),
        )

    def counts(self, row: int) -> Counts:
        """How a model's clips ended."""
        scored = self.scored[row]
        return Counts(
            int(np.count_nonzero(scored)),
            self.undefined[row],
            self.failed[row],
            int(np.count_nonzero(self.capped[row] & scored)),
        )


def read(table: ScoreTable, wanted: pa.StringArray | None = None) -> Clips:
    """The clips of a score table, only those whose key is `wanted` where keys are given.

    ValueError for a missing file, a missing column, a key that stands twice, or numbers that cannot
    be summed.
    """
    if not table.paths:
        raise ValueError(
            f"{table.model} on {table.dataset}: expected at least one score file, found none; "
            "score the predictions first"
        )
    whole = pa.concat_tables([_columns(path) for path in table.paths]).combine_chunks()
    keys = _array(whole["key"])
    if pc.count_distinct(keys).as_py() != len(keys):
        counted = pc.value_counts(keys)
        twice = next(item["values"] for item in counted.to_pylist() if item["counts"] > 1)
        raise ValueError(
            f"{table.model} on {table.dataset}: expected every clip once, found {twice!r} "
            "more than once; give each score file once"
        )
    if wanted is not None:
        whole = whole.filter(pc.is_in(keys, value_set=wanted))
    return _clips(table, {name: _array(whole[name]) for name in COLUMNS})


def _columns(path: str) -> pa.Table:
    if not Path(path).is_file():
        raise ValueError(
            f"expected a score file at {path}, found none; score the predictions again"
        )
    file = pq.ParquetFile(path)
    missing = sorted(set(COLUMNS) - set(file.schema_arrow.names))
    if missing:
        raise ValueError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found none named "
            f"{', '.join(missing)}; score the predictions again with this version"
        )
    return file.read(columns=list(COLUMNS), use_threads=False)


def _array(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _clips(table: ScoreTable, columns: Mapping[str, pa.Array]) -> Clips:
    ends = np.asarray(columns["end"].to_pylist(), dtype=str)
    check_ends(ends)
    scored = ends == "scored"
    clusters = pc.fill_null(columns["cluster"], "")
    if pc.any(pc.and_(pc.equal(clusters, ""), pa.array(scored))).as_py():
        raise ValueError(
            f"{table.model} on {table.dataset}: clusters: expected an id for every scored clip, "
            "found rows without one"
        )
    reasons = None if scored.all() else columns["reason"].to_pylist()
    return Clips(
        table=table,
        keys=columns["key"],
        clusters=clusters,
        pairs=columns["pair"],
        scored=scored,
        numerators=_units(columns["numerator"], scored),
        denominators=_units(columns["denominator"], scored),
        capped=pc.fill_null(columns["capped"], False).to_numpy(zero_copy_only=False),
        undefined=count_reasons(ends, reasons, "undefined"),
        failed=count_reasons(ends, reasons, "failed"),
    )


def _units(column: pa.Array, scored: Flags) -> Integers:
    answer = np.zeros(len(column), np.int64)
    answer[scored] = round_to_units(finite(column.to_numpy(zero_copy_only=False), scored))
    return answer


def _places(keys: pa.Array, among: pa.Array) -> Places:
    """Where each key stands among others; -1 for one that does not."""
    if keys.equals(among):
        return np.arange(len(keys))
    found = pc.fill_null(pc.index_in(keys, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.intp)


def _check_clusters(clips: Clips, clusters: pa.Array, places: Places) -> None:
    expected = clusters.take(pa.array(places))
    if not expected.equals(clips.clusters):
        row = pc.index(pc.equal(expected, clips.clusters), False).as_py()
        raise ValueError(
            f"{clips.table.model} on {clips.table.dataset}: expected clip "
            f"{clips.keys[row].as_py()!r} in cluster {expected[row].as_py()!r} as for the other "
            f"models, found {clips.clusters[row].as_py()!r}; score the predictions again"
        )


def _layout(clusters: pa.Array) -> tuple[tuple[str, ...], Places]:
    coded = clusters.dictionary_encode()
    ids, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    place = np.empty(len(ids), np.intp)
    place[order] = np.arange(len(ids))
    return tuple(ids[index] for index in order), place[codes]


def _filled(
    columns: Sequence[NDArray[Any]], rows: Sequence[Places], shape: tuple[int, int], kind: Any
) -> NDArray[Any]:
    answer = np.zeros(shape, kind)
    for line, (column, places) in enumerate(zip(columns, rows, strict=True)):
        answer[line, places] = column
    return answer
