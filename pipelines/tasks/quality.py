"""Quality: a clip in, what its STOI, PESQ or SI-SDR would be by a model that has no reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics import EstimateItem, FailedPrediction, UndefinedMetric
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays
from pipelines.tasks.base import Question, Task, reference

VALUES = "json"


class Quality(Task):
    """Models with `estimate`; the prediction is `{key}.json`, values by the metric's name.

    The truth is the metric of that name on the clip as it was heard, against its clean signal.
    """

    name = "quality"
    method = "estimate"
    metrics = ("stoi_error", "pesq_error", "si_sdr_error")

    def applies(self, row: Row) -> bool:
        """Clips that come with their clean signal."""
        return row.has("clean")

    def members(self, clip: Row) -> tuple[str, ...]:
        """One object of numbers."""
        return (VALUES,)

    def ask(self, model: Any, questions: Sequence[Question]) -> Sequence[Any]:
        """The values of every clip."""
        signals = [question.signal for question in questions]
        answers: Sequence[Any] = model.estimate(signals, sample_rate=questions[0].sample_rate)
        return answers

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """The values of one clip."""
        if not isinstance(answer, Mapping) or not answer:
            detail = f"expected values by name, found {type(answer).__name__}"
            raise FailedPrediction("wrong_shape", detail)
        values = {str(name): float(value) for name, value in answer.items()}
        if not all(np.isfinite(value) for value in values.values()):
            raise FailedPrediction("not_finite", "the answer holds NaN or infinity")
        return {VALUES: arrays.to_json(values)}

    def item(
        self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None
    ) -> EstimateItem:
        """The clean signal and the clip as it was heard, beside what the model said of it."""
        rate = sample_rate or clip.row.sample_rate
        if rate > clip.row.sample_rate:
            detail = f"recorded at {clip.row.sample_rate} Hz, to be measured at {rate} Hz"
            raise UndefinedMetric("low_rate", detail)
        clean, heard = reference(clip, "clean", rate), clip.signal(sample_rate=rate)
        shortest = min(len(clean), len(heard))
        if max(len(clean), len(heard)) - shortest > 2:
            lengths = f"clean and heard: {len(clean)} and {len(heard)} samples"
            raise UndefinedMetric("wrong_length_mixture", lengths)
        return EstimateItem(
            clean[:shortest], heard[:shortest], rate, _numbers(arrays.read_json(answer, VALUES))
        )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The values of a stored answer; FailedPrediction for anything but numbers."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FailedPrediction("undecodable", f"{name}: expected a number, found {value!r:.40}")
    return {name: float(value) for name, value in values.items()}
