"""Generation: the datasets of a recipe file, their plans alone, or a plan once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from pipelines import arguments, config, evaluate, make, plans, progress, stores
from pipelines.config import Datasets
from pipelines.engines import Engine
from pipelines.make import Made
from pipelines.plans import Plan
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Asked:
    """What `realear generate` was asked for."""

    recipe: str | None = None  # a recipe file or a suite
    names: tuple[str, ...] = ()  # of datasets in it; none: all
    replay: str | None = None  # a plan, to be made once more
    plan_only: bool = False


def generate(asked: Asked, workspace: Workspace, engine: Engine) -> Iterator[Made]:
    """The datasets that were asked for, made; only shown are those of which a plan is wanted.

    RealEarError where neither a recipe file nor a plan is given.
    """
    found = config.load_datasets(asked.recipe) if asked.recipe is not None else None
    if asked.replay is not None:
        yield replay(asked.replay, found, workspace, engine)
    elif found is None:
        raise RealEarError("generate: expected RECIPE.yaml, or --replay PLAN.parquet, found none")
    elif asked.plan_only:
        for decided in plan_datasets(found, workspace, only=asked.names):
            plans.summarise(decided)
    else:
        yield from evaluate.make_datasets(found, workspace, engine, only=asked.names).values()


def plan_datasets(
    found: Datasets, workspace: Workspace, *, only: Sequence[str] | None = None
) -> Iterator[Plan]:
    """Plan, and write the plans of, the datasets to be generated: all, or `only` some.

    Nothing is prepared or rendered: RealEarError where a dataset that one of them is made of is
    not there, once those before it are planned.
    """
    order = evaluate.check_datasets(found, only)
    chosen = [name for name in order if found.datasets[name].recipe is not None]
    for name in [name for name in chosen if not only or name in only]:
        wanted = found.datasets[name]
        others = {need: _standing(need, found, workspace, of=name) for need in wanted.needs}
        yield make.plan_only(name, wanted, workspace, others)


def _standing(name: str, found: Datasets, workspace: Workspace, *, of: str) -> Made:
    """A dataset that is there already."""
    folder = found.datasets[name].path or workspace.dataset(name)
    if not stores.exists(f"{folder}/{datasets.CARD}"):
        raise RealEarError(
            f"planning {of!r}: expected dataset {name!r}, which it is made of, found none in "
            f"{folder}: make it first, as in `realear generate RECIPE.yaml {name}`"
        )
    return Made(datasets.read_card(folder), folder)


def replay(path: str, found: Datasets | None, workspace: Workspace, engine: Engine) -> Made:
    """Make what a plan says once more.

    The datasets that it is made of are those of `found`, made if need be; else those of the same
    names in the workspace, or beside the plan's own dataset. RealEarError where one of them, or
    one of the clips, is not as it was.
    """
    plan = plans.read(path)
    others: dict[str, Made] = {}
    if found is not None and (defined := [n for n in plan.datasets if n in found.datasets]):
        others = evaluate.make_datasets(found, workspace, engine, only=defined)
    for name in plan.datasets:
        beside = f"{PurePath(path).parent.parent}/{name}"
        if name not in others:
            there = stores.exists(f"{beside}/{datasets.CARD}")
            missing = not stores.exists(f"{workspace.dataset(name)}/{datasets.CARD}")
            others[name] = arguments.find(beside if there and missing else name, workspace)
    if changed := plans.changed_libraries(plan):
        progress.console.print(
            f"Note: {path} was made with other libraries ({'; '.join(changed)}): samples may "
            "differ from those made then",
            soft_wrap=True,
        )
    return make.replay(plan, workspace, engine, others)
