"""Explainers that know nothing of the classifier: chance, loudness, and the truth.

Chance rows show what a mask is worth that keeps as much without any reason: `like` another
explainer, cell for cell the same values in other places, or an `area` of cells kept whole. An
explanation that is not ahead of both explains nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import explaining
from models.base import Model, Signal, check_number
from models.explaining import Explainer, Mask
from models.spectra import TINY

Floats = NDArray[np.float64]


def drawn_from(signal: Signal, *more: object) -> np.random.Generator:
    """A generator that the clip's own samples seed: the same for it wherever it stands."""
    heard = np.ascontiguousarray(signal, dtype="<f4").tobytes()
    said = hashlib.blake2b(heard + repr(more).encode(), digest_size=16)
    return np.random.default_rng(int.from_bytes(said.digest()))


@dataclass(kw_only=True)
class Unreasoned(Explainer):
    """Base of both: whose values are put in other places, or how many cells are kept.

    `area`: share of cells that are kept whole; not looked at where `like` names an explainer of the
    registry, with `like_parameters`, whose own masks say how much of each clip is kept.
    """

    version = "1"
    libraries = ("numpy",)
    role = "baseline"

    area: float = 0.1
    like: str = ""
    like_parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_number(self, "area", 0.0, 1.0)
        self._other: Explainer | None = None
        if self.like:
            from models.registry import create

            other = create(self.like, **self.like_parameters)
            if not isinstance(other, Explainer) or other.role == "oracle":
                raise ValueError(
                    f"{type(self).__name__}: expected like= to name an explainer, found "
                    f"{self.like!r}: `realear list models` shows them under explanation"
                )
            self._other = other

    @property
    def weights(self) -> str | None:
        """sha256 of all that decides the other explainer's masks; None without one."""
        if self._other is None:
            return None
        from models.registry import record

        said = json.dumps(record(self._other, self.like), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()

    def load(self) -> None:
        """Load the other explainer."""
        if self._other is not None:
            self._other.load()

    def check(self, classifier: Model) -> None:
        """As the other explainer."""
        if self._other is not None:
            self._other.check(classifier)

    def explain(
        self,
        signals: Sequence[Signal],
        classifier: Model,
        classes: Sequence[int],
        *,
        sample_rate: int,
        **_references: Any,
    ) -> list[Mask]:
        """The values of every mask, the greatest in the first of the cells by `ranked`."""
        clips = explaining.checked(signals)
        if self._other is None:
            values = [self._flat(clip, sample_rate) for clip in clips]
        else:
            values = self._other.explain(clips, classifier, classes, sample_rate=sample_rate)
        return [
            self._placed(value, self.ranked(clip, sample_rate))
            for clip, value in zip(clips, values, strict=True)
        ]

    def ranked(self, signal: Signal, sample_rate: int) -> Floats:
        """(frames, frequencies): the greater, the greater a value does a cell get."""
        raise NotImplementedError

    def _flat(self, signal: Signal, sample_rate: int) -> Mask:
        mask = np.zeros(explaining.shape(len(signal), sample_rate), np.float32)
        mask.flat[: round(self.area * mask.size)] = 1.0
        return mask

    def _placed(self, values: Mask, order: Floats) -> Mask:
        mask = np.empty_like(values)
        mask.flat[np.argsort(-order, axis=None, kind="stable")] = np.sort(values, axis=None)[::-1]
        return mask


@dataclass(kw_only=True)
class RandomMask(Unreasoned):
    """Cells drawn at random, or blocks of them.

    `seconds` and `hertz` are the size of a block; 0 draws every cell by itself. Cells by themselves
    thin a sound out evenly, as if it were turned down under a hiss: a classifier that hears whole
    bands still hears it, so blocks are the harder chance.
    """

    seconds: float = 0.0
    hertz: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_number(self, "seconds", 0.0, 3600.0)
        check_number(self, "hertz", 0.0, 1e6)
        check_number(self, "seed", 0, 2**31)
        super().__post_init__()

    def ranked(self, signal: Signal, sample_rate: int) -> Floats:
        """Blocks in a random order; cells of one block one after another."""
        frames, bins = explaining.shape(len(signal), sample_rate)
        transform = explaining.stft(sample_rate)
        high = max(1, round(self.seconds * sample_rate / transform.hop_samples))
        wide = max(1, round(self.hertz * transform.window_samples / sample_rate))
        random = drawn_from(signal, "random mask", self.seed)
        drawn = random.random((-(-frames // high), -(-bins // wide)))
        return np.asarray(drawn[np.arange(frames)[:, None] // high, np.arange(bins) // wide])


@dataclass(kw_only=True)
class EnergyMask(Unreasoned):
    """The loudest cells: all that can be known without asking the classifier."""

    def ranked(self, signal: Signal, sample_rate: int) -> Floats:
        """Magnitudes."""
        return np.abs(explaining.stft(sample_rate).forward(np.asarray(signal, np.float64)))


@dataclass(kw_only=True)
class OracleMask(Explainer):
    """What the true source of a mixture has of every cell, by power: |S|² / (|S|² + |N|²).

    It points where the class is, whatever the classifier listened to: the upper row of clips that
    come with their source.
    """

    version = "1"
    libraries = ("numpy",)
    role = "oracle"

    def explain(
        self,
        signals: Sequence[Signal],
        classifier: Model,
        classes: Sequence[int],
        *,
        sample_rate: int,
        references: Sequence[NDArray[Any]] = (),
        **_more: Any,
    ) -> list[Mask]:
        """Wiener filters by `references`, (2, time) a clip: the source and the rest."""
        del classifier, classes
        transform = explaining.stft(sample_rate)
        masks = []
        for clip, both in zip(explaining.checked(signals), references, strict=True):
            if np.shape(both) != (2, len(clip)):
                raise ValueError(
                    f"expected references shaped {(2, len(clip))}, got {np.shape(both)}; give "
                    "the source and the rest, as long as the clip"
                )
            power = np.abs(transform.forward(np.asarray(both, np.float64))) ** 2
            masks.append((power[0] / np.maximum(power.sum(axis=0), TINY)).astype(np.float32))
        return masks
