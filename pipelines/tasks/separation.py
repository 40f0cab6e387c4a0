"""Separation: several voices at once in, one signal a voice out, in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics import FailedPrediction, SignalItem, UndefinedMetric, pit_si_snr
from pipelines import audio
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks.base import Question, Task, check_signals, heard, read_answer, same_length

FEWEST = 2  # sources asked for where the clip does not say how many it has


class Separation(Task):
    """Models with `separate`; the prediction is `{key}.s1.wav`…, float32.

    The permutation that maximises the mean SI-SNR (PIT) is found once a clip and used by every
    metric of it.
    """

    name = "separation"
    method = "separate"
    metrics = ("si_snri", "si_snr", "pesq", "stoi")
    judged = True

    def applies(self, row: Row) -> bool:
        """Clips that come with two sources or more."""
        return row.sources >= FEWEST

    def members(self, clip: Row) -> tuple[str, ...]:
        """One signal a source."""
        return tuple(f"s{n + 1}.wav" for n in range(max(clip.sources, FEWEST)))

    def question(self, model: Any, clip: Clip) -> Question:
        """A mixture, how many sources it has and, for oracles, which."""
        mixture, rate = heard(model, clip)
        truth = clip.sources(rate) if model.role == "oracle" else None
        return Question(clip.row, mixture, rate, len(self.members(clip.row)), truth)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """The sources of every mixture."""
        truth = {}
        if model.role == "oracle":
            truth["references"] = [question.references for question in questions]
        first = questions[0]
        answers: Sequence[Any] = model.separate(
            [question.signal for question in questions],
            sample_rate=first.sample_rate,
            sources=first.sources,
            **truth,
        )
        return answers

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The separated signals of one clip, each as long as the clip."""
        signals = check_signals(answer, (question.sources, question.size))
        return {
            name: audio.encode_wav(signal, question.sample_rate)
            for name, signal in zip(self.members(question.row), signals, strict=True)
        }

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> SignalItem:
        """Sources, their estimates in the same order, and the mixture at the evaluation rate."""
        if not self.applies(clip.row):
            raise UndefinedMetric("no_reference", "the clip has no separate sources")
        rate = sample_rate or clip.row.sample_rate
        estimates = [read_answer(answer, name, rate) for name in self.members(clip.row)]
        lengths = sorted({len(estimate) for estimate in estimates})
        if len(lengths) > 1:
            raise FailedPrediction("wrong_length", f"expected one length, found {lengths} samples")
        sources, stacked, mixture = same_length(
            clip.sources(rate), np.stack(estimates), clip.signal(sample_rate=rate)
        )
        _, permutation = pit_si_snr(sources, stacked)
        return SignalItem(
            references=sources,
            estimates=stacked[list(permutation)],
            mixture=mixture,
            sample_rate=rate,
            permutation=tuple(int(n) for n in permutation),
        )
