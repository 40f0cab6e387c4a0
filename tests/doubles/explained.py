"""Classifiers for tests of explanations, named as `explained:Class`."""

from dataclasses import dataclass

import numpy as np
import torch

from models.base import Model
from models.explaining import Explainable, Heard
from models.masking import Spectrograms

LABELS = ("low", "middle", "high")
RATE = 8_000


@dataclass(kw_only=True)
class Bands(Explainable, Model):
    """Which third of the spectrum is the loudest: the logit of each is ln(1 + its power)."""

    task = "classification"
    version = "1"
    sample_rate = RATE
    padding = "exact"
    scale: float = 1.0

    @property
    def batch_seconds(self):
        return 40.0

    def load(self):
        self.labels = LABELS

    def listen(self, batch, lengths):
        layer = Spectrograms(RATE).forward(batch)[:, None].abs() ** 2
        thirds = torch.stack([part.sum(2) for part in layer[:, 0, :, :-1].tensor_split(3, 2)], 1)
        heard = torch.log1p(thirds.sum(2))  # (clips, 3)
        return Heard(self.scale * heard, heard, (layer,))

    def classify(self, signals, *, sample_rate):
        assert sample_rate == RATE
        self.load()
        found = []
        for signal in signals:
            batch = torch.from_numpy(np.asarray(signal, np.float32))[None]
            heard = self.listen(batch, torch.tensor([len(signal)]))
            found.append(heard.logits[0].detach().numpy())
        return found


@dataclass(kw_only=True)
class Closed(Model):
    """The same, but nobody can look inside."""

    task = "classification"
    version = "1"
    sample_rate = RATE

    def load(self):
        self.labels = LABELS

    def classify(self, signals, *, sample_rate):
        return Bands().classify(signals, sample_rate=sample_rate)
