"""Retrieval: a caption finds its sound among all others, and a sound its caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from metrics import FailedPrediction, RankItem, UndefinedMetric
from pipelines.shards.datasets import Clip, Row
from pipelines.tasks import arrays
from pipelines.tasks.base import Question, Task

PLACES = "json"
CAPTION = "caption"  # the label that a clip's caption stands under
NAMES = ("audio_to_text", "text_to_audio", "texts", "audios")


class Retrieval(Task):
    """Text-audio models; what is stored of a clip, `{key}.json`, are its places and how many were
    searched: see `pipelines.retrieval`, which makes them of a whole dataset's embeddings.
    """

    name = "retrieval"
    method = "embed_audio"
    metrics = (
        *("t2a_r1", "t2a_r5", "t2a_r10", "t2a_map10"),
        *("a2t_r1", "a2t_r5", "a2t_r10", "a2t_map10"),
    )

    def applies(self, row: Row) -> bool:
        """Clips with a caption."""
        return bool(row.labels.get(CAPTION))

    def members(self, clip: Row) -> tuple[str, ...]:
        """One object of numbers."""
        return (PLACES,)

    def ask(self, model: Any, questions: Sequence[Question]) -> NoReturn:
        """Nothing: no clip has a place by itself."""
        raise TypeError("expected embeddings to be ranked, not a model to be asked")

    def stored(self, question: Question, answer: Any) -> dict[str, bytes]:
        """Places by name."""
        return {PLACES: arrays.to_json({name: int(answer[name]) for name in NAMES})}

    def item(self, clip: Clip, answer: Mapping[str, bytes], sample_rate: int | None) -> RankItem:
        """The places of one clip."""
        if not self.applies(clip.row):
            raise UndefinedMetric("no_reference", "the clip has no caption")
        found = arrays.read_json(answer, PLACES)
        values = [found.get(name) for name in NAMES]
        if not all(type(value) is int and value >= 1 for value in values):
            raise FailedPrediction("undecodable", f"expected places from 1, found {found!r:.80}")
        return RankItem(*(int(value) for value in values if value is not None))
