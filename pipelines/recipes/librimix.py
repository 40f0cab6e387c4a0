"""LibriMix from its own tables: Libri2Mix, Libri3Mix as their authors' script writes them.

The tables (`libri2mix_test-clean.csv` …) name, for every mixture, the LibriSpeech utterances, the
WHAM! noise, and a gain for each of them. So a standard test set can be had again from LibriSpeech
and WHAM! alone, sample for sample. How the script does it, and so does `render`:

1. Sources are read as float32 at 16 kHz; of the noise the first channel, no longer than the longest
   talker. A shorter noise is appended to itself, the last and the first 8,001 samples cross-faded
   by the halves of a Hann window of 16,001; from there on the noise is float64.
2. Each is multiplied by its gain, then brought to 8 kHz, if asked, by `scipy.signal.resample_poly`.
3. `min` cuts all to the shortest of them, `max` pads all with zeros to the longest. That holds for
   all talkers of the table, also where a mixture leaves some out (`mix_single`).
4. The mixture is the float32 sum: of the talkers (`mix_clean`), of the talkers and the noise
   (`mix_both`), of the first talker and the noise (`mix_single`).
5. Mixture, talkers and noise are written by libsndfile as 16-bit PCM, each for itself: scaled to 32
   bits, rounded, clipped at full scale, and the lower 16 bits *cut off*. That rounds down, by half
   a step on average. So the stored parts add up to the stored mixture only within one step a part;
   this recipe follows LibriMix here and not the exact sums of the others.

Joris Cosentino, Manuel Pariente, Samuele Cornell, Antoine Deleforge, Emmanuel Vincent: LibriMix: An
Open-Source Dataset for Generalizable Speech Separation. arXiv:2005.11262, 2020.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy  # its parts come in where they are used: signal takes a second
from numpy.typing import NDArray

from pipelines.recipes.base import Recipe, Rendered, Row, key_of, refuse_twins

Read = Callable[[str], np.ndarray]  # source key -> (time,) at 16 kHz, the first channel

RATE = 16_000  # Hz, of LibriSpeech and of WHAM!'s noise as LibriMix uses it
NOISY = frozenset({"mix_both", "mix_single"})
COLUMNS = (  # without which a table is none of LibriMix's
    "mixture_ID",
    "source_1_path",
    "source_1_gain",
    "source_2_path",
    "source_2_gain",
    "noise_path",
    "noise_gain",
)
_TALKER = re.compile(r"source_(\d+)_path")
_EPS = 1e-10  # LibriMix's, in its SNRs
_SHOWN = 5  # names in a message


class LibriMix(Recipe):
    """Which of LibriMix's sets.

    Attributes:
        metadata: one of LibriMix's tables. Where one with `_info` before its suffix lies beside it,
            the talkers' sexes are taken from there.
        mixture: what is heard: the talkers, the talkers in noise, or the first one in noise.
        sample_rate: Hz; LibriMix knows 8k and 16k.
        length: cut to the shortest talker, or padded to the longest.
    """

    metadata: str
    mixture: Literal["mix_clean", "mix_both", "mix_single"] = "mix_both"
    sample_rate: Literal[8_000, 16_000] = 8_000
    length: Literal["min", "max"] = "min"


@dataclass(frozen=True)
class SourceClip:
    """A recording that mixtures may be made of: its key, how long it is, and who speaks."""

    key: str
    seconds: float
    speaker: str = ""


class Part(Row):
    """One of the sources of a mixture: the clip's key, its gain, and who speaks."""

    key: str
    gain: float
    speaker: str = ""


class Mixture(Row):
    """One mixture, decided: `render` needs this and the named source signals.

    Attributes:
        key: LibriMix's own `mixture_ID`. talkers: in its order. noise: None for `mix_clean`.
        mixture, sample_rate, length: see `LibriMix`. seconds: how long it will be.
        gender: F or M for every talker, such as F+M; None where no table tells it.
    """

    key: str
    talkers: tuple[Part, ...]
    noise: Part | None
    mixture: Literal["mix_clean", "mix_both", "mix_single"]
    sample_rate: int
    length: Literal["min", "max"]
    seconds: float
    gender: str | None = None

    @property
    def heard(self) -> tuple[Part, ...]:
        """The talkers that are in the mixture."""
        return self.talkers[:1] if self.mixture == "mix_single" else self.talkers

    @property
    def source_keys(self) -> tuple[str, ...]:
        """All source clips that rendering will read, talkers first, in order."""
        noise = (self.noise.key,) if self.noise else ()
        return tuple(talker.key for talker in self.talkers) + noise


