"""An evaluation in MLflow: one parent run, and under it a run for every model on every dataset.

The store is an sqlite file. Logging is idempotent: a run carries a `run_key`, the hash of what was
run, and what is there already is neither logged again nor changed; a run that a crash left half
done is replaced. Nothing here touches MLflow's global state, and no usage is reported.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from leaderboards import export
from leaderboards.records import Board, DatasetCell, Row, ScoreTable

NOISY = ("alembic", "sqlalchemy", "mlflow")
LONGEST = 500  # characters of a parameter; MLflow refuses more than 6,000


@dataclass(frozen=True)
class Logged:
    """The run ids of an evaluation; children by (model fingerprint, dataset).

    `created` is False when everything was there already and nothing was added.
    """

    experiment: str
    parent: str
    children: Mapping[tuple[str, str], str]
    created: bool


def log_evaluation(
    board: Board,
    tables: Sequence[ScoreTable],
    *,
    database: Path,
    artifacts: Path,
    experiment: str = "RealEar",
    models: Mapping[str, Mapping[str, Any]] | None = None,
    page: str | None = None,
) -> Logged:
    """Log a board with the score tables it was built from.

    `database` is the sqlite file, made when missing; `artifacts` the folder for files; `models`
    holds a model's record by its fingerprint, logged as parameters; `page` is the board as HTML.
    Values are raw (a word error rate of 26.7 % is 0.267).
    """
    with _quiet():
        store = _Store.open(database, artifacts, experiment)
        groups = _grouped(tables)
        key = _board_key(board, groups)
        parent, done = store.found(key)
        if parent is None:
            parent = store.start(key, board.title, {"suite_digest": board.suite_digest})
        children = {
            pair: _child(store, parent, key, board, groups[pair], models or {}) for pair in groups
        }
        if not done:
            _finish_parent(store, parent, board, page)
    return Logged(store.experiment, parent, children, created=not done)


def _child(
    store: _Store,
    parent: str,
    parent_key: str,
    board: Board,
    tables: Sequence[ScoreTable],
    models: Mapping[str, Mapping[str, Any]],
) -> str:
    first = tables[0]
    key = _key(parent_key, first.fingerprint, first.dataset)
    run, done = store.found(key)
    if run is not None and done:
        return run
    if run is not None:
        store.remove(run)
    run = store.start(key, f"{first.model} · {first.dataset}", _tags(first, parent))
    store.write(run, _metrics(board, tables), _parameters(tables, models))
    store.keep(run, {"clips.parquet": _clips(tables)})
    store.finish(run)
    return run


def _finish_parent(store: _Store, run: str, board: Board, page: str | None) -> None:
    parameters = {"title": board.title, "tolerated_failures": board.tolerated_failures}
    parameters |= {f"version.{name}": text for name, text in board.versions.items()}
    store.write(run, _differences(board), parameters)
    files = {"board.json": export.to_json(board), "board.csv": export.to_csv(board)}
    store.keep(run, files | ({"board.html": page} if page is not None else {}))
    store.finish(run)


@dataclass(frozen=True)
class _Store:
    """The few things asked of MLflow's client, with its entities kept out of sight."""

    client: Any
    experiment: str

    @classmethod
    def open(cls, database: Path, artifacts: Path, name: str) -> _Store:
        from mlflow.tracking import MlflowClient

        database.parent.mkdir(parents=True, exist_ok=True)
        artifacts.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=f"sqlite:///{database.resolve()}")
        known = client.get_experiment_by_name(name)
        if known is not None:
            return cls(client, known.experiment_id)
        where = artifacts.resolve().as_uri()
        return cls(client, client.create_experiment(name, artifact_location=where))

    def found(self, key: str) -> tuple[str | None, bool]:
        """The run of this key, and whether it was finished."""
        runs = self.client.search_runs([self.experiment], f"tags.run_key = '{key}'", max_results=1)
        if not runs:
            return None, False
        return runs[0].info.run_id, runs[0].info.status == "FINISHED"

    def start(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        run = self.client.create_run(self.experiment, run_name=name, tags={"run_key": key, **tags})
        return str(run.info.run_id)

    def remove(self, run: str) -> None:
        self.client.delete_run(run)

    def write(self, run: str, metrics: Mapping[str, float], parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self.client.log_batch(
            run,
            metrics=[Metric(_name(key), float(metrics[key]), now, 0) for key in sorted(metrics)],
            params=[Param(_name(k), _shown(parameters[k])) for k in sorted(parameters)],
        )

    def keep(self, run: str, files: Mapping[str, str | pa.Table]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                if isinstance(content, str):
                    path.write_text(content, encoding="utf-8")
                else:
                    pq.write_table(content, path)
                self.client.log_artifact(run, str(path))

    def finish(self, run: str) -> None:
        self.client.set_terminated(run, status="FINISHED")


def _grouped(tables: Sequence[ScoreTable]) -> dict[tuple[str, str], list[ScoreTable]]:
    groups: dict[tuple[str, str], list[ScoreTable]] = {}
    for table in sorted(tables, key=lambda t: (t.fingerprint, t.dataset, t.metric_hash)):
        groups.setdefault((table.fingerprint, table.dataset), []).append(table)
    return groups


def _digests(tables: Sequence[ScoreTable]) -> list[list[str]]:
    return [[table.metric_hash, *(_sha256(Path(path)) for path in table.paths)] for table in tables]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _key(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _board_key(board: Board, groups: Mapping[tuple[str, str], Sequence[ScoreTable]]) -> str:
    """Of what was asked and of the scores; not of timings, which differ from night to night."""
    asked = [section.comparison.to_json() for section in board.sections]
    scores = [[*pair, _digests(groups[pair])] for pair in sorted(groups)]
    return _key(board.title, board.suite_digest, board.tolerated_failures, asked, scores)


def _tags(table: ScoreTable, parent: str) -> dict[str, str]:
    return {
        "mlflow.parentRunId": parent,
        "model": table.model,
        "fingerprint": table.fingerprint,
        "role": table.role,
        "dataset": table.dataset,
        "domain": table.domain,
    }


def _parameters(
    tables: Sequence[ScoreTable], models: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    first = tables[0]
    answer: dict[str, Any] = {"model": first.model, "dataset": first.dataset}
    answer |= {f"model.{k}": v for k, v in models.get(first.fingerprint, {}).items()}
    for table in tables:
        name = f"{_metric(table, tables)}"
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
            "rtfx": table.rtfx,
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
                cells = row.cell(table.domain).datasets
                found = [cell for cell in cells if cell.dataset == table.dataset]
                if found:
                    return found[0]
    return None


def _differences(board: Board) -> dict[str, float]:
    return {
        f"{section.comparison.name}/{row.model}-{row.fingerprint}/{name}": value
        for section in board.sections
        for row in section.rows
        for name, value in _main(row).items()
        if value is not None
    }


def _main(row: Row) -> dict[str, float | None]:
    domains = {name: row.cell(name).value for name in ("synthetic", "simulated", "real")}
    return {**domains, "change": row.change.value, "gap": row.gap.value}


def _clips(tables: Sequence[ScoreTable]) -> pa.Table:
    """All clips of all metrics of one model on one dataset, in the order of metric and shard."""
    parts = []
    for table in tables:
        for path in table.paths:
            part = pq.ParquetFile(path).read()
            for name, text in (
                ("metric_hash", table.metric_hash),
                ("metric", table.metric["name"]),
            ):
                part = part.add_column(0, name, pa.array([text] * part.num_rows, pa.string()))
            parts.append(part)
    return pa.concat_tables(parts)


def _name(text: str) -> str:
    """A key that MLflow accepts."""
    return re.sub(r"[^\w\-. /:]", "_", text, flags=re.ASCII).strip("./") or "_"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep a new database's migration notes, and MLflow's own deprecations, from the user."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.tracking  # noqa: F401  # sets its loggers up, so before their levels
    loggers = [logging.getLogger(name) for name in NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
