"""Recognition, learnt: a small Deep Speech on mel spectra, by CTC over letters."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor
from torchaudio.models import DeepSpeech

from models.training.schedule import adam
from models.training.spectra import Spectra

LETTERS = "-|'ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # the blank, the space between words, the letters
SMALL: dict[str, int] = {"n_feature": 40, "n_hidden": 256}


def spell(text: str) -> list[int]:
    """Numbers of the letters of a text, in capitals; what has no letter is left out."""
    spaced = "|".join(text.upper().split())
    return [LETTERS.index(letter) for letter in spaced if letter in LETTERS[1:]]


class RecognitionTraining(LightningModule):
    """Trains Deep Speech (Hannun et al., 2014; torchaudio's) by CTC (Graves et al., 2006).

    Its batches are lists of (signal (time,), text); logs `train_loss` and `valid_loss`, nats a
    letter.
    """

    def __init__(self, network: dict[str, int], learning_rate: float, steps: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate, self.steps = learning_rate, steps
        self.spectra = Spectra(network["n_feature"])
        self.network = DeepSpeech(**network, n_class=len(LETTERS))

    def loss(self, batch: list[tuple[Tensor, str]]) -> Tensor:
        """CTC's loss a letter, clip by clip: clips are padded with nothing."""
        total = torch.zeros((), device=self.device)
        letters = 0
        for signal, text in batch:
            scores = self.network(self.spectra(signal[None])[:, None])[0]  # (frames, letters)
            target = torch.tensor(spell(text), device=self.device)
            frames = torch.tensor(len(scores))
            total = total + torch.nn.functional.ctc_loss(
                scores, target, frames, torch.tensor(len(target)), reduction="sum",
                zero_infinity=True,
            )  # fmt: skip
            letters += max(len(target), 1)
        return total / max(letters, 1)

    def training_step(self, batch: list[tuple[Tensor, str]], _: int) -> Tensor:
        """The loss of a batch."""
        found = self.loss(batch)
        self.log("train_loss", found, prog_bar=True, batch_size=len(batch))
        return found

    def validation_step(self, batch: list[tuple[Tensor, str]], _: int) -> None:
        """The loss of held-out clips."""
        self.log("valid_loss", self.loss(batch), prog_bar=True, batch_size=len(batch))

    def configure_optimizers(self) -> Any:
        """See `schedule.adam`."""
        return adam(self.parameters(), self.learning_rate, self.steps)
