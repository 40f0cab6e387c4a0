"""Batches: which clips a model is asked about together, and what becomes of those that fail.

A batch is bounded by seconds of audio, padding included, not by a number of clips: its cost and
its memory then hardly depend on how long the clips are. Clips of a window are sorted by length, so
that little is padded; where padding would change a clip's answer, only equal lengths go together.
What a model itself fills up to a length, such as Whisper's window, counts as that long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from metrics import FailedPrediction, UndefinedMetric
from pipelines import whereabouts
from pipelines.records import Failure
from pipelines.shards.datasets import Clip, printable
from pipelines.tasks.base import Question, Task

WINDOW = 600.0  # seconds of audio held at once: a shard may be longer than memory is large
PADDED = 0.1  # share of a batch that may be padding


def windows(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    """Consecutive clips of WINDOW seconds together, or of one that is longer by itself."""
    window: list[Clip] = []
    held = 0.0
    for clip in clips:
        if window and held + clip.row.seconds > WINDOW:
            yield window
            window, held = [], 0.0
        window.append(clip)
        held += clip.row.seconds
    if window:
        yield window


def ask(task: Task, model: Any, clips: Sequence[Clip]) -> list[dict[str, bytes] | Failure]:
    """A model's answers to clips, each as tar members or why there is none; never an exception."""
    questions: dict[int, Question] = {}
    answers: dict[int, dict[str, bytes] | Failure] = {}
    for number, clip in enumerate(clips):
        try:
            questions[number] = task.question(model, clip)
        except (FailedPrediction, UndefinedMetric, KeyError) as error:  # no truth for an oracle
            answers[number] = _failure(clip.row.key, error)
    for batch in _batches(questions, model):
        asked = [questions[number] for number in batch]
        answers.update(zip(batch, _answers(task, model, asked), strict=True))
    return [answers[number] for number in range(len(clips))]


def _batches(questions: dict[int, Question], model: Any) -> list[list[int]]:
    """Numbers of questions, batch by batch: only such as one call of the model can answer."""
    by_kind: dict[tuple[int, int, int | None], list[int]] = {}
    exact = model.padding == "exact"
    for number, question in questions.items():
        size = None if exact else question.size
        by_kind.setdefault((question.sample_rate, question.sources, size), []).append(number)
    batches = []
    for (rate, *_), numbers in by_kind.items():
        least = round(model.padded_to * rate)
        sizes = [max(questions[number].size, least) for number in numbers]
        for batch in packed(sizes, round(model.batch_seconds * rate)):
            batches.append([numbers[at] for at in batch])
    return batches


def packed(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Indices of clips of so many samples, in batches of at most `most` samples, padding included,
    of which at most a tenth; longest first, so that what is too large for memory shows at once.

    A clip that is longer than `most` is a batch by itself; no clips, no batches.
    """
    batches: list[list[int]] = []
    longest = filled = 0
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        room = longest * (len(batches[-1]) + 1) if batches else 0
        if not batches or room > most or room - filled - sizes[index] > PADDED * room:
            batches.append([])
            longest, filled = sizes[index], 0
        batches[-1].append(index)
        filled += sizes[index]
    return batches


def _answers(
    task: Task, model: Any, questions: Sequence[Question]
) -> list[dict[str, bytes] | Failure]:
    """The answers to one batch. One that fails as a whole, for lack of memory or for one bad clip,
    is asked again in halves, down to the clip that is the cause.
    """
    whereabouts.clips([question.row.key for question in questions])
    try:
        answers = list(task.ask(model, questions))
        if len(answers) != len(questions):
            detail = f"expected {len(questions)} answers, found {len(answers)}"
            raise FailedPrediction("wrong_count", detail)
        return [_stored(task, *pair) for pair in zip(questions, answers, strict=True)]
    except Exception as error:
        if len(questions) == 1:
            return [_failure(questions[0].row.key, error)]
    # Only now: while the error lasts, its traceback holds what the failed call had in memory.
    middle = len(questions) // 2
    halves = questions[:middle], questions[middle:]
    return [answer for half in halves for answer in _answers(task, model, half)]


def _stored(task: Task, question: Question, answer: Any) -> dict[str, bytes] | Failure:
    try:
        return task.stored(question, answer)
    except Exception as error:
        return _failure(question.row.key, error)


def _failure(key: str, error: Exception) -> Failure:
    """What a model threw costs one clip, and is counted."""
    if isinstance(error, FailedPrediction | UndefinedMetric):
        return Failure(key, "predict", error.reason, error.detail)
    exhausted = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    detail = printable(f"{type(error).__name__}: {error}")
    return Failure(key, "predict", "out_of_memory" if exhausted else "error", detail)
