"""Separators of every quality, for those who learn to judge them: spoilt truths, rough networks.

The oracles here are worse than they could be, by an amount that each clip draws for itself: by its
own samples, so that a clip is always answered in the same way. Unlike those of `models.oracles`
they bound nothing and belong on no board.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
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
from models.oracles import SeparationMask
from models.own import TrainedSeparator
from models.spectra import OVERLAP, STFT, TINY

Array = NDArray[np.float64]

SLOWLY_SECONDS = 0.4  # over which a gain that drifts goes from one value to the next
FAINTEST_DB = -45.0  # of crosstalk, noise and the like against the talker


def generator_of(*arrays: NDArray[Any]) -> np.random.Generator:
    """A generator that depends on these numbers alone, rounded so that rounding does not matter."""
    seed = 0
    for array in arrays:
        seed = zlib.crc32(np.rint(np.asarray(array) * 4096).astype(np.int64).tobytes(), seed)
    return np.random.Generator(np.random.Philox(seed))


@dataclass(kw_only=True)
class LeakyMask(SeparationMask):
    """An ideal mask that lets through what it should not, and is wrong here and there.

    `mask`: "ratio", "binary" or "wiener", as in `models.oracles`. Each clip draws its `leakage`,
    from 0, the ideal mask, to at most this, of which 1 is no mask at all; the deviation of its
    mask's error in dB, up to `error_db`, smooth over some bins; and the share of bins that it loses
    altogether, up to `holes`, which is heard as musical noise.
    """

    version = "1"

    mask: str = "ratio"
    leakage: float = 0.8
    error_db: float = 8.0
    holes: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "mask", ("ratio", "binary", "wiener"))
        check_number(self, "leakage", 0, 1)
        check_number(self, "error_db", 0, 40)
        check_number(self, "holes", 0, 1)

    def masks(self, magnitudes: Array) -> Array:
        """Weights of (signals, frames, frequencies): the ideal ones, spoilt."""
        random = generator_of(magnitudes)
        leakage = self.leakage * random.uniform() ** 2
        spread = self.error_db * random.uniform() ** 2
        holes = self.holes * max(0.0, random.uniform(-1, 1))
        ideal = self._ideal(magnitudes)
        wrong = 10 ** (spread * _smooth(random, ideal.shape) / 20)
        kept = random.uniform(size=ideal.shape) >= holes
        return np.asarray(np.clip((ideal + leakage * (1 - ideal)) * wrong, 0, 1.5) * kept)

    def _ideal(self, magnitudes: Array) -> Array:
        if self.mask == "binary":
            order = np.arange(len(magnitudes))[:, None, None]
            return np.asarray(order == magnitudes.argmax(axis=0), dtype=np.float64)
        weights = magnitudes ** (2 if self.mask == "wiener" else 1)
        return np.asarray(weights / np.maximum(weights.sum(axis=0), TINY))


def _smooth(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Gaussian noise of deviation 1 over (signals, frames, frequencies), smooth over a few bins."""
    frames, frequencies = (int(n) for n in random.integers(1, 7, size=2))
    noise = random.standard_normal((shape[0], shape[1] + frames, shape[2] + frequencies))
    summed = np.cumsum(np.cumsum(noise, axis=1), axis=2)
    boxes = summed[:, frames:, :] - summed[:, :-frames, :]
    boxes = boxes[:, :, frequencies:] - boxes[:, :, :-frequencies]
    return np.asarray(boxes / np.sqrt(frames * frequencies))


