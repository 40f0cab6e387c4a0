"""Codecs: a signal encoded and decoded in memory by libsndfile, back at its rate and in its place.

| name | standard | rates in Hz | option | SNR in dB, STOI |
| --- | --- | --- | --- | --- |
| `pcm` | linear, 16 bits | any | | exact |
| `mulaw` | G.711, 64 kbit/s | 8,000 | | 37.0, 0.988 |
| `alaw` | G.711, 64 kbit/s | 8,000 | | 36.3, 0.987 |
| `g721` | G.721 ADPCM, 32 kbit/s | 8,000 | | 21.3, 0.972 |
| `gsm` | GSM 06.10 full rate, 13 kbit/s | 8,000 | | 13.0, 0.935 |
| `ima_adpcm` | IMA ADPCM, 4 bits a sample | any | | 19.4, 0.965 |
| `mp3` | MPEG-1 and -2 Layer III | 16,000 to 48,000 | `kbps` | 32: 17.4, 0.992 |
| `opus` | Opus, frames of 20 ms | 8,000 to 48,000 | `kbps` | 6: 6.5, 0.870; 24: 17.8, 0.992 |
| `vorbis` | Vorbis, variable bitrate | 8,000 to 48,000 | `quality` | 0: 14.8, 0.984 |

The last column was measured on twelve read sentences at 16 kHz: mean SNR against the signal at the
codec's rate, lowest STOI against the signal as it was.

A signal at another rate than its codec knows is resampled (soxr HQ, which delays nothing) to the
next rate above, or to the highest, and back.

**Delay.** libsndfile takes away what the formats let it know. Two things it cannot. Where an MP3
frame is too small to hold LAME's tag (bitrates of 56 kbit/s and fewer), encoder and decoder leave
1,105 samples before the first; they are cut off. And below about 40 kbit/s the resamplers inside
Opus leave up to 0.06 ms, late or early by the bitrate: too little to hear, but enough to cost
3.5 dB of SNR; it is measured on every clip and taken away. What remains on real speech is a fifth
of a sample at most at 8 kHz (0.02 ms, IMA ADPCM, which lags behind steep slopes).

**Bits.** The same on one machine, though not its Ogg bytes in between (their serial numbers are
random). Opus and Vorbis compute in floating point: another processor may round otherwise.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
import soundfile
import soxr
from pydantic import Field, model_validator

from pipelines.recipes.base import Range, Recipe, Row, generator, uniform
from pipelines.recipes.spectra import earlier, lag_seconds

Name = Literal["pcm", "mulaw", "alaw", "g721", "gsm", "ima_adpcm", "mp3", "opus", "vorbis"]
NAMES: tuple[Name, ...] = get_args(Name)
MP3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160)  # known to MPEG-1 and to MPEG-2
OPUS_KBPS = (6.0, 256.0)
LAME_DELAY = 1_105  # samples: 576 of LAME, 529 of every decoder's filter bank
OPUS_LAG_SECONDS = 1e-4  # more than it was ever found to leave
_TELEPHONE = (8_000,)
_ANY: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Format:
    """What libsndfile calls a codec, and the rates in Hz that it runs at; none for any."""

    container: str
    subtype: str
    rates: tuple[int, ...] = _ANY
    option: Literal["kbps", "quality"] | None = None


_FORMATS: dict[Name, _Format] = {
    "pcm": _Format("WAV", "PCM_16"),
    "mulaw": _Format("WAV", "ULAW", _TELEPHONE),
    "alaw": _Format("WAV", "ALAW", _TELEPHONE),
    "g721": _Format("WAV", "G721_32", _TELEPHONE),
    "gsm": _Format("WAV", "GSM610", _TELEPHONE),
    "ima_adpcm": _Format("WAV", "IMA_ADPCM"),
    "mp3": _Format(
        "MP3", "MPEG_LAYER_III", (16_000, 22_050, 24_000, 32_000, 44_100, 48_000), "kbps"
    ),
    "opus": _Format("OGG", "OPUS", (8_000, 12_000, 16_000, 24_000, 48_000), "kbps"),
    "vorbis": _Format(
        "OGG",
        "VORBIS",
        (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
        "quality",
    ),
}


class Codec(Recipe):
    """A codec and what its option is drawn from.

    Attributes:
        name: see the module's table.
        kbps: [low, high] kbit/s, of `mp3` (then one of its ten bitrates between 32 and 160) and
            `opus` (6 to 256) only; None for [32, 128] and [6, 64].
        quality: [low, high] within 0 to 1, of `vorbis` only; None for [0, 0.5].
    """

    name: Name
    kbps: Range | None = None
    quality: Range | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        option = _FORMATS[self.name].option
        for name in ("kbps", "quality"):
            if getattr(self, name) is not None and option != name:
                raise ValueError(f"expected no {name} of {self.name}, found one: leave it out")
        low, high = self.bounds
        least, most = _limits(self.name)
        if not (least <= low and high <= most):
            raise ValueError(
                f"expected {option} of {self.name} within [{least:g}, {most:g}], found "
                f"[{low:g}, {high:g}]: narrow it"
            )
        if self.name == "mp3" and not self._bitrates():
            raise ValueError(f"expected kbps around one of {MP3_KBPS}, found {self.kbps}: widen it")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """[low, high] of the option; (0, 0) where there is none."""
        if self.name == "vorbis":
            return self.quality or (0.0, 0.5)
        if self.name == "mp3":
            return self.kbps or (32.0, 128.0)
        return (self.kbps or (6.0, 64.0)) if self.name == "opus" else (0.0, 0.0)

    def _bitrates(self) -> list[int]:
        return [kbps for kbps in MP3_KBPS if self.bounds[0] <= kbps <= self.bounds[1]]

    def draw(self, seed: int) -> CodecRow:
        """A codec with its option decided."""
        random = generator(seed, "codec", self.name)
        if self.name == "mp3":
            bitrates = self._bitrates()
            return CodecRow(name="mp3", kbps=bitrates[int(random.integers(len(bitrates)))])
        if self.name == "opus":
            return CodecRow(name="opus", kbps=uniform(random, self.bounds, digits=1))
        if self.name == "vorbis":
            return CodecRow(name="vorbis", quality=uniform(random, self.bounds, digits=2))
        return CodecRow(name=self.name)


def _limits(name: Name) -> tuple[float, float]:
    """The option's least and greatest value."""
    if name == "mp3":
        return float(MP3_KBPS[0]), float(MP3_KBPS[-1])
    return {"opus": OPUS_KBPS, "vorbis": (0.0, 1.0)}.get(name, (0.0, 0.0))


