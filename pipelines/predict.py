"""Predict: a dataset's shards in, prediction shards out, one for one, same names and keys."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import models
from pipelines import batches, stores, stretches, tasks, timings
from pipelines.records import Failure, Part, RealEarError, Role, digest
from pipelines.shards import sidecars
from pipelines.shards.datasets import Card, opened
from pipelines.shards.tars import TarWriter
from pipelines.tasks.base import Task
from pipelines.workspace import Workspace

VERSION = "1"  # bump when the same model would be asked otherwise
RUN = "run.json"


@dataclass(frozen=True)
class Handling:
    """A model by name, for a task: what a worker needs to load it and ask it.

    `fingerprint` is the launching process's: a worker whose library versions would give another one
    refuses to answer under the wrong name.
    """

    model: str  # display name, the first half of the chain
    origin: str  # what the registry is asked for
    task: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    role: Role = "model"
    device: str = "cpu"  # kind of device: "cuda" is a GPU

    @property
    def chain(self) -> str:
        """Model and fingerprint, as folders are named."""
        return f"{self.model}-{self.fingerprint}"

    @property
    def source(self) -> Handling:
        """Who is asked about the clips themselves; another one for what is derived from answers."""
        return self

    def create(self) -> Any:
        """The model, not loaded."""
        return models.create(self.origin, **self.parameters)

    def record(self) -> dict[str, Any]:
        """Everything that the fingerprint covers."""
        return dict(models.record(self.create(), self.origin))

    def load(self) -> Any:
        """The model, loaded; RealEarError if this worker's versions give another fingerprint."""
        model = self.create()
        found = models.fingerprint(model, self.origin)
        if found != self.fingerprint:
            raise RealEarError(
                f"model {self.model}: expected fingerprint {self.fingerprint}, this worker has "
                f"{found}: install the same versions on every worker (constraints.txt)"
            )
        started = time.perf_counter()
        model.load()
        model.warm_up()
        model.loaded_in = time.perf_counter() - started
        return model

    def answer(self, part: Part, model: Any) -> Answered:
        """Write one prediction shard."""
        return predict_shard(part, model, tasks.get(self.task))


def handling(
    name: str, origin: str, task: str, parameters: Mapping[str, Any], *, judging: bool = False
) -> Handling:
    """A checked handling; RealEarError where the model, a parameter or its task does not fit.

    `judging`: it is to judge other models' answers, and need not answer by itself.
    """
    try:
        model = models.create(origin, **parameters)
    except (ValueError, TypeError) as error:
        raise RealEarError(f"model {name!r}: {error}") from error
    if model.task != tasks.get(task).name:
        raise RealEarError(
            f"model {name!r}: expected one for the task {task!r}, found one for {model.task!r}: "
            "`realear list models` shows them by task"
        )
    if model.judges and not judging and type(model).estimate is models.Model.estimate:
        raise RealEarError(
            f"model {name!r}: expected one that is asked about clips, found one that judges "
            f"separators: name it in a metric, as in blind_si_snr:estimator={origin}"
        )
    try:
        fingerprint = models.fingerprint(model, origin)  # reads the checkpoint, if there is one
    except (ValueError, OSError) as error:
        raise RealEarError(f"model {name!r}: {error}") from error
    role = cast(Role, model.role)
    return Handling(name, origin, task, dict(parameters), fingerprint, role, model.device)


@dataclass(frozen=True)
class Answered:
    """How the clips of one shard ended, and what it took: told to Beam, stored by nobody."""

    clips: int
    failed: Mapping[str, int]  # by reason
    audio: float  # seconds, of the clips answered
    wall: float  # seconds, from stored clip to stored answer
    cut: int = 0  # clips heard in stretches


@dataclass(frozen=True)
class Asking:
    """References of one shard to ask a model about."""

    dataset: str  # folder
    timing: str  # where the wall time goes


def plan(workspace: Workspace, card: Card, asked: Handling, *, dataset: str = "") -> list[Part]:
    """Parts of one model × dataset; `dataset` is its folder if it lies outside the workspace."""
    folder = workspace.predictions(asked.chain, card.name)
    made_of = ["predict", VERSION, asked.chain, asked.task, tasks.get(asked.task).version]
    return [
        Part(
            folder=folder,
            stem=shard.stem,
            inputs=digest([*made_of, shard.content, *stretches.inputs(asked.task, shard)]),
            clips=shard.clips,
            seconds=shard.seconds,
            payload=Asking(
                dataset or workspace.dataset(card.name),
                f"{workspace.timing_spool}/{asked.chain}~{card.name}~{shard.stem}.json",
            ),
        )
        for shard in card.shards
    ]


def predict_shard(part: Part, model: Any, task: Task) -> Answered:
    """Ask a model about every clip of a shard; the wall time is written apart."""
    asking: Asking = part.payload
    failures: list[Failure] = []
    digests: list[object] = []
    seconds = audio = 0.0
    cut = 0
    target = f"{part.folder}/{part.stem}.tar"
    with (
        opened(asking.dataset, part.stem) as clips,
        stores.partial(target) as name,
        Path(name).open("wb") as file,
    ):
        writer = TarWriter(file)
        for window in batches.windows(clips):
            started = time.perf_counter()
            answers = stretches.ask(task, model, window)
            cut += sum(stretches.apply(task, model, clip) for clip in window)
            seconds += time.perf_counter() - started
            for clip, answer in zip(window, answers, strict=True):
                if isinstance(answer, Failure):
                    failures.append(answer)
                    continue
                audio += clip.row.seconds
                writer.write(clip.row.key, answer)
                digests.append([clip.row.key, {n: _sha256(data) for n, data in answer.items()}])
        tar = writer.close()
    timings.spool(asking.timing, part.inputs, audio, seconds, model)
    content = digest([digests, [failure.key for failure in failures]])
    sidecars.write(
        part,
        {target: tar},
        content=content,
        clips_out=len(digests),
        seconds=audio,
        failures=failures,
    )
    return Answered(len(clips), Counter(each.reason for each in failures), audio, seconds, cut)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def describe(workspace: Workspace, card: Card, asked: Handling) -> None:
    """Write `run.json`, unless it stands already: what made these predictions."""
    record = {
        "chain": asked.chain,
        "task": asked.task,
        "dataset": card.name,
        "dataset_content": card.content,
        "model": asked.record(),
    }
    where = f"{workspace.predictions(asked.chain, card.name)}/{RUN}"
    if not stores.exists(where) or stores.read_json(where) != record:
        stores.write_json(where, record)
