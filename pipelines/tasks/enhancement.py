"""Enhancement: noisy speech in, the same speech without the noise out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    cut = "overlapping"

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

    def join(self, answers: Iterable[Mapping[str, bytes]], shared: float) -> dict[str, bytes]:
        """One signal; where two stretches overlap, the first is faded into the second."""
        pieces: list[NDArray[np.float32]] = []
        for answer in answers:
            found, rate = audio.read_signal(answer["enhanced.wav"])
            part = found.astype(np.float32)
            fade = round(shared * rate)
            if pieces:
                weights = np.linspace(0.0, 1.0, fade, dtype=np.float32)
                before = pieces.pop()
                part[:fade] = before + weights * (part[:fade] - before)
            pieces += [part[: len(part) - fade], part[len(part) - fade :]]
        return {"enhanced.wav": audio.encode_wav(np.concatenate(pieces), rate)}

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