class CodecRow(Row):
    """A codec as decided: `kbps` of MP3 and Opus, `quality` of Vorbis, None of the others."""

    name: Name
    kbps: float | None = Field(default=None)
    quality: float | None = Field(default=None)


def coded(codec: CodecRow, signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """A signal after encoding and decoding.

    Args:
        codec: which one, with its option.
        signal: (time,) float64 in [-1, 1); what is beyond is clipped, as files do.
        sample_rate: Hz.

    Returns:
        (time,) float64 of the same length, not delayed; empty for an empty one.
    """
    if not signal.size:
        return signal.copy()
    rate = rate_of(codec.name, sample_rate)
    heard = _through(codec, resampled(signal, sample_rate, rate), rate)
    return fitted(resampled(heard, rate, sample_rate), signal.size)


def rate_of(name: Name, sample_rate: int) -> int:
    """The rate in Hz at which a codec takes a signal of `sample_rate`."""
    rates = _FORMATS[name].rates or (sample_rate,)
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


def resampled(signal: np.ndarray, sample_rate: float, new_rate: float) -> np.ndarray:
    """A signal (time,) at another rate in Hz: soxr HQ, linear phase, without delay."""
    if sample_rate == new_rate:
        return signal
    return np.asarray(soxr.resample(signal, sample_rate, new_rate, quality="HQ"))


def fitted(signal: np.ndarray, samples: int) -> np.ndarray:
    """A signal (time,) cut, or lengthened by zeros, to so many samples."""
    return np.pad(signal[:samples], (0, max(0, samples - signal.size)))


def _through(codec: CodecRow, signal: np.ndarray, rate: int) -> np.ndarray:
    """Encoded and decoded at a rate that the codec knows: (time,) of the same length."""
    form = _FORMATS[codec.name]
    file = io.BytesIO()
    soundfile.write(
        file,
        signal,
        rate,
        format=form.container,
        subtype=form.subtype,
        compression_level=_level(codec, rate),
        bitrate_mode="CONSTANT" if codec.name == "mp3" else None,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float64")
    if codec.name == "mp3" and decoded.size > signal.size:  # no tag, so nothing was taken away
        decoded = decoded[LAME_DELAY:]
    if codec.name == "opus":
        decoded = earlier(decoded, rate, lag_seconds(signal, decoded, rate, OPUS_LAG_SECONDS))
    return fitted(decoded, signal.size)


def _level(codec: CodecRow, rate: int) -> float | None:
    """Libsndfile's compression level, 0 (best) to 1, that stands for a bitrate or a quality."""
    if codec.quality is not None:
        return 1.0 - codec.quality
    if codec.kbps is None:
        return None
    low, high = OPUS_KBPS
    if codec.name == "mp3":
        low, high = (32.0, 320.0) if rate >= 32_000 else (8.0, 160.0)
    # LAME refuses what rounds to less than its lowest bitrate.
    return min((high - codec.kbps) / (high - low), 0.9999)