@dataclass(kw_only=True)
class TruthBased(Model):
    """Base of oracles that spoil the truth in the time domain, source by source."""

    task = "separation"
    version = "1"
    libraries = ("numpy", "scipy")
    role = "oracle"
    precision = "float64"

    def separate(
        self,
        mixtures: Sequence[Signal],
        *,
        sample_rate: int,
        sources: int,
        references: Sequence[NDArray[Any]],
    ) -> list[Signal]:
        """(sources, time) estimates of each mixture by its `references`, (sources, time) each."""
        rate, count = check_rate(sample_rate), check_sources(sources)
        pairs = zip(mixtures, references, strict=True)
        return [self._spoilt(check_signal(mix), truth, rate, count) for mix, truth in pairs]

    def _spoilt(self, mixture: Array, truth: NDArray[Any], rate: int, sources: int) -> Signal:
        targets = np.asarray(truth, dtype=np.float64)
        if targets.shape != (sources, mixture.size):
            raise ValueError(
                f"expected references shaped {(sources, mixture.size)}, got {targets.shape}; "
                "give one row a source, as long as the mixture"
            )
        random = generator_of(mixture, targets)
        spoilt = [self._spoil(target, mixture - target, rate, random) for target in targets]
        return np.array(spoilt, dtype=np.float32).reshape(targets.shape)

    def _spoil(self, target: Array, rest: Array, rate: int, random: np.random.Generator) -> Array:
        """One source, of whose mixture `rest` is what remains."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Crosstalk(TruthBased):
    """Each talker with a share of everything else that is heard, as a bad line has it.

    The share, -45 to `loudest_db` dB, is the same throughout, or drifts, or is filtered on its way;
    a little white noise may come with it.
    """

    loudest_db: float = 3.0

    def __post_init__(self) -> None:
        check_number(self, "loudest_db", FAINTEST_DB, 20)

    def _spoil(self, target: Array, rest: Array, rate: int, random: np.random.Generator) -> Array:
        gain = 10 ** (random.uniform(FAINTEST_DB, self.loudest_db) / 20)
        leak = rest if random.uniform() < 0.5 else coloured(rest, 12.0, random)
        if random.uniform() < 0.5:
            leak = leak * drift(leak.size, rate, random)
        hiss = random.standard_normal(target.size) * _rms(target)
        return target + gain * leak + 10 ** (random.uniform(-60, -15) / 20) * hiss


@dataclass(kw_only=True)
class Spoilt(TruthBased):
    """Each talker after something that a separator may do to a voice, with faint crosstalk.

    One of: clipped, in few bits, its spectrum coarsely quantised, reverberant, with frames lost,
    coloured. How much, each source draws.
    """

    def _spoil(self, target: Array, rest: Array, rate: int, random: np.random.Generator) -> Array:
        heard = target + 10 ** (random.uniform(FAINTEST_DB, -5) / 20) * rest
        ways = (_clipped, _in_few_bits, _coarse, _reverberant, _interrupted, _tilted)
        return ways[int(random.integers(len(ways)))](heard, rate, random)


def _rms(signal: Array) -> float:
    return float(np.sqrt(np.mean(np.square(signal)))) if signal.size else 0.0


def drift(samples: int, rate: int, random: np.random.Generator) -> Array:
    """A gain around 1 that wanders by some 20 dB, (samples,)."""
    knots = max(2, round(samples / (SLOWLY_SECONDS * rate)) + 1)
    gains_db = random.uniform(-15, 6, size=knots)
    places = np.linspace(0, knots - 1, samples)
    return np.asarray(10 ** (np.interp(places, np.arange(knots), gains_db) / 20))


def coloured(signal: Array, most_db: float, random: np.random.Generator) -> Array:
    """A signal through a smooth random response of up to ±`most_db` over frequency."""
    if not signal.size:
        return signal
    spectrum = np.fft.rfft(signal)
    knots = random.uniform(-most_db, most_db, size=6)
    response_db = np.interp(np.linspace(0, 5, spectrum.size), np.arange(6), knots)
    return np.fft.irfft(spectrum * 10 ** (response_db / 20), n=signal.size)


def _tilted(signal: Array, rate: int, random: np.random.Generator) -> Array:
    del rate
    return coloured(signal, random.uniform(1, 10), random)


def _clipped(signal: Array, rate: int, random: np.random.Generator) -> Array:
    del rate
    limit = np.abs(signal).max(initial=0.0) * random.uniform(0.03, 0.6)
    return np.clip(signal, -limit, limit)


def _in_few_bits(signal: Array, rate: int, random: np.random.Generator) -> Array:
    del rate
    step = max(np.abs(signal).max(initial=0.0), TINY) / 2 ** random.uniform(1.5, 7)
    return np.asarray(np.rint(signal / step) * step)


def _coarse(signal: Array, rate: int, random: np.random.Generator) -> Array:
    """Every bin of the spectrum in steps of its band's level, as a codec of few bits has it."""
    stft = STFT.of_seconds(0.032, sample_rate=rate, overlap=OVERLAP)
    spectrum = stft.forward(signal)
    level = np.sqrt(np.mean(np.abs(spectrum) ** 2, axis=1, keepdims=True))
    step = np.maximum(level * random.uniform(0.2, 3), TINY)
    rounded = np.rint(spectrum.real / step) + 1j * np.rint(spectrum.imag / step)
    return stft.inverse(rounded * step, signal.size)


