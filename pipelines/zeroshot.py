"""Zero-shot classification: embeddings that a model gave once, set against words, or a probe.

A text-audio model's embeddings are prediction shards like any other. Every prompt set is a row of
its own on the board: its texts are embedded once a dataset, and its answers (cosines of every
class) are predictions on those predictions, stored as a classifier's. A linear probe, fitted on the
same embeddings by the dataset's folds, tells what the model hears from how it is asked.

predictions/<model>+<prompts>-<hash>/<dataset>/    texts.parquet or probe.parquet, then the shards
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import models
from models import registry
from pipelines import derived, predict, probes, prompts, running
from pipelines.answers import EMBEDS, offers
from pipelines.config import ComparisonConfig, ModelConfig
from pipelines.derived import Derived, Members, Vectors
from pipelines.engines import Engine
from pipelines.predict import Handling
from pipelines.prompts import PromptSet
from pipelines.publish import Cell
from pipelines.records import Failure, Part, RealEarError, digest
from pipelines.shards import sidecars
from pipelines.shards.datasets import INDEX, Row, read_rows, read_table, to_rows, write_table
from pipelines.tasks import arrays
from pipelines.tasks.classification import LABELS, LOGITS, truth
from pipelines.workspace import Workspace

VERSION = "1"  # bump when the same embeddings and words would give other answers
TASK = "zero-shot"
LINEAR = "linear-probe"
TEXTS, PROBE = "texts", "probe"  # stems beside the shards
COST = 1e-3  # seconds that a clip costs here
TINY = 1e-12  # the least length that a vector is divided by

Floats = NDArray[np.float64]
TEXT_SCHEMA = pa.schema(
    [
        ("template", pa.int32()),
        ("class", pa.string()),
        ("text", pa.string()),
        ("vector", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Worded(Derived):
    """A text-audio model with one prompt set: a classifier."""

    prompts: PromptSet

    def record(self) -> dict[str, Any]:
        """The model's record, and every prompt."""
        return {**self.of.record(), "prompts": self.prompts.record()}


@dataclass(frozen=True, kw_only=True)
class Probed(Derived):
    """An embedding model with a linear probe: a classifier."""

    def record(self) -> dict[str, Any]:
        """The model's record, and what decides the fit."""
        return {**self.of.record(), "probe": self.hash}


def handlings(name: str, config: ModelConfig, comparison: ComparisonConfig) -> list[Handling]:
    """The rows of one model: itself where it knows classes of its own, else a row a prompt set, and
    one of its probe. RealEarError for a model that can be none of these.
    """
    try:
        model = models.create(config.model, **config.parameters)
    except (ValueError, TypeError) as error:
        raise RealEarError(f"model {name!r}: {error}") from error
    if model.task == "classification":
        return [predict.handling(name, config.model, "classification", config.parameters)]
    source = predict.handling(name, config.model, "embedding", config.parameters)
    sets = [prompts.load(each, comparison.vocabularies) for each in comparison.prompts]
    _check_different(sets)
    if sets and not all(offers(model, method) for method in EMBEDS):
        raise RealEarError(
            f"model {name!r}: expected one that embeds texts, too, to be asked by prompts, found "
            "one of sounds alone: compare it by `probe: true` without prompts"
        )
    rows: list[Handling] = [_worded(source, each) for each in sets]
    return [*rows, _probed(source)] if comparison.probe else rows


def row_names(name: str, config: ModelConfig, comparison: ComparisonConfig) -> list[str]:
    """What the rows of one model are called, without looking at its weights; RealEarError for an
    unknown one.
    """
    try:
        closed = registry.model_class(config.model).task == "classification"
    except ValueError as error:
        raise RealEarError(f"model {name!r}: {error}") from error
    if closed:
        return [name]
    sets = [prompts.load(each, comparison.vocabularies) for each in comparison.prompts]
    return [*(_called(name, each) for each in sets), *([f"{name}+{LINEAR}"] * comparison.probe)]


