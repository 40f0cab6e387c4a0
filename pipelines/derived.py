"""Derived predictions: what is made of a model's stored answers, without hearing anything again.

A derived handling stands in a cell of a board like a model; `source` is the model that was asked
about the clips, whose answers are made once and shared by everything that is derived from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics import FailedPrediction
from pipelines import stores
from pipelines.predict import Handling
from pipelines.records import Failure, LostWork, Part, digest
from pipelines.score import Answers
from pipelines.shards import sidecars
from pipelines.shards.tars import TarWriter
from pipelines.tasks import arrays
from pipelines.tasks.embedding import VECTOR

Members = dict[str, bytes]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Derived(Handling):
    """A handling whose answers are made of another's; `name` and `hash` say how."""

    of: Handling
    name: str
    hash: str

    @property
    def chain(self) -> str:
        """The source's chain, and what was made of it."""
        return f"{self.of.chain}+{self.name}-{self.hash}"

    @property
    def source(self) -> Handling:
        """The model that is asked about the clips."""
        return self.of


def content(folder: str, stem: str) -> str:
    """What later steps build on; LostWork where the shard, made before, is not there."""
    found = sidecars.read(folder, stem)
    if found is None:
        raise LostWork(f"{folder}/{stem}: expected what an earlier step made, found nothing")
    return found.content


def vectors(
    folder: str, stem: str, keys: Iterable[str]
) -> tuple[list[str], Vectors, list[Failure]]:
    """The embeddings of these clips of a shard: keys of those that have one, (clips, dim) float32,
    and why the others have none. All are as long as the first; (0, 0) where there is none.
    """
    answers = Answers(folder, stem)
    found: dict[str, Vectors] = {}
    failures: list[Failure] = []
    for key in keys:
        answer = answers.of(key)
        try:
            if isinstance(answer, Failure):
                raise FailedPrediction(answer.reason, answer.detail)
            vector = arrays.read_npy(answer, VECTOR)
            _check_dimensions(vector, next(iter(found.values()), vector))
            found[key] = vector
        except FailedPrediction as error:
            failures.append(Failure(key, "predict", error.reason, error.detail))
    answers.close()
    stacked = np.stack(list(found.values())) if found else np.zeros((0, 0), np.float32)
    return list(found), stacked, failures


def _check_dimensions(vector: Vectors, first: Vectors) -> None:
    if vector.shape != first.shape:
        detail = f"{len(vector)} dimensions where the others have {len(first)}"
        raise FailedPrediction("wrong_dimensions", detail)


def store(part: Part, answers: Iterable[tuple[str, Members]], failures: list[Failure]) -> None:
    """Write a shard of derived predictions and its sidecar."""
    digests: list[object] = []
    target = f"{part.folder}/{part.stem}.tar"
    with stores.partial(target) as name, Path(name).open("wb") as file:
        writer = TarWriter(file)
        for key, members in answers:
            writer.write(key, members)
            hashes = {n: hashlib.sha256(data).hexdigest() for n, data in members.items()}
            digests.append([key, hashes])
        tar = writer.close()
    sidecars.write(
        part,
        {target: tar},
        content=digest([digests, [failure.key for failure in failures]]),
        clips_out=len(digests),
        seconds=part.seconds,
        failures=failures,
    )
