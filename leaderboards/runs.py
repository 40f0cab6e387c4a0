"""Runs in an MLflow store: found, written, and their files fetched; any tracking URI.

Nothing here touches MLflow's global state, and no usage is reported.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leaderboards.run_writers import PARENT, NewRun, Writer, writer

NOISY = ("alembic", "sqlalchemy", "mlflow")
SQLITE = "sqlite:///"

Files = Mapping[str, bytes | Path]  # by the name below the run; a path is copied from


@dataclass(frozen=True)
class Found:
    """A finished run as the store tells it; `when` is its start, ISO 8601 in UTC."""

    run: str
    when: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Store:
    """An experiment in a tracking store; `client` is MLflow's."""

    client: Any
    uri: str
    experiment: str
    writer: Writer

    def found(self, key: str) -> Found | None:
        """The finished run of this key; what a crash left half done under it is removed."""
        for run in self._search(f"tags.run_key = '{key}'", most=10):
            if run.info.status == "FINISHED":
                return _found(run)
            for child in self._search(f"tags.`{PARENT}` = '{run.info.run_id}'", most=50_000):
                self.client.delete_run(child.info.run_id)
            self.client.delete_run(run.info.run_id)
        return None

    def evaluations(self, most: int) -> list[Found]:
        """The latest finished evaluations of the experiment, newest first."""
        runs = self._search("tags.kind = 'evaluation'", most=most)
        return [_found(run) for run in runs if run.info.status == "FINISHED"]

    def _search(self, text: str, *, most: int) -> list[Any]:
        order = ["attributes.start_time DESC"]
        found = self.client.search_runs(
            [self.experiment], text, max_results=min(most, 1000), order_by=order
        )
        runs = list(found)
        while found.token and len(runs) < most:
            found = self.client.search_runs(
                [self.experiment], text, max_results=1000, order_by=order, page_token=found.token
            )
            runs += found
        return runs[:most]

    def begin(self, name: str, tags: Mapping[str, str]) -> tuple[str, str]:
        """A new run: its id, and where its files lie. It counts once `finish` has written it."""
        return self.writer.start(name, tags)

    def put(self, where: str, files: Files) -> None:
        """Files of a run that was begun."""
        _put(where, files, self.uri)

    def finish(self, runs: Sequence[NewRun]) -> None:
        """Write everything else of runs that were started, children before their parents."""
        self.writer.finish(runs)

    def read(self, run: str, name: str) -> bytes:
        """One file of a run; FileNotFoundError where the run has none such."""
        with tempfile.TemporaryDirectory() as folder:
            self.fetch(run, name, Path(folder, "file"))
            return Path(folder, "file").read_bytes()

    def fetch(self, run: str, name: str, target: Path) -> None:
        """One file of a run, copied to `target`; FileNotFoundError where the run has none such."""
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            try:
                found = Path(self.client.download_artifacts(run, name, folder))
            except (MlflowException, OSError) as error:
                raise FileNotFoundError(f"run {run}: expected the file {name}, found none") from (
                    error
                )
            found.replace(target)


def open_store(uri: str, experiment: str, *, artifacts: Path | None = None) -> Store:
    """The experiment of this name, made where there is none.

    `artifacts` is the folder for the files of an experiment that is made; without it they go where
    the store keeps its own, which for an sqlite file is the folder `artifacts` beside it.
    """
    client = _client(uri)
    known = client.get_experiment_by_name(experiment)
    if known is None:
        folder = artifacts or (database(uri) and Path(database(uri)).parent / "artifacts")
        where = Path(folder).resolve().as_uri() if folder else None
        client.create_experiment(experiment, artifact_location=where)
        known = client.get_experiment_by_name(experiment)
    return Store(client, uri, known.experiment_id, writer(client, known))


def existing_store(uri: str, experiment: str | None = None) -> tuple[Store, str]:
    """The experiment of this name, or the only one with evaluations; and its name.

    ValueError where there is none, or several and no name to choose by.
    """
    if database(uri) and not Path(database(uri)).is_file():
        raise ValueError(f"expected a tracking database at {database(uri)}, found none")
    client = _client(uri)
    named = {each.name: each for each in client.search_experiments(max_results=1000)}
    if experiment is None:
        held = [
            name
            for name, each in named.items()
            if client.search_runs([each.experiment_id], "tags.kind = 'evaluation'", max_results=1)
        ]
        if len(held) != 1:
            raise ValueError(
                f"expected one experiment with evaluations in {uri}, found "
                f"{', '.join(sorted(held)) or 'none'}: name one"
            )
        experiment = held[0]
    if experiment not in named:
        listed = ", ".join(sorted(named))
        raise ValueError(f"unknown experiment {experiment!r} in {uri}: expected one of {listed}")
    known = named[experiment]
    return Store(client, uri, known.experiment_id, writer(client, known)), experiment


def database(uri: str) -> str:
    """The file of an sqlite URI, '' for any other."""
    return uri.removeprefix(SQLITE) if uri.startswith(SQLITE) else ""


def _client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    if file := database(uri):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def _put(where: str, files: Files, uri: str) -> None:
    """Copy files to the place of a run's files, whatever store that is."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.symlink_to(content.resolve())
        get_artifact_repository(where, tracking_uri=uri).log_artifacts(folder)


def _found(run: Any) -> Found:
    return Found(
        run.info.run_id,
        moment(run.info.start_time),
        dict(run.data.tags),
        dict(run.data.metrics),
    )


def moment(milliseconds: int) -> str:
    """A time since 1970 as ISO 8601 in UTC, to the millisecond."""
    when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def quiet() -> Iterator[None]:
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
