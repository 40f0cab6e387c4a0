"""Models for tests, named as `doubles:Class`; worker processes import them by PYTHONPATH."""

import os
import time
from dataclasses import dataclass

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
