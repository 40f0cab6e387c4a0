"""How runs come into an MLflow store: through its client, or straight into its tables.

A server, or another store, is asked through the client, a few requests a run. A database is written
all at once, with MLflow's own tables and in one transaction: forty times as fast, and a crash
leaves no half an evaluation. Which of the two wrote a run cannot be told from it afterwards.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

LONGEST = 500  # characters of a parameter; MLflow refuses more than 6,000
MOST = 100  # parameters, or tags, in one request; MLflow refuses more
MOST_METRICS = 800  # in one request, which may hold 1,000 things in all
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Input:
    """A dataset that a run was given: name, digest (36 characters), where it lies, what it is."""

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NewRun:
    """A run to be written, finished; `parent` is the id of the run that it stands under, or ''."""

    run: str
    name: str
    parent: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Input] = ()

    def all_tags(self) -> dict[str, str]:
        """Its tags with those that MLflow reads: name and parent."""
        above = {PARENT: self.parent} if self.parent else {}
        return {**self.tags, **above, "mlflow.runName": self.name}


class Writer(Protocol):
    """How runs come into a store: an id, then its files, and everything else at the end."""

    def start(self, name: str, tags: Mapping[str, str]) -> tuple[str, str]:
        """A new run: its id, and the URI of its files."""

    def finish(self, runs: Sequence[NewRun]) -> None:
        """Write these runs, parents last."""


def writer(client: Any, experiment: Any) -> Writer:
    """The quickest way into this store."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = client._tracking_client.store
    if type(store) is SqlAlchemyStore:
        return _Tables(store, experiment.experiment_id, experiment.artifact_location)
    return _Requests(client, experiment.experiment_id)


@dataclass(frozen=True)
class _Requests:
    """Through MLflow's client: any store, a few requests a run."""

    client: Any
    experiment: str

    def start(self, name: str, tags: Mapping[str, str]) -> tuple[str, str]:
        run = self.client.create_run(self.experiment, run_name=name, tags=dict(tags))
        return run.info.run_id, run.info.artifact_uri

    def finish(self, runs: Sequence[NewRun]) -> None:
        for run in runs:
            self._write(run)

    def _write(self, run: NewRun) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        now = _now()
        metrics = [Metric(key, value, now, 0) for key, value in _metrics(run)]
        parameters = [Param(key, value) for key, value in _parameters(run)]
        tags = [RunTag(key, value) for key, value in sorted(run.all_tags().items())]
        rounds = max(-(-len(metrics) // MOST_METRICS), -(-max(len(parameters), len(tags)) // MOST))
        for turn in range(rounds):
            some = slice(turn * MOST, (turn + 1) * MOST)
            more = slice(turn * MOST_METRICS, (turn + 1) * MOST_METRICS)
            self.client.log_batch(run.run, metrics[more], parameters[some], tags[some])
        if run.inputs:
            given = [
                DatasetInput(
                    Dataset(each.name, each.digest, "local", each.source,
                            profile=_text(each.profile)),
                    [InputTag(key, value) for key, value in sorted(each.tags.items())],
                )
                for each in run.inputs
            ]  # fmt: skip
            self.client.log_inputs(run.run, given)
        self.client.set_terminated(run.run, status="FINISHED")


@dataclass(frozen=True)
class _Tables:
    """Straight into MLflow's tables: all runs of an evaluation in one transaction."""

    store: Any
    experiment: str
    artifacts: str

    def start(self, name: str, tags: Mapping[str, str]) -> tuple[str, str]:  # noqa: ARG002
        run = uuid.uuid4().hex  # name and tags come with everything else, at the end
        return run, f"{self.artifacts.rstrip('/')}/{run}/artifacts"

    def finish(self, runs: Sequence[NewRun]) -> None:
        from mlflow.store.tracking.dbmodels import models
        from sqlalchemy import insert

        now = _now()
        rows: dict[Any, list[dict[str, Any]]] = {
            models.SqlRun: [self._run(run, now) for run in runs],
            models.SqlTag: [
                {"run_uuid": run.run, "key": key, "value": value}
                for run in runs
                for key, value in run.all_tags().items()
            ],
            models.SqlParam: [
                {"run_uuid": run.run, "key": key, "value": value}
                for run in runs
                for key, value in _parameters(run)
            ],
            models.SqlMetric: [row for run in runs for row in _metric_rows(run, now)],
        }
        rows[models.SqlLatestMetric] = rows[models.SqlMetric]
        with self.store.ManagedSessionMaker(read_only=False) as session:
            rows |= self._inputs(session, runs, models)
            for table, some in rows.items():
                if some:
                    session.execute(insert(table), some)

    def _run(self, run: NewRun, now: int) -> dict[str, Any]:
        return {
            "run_uuid": run.run,
            "name": run.name,
            "artifact_uri": f"{self.artifacts.rstrip('/')}/{run.run}/artifacts",
            "experiment_id": int(self.experiment),
            "source_type": "UNKNOWN",
            "source_name": "",
            "source_version": "",
            "entry_point_name": "",
            "user_id": "unknown",
            "status": "FINISHED",
            "start_time": now,
            "end_time": now,
            "lifecycle_stage": "active",
        }

    def _inputs(self, session: Any, runs: Sequence[NewRun], models: Any) -> dict[Any, Any]:
        """Rows of datasets, of the edges from them to runs, and of the edges' tags."""
        wanted = {(each.name, each.digest): each for run in runs for each in run.inputs}
        known = {
            (row.name, row.digest): row.dataset_uuid
            for row in session.query(models.SqlDataset).filter(
                models.SqlDataset.experiment_id == int(self.experiment)
            )
        }
        new = {name: uuid.uuid4().hex for name in wanted if name not in known}
        datasets = [
            {
                "dataset_uuid": new[name],
                "experiment_id": int(self.experiment),
                "name": wanted[name].name,
                "digest": wanted[name].digest,
                "dataset_source_type": "local",
                "dataset_source": wanted[name].source,
                "dataset_profile": _text(wanted[name].profile),
            }
            for name in new
        ]
        edges, tags = [], []
        for run, each in ((owner, each) for owner in runs for each in owner.inputs):
            edge = uuid.uuid4().hex
            edges.append(
                {
                    "input_uuid": edge,
                    "source_type": "DATASET",
                    "source_id": (known | new)[each.name, each.digest],
                    "destination_type": "RUN",
                    "destination_id": run.run,
                }
            )
            tags += [{"input_uuid": edge, "name": k, "value": v} for k, v in each.tags.items()]
        return {models.SqlDataset: datasets, models.SqlInput: edges, models.SqlInputTag: tags}


def _metric_rows(run: NewRun, now: int) -> Iterator[dict[str, Any]]:
    for key, value in _metrics(run):
        yield {
            "run_uuid": run.run, "key": key, "value": value,
            "timestamp": now, "step": 0, "is_nan": False,
        }  # fmt: skip


def _metrics(run: NewRun) -> list[tuple[str, float]]:
    return [(_name(key), float(run.metrics[key])) for key in sorted(run.metrics)]


def _parameters(run: NewRun) -> list[tuple[str, str]]:
    return [(_name(key), _shown(run.parameters[key])) for key in sorted(run.parameters)]


def _now() -> int:
    return int(time.time() * 1000)


def _name(text: str) -> str:
    """A key that MLflow accepts."""
    return re.sub(r"[^\w\-. /:]", "_", text, flags=re.ASCII).strip("./")[:250] or "_"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else _text(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