def _called(name: str, asked: PromptSet) -> str:
    return f"{name}+{asked.name}@{asked.hash}"


def _check_different(sets: Sequence[PromptSet]) -> None:
    hashes = [each.hash for each in sets]
    if len(set(hashes)) < len(hashes):
        names = ", ".join(each.name for each in sets)
        raise RealEarError(f"prompts: expected sets that differ, found two that agree: {names}")


def _worded(source: Handling, asked: PromptSet) -> Worded:
    return Worded(
        model=_called(source.model, asked),
        fingerprint=digest([source.fingerprint, asked.hash])[:8],
        prompts=asked,
        **_common(source, asked.name, asked.hash),
    )


def _probed(source: Handling) -> Probed:
    found = probes.fingerprint()
    return Probed(
        model=f"{source.model}+{LINEAR}",
        fingerprint=digest([source.fingerprint, LINEAR, found])[:8],
        **_common(source, LINEAR, found),
    )


def _common(source: Handling, name: str, found: str) -> dict[str, Any]:
    kept = {key: getattr(source, key) for key in ("origin", "parameters", "role", "device")}
    return {**kept, "task": "classification", "of": source, "name": name, "hash": found}


def answer_all(cells: Sequence[Cell], workspace: Workspace, engine: Engine) -> None:
    """Texts, probes, and then the answers of every zero-shot cell; embeddings must be there."""
    asked = [cell for cell in cells if isinstance(cell.handling, Worded | Probed)]
    texts = [_texts_part(workspace, cell) for cell in asked if isinstance(cell.handling, Worded)]
    running.lightly("Embed prompts", texts, embed_texts, engine)
    fits = [_probe_part(workspace, cell) for cell in asked if isinstance(cell.handling, Probed)]
    running.lightly("Fit probes", fits, fit_probe, engine)
    parts = [part for cell in asked for part in _answer_parts(workspace, cell)]
    running.lightly("Classify", parts, answer_shard, engine)
    for cell in asked:
        predict.describe(workspace, cell.made.card, cell.handling)


# Texts: embedded once a prompt set and dataset


@dataclass(frozen=True)
class Wording:
    """What is to be embedded: a text a template and class."""

    source: Handling
    classes: Mapping[str, str]
    texts: Sequence[Sequence[str]]


def _texts_part(workspace: Workspace, cell: Cell) -> Part:
    handling = cell.handling
    assert isinstance(handling, Worded)
    said = handling.prompts
    classes = said.vocabularies.get(cell.made.card.name) or own_classes(cell.made.folder)
    texts = said.texts(classes)
    inputs = digest([TEXTS, VERSION, handling.of.chain, list(classes), texts])
    count = sum(len(each) for each in texts)
    payload = Wording(handling.of, classes, texts)
    return Part(_folder(workspace, cell), TEXTS, inputs, count, 0.0, payload)


def own_classes(folder: str) -> dict[str, str]:
    """The classes that a dataset's clips have, said as they are called; RealEarError under two."""
    rows = to_rows(read_table(f"{folder}/{INDEX}"))
    found = sorted({name for row in rows if (name := truth(row)) is not None})
    if len(found) < 2:
        raise RealEarError(
            f"{folder}: expected clips of two classes or more, found {found or 'none'}: name its "
            "classes by `vocabularies`"
        )
    return prompts.spoken(found)


def embed_texts(part: Part) -> None:
    """Embed the texts of one prompt set (the work function of this step)."""
    wording: Wording = part.payload
    texts = [text for each in wording.texts for text in each]
    vectors = _checked(_loaded(wording.source).embed_text(texts), len(texts))
    rows = [
        {"template": template, "class": name, "text": text}
        for template, each in enumerate(wording.texts)
        for name, text in zip(wording.classes, each, strict=True)
    ]
    for row, vector in zip(rows, vectors, strict=True):
        row["vector"] = vector.tolist()
    target = f"{part.folder}/{part.stem}.parquet"
    write_table(target, pa.Table.from_pylist(rows, schema=TEXT_SCHEMA))
    content = digest([part.inputs, [list(row.values()) for row in rows]])
    sidecars.write(part, sidecars.facts(target), content=content, clips_out=len(rows), seconds=0.0)


