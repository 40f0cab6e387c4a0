"""Separation, learnt: a Conv-TasNet by the SI-SNR of its estimates in the best order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torchaudio.models import ConvTasNet

from models.training.schedule import adam

TINY = 1e-8  # energy far under that of any sound
SILENT = -60.0  # dBFS; a source below it in a crop teaches nothing about that source

# A third of a million parameters: what two cores can teach something within half an hour.
SMALL: dict[str, int] = {
    "enc_kernel_size": 20,
    "enc_num_feats": 128,
    "msk_kernel_size": 3,
    "msk_num_feats": 64,
    "msk_num_hidden_feats": 128,
    "msk_num_layers": 7,
    "msk_num_stacks": 2,
}


def si_snr(references: Tensor, estimates: Tensor) -> Tensor:
    """SI-SNR in dB along the last axis, means removed; shapes broadcast. As `metrics.si_snr`, but
    with a gradient and never infinite.
    """
    references = references - references.mean(-1, keepdim=True)
    estimates = estimates - estimates.mean(-1, keepdim=True)
    energy = references.square().sum(-1, keepdim=True) + TINY
    target = (references * estimates).sum(-1, keepdim=True) / energy * references
    error = estimates - target
    ratio = (target.square().sum(-1) + TINY) / (error.square().sum(-1) + TINY)
    return 10 * torch.log10(ratio)


def pit_si_snr(references: Tensor, estimates: Tensor) -> Tensor:
    """(batch,) mean SI-SNR in dB of (batch, sources, time) in the order that makes it largest
    (permutation-invariant training: Yu et al., ICASSP 2017; Kolbæk et al., TASLP 2017).
    """
    ratios = si_snr(references[:, :, None], estimates[:, None])  # (batch, reference, estimate)
    sources = list(range(ratios.shape[1]))
    orders = [ratios[:, sources, list(order)].mean(-1) for order in permutations(sources)]
    return torch.stack(orders).amax(0)


class SeparationTraining(LightningModule):
    """Trains a Conv-TasNet (Luo & Mesgarani, TASLP 2019), by torchaudio.

    Its batches are (mixtures (batch, time), sources (batch, sources, time)), float32. Logs
    `train_si_snr` and, on held-out clips, `valid_si_snri`, in dB.
    """

    def __init__(self, network: dict[str, int], learning_rate: float, steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate, self.steps = learning_rate, steps
        self.network = ConvTasNet(**network)

    def forward(self, mixtures: Tensor) -> Tensor:
        """(batch, sources, time) estimates of (batch, time) mixtures."""
        estimates: Tensor = self.network(mixtures[:, None])
        return estimates

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch: minus the mean SI-SNR in the best order."""
        mixtures, sources = batch
        mean = pit_si_snr(sources, self(mixtures)).mean()
        self.log("train_si_snr", mean, prog_bar=True)
        return -mean

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """How much better than the mixture the estimates of held-out clips are."""
        mixtures, sources = batch
        before = si_snr(sources, mixtures[:, None]).mean(-1)
        gained = pit_si_snr(sources, self(mixtures)) - before
        self.log("valid_si_snri", gained.mean(), prog_bar=True, batch_size=len(mixtures))

    def configure_optimizers(self) -> Any:
        """See `schedule.adam`."""
        return adam(self.parameters(), self.learning_rate, self.steps)
