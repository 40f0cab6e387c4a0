"""Retrieval: every caption of a dataset is sought by its sound, every sound by its caption.

The embeddings are those that zero-shot classification uses; captions are embedded once a dataset.
All similarities are computed tile by tile (`metrics.retrieval.places`), from files, so that memory
does not grow with their number. Each clip's places are then predictions on predictions:

predictions/<model>+retrieval-<hash>/<dataset>/    texts.parquet, places.parquet, then the shards
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import models
from metrics import retrieval
from pipelines import derived, predict, running, zeroshot
from pipelines.answers import EMBEDS, offers
from pipelines.config import ModelConfig
from pipelines.derived import Derived, Members, Vectors
from pipelines.engines import Engine
from pipelines.publish import Cell
from pipelines.records import Failure, Part, RealEarError, digest
from pipelines.shards import sidecars
from pipelines.shards.datasets import INDEX, read_rows, read_table, to_rows, write_table
from pipelines.tasks import arrays
from pipelines.tasks.retrieval import CAPTION, NAMES, PLACES
from pipelines.workspace import Workspace

VERSION = "1"  # bump when the same embeddings would be ranked otherwise
TASK = "retrieval"
STEM = "places"
SCHEMA = pa.schema([("key", pa.string()), *((name, pa.int64()) for name in NAMES)])


@dataclass(frozen=True, kw_only=True)
class Ranked(Derived):
    """A text-audio model whose embeddings are searched."""


def handling(name: str, config: ModelConfig) -> Ranked:
    """The row of one model; RealEarError where it does not embed sounds and texts."""
    source = predict.handling(name, config.model, "embedding", config.parameters)
    if not all(offers(models.create(config.model, **config.parameters), m) for m in EMBEDS):
        raise RealEarError(f"model {name!r}: expected one that embeds texts, too, found none")
    kept = {
        key: getattr(source, key) for key in ("model", "origin", "parameters", "role", "device")
    }
    return Ranked(
        **kept,
        fingerprint=source.fingerprint,
        task=TASK,
        of=source,
        name=TASK,
        hash=digest(["retrieval", VERSION])[:8],
    )


def answer_all(cells: Sequence[Cell], workspace: Workspace, engine: Engine) -> None:
    """Captions, places, and the answers of every retrieval cell; embeddings must be there."""
    asked = [cell for cell in cells if isinstance(cell.handling, Ranked)]
    running.lightly(
        "Embed captions", [_texts(workspace, c) for c in asked], zeroshot.embed_texts, engine
    )
    running.lightly("Search", [_search(workspace, c) for c in asked], rank, engine)
    parts = [part for cell in asked for part in _answers(workspace, cell)]
    running.lightly("Store places", parts, answer_shard, engine)
    for cell in asked:
        predict.describe(workspace, cell.made.card, cell.handling)


def _texts(workspace: Workspace, cell: Cell) -> Part:
    rows = to_rows(read_table(f"{cell.made.folder}/{INDEX}"))
    captions = sorted({row.labels[CAPTION] for row in rows if row.labels.get(CAPTION)})
    if not captions:
        raise RealEarError(
            f"{cell.made.card.name}: expected clips with a label `caption`, found none: generate "
            "them with `kind: captioned`, or give the corpus that label"
        )
    inputs = digest([TASK, VERSION, cell.handling.source.chain, captions])
    payload = zeroshot.Wording(cell.handling.source, {text: text for text in captions}, [captions])
    return Part(_folder(workspace, cell), zeroshot.TEXTS, inputs, len(captions), 0.0, payload)


# Places: of a whole dataset


@dataclass(frozen=True)
class Searching:
    """Where a dataset and a model's embeddings of it lie."""

    dataset: str
    embeddings: str
    stems: tuple[str, ...]


def _search(workspace: Workspace, cell: Cell) -> Part:
    card, folder = cell.made.card, _folder(workspace, cell)
    embeddings = workspace.predictions(cell.handling.source.chain, card.name)
    stems = tuple(shard.stem for shard in card.shards)
    heard = [derived.content(embeddings, stem) for stem in stems]
    said = derived.content(folder, zeroshot.TEXTS)
    shards = [shard.content for shard in card.shards]
    inputs = digest([STEM, VERSION, cell.handling.chain, heard, said, shards])
    payload = Searching(cell.made.folder, embeddings, stems)
    return Part(folder, STEM, inputs, 0, card.clips * zeroshot.COST, payload)