def _checked(answer: Any, count: int) -> Vectors:
    found = np.asarray(answer, dtype=np.float32)
    if found.ndim != 2 or len(found) != count or not np.isfinite(found).all():
        raise RealEarError(f"expected {count} finite text embeddings, found {found.shape}")
    return found


def _loaded(source: Handling) -> Any:
    if _KEPT.get("chain") != source.chain:
        _KEPT.clear()
        _KEPT.update(chain=source.chain, model=source.load())
        if "torch" in sys.modules:  # as everywhere: answers must not depend on a machine's cores
            sys.modules["torch"].set_num_threads(1)
    return _KEPT["model"]


_KEPT: dict[str, Any] = {}  # the model that this process embedded texts with last


# Probes: fitted once a dataset


@dataclass(frozen=True)
class Listening:
    """Where a dataset and a model's embeddings of it lie."""

    dataset: str
    embeddings: str
    stems: tuple[str, ...]


def _probe_part(workspace: Workspace, cell: Cell) -> Part:
    card, source = cell.made.card, cell.handling.source
    folder = workspace.predictions(source.chain, card.name)
    stems = tuple(shard.stem for shard in card.shards)
    heard = [derived.content(folder, stem) for stem in stems]
    said = [card.content, [shard.content for shard in card.shards], probes.fingerprint()]
    inputs = digest([PROBE, VERSION, cell.handling.chain, heard, said])
    payload = Listening(cell.made.folder, folder, stems)
    return Part(_folder(workspace, cell), PROBE, inputs, 0, 0.0, payload)


def fit_probe(part: Part) -> None:
    """Fit a judge a fold (the work function of this step)."""
    listening: Listening = part.payload
    rows: list[Row] = []
    heard: list[Vectors] = []
    for stem in listening.stems:
        there = read_rows(f"{listening.dataset}/{stem}.parquet")
        known = {row.key: row for row in there if truth(row) is not None}
        keys, vectors, _ = derived.vectors(listening.embeddings, stem, known)
        rows += [known[key] for key in keys]
        heard += [vectors] if keys else []
    of = probes.folds(rows)
    classes = [str(truth(row)) for row in rows]
    judges = probes.fit(np.concatenate(heard), classes, [of[r.key] for r in rows]) if rows else {}
    if not judges:
        raise RealEarError(
            f"probe: expected clips of two classes outside some fold of {listening.dataset}, found "
            f"{len(set(classes))} classes in {len(set(of.values()))} folds: leave the probe out"
        )
    target = f"{part.folder}/{part.stem}.parquet"
    content = digest([part.inputs, probes.save(target, judges)])
    sidecars.write(part, sidecars.facts(target), content=content, clips_out=0, seconds=0.0)


# Answers


@dataclass(frozen=True)
class Answering:
    """What classifying one shard needs."""

    dataset: str
    embeddings: str
    folds: Mapping[str, str] | None  # of a probe; None where classes are put into words


def _answer_parts(workspace: Workspace, cell: Cell) -> Iterator[Part]:
    card, asked = cell.made.card, cell.handling
    folder = _folder(workspace, cell)
    embeddings = workspace.predictions(asked.source.chain, card.name)
    folds = _folds(cell.made.folder) if isinstance(asked, Probed) else None
    by = derived.content(folder, TEXTS if folds is None else PROBE)
    for shard in card.shards:
        heard = derived.content(embeddings, shard.stem)
        inputs = digest(["classify", VERSION, asked.chain, by, heard, shard.content])
        here = None if folds is None else folds.get(shard.stem, {})
        payload = Answering(cell.made.folder, embeddings, here)
        yield Part(folder, shard.stem, inputs, shard.clips, shard.clips * COST, payload)


