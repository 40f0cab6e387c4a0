"""Parquet files as tables of plain cells, whatever else they hold; audio is not among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpora.tables import Cells
from pipelines.records import RealEarError

# What pyarrow raises for a file that is none, is cut short, or names columns in no UTF-8.
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError)


def rows(where: Path) -> Iterator[tuple[int, Cells]]:
    """Row number from 1 and its plain cells; RealEarError for what is no Parquet file."""
    try:
        with pq.ParquetFile(where) as file:
            names = plain_columns(file.schema_arrow)
            groups = [list(cells(file, n, names)) for n in range(file.num_row_groups)]
    except DAMAGED as error:
        raise RealEarError(f"expected a Parquet file at {where}, found none: {error}") from error
    yield from enumerate((row for group in groups for row in group), 1)


def cells(file: pq.ParquetFile, group: int, names: list[str]) -> Iterator[Cells]:
    """The rows of a row group, of the named columns only."""
    if not names:
        yield from ({} for _ in range(file.metadata.row_group(group).num_rows))
        return
    table = file.read_row_group(group, columns=names)
    for row in zip(*(_values(table.column(name)) for name in names), strict=True):
        yield dict(zip(names, row, strict=True))


def plain_columns(schema: pa.Schema) -> list[str]:
    """The columns of texts, numbers or truth values, each name once."""
    return list(dict.fromkeys(f.name for f in schema if _is_plain(f.type)))


def holds_bytes(schema: pa.Schema, name: str) -> bool:
    """Whether a column is of bytes, or of structs with a field `bytes`."""
    if schema.names.count(name) != 1:
        return False
    kind = schema.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def features(schema: pa.Schema) -> dict[str, Cells]:
    """What Hugging Face `datasets` wrote into the schema of each column; {} where it did not."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        named = found["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: feature for name, feature in named if isinstance(feature, dict)}


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer,
             pa.types.is_floating, pa.types.is_boolean)  # fmt: skip
    return any(test(kind) for test in tests)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column's cells; bytes of a text that are not UTF-8 survive as surrogates."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        data = column.cast(pa.large_binary()).to_pylist()
        return [None if x is None else x.decode("utf-8", "surrogateescape") for x in data]
    return list(column.to_pylist())
