"""Tallies as Arrow tables and back, equal to the last bit: how they lie at rest between runs.

A table has a row a cluster (for `Ranks` a row an item); counts of clips without a score, the kind
and the version of this layout stand in the schema's metadata, which Parquet and IPC files keep.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.columns import layout
from metrics.moments import Moments, Sums
from metrics.ranks import Ranks
from metrics.tally import Tally

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
_KEY = b"realear.tally"
_DIGITS = 76  # decimal256: sums of products have no bound that 64 bits would hold
_EXACT = Context(prec=_DIGITS)

AnyTally = Tally | Moments | Ranks


def to_arrow(tally: AnyTally) -> pa.Table:
    """The tally as a `pyarrow.Table`; an empty one has the same columns and no rows."""
    kind = type(tally).__name__
    columns, more = _WRITERS[kind](tally)
    note = {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "undefined": dict(tally.undefined),
        "failed": dict(tally.failed),
        **more,
    }
    import pyarrow as pa

    text = json.dumps(note, sort_keys=True, separators=(",", ":"))
    return pa.table(columns).replace_schema_metadata({_KEY: text.encode()})


def from_arrow(table: pa.Table) -> AnyTally:
    """The tally that `to_arrow` made a table of; ValueError for any other table or version."""
    note = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    if note.get("schema_version") != SCHEMA_VERSION or note.get("kind") not in _READERS:
        found = note or "a table without such metadata"
        raise ValueError(
            f"expected a tally's table of version {SCHEMA_VERSION}, found {found}; "
            "make it again with metrics.to_arrow"
        )
    return _READERS[note["kind"]](table, note)


Columns = dict[str, Any]


def _write_tally(tally: Tally) -> tuple[Columns, Columns]:
    import pyarrow as pa

    columns = {
        "cluster": pa.array(tally.clusters, pa.string()),
        "numerator": pa.array(tally.numerators, pa.int64()),
        "denominator": pa.array(tally.denominators, pa.int64()),
        "clips": pa.array(tally.clips, pa.int64()),
    }
    return columns, {"capped": tally.capped}


def _read_tally(table: pa.Table, note: Columns) -> Tally:
    return Tally(
        clusters=tuple(table["cluster"].to_pylist()),
        numerators=table["numerator"].to_numpy().copy(),
        denominators=table["denominator"].to_numpy().copy(),
        clips=table["clips"].to_numpy().copy(),
        undefined=note["undefined"],
        failed=note["failed"],
        capped=note["capped"],
    )


def _write_moments(moments: Moments) -> tuple[Columns, Columns]:
    import pyarrow as pa

    wide = pa.decimal256(_DIGITS, 0)
    columns: Columns = {"cluster": pa.array(moments.clusters, pa.string())}
    for name in Sums._fields:
        values = [_EXACT.create_decimal(getattr(sums, name)) for sums in moments.sums]
        columns[name] = pa.array(values, wide)
    return columns, {}


def _read_moments(table: pa.Table, note: Columns) -> Moments:
    rows = zip(*(map(_whole, table[name].to_pylist()) for name in Sums._fields), strict=True)
    return Moments(
        tuple(table["cluster"].to_pylist()),
        tuple(Sums(*row) for row in rows),
        note["undefined"],
        note["failed"],
    )


def _whole(number: Decimal) -> int:
    return int(number)


def _write_ranks(ranks: Ranks) -> tuple[Columns, Columns]:
    import pyarrow as pa

    clusters, groups = np.array(ranks.clusters, object), np.array(ranks.groups, object)
    place, group, count = ranks.table.T
    columns = {
        "cluster": pa.array(clusters[place], pa.string()),
        "group": pa.array(groups[group], pa.string()),
        "count": pa.array(count, pa.int64()),
        "x": pa.array(ranks.points[:, 0], pa.float64()),
        "y": pa.array(ranks.points[:, 1], pa.float64()),
    }
    return columns, {"ranks": ranks.kind}


def _read_ranks(table: pa.Table, note: Columns) -> Ranks:
    clusters, cluster = _ids(table["cluster"])
    groups, group = _ids(table["group"])
    return Ranks(
        note["ranks"],
        clusters,
        groups,
        np.column_stack([cluster, group, table["count"].to_numpy()]).astype(np.int64),
        np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()]).astype(np.float64),
        note["undefined"],
        note["failed"],
    )


def _ids(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    return layout(column.to_pylist())


_WRITERS: dict[str, Callable[[Any], tuple[Columns, Columns]]] = {
    "Tally": _write_tally,
    "Moments": _write_moments,
    "Ranks": _write_ranks,
}
_READERS: dict[str, Callable[[Any, Columns], AnyTally]] = {
    "Tally": _read_tally,
    "Moments": _read_moments,
    "Ranks": _read_ranks,
}
