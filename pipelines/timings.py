"""Wall times: kept apart from everything that two equal runs must agree on."""

from __future__ import annotations

import pyarrow as pa

from pipelines import stores
from pipelines.records import SCHEMA_VERSION
from pipelines.shards.datasets import read_table, write_table
from pipelines.workspace import Workspace

SCHEMA = pa.schema(
    [
        ("chain", pa.string()),
        ("dataset", pa.string()),
        ("shard", pa.string()),
        ("inputs", pa.string()),
        ("audio_seconds", pa.float64()),
        ("wall_seconds", pa.float64()),
        ("schema_version", pa.int32()),
    ]
)


def collect(workspace: Workspace) -> None:
    """Take what the workers left into `timings.parquet`; the first time of a shard stays.

    RTFx must come from a run that was not served from a cache: a shard that is redone because its
    file was lost has warm caches, one with new inputs is new.
    """
    spooled = stores.listing(workspace.timing_spool, "*.json")
    if not spooled:
        return
    rows = {_key(row): row for row in _rows(workspace)}
    for path in spooled:
        chain, dataset, shard = path.rpartition("/")[2].removesuffix(".json").split("~")
        record = stores.read_json(path)
        row = {
            "chain": chain,
            "dataset": dataset,
            "shard": shard,
            "inputs": record["inputs"],
            "audio_seconds": record["audio"],
            "wall_seconds": record["wall"],
            "schema_version": SCHEMA_VERSION,
        }
        rows.setdefault(_key(row), row)
    ordered = [rows[key] for key in sorted(rows)]
    write_table(workspace.timings, pa.Table.from_pylist(ordered, schema=SCHEMA))
    for path in spooled:
        stores.remove(path)


def _key(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("chain", "dataset", "shard", "inputs"))


def _rows(workspace: Workspace) -> list[dict[str, object]]:
    if not stores.exists(workspace.timings):
        return []
    rows: list[dict[str, object]] = read_table(workspace.timings).to_pylist()
    return rows


def rtfx(workspace: Workspace, chain: str, dataset: str) -> float | None:
    """Audio seconds over processing seconds, from stored clip to stored answer; None if unknown."""
    rows = [row for row in _rows(workspace) if (row["chain"], row["dataset"]) == (chain, dataset)]
    wall = sum(float(str(row["wall_seconds"])) for row in rows)
    audio = sum(float(str(row["audio_seconds"])) for row in rows)
    return audio / wall if wall else None
