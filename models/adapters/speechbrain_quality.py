"""REAL-M's blind estimator: the SI-SNR of separated signals without the true ones.

Subakan et al., "REAL-M: Towards speech separation on real mixtures" (arXiv 2110.10812). Its
published inference repeats the mixtures of a batch in another order than their estimates, divides
by a deviation of zero for silence and adds noise in its pooling; none of this is done here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.adapters.speechbrain_loading import SpeechBrain
from models.base import Signal

if TYPE_CHECKING:
    import torch

FEWEST = 65  # samples that leave two frames, the least that have a deviation
SILENT = 1e-8  # deviation under which a signal is digital silence or constant


@dataclass(kw_only=True)
class RealMEstimator(SpeechBrain):
    """SI-SNR in dB of each of a mixture's estimates, within the range that it was trained on.

    Not a model of a task: it hears a mixture and estimates. The published network, the checkpoint
    speechbrain/REAL-M-sisnr-estimator, is at 8 kHz and answers from 0 to 10 dB; the share of
    answers at either end belongs beside their mean.
    """

    task: ClassVar[str] = "blind SI-SNR"
    interface: ClassVar[str] = "metrics.SNREstimator"
    sample_rate = 8_000

    def estimate_si_snr(
        self, mixture: Signal, estimates: Signal, sample_rate: int
    ) -> NDArray[np.float32]:
        """(sources,) dB of `estimates`, (sources, time), of `mixture`, (time,).

        NaN where an estimate is silent or constant, everywhere where the mixture is or under
        65 samples are heard. ValueError for other shapes or another rate than the network's.
        """
        self._check_rate(sample_rate)
        heard, parted = np.asarray(mixture), np.asarray(estimates)
        if heard.ndim != 1 or parted.ndim != 2 or parted.shape[1] != len(heard):
            raise ValueError(
                f"expected a mixture (time,) and estimates (sources, time) of one length, got "
                f"{heard.shape} and {parted.shape}"
            )
        answer = np.full(len(parted), np.nan, np.float32)
        if len(heard) < FEWEST or np.std(heard) < SILENT:
            return answer
        clear = np.flatnonzero(np.std(parted, axis=1) >= SILENT)
        for number in clear:  # one by one: an answer depends on no other estimate
            pair = np.stack([parted[number], heard]).astype(np.float32)
            [answer[number]] = self._batched([pair.ravel()], self._estimated)
        return answer

    def _estimated(self, batch: torch.Tensor, lengths: torch.Tensor) -> list[float]:
        """The dB of one estimate, which stands before its mixture in one row."""
        del lengths
        pair = batch.reshape(1, 2, -1)
        network = self._network
        scaling = getattr(network.hparams, "separation_norm_type", None)
        if scaling == "stnorm":
            pair = (pair - pair.mean(-1, keepdim=True)) / pair.std(-1, keepdim=True)
        elif scaling == "max":
            pair = pair / pair.amax(-1, keepdim=True)
        frames = network.mods.encoder(pair).transpose(1, 2)
        share = network.mods.encoder_out(network.hparams.stat_pooling(frames))
        return [float(network.gettrue_snrrange(share.float().squeeze()))]
