"""Summaries: what a row's answers to a whole dataset come to, and as a table on the board.

A summary is a file beside the answers, `summary-figures.json`. A classifier's: top-1, top-5, macro
accuracy and mAP with intervals, class by class, confusions, fold by fold, by each template alone,
near ties, and how many clips could not be scored, by reason. Of explanations see
`pipelines.explanation_summaries`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaderboards import words
from leaderboards.records import Board, Section, Table
from metrics import FailedPrediction, UndefinedMetric
from metrics.summary import Summary, summarise
from pipelines import explanation_summaries, stores
from pipelines.explanation_summaries import Explained
from pipelines.records import Failure, LostWork, Part, RealEarError, digest
from pipelines.score import Answers
from pipelines.shards import sidecars
from pipelines.shards.datasets import Row, read_rows
from pipelines.tasks import arrays
from pipelines.tasks.classification import LABELS, LOGITS, place, truth
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.publish import Cell

VERSION = "1"  # bump when the same answers would come to something else
COST = 1e-3  # seconds that a clip costs here
STEM, FIGURES = "summary", "summary-figures.json"
TASK, EXPLAINED = "zero-shot", "explanation"
SUMMED = (TASK, EXPLAINED)  # tasks whose answers are summed up
MOST_CLASSES, MOST_ROWS = 100, 12  # of a table class by class


@dataclass(frozen=True)
class Summing:
    """Where a dataset and the answers to it lie, and of what task they are."""

    dataset: str
    stems: tuple[str, ...]
    task: str


def plan(workspace: Workspace, cell: Cell) -> Part:
    """The part that sums up a cell; LostWork where its answers are not there."""
    card = cell.made.card
    folder = workspace.predictions(cell.handling.chain, card.name)
    contents = []
    for shard in card.shards:
        found = sidecars.read(folder, shard.stem)
        if found is None:
            raise LostWork(f"{folder}/{shard.stem}: expected predictions, found none")
        contents.append([found.content, shard.content])
    stems = tuple(shard.stem for shard in card.shards)
    inputs = digest(["summary", VERSION, contents])
    seconds = card.clips * COST
    summing = Summing(cell.made.folder, stems, cell.handling.task)
    return Part(folder, STEM, inputs, 0, seconds, summing)


def sum_up(part: Part) -> None:
    """Write one summary (the work function of this step)."""
    summing: Summing = part.payload
    answered = Explained() if summing.task == EXPLAINED else Answered()
    for stem in summing.stems:
        answers = Answers(part.folder, stem)
        for row in read_rows(f"{summing.dataset}/{stem}.parquet"):
            answered.add(row, answers.of(row.key))
        answers.close()
    target = f"{part.folder}/{FIGURES}"
    record = answered.record()
    stores.write_json(target, record)
    sidecars.write(
        part, sidecars.facts(target), content=digest(record), clips_out=0, seconds=part.seconds
    )


@dataclass
class Answered:
    """Clips one after another, with what was said of them."""

    names: dict[str, int] = field(default_factory=dict)  # class to column
    labels: list[int] = field(default_factory=list)
    scores: list[tuple[list[int], NDArray[np.float32]]] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    folds: list[str | None] = field(default_factory=list)
    templates: list[list[bool]] = field(default_factory=list)
    undefined: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row, answer: Mapping[str, bytes] | Failure) -> None:
        """Take in one clip, however it ended."""
        try:
            self._take(row, answer)
        except UndefinedMetric as error:
            self.undefined[error.reason] += 1
        except FailedPrediction as error:
            self.failed[error.reason] += 1

    def _take(self, row: Row, answer: Mapping[str, bytes] | Failure) -> None:
        wanted = truth(row)
        if wanted is None:
            raise UndefinedMetric("no_reference")
        if isinstance(answer, Failure):
            raise FailedPrediction(answer.reason)
        logits, said = arrays.read_npy(answer, LOGITS), arrays.read_json(answer, LABELS)
        labels = [str(name) for name in said.get("labels", ())]
        if len(labels) != len(logits):
            raise FailedPrediction("wrong_classes")
        at = place(wanted, labels)
        columns = [self.names.setdefault(name, len(self.names)) for name in labels]
        self.labels.append(columns[at])
        self.scores.append((columns, logits))
        self.clusters.append(row.cluster)
        self.folds.append(row.labels.get("fold") or None)
        self.templates.append([best == at for best in said.get("templates", ())])

    def record(self) -> dict[str, Any]:
        """The summary as JSON; numbers are null where no clip was scored."""
        counts = {"undefined": dict(self.undefined), "failed": dict(self.failed)}
        shared = {"classes": list(self.names), "scored": len(self.labels), **counts}
        if not self.labels:
            return {**shared, "top_1": None}
        given = np.full((len(self.labels), len(self.names)), -np.inf)
        for line, (columns, logits) in zip(given, self.scores, strict=True):
            line[columns] = logits
        found = summarise(self.labels, given, self.clusters, self.folds)
        alone = {len(each) for each in self.templates}
        each = np.mean(self.templates, axis=0).tolist() if len(alone) == 1 else []
        return {**shared, **_figures(found), "templates": each}


def _figures(found: Summary) -> dict[str, Any]:
    confused = np.argwhere(found.confusion).tolist()
    return {
        **{
            name: None if (one := getattr(found, name)) is None else asdict(one)
            for name in ("top_1", "top_5", "macro", "mean_precision")
        },
        "per_class": list(found.per_class),
        "clips_of": list(found.clips_of),
        "confusion": [[a, b, int(found.confusion[a, b])] for a, b in confused],
        "folds": dict(found.folds),
        "fold_mean": found.fold_mean,
        "fold_deviation": found.fold_deviation,
        "near_ties": found.near_ties,
    }


def attach(
    board: Board, cells: Sequence[Cell], tasks: Mapping[str, str], workspace: Workspace
) -> Board:
    """The board with the summaries of comparisons that have them; `tasks` is each comparison's."""
    sections = []
    for section in board.sections:
        name = section.comparison.name
        if tasks.get(name) in SUMMED:
            of = [cell for cell in cells if cell.comparison == name]
            section = replace(section, tables=tuple(_tables(section, of, workspace)))
        sections.append(section)
    return replace(board, sections=tuple(sections))


