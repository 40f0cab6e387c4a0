"""Evaluate: a suite end to end. Datasets, predictions, scores, board; what exists is not redone."""

from __future__ import annotations

from dataclasses import dataclass, field

import metrics
from leaderboards.records import Board
from pipelines import make, predict, publish, score, timings, transforms
from pipelines.config import ComparisonConfig, Suite, making_order
from pipelines.engines import Engine
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Cell:
    """One model × dataset of a comparison, with the metrics asked for."""

    comparison: str
    made: Made
    handling: Handling
    specs: tuple[metrics.MetricSpec, ...] = field(default=())


def evaluate(suite: Suite, workspace: Workspace, engine: Engine) -> Board:
    """Bring a suite's board up to date; every step skips what is there, made from the same."""
    handlings = check_models(suite)
    made = make_datasets(suite, workspace, engine)
    cells = plan_cells(suite, made, handlings)
    predict_all(cells, workspace, engine)
    score_all(cells, workspace, engine)
    timings.collect(workspace)
    return publish.board(suite, workspace, made, cells)


def check_models(suite: Suite) -> dict[tuple[str, str], Handling]:
    """(comparison, model) to a checked handling; metrics are checked, too: all before any work."""
    found = {}
    for name, comparison in suite.comparisons.items():
        for metric, parameters in comparison.wanted().items():
            score.spec(metric, **parameters)
        for model in comparison.models:
            config = suite.model(model)
            found[name, model] = predict.handling(
                model, config.model, comparison.task, config.parameters
            )
    return found


def make_datasets(suite: Suite, workspace: Workspace, engine: Engine) -> dict[str, Made]:
    """Every dataset of the suite, each after those that it is made of."""
    made: dict[str, Made] = {}
    for name in making_order(suite):
        made[name] = make.make(name, suite.datasets[name], workspace, engine, made)
    return made


def plan_cells(
    suite: Suite, made: dict[str, Made], handlings: dict[tuple[str, str], Handling]
) -> list[Cell]:
    """Every model × dataset of every comparison, in the suite's order."""
    cells = []
    for name, comparison in suite.comparisons.items():
        asked = [handlings[name, model] for model in comparison.models]
        listed = [made[dataset] for _, dataset in comparison.datasets()]
        specs = comparison_specs(comparison, listed, asked)
        cells += [Cell(name, item, model, specs) for model in asked for item in listed]
    return cells


def comparison_specs(
    comparison: ComparisonConfig, made: list[Made], asked: list[Handling]
) -> tuple[metrics.MetricSpec, ...]:
    """The metrics with all parameters; signals at one rate, the lowest, never brought up."""
    rates = [item.card.sample_rate for item in made if item.card.sample_rate]
    rates += [rate for model in asked if (rate := model.create().sample_rate)]
    specs = []
    for name, parameters in comparison.wanted().items():
        if metrics.METRICS[name].item == "signal" and "sample_rate" not in parameters:
            parameters = {**parameters, "sample_rate": comparison.sample_rate or min(rates)}
        specs.append(score.spec(name, **parameters))
    return tuple(specs)


def predict_all(cells: list[Cell], workspace: Workspace, engine: Engine) -> None:
    """Ask every model about its datasets: one pipeline a model, so one model in memory at a time."""
    by_chain: dict[str, list[Cell]] = {}
    for cell in cells:
        by_chain.setdefault(cell.handling.chain, []).append(cell)
    for same in by_chain.values():
        unique = {cell.made.card.name: cell for cell in same}.values()
        parts = [
            part
            for cell in unique
            for part in predict.plan(
                workspace, cell.made.card, cell.handling, dataset=cell.made.folder
            )
        ]
        asked = same[0].handling
        transforms.run(f"Predict {asked.model}", parts, asked, engine)
        for cell in unique:
            predict.describe(workspace, cell.made.card, asked)


def score_all(cells: list[Cell], workspace: Workspace, engine: Engine) -> None:
    """Score all predictions with all metrics in one pipeline."""
    parts = [
        part
        for cell in cells
        for spec in cell.specs
        for part in score.plan(
            workspace,
            cell.made.card,
            cell.handling.chain,
            cell.handling.task,
            spec,
            dataset=cell.made.folder,
        )
    ]
    unique = {part.id: part for part in parts}
    transforms.run("Score", list(unique.values()), score.score_shard, engine)
