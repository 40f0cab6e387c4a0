"""Masks: stretches of time and bands of frequency that a view of a clip does without.

After SpecAugment (Park et al., 2019), done to the waveform, so that any model can train on them:
time masks are zeros, frequency masks are bands of the mel scale taken out of a short-time Fourier
transform.
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from pipelines.recipes.base import Range, Recipe, generator, uniform
from pipelines.recipes.spectra import without_bands

MEL_CHANNELS = 80  # from 0 Hz to half the rate: SpecAugment's features
Spans = tuple[tuple[float, float], ...]


def _from_zero(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] < 0.0:
        raise ValueError(f"expected a range from 0 or more, found {list(bounds)}: raise it")
    return bounds


Lengths = Annotated[Range, AfterValidator(_from_zero)]


class TimeMasks(Recipe):
    """Stretches of zeros.

    Attributes:
        count: how many; they may overlap. seconds: [low, high] of each.
        most: share of the clip that one mask hides at most.
        probability: of a view to have them.
    """

    count: int = Field(default=2, ge=1, le=20)
    seconds: Lengths = (0.0, 1.0)
    most: float = Field(default=0.2, gt=0.0, le=1.0)
    probability: float = Field(default=1.0, ge=0.0, le=1.0)

    def draw(self, seed: int, seconds: float) -> Spans:
        """(start, length) in seconds of each mask in a clip of so many seconds."""
        if generator(seed, "probability").random() >= self.probability:
            return ()
        return tuple(self._one(seed, number, seconds) for number in range(self.count))

    def _one(self, seed: int, number: int, seconds: float) -> tuple[float, float]:
        random = generator(seed, number)
        length = round(min(uniform(random, self.seconds), self.most * seconds), 6)
        return uniform(random, (0.0, max(0.0, seconds - length)), digits=6), length


class FrequencyMasks(Recipe):
    """Bands taken away.

    Attributes:
        count: how many; they may overlap.
        mel_channels: [low, high] of 80, from 0 Hz to half the rate, that each takes.
        probability: of a view to have them.
    """

    count: int = Field(default=2, ge=1, le=20)
    mel_channels: Lengths = (0.0, 27.0)
    probability: float = Field(default=1.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _there(self) -> Self:
        if self.mel_channels[1] > MEL_CHANNELS:
            raise ValueError(
                f"expected up to {MEL_CHANNELS} mel_channels, found {self.mel_channels}: narrow it"
            )
        return self

    def draw(self, seed: int, sample_rate: int) -> Spans:
        """(low, high) in Hz of each mask in a clip of that rate."""
        if generator(seed, "probability").random() >= self.probability:
            return ()
        return tuple(self._one(seed, number, sample_rate) for number in range(self.count))

    def _one(self, seed: int, number: int, sample_rate: int) -> tuple[float, float]:
        random = generator(seed, number)
        width = uniform(random, self.mel_channels)
        low = uniform(random, (0.0, MEL_CHANNELS - width))
        return hertz(low, sample_rate), hertz(low + width, sample_rate)


def hertz(channel: float, sample_rate: int) -> float:
    """A place on the mel scale (O'Shaughnessy, 1987), 0 to 80 for 0 Hz to half the rate, in Hz."""
    mel = channel / MEL_CHANNELS * np.log1p(sample_rate / 2 / 700.0)
    return round(700.0 * float(np.expm1(mel)), 1)


def masked(signal: np.ndarray, sample_rate: int, *, times: Spans, bands: Spans) -> np.ndarray:
    """A signal (time,) without some stretches, (start, length) in seconds, and bands, in Hz.

    The same length. The stretches are exact zeros: they are made last.
    """
    heard = without_bands(signal, sample_rate, bands)
    for start, length in times:
        heard[round(start * sample_rate) : round((start + length) * sample_rate)] = 0.0
    return heard
