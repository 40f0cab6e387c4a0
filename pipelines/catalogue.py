"""The catalogue: everything that has a name, as `realear list` shows it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

import metrics
import models
from models.registry import model_class, names
from pipelines import stores, tasks
from pipelines.generate import RECIPES
from pipelines.records import RealEarError
from pipelines.schema import nearest
from pipelines.shards import datasets
from pipelines.workspace import Workspace

Lines = Iterator[tuple[str, str, str]]  # name, kind, what it is
Shown = Iterable[RenderableType]

OWN = "a checkpoint"  # what an architecture needs that comes without weights
LEGEND = (
    "What a model fetches comes when it is first asked, or from a folder: docs/models.md. "
    "Install what it comes with by pip install 'realear[…]'."
)


@dataclass(frozen=True)
class Listed:
    """A model as it is listed."""

    name: str
    task: str
    summary: str
    facts: tuple[str, ...]
    extra: str = ""


def listed_models() -> Iterator[Listed]:
    """Every model that has a name, ours and then those of other packages; one of theirs that cannot
    be loaded is listed with the reason.
    """
    for name, entry in models.MODELS.items():
        found = model_class(name)
        heard = found if entry.needs == OWN else models.create(name)  # that entry's checkpoint
        rate = _rate(heard.sample_rate, known=not entry.needs)
        role = "" if found.role == "model" else found.role
        licence = "licence unknown" if entry.licence == "unknown" else entry.licence
        facts = (role, rate, licence, entry.source, _needs(entry.needs))
        yield Listed(name, found.task, entry.summary, tuple(filter(None, facts)), entry.extra)
    for name in names():
        if name not in models.MODELS:
            yield _of_others(name)


def _of_others(name: str) -> Listed:
    """A model of another package, by its entry point and its own words."""
    try:
        found = model_class(name)
    except ValueError as error:
        return Listed(name, "cannot be loaded", str(error), ())
    summary = (inspect.getdoc(found) or "").partition("\n")[0]
    role = "" if found.role == "model" else found.role
    facts = (role, _rate(found.sample_rate, known=True), f"{found.__module__}:{found.__name__}")
    return Listed(name, found.task, summary, tuple(filter(None, facts)))


def _rate(rate: object, *, known: bool) -> str:
    """A class's sample rate in words; "" for one that only the checkpoint tells."""
    if rate is None and known:
        return "any rate"
    return f"{rate / 1000:g} kHz" if isinstance(rate, int) else ""


def _needs(needs: str) -> str:
    return f"needs {needs}" if needs == OWN else f"fetches {needs}" if needs else ""


def _models(_: Workspace) -> Shown:
    groups: dict[str, dict[str, list[Listed]]] = {}
    for model in listed_models():
        groups.setdefault(model.task, {}).setdefault(model.extra, []).append(model)
    for task, by_extra in groups.items():
        for extra, found in by_extra.items():
            yield Text(f"  {task}, with realear[{extra}]" if extra else f"  {task}", style="italic")
            yield from map(Model, found)
    yield Model(Listed("", "", LEGEND, ()))


@dataclass(frozen=True)
class Model:
    """A model on the terminal: its name and what it is, and below what is to be known of it."""

    listed: Listed

    def __rich_console__(self, console: Console, _: object) -> Iterator[Text]:
        """Lines of at most the console's width; names of checkpoints are never broken."""
        name = self.listed.name
        [first, *rest] = _wrapped(f"{name}  {self.listed.summary}".strip(), console.width, "    ")
        shown = _line(first)
        shown.stylize("bold", 4, 4 + len(name))
        yield shown
        yield from map(_line, rest)
        facts = [fact.replace(" ", "\xa0") for fact in self.listed.facts]  # a fact is not broken
        for line in _wrapped("\xa0· ".join(facts), console.width, " " * 8):
            yield _line(line.replace("\xa0", " "), style="dim")


def _line(text: str, style: str = "") -> Text:
    """A line that is not broken again."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _metrics(_: Workspace) -> Lines:
    for name, metric in metrics.METRICS.items():
        better = "higher" if metric.higher_is_better else "lower"
        unit = f"{metric.unit}, " if metric.unit else ""
        yield name, f"{metric.item}, {unit}{better} is better", metric.summary


def _tasks(_: Workspace) -> Lines:
    for name in tasks.TASKS:
        task = tasks.get(name)
        scored = ", ".join(task.metrics)
        yield name, task.method, f"scored by {scored}" if scored else "stored, not scored clip-wise"


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


def _table(lines: Callable[[Workspace], Lines]) -> Callable[[Workspace], Shown]:
    """What shows such lines in columns."""

    def shown(workspace: Workspace) -> Shown:
        table = Table(box=None, show_header=False)
        for name, kind, what in lines(workspace):
            table.add_row(f"  [bold]{name}[/bold]", f"[dim]{kind}[/dim]", what)
        if not table.row_count:
            table.add_row("  none yet")
        return [table]

    return shown


KINDS: dict[str, Callable[[Workspace], Shown]] = {
    "models": _models,
    "metrics": _table(_metrics),
    "tasks": _table(_tasks),
    "corpora": _table(_corpora),
    "recipes": _table(_recipes),
    "datasets": _table(_datasets),
}


def show(kind: str, workspace: Workspace) -> None:
    """Print a kind of name, or all; RealEarError for an unknown kind."""
    if kind != "all" and kind not in KINDS:
        raise RealEarError(f"list: unknown kind {kind!r}: {nearest(kind, KINDS)}")
    console = Console()
    for name in KINDS if kind == "all" else [kind]:
        console.print(Text(name.capitalize(), style="bold italic"))
        for shown in KINDS[name](workspace):
            console.print(shown, crop=False)