def _reverberant(signal: Array, rate: int, random: np.random.Generator) -> Array:
    from scipy.signal import fftconvolve

    times = np.arange(1, int(rate * 0.3)) / rate
    tail = random.standard_normal(times.size) * 10 ** (-3 * times / random.uniform(0.1, 0.5))
    tail *= 10 ** (random.uniform(-20, 3) / 20) / np.linalg.norm(tail)
    response = np.concatenate([[1.0], tail])
    return np.asarray(fftconvolve(signal, response)[: signal.size])


def _interrupted(signal: Array, rate: int, random: np.random.Generator) -> Array:
    frame = max(1, int(rate * random.uniform(0.01, 0.06)))
    kept = random.uniform(size=-(-signal.size // frame)) >= random.uniform(0, 0.4)
    return np.asarray(signal * np.repeat(kept, frame)[: signal.size])


@dataclass(kw_only=True)
class Enhanced(Model):
    """An enhancer in a separator's place: what it keeps, what it takes away, again and again."""

    task = "separation"
    version = "1"

    enhancer: str = "spectral-gating"
    enhancer_parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from models.registry import create

        self._enhancer = create(self.enhancer, **self.enhancer_parameters)
        if self._enhancer.task != "enhancement" or self._enhancer.role == "oracle":
            raise ValueError(
                f"Enhanced: expected an enhancer that needs no truth, got {self.enhancer!r}; "
                "choose one that `realear list models` has"
            )

    @property
    def weights(self) -> str | None:
        """The fingerprint of the enhancer."""
        from models.registry import fingerprint

        return fingerprint(self._enhancer, self.enhancer)

    def load(self) -> None:
        """Load the enhancer."""
        self._enhancer.load()

    def separate(
        self, mixtures: Sequence[Signal], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time): odd ones are the enhanced mixture, even ones the rest of it."""
        count = check_sources(sources)
        kept = self._enhancer.enhance(mixtures, sample_rate=sample_rate)
        both = [np.stack([a, b - a]) for a, b in zip(kept, mixtures, strict=True)]
        return [np.ascontiguousarray(pair[np.arange(count) % 2], np.float32) for pair in both]


@dataclass(kw_only=True)
class RoughSeparator(TrainedSeparator):
    """A trained separator whose weights are off, as if it had learnt for less long.

    `noise` is the deviation of what is added to every tensor of weights, against the tensor's own.
    """

    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "noise", 0, 10)
        check_number(self, "seed", 0, 2**31)

    def _build(self) -> Any:
        import torch

        network = super()._build()
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for weights in network.parameters():
                off = torch.randn(weights.shape, generator=generator)
                weights += self.noise * float(weights.std(correction=0)) * off
        return network
