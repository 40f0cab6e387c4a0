"""Noises: white, pink and babble, and their level against speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import scipy.fft

from pipelines.recipes.base import generator
from pipelines.recipes.levels import decibels, power, to_level

Kind = Literal["white", "pink", "babble"]
KINDS: tuple[Kind, ...] = get_args(Kind)


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


def make(
    kind: Kind,
    samples: int,
    *,
    seed: int,
    babble_keys: Sequence[str] = (),
    read: Callable[[str], np.ndarray] | None = None,
) -> np.ndarray:
    """Noise of a kind, (samples,) float64, of any level; the same for the same arguments."""
    random = generator(seed, kind)
    if kind == "white":
        return white(samples, random)
    if kind == "pink":
        return pink(samples, random)
    if read is None:
        raise ValueError("expected `read` to fetch the babble's talkers, found None: pass it")
    talkers = [np.asarray(read(key), dtype=np.float64) for key in babble_keys]
    return babble(samples, random, talkers=talkers, names=babble_keys)


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
