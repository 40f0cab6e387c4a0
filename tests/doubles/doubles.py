"""Models for tests, named as `doubles:Class`; worker processes import them by PYTHONPATH."""

import os
import time
import weakref
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.base import Model


@dataclass(kw_only=True)
class Slow(Model):
    """An enhancer that only turns down; it takes DOUBLES_SECONDS a clip, which nothing notes."""

    task = "enhancement"
    version = "1"
    gain: float = 0.5

    def enhance(self, signals, *, sample_rate):
        time.sleep(len(signals) * float(os.environ.get("DOUBLES_SECONDS", "0")))
        return [signal * self.gain for signal in signals]


@dataclass(kw_only=True, eq=False)
class Traced(Model):
    """An enhancer that notes, whenever it is asked, how many of its kind are loaded here."""

    task = "enhancement"
    version = "1"
    gain: float = 0.5
    loaded: ClassVar = weakref.WeakSet()

    def load(self):
        self.loaded.add(self)

    def enhance(self, signals, *, sample_rate):
        with open(os.environ["DOUBLES_TRACE"], "a") as file:  # noqa: PTH123
            file.write(f"{os.getpid()} {self.gain} {len(self.loaded)}\n")
        return [signal * self.gain for signal in signals]


@dataclass(kw_only=True)
class Moody(Model):
    """An enhancer that fails on one clip in two, in three ways."""

    task = "enhancement"
    version = "1"

    def enhance(self, signals, *, sample_rate):
        mood = int(abs(float(signals[0].sum())) * 1e6) % 6
        if mood == 1:
            raise RuntimeError("not today")
        if mood == 3:
            return [signals[0] * float("nan")]
        return [signals[0][: -1 if mood == 5 else None]]


@dataclass(kw_only=True)
class Centroid(Model):
    """Sounds and words on one scale, from low to high: an embedding that can be told by hand.

    A sound's angle is its spectral centroid as a share of half the sample rate, a quarter turn at
    most; a text's is by the word that it ends in, `low` or `high`.
    """

    task = "embedding"
    version = "1"

    def embed_audio(self, signals, *, sample_rate):
        return [_at(_centroid(signal)) for signal in signals]

    def embed_text(self, texts):
        return [_at({"low": 0.0, "high": 1.0}[text.split()[-1]]) for text in texts]


def _centroid(signal):
    """The centre of a magnitude spectrum, 0 to 1."""
    magnitudes = np.abs(np.fft.rfft(signal))
    return float(np.average(np.linspace(0, 1, len(magnitudes)), weights=magnitudes))


def _at(share):
    return np.array([np.cos(share * np.pi / 2), np.sin(share * np.pi / 2)])


@dataclass(kw_only=True)
class MoodySeparator(Model):
    """A separator by a high-pass that crashes on every clip that holds an odd number of samples."""

    task = "separation"
    version = "1"
    gain: float = 1.0

    def separate(self, mixtures, *, sample_rate, sources):
        [mixture] = mixtures
        if len(mixture) % 2:
            raise RuntimeError("odd")
        high = np.diff(mixture, prepend=np.float32(0))
        return [self.gain * np.stack([mixture - high, high][:sources])]


@dataclass(kw_only=True)
class Parrot(Model):
    """A recogniser that always says the same, and not how sure it is."""

    task = "recognition"
    version = "1"

    def transcribe(self, signals):
        return ["polly" for _ in signals]


@dataclass(kw_only=True)
class Boaster(Model):
    """A recogniser that says how sure it is, in a way that nobody can use."""

    task = "recognition"
    version = "1"
    boast: str = ""

    def transcribe(self, signals):
        return ["sure" for _ in signals]

    def transcribe_with_confidence(self, signals):
        [_] = signals
        answers = {"over": [("sure", 2.0)], "nan": [("sure", float("nan"))], "bare": [5]}
        answers |= {"bytes": [(b"sure", 1.0)], "half": [("\ud800", 1.0)], "two": [("a", 1.0)] * 2}
        return answers[self.boast]


@dataclass(kw_only=True)
class Lengths(Model):
    """A recogniser that says how many samples it was given."""

    task = "recognition"
    version = "1"

    def transcribe(self, signals):
        return [str(len(signal)) for signal in signals]
