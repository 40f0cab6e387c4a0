"""Speaker embeddings by speechbrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from models.adapters.speechbrain_loading import SpeechBrain
from models.base import Signal

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class SpeakerEmbedding(SpeechBrain):
    """ECAPA-TDNN, x-vectors, ResNet: one vector a clip, by speechbrain's `EncoderClassifier`.

    Compared by their cosine. Convolutions reflect at the batch's end, so only clips of one length
    share a batch.
    """

    task: ClassVar[str] = "embedding"
    interface: ClassVar[str] = "classifiers.EncoderClassifier"
    sample_rate = 16_000
    shortest = 1_600  # frames enough for the widest reflection

    def embed_audio(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """(dim,) float32 of every signal, of no set length.

        FailedPrediction for a signal without a sample, of which no vector would say anything.
        """
        self._check_rate(sample_rate)
        return self._answers(signals, _refuse_empty)

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Any]:
        found = self._network.encode_batch(batch, lengths / lengths.max())  # (clips, 1, dim)
        return [vector.copy() for vector in found[:, 0].float().cpu().numpy()]


def _refuse_empty(_: Signal) -> NoReturn:
    from metrics import FailedPrediction

    raise FailedPrediction("empty", "expected a clip with samples to embed, found none")
