"""What explainers that are learnt have in common: the classifier hears what their masks keep and
what they remove.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from models.explaining import Heard
from models.masking import Spectrograms, costs, loudness, silenced
from models.training.classification import Batch, mixed
from models.training.schedule import adam

WEIGHTS: dict[str, float] = {"inside": 2.0, "outside": 1.0, "area": 15.0, "clean": 0.1}


@dataclass(frozen=True)
class Asked:
    """A batch that masks are wanted for.

    Attributes:
        clips: (batch, time) as heard. own: the same without what is mixed in behind.
        lengths: (batch,) in samples. classes: (batch,), the best that the classifier says.
        heard: what the classifier makes of the clips, without gradients.
        spectra: (batch, frames, frequencies) complex, of the clips.
    """

    clips: Tensor
    own: Tensor
    lengths: Tensor
    classes: Tensor
    heard: Heard
    spectra: Tensor


class MaskTraining(LightningModule):
    """Trains an explainer of a classifier that is left as it is.

    Of each batch, half of whose clips have another one behind them, masks are judged by what the
    classifier says: `inside`, the cross-entropy of the explained class on x_in; `outside`, -log of
    the probability of all others on x_out; `area`, the mean of the mask; `clean`, how far the
    masked log-spectrum is from that of the clip alone. The weights of all four are given; what else
    is learnt, `terms` of a subclass say. Logs `train_loss`, and of held-out clips `valid_loss`,
    `fidelity` (share that keep their class in x_in) and `faithfulness` (in probability).
    """

    def __init__(
        self,
        classifier: Any,
        network: nn.Module,
        weights: dict[str, float],
        learning_rate: float,
        steps: int,
    ) -> None:
        super().__init__()
        self.save_hyperparameters("weights", "learning_rate", "steps")
        self.weights, self.learning_rate, self.steps = weights, learning_rate, steps
        self._classifier = [classifier]  # not of this module's own
        self.network: Any = network

    def terms(self, asked: Asked) -> tuple[Tensor, Tensor]:
        """Masks (batch, frames, frequencies), and the loss of what the method learns besides."""
        raise NotImplementedError

    def _listened(self, clips: Tensor, lengths: Tensor) -> Heard:
        found: Heard = self._classifier[0].listen(clips, lengths)
        return found

    def asked(self, clips: Tensor, own: Tensor, lengths: Tensor) -> Asked:
        """A batch, listened to."""
        size = int(lengths.max())
        clips, own = clips[:, :size], own[:, :size]
        with torch.no_grad():
            heard = self._listened(clips, lengths)
        found = Spectrograms(16_000, str(clips.device)).forward(clips)
        return Asked(clips, own, lengths, heard.logits.argmax(1), heard, found)

    def judged(self, asked: Asked, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (batch, classes) of what masks keep and of what they remove."""
        transform = Spectrograms(16_000, str(masks.device))
        kept = transform.inverse(asked.spectra * masks, asked.clips.shape[1])
        kept = silenced(kept, asked.lengths)
        both = torch.cat([kept, asked.clips - kept])
        logits = self._listened(both, asked.lengths.repeat(2)).logits.log_softmax(1)
        first, second = logits.chunk(2)
        return first, second

    def loss(self, asked: Asked) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, and log-probabilities of the explained classes in x_in and x_out."""
        masks, more = self.terms(asked)
        kept, removed = self.judged(asked, masks)
        inside, outside = costs(kept, removed, asked.classes)
        weights = self.weights
        total = (
            weights["inside"] * inside.mean()
            + weights["outside"] * outside.mean()
            + weights["area"] * masks.mean()
            + weights["clean"] * self._distance(asked, masks)
        )
        return total + more, kept, removed

    def _distance(self, asked: Asked, masks: Tensor) -> Tensor:
        wanted = Spectrograms(16_000, str(masks.device)).forward(asked.own).abs()
        return (loudness(asked.spectra.abs() * masks) - loudness(wanted)).abs().mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a batch, mixed."""
        sounds, lengths, names = batch
        own, clips = mixed(sounds, lengths)
        found, _, _ = self.loss(self.asked(clips, own, lengths))
        self.log("train_loss", found, prog_bar=True, batch_size=len(names))
        return found

    def validation_step(self, batch: Batch, _: int) -> None:
        """The loss of held-out clips as they are, and what they would score."""
        sounds, lengths, names = batch
        asked = self.asked(sounds, sounds, lengths)
        found, kept, removed = self.loss(asked)
        of_class = asked.classes[:, None]
        whole = asked.heard.logits.softmax(1).gather(1, of_class)
        values = {
            "valid_loss": found,
            "fidelity": (kept.argmax(1) == asked.classes).float().mean(),
            "faithfulness": (whole - removed.gather(1, of_class).exp()).mean(),
        }
        self.log_dict(values, prog_bar=True, batch_size=len(names))

    def configure_optimizers(self) -> Any:
        """See `schedule.adam`."""
        return adam(self.network.parameters(), self.learning_rate, self.steps)