def _folds(folder: str) -> dict[str, dict[str, str]]:
    """Shard to key to fold."""
    rows = to_rows(read_table(f"{folder}/{INDEX}"))
    of, found = probes.folds(rows), dict[str, dict[str, str]]()
    for row in rows:
        if row.key in of:
            found.setdefault(row.shard, {})[row.key] = of[row.key]
    return found


def answer_shard(part: Part) -> None:
    """Classify the clips of one shard (the work function of this step)."""
    job: Answering = part.payload
    rows = read_rows(f"{job.dataset}/{part.stem}.parquet")
    keys, vectors, failures = derived.vectors(job.embeddings, part.stem, [row.key for row in rows])
    if job.folds is None:
        answers, refused = _by_words(part.folder, keys, vectors)
    else:
        answers, refused = _by_probe(part.folder, keys, vectors, job.folds)
    derived.store(part, answers, [*failures, *refused])


Answered = tuple[list[tuple[str, Members]], list[Failure]]


def _by_words(folder: str, keys: Sequence[str], vectors: Vectors) -> Answered:
    """Cosines of every class: of the mean of its prompts' directions, and which class is best by
    each template alone.
    """
    classes, words = read_texts(f"{folder}/{TEXTS}.parquet")
    if len(keys) and vectors.shape[1] != words.shape[2]:
        detail = f"sounds in {vectors.shape[1]} dimensions, texts in {words.shape[2]}"
        return [], [Failure(key, "predict", "wrong_dimensions", detail) for key in keys]
    if not keys:
        return [], []
    heard = unit(vectors.astype(np.float64))
    logits = heard @ unit(words.mean(axis=0)).T
    best = _alone(np.einsum("cd,tkd->ctk", heard, words))
    return [
        (key, _members(classes, row, {"templates": said}))
        for key, row, said in zip(keys, logits, best.tolist(), strict=True)
    ], []


def _alone(cosines: Floats) -> NDArray[np.int64]:
    """(clips, templates): the best class of (clips, templates, classes); -1 where two are best."""
    best = cosines.argmax(axis=2)
    several = (cosines == cosines.max(axis=2, keepdims=True)).sum(axis=2) > 1
    return np.where(several, -1, best)


def _by_probe(
    folder: str, keys: Sequence[str], vectors: Vectors, folds: Mapping[str, str]
) -> Answered:
    """Logits by the judge that was not fitted on the clip's own fold."""
    judges = probes.load(f"{folder}/{PROBE}.parquet")
    answers, refused = [], []
    for key, vector in zip(keys, vectors, strict=True):
        judge = judges.get(folds.get(key, ""))
        if judge is None:
            detail = "no two classes outside the clip's fold, or the clip has no class"
            refused.append(Failure(key, "predict", "no_probe", detail))
        else:
            answers.append((key, _members(judge.classes, judge.logits(vector[None])[0], {})))
    return answers, refused


def _members(classes: Sequence[str], logits: Floats, more: Mapping[str, Any]) -> Members:
    return {
        LOGITS: arrays.to_npy(logits.astype(np.float32)),
        LABELS: arrays.to_json({"labels": list(classes), **more}),
    }


def read_texts(path: str) -> tuple[tuple[str, ...], Floats]:
    """Classes, and the directions of their prompts (templates, classes, dim)."""
    table = read_table(path)
    rows = table.to_pylist()
    classes = tuple(row["class"] for row in rows if row["template"] == 0)
    found = unit(np.array([row["vector"] for row in rows], dtype=np.float64))
    return classes, found.reshape(-1, len(classes), found.shape[1])


def unit(vectors: Floats) -> Floats:
    """Vectors (…, dim) brought to length 1; one of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, TINY))


def _folder(workspace: Workspace, cell: Cell) -> str:
    return workspace.predictions(cell.handling.chain, cell.made.card.name)
