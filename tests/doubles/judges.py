"""Models for tests that judge what separators and enhancers answered, named as `judges:Class`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metrics import si_snr
from models.base import Model

CARD = {
    "pearson": 0.93,
    "spearman": float("nan"),
    "mae": 1.25,
    "per_separator": {"nmf": {"mae": 1.5, "clips": 40}, "<b>mixture</b>": {"mae": 1.0}},
    "reliability": [[-2.0, -1.5, 30], [3.0, 3.25, 40], [8.0, 7.0, 30]],
}


@dataclass(kw_only=True)
class Ear(Model):
    """A judge by a rule: what an estimate keeps of its mixture. Loud estimates are foreign to it.

    A guess is the SI-SNR of the estimate with the mixture for its reference, cut to ±20 dB, and
    `shift` dB more; its interval is `width` dB to either side.
    """

    task: ClassVar[str] = "quality"
    version = "1"
    judges = True
    calibration = CARD
    shift: float = 0.0
    width: float = 3.0
    foreign_from: float = 9.0  # peak of an estimate

    def judge(self, mixtures, estimates, *, sample_rate):
        del sample_rate
        return [
            self._of(*pair) for pair in zip(mixtures, estimates, strict=True)
        ]  # fmt: skip

    def _of(self, mixture, estimates):
        guesses = [self._guess(mixture, estimate) for estimate in estimates]
        return {
            "si_snr": guesses,
            "lower": [guess - self.width for guess in guesses],
            "upper": [guess + self.width for guess in guesses],
            "outside": [float(np.abs(e).max() >= self.foreign_from) for e in estimates],
        }

    def _guess(self, mixture, estimate):
        return float(np.clip(si_snr(mixture, estimate), -20.0, 20.0)) + self.shift


@dataclass(kw_only=True)
class Telephone(Ear):
    """The same, at 8 kHz, and without any measured error."""

    sample_rate = 8_000
    calibration = None


@dataclass(kw_only=True)
class Studio(Ear):
    """The same, at 16 kHz."""

    sample_rate = 16_000


@dataclass(kw_only=True)
class Odd(Model):
    """A judge that says something wrong."""

    task: ClassVar[str] = "quality"
    version = "1"
    judges = True
    says: str = "nan"

    def judge(self, mixtures, estimates, *, sample_rate):
        del sample_rate
        said = {
            "nan": lambda e: {"si_snr": [float("nan")] * len(e)},
            "half": lambda e: {"si_snr": [float("nan"), *[1.0] * (len(e) - 1)]},
            "few": lambda e: {"si_snr": [1.0]},
            "nothing": lambda _: {},
            "other": lambda e: {"loudness": [1.0] * len(e)},
        }
        return [said[self.says](found) for _, found in zip(mixtures, estimates, strict=True)]


@dataclass(kw_only=True)
class Listener(Model):
    """Guesses STOI, PESQ and SI-SDR of one signal by its level, as SQUIM does by ear."""

    task: ClassVar[str] = "quality"
    version = "1"

    def estimate(self, signals, *, sample_rate):
        del sample_rate
        levels = [float(np.sqrt(np.mean(np.square(signal)))) for signal in signals]
        return [{"stoi": level, "pesq": 1 + level, "si_sdr": 10 * level} for level in levels]