def _tables(section: Section, cells: Sequence[Cell], workspace: Workspace) -> Iterator[Table]:
    found = {}
    for cell in cells:
        where = f"{workspace.predictions(cell.handling.chain, cell.made.card.name)}/{FIGURES}"
        if not stores.exists(where):
            raise RealEarError(
                f"expected a summary at {where}, found none: evaluate the suite first"
            )
        found[cell.handling.fingerprint, cell.made.card.name] = stores.read_json(where)
    called = words.names(section.rows)
    order = [row.fingerprint for row in section.rows]
    datasets = list(dict.fromkeys(cell.made.card.name for cell in cells))
    if cells[0].handling.task == EXPLAINED:
        ordered = {row: called[row] for row in order}
        yield from explanation_summaries.tables(found, ordered, datasets)
        return
    for dataset in datasets:
        shown = [model for model in order if (model, dataset) in found]
        rows = tuple((called[model], *_line(found[model, dataset])) for model in shown)
        note = NOTE if dataset == datasets[-1] else ""
        yield Table(f"Prompts, folds and classes on {dataset}, %", COLUMNS, rows, note)
    for dataset in datasets:
        shown = [model for model in order if (model, dataset) in found][:MOST_ROWS]
        yield _by_class(dataset, [called[m] for m in shown], [found[m, dataset] for m in shown])


COLUMNS = (
    *("Model and prompts", "Clips", "Top-1", "Macro", "Top-5", "mAP"),
    *("By fold", "By template", "Near ties"),
)
NOTE = (
    "Behind @ stands the hash of a prompt set: templates, and classes as they are said. By fold: "
    "mean ± standard deviation (folds). By template: the worst to the best of the set, each by "
    "itself (templates). Near ties: clips whose two best classes lie within 0.0001."
)


def _line(figures: Mapping[str, Any]) -> tuple[str, ...]:
    if figures["top_1"] is None:
        return ("0", *(words.NOTHING for _ in COLUMNS[2:]))
    shares = (_share(figures[name]) for name in ("top_1", "macro", "top_5", "mean_precision"))
    folds, templates = words.NOTHING, words.NOTHING
    if figures["fold_mean"] is not None:
        mean, deviation = 100 * figures["fold_mean"], 100 * figures["fold_deviation"]
        folds = f"{mean:.1f} ± {deviation:.1f}\n({len(figures['folds'])})"
    if len(each := figures["templates"]) > 1:
        templates = f"{100 * min(each):.1f} to {100 * max(each):.1f}\n({len(each)})"
    return (f"{figures['scored']:,}", *shares, folds, templates, f"{figures['near_ties']:,}")


def _share(estimate: Mapping[str, Any] | None) -> str:
    """A share in per cent with its interval."""
    if estimate is None or estimate["value"] is None:
        return words.NOTHING
    shown = f"{100 * estimate['value']:.1f}"
    if (spread := estimate["interval"]) is None:
        return shown
    rough = "~" if spread["method"] == "t" else ""
    return f"{shown}\n{rough}{100 * spread['low']:.1f}…{100 * spread['high']:.1f}"


def _by_class(dataset: str, models: Sequence[str], figures: Sequence[Mapping[str, Any]]) -> Table:
    """Classes by how often they occur; of the first model also what each is taken for."""
    counts: Counter[str] = Counter()
    for each in figures:
        of = dict(zip(each["classes"], each.get("clips_of", ()), strict=False))
        counts |= Counter(of)
    wrong = _taken_for(figures[0]) if figures else {}
    rows = [
        (name, f"{count:,}", *(_of_class(each, name) for each in figures), wrong.get(name, ""))
        for name, count in counts.most_common(MOST_CLASSES)
        if count
    ]
    columns = ("Class", "Clips", *models, "Most often taken for, by the first")
    return Table(f"Class by class on {dataset}, %", columns, tuple(rows), long=True)


def _of_class(figures: Mapping[str, Any], name: str) -> str:
    if name not in figures["classes"] or figures["top_1"] is None:
        return words.NOTHING
    share = figures["per_class"][figures["classes"].index(name)]
    return words.NOTHING if share is None else f"{100 * share:.0f}"


def _taken_for(figures: Mapping[str, Any]) -> dict[str, str]:
    """Class to the class that it is most often taken for, and how often."""
    worst: dict[int, tuple[int, int]] = {}
    for true, said, count in figures.get("confusion", ()):
        if true != said and count > worst.get(true, (0, 0))[0]:
            worst[true] = (count, said)
    names = figures["classes"]
    return {names[true]: f"{names[said]} ({count})" for true, (count, said) in worst.items()}
