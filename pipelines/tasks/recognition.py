"""Recognition: a clip in, its words out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metrics import FailedPrediction, TextItem, UndefinedMetric
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks.base import Question, Task


class Recognition(Task):
    """Models with `transcribe`; the prediction is `{key}.txt`, raw: normalising is the metric's."""

    name = "recognition"
    method = "transcribe"
    metrics = ("wer", "cer")
    cut = "apart"

    def applies(self, row: Row) -> bool:
        """Clips with a transcript."""
        return row.text is not None

    def members(self, clip: Row) -> tuple[str, ...]:
        """One text."""
        return ("txt",)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """Transcripts."""
        answers: Sequence[Any] = model.transcribe([question.signal for question in questions])
        return answers

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The transcript of one clip."""
        if not isinstance(answer, str):
            raise FailedPrediction("not_text", f"expected words, found {type(answer).__name__}")
        return {"txt": answer.encode()}

    def join(self, answers: Iterable[Mapping[str, bytes]], shared: float) -> dict[str, bytes]:
        """The transcripts one after another."""
        del shared
        return {"txt": b" ".join(each["txt"] for each in answers if each["txt"])}

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> TextItem:
        """The true and the recognised words."""
        if clip.row.text is None:
            raise UndefinedMetric("no_reference", "the clip has no transcript")
        if "txt" not in answer:
            raise FailedPrediction("missing", "the prediction has no member 'txt'")
        try:
            return TextItem(clip.row.text, answer["txt"].decode())
        except UnicodeDecodeError as error:
            raise FailedPrediction("not_utf8", str(error)) from error
