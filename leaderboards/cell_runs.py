"""A cell (one model on one dataset) as a run in MLflow: its key, values, inputs and files."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from leaderboards.records import Board, Comparison, DatasetCell, DatasetInfo, ScoreTable, plain
from leaderboards.run_writers import Input, NewRun

Pair = tuple[str, str]  # model fingerprint, dataset
METADATA = b"realear"  # of a Parquet file: the score table's record, as JSON
DIGEST = 36  # characters of a dataset's digest that MLflow keeps
REGISTERED = "models:/"  # how MLflow writes a model of its registry


@dataclass(frozen=True)
class Cells:
    """The score tables of every cell, in the order of fingerprint, dataset and metric; its keys."""

    tables: Mapping[Pair, Sequence[ScoreTable]]
    keys: Mapping[Pair, str]


def cells(suite: str, board: Board, tables: Sequence[ScoreTable]) -> Cells:
    """The cells of an evaluation. Reads all score files: a key covers every byte of them."""
    groups: dict[Pair, list[ScoreTable]] = {}
    for table in sorted(tables, key=lambda t: (t.fingerprint, t.dataset, t.metric_hash)):
        groups.setdefault((table.fingerprint, table.dataset), []).append(table)
    infos = {info.name: info for info in board.datasets}
    return Cells(
        groups, {pair: _cell_key(suite, board, infos.get(pair[1]), groups[pair]) for pair in groups}
    )


def _cell_key(
    suite: str, board: Board, info: DatasetInfo | None, tables: Sequence[ScoreTable]
) -> str:
    first = tables[0]
    rules = [
        [section.comparison.name, plain(section.comparison.clips)]
        for section in board.sections
        if any(_asks(section.comparison, section.measure.hash, table) for table in tables)
    ]
    scores = [
        [table.metric_hash, *(_sha256(Path(path)) for path in table.paths)] for table in tables
    ]
    content = info.content if info else ""
    chain = [first.model, first.fingerprint, first.role]
    return key("cell", suite, chain, first.dataset, first.domain, content, scores, rules)


def _asks(comparison: Comparison, metric_hash: str, table: ScoreTable) -> bool:
    return metric_hash == table.metric_hash and table.dataset in comparison.datasets(table.domain)


def key(*parts: Any) -> str:
    """A hash of JSON values, as 32 hex digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def new_run(
    board: Board,
    found: Cells,
    pair: Pair,
    parent: str,
    models: Mapping[str, Mapping[str, Any]],
) -> NewRun:
    """The run of a cell, not named yet by an id."""
    tables = found.tables[pair]
    first = tables[0]
    model = models.get(first.fingerprint, {})
    tags = {
        "run_key": found.keys[pair],
        "kind": "cell",
        "model": first.model,
        "fingerprint": first.fingerprint,
        "role": first.role,
        "dataset": first.dataset,
        "domain": first.domain,
    }
    tags |= {"hardware": first.hardware} if first.hardware else {}
    tags |= {"model_uri": uri} if (uri := _registered(model)) else {}
    return NewRun(
        "",
        f"{first.model} · {first.dataset}",
        parent,
        tags,
        _metrics(board, tables),
        _parameters(tables, model),
        [_input(board, first)],
    )


def named(run: NewRun, name: str) -> NewRun:
    """The run with its id."""
    return replace(run, run=name)


def _registered(value: Any) -> str:
    """The first text in a model's record that names a model of MLflow's registry, or ''."""
    if isinstance(value, str):
        return value if value.startswith(REGISTERED) else ""
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list | tuple):
        return ""
    return next((found for each in inner if (found := _registered(each))), "")


def _input(board: Board, table: ScoreTable) -> Input:
    """The cell's dataset, as the board knows it; by its name alone where it does not."""
    info = next((each for each in board.datasets if each.name == table.dataset), None)
    if info is None:
        info = DatasetInfo(table.dataset, table.domain, 0, 0.0)
    profile = {"clips": info.clips, "seconds": info.seconds, "content": info.content}
    digest = info.content or key(info.name, info.clips, info.seconds)
    tags = {"mlflow.data.context": "evaluation", "domain": info.domain}
    return Input(info.name, digest[:DIGEST], json.dumps({"uri": info.index}), profile, tags)


def _parameters(tables: Sequence[ScoreTable], model: Mapping[str, Any]) -> dict[str, Any]:
    first = tables[0]
    answer: dict[str, Any] = {"model": first.model, "dataset": first.dataset}
    answer |= {f"model.{k}": v for k, v in model.items()}
    answer |= {"weights": first.parameters} if first.parameters is not None else {}
    for table in tables:
        name = _metric(table, tables)
        answer |= {f"{name}.hash": table.metric_hash}
        answer |= {f"{name}.{k}": v for k, v in table.metric.get("parameters", {}).items()}
    return answer


