"""Single steps from the command line: one model on one dataset, or somebody's predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import metrics
import models
from leaderboards import boards, terminal
from leaderboards.records import Comparison, DatasetInfo
from pipelines import predict as predicting
from pipelines import publish, reports, score, stores, submit, tasks, timings, transforms
from pipelines import verify as verifying
from pipelines.config import ComparisonConfig, parse_name
from pipelines.engines import Engine
from pipelines.evaluate import comparison_specs, score_parts
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.publish import Cell
from pipelines.records import DOMAINS, RealEarError, ToleranceExceeded
from pipelines.schema import nearest
from pipelines.shards import datasets
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Scored:
    """What is to be scored, and by what."""

    dataset: str
    task: str | None = None
    metrics: tuple[str, ...] = ()  # such as wer:normaliser=basic
    tolerate: float = 0.0


def find(dataset: str, workspace: Workspace) -> Made:
    """A prepared dataset by its folder, or by its name in the workspace."""
    for folder in (dataset.rstrip("/"), workspace.dataset(dataset)):
        if stores.exists(f"{folder}/{datasets.CARD}"):
            return Made(datasets.read_card(folder), folder)
    listed = stores.listing(f"{workspace.root}/datasets", f"*/{datasets.CARD}")
    known = [path.split("/")[-2] for path in listed]
    raise RealEarError(
        f"expected a prepared dataset (a folder with {datasets.CARD}, or a name in "
        f"{workspace.root}/datasets), found none called {dataset!r}: {nearest(dataset, known)}"
    )


def corpus(
    folder: str, reader: str, settings: Sequence[str], given: Mapping[str, Any]
) -> dict[str, Any]:
    """A reader and its options; those that the command has words of its own for are of `files`."""
    named = {name: value for name, value in given.items() if value}
    if reader == "files" and Path(folder).is_file():
        reader = "manifest"
    where = {"file": folder} if reader == "manifest" else {"folder": folder}
    return {"reader": reader, **where, **named, **words(settings, "--set")}


def verify(dataset: str, against: str | None, workspace: Workspace, engine: Engine) -> None:
    """Look at every byte of a dataset, say what was found; RealEarError if anything is wrong."""
    made = find(dataset, workspace)
    other = find(against, workspace) if against else None
    found = verifying.verify(made, workspace, engine)
    reports.verified(made.card, found)
    if other is not None:
        reports.shared(made.card, other.card, verifying.shared(made, other))
    if found.problems:
        raise RealEarError(
            f"dataset {made.card.name!r}: {len(found.problems)} problems in {made.folder}: remove "
            "the sidecars (.json) of the shards named above and make the dataset again"
        )


def words(settings: Sequence[str], what: str) -> dict[str, Any]:
    """`name=value` words as a mapping; values are JSON where they can be, else text."""
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise RealEarError(f"{what}: expected name=value, found {setting!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def predict(
    model: str, dataset: str, settings: Sequence[str], workspace: Workspace, engine: Engine
) -> str:
    """Ask a model about a dataset; the folder of its predictions."""
    made = find(dataset, workspace)
    asked = _handling(model, words(settings, "--set"))
    _predict(asked, made, workspace, engine)
    return workspace.predictions(asked.chain, made.card.name)


def _handling(model: str, parameters: dict[str, Any]) -> Handling:
    try:
        task = models.create(model, **parameters).task
    except (ValueError, TypeError) as error:
        raise RealEarError(str(error)) from error
    name = model.replace(":", "-").replace(".", "-")
    return predicting.handling(name, model, task, parameters)


def _predict(asked: Handling, made: Made, workspace: Workspace, engine: Engine) -> None:
    parts = predicting.plan(workspace, made.card, asked, dataset=made.folder)
    transforms.run(f"Predict {asked.model}", parts, asked, engine)
    predicting.describe(workspace, made.card, asked)
    timings.collect(workspace)


def score_model(asked: Scored, model: str, workspace: Workspace, engine: Engine) -> None:
    """Score a model's predictions, asking it first for those that are missing."""
    made = find(asked.dataset, workspace)
    handling = _handling(model, {})
    if asked.task not in (None, handling.task):
        raise RealEarError(f"--task {asked.task}: model {model!r} is one for {handling.task}")
    cell = Cell("", made, handling, _specs(asked, made, handling))
    _predict(handling, made, workspace, engine)
    _score(asked, cell, workspace, engine)


def score_submission(
    asked: Scored, path: str, name: str | None, workspace: Workspace, engine: Engine
) -> None:
    """Score predictions that somebody else made."""
    made = find(asked.dataset, workspace)
    if asked.task is not None:
        tasks.get(asked.task)
    given = submit.read(path, asked.task)
    handling = submit.handling(parse_name(name or "submitted"), given)
    cell = Cell("", made, handling, _specs(asked, made, handling))
    parts = submit.plan(workspace, made.card, made.folder, given, handling)
    transforms.run(f"Store {handling.model}", parts, submit.store_shard, engine)
    _score(asked, cell, workspace, engine)


def _specs(asked: Scored, made: Made, handling: Handling) -> tuple[metrics.MetricSpec, ...]:
    """The metrics asked for, or the task's own, with all parameters: checked before any work."""
    wanted: dict[str, Any] = {}
    for metric in asked.metrics:
        name, *settings = metric.split(":")
        wanted[name] = words(settings, "--metric")
    config = ComparisonConfig(task=handling.task, models=[handling.model], metrics=wanted)
    return comparison_specs(config, [made], [] if handling.origin == "submitted" else [handling])


def _score(asked: Scored, cell: Cell, workspace: Workspace, engine: Engine) -> None:
    """Score one model × dataset by each metric and show a board of that one row."""
    transforms.run("Score", score_parts([cell], workspace), score.score_shard, engine)
    _show(asked, cell, workspace)


def _show(asked: Scored, cell: Cell, workspace: Workspace) -> None:
    card = cell.made.card
    column = {domain: (card.name,) if domain == card.domain else () for domain in DOMAINS}
    comparisons = [
        Comparison(
            name=spec.name,
            task=cell.handling.task,
            title=f"{cell.handling.task.capitalize()} on {card.name}",
            metric=spec.name,
            metric_hash=spec.hash,
            synthetic=column["synthetic"],
            simulated=column["simulated"],
            real=column["real"],
        )
        for spec in cell.specs
    ]
    board = boards.build(
        comparisons,
        list(publish.score_tables(workspace, cell)),
        [DatasetInfo(card.name, card.domain, card.clips, card.seconds, card.refused)],
        title=card.name,
        tolerated_failures=asked.tolerate,
    )
    terminal.show(board)
    result = publish.Outcome(board, (), (cell,))
    if over := result.over_tolerance():
        raise ToleranceExceeded("more clips failed than tolerated: " + "; ".join(over))
