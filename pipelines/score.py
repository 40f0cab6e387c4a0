"""Score: dataset shard and prediction shard side by side, a table of per-clip scores out.

Every clip of the dataset has one row and one of three ends: scored, undefined, failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import pyarrow as pa

import metrics
from metrics import FailedPrediction, UndefinedMetric
from pipelines import stores, tasks, whereabouts
from pipelines.records import SCHEMA_VERSION, Failure, Joint, LostWork, Part, RealEarError, digest
from pipelines.shards import sidecars, tars
from pipelines.shards.datasets import Card, Clip, clips, printable, write_table
from pipelines.tasks import judging
from pipelines.tasks.base import Item, Task
from pipelines.workspace import Workspace

VERSION = "2"  # bump when the same prediction would score otherwise

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("cluster", pa.string()),
        ("pair", pa.string()),
        ("end", pa.string()),  # scored | undefined | failed
        ("reason", pa.string()),
        ("numerator", pa.float64()),
        ("denominator", pa.float64()),
        ("value", pa.float64()),  # in the metric's own unit, not in per cent
        ("capped", pa.bool_()),
        ("detail", pa.string()),  # JSON
        ("schema_version", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Scoring:
    """References of one shard to score with one metric."""

    dataset: str
    predictions: str
    task: str
    metric: str
    parameters: Mapping[str, Any]


def spec(name: str, **parameters: Any) -> metrics.MetricSpec:
    """A metric with its parameters; RealEarError with the nearest names where there is none."""
    try:
        return metrics.spec(name, **parameters)
    except (ValueError, TypeError) as error:
        raise RealEarError(f"metric {name!r}: {error}") from error


def plan(
    workspace: Workspace,
    card: Card,
    chain: str,
    task: str,
    wanted: metrics.MetricSpec,
    *,
    dataset: str = "",
) -> list[Part]:
    """Parts of one model × dataset × metric; the predictions must be there."""
    predictions = workspace.predictions(chain, card.name)
    scoring = Scoring(
        dataset or workspace.dataset(card.name),
        predictions,
        task,
        wanted.name,
        dict(wanted.parameters),
    )
    folder = workspace.scores(chain, card.name, f"{wanted.name}-{wanted.hash}")
    parts = []
    for shard in card.shards:
        answered = sidecars.read(predictions, shard.stem)
        if answered is None:
            raise LostWork(f"{predictions}/{shard.stem}: expected predictions, found none")
        made_of = ["score", VERSION, tasks.get(task).version, wanted.hash]
        inputs = digest([*made_of, shard.content, answered.content])
        parts.append(Part(folder, shard.stem, inputs, shard.clips, shard.seconds, scoring))
    return parts


def score_shard(parts: Sequence[Part]) -> None:
    """Score every clip of a shard by the metric of each part: clips and answers are read once."""
    scoring: Scoring = parts[0].payload
    task = tasks.get(scoring.task)
    wanted = [metrics.spec(part.payload.metric, **part.payload.parameters) for part in parts]
    answers = Answers(scoring.predictions, parts[0].stem)
    rows: list[list[dict[str, Any]]] = [[] for _ in parts]
    for clip in clips(scoring.dataset, parts[0].stem):
        clip_rows = score_clip(clip, answers.of(clip.row.key), task, wanted)
        for row, of_metric in zip(clip_rows, rows, strict=True):
            of_metric.append(row)
    answers.close()
    for part, of_metric in zip(parts, rows, strict=True):
        _write(part, of_metric)


def _shared(part: Part) -> Hashable:
    """What a part reads."""
    scoring: Scoring = part.payload
    return scoring.dataset, scoring.predictions, scoring.task, part.stem


SCORING = Joint(score_shard, _shared)  # the work of this step


def _write(part: Part, rows: list[dict[str, Any]]) -> None:
    target = f"{part.folder}/{part.stem}.parquet"
    write_table(target, pa.Table.from_pylist(rows, schema=SCHEMA))
    scores = [
        [row["key"], row["end"], row.get("numerator"), row.get("denominator")] for row in rows
    ]
    sidecars.write(
        part,
        sidecars.facts(target),
        content=digest(scores),
        clips_out=len(rows),
        seconds=part.seconds,
    )


class Answers:
    """A prediction shard, read by key."""

    def __init__(self, folder: str, stem: str) -> None:
        self._open = ExitStack()
        sidecars.check_size(folder, stem)  # before anything is fetched
        path = self._open.enter_context(stores.fetched(f"{folder}/{stem}.tar"))
        checked = sidecars.check_made(folder, stem, path)
        self._failures = {failure.key: failure for failure in checked.failures}
        self._members = tars.scan(path)
        self._file = self._open.enter_context(stores.open_read(path))

    def of(self, key: str) -> dict[str, bytes] | Failure:
        """The answer's members by name, or its failure; a key that is nowhere is a failure."""
        if key in self._failures:
            return self._failures[key]
        if key not in self._members:
            return Failure(key, "score", "missing", "no prediction for this key")
        return {name: self._read(member) for name, member in self._members[key].items()}

    def _read(self, member: tars.Member) -> bytes:
        self._file.seek(member.offset)
        return self._file.read(member.length)

    def close(self) -> None:
        """Close the shard."""
        self._open.close()


def score_clip(
    clip: Clip,
    answer: dict[str, bytes] | Failure,
    task: Task,
    wanted: Sequence[metrics.MetricSpec],
) -> list[dict[str, Any]]:
    """The rows of a clip in the score tables, a metric each."""
    whereabouts.clips([clip.row.key])

    @cache
    def item(rate: int | None) -> Item:
        return task.item(clip, cast(dict[str, bytes], answer), rate)

    return [_row(clip, answer, task, spec, item) for spec in wanted]


def _row(
    clip: Clip,
    answer: dict[str, bytes] | Failure,
    task: Task,
    wanted: metrics.MetricSpec,
    item_at: Callable[[int | None], Item],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "key": clip.row.key,
        "cluster": clip.row.cluster,
        "pair": clip.row.pair,
        "capped": False,
        "schema_version": SCHEMA_VERSION,
    }
    try:
        blind = wanted.metric.item == "blind"  # needs no truth of the clip's
        if not blind and not task.applies(clip.row):
            raise UndefinedMetric("no_reference", f"nothing to compare with for {task.name}")
        if isinstance(answer, Failure):
            raise FailedPrediction(answer.reason, answer.detail)
        item = judging.item(answer) if blind else item_at(wanted.parameters.get("sample_rate"))
        score = wanted.score(item)
    except UndefinedMetric as error:
        return {**row, **_ended("undefined", error.reason, error.detail)}
    except FailedPrediction as error:
        return {**row, **_ended("failed", error.reason, error.detail)}
    except Exception as error:  # a metric that breaks on one clip costs one clip, and is counted
        return {**row, **_ended("failed", "error", f"{type(error).__name__}: {error}")}
    return {
        **row,
        "end": "scored",
        "numerator": score.numerator,
        "denominator": score.denominator,
        "value": score.value,
        "capped": score.capped,
        "detail": json.dumps(_detail(score, item), sort_keys=True),
    }


def _detail(score: metrics.ClipScore, item: Item) -> dict[str, Any]:
    """A score's own detail, and which of the model's signals each source of several was."""
    order = getattr(item, "permutation", ())
    return {**score.detail, **({"permutation": list(order)} if len(order) > 1 else {})}


def _ended(end: str, reason: str, detail: str) -> dict[str, Any]:
    text = json.dumps({"message": printable(detail)}, sort_keys=True)
    return {"end": end, "reason": reason, "detail": text}
