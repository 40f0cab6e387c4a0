"""The contract of a task, and what tasks over signals share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics import FailedPrediction, UndefinedMetric
from pipelines import audio
from pipelines.shards.datasets import Clip, Row

Item = Any  # metrics.TextItem, SignalItem, ClassItem, EstimateItem or BlindItem


@dataclass(frozen=True)
class Question:
    """What a model is asked about one clip: (time,) float32, or (channels, time) for an array."""

    row: Row
    signal: NDArray[np.float32]
    sample_rate: int
    sources: int = 0  # that it is to part the signal into
    references: NDArray[np.floating] | None = None  # (sources, time); for oracles alone

    @property
    def size(self) -> int:
        """Samples of a channel."""
        return int(self.signal.shape[-1])


class Task(ABC):
    """What a model owes for one kind of question, and how its answer is stored and scored."""

    name: ClassVar[str]
    method: ClassVar[str]  # what is called on a model
    metrics: ClassVar[tuple[str, ...]]  # scored by default, the first ranks; (): no clip is scored
    version: ClassVar[str] = "1"  # bump when the same model would store another answer
    cut: ClassVar[str] = ""  # how stretches of a long clip lie: "overlapping", "apart"; "": whole
    judged: ClassVar[bool] = False  # answers are signals, which an estimator can judge

    @abstractmethod
    def applies(self, row: Row) -> bool:
        """Whether a sample carries the truth that this task's metrics need."""

    def question(self, model: Any, clip: Clip) -> Question:
        """What a model is asked about a clip."""
        signal, rate = heard(model, clip)
        return Question(clip.row, signal, rate)

    @abstractmethod
    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """A model's answers, in order, to questions of one sample rate and number of sources."""

    @abstractmethod
    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """An answer as tar members by name.

        Raises FailedPrediction where it cannot be one (NaN, wrong length…).
        """

    def join(self, answers: Iterable[Mapping[str, bytes]], shared: float) -> dict[str, bytes]:
        """The answer to a long clip, of those to its stretches, which share `shared` seconds with
        the next; for tasks with `cut`.
        """
        raise TypeError(f"{self.name}: answers to stretches of a clip cannot be joined")

    @abstractmethod
    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> Item:
        """Truth and answer side by side, as a metric takes them, signals at `sample_rate` Hz.

        Raises UndefinedMetric where the clip has no truth, FailedPrediction where the answer
        cannot be read.
        """

    @abstractmethod
    def members(self, clip: Row) -> tuple[str, ...]:
        """The names of the members that an answer to this clip consists of."""


def heard(model: Any, clip: Clip) -> tuple[NDArray[np.float32], int]:
    """What a model hears, float32, at its own rate, or at the clip's if it takes any: (time,), or
    (channels, time) for an array.
    """
    rate = model.sample_rate or clip.row.sample_rate
    hear = clip.channels if model.array else clip.signal
    return hear(sample_rate=rate).astype(np.float32), rate


def check_signals(answer: NDArray, expected: tuple[int, ...]) -> NDArray[np.float32]:
    """A model's signals as float32, if they are finite and of the expected shape."""
    found = np.asarray(answer, dtype=np.float32)
    if len(expected) == 2 and (found.ndim != 2 or found.shape[0] != expected[0]):
        raise FailedPrediction("wrong_sources", f"expected {expected}, found {found.shape}")
    if found.shape != expected:
        raise FailedPrediction("wrong_length", f"expected {expected}, found {found.shape}")
    if not np.isfinite(found).all():
        raise FailedPrediction("not_finite", "the answer holds NaN or infinite samples")
    return found


def read_answer(answer: Mapping[str, bytes], name: str, sample_rate: int) -> audio.Signal:
    """A stored signal at the evaluation rate; FailedPrediction where it is missing or broken."""
    if name not in answer:
        raise FailedPrediction("missing", f"the prediction has no member {name!r}")
    try:
        signal, rate = audio.read_signal(answer[name])
    except (RuntimeError, ValueError) as error:
        raise FailedPrediction("undecodable", f"{name}: {error}") from error
    if signal.ndim != 1:
        raise FailedPrediction("wrong_channels", f"{name}: expected mono, found {signal.shape}")
    return audio.resample(signal, rate, sample_rate)


def same_length(
    references: audio.Signal, estimates: audio.Signal, mixture: audio.Signal
) -> tuple[audio.Signal, audio.Signal, audio.Signal]:
    """Cut the one or two samples by which two ways of resampling may differ; more is a failure."""
    lengths = (references.shape[-1], estimates.shape[-1], mixture.shape[-1])
    shortest = min(lengths)
    if max(lengths) - shortest > 2:
        raise FailedPrediction("wrong_length", f"reference, estimate, mixture: {lengths} samples")
    return references[..., :shortest], estimates[..., :shortest], mixture[..., :shortest]


def reference(clip: Clip, name: str, sample_rate: int) -> audio.Signal:
    """A true signal at the evaluation rate; UndefinedMetric where the clip has none."""
    if not clip.row.has(name):
        raise UndefinedMetric("no_reference", f"the clip has no member {name!r}")
    return clip.signal(name, sample_rate)