def rank(part: Part) -> None:
    """Find every clip's places (the work function of this step)."""
    job: Searching = part.payload
    captions, directions = zeroshot.read_texts(f"{part.folder}/{zeroshot.TEXTS}.parquet")
    words = directions[0].astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="realear-search-") as scratch:
        keys, own, heard = _gathered(job, captions, Path(scratch))
        found = _places(heard, words, own) if keys else []
    rows = [{"key": key, **places} for key, places in zip(keys, found, strict=True)]
    target = f"{part.folder}/{STEM}.parquet"
    write_table(target, pa.Table.from_pylist(rows, schema=SCHEMA))
    content = digest([part.inputs, [list(row.values()) for row in rows]])
    sidecars.write(part, sidecars.facts(target), content=content, clips_out=0, seconds=part.seconds)


def _gathered(
    job: Searching, captions: Sequence[str], scratch: Path
) -> tuple[list[str], NDArray[np.int64], Vectors]:
    """Keys and captions of the clips that have both an embedding and a caption, and the embeddings,
    (clips, dim), in a file that is mapped into memory.
    """
    number = {text: at for at, text in enumerate(captions)}
    keys: list[str] = []
    own: list[int] = []
    width = 0
    with (scratch / "vectors").open("wb") as file:
        for stem in job.stems:
            said = {
                row.key: number[row.labels[CAPTION]]
                for row in read_rows(f"{job.dataset}/{stem}.parquet")
                if row.labels.get(CAPTION)
            }
            there, vectors, _ = derived.vectors(job.embeddings, stem, said)
            keys += there
            own += [said[key] for key in there]
            width = vectors.shape[1] or width
            file.write(np.ascontiguousarray(vectors).tobytes())
    mapped = (
        np.memmap(scratch / "vectors", np.float32, "r", shape=(len(keys), width)) if keys else None
    )
    return keys, np.array(own, np.int64), np.zeros((0, 0), np.float32) if mapped is None else mapped


def _places(heard: Vectors, words: Vectors, own: NDArray[np.int64]) -> Iterator[dict[str, int]]:
    if heard.shape[1] != words.shape[1]:
        raise RealEarError(
            f"retrieval: expected sounds and texts in one space, found {heard.shape[1]} and "
            f"{words.shape[1]} dimensions"
        )
    by_sound, by_text = retrieval.places(heard, words, own)
    for one, other in zip(by_sound.tolist(), by_text.tolist(), strict=True):
        yield dict(zip(NAMES, (one, other, len(words), len(heard)), strict=True))


# Answers: shard by shard


@dataclass(frozen=True)
class Storing:
    """Where a dataset and a model's embeddings of it lie."""

    dataset: str
    embeddings: str


def _answers(workspace: Workspace, cell: Cell) -> Iterator[Part]:
    card, folder = cell.made.card, _folder(workspace, cell)
    embeddings = workspace.predictions(cell.handling.source.chain, card.name)
    by = derived.content(folder, STEM)
    for shard in card.shards:
        inputs = digest(["places", VERSION, cell.handling.chain, by, shard.content])
        seconds = shard.clips * zeroshot.COST
        payload = Storing(cell.made.folder, embeddings)
        yield Part(folder, shard.stem, inputs, shard.clips, seconds, payload)


def answer_shard(part: Part) -> None:
    """Store the places of the clips of one shard (the work function of this step)."""
    job: Storing = part.payload
    rows = read_rows(f"{job.dataset}/{part.stem}.parquet")
    table = read_table(f"{part.folder}/{STEM}.parquet").to_pylist()
    found = {row["key"]: row for row in table}
    _, _, failures = derived.vectors(job.embeddings, part.stem, [row.key for row in rows])
    lost = {failure.key: failure for failure in failures}
    for row in rows:
        if row.key not in found and row.key not in lost:
            lost[row.key] = Failure(row.key, "predict", "no_caption", "nothing to be found by")
    answers = [(row.key, _members(found[row.key])) for row in rows if row.key in found]
    derived.store(part, answers, list(lost.values()))


def _members(row: dict[str, Any]) -> Members:
    return {PLACES: arrays.to_json({name: row[name] for name in NAMES})}


def _folder(workspace: Workspace, cell: Cell) -> str:
    return workspace.predictions(cell.handling.chain, cell.made.card.name)