def plan(
    recipe: LibriMix,
    lines: Sequence[Mapping[str, Any]],
    find: Callable[[str], SourceClip | None],
    sexes: Mapping[str, str] | None = None,
) -> list[Mixture]:
    """The mixtures of a table, in its order.

    Args:
        recipe: the options.
        lines: the table's cells by column (`COLUMNS`, and more talkers).
        find: the source clip that a path of the table stands for; None where there is none.
        sexes: `mixture_ID` to the talkers' sexes, such as F+M.

    Raises:
        ValueError: no lines, a mixture twice, a gain that is no number, or source clips missing,
            with how many and the first of them.
    """
    if not lines:
        raise ValueError("expected mixtures in the table, found none")
    count = sum(bool(_TALKER.fullmatch(column)) for column in lines[0])
    missing: dict[str, None] = {}
    rows = []
    for line in lines:
        sources = _sources(line, count, noisy=recipe.mixture in NOISY)
        found = [find(path) for path, _ in sources]
        missing |= {path: None for (path, _), clip in zip(sources, found, strict=True) if not clip}
        parts = [
            Part(key=clip.key, gain=gain, speaker=clip.speaker)
            for clip, (_, gain) in zip(found, sources, strict=True)
            if clip is not None
        ]
        if len(parts) == len(sources):
            name = str(line["mixture_ID"])
            seconds = [clip.seconds for clip in found[:count] if clip is not None]
            rows.append(_row(recipe, name, parts, seconds, (sexes or {}).get(name)))
    if missing:
        _refuse_missing(list(missing))
    refuse_twins((row.key for row in rows), "mixture", "keep one line of each")
    return rows


def _sources(line: Mapping[str, Any], count: int, *, noisy: bool) -> list[tuple[str, float]]:
    """(path, gain) of every talker and, where it is wanted, of the noise."""
    names = [f"source_{number}" for number in range(1, count + 1)] + ["noise"] * noisy
    return [(str(line[f"{name}_path"]), _gain(line, f"{name}_gain")) for name in names]


def _gain(line: Mapping[str, Any], column: str) -> float:
    try:
        found = float(line[column])
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        name = line["mixture_ID"]
        raise ValueError(f"expected a number as {column} of {name}, found {line[column]!r}")
    return found


def _row(
    recipe: LibriMix, name: str, parts: Sequence[Part], seconds: Sequence[float], sexes: str | None
) -> Mixture:
    noisy = recipe.mixture in NOISY
    return Mixture(
        key=key_of(name),
        talkers=tuple(parts[:-1] if noisy else parts),
        noise=parts[-1] if noisy else None,
        mixture=recipe.mixture,
        sample_rate=recipe.sample_rate,
        length=recipe.length,
        seconds=round(min(seconds) if recipe.length == "min" else max(seconds), 6),
        gender=sexes,
    )


def _refuse_missing(paths: Sequence[str]) -> None:
    shown = ", ".join(paths[:_SHOWN]) + (", …" if len(paths) > _SHOWN else "")
    raise ValueError(
        f"expected every recording of the table in the datasets of `of`, {len(paths)} are missing: "
        f"{shown}: prepare LibriSpeech and WHAM!'s noise whole, or take another table"
    )


def render(row: Mixture, read: Read) -> Rendered:
    """Make one mixture as LibriMix's script does; the module's text says how.

    Args:
        row: a row of `plan`.
        read: fetches a source clip's first channel by its key: (time,) at 16 kHz.

    Returns:
        `audio`; `s1`, `s2` …, for `mix_single` the first talker as `clean`; `noise` unless
        `mix_clean`. Labels: each part's gain, and the SNRs of LibriMix's tables of metrics:
        `snr_db` (talkers over noise) and `s1_snr_db` … (a talker over all else). `clipped`: how
        many samples of the mixture were cut at full scale, where any was.

    Raises:
        ValueError: a source is empty, or a noise too short to be extended.
    """
    talkers = [_float32(read(talker.key), talker.key) for talker in row.talkers]
    longest = max(talker.size for talker in talkers)
    signals: list[NDArray] = list(talkers)
    gains = [talker.gain for talker in row.talkers]
    if row.noise is not None:
        noise = _float32(read(row.noise.key), row.noise.key)
        signals.append(extended(noise[:longest], longest, name=row.noise.key))
        gains.append(row.noise.gain)
    images = _fitted(
        [_resampled(s * gain, row.sample_rate) for s, gain in zip(signals, gains, strict=True)],
        row.length,
    )
    talking = len(row.heard)
    heard = images[:talking] + images[len(talkers) :]
    mixture = np.zeros_like(heard[0])
    for image in heard:
        mixture += image
    return Rendered(
        {"audio": stored(mixture), **_references(row, heard)},
        row.sample_rate,
        _labels(row, mixture, heard),
    )


