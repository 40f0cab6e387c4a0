"""The small classifier, learnt: sounds at many levels, some with another one in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn import functional

from models.classifier import SMALL, Classifier
from models.training.schedule import adam

__all__ = ["SMALL", "Batch", "ClassificationTraining", "mixed", "numbers"]
GAIN_DB = 12.0  # by which a clip is louder or quieter
MIXED = 0.5  # share of clips that another one is heard behind
SNR_DB = (3.0, 25.0)  # of a clip against what is behind it
TINY = 1e-10

Batch = tuple[Tensor, Tensor, list[str]]
"""(batch, time) sounds, zeros from their (batch,) lengths on; what each is called."""


def numbers(names: Sequence[str], labels: Sequence[str]) -> Tensor:
    """(batch,) places of names among labels. ValueError for a name that is none of them."""
    places = {label: place for place, label in enumerate(labels)}
    if unknown := sorted(set(names) - places.keys()):
        raise ValueError(f"expected classes of {', '.join(labels)}, found {', '.join(unknown)}")
    return torch.tensor([places[name] for name in names])


def mixed(sounds: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Clips at other levels, and the same with a share of them mixed with their neighbours.

    Both (batch, time), zeros from `lengths` on; what is behind stands by SNR_DB lower, as energy
    over the stretch that both fill.
    """
    device = sounds.device
    gains = 10 ** ((torch.rand(len(sounds), 1, device=device) * 2 - 1) * GAIN_DB / 20)
    sounds = sounds * gains
    inside = torch.arange(sounds.shape[1], device=device) < lengths[:, None]
    others = sounds.roll(1, 0) * inside
    low, high = SNR_DB
    snr = low + (high - low) * torch.rand(len(sounds), 1, device=device)
    ratio = sounds.square().sum(1, keepdim=True) / (others.square().sum(1, keepdim=True) + TINY)
    some = torch.rand(len(sounds), 1, device=device) < MIXED
    return sounds, sounds + some * others * (ratio * 10 ** (-snr / 10)).sqrt()


class ClassificationTraining(LightningModule):
    """Trains `Classifier` by cross-entropy. Logs `train_loss`, nats, and `valid_accuracy`, 0 to 1,
    on held-out clips as they are.
    """

    def __init__(
        self, labels: Sequence[str], network: dict[str, int], learning_rate: float, steps: int
    ) -> None:
        super().__init__()
        self.save_hyperparameters("network", "learning_rate", "steps")
        self.labels, self.learning_rate, self.steps = tuple(labels), learning_rate, steps
        self.network = Classifier(classes=len(self.labels), **network)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a batch, mixed."""
        sounds, lengths, names = batch
        _, heard = mixed(sounds, lengths)
        logits = self.network(heard, lengths).logits
        found = functional.cross_entropy(logits, numbers(names, self.labels).to(logits.device))
        self.log("train_loss", found, prog_bar=True, batch_size=len(names))
        return found

    def validation_step(self, batch: Batch, _: int) -> None:
        """The share of held-out clips whose best logit is theirs."""
        sounds, lengths, names = batch
        best = self.network(sounds, lengths).logits.argmax(1).cpu()
        right = (best == numbers(names, self.labels)).float().mean()
        self.log("valid_accuracy", right, prog_bar=True, batch_size=len(names))

    def configure_optimizers(self) -> Any:
        """See `schedule.adam`."""
        return adam(self.parameters(), self.learning_rate, self.steps)
