"""Evaluate: a suite end to end. Datasets, predictions, scores, board; what exists is not redone."""

from __future__ import annotations

from collections.abc import Sequence

import metrics
from pipelines import (
    explanations,
    judge,
    make,
    predict,
    publish,
    retrieval,
    running,
    score,
    summaries,
    timings,
    zeroshot,
)
from pipelines.config import ComparisonConfig, Datasets, Suite, making_order
from pipelines.engines import Engine
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.publish import Cell, Outcome
from pipelines.records import Part, RealEarError, Step
from pipelines.shards import datasets, sidecars
from pipelines.workspace import Workspace


def evaluate(suite: Suite, workspace: Workspace, engine: Engine) -> Outcome:
    """Bring a suite's board up to date; every step skips what is there, made from the same."""
    handlings = check_models(suite)
    made = make_datasets(suite, workspace, engine)
    cells = plan_cells(suite, made, handlings)
    predict_all(cells, workspace, engine)
    zeroshot.answer_all(cells, workspace, engine)
    retrieval.answer_all(cells, workspace, engine)
    judge_all(cells, workspace, engine)
    score_all(cells, workspace, engine)
    summarise_all(suite, cells, workspace, engine)
    timings.collect(workspace)
    return publish.outcome(suite, workspace, made, cells)


def check_models(suite: Suite) -> dict[tuple[str, str], Handling]:
    """(comparison, row) to a checked handling; metrics are checked, too: all before any work.

    A row is called as its model, but for what is derived from a model's answers.
    """
    found: dict[tuple[str, str], Handling] = {}
    for name, comparison in suite.comparisons.items():
        for metric, parameters in comparison.wanted().items():
            judge.spec(metric, comparison.task, **parameters)
        for model in comparison.models:
            asked = _handlings(model, suite, comparison)
            found |= {(name, each.model): each for each in asked}
        _check_rates(comparison, [each for (of, _), each in found.items() if of == name])
    return found


def _check_rates(comparison: ComparisonConfig, asked: list[Handling]) -> None:
    """RealEarError for an estimator that hears a higher rate than a model answers at."""
    wanted = comparison.wanted().items()
    specs = [judge.spec(name, comparison.task, **given) for name, given in wanted]
    judge.truths(specs, lowest_rate([], asked))


def _handlings(model: str, suite: Suite, comparison: ComparisonConfig) -> list[Handling]:
    """The rows of one model in a comparison."""
    config = suite.model(model)
    if comparison.task == explanations.TASK:
        return explanations.handlings(model, suite, comparison)
    if comparison.task == zeroshot.TASK:
        return zeroshot.handlings(model, config, comparison)
    if comparison.task == retrieval.TASK:
        return [retrieval.handling(model, config)]
    return [predict.handling(model, config.model, comparison.task, config.parameters)]


def check_datasets(suite: Datasets, only: Sequence[str] | None = None) -> list[str]:
    """The order in which datasets are made, each of them checked: all before any work."""
    order = making_order(suite, only)
    for name in order:
        make.check(name, suite.datasets[name])
    return order


def existing(suite: Suite, workspace: Workspace) -> Outcome:
    """The board from what lies in the workspace; RealEarError if any of it is missing or stale."""
    handlings = check_models(suite)
    made = {}
    for name, config in suite.datasets.items():
        folder = config.path or workspace.dataset(name)
        made[name] = Made(datasets.read_card(folder), folder)
    cells = plan_cells(suite, made, handlings)
    for part in score_parts(cells, workspace):
        if not sidecars.is_current(part):
            raise RealEarError(
                f"expected scores at {part.id}, found none or stale ones: "
                "run `realear evaluate` with this suite first"
            )
    return publish.outcome(suite, workspace, made, cells)


def make_datasets(
    suite: Datasets, workspace: Workspace, engine: Engine, *, only: Sequence[str] | None = None
) -> dict[str, Made]:
    """The suite's datasets, each after those that it is made of; `only` some and what they need."""
    made: dict[str, Made] = {}
    for name in check_datasets(suite, only):
        made[name] = make.make(name, suite.datasets[name], workspace, engine, made)
    return made


