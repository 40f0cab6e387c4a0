"""Publish: score tables and a few clips out of the workspace, into the hands of `leaderboards`."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import metrics
from leaderboards import boards
from leaderboards.records import Blind, Board, Comparison, DatasetInfo, ScoreTable
from pipelines import judge, stores, summaries, tasks, timings
from pipelines.config import Suite
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.shards.datasets import INDEX
from pipelines.timings import Timing
from pipelines.workspace import Workspace

if TYPE_CHECKING:  # drawing a page takes charts and pictures, which showing a board does not
    from leaderboards.details import Origin

LIBRARIES = ("realear", "apache-beam", "numpy", "scipy", "soundfile", "soxr", "torch")


@dataclass(frozen=True)
class Cell:
    """One model × dataset of a comparison, with the metrics that it was scored by."""

    comparison: str
    made: Made
    handling: Handling
    specs: tuple[metrics.MetricSpec, ...]
    truths: Mapping[str, metrics.MetricSpec] = field(default_factory=dict)  # by blind metric's hash

    @property
    def scored(self) -> dict[str, metrics.MetricSpec]:
        """All that it is scored by, each once, by hash."""
        return {spec.hash: spec for spec in (*self.specs, *self.truths.values())}


@dataclass(frozen=True)
class Outcome:
    """A board, and what it was built from."""

    board: Board
    tables: tuple[ScoreTable, ...]
    cells: tuple[Cell, ...]

    def over_tolerance(self) -> list[str]:
        """A line for every model × dataset that failed on more clips than tolerated."""
        lines = []
        for section in self.board.sections:
            for row in section.rows:
                for cell in (*row.synthetic.datasets, *row.simulated.datasets, *row.real.datasets):
                    failed, total = cell.counts.n_failed, cell.counts.total
                    if failed > self.board.tolerated_failures * total:
                        lines.append(f"{row.model} failed on {failed} of {total} in {cell.dataset}")
        return list(dict.fromkeys(lines))


def outcome(
    suite: Suite, workspace: Workspace, made: Mapping[str, Made], cells: Sequence[Cell]
) -> Outcome:
    """The suite's board from the score tables that lie in the workspace."""
    known = timings.known(workspace)
    listed = (table for cell in cells for table in score_tables(workspace, cell, known))
    tables = {table.paths: table for table in listed}
    used = {cell.made.card.name for cell in cells}
    board = boards.build(
        list(_comparisons(suite, cells)),
        list(tables.values()),
        [_info(name, item) for name, item in made.items() if name in used],
        title=suite.title or suite.name,
        tolerated_failures=suite.tolerate,
        suite_digest=suite.digest,
        versions=versions(),
    )
    asked = {name: config.task for name, config in suite.comparisons.items()}
    board = summaries.attach(board, cells, asked, workspace)
    return Outcome(board, tuple(tables.values()), tuple(cells))


def score_tables(
    workspace: Workspace, cell: Cell, known: Mapping[tuple[str, str], Timing]
) -> Iterator[ScoreTable]:
    """A score table for every metric of a cell; `known`: timings by chain and dataset."""
    card, asked = cell.made.card, cell.handling
    timing = known.get((asked.source.chain, card.name), Timing())
    for spec in cell.scored.values():
        chain = judge.chain(asked.chain, spec)
        folder = workspace.scores(chain, card.name, f"{spec.name}-{spec.hash}")
        yield ScoreTable(
            model=asked.model,
            fingerprint=asked.fingerprint,
            role=asked.role,
            dataset=card.name,
            domain=card.domain,
            metric=spec.record(),
            metric_hash=spec.hash,
            paths=tuple(stores.kept(f"{folder}/{shard.stem}.parquet") for shard in card.shards),
            rtfx=timing.rtfx,
            load_seconds=timing.load_seconds,
            parameters=timing.parameters,
            hardware=timing.hardware,
        )


