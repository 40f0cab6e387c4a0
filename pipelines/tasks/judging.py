"""Judging: a clip and a model's answer to it in, how good an estimator thinks the answer is out.

A judge hears the mixture and every estimate of it; a model that judges one signal by itself (SQUIM)
hears the estimates one after another. Nothing needs a reference, so recordings of real life and
made mixtures are judged alike. It is a task over another one's answers, asked as every task is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics import BlindItem, FailedPrediction, UndefinedMetric
from pipelines import audio
from pipelines.audio import BadAudio
from pipelines.records import Failure
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays
from pipelines.tasks.base import Question, Task, read_answer, same_length

VALUES = "json"
UNDEFINED = "undefined"  # the member's key for why nobody could judge a clip
SHORT = 1.0  # seconds: an estimator that says nothing of a longer clip is broken
QUIET = 1e-6  # deviation, -120 dBFS, under which a signal of which nothing is said is silent

Answered = Mapping[str, bytes] | Failure


@dataclass(frozen=True)
class Judged(Question):
    """A mixture and what a model made of it, (sources, time) float32; or why nobody can judge."""

    estimates: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    undefined: str = ""


class Judging(Task):
    """What an estimator is asked about the answers to another task, which `of` is.

    `answers` gives a model's answer by key, or its failure, which is then this one's, too. The
    prediction is `{key}.json`: lists by name, a value an estimate.
    """

    name = "judging"
    method = "judge"
    metrics = ()

    def __init__(self, of: Task, answers: Callable[[str], Answered]) -> None:
        self._of = of
        self._answers = answers

    def applies(self, row: Row) -> bool:
        """Every clip: no truth is needed."""
        del row
        return True

    def members(self, clip: Row) -> tuple[str, ...]:
        """One object of lists."""
        del clip
        return (VALUES,)

    def question(self, model: Any, clip: Clip) -> Judged:
        """What was heard and answered, at the estimator's rate, else at the lower of theirs.

        FailedPrediction where the model has no answer, or one at a lower rate than the estimator's.
        """
        given = self._answers(clip.row.key)
        if isinstance(given, Failure):
            raise FailedPrediction(given.reason, given.detail)
        names = self._of.members(clip.row)
        lowest = min(_rate(given, name) for name in names)
        rate = model.sample_rate or min(lowest, clip.row.sample_rate)
        if rate > clip.row.sample_rate:
            return Judged(clip.row, np.zeros(0, np.float32), rate, undefined="low_rate")
        if rate > lowest:
            detail = f"answered at {lowest} Hz, to be judged at {rate} Hz"
            raise FailedPrediction("low_rate", detail)
        mixture = clip.signal(sample_rate=rate)
        estimates = _stacked([read_answer(given, name, rate) for name in names])
        mixture, estimates, _ = same_length(mixture, estimates, mixture)
        return _judged(clip.row, mixture.astype(np.float32), estimates.astype(np.float32), rate)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """The guesses of every clip; none of those that nobody can judge."""
        asked = [each for each in questions if isinstance(each, Judged) and not each.undefined]
        said = (_judge if model.judges else _listen)(model, asked) if asked else []
        if len(said) != len(asked):
            raise FailedPrediction("wrong_count", f"expected {len(asked)}, found {len(said)}")
        found = {id(question): answer for question, answer in zip(asked, said, strict=True)}
        return [found.get(id(question)) for question in questions]

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The guesses of one clip, or why there are none."""
        assert isinstance(question, Judged)
        try:
            if question.undefined:
                raise UndefinedMetric(question.undefined)
            values = _checked(question, answer)
        except UndefinedMetric as error:
            return {VALUES: arrays.to_json({UNDEFINED: error.reason})}
        return {VALUES: arrays.to_json(values)}

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> BlindItem:
        """The guesses as a blind metric takes them."""
        del clip, sample_rate
        return item(answer)


