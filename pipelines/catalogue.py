"""The catalogue: everything that has a name, as `realear list` shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

import metrics
import models
from models.registry import model_class
from pipelines import stores, tasks
from pipelines.generate import RECIPES
from pipelines.records import RealEarError
from pipelines.schema import nearest
from pipelines.shards import datasets
from pipelines.workspace import Workspace

Lines = Iterator[tuple[str, str, str]]  # name, kind, what it is


def _models(_: Workspace) -> Lines:
    for name, entry in models.MODELS.items():
        found = model_class(name)
        yield name, f"{found.task}, {found.role}", entry.summary


def _metrics(_: Workspace) -> Lines:
    for name, metric in metrics.METRICS.items():
        better = "higher" if metric.higher_is_better else "lower"
        unit = f"{metric.unit}, " if metric.unit else ""
        yield name, f"{metric.item}, {unit}{better} is better", metric.summary


def _tasks(_: Workspace) -> Lines:
    for name in tasks.TASKS:
        task = tasks.get(name)
        yield name, task.method, "scored by " + ", ".join(task.metrics)


def _corpora(_: Workspace) -> Lines:
    from pipelines.corpora.__main__ import readers, summary_of

    for name, reader in readers().items():
        yield name, reader.licence.replace("unknown", ""), summary_of(reader)


def _recipes(_: Workspace) -> Lines:
    for name, summary in RECIPES.items():
        yield name, "recipe", summary


def _datasets(workspace: Workspace) -> Lines:
    for path in stores.listing(f"{workspace.root}/datasets", f"*/{datasets.CARD}"):
        card = datasets.read_card(path.rpartition("/")[0])
        size = f"{card.clips} clips, {card.seconds:.0f} s, {len(card.shards)} shards"
        yield card.name, card.domain, size


KINDS: dict[str, Callable[[Workspace], Lines]] = {
    "models": _models,
    "metrics": _metrics,
    "tasks": _tasks,
    "corpora": _corpora,
    "recipes": _recipes,
    "datasets": _datasets,
}


def show(kind: str, workspace: Workspace) -> None:
    """Print a kind of name, or all; RealEarError for an unknown kind."""
    if kind != "all" and kind not in KINDS:
        raise RealEarError(f"list: unknown kind {kind!r}: {nearest(kind, KINDS)}")
    console = Console()
    for name in KINDS if kind == "all" else [kind]:
        table = Table(title=name.capitalize(), title_justify="left", box=None, show_header=False)
        for line in KINDS[name](workspace):
            table.add_row(f"  [bold]{line[0]}[/bold]", f"[dim]{line[1]}[/dim]", line[2])
        if not table.row_count:
            table.add_row("  none yet")
        console.print(table)
