"""Perturbations: speech spoken faster or slower, higher or lower.

- *Speed* plays a clip faster: resampling, so that pitch and formants move along (Ko et al., 2015;
  Kaldi's 0.9, 1.0 and 1.1).
- *Tempo* changes how fast somebody speaks and keeps the pitch, by WSOLA (Verhelst and Roelands,
  1993): windows of 25 ms are taken from where the waveform goes on most smoothly, at most 12.5 ms
  from where they should come, and added with overlap.
- *Semitones* move the pitch and keep the duration: WSOLA, then resampling. The formants move along,
  as they do with speed.

What stays true of a clip: its words, always. Its speaker, while only the tempo changes: another
speed or pitch makes another voice, and Kaldi counts it as another speaker (`keeps_voice`). Times
within a clip divide by speed × tempo.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from pipelines.recipes.base import Range, Recipe, Row, generator, uniform
from pipelines.recipes.codecs import fitted, resampled

HOP_SECONDS = 0.0125  # half a window; also how far a window may be moved
FACTORS = (0.25, 4.0)  # of speed and tempo: beyond, nothing sounds like speech
SEMITONES = (-24.0, 24.0)


class Perturbation(Recipe):
    """What perturbations are drawn from.

    Attributes:
        speeds: factors of speed, one drawn; above 1 is faster.
        tempo: [low, high] factor, above 1 is faster; the pitch stays.
        semitones: [low, high] by which the pitch moves; the duration stays.
    """

    speeds: tuple[float, ...] = Field(default=(0.9, 1.0, 1.1), min_length=1)
    tempo: Range = (1.0, 1.0)
    semitones: Range = (0.0, 0.0)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        named = {"speeds": self.speeds, "tempo": self.tempo, "semitones": self.semitones}
        for name, values in named.items():
            low, high = SEMITONES if name == "semitones" else FACTORS
            if not all(low <= value <= high for value in values):
                raise ValueError(f"expected {name} within [{low}, {high}], found {values}: narrow")
        return self


class PerturbationRow(Row):
    """A perturbation as decided; 1, 1 and 0 for none."""

    speed: float = 1.0
    tempo: float = 1.0
    semitones: float = 0.0

    @property
    def faster(self) -> float:
        """The factor by which a clip becomes shorter."""
        return self.speed * self.tempo

    @property
    def keeps_voice(self) -> bool:
        """Whether pitch and formants stay, and with them the speaker."""
        return self.speed == 1.0 and self.semitones == 0.0


def draw(perturbation: Perturbation, random: np.random.Generator) -> PerturbationRow:
    """One perturbation out of many. Takes one integer from `random`, whatever the options."""
    seed = int(random.integers(2**53))
    place = int(generator(seed, "speed").integers(len(perturbation.speeds)))
    return PerturbationRow(
        speed=perturbation.speeds[place],
        tempo=uniform(generator(seed, "tempo"), perturbation.tempo),
        semitones=uniform(generator(seed, "semitones"), perturbation.semitones, digits=2),
    )


def labels(row: PerturbationRow) -> dict[str, str]:
    """What slices are cut by: `speed`, `tempo`, `semitones`, each where it changes something."""
    neutral = PerturbationRow()
    found = {name: getattr(row, name) for name in ("speed", "tempo", "semitones")}
    return {name: f"{n:g}" for name, n in found.items() if n != getattr(neutral, name)}


def seconds(row: PerturbationRow, seconds: float) -> float:
    """How long a clip of so many seconds becomes, to half a sample."""
    return seconds / row.faster


def samples(row: PerturbationRow, samples: int) -> int:
    """How many samples so many become: at least one, but none of none."""
    return max(1, round(samples / row.faster)) if samples else 0


def apply(row: PerturbationRow, signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """A perturbed signal. The same row and signal give the same bits.

    Args:
        row: of `draw`.
        signal: (time,) float64.
        sample_rate: Hz.

    Returns:
        (`samples(row, time)`,) float64. Resampling may swing beyond the peak of a clipped signal,
        and so a little beyond full scale: whoever stores it brings it to a level.

    Raises:
        ValueError: samples that are not finite, or more than one channel.
    """
    if signal.ndim != 1 or not np.isfinite(signal).all():
        raise ValueError(
            f"expected finite samples of shape (time,), found shape {signal.shape}: mend the clip"
        )
    if not signal.size:
        return signal.copy()
    higher = 2.0 ** (row.semitones / 12.0)
    said = stretched(signal, row.tempo / higher, sample_rate)
    played = resampled(said, sample_rate * row.speed * higher, sample_rate)
    return fitted(played, samples(row, signal.size))


def stretched(signal: np.ndarray, tempo: float, sample_rate: int) -> np.ndarray:
    """A signal (time,) at `tempo` times its pace and at its pitch, by WSOLA: (time / tempo,)."""
    if tempo == 1.0:
        return signal.copy()
    hop = max(1, round(HOP_SECONDS * sample_rate))
    length = max(1, round(signal.size / tempo))
    frames = -(-length // hop) + 1
    # Frame k is added around sample k × hop and taken from around k × hop × tempo.
    padded = np.pad(signal, (2 * hop, 4 * hop))
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * hop) / hop)  # adds up to 1 at half a window
    total = np.zeros((frames + 1) * hop)
    place = hop
    for frame in range(frames):
        if frame:
            wanted = hop + min(round(frame * hop * tempo), signal.size)
            place = _nearest(padded, wanted, following=place + hop, hop=hop)
        total[frame * hop : (frame + 2) * hop] += window * padded[place : place + 2 * hop]
    return total[hop : hop + length]


def _nearest(signal: np.ndarray, wanted: int, *, following: int, hop: int) -> int:
    """Where to take the next window: near `wanted`, and most like what follows the last one."""
    first = max(0, wanted - hop)
    pattern = signal[following : following + 2 * hop]
    region = signal[first : wanted + 3 * hop]
    likeness = np.correlate(region, pattern, mode="valid")
    energy = np.concatenate([[0.0], np.cumsum(np.square(region))])
    energy = energy[pattern.size :] - energy[: energy.size - pattern.size]
    likeness /= np.sqrt(np.maximum(energy, 1e-12))
    if not likeness.any():  # silence all around
        return wanted
    return first + int(np.argmax(likeness))
