"""Judging separators, learnt: the SI-SNR of an estimate from it and the mixture alone."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn import functional

from models import blind_networks as networks
from models.training import spoiling
from models.training.schedule import adam, muon
from models.training.separation import si_snr

SMALL: dict[str, int] = {"width": 20, "context": 80}
REMASKED = 0.25  # share of estimates that are made anew, by a mask
SPOILT = 0.4  # share of estimates that are spoilt further
LEFT = 0.5  # of those made anew: the others are what the mask leaves of the mixture
SPOILT_OTHERS, BLENDED_OTHERS, ALONE = 0.2, 0.4, 0.15  # shares of the others
CELLS = 1.0  # weight of the shares of error in the loss, against that of the SI-SNR
FAINT = 1e-5  # of an estimate's energy: a cell below it has no share of error to learn
TINY = 1e-10

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Mixtures, estimates, references and others, (batch, time) each."""


def varied(batch: Batch, remasked: float = REMASKED) -> Batch:
    """A batch in other colours, a share of its estimates made anew, most spoilt or blended.

    The others, whose truth is the rest of the mixture, are varied likewise, by themselves: what a
    mask left, spoilt, blended; some are taken away, as where one source alone was asked for.
    """
    mixtures, estimates, references, others = spoiling.coloured(list(batch))
    rest = mixtures - references
    anew = spoiling.some(mixtures, remasked)
    estimates[anew] = spoiling.remasked(mixtures[anew], references[anew])
    left = anew[spoiling.some(anew, LEFT)]
    others[left] = mixtures[left] - estimates[left]
    some = spoiling.some(mixtures, SPOILT)
    estimates[some] = spoiling.spoilt(mixtures[some], estimates[some], references[some])
    some = spoiling.some(mixtures, SPOILT_OTHERS)
    others[some] = spoiling.spoilt(mixtures[some], others[some], rest[some])
    others = spoiling.blended(others, rest, BLENDED_OTHERS)
    others[spoiling.some(mixtures, ALONE)] = 0
    return mixtures, spoiling.blended(estimates, references), references, others


def in_order(batch: Batch) -> Tensor:
    """(batch,) whether estimate and others are in the best order. Where they are not, whoever hears
    both takes the estimate for the others', so that there is nothing to learn; without others all
    are in order.
    """
    mixtures, estimates, references, others = batch
    rest = mixtures - references
    straight = si_snr(references, estimates) + si_snr(rest, others)
    crossed = si_snr(rest, estimates) + si_snr(references, others)
    return (straight >= crossed) | (others.square().sum(1) < TINY)


class QualityTraining(LightningModule):
    """Trains `Spectral`: the Laplace likelihood of the SI-SNR, and which cells are in error.

    Estimates are spoilt and blended anew whenever they come up (`spoiling`), their SI-SNR measured
    after that, without an end on either side. Logs `train_loss` and `valid_mae`, dB, on held-out
    estimates as they are.
    """

    def __init__(
        self, sample_rate: int, network: dict[str, int], learning_rate: float, steps: int
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate, self.steps = learning_rate, steps
        self.network = networks.Spectral(sample_rate, **network)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a batch, spoilt."""
        loss = self.loss(varied(batch))
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihoods, of the SI-SNR in dB and of the cells' shares."""
        mixtures, estimates, references, others = batch
        lengths = torch.full((len(mixtures),), mixtures.shape[1], device=mixtures.device)
        found = self.network(mixtures, estimates, others, lengths)
        off = (found.si_snr - si_snr(references, estimates)).abs()
        weight = in_order(batch).float()
        ratio = weight * (off * torch.exp(-found.log_scale) + found.log_scale)
        cells = self._cells(found, estimates, references, weight)
        return ratio.sum() / weight.sum().clamp(1) + CELLS * cells

    def _cells(
        self, found: networks.Judgement, estimates: Tensor, references: Tensor, clips: Tensor
    ) -> Tensor:
        """How well the shares of error are told, in nats, louder cells weighing somewhat more."""
        energy = references.square().sum(1, keepdim=True) + TINY
        target = (estimates * references).sum(1, keepdim=True) / energy * references
        powers = [
            networks.cells(networks.power(self.network.analysis.transform(one)))
            for one in (target, estimates - target)
        ]
        share = powers[1] / (powers[0] + powers[1] + TINY)
        relative = found.energy / (found.energy.sum((1, 2), keepdim=True) + TINY)
        weight = torch.where(relative > FAINT, relative.clamp(TINY) ** 0.3, 0.0)
        weight = weight * clips[:, None, None]
        told = functional.binary_cross_entropy_with_logits(found.shares, share, reduction="none")
        return (weight * told).sum() / (weight.sum() + TINY)

    def validation_step(self, batch: Batch, _: int) -> None:
        """How far off the guesses of held-out estimates are."""
        mixtures, estimates, references, others = batch
        lengths = torch.full((len(mixtures),), mixtures.shape[1], device=mixtures.device)
        found = self.network(mixtures, estimates, others, lengths)
        off = (found.si_snr - si_snr(references, estimates)).abs().mean()
        self.log("valid_mae", off, prog_bar=True, batch_size=len(mixtures))

    def configure_optimizers(self) -> Any:
        """See `schedule.muon`: after 600 batches a fifth less far off than by Adam alone."""
        hidden = self.network.hidden()
        known = {id(one) for one in hidden}
        others = [one for one in self.parameters() if id(one) not in known]
        return muon(hidden, others, self.learning_rate, self.steps)


class PublishedTraining(LightningModule):
    """Trains REAL-M's network as its paper does: L1 on the SI-SNR clipped to 0..10 dB.

    Of its recipe's faults none is kept: see `networks.Published`; assignment, mixtures and
    references are those of the data. Logs `train_loss` and `valid_mae`, dB, against the clipped
    truth, which is all that the network can say.
    """

    def __init__(self, learning_rate: float, steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate, self.steps = learning_rate, steps
        self.network = networks.Published()

    def loss(self, batch: Batch) -> Tensor:
        """Mean distance in dB from the truth, clipped to what the network can say."""
        mixtures, estimates, references, _ = batch
        lengths = torch.full((len(mixtures),), mixtures.shape[1], device=mixtures.device)
        truth = si_snr(references, estimates).clamp(0, self.network.RANGE_DB)
        return (self.network(mixtures, estimates, lengths) - truth).abs().mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a batch."""
        loss = self.loss(batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """The loss of held-out estimates."""
        self.log("valid_mae", self.loss(batch), prog_bar=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        """See `schedule.adam`."""
        return adam(self.parameters(), self.learning_rate, self.steps)
