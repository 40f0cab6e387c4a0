"""Noises: white, pink, babble and recorded ones, and their level against speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import scipy  # its parts come in where they are used
from pydantic import Field, field_validator, model_validator

from pipelines.recipes.base import Range, Recipe, Row, Spread, generator, refuse_twins
from pipelines.recipes.levels import decibels, power, to_level

Kind = Literal["white", "pink", "babble", "recorded"]
MADE: tuple[Kind, ...] = get_args(Kind)[:3]  # those that need no recordings of noise
Read = Callable[[str], np.ndarray]  # source key -> (time,) at the scene's sample rate


class NoiseRanges(Recipe):
    """What noise is drawn from.

    Attributes:
        kinds: any of white, pink, babble and recorded; each scene draws one. Not given: recorded
            where `of` names datasets, else the other three.
        of: the datasets of recorded noises.
        types: the types of recorded noises to use; none for all. Each is as likely as another,
            however many recordings there are of it.
        snr_db: power of the speech over power of the noise, means over the whole scene; [low,
            high], or {grid: [value, ...]}, or one value.
        against: what the SNR is measured against: "all" talkers together, or the "loudest" of
            them, as in WHAM!.
        loudness_lufs: [low, high] LUFS of the noise itself, instead of an SNR, as in LibriMix.
        babble_talkers: how many other speakers babble.
        shared: whether recorded noises may be heard in several splits. Otherwise a recording is on
            one side only, as a speaker is.
    """

    kinds: tuple[Kind, ...] = ()
    of: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    snr_db: Spread = Spread(range=(0.0, 15.0))
    against: Literal["all", "loudest"] = "all"
    loudness_lufs: Range | None = None
    babble_talkers: int = Field(default=5, ge=1)
    shared: bool = False

    @field_validator("of", mode="before")
    @classmethod
    def _one_dataset(cls, of: Any) -> Any:
        return (of,) if isinstance(of, str) else of

    @field_validator("kinds")
    @classmethod
    def _once(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        refuse_twins(kinds, "kind of noise", "name each kind once")
        return kinds

    @model_validator(mode="after")
    def _one_level(self) -> Self:
        if self.loudness_lufs is not None and {"snr_db", "against"} & self.model_fields_set:
            raise ValueError(
                "expected snr_db or loudness_lufs of a noise, found both: leave one out"
            )
        return self

    @property
    def drawn(self) -> tuple[Kind, ...]:
        """The kinds that scenes draw from."""
        return self.kinds or (("recorded",) if self.of else MADE)


class NoiseRow(Row):
    """The noise of a scene, decided.

    Attributes:
        kind: how it is made. type: what it is, such as `white` or, of a recording, `kitchen`.
        snr_db, loudness_lufs: its level; one of them. against: see `NoiseRanges`.
        seed: of what `make` draws.
        keys: the clips of those who babble, or the one recording; none otherwise.
        start_seconds: where in the recording it begins.
    """

    kind: Kind
    type: str
    snr_db: float | None
    loudness_lufs: float | None
    against: Literal["all", "loudest"]
    seed: int
    keys: tuple[str, ...] = ()
    start_seconds: float = 0.0


def white(samples: int, random: np.random.Generator) -> np.ndarray:
    """Gaussian white noise, (samples,) float64, of power 1."""
    return random.standard_normal(samples)


def pink(samples: int, random: np.random.Generator) -> np.ndarray:
    """Gaussian noise whose power falls by 3 dB an octave, (samples,) float64, of power 1, no mean.

    White noise weighted by 1 / sqrt(frequency) over the whole clip, hence periodic in a length
    somewhat above the clip's own. Fewer than two samples hold no pink noise: ValueError.
    """
    if samples < 2:
        raise ValueError(f"expected 2 samples of pink noise or more, found {samples}")
    size = scipy.fft.next_fast_len(samples, real=True)
    spectrum = scipy.fft.rfft(random.standard_normal(size))
    spectrum[0] = 0.0
    spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
    noise = scipy.fft.irfft(spectrum, size)[:samples]
    return to_level(noise - noise.mean(), 0.0, name="pink noise")


def babble(
    samples: int,
    random: np.random.Generator,
    *,
    talkers: Sequence[np.ndarray],
    names: Sequence[str],
) -> np.ndarray:
    """Other people talking: each signal brought to one level, begun at a random point, summed.

    Args:
        samples: length of the result; shorter signals go round.
        random: draws where each signal begins.
        talkers: (time,) float64 each, one or more.
        names: theirs, for messages.

    Returns:
        (samples,) float64, each talker of power 1 over its own clip.
    """
    if not talkers:
        raise ValueError("expected the signals of one talker or more for babble, found none")
    total = np.zeros(samples)
    for signal, name in zip(talkers, names, strict=True):
        level = to_level(signal, 0.0, name=f"babble talker {name!r}")
        start = int(random.integers(level.size))
        total += np.resize(np.roll(level, -start), samples)
    return total


def recorded(signal: np.ndarray, samples: int, *, start: int) -> np.ndarray:
    """(samples,) of a recording (time,) from a sample on; where it ends, it goes round.

    ValueError for an empty recording.
    """
    if not signal.size:
        raise ValueError("expected a noise of some length, found 0 samples: leave the clip out")
    return np.take(signal, np.arange(start, start + samples), mode="wrap")


def make(row: NoiseRow, samples: int, sample_rate: int, read: Read) -> tuple[np.ndarray, bool]:
    """The noise of a row, of any level; the same for the same arguments.

    Args:
        row: what to make.
        samples: how much of it.
        sample_rate: Hz.
        read: fetches the clips in `row.keys`, each asked for once.

    Returns:
        (samples,) float64, and whether it is a recording that had to go round.
    """
    random = generator(row.seed, row.kind)
    if row.kind == "white":
        return white(samples, random), False
    if row.kind == "pink":
        return pink(samples, random), False
    signals = [np.asarray(read(key), dtype=np.float64) for key in row.keys]
    if row.kind == "recorded":
        [signal] = signals
        start = round(row.start_seconds * sample_rate)
        return recorded(signal, samples, start=start), signal.size < samples
    return babble(samples, random, talkers=signals, names=row.keys), False


def scale_to_snr(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`noise` scaled so that 10 log10(power of speech / power of noise) is `snr_db`.

    Both (time,), of one length; powers are means over the whole signals, pauses included.

    Raises:
        ValueError: the lengths differ, or either is silent or not finite.
    """
    if speech.shape != noise.shape:
        raise ValueError(f"expected noise of shape {speech.shape}, found {noise.shape}")
    unit = to_level(noise, 0.0, name="the noise")
    loudness = power(speech)
    if not (np.isfinite(loudness) and loudness > 0.0):
        raise ValueError(f"expected speech with sound, found power {loudness}: leave the clip out")
    scaled: np.ndarray = unit * (np.sqrt(loudness) * decibels(-snr_db))
    return scaled
