"""Single steps from the command line: one model on one dataset, or somebody's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import models
from leaderboards import boards, terminal
from leaderboards.records import Comparison, DatasetInfo
from pipelines import explanations, judge, publish, score, submit, tasks, timings, transforms
from pipelines import predict as predicting
from pipelines.arguments import find, metric, words
from pipelines.config import ComparisonConfig, parse_name
from pipelines.engines import Engine
from pipelines.evaluate import comparison_specs, judge_all, lowest_rate, score_parts
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.publish import Cell
from pipelines.records import DOMAINS, RealEarError, ToleranceExceeded
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Scored:
    """What is to be scored, and by what."""

    dataset: str
    task: str | None = None
    metrics: tuple[str, ...] = ()  # such as wer:normaliser=basic
    tolerate: float = 0.0


def predict(
    model: str, dataset: str, settings: Sequence[str], workspace: Workspace, engine: Engine
) -> str:
    """Ask a model about a dataset; the folder of its predictions."""
    made = find(dataset, workspace)
    asked = model_by_name(model, words(settings, "--set"))
    _predict(asked, made, workspace, engine)
    return workspace.predictions(asked.chain, made.card.name)


def model_by_name(model: str, parameters: dict[str, Any]) -> Handling:
    """A checked handling of a model, for the task that it is made for."""
    try:
        task = models.create(model, **parameters).task
    except (ValueError, TypeError) as error:
        raise RealEarError(str(error)) from error
    if task == explanations.TASK:
        raise RealEarError(
            f"model {model!r}: expected one that is asked by itself, found an explainer: name it "
            "and `classifiers` in a suite's comparison of the task explanation"
        )
    name = model.replace(":", "-").replace(".", "-")
    return predicting.handling(name, model, task, parameters)


def _predict(asked: Handling, made: Made, workspace: Workspace, engine: Engine) -> None:
    parts = predicting.plan(workspace, made.card, asked, dataset=made.folder)
    transforms.run(f"Predict {asked.model}", parts, asked, engine)
    predicting.describe(workspace, made.card, asked)
    timings.collect(workspace)


def score_model(
    asked: Scored, model: str, settings: Sequence[str], workspace: Workspace, engine: Engine
) -> None:
    """Score a model's predictions, asking it first for those that are missing."""
    made = find(asked.dataset, workspace)
    handling = model_by_name(model, words(settings, "--set"))
    if asked.task not in (None, handling.task):
        raise RealEarError(f"--task {asked.task}: model {model!r} is one for {handling.task}")
    cell = _cell(asked, made, handling)
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
    cell = _cell(asked, made, handling)
    parts = submit.plan(workspace, made.card, made.folder, given, handling)
    transforms.run(f"Store {handling.model}", parts, submit.store_shard, engine)
    _score(asked, cell, workspace, engine)


def _cell(asked: Scored, made: Made, handling: Handling) -> Cell:
    """The metrics asked for, or the task's own, with all parameters: checked before any work."""
    wanted: dict[str, Any] = dict(metric(text) for text in asked.metrics)
    config = ComparisonConfig(task=handling.task, models=[handling.model], metrics=wanted)
    models = [] if handling.origin == "submitted" else [handling]
    specs = comparison_specs(config, [made], models)
    return Cell("", made, handling, specs, judge.truths(specs, lowest_rate([made], models)))


def _score(asked: Scored, cell: Cell, workspace: Workspace, engine: Engine) -> None:
    """Score one model × dataset by each metric and show a board of that one row."""
    judge_all([cell], workspace, engine)
    timings.collect(workspace)
    transforms.run("Score", score_parts([cell], workspace), score.SCORING, engine)
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
            blind=publish.blind(spec, cell.truths),
        )
        for spec in cell.specs
    ]
    board = boards.build(
        comparisons,
        list(publish.score_tables(workspace, cell, timings.known(workspace))),
        [DatasetInfo(card.name, card.domain, card.clips, card.seconds, card.refused)],
        title=card.name,
        tolerated_failures=asked.tolerate,
    )
    terminal.show(board)
    result = publish.Outcome(board, (), (cell,))
    if over := result.over_tolerance():
        raise ToleranceExceeded("more clips failed than tolerated: " + "; ".join(over))
