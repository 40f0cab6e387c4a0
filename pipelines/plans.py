"""Plans: what a recipe decided, as a table from which the same clips can be made again.

`datasets/<name>/plan.parquet`, a row a clip: its key and shard, the fields of the recipe's row
(numbers and words as columns, all else as JSON), and the source clips that it is made of with their
content digests. What holds for the whole is JSON in the file's metadata, under `realear`.
"""

from __future__ import annotations

import json
import sys
import types
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError
from typing import Any, Literal, TextIO, Union, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from leaderboards import terminal
from leaderboards.dataset_words import edge, many
from leaderboards.description import quantity
from leaderboards.words import duration
from pipelines import kinds, stores, versions
from pipelines.config import DatasetConfig, Name
from pipelines.kinds import Kind
from pipelines.records import SCHEMA_VERSION, RealEarError, canonical
from pipelines.schema import Config
from pipelines.shards.datasets import STEM, read_table, write_table

PLAN = "plan.parquet"
LIBRARIES = ("numpy", "scipy", "soundfile", "soxr")  # whatever the kind: they make every sample
BARS, BAR_COLUMNS = 12, 40  # lines of a histogram, and columns of its longest bar
VALUES = 8  # shown of a figure that is a word
AT_ONCE = 10_000  # rows read at a time
SHOWN = 5  # clips named in a message
_METADATA = b"realear"
_SOURCES = pa.list_(pa.struct([("key", pa.string()), ("content", pa.string())]))
_PLAIN: dict[type, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}


@dataclass(frozen=True)
class Plan:
    """A generated dataset, decided but not made.

    Attributes:
        name: the dataset's. kind: of the recipe. version: of rendering (`generate.VERSION`).
        config: what the user asked for. options: the recipe's, with all defaults.
        shards: the rows of every shard, by its stem, in order.
        contents: content digest of every source clip that a row names, by key.
        datasets: content digest of every dataset that the recipe is made of, by name.
        libraries: versions that decide samples or their encoding, by name.
        notes: for the dataset's card.
        seal: digest of all that it was decided from and all that it says, libraries apart; "" where
            planning it anew costs less than looking (`generate.decide`).
    """

    name: str
    kind: str
    version: str
    config: DatasetConfig
    options: Mapping[str, Any]
    shards: Mapping[str, tuple[Any, ...]]
    contents: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seal: str = ""

    @property
    def rows(self) -> Iterator[Any]:
        """All rows, shard by shard."""
        return (row for rows in self.shards.values() for row in rows)

    @property
    def clips(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.shards.values()))


