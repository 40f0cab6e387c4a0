"""Oracles, the upper rows of a board: masks computed from the truth, put on the mixture's spectrum.

They show how far a mask could go that keeps the mixture's phase; no model that has to guess should
be expected there. What the references leave of the mixture counts as one more signal, so noise is
masked, too. Every rate from 1 kHz, every length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import (
    Model,
    Signal,
    check_choice,
    check_number,
    check_rate,
    check_signal,
    check_sources,
)
from models.spectra import OVERLAP, STFT, TINY


@dataclass(kw_only=True)
class IdealMask(Model):
    """Base of all: the references' magnitudes become masks, one a reference."""

    libraries = ("numpy",)
    role = "oracle"
    precision = "float64"

    window_seconds: float = 0.032
    """32 ms as in most papers; 64 ms resolves a voice's harmonics better."""

    def __post_init__(self) -> None:
        check_number(self, "window_seconds", 0.004, 0.5)

    def masks(self, magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights from 0 to 1 of (signals, frames, frequencies), the last signal being the rest."""
        raise NotImplementedError

    def _masked(
        self,
        mixtures: Sequence[Signal],
        references: Sequence[NDArray[Any]],
        sample_rate: int,
        sources: int,
    ) -> list[Signal]:
        """(sources, time) estimates of each mixture."""
        if len(references) != len(mixtures):
            raise ValueError(
                f"expected references for each of the {len(mixtures)} mixtures, "
                f"got {len(references)}; give one (sources, time) array a mixture"
            )
        stft = STFT.of_seconds(
            self.window_seconds, sample_rate=check_rate(sample_rate), overlap=OVERLAP
        )
        pairs = zip(mixtures, references, strict=True)
        return [self._mask(check_signal(mix), truth, stft, sources) for mix, truth in pairs]

    def _mask(
        self, mixture: NDArray[np.float64], truth: NDArray[Any], stft: STFT, sources: int
    ) -> Signal:
        if np.shape(truth) != (sources, mixture.size):
            raise ValueError(
                f"expected references shaped {(sources, mixture.size)}, got {np.shape(truth)}; "
                "give one row a source, as long as the mixture"
            )
        targets = np.asarray(truth, dtype=np.float64)
        signals = np.concatenate([targets, (mixture - targets.sum(axis=0))[None]])
        masks = self.masks(np.abs(stft.forward(signals)))[:-1]
        return stft.inverse(masks * stft.forward(mixture), mixture.size).astype(np.float32)


@dataclass(kw_only=True)
class SeparationMask(IdealMask):
    """Base of oracles for separation; estimates come in the references' order."""

    task = "separation"

    def separate(
        self,
        mixtures: Sequence[Signal],
        *,
        sample_rate: int,
        sources: int,
        references: Sequence[NDArray[Any]],
    ) -> list[Signal]:
        """(sources, time) estimates of each mixture by its `references`, (sources, time) each."""
        return self._masked(mixtures, references, sample_rate, check_sources(sources))


@dataclass(kw_only=True)
class IdealRatioMask(SeparationMask):
    """What a mask could do that knew the truth: each source's share of all magnitudes.

    Ideal ratio mask and, with `exponent` 2, "Wiener filter-like mask" as in Luo & Mesgarani,
    "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019.
    """

    version = "1"

    exponent: int = 1
    """1: shares of magnitude; 2: of power."""

    def __post_init__(self) -> None:
        check_choice(self, "exponent", (1, 2))
        super().__post_init__()

    def masks(self, magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """|S|ᵉ / Σ|S|ᵉ."""
        return _shares(magnitudes**self.exponent)


@dataclass(kw_only=True)
class IdealBinaryMask(SeparationMask):
    """Every bin of the spectrum to whichever source is the strongest there, or to none.

    Ideal binary mask with a criterion of 0 dB: Wang, "On ideal binary mask as the computational
    goal of auditory scene analysis", 2005; for several sources as in Luo & Mesgarani, "Conv-TasNet"
    (2019). Of equals the first one has it.
    """

    version = "1"

    def masks(self, magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 where |S| is the largest of all, else 0."""
        return _winner(magnitudes)


@dataclass(kw_only=True)
class SpeechMask(IdealMask):
    """Speech out of noise by the truth; the noise is what is left of the signal without the clean.

    `mask`: "binary", 1 where the speech is the stronger (Wang, 2005; criterion 0 dB); "ratio", the
    root of its share of power (Wang, Narayanan & Wang, "On training targets for supervised speech
    separation", IEEE/ACM TASLP 22(12), 2014, with their β of ½); "wiener", its share of power, the
    Wiener filter's gain (Loizou, "Speech Enhancement", 2nd edition, 2013, chapter 6).
    """

    task = "enhancement"
    version = "1"

    mask: str = "ratio"

    def __post_init__(self) -> None:
        check_choice(self, "mask", ("binary", "ratio", "wiener"))
        super().__post_init__()

    def masks(self, magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of speech and noise, as the class says."""
        if self.mask == "binary":
            return _winner(magnitudes)
        gains = _shares(magnitudes**2)
        return np.sqrt(gains) if self.mask == "ratio" else gains

    def enhance(
        self, signals: Sequence[Signal], *, sample_rate: int, references: Sequence[NDArray[Any]]
    ) -> list[Signal]:
        """Each (time,) signal masked by its clean one, `references` of (1, time) each."""
        return [found[0] for found in self._masked(signals, references, sample_rate, 1)]


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """`weights` over their sum, along the first axis; 0 where all are silent."""
    return np.asarray(weights / np.maximum(weights.sum(axis=0), TINY))


def _winner(magnitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for the largest along the first axis, the first of equals, 0 for the others."""
    numbers = np.arange(len(magnitudes))[:, None, None]
    return np.asarray(numbers == magnitudes.argmax(axis=0), dtype=np.float64)
