"""Separation and enhancement by speechbrain.

Levels: what `SepformerSeparation` gives is what the network gave, not scaled to a peak of 1 as the
library's own `separate_file` does. These networks were trained by a loss that is blind to scale, so
their signals have no set level. `SpectralMaskEnhancement` scales to a peak of 1 where the
checkpoint's `resynth` does so, which is the library's default. SI-SNR does not notice, and PESQ
aligns levels by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from models.adapters.speechbrain_loading import SpeechBrain
from models.base import Signal, check_sources

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class _Masked(SpeechBrain):
    """Encoder, masks, decoder: speechbrain's `SepformerSeparation`, whatever makes the masks.

    Most of them normalise over the whole clip, so only clips of one length share a batch.
    """

    interface: ClassVar[str] = "separation.SepformerSeparation"
    sample_rate = 8_000
    shortest = 400  # some windows of the longest learned filterbank

    @property
    def sources(self) -> int:
        """How many signals the network parts a mixture into."""
        self.load()
        return int(self._network.hparams.num_spks)

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Any]:
        del lengths  # all are the batch's
        found = self._network.separate_batch(batch)  # (clips, time, sources)
        return list(found.float().transpose(1, 2).cpu().numpy())

    def _parted(self, signals: Sequence[Signal], sample_rate: int) -> list[Signal]:
        """(sources, time) float32 of every signal."""
        self._check_rate(sample_rate)
        none = np.zeros((self.sources, 0), np.float32)
        found = self._answers(signals, lambda _: none.copy())
        return [
            np.ascontiguousarray(answer[:, : len(signal)])
            for answer, signal in zip(found, signals, strict=True)
        ]


@dataclass(kw_only=True)
class SepformerSeparation(_Masked):
    """SepFormer, RE-SepFormer, DPRNN and other dual-path separators, and Conv-TasNet."""

    task: ClassVar[str] = "separation"

    def separate(
        self, mixtures: Sequence[Signal], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) float32 of every mixture, at no set level.

        FailedPrediction where another number of sources is asked for than the network has.
        """
        self._check_rate(sample_rate)
        if check_sources(sources) != self.sources:
            detail = f"expected {sources} sources, this checkpoint parts into {self.sources}"
            from metrics import FailedPrediction

            raise FailedPrediction("wrong_sources", detail)
        return self._parted(mixtures, sample_rate)


@dataclass(kw_only=True)
class SepformerEnhancement(_Masked):
    """A separator trained for speech in noise: its first signal is the speech."""

    task: ClassVar[str] = "enhancement"

    def enhance(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """(time,) float32 of every signal, at no set level."""
        return [np.ascontiguousarray(answer[0]) for answer in self._parted(signals, sample_rate)]


@dataclass(kw_only=True)
class SpectralMaskEnhancement(SpeechBrain):
    """A mask over the magnitude spectrogram with the noisy phase, such as MetricGAN+.

    The recurrent mask and the peak scaling see the whole clip: one length a batch.
    """

    task: ClassVar[str] = "enhancement"
    interface: ClassVar[str] = "enhancement.SpectralMaskEnhancement"
    sample_rate = 16_000
    shortest = 1_600

    def enhance(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """(time,) float32 of every signal, scaled as the checkpoint's `resynth` does; digital
        silence stays silence, of which that scaling would make noise at full scale.
        """
        self._check_rate(sample_rate)
        found = self._answers(signals, lambda signal: signal)
        return [
            np.ascontiguousarray(answer[: len(signal)])
            for answer, signal in zip(found, signals, strict=True)
        ]

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Any]:
        found = self._network.enhance_batch(batch, lengths=lengths / lengths.max())
        heard = batch.abs().amax(dim=1, keepdim=True) > 0
        return list((found.float() * heard).cpu().numpy())
