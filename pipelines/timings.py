"""What work took, and on what: kept apart from everything that two equal runs must agree on."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import progress, stores
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
        ("load_seconds", pa.float64()),  # of the model, in the process that did this shard
        ("parameters", pa.int64()),  # numbers that the model learnt; null where that is not said
        ("hardware", pa.string()),
        ("schema_version", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Timing:
    """One model on one dataset. What is not known is None, or ""."""

    rtfx: float | None = None  # audio seconds over seconds from stored clip to stored answer
    load_seconds: float | None = None  # the longest of all workers
    parameters: int | None = None
    hardware: str = ""


def spool(path: str, inputs: str, audio: float, wall: float, model: Any) -> None:
    """Leave a shard's times for `collect`: seconds of audio answered, and seconds it took."""
    record = {
        "inputs": inputs,
        "audio_seconds": audio,
        "wall_seconds": wall,
        "load_seconds": model.loaded_in,
        "parameters": model.size,
        "hardware": hardware(model.device),
    }
    stores.write_json(path, record)


@lru_cache(maxsize=4)
def hardware(device: str) -> str:
    """The name of what computes, as it gives it itself: a GPU for "cuda", else the processor."""
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def collect(workspace: Workspace) -> None:
    """Take what the workers left into `timings.parquet`; the first time of a shard stays.

    RTFx must come from a run that was not served from a cache: a shard that is redone because its
    file was lost has warm caches, one with new inputs is new.
    """
    with stores.alone(workspace.timing_spool, waiting=progress.wait):
        _collect(workspace)


def _collect(workspace: Workspace) -> None:
    stores.sweep(workspace.timing_spool)  # what a kill left of a time half-written
    spooled = stores.listing(workspace.timing_spool, "*.json")
    if not spooled:
        return
    rows = {_key(row): row for row in _rows(workspace)}
    for path in spooled:
        chain, dataset, shard = path.rpartition("/")[2].removesuffix(".json").split("~")
        row = {"chain": chain, "dataset": dataset, "shard": shard, **stores.read_json(path)}
        rows.setdefault(_key(row), row | {"schema_version": SCHEMA_VERSION})
    ordered = [rows[key] for key in sorted(rows)]
    write_table(workspace.timings, pa.Table.from_pylist(ordered, schema=SCHEMA))
    for path in spooled:
        stores.remove(path)


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("chain", "dataset", "shard", "inputs"))


def _rows(workspace: Workspace) -> list[dict[str, Any]]:
    if not stores.exists(workspace.timings):
        return []
    rows: list[dict[str, Any]] = read_table(workspace.timings).to_pylist()
    return rows


def of(workspace: Workspace, chain: str, dataset: str) -> Timing:
    """What is known of a model on a dataset."""
    return known(workspace).get((chain, dataset), Timing())


def known(workspace: Workspace) -> dict[tuple[str, str], Timing]:
    """What is known of every model on every dataset, by chain and dataset."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _rows(workspace):
        found.setdefault((row["chain"], row["dataset"]), []).append(row)
    return {place: _timing(rows) for place, rows in found.items()}


def _timing(rows: Sequence[Mapping[str, Any]]) -> Timing:
    wall = sum(row["wall_seconds"] for row in rows)
    loads = [row["load_seconds"] for row in rows if row.get("load_seconds") is not None]
    learnt = [row["parameters"] for row in rows if row.get("parameters") is not None]
    names = dict.fromkeys(row["hardware"] for row in rows if row.get("hardware"))
    return Timing(
        rtfx=sum(row["audio_seconds"] for row in rows) / wall if wall else None,
        load_seconds=max(loads, default=None),
        parameters=learnt[-1] if learnt else None,
        hardware=", ".join(names),
    )