def libraries(kind: Kind[Any, Any]) -> dict[str, str]:
    """The versions, as installed here, of what decides a kind's samples and their bytes."""
    found = {"libsndfile": str(soundfile.__libsndfile_version__)}
    for name in sorted({*LIBRARIES, *kind.libraries}):
        try:
            found[name] = versions.installed(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


class Stated(Config):
    """What holds for a plan as a whole: the JSON in its file's metadata."""

    name: Name
    kind: str
    version: str
    config: DatasetConfig
    options: dict[str, Any]
    datasets: dict[Name, str]
    libraries: dict[str, str]
    notes: tuple[str, ...]
    inputs: str  # digest of all rows and of what they are made of
    schema_version: int
    seal: str = ""


def stated(plan: Plan, inputs: str) -> Stated:
    """What holds for a plan as a whole; `inputs`: the digest of its parts' inputs."""
    return Stated(
        name=plan.name,
        kind=plan.kind,
        version=plan.version,
        config=plan.config,
        options=dict(plan.options),
        datasets=dict(plan.datasets),
        libraries=dict(plan.libraries),
        notes=plan.notes,
        inputs=inputs,
        schema_version=SCHEMA_VERSION,
        seal=plan.seal,
    )


def to_table(plan: Plan, inputs: str) -> pa.Table:
    """A plan as a table; equal plans, equal tables."""
    kind = kinds.get(plan.kind)
    columns = columns_of(kind.row)
    # Keys stay in the user's order, which the card's digest of them goes by.
    whole = json.dumps(stated(plan, inputs).model_dump(mode="json"), ensure_ascii=False)
    schema = pa.schema(
        [
            *((name, found or pa.string()) for name, found in columns.items()),
            ("shard", pa.string()),
            ("made_of", _SOURCES),
            ("schema_version", pa.int32()),
        ],
        metadata={_METADATA: whole.encode()},
    )
    nested = {name for name, found in columns.items() if found is None}
    tables = [schema.empty_table()]  # a shard at a time: rows as dictionaries take much memory
    for stem, rows in plan.shards.items():
        records = [_record(plan, kind, row, stem, nested) for row in rows]
        tables.append(pa.Table.from_pylist(records, schema=schema))
    return pa.concat_tables(tables).combine_chunks()


def _record(
    plan: Plan, kind: Kind[Any, Any], row: Any, stem: str, nested: set[str]
) -> dict[str, Any]:
    values = row.model_dump(mode="json")
    return {
        **{name: _text(value) if name in nested else value for name, value in values.items()},
        "shard": stem,
        "made_of": [
            {"key": key, "content": plan.contents[key]}
            for key in dict.fromkeys(kind.source_keys(row))
        ],
        "schema_version": SCHEMA_VERSION,
    }


def _text(value: Any) -> str | None:
    """A nested value as JSON; null stays null."""
    return None if value is None else canonical(value)


def columns_of(row: type[Any]) -> dict[str, pa.DataType | None]:
    """A row class's fields and their types in the table; None for what is written as JSON."""
    return {name: _column(field.annotation) for name, field in row.model_fields.items()}


def _column(annotation: Any) -> pa.DataType | None:
    if get_origin(annotation) is Literal:
        annotation = type(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType}:
        inner = [found for found in get_args(annotation) if found is not types.NoneType]
        return _column(inner[0]) if len(inner) == 1 else None
    return _PLAIN.get(annotation)


def from_table(table: pa.Table, where: str) -> Plan:
    """The plan of a table; RealEarError where it is none that this version can render."""
    try:
        whole = _stated_in(table.schema)
        kind = kinds.get(whole.kind)
        columns = columns_of(kind.row)
        shards: dict[str, list[Any]] = {}
        contents: dict[str, str] = {}
        for batch in table.to_batches(max_chunksize=AT_ONCE):
            for record in batch.to_pylist():
                shards.setdefault(record["shard"], []).append(_row(kind, columns, record))
                contents |= {source["key"]: source["content"] for source in record["made_of"]}
        for stem in shards:  # it becomes a path
            if not STEM.fullmatch(stem) or stem.rpartition("-")[0] != whole.name:
                raise ValueError(f"{stem!r:.80} is no shard of {whole.name}")
    except (KeyError, ValueError, TypeError) as error:
        raise RealEarError(
            f"{where}: expected a plan of this version of RealEar, found something else "
            f"({error}): generate it anew, with --plan-only"
        ) from error
    return Plan(
        name=whole.name,
        kind=whole.kind,
        version=whole.version,
        config=whole.config,
        options=whole.options,
        shards={stem: tuple(rows) for stem, rows in shards.items()},
        contents=contents,
        datasets=whole.datasets,
        libraries=whole.libraries,
        notes=whole.notes,
        seal=whole.seal,
    )


def _stated_in(schema: pa.Schema) -> Stated:
    """What a file's metadata says; KeyError or ValueError where it is no plan's."""
    found = Stated.model_validate_json((schema.metadata or {})[_METADATA])
    if found.schema_version != SCHEMA_VERSION:
        raise ValueError(f"schema_version {found.schema_version}, not {SCHEMA_VERSION}")
    return found


def _row(
    kind: Kind[Any, Any], columns: Mapping[str, pa.DataType | None], record: Mapping[str, Any]
) -> Any:
    values = {
        name: record[name] if found is not None else json.loads(record[name] or "null")
        for name, found in columns.items()
    }
    return kind.row.model_validate(values)


def write(folder: str, plan: Plan, *, inputs: str, rendered: bool = True) -> None:
    """Publish `plan.parquet` in a dataset's folder, unless just this one lies there.

    `inputs`: the digest of its parts' inputs. `rendered=False`: nothing was made by it now, so that
    the libraries named are still those that made the clips, where these are the same.
    """
    target = f"{folder}/{PLAN}"
    there = _stated_at(target)
    if there is not None and not rendered and there.inputs == inputs:
        plan = replace(plan, libraries=there.libraries)
    if there != stated(plan, inputs):
        write_table(target, to_table(plan, inputs))


def _stated_at(path: str) -> Stated | None:
    """What the plan in a file says; None where there is none."""
    if not stores.exists(path):
        return None
    try:
        with stores.open_read(path) as file:
            return _stated_in(pq.read_schema(file))
    except (pa.ArrowException, KeyError, ValueError):
        return None


def read(path: str) -> Plan:
    """The plan in a Parquet file; RealEarError where there is none."""
    if not stores.exists(path):
        raise RealEarError(f"expected a plan at {path}, found no file there")
    return from_table(read_table(path), path)


def standing(folder: str) -> Plan | None:
    """The plan in a dataset's folder; None where there is none, or none of this version."""
    try:
        return read(f"{folder}/{PLAN}")
    except RealEarError:
        return None


def refuse_changed(plan: Plan, found: Mapping[str, str]) -> None:
    """RealEarError unless every source clip is there as it was planned.

    Args:
        plan: what is to be made again.
        found: content digest of every clip of the datasets that there are now, by key.
    """
    wanted = sorted(plan.contents.items())
    missing = [key for key, _ in wanted if key not in found]
    changed = [key for key, content in wanted if found.get(key, content) != content]
    problems = [
        f"{len(keys):,} {what} ({', '.join(keys[:SHOWN])}{', …' if len(keys) > SHOWN else ''})"
        for what, keys in (("missing", missing), ("changed in sound or labels", changed))
        if keys
    ]
    if problems:
        raise RealEarError(
            f"plan of {plan.name!r}: expected its {len(wanted):,} source clips as they were, found "
            f"{' and '.join(problems)}: prepare {', '.join(plan.datasets)} from the same "
            "recordings again, or generate anew from the recipe"
        )


def changed_libraries(plan: Plan) -> list[str]:
    """What decides samples and has another version here than when the plan was made, in words."""
    here = libraries(kinds.get(plan.kind))
    return [
        f"{name} {there} then, {here.get(name, 'missing')} now"
        for name, there in sorted(plan.libraries.items())
        if here.get(name, "missing") != there
    ]


def summarise(plan: Plan, *, file: TextIO | None = None, width: int | None = None) -> None:
    """Print what a plan will make: clips, hours, speakers, and how its figures are spread."""
    console = Console(file=file or sys.stdout, width=width, highlight=False)
    kind = kinds.get(plan.kind)
    seconds = [kind.seconds(row) for row in plan.rows]
    speakers = {speaker for row in plan.rows for speaker in kind.speakers(row)}
    terminal.line(console, plan.name, style="bold")
    terminal.line(
        console,
        f"{many(plan.clips, 'clip')}, {duration(sum(seconds))} of audio, "
        f"{many(len(speakers), 'speaker')}, {many(len(plan.shards), 'shard')}",
    )
    if plan.datasets:
        sources = many(len(plan.contents), "clip")
        terminal.line(console, f"made of {sources} of {', '.join(plan.datasets)}")
    for note in plan.notes:
        terminal.line(console, f"Note: {note}", style="dim")
    if not plan.clips:
        return
    figures: dict[str, list[Any]] = {}
    for row in plan.rows:
        for title, value in kind.figures(row).items():
            figures.setdefault(title, []).append(value)
    words = {title for title, values in figures.items() if isinstance(values[0], str)}
    for title in [title for title in figures if title in words]:
        _counts(console, title, figures.pop(title))
    for title, values in {**figures, "Duration, s": seconds}.items():
        _histogram(console, title, np.hstack([np.asarray(value, float) for value in values]))


def _counts(console: Console, title: str, values: Sequence[object]) -> None:
    said = ", ".join(f"{value} {count:,}" for value, count in Counter(values).most_common(VALUES))
    terminal.line(console, f"{title}: {said}")


def _histogram(console: Console, title: str, values: np.ndarray) -> None:
    name, _, unit = title.partition(", ")
    found = quantity(name, values, unit=unit)
    if found is None:
        return
    drawn = found.histogram.merged(BARS)
    ends = [edge(value, drawn) for value in drawn.edges]
    most = max(drawn.counts) or 1
    bars = Table.grid(padding=(0, 1, 0, 0))
    for column in ("right", "left", "left"):
        bars.add_column(justify=column, no_wrap=True)
    for low, high, count in zip(ends, ends[1:], drawn.counts, strict=False):
        bar = "█" * round(BAR_COLUMNS * count / most) or ("▏" if count else "")
        cells = (f"{low} to {high}", bar, f"{count:,}" if count else "")
        bars.add_row(*(terminal.plain(console, cell) for cell in cells))
    console.print()
    median = f"median {found.median:.4g} {unit}".rstrip()
    terminal.line(console, f"{title} ({median})", style="bold")
    console.print(Padding(bars, (0, 1)))
