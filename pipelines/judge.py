"""Judge: a dataset's shards and a model's answers side by side, what an estimator thinks of them.

A blind value is a prediction on a prediction: it lies under the chain of both fingerprints, one
shard for one, and is scored as every prediction is. A blind metric's spec names its estimator, with
its fingerprint, so that another estimator is another metric; `truth` is the metric that it guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metrics import MetricSpec
from pipelines import predict, score, stores, tasks
from pipelines.predict import Answered, Asking, Handling
from pipelines.records import LostWork, Part, RealEarError, digest
from pipelines.score import Answers
from pipelines.shards import sidecars
from pipelines.shards.datasets import Card
from pipelines.tasks.judging import Judging
from pipelines.workspace import Workspace

VERSION = "1"  # bump when the same estimator would be asked otherwise
BLIND = "blind"  # the kind of item that a metric without a truth scores
JUDGED = (
    "si_snr"  # what judges guess, who hear mixture and estimates; others hear an estimate alone
)


@dataclass(frozen=True)
class Reviewing(Asking):
    """References of one shard, and of a model's answers to it, to ask an estimator about."""

    answers: str = ""  # folder
    task: str = ""


@dataclass(frozen=True)
class Judge(Handling):
    """An estimator by name, as a worker needs it; asked about another model's answers."""

    def answer(self, part: Part, model: Any) -> Answered:
        """Write one shard of judgements."""
        asking: Reviewing = part.payload
        answers = Answers(asking.answers, part.stem)
        try:
            return predict.predict_shard(part, model, Judging(tasks.get(asking.task), answers.of))
        finally:
            answers.close()


def is_blind(spec: MetricSpec) -> bool:
    """Whether a metric's values are an estimator's guesses."""
    return spec.metric.item == BLIND


def spec(name: str, task: str, **parameters: Any) -> MetricSpec:
    """A metric with its parameters, a blind one with its estimator's fingerprint.

    RealEarError where there is no such metric or estimator, where it does not guess this metric,
    where the task's answers cannot be judged, or where it is not the one of a fingerprint given.
    """
    found = score.spec(name, **parameters)
    if not is_blind(found):
        return found
    if not tasks.get(task).judged:
        raise RealEarError(
            f"metric {name!r}: expected a task whose answers are signals (separation or "
            f"enhancement), found {task!r}"
        )
    fingerprint, wanted = estimator(found).fingerprint, found.parameters["fingerprint"]
    if wanted not in ("", fingerprint):
        raise RealEarError(
            f"metric {name!r}: expected the estimator {found.parameters['estimator']!r} with "
            f"fingerprint {wanted}, found {fingerprint}: leave `fingerprint` out for the one that "
            "is installed"
        )
    return score.spec(name, **{**found.parameters, "fingerprint": fingerprint})


def estimator(spec: MetricSpec) -> Judge:
    """Who guesses a blind metric; RealEarError where that model cannot."""
    name = str(spec.parameters["estimator"])
    given = dict(spec.parameters["parameters"])
    found = predict.handling(_plain(name), name, "quality", given, judging=True)
    if found.create().judges != (spec.metric.truth == JUDGED):
        heard = "a mixture and its estimates" if spec.metric.truth == JUDGED else "one signal"
        raise RealEarError(
            f"metric {spec.name!r}: expected an estimator that hears {heard}, found {name!r}: "
            "`realear list models` shows them under quality"
        )
    return Judge(**vars(found))


def chain(answered: str, spec: MetricSpec) -> str:
    """Where a model's scores lie: its own chain, for a blind metric with the estimator's behind."""
    if not is_blind(spec):
        return answered
    return f"{answered}+{called(spec)}"


def called(spec: MetricSpec) -> str:
    """A blind metric's estimator as folders have it: name and fingerprint."""
    return f"{_plain(str(spec.parameters['estimator']))}-{spec.parameters['fingerprint']}"


def _plain(name: str) -> str:
    """A model's name as folders have it."""
    return name.replace(":", "-").replace(".", "-")


def truths(specs: Sequence[MetricSpec], lowest: int) -> dict[str, MetricSpec]:
    """By the hash of each blind metric what it guesses, to be scored where there is a truth.

    At the rate that the estimator hears. `lowest` is the rate in Hz that everything of a comparison
    can be brought down to; RealEarError for an estimator that hears a higher one, since nothing is
    brought up.
    """
    return {spec.hash: _truth(spec, lowest) for spec in specs if is_blind(spec)}


def _truth(spec: MetricSpec, lowest: int) -> MetricSpec:
    rate = estimator(spec).create().sample_rate or lowest
    if 0 < lowest < rate:
        raise RealEarError(
            f"metric {spec.name!r}: expected datasets and models at {rate} Hz or more, as the "
            f"estimator {spec.parameters['estimator']!r} hears them, found {lowest} Hz: choose an "
            "estimator of that rate, since nothing is brought up"
        )
    return score.spec(spec.metric.truth, sample_rate=rate or None)


def plan(
    workspace: Workspace,
    card: Card,
    asked: Handling,
    judge: Judge,
    *,
    dataset: str = "",
) -> list[Part]:
    """Parts of one estimator × model × dataset; the model's answers must be there."""
    answers = workspace.predictions(asked.chain, card.name)
    linked = f"{asked.chain}+{judge.chain}"
    made_of = ["judge", VERSION, linked, asked.task, tasks.get(asked.task).version, Judging.version]
    parts = []
    for shard in card.shards:
        answered = sidecars.read(answers, shard.stem)
        if answered is None:
            raise LostWork(f"{answers}/{shard.stem}: expected predictions, found none")
        asking = Reviewing(
            dataset or workspace.dataset(card.name),
            f"{workspace.timing_spool}/{linked}~{card.name}~{shard.stem}.json",
            answers,
            asked.task,
        )
        inputs = digest([*made_of, shard.content, answered.content])
        folder = workspace.predictions(linked, card.name)
        parts.append(Part(folder, shard.stem, inputs, shard.clips, shard.seconds, asking))
    return parts


def describe(workspace: Workspace, card: Card, asked: Handling, judge: Judge) -> None:
    """Write `run.json`, unless it stands already: who judged whose answers."""
    linked = f"{asked.chain}+{judge.chain}"
    record = {
        "chain": linked,
        "task": asked.task,
        "dataset": card.name,
        "dataset_content": card.content,
        "model": judge.record(),
        "of": asked.chain,
    }
    where = f"{workspace.predictions(linked, card.name)}/{predict.RUN}"
    if not stores.exists(where) or stores.read_json(where) != record:
        stores.write_json(where, record)