def _metric(table: ScoreTable, tables: Sequence[ScoreTable]) -> str:
    """The metric's name, with its hash where two specs of one name meet."""
    name = str(table.metric["name"])
    alone = sum(other.metric["name"] == name for other in tables) == 1
    return name if alone else f"{name}-{table.metric_hash}"


def _metrics(board: Board, tables: Sequence[ScoreTable]) -> dict[str, float]:
    answer: dict[str, float] = {}
    for table in tables:
        for name in ("rtfx", "load_seconds"):
            if (told := getattr(table, name)) is not None:
                answer[name] = told
        cell = _cell(board, table)
        if cell is None:
            continue
        name = _metric(table, tables)
        values = {
            name: cell.value,
            f"{name}.low": cell.interval.low if cell.interval else None,
            f"{name}.high": cell.interval.high if cell.interval else None,
            f"{name}.scored": cell.counts.scored,
            f"{name}.undefined": cell.counts.n_undefined,
            f"{name}.failed": cell.counts.n_failed,
        }
        answer |= {key: value for key, value in values.items() if value is not None}
    return answer


def _cell(board: Board, table: ScoreTable) -> DatasetCell | None:
    """What the board says of this table; None where no comparison uses it."""
    for section in board.sections:
        if section.measure.hash != table.metric_hash:
            continue
        for row in section.rows:
            if row.fingerprint == table.fingerprint:
                for cell in row.cell(table.domain).datasets:
                    if cell.dataset == table.dataset:
                        return cell
    return None


def files(tables: Sequence[ScoreTable]) -> dict[str, bytes | Path]:
    """A Parquet file for every metric: all clips, and the score table's record as metadata."""
    return {f"clips/{table.metric['name']}-{table.metric_hash}.parquet": _clips(table)
            for table in tables}  # fmt: skip


def _clips(table: ScoreTable) -> bytes:
    clips = pa.concat_tables([pq.ParquetFile(path).read() for path in table.paths])
    record = replace(table, paths=()).to_json()
    text = json.dumps(record, sort_keys=True).encode()
    return _parquet(clips.replace_schema_metadata({METADATA: text}))


def listing(
    found: Cells, pair: Pair, run: str, written: Mapping[str, bytes | Path]
) -> dict[str, Any]:
    """What a board needs to know of a cell's run to fetch it: ids, and the SHA-256 of its files."""
    first = found.tables[pair][0]
    return {
        "run": run,
        "run_key": found.keys[pair],
        "model": first.model,
        "fingerprint": first.fingerprint,
        "dataset": first.dataset,
        "files": {
            name: hashlib.sha256(data).hexdigest()
            for name, data in written.items()
            if isinstance(data, bytes)
        },
    }


def indexes(
    board: Board, run: str, before: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
    """Where the columns lie that clips are cut by, and those files that are not logged yet.

    By dataset: the run, its file, and the file's SHA-256. Datasets that no rule asks about have
    none.
    """
    listed, new = {}, dict[str, bytes | Path]()
    for info in board.datasets:
        columns = _asked(board, info.name)
        if not info.index or not columns:
            continue
        data = _index(Path(info.index), columns)
        digest = hashlib.sha256(data).hexdigest()
        known = before.get(info.name, {})
        if known.get("sha256") != digest:
            name = f"indexes/{info.name}.parquet"
            known, new[name] = {"run": run, "file": name, "sha256": digest}, data
        listed[info.name] = dict(known)
    return listed, new


def _asked(board: Board, dataset: str) -> set[str]:
    """The columns of an index that slices and inclusion rules ask for."""
    asked = [
        section.comparison
        for section in board.sections
        if any(dataset in section.comparison.datasets(domain) for domain in section.shown())
    ]
    rules = [rule.column for comparison in asked for rule in comparison.slices]
    rules += [rule.column for comparison in asked for rule in comparison.clips]
    return {column.partition(".")[0] for column in rules}


def _index(path: Path, columns: set[str]) -> bytes:
    file = pq.ParquetFile(path)
    there = [name for name in file.schema_arrow.names if name == "key" or name in columns]
    return _parquet(file.read(columns=there))


def slices(board: Board) -> bytes:
    """All slice cells of a board, a row each, as Parquet."""
    rows: list[dict[str, Any]] = [
        {
            "comparison": section.comparison.name,
            **{name: getattr(cell, name) for name in _SLICE_COLUMNS},
            "low": cell.interval.low if cell.interval else None,
            "high": cell.interval.high if cell.interval else None,
        }
        for section in board.sections
        for cell in section.slices
    ]
    return _parquet(pa.Table.from_pylist(rows))


_SLICE_COLUMNS = (
    "slice", "group", "fingerprint", "domain", "value", "scored", "clusters", "faint", "datasets"
)  # fmt: skip


def _parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