def item(answer: Mapping[str, bytes]) -> BlindItem:
    """A stored answer as a blind metric takes it; FailedPrediction where it cannot be read."""
    found = arrays.read_json(answer, VALUES)
    if UNDEFINED in found:
        return BlindItem({}, str(found[UNDEFINED]))
    try:
        return BlindItem({name: tuple(map(float, values)) for name, values in found.items()})
    except (TypeError, ValueError) as error:
        raise FailedPrediction("undecodable", f"{VALUES}: {error}") from error


def _rate(given: Mapping[str, bytes], name: str) -> int:
    """Hz of a stored signal."""
    if name not in given:
        raise FailedPrediction("missing", f"the prediction has no member {name!r}")
    try:
        return audio.header(given[name]).sample_rate
    except BadAudio as error:
        raise FailedPrediction("undecodable", f"{name}: {error}") from error


def _stacked(estimates: Sequence[audio.Signal]) -> audio.Signal:
    lengths = sorted({len(estimate) for estimate in estimates})
    if len(lengths) > 1:
        raise FailedPrediction("wrong_length", f"expected one length, found {lengths} samples")
    return np.stack(estimates)


def _judged(
    row: Row, mixture: NDArray[np.float32], estimates: NDArray[np.float32], rate: int
) -> Judged:
    """The question, unless there is nothing to be heard; the input's fault goes first."""
    sources = len(estimates)
    if not mixture.size or not np.ptp(mixture):
        return Judged(row, mixture, rate, sources, undefined="silent_mixture")
    if not np.isfinite(estimates).all():
        raise FailedPrediction("not_finite", "an estimate holds NaN or infinity")
    if not np.ptp(estimates, axis=1).all():
        raise FailedPrediction("silent_estimate", "an estimate is silent or constant")
    return Judged(row, mixture, rate, sources, estimates=estimates)


def _judge(model: Any, asked: Sequence[Judged]) -> list[Any]:
    """Mixtures and estimates together."""
    mixtures = [question.signal for question in asked]
    estimates = [question.estimates for question in asked]
    return list(model.judge(mixtures, estimates, sample_rate=asked[0].sample_rate))


def _listen(model: Any, asked: Sequence[Judged]) -> list[Any]:
    """Every estimate by itself, the values of a clip put together by name."""
    signals = [estimate for question in asked for estimate in question.estimates]
    said = iter(list(model.estimate(signals, sample_rate=asked[0].sample_rate)))
    answers = []
    for question in asked:
        values = [next(said) for _ in question.estimates]
        answers.append({name: [value[name] for value in values] for name in values[0]})
    return answers


def _checked(question: Judged, answer: Any) -> dict[str, list[float]]:
    """An estimator's lists, if they are finite and as many as estimates."""
    if not isinstance(answer, Mapping) or not answer:
        detail = f"expected lists by name, found {type(answer).__name__}"
        raise FailedPrediction("wrong_shape", detail)
    values = {str(name): [float(value) for value in list_] for name, list_ in answer.items()}
    for name, found in values.items():
        if len(found) != len(question.estimates):
            detail = f"{name}: expected {len(question.estimates)} values, found {len(found)}"
            raise FailedPrediction("wrong_shape", detail)
    unsaid = [n for n, row in enumerate(zip(*values.values(), strict=True))
              if not np.isfinite(row).all()]  # fmt: skip
    if unsaid:
        raise _unsaid(question, unsaid)
    return values


def _unsaid(question: Judged, unsaid: Sequence[int]) -> Exception:
    """Why nothing was said of these estimates: silence, too little sound, or a broken estimator."""
    if np.std(question.signal) < QUIET:
        return UndefinedMetric("silent_mixture")
    if (np.std(question.estimates[list(unsaid)], axis=1) < QUIET).all():
        return FailedPrediction("silent_estimate", f"nothing is said of estimates {list(unsaid)}")
    if len(unsaid) == len(question.estimates) and question.row.seconds < SHORT:
        return UndefinedMetric("too_short")
    return FailedPrediction("not_finite", f"the estimator says NaN of estimates {list(unsaid)}")
