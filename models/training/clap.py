"""CLAP, learnt: sounds and their captions drawn together, all others of a batch pushed apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from models.clap import SMALL, Clap
from models.training.schedule import adam

__all__ = ["SMALL", "ClapTraining", "contrast", "pairs"]
SHARPEST = 4.6  # ln(100): the temperature goes no lower than 0.01, as in CLIP


def contrast(similarity: Tensor, targets: Tensor) -> Tensor:
    """Symmetric cross-entropy of C = t aᵀ / τ, `similarity` (batch, batch), nats.

    `targets` (batch, batch), not negative: how far each text belongs to each sound; the identity is
    CLAP's own loss. Rows and columns are each brought to a sum of 1.
    """
    rows = targets / targets.sum(1, keepdim=True)
    columns = targets / targets.sum(0, keepdim=True)
    by_text = -(rows * similarity.log_softmax(1)).sum(1).mean()
    by_sound = -(columns * similarity.log_softmax(0)).sum(0).mean()
    return (by_text + by_sound) / 2


def pairs(captions: Sequence[str]) -> Tensor:
    """(batch, batch): 1 where two captions are the same words, for then each fits both sounds."""
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    found = torch.tensor([numbers[caption] for caption in captions])
    return (found[:, None] == found[None]).float()


class ClapTraining(LightningModule):
    """Trains the small CLAP (Elizalde et al., ICASSP 2023; Radford et al., ICML 2021).

    Its batches are (sounds (batch, WINDOW) float32, captions). `start` are weights to go on from.
    With a `teacher`, `soft` of the targets (0 to 1) are its own similarities, as a softmax at its
    temperature: soft labels, after UI-CLAP (Wang et al., arXiv 2305.01864). Logs `train_loss` and
    `valid_loss`, nats.
    """

    def __init__(
        self,
        network: dict[str, int],
        learning_rate: float,
        steps: int,
        *,
        start: dict[str, Tensor] | None = None,
        teacher: Clap | None = None,
        soft: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters("network", "learning_rate", "steps", "soft")
        self.learning_rate, self.steps, self.soft = learning_rate, steps, soft
        self.network = Clap(**network)
        if start is not None:
            self.network.load_state_dict(start)
        self._teacher = [teacher.eval()] if teacher is not None else []  # not of this module's own

    def loss(self, batch: tuple[Tensor, list[str]]) -> Tensor:
        """The loss of a batch."""
        sounds, captions = batch
        scale = self.network.scale.clamp(max=SHARPEST).exp()
        similarity = scale * self.network.texts(captions) @ self.network.sounds(sounds).T
        return contrast(similarity, self._targets(sounds, captions))

    def _targets(self, sounds: Tensor, captions: list[str]) -> Tensor:
        hard = pairs(captions).to(sounds.device)
        hard = hard / hard.sum(1, keepdim=True)
        if not self._teacher or not self.soft:
            return hard
        with torch.no_grad():
            teacher = self._teacher[0].to(sounds.device)
            scale = teacher.scale.clamp(max=SHARPEST).exp()
            said = (scale * teacher.texts(captions) @ teacher.sounds(sounds).T).softmax(1)
        return (1 - self.soft) * hard + self.soft * said

    def training_step(self, batch: tuple[Tensor, list[str]], _: int) -> Tensor:
        """The loss of a batch."""
        found = self.loss(batch)
        self.log("train_loss", found, prog_bar=True, batch_size=len(batch[1]))
        return found

    def validation_step(self, batch: tuple[Tensor, list[str]], _: int) -> None:
        """The loss of held-out pairs."""
        self.log("valid_loss", self.loss(batch), prog_bar=True, batch_size=len(batch[1]))

    def configure_optimizers(self) -> Any:
        """See `schedule.adam`."""
        return adam(self.parameters(), self.learning_rate, self.steps)