def _comparisons(suite: Suite, cells: Sequence[Cell]) -> Iterator[Comparison]:
    """One comparison of the board for every comparison and metric of the suite."""
    for name, config in suite.comparisons.items():
        own = [cell for cell in cells if cell.comparison == name]
        specs, truths = own[0].specs, own[0].truths
        compared = tuple(dict.fromkeys(cell.handling.fingerprint for cell in own))
        title = config.title or name.replace("-", " ").capitalize()
        for spec in specs:
            yield Comparison(
                name=name if spec is specs[0] else f"{name}-{spec.name}",
                task=config.task,
                title=title if spec is specs[0] else f"{title}: {spec.metric.title}",
                metric=spec.name,
                synthetic=tuple(config.synthetic),
                simulated=tuple(config.simulated),
                real=tuple(config.real),
                metric_hash=spec.hash,
                slices=tuple(rule.rule() for rule in config.slices),
                clips=tuple(rule.rule() for rule in config.include.clips),
                min_scored=config.include.min_scored,
                tie_level=None if config.ties == "none" else config.ties,
                blind=blind(spec, truths),
                models=compared,
            )


def blind(spec: metrics.MetricSpec, truths: Mapping[str, metrics.MetricSpec]) -> Blind | None:
    """What a board is to know of a blind metric's estimator and truth; None for any other."""
    if not judge.is_blind(spec):
        return None
    truth, card = truths[spec.hash], judge.estimator(spec).create().calibration
    return Blind(str(spec.parameters["estimator"]), truth.name, truth.hash, _finite(card))


def _finite(value: Any) -> Any:
    """JSON values without NaN and infinity, which JSON has not: None in their place."""
    if isinstance(value, Mapping):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _info(name: str, made: Made) -> DatasetInfo:
    card = made.card
    return DatasetInfo(
        name,
        card.domain,
        card.clips,
        card.seconds,
        card.refused,
        index=stores.kept(f"{made.folder}/{INDEX}"),
        content=card.content,
        redistribute=card.redistribute,
    )


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    found = {"Python": platform.python_version()}
    for name in LIBRARIES:
        found[name] = importlib.metadata.version(name)
    return found


def write_site(result: Outcome, workspace: Workspace, suite: Suite, *, with_audio: bool) -> str:
    """Write the board's folder: page, data, sounds, CSV and JSON; the path of its `index.html`.

    Sounds only where their card or the user allows.
    """
    target = f"{workspace.site}/{suite.name}"
    if not stores.is_url(target):
        return str(_write_site(result, workspace, Path(target), with_audio=with_audio))
    with tempfile.TemporaryDirectory(prefix="realear-site-") as folder:
        page = _write_site(result, workspace, Path(folder), with_audio=with_audio)
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path != page:
                stores.publish(str(path), f"{target}/{path.relative_to(folder).as_posix()}")
        stores.publish(str(page), f"{target}/{page.name}")
    return f"{target}/{page.name}"


def _write_site(result: Outcome, workspace: Workspace, folder: Path, *, with_audio: bool) -> Path:
    from leaderboards import details, site
    from pipelines import fetching, media

    found = details.read(result.board, result.tables)
    heard = media.collect(found, result.cells, workspace, folder, with_audio=with_audio)
    origins = [_origin(cell) for cell in result.cells]
    return site.write(
        result.board,
        folder,
        details=found,
        media=heard,
        origins=origins,
        cache=fetching.cache(),
    )


def _origin(cell: Cell) -> Origin:
    """The commands that make a cell's values again in the workspace, and what tells them apart."""
    from leaderboards.details import Origin

    card, asked = cell.made.card, cell.handling
    settings = [part for each in _settings(asked.parameters) for part in ("--set", each)]
    measured = [
        part
        for spec in cell.specs
        for part in ("--metric", ":".join((spec.name, *_settings(spec.parameters))))
    ]
    predicted = ["realear", "predict", asked.origin, card.name, *settings]
    scored = ["realear", "score", "--dataset", card.name, "--model", asked.origin, *settings]
    facts = (
        ("Model", asked.origin),
        ("Predictions", asked.chain),
        ("Dataset content", card.content),
        ("Task", f"{asked.task}, version {tasks.get(asked.task).version}"),
        *(("Judged by", judge.called(spec)) for spec in cell.specs if judge.is_blind(spec)),
    )
    commands = (shlex.join(predicted), shlex.join([*scored, *measured]))
    if asked.source is not asked:  # what is made of a model's answers is made by a suite alone
        commands = (shlex.join(predicted), "realear evaluate SUITE.yaml")
    return Origin(asked.fingerprint, card.name, commands, facts)


def _settings(parameters: Mapping[str, Any]) -> list[str]:
    """Parameters as `name=value` words, as the command line reads them."""
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"
        for name, value in parameters.items()
    ]
