"""Enhancement: noisy speech in, the same speech without the noise out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metrics import SignalItem
from pipelines import audio
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks.base import (
    Question,
    Task,
    check_signals,
    heard,
    read_answer,
    reference,
    same_length,
)


class Enhancement(Task):
    """Models with `enhance`; the prediction is `{key}.enhanced.wav`, float32."""

    name = "enhancement"
    method = "enhance"
    metrics = ("pesq", "stoi", "si_snr")
    judged = True

    def applies(self, row: Row) -> bool:
        """Clips that come with their clean signal."""
        return row.has("clean")

    def members(self, clip: Row) -> tuple[str, ...]:
        """One signal."""
        return ("enhanced.wav",)

    def question(self, model: Any, clip: Clip) -> Question:
        """A noisy signal and, for oracles, the clean one."""
        signal, rate = heard(model, clip)
        truth = reference(clip, "clean", rate)[None] if model.role == "oracle" else None
        return Question(clip.row, signal, rate, references=truth)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """Every signal, enhanced."""
        truth = {}
        if model.role == "oracle":
            truth["references"] = [question.references for question in questions]
        signals = [question.signal for question in questions]
        answers: Sequence[Any] = model.enhance(
            signals, sample_rate=questions[0].sample_rate, **truth
        )
        return answers

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The enhanced signal of one clip, as long as the clip."""
        enhanced = check_signals(answer, (question.size,))
        return {"enhanced.wav": audio.encode_wav(enhanced, question.sample_rate)}

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> SignalItem:
        """Clean, enhanced and noisy signal at the evaluation rate."""
        rate = sample_rate or clip.row.sample_rate
        clean, enhanced, noisy = same_length(
            reference(clip, "clean", rate),
            read_answer(answer, "enhanced.wav", rate),
            clip.signal(sample_rate=rate),
        )
        return SignalItem(
            references=clean[None],
            estimates=enhanced[None],
            mixture=noisy,
            sample_rate=rate,
            permutation=(0,),
        )