def plan_cells(
    suite: Suite, made: dict[str, Made], handlings: dict[tuple[str, str], Handling]
) -> list[Cell]:
    """Every model × dataset of every comparison, in the suite's order."""
    cells = []
    for name, comparison in suite.comparisons.items():
        asked = [asked for (of, _), asked in handlings.items() if of == name]
        listed = [made[dataset] for _, dataset in comparison.datasets()]
        specs = comparison_specs(comparison, listed, asked)
        truths = judge.truths(specs, lowest_rate(listed, asked))
        cells += [Cell(name, item, model, specs, truths) for model in asked for item in listed]
    return cells


def comparison_specs(
    comparison: ComparisonConfig, made: list[Made], asked: list[Handling]
) -> tuple[metrics.MetricSpec, ...]:
    """The metrics with all parameters; signals at one rate, the lowest, never brought up."""
    rate = comparison.sample_rate or lowest_rate(made, asked) or None
    specs = []
    for name, parameters in comparison.wanted().items():
        judge.spec(name, comparison.task, **parameters)
        if metrics.METRICS[name].item == "signal" and "sample_rate" not in parameters:
            parameters = {**parameters, "sample_rate": rate}
        specs.append(judge.spec(name, comparison.task, **parameters))
    return tuple(specs)


def lowest_rate(made: list[Made], asked: list[Handling]) -> int:
    """Hz that the signals of all datasets and models can be brought down to; 0 without any."""
    rates = [item.card.sample_rate for item in made]
    rates += [model.create().sample_rate or 0 for model in asked]
    return min((rate for rate in rates if rate), default=0)


def predict_all(cells: list[Cell], workspace: Workspace, engine: Engine) -> None:
    """Ask every model about its datasets."""
    by_chain: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        by_chain.setdefault(cell.handling.source.chain, {})[cell.made.card.name] = cell
    asked = [(next(iter(of.values())).handling.source, of.values()) for of in by_chain.values()]
    steps = []
    for model, of in asked:
        made = [cell.made for cell in of]
        planned = [predict.plan(workspace, m.card, model, dataset=m.folder) for m in made]
        steps.append(Step(f"Predict {model.model}", [p for parts in planned for p in parts], model))
    running.run_all("Predict", steps, engine)
    for model, of in asked:
        for cell in of:
            predict.describe(workspace, cell.made.card, model)


def judge_all(cells: list[Cell], workspace: Workspace, engine: Engine) -> None:
    """Ask the estimators of blind metrics about the answers."""
    by_judge: dict[str, tuple[metrics.MetricSpec, dict[str, Cell]]] = {}
    for cell in cells:
        for spec in filter(judge.is_blind, cell.specs):
            _, of = by_judge.setdefault(judge.called(spec), (spec, {}))
            of[f"{cell.handling.chain}/{cell.made.card.name}"] = cell
    asked = [(judge.estimator(spec), list(of.values())) for spec, of in by_judge.values()]
    steps = []
    for model, judged in asked:
        planned = [
            judge.plan(workspace, cell.made.card, cell.handling, model, dataset=cell.made.folder)
            for cell in judged
        ]
        parts = [part for parts in planned for part in parts]
        steps.append(Step(f"Judge by {model.model}", parts, model))
    running.run_all("Judge", steps, engine)
    for model, judged in asked:
        for cell in judged:
            judge.describe(workspace, cell.made.card, cell.handling, model)


def score_all(cells: list[Cell], workspace: Workspace, engine: Engine) -> None:
    """Score all predictions with all metrics in one pipeline."""
    running.run("Score", score_parts(cells, workspace), score.SCORING, engine)


def summarise_all(suite: Suite, cells: list[Cell], workspace: Workspace, engine: Engine) -> None:
    """Sum up zero-shot classifiers' answers and explanations, dataset by dataset."""
    asked = [cell for cell in cells if suite.comparisons[cell.comparison].task in summaries.SUMMED]
    parts = [summaries.plan(workspace, cell) for cell in asked]
    running.lightly("Summarise", parts, summaries.sum_up, engine)


def score_parts(cells: list[Cell], workspace: Workspace) -> list[Part]:
    """Every shard × model × metric, once, however many comparisons ask for it."""
    parts: dict[str, Part] = {}
    for cell in cells:
        asked = cell.handling
        for spec in cell.scored.values():
            chain = judge.chain(asked.chain, spec)
            planned = score.plan(
                workspace, cell.made.card, chain, asked.task, spec, dataset=cell.made.folder
            )
            parts |= {part.id: part for part in planned}
    return list(parts.values())
