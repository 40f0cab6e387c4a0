"""Per-clip scores as they lie in Parquet files: read, checked, and tallied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from leaderboards.records import Counts, ScoreTable
from metrics.tally import Tally, common

COLUMNS = ("key", "cluster", "pair", "end", "reason", "numerator", "denominator", "capped")


@dataclass(frozen=True, eq=False)
class Clips:
    """One model on one dataset: the tally of all clips, and the scored ones column by column.

    `keys` and `clusters` are str arrays, `numerators` and `denominators` float64, a row a scored
    clip; `pairs` are the pair ids that scored clips carry.
    """

    tally: Tally
    keys: NDArray[Any]
    clusters: NDArray[Any]
    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]
    pairs: frozenset[str]

    @property
    def counts(self) -> Counts:
        """How the clips ended."""
        tally = self.tally
        return Counts(tally.scored, tally.undefined, tally.failed, tally.capped)

    def _tally_of(self, rows: NDArray[np.intp]) -> Tally:
        clusters = self.clusters[rows].tolist()
        return Tally.from_arrays(clusters, self.numerators[rows], self.denominators[rows])


def read(table: ScoreTable) -> Clips:
    """The clips of a score table; ValueError for a missing file, column or key given twice."""
    if not table.paths:
        raise ValueError(
            f"{table.model} on {table.dataset}: expected at least one score file, found none; "
            "score the predictions first"
        )
    columns = pa.concat_tables([_columns(path) for path in table.paths]).to_pydict()
    keys = columns["key"]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(
            f"{table.model} on {table.dataset}: expected every clip once, found {twice!r} "
            "more than once; give each score file once"
        )
    return _clips(columns)


def both_scored(one: Clips, other: Clips) -> tuple[Tally, Tally]:
    """The tallies of two models over the clips that both were scored on."""
    left, right = common(one.keys, other.keys)
    return one._tally_of(left), other._tally_of(right)


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
    return file.read(columns=list(COLUMNS))


def _clips(columns: dict[str, list[Any]]) -> Clips:
    numerators, denominators = (_floats(columns[name]) for name in ("numerator", "denominator"))
    tally = Tally.from_arrays(
        columns["cluster"],
        numerators,
        denominators,
        ends=columns["end"],
        reasons=columns["reason"],
        capped=[bool(flag) for flag in columns["capped"]],
    )
    scored = np.flatnonzero(np.array(columns["end"], dtype=str) == "scored")
    return Clips(
        tally=tally,
        keys=np.array(columns["key"], dtype=object)[scored].astype(str),
        clusters=np.array(columns["cluster"], dtype=object)[scored],
        numerators=numerators[scored],
        denominators=denominators[scored],
        pairs=frozenset(columns["pair"][row] for row in scored.tolist()) - {None},
    )


def _floats(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
