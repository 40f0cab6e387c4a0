"""Tune: which values of a recogniser's parameters make the fewest errors on a development set.

Every point of the grid is an ordinary prediction with an ordinary score, kept under its own
fingerprint: a tuning that was stopped goes on where it was, and a wider grid asks only for the
points that are new.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import metrics
from leaderboards import clips
from metrics import Tally, intervals
from pipelines import arguments, publish, score, timings, transforms
from pipelines import predict as predicting
from pipelines.arguments import find
from pipelines.engines import Engine
from pipelines.evaluate import score_parts
from pipelines.predict import Handling
from pipelines.publish import Cell
from pipelines.records import RealEarError
from pipelines.workspace import Workspace

TASK = "recognition"
Parameters = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters of a grid, and how the model did with them."""

    parameters: Parameters
    tally: Tally

    @property
    def words(self) -> str:
        """The parameters as arguments of a command: `--set lm_weight=1.2 --set word_score=0.5`."""
        settings = (f"{name}={_word(value)}" for name, value in self.parameters.items())
        return " ".join(f"--set {shlex.quote(setting)}" for setting in settings)

    @property
    def order(self) -> tuple[int, float]:
        """Smaller is better: first no more clips failed than need be, then errors over words."""
        value = self.tally.value
        return self.tally.n_failed, float("inf") if value is None else value


def tune(
    model: str,
    dataset: str,
    ranges: Sequence[str],
    workspace: Workspace,
    engine: Engine,
    *,
    metric: str = "wer",
) -> Point:
    """Ask a recogniser about a development set at every point of a grid; print a table of pooled
    error rates and the best point, and return it.

    `ranges`: `name=value,value,…`; a name with one value is held at it. `metric`: an error rate of
    words, such as "wer:normaliser=basic" or "cer". Of equals the first wins; a point that failed on
    more clips than another never does. RealEarError before any work for a wrong word, and where
    nothing could be scored.
    """
    grid = points(ranges)
    spec = _spec(metric)
    asked = [_handling(model, parameters) for parameters in grid]
    made = find(dataset, workspace)
    cells = [Cell("", made, handling, (spec,)) for handling in asked]
    for number, cell in enumerate(cells, 1):
        _predict(cell, f"{number} of {len(cells)}", workspace, engine)
    transforms.run("Score", score_parts(cells, workspace), score.SCORING, engine)
    timings.collect(workspace)
    found = [
        Point(parameters, _tally(cell, workspace))
        for parameters, cell in zip(grid, cells, strict=True)
    ]
    best = min(found, key=lambda point: point.order)
    if best.tally.value is None:
        raise RealEarError(
            f"tune: expected clips of {made.card.name!r} with a transcript and an answer, found "
            "none: choose a dataset with transcripts"
        )
    _show(f"{model} on {made.card.name}", spec, found, best)
    return best


def points(ranges: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of `name=value,value,…`, the last name changing fastest, none twice.

    A value is JSON where it can be, else text; a list in brackets is read as JSON as a whole.
    RealEarError where a word is no range, a name comes twice, or there is nothing to choose.
    """
    named: dict[str, list[Any]] = {}
    for setting in ranges:
        name, equals, text = setting.partition("=")
        if not equals or not name or not text:
            raise RealEarError(f"--set: expected name=value,value,…, found {setting!r}")
        if name in named:
            raise RealEarError(f"--set: expected {name} once, with all its values, found it twice")
        named[name] = _values(text)
    found = [dict(zip(named, values, strict=True)) for values in itertools.product(*named.values())]
    unlike = {json.dumps(point): point for point in found}
    if len(unlike) < 2:
        raise RealEarError(
            "tune: expected a parameter with two values or more, found none: say --set name=1,2,3"
        )
    return list(unlike.values())


def _values(text: str) -> list[Any]:
    whole = _value(text)
    return whole if isinstance(whole, list) else [_value(part) for part in text.split(",")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _spec(metric: str) -> metrics.MetricSpec:
    name, parameters = arguments.metric(metric)
    spec = score.spec(name, **parameters)
    known = metrics.METRICS[name]
    if known.item != "text" or known.higher_is_better:
        raise RealEarError(f"--metric {name}: expected an error rate of words, such as wer or cer")
    return spec


def _handling(model: str, parameters: Parameters) -> Handling:
    name = model.replace(":", "-").replace(".", "-")
    return predicting.handling(name, model, TASK, parameters)


def _predict(cell: Cell, which: str, workspace: Workspace, engine: Engine) -> None:
    asked, made = cell.handling, cell.made
    parts = predicting.plan(workspace, made.card, asked, dataset=made.folder)
    transforms.run(f"Predict {asked.model}, {which}", parts, asked, engine)
    predicting.describe(workspace, made.card, asked)


def _tally(cell: Cell, workspace: Workspace) -> Tally:
    [table] = publish.score_tables(workspace, cell, timings.known(workspace))
    return clips.read(table).tally


def _show(title: str, spec: metrics.MetricSpec, found: Sequence[Point], best: Point) -> None:
    console = Console(highlight=False)
    varied = [
        name
        for name in best.parameters
        if len({_word(point.parameters[name]) for point in found}) > 1
    ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in (*varied, metrics.METRICS[spec.name].title, "95 % interval", "Failed"):
        table.add_column(escape(header), justify="right")
    for point in found:
        cells = [_word(point.parameters[name]) for name in varied] + _figures(point.tally)
        table.add_row(*map(escape, cells), style="bold green" if point is best else "")
    scored_by = ", ".join(f"{name}={value}" for name, value in spec.parameters.items())
    console.print(escape(f"{title}: {len(found)} points, {spec.name}: {scored_by}"))
    console.print(table)
    console.print(f"Best: {escape(best.words)}", soft_wrap=True)


def _figures(tally: Tally) -> list[str]:
    value, spread = tally.value, intervals.interval(tally)
    return [
        "–" if value is None else f"{value:.2%}",
        "–" if spread is None else f"{spread.low:.2%} … {spread.high:.2%}",
        str(tally.n_failed),
    ]