def _float32(signal: np.ndarray, name: str) -> NDArray[np.float32]:
    """What soundfile reads as float32; exact for recordings of up to 24 bits."""
    if signal.ndim != 1 or not signal.size:
        raise ValueError(f"expected samples of one channel of {name!r}, found {signal.shape}")
    return signal.astype(np.float32)


def extended(noise: NDArray, samples: int, *, name: str) -> NDArray:
    """Noise cross-faded with itself until it lasts; the very same array where it is long enough.

    Returns:
        (samples,), float64 where it had to be extended.

    Raises:
        ValueError: the noise is no longer than the cross-fade of 8,001 samples.
    """
    rising = np.hanning(RATE + 1)[: RATE // 2 + 1]
    falling, fade = rising[::-1], rising.size
    if noise.size <= fade and noise.size < samples:
        raise ValueError(
            f"expected more than {fade} samples of noise {name!r}, to extend it to {samples}, "
            f"found {noise.size}: LibriMix cannot do it either"
        )
    longer = noise
    while longer.size < samples:
        crossed = longer[-fade:] * falling + noise[:fade] * rising
        longer = np.concatenate((longer[:-fade], crossed, noise[fade:]))
    return longer[:samples]


def _resampled(signal: NDArray, sample_rate: int) -> NDArray:
    found: NDArray = scipy.signal.resample_poly(signal, sample_rate, RATE)
    return found


def _fitted(images: Sequence[NDArray], length: str) -> list[NDArray]:
    """All of one length: the shortest's or the longest's."""
    sizes = [image.size for image in images]
    if length == "min":
        return [image[: min(sizes)] for image in images]
    return [np.pad(image, (0, max(sizes) - image.size)) for image in images]


def stored(signal: NDArray) -> NDArray[np.int16]:
    """Floating-point samples as libsndfile writes them to 16-bit PCM: rounded down, clipped."""
    wide = np.rint(signal.astype(np.float64) * 2.0**31)
    return (np.clip(wide, -(2.0**31), 2.0**31 - 1).astype(np.int64) >> 16).astype(np.int16)


def _references(row: Mixture, heard: Sequence[NDArray]) -> dict[str, NDArray[np.int16]]:
    if row.mixture == "mix_single":
        return {"clean": stored(heard[0]), "noise": stored(heard[1])}
    found = {f"s{n}": stored(image) for n, image in enumerate(heard[: len(row.talkers)], 1)}
    return found | ({"noise": stored(heard[-1])} if row.noise else {})


def _labels(row: Mixture, mixture: NDArray, heard: Sequence[NDArray]) -> dict[str, str]:
    found = {f"s{n}_gain": _decimal(talker.gain) for n, talker in enumerate(row.talkers, 1)}
    if row.gender is not None:
        found["gender"] = row.gender
    for number, image in enumerate(heard[: len(row.heard)], 1):
        found[f"s{number}_snr_db"] = _decimal(_snr_db(image, mixture - image))
    if row.noise is not None:
        found["noise_gain"] = _decimal(row.noise.gain)
        found["snr_db"] = _decimal(-_snr_db(heard[-1], mixture - heard[-1]))
    if clipped := int(np.count_nonzero((mixture >= 1.0) | (mixture < -1.0))):
        found["clipped"] = str(clipped)
    return found


def _snr_db(signal: NDArray, rest: NDArray) -> float:
    """As LibriMix's tables of metrics have it."""
    return float(10 * np.log10(np.mean(signal**2) / (np.mean(rest**2) + _EPS) + _EPS))


def _decimal(value: float) -> str:
    return f"{value:.4g}"


def sexes_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """`mixture_ID` to its talkers' sexes in alphabetical order, such as F+M, of an info table."""
    found = {}
    for line in lines:
        sexes = sorted(str(value) for column, value in line.items() if column.endswith("_sex"))
        found[str(line["mixture_ID"])] = "+".join(sexes)
    return found
