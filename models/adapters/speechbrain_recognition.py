"""Recognisers of speechbrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from models.adapters.speechbrain_loading import SpeechBrain, is_built_on_hub
from models.base import Signal

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class SpeechBrainRecogniser(SpeechBrain):
    """Base of the recognisers: 16 kHz unless the checkpoint says otherwise.

    Text is as the checkpoint's tokenizer gives it: capitals for those of LibriSpeech. Decoding is
    the checkpoint's own: its searcher, language model, weights and beam. Features are normalised
    over the whole clip and lengths are fractions of the longest clip, so only clips of one length
    share a batch.
    """

    task: ClassVar[str] = "recognition"
    sample_rate = 16_000
    shortest = 1_600  # a tenth of a second leaves frames after all pooling and striding

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the text depends on: transformers, too, where the encoder is a network of the hub,
        such as wav2vec 2.0.
        """
        own = (*SpeechBrain.libraries, "sentencepiece")
        return (*own, "transformers") if is_built_on_hub(self.folder) else own

    def transcribe(self, signals: Sequence[Signal]) -> list[str]:
        """Text of each signal, "" for those without a sample."""
        return self._answers(signals, lambda _: "")

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Any]:
        words, _ = self._network.transcribe_batch(batch, lengths / lengths.max())
        return [str(text) for text in words]


@dataclass(kw_only=True)
class EncoderDecoderRecogniser(SpeechBrainRecogniser):
    """Attention encoder-decoder with joint CTC decoding: CRDNN, Transformer, Conformer; also
    transducers. speechbrain's `EncoderDecoderASR`.
    """

    interface: ClassVar[str] = "ASR.EncoderDecoderASR"


@dataclass(kw_only=True)
class EncoderRecogniser(SpeechBrainRecogniser):
    """CTC over an encoder, such as wav2vec 2.0, greedy or by beam search as the checkpoint says.
    speechbrain's `EncoderASR`.
    """

    interface: ClassVar[str] = "ASR.EncoderASR"
