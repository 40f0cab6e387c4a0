"""What a dataset's index says of its clips: columns, labels, and the groups that rules cut."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from leaderboards.records import ClipRule, SliceRule

LABELS = "labels."  # a column of this prefix is a label
MOST_VALUES = 20  # groups of texts that are not declared
OTHER, NOT_GIVEN = "other", "not given"

Value = str | float | None


@dataclass(frozen=True, eq=False)
class Index:
    """A dataset's clips by key, and a value a clip for every column that was asked for."""

    rows: Mapping[str, int]
    columns: Mapping[str, Sequence[Value]]

    def values(self, column: str, keys: Iterable[str]) -> list[Value]:
        """The column's value of each key; None for keys and columns that the index lacks."""
        found, rows = self.columns.get(column), self.rows
        if found is None:
            return [None for _ in keys]
        places = (rows.get(key) for key in keys)
        return [None if place is None else found[place] for place in places]


def read_index(path: str, columns: Iterable[str]) -> Index:
    """The index at `path` with these columns; alternatives, `labels.a, labels.b`, as one column.

    ValueError where there is no such file. A column that the index lacks holds nothing.
    """
    if not Path(path).is_file():
        raise ValueError(f"expected a dataset's index at {path}, found none; prepare it again")
    wanted = sorted(set(columns))
    names = {name for column in wanted for name in alternatives(column)}
    labelled = any(name.startswith(LABELS) for name in names)
    file = pq.ParquetFile(path)
    stored = [n for n in file.schema_arrow.names if n in names or (labelled and n == "labels")]
    found = file.read(columns=["key", *(n for n in stored if n != "key")], use_threads=False)
    table = found.to_pydict()
    labels = [json.loads(text) if text else {} for text in table.get("labels", [])]
    parts = {name: _part(name, table, labels) for name in names}
    keys = table["key"]
    return Index(
        {key: row for row, key in enumerate(keys)},
        {column: _first([parts[n] for n in alternatives(column)], len(keys)) for column in wanted},
    )


def alternatives(column: str) -> list[str]:
    """The columns that a rule names, of which the first that a clip has counts."""
    return [name.strip() for name in column.split(",")]


def _part(
    name: str, table: Mapping[str, list[Any]], labels: Sequence[Mapping[str, str]]
) -> list[Value]:
    if name.startswith(LABELS):
        return [row.get(name.removeprefix(LABELS)) for row in labels]
    found = table.get(name, [])
    # An index counts the sources that came with a clip: without any, nothing is known of them.
    return [value or None for value in found] if name == "sources" else found


def _first(parts: Sequence[Sequence[Value]], size: int) -> list[Value]:
    answer: list[Value] = [None] * size
    for part in reversed(parts):
        answer = [
            old if new in (None, "") else new
            for new, old in zip(part or [None] * size, answer, strict=True)
        ]
    return answer


def number(value: Value) -> float | None:
    """The value as a finite number, None where it is none."""
    try:
        found = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def text(value: Value) -> str | None:
    """The value as text, `2` rather than `2.0`; None for nothing."""
    if value is None or value == "":
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def meets(rule: ClipRule, value: Value) -> bool:
    """Whether a clip with this value of the rule's column counts."""
    if rule.values and text(value) not in rule.values:
        return False
    if rule.low is None and rule.high is None:
        return text(value) is not None
    found = number(value)
    return found is not None and not (
        (rule.low is not None and found < rule.low)
        or (rule.high is not None and found >= rule.high)
    )


def groups(rule: SliceRule, values: Sequence[Value]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The rule's groups in their order, empty ones too, and each clip's place among them."""
    if rule.edges:
        return _cut(rule, values)
    texts = [text(value) for value in values]
    counted = Counter(one for one in texts if one is not None)
    frequent = sorted(counted, key=lambda one: (-counted[one], one))[:MOST_VALUES]
    names = (*(rule.values or frequent), OTHER, NOT_GIVEN)
    place = {name: index for index, name in enumerate(names[:-2])} | {None: len(names) - 1}
    other = len(names) - 2
    return names, np.array([place.get(one, other) for one in texts], np.intp)


def _cut(rule: SliceRule, values: Sequence[Value]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    numbers = [number(value) for value in values]
    known = np.array([math.nan if n is None else n for n in numbers], np.float64)
    places = np.searchsorted(np.array(rule.edges), known, side="right")
    names = (*_spans(rule), NOT_GIVEN)
    return names, np.where(np.isnan(known), len(names) - 1, places).astype(np.intp)


def _spans(rule: SliceRule) -> list[str]:
    """`<5 dB`, `5–10 dB`, `≥10 dB`; with `to` for the dash where an edge is negative."""
    shown = [f"{edge:g}".replace("-", "−") for edge in rule.edges]
    dash = " to " if any(edge < 0 for edge in rule.edges) else "–"
    spans = [f"<{shown[0]}", *(f"{a}{dash}{b}" for a, b in pairwise(shown)), f"≥{shown[-1]}"]
    return [f"{span} {rule.unit}".strip() for span in spans]
