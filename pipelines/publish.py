"""Publish: score tables and a few clips out of the workspace, into the hands of `leaderboards`."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

import metrics
from leaderboards import boards, export, page, tracking
from leaderboards.examples import Example
from leaderboards.records import Board, Comparison, DatasetInfo, ScoreTable
from metrics.text import NORMALISERS
from pipelines import stores, tasks, timings
from pipelines.config import Suite
from pipelines.make import Made
from pipelines.predict import Handling
from pipelines.records import Failure
from pipelines.score import Answers
from pipelines.shards.datasets import INDEX, RandomReader, read_table
from pipelines.workspace import Workspace

LIBRARIES = ("realear", "apache-beam", "numpy", "scipy", "soundfile", "soxr", "torch")


@dataclass(frozen=True)
class Cell:
    """One model × dataset of a comparison, with the metrics that it was scored by."""

    comparison: str
    made: Made
    handling: Handling
    specs: tuple[metrics.MetricSpec, ...]


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
    tables = {table.paths: table for cell in cells for table in score_tables(workspace, cell)}
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
    return Outcome(board, tuple(tables.values()), tuple(cells))


def score_tables(workspace: Workspace, cell: Cell) -> Iterator[ScoreTable]:
    """A score table for every metric of a cell."""
    card, asked = cell.made.card, cell.handling
    timing = timings.of(workspace, asked.chain, card.name)
    for spec in cell.specs:
        folder = workspace.scores(asked.chain, card.name, f"{spec.name}-{spec.hash}")
        yield ScoreTable(
            model=asked.model,
            fingerprint=asked.fingerprint,
            role=asked.role,
            dataset=card.name,
            domain=card.domain,
            metric=spec.record(),
            metric_hash=spec.hash,
            paths=tuple(f"{folder}/{shard.stem}.parquet" for shard in card.shards),
            rtfx=timing.rtfx,
            parameters=timing.parameters,
            hardware=timing.hardware,
        )


def _comparisons(suite: Suite, cells: Sequence[Cell]) -> Iterator[Comparison]:
    """One comparison of the board for every comparison and metric of the suite."""
    for name, config in suite.comparisons.items():
        specs = next(cell.specs for cell in cells if cell.comparison == name)
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
            )


def _info(name: str, made: Made) -> DatasetInfo:
    card = made.card
    return DatasetInfo(
        name,
        card.domain,
        card.clips,
        card.seconds,
        card.refused,
        index=f"{made.folder}/{INDEX}",
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
    """Write page, CSV and JSON; the page's path. Audio only where its card or the user allows."""
    shown = list(examples(result, workspace, with_audio=with_audio))
    base = f"{workspace.site}/{suite.name}"
    html = page.build_page(result.board, examples=shown)
    stores.write_bytes(f"{base}.csv", export.to_csv(result.board).encode())
    stores.write_bytes(f"{base}.json", export.to_json(result.board).encode())
    stores.write_bytes(f"{base}.html", html.encode())
    return f"{base}.html"


def track(result: Outcome, workspace: Workspace, html: str | None = None) -> tracking.Logged:
    """Log the evaluation to MLflow, in the launching process; what is there is left as it is."""
    models = {cell.handling.fingerprint: cell.handling.record() for cell in result.cells}
    return tracking.log_evaluation(
        result.board,
        result.tables,
        database=Path(workspace.database).absolute(),
        artifacts=Path(workspace.artifacts).absolute(),
        models=models,
        page=html,
    )


def examples(result: Outcome, workspace: Workspace, *, with_audio: bool) -> Iterator[Example]:
    """A typical and the worst clip of each comparison's best model, a dataset a domain."""
    for section in result.board.sections:
        leading = [row for row in section.rows if row.role == "model"][:1]
        for row in leading:
            for domain in section.shown():
                dataset = section.comparison.datasets(domain)[0]
                cell = _cell(result, row.fingerprint, dataset, section.comparison.name)
                if cell and (with_audio or cell.made.card.redistribute):
                    yield from _of_cell(workspace, cell, section.comparison.name)


def _cell(result: Outcome, fingerprint: str, dataset: str, comparison: str) -> Cell | None:
    """The cell behind a board's first metric; None for the further metrics of a comparison."""
    for cell in result.cells:
        found = (cell.comparison, cell.handling.fingerprint, cell.made.card.name)
        if found == (comparison, fingerprint, dataset):
            return cell
    return None


def _of_cell(workspace: Workspace, cell: Cell, comparison: str) -> Iterator[Example]:
    spec = cell.specs[0]
    table = next(score_tables(workspace, cell))
    rows = pa.concat_tables([read_table(path) for path in table.paths]).to_pylist()
    better = -1 if metrics.METRICS[spec.name].higher_is_better else 1
    scored = sorted(
        (row for row in rows if row["value"] is not None),
        key=lambda row: (better * row["value"], row["key"]),
    )
    if not scored:
        return
    reader = RandomReader(cell.made.folder)
    chosen = {"typical": scored[len(scored) // 2], "worst": scored[-1]}
    for kind, row in chosen.items():
        yield _example(workspace, cell, comparison, kind, row, reader)
    reader.close()


def _example(
    workspace: Workspace,
    cell: Cell,
    comparison: str,
    kind: str,
    row: Mapping[str, object],
    reader: RandomReader,
) -> Example:
    clip = reader[str(row["key"])]
    folder = workspace.predictions(cell.handling.chain, cell.made.card.name)
    answers = Answers(folder, clip.row.shard)
    answer = answers.of(clip.row.key)
    answers.close()
    given = {} if isinstance(answer, Failure) else answer
    names = [name for name in ("clean", "s1", "s2") if clip.row.has(name)]
    audio = [("what the model heard", clip.read())]
    audio += [(f"truth: {name}", clip.read(name)) for name in names]
    audio += [
        (f"answer: {n.removesuffix('.wav')}", d) for n, d in given.items() if n.endswith(".wav")
    ]
    said, heard = _texts(cell, clip.row.text, given)
    return Example(
        title=clip.row.key,
        model=cell.handling.model,
        dataset=cell.made.card.name,
        key=clip.row.key,
        kind=kind,
        audio=tuple(audio),
        reference=said,
        hypothesis=heard,
        score=float(str(row["value"])),
        comparison=comparison,
    )


def _texts(
    cell: Cell, text: str | None, answer: Mapping[str, bytes]
) -> tuple[str | None, str | None]:
    """Reference and hypothesis as the metric compared them; None where it is not about text."""
    if tasks.get(cell.handling.task).name != "recognition" or text is None:
        return None, None
    normalise = NORMALISERS[str(cell.specs[0].parameters["normaliser"])]
    return normalise(text), normalise(answer.get("txt", b"").decode())
