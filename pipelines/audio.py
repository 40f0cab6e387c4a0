"""Audio files to arrays and back: decoding by libsndfile, resampling by soxr, nothing invented.

Signals are mono, shaped (time,). Scores are computed in float64, models hear float32.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.io import wavfile

Signal = NDArray[np.float64]

RATES = (1_000, 384_000)  # Hz; a header outside of this lies
COARSE = 65_535  # Hz; above it FLAC (and any real device) knows multiples of 10 Hz only
BLOCK = 1 << 14  # samples decoded at a time: a header may promise more than any memory holds
# Lengths that writers leave in a header when they cannot go back: close to 2^31 or 2^32, whole
# blocks only (0xFFFFFFFF by ffmpeg, 0x7FFFF000 by SoX, 0x7FFFFF00 or 0x80000000 by arecord).
STREAMED = (range(0x7FFF0000, 0x80000001), range(0xFFFF0000, 0x100000000))
UNKNOWN = 1 << 40  # samples, 795 days at 16 kHz; libsndfile's "no length given" lies far above
SIXTEEN_BIT = {"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"}
_SHORTER = re.compile(
    r"^\s*(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
_OGG_CUT = re.compile(r"^Ogg ?: (?:Junk after the last page|File ended unexpectedly)", re.MULTILINE)
_NIST_LENGTH = re.compile(rb"^sample_count -i (\d+)", re.MULTILINE)


class BadAudio(ValueError):
    """A recording that cannot be used: `reason` is one word, the message says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Recording:
    """A decoded file: samples (time, channels), float64 in [-1, 1); its rate in Hz."""

    samples: NDArray[np.float64]
    sample_rate: int
    bits: int  # 16 or 24: what FLAC needs to hold it


def decode(data: bytes) -> Recording:
    """Decode a whole file; BadAudio("undecodable" | "truncated" | "bad_sample_rate" | "empty")."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            expected, rate, subtype = file.frames, file.samplerate, file.subtype
            notes = file.extra_info
            samples = _read_all(file)
    except soundfile.LibsndfileError as error:
        detail = f"libsndfile cannot read it: {error.error_string}"
        raise BadAudio("undecodable", detail) from error
    except (RuntimeError, ValueError, OverflowError) as error:
        raise BadAudio("undecodable", f"libsndfile cannot read it: {error}") from error
    _refuse_rate(rate)
    _refuse_truncated(notes, _promised(data, expected), len(samples))
    if not len(samples):
        raise BadAudio("empty", "the file holds no samples")
    return Recording(samples, rate, 16 if subtype in SIXTEEN_BIT else 24)


def _read_all(file: soundfile.SoundFile) -> NDArray[np.float64]:
    """All samples, (time, channels): until there are no more, whatever the header says."""
    blocks = [np.zeros((0, file.channels))]
    while len(block := file.read(BLOCK, dtype="float64", always_2d=True)):
        blocks.append(block)
    return np.concatenate(blocks)


def _refuse_rate(rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise BadAudio("bad_sample_rate", f"expected {RATES[0]}-{RATES[1]} Hz, found {rate} Hz")
    if not storable(rate):
        detail = f"expected a multiple of 10 Hz above {COARSE} Hz, found {rate} Hz"
        raise BadAudio("bad_sample_rate", detail)


def storable(rate: int) -> bool:
    """Whether FLAC can hold a rate in Hz so that every decoder reads it back."""
    return rate <= COARSE or rate % 10 == 0


def _promised(data: bytes, frames: int) -> int:
    """How many samples the header promises; 0 where it does not say."""
    if data.startswith(b"NIST_1A") and (stated := _NIST_LENGTH.search(data[:4096])):
        return int(stated[1])  # libsndfile goes by the file's length
    return frames if frames < UNKNOWN else 0


def _refuse_truncated(notes: str, expected: int, found: int) -> None:
    """Libsndfile reads a file that was cut short in silence; only its log tells."""
    if cut := _SHORTER.search(notes):
        promised, there = int(cut[1]), int(cut[2])
        if not any(promised in lengths for lengths in STREAMED) and there < promised:
            raise BadAudio("truncated", f"the header promises {promised} bytes, {there} are there")
    if _OGG_CUT.search(notes):
        raise BadAudio("truncated", "the Ogg stream ends before its last page does")
    if found < expected:
        raise BadAudio("truncated", f"the header promises {expected} samples, {found} are there")


def mono(recording: Recording, channel: int | None = None) -> Signal:
    """The mean of the channels, or one of them (from 0); BadAudio("no_such_channel")."""
    if channel is None:
        return np.asarray(recording.samples.mean(axis=1))
    if channel >= recording.samples.shape[1]:
        count = recording.samples.shape[1]
        raise BadAudio("no_such_channel", f"expected channel {channel}, found {count} channels")
    return recording.samples[:, channel]


def resample(signal: NDArray, rate: int, new_rate: int) -> NDArray:
    """Soxr HQ, dtype kept; the very same array where the rates are equal."""
    if rate == new_rate or not len(signal):
        return signal
    return np.asarray(soxr.resample(signal, rate, new_rate, quality="HQ"))


def _to_integers(signal: Signal, bits: int) -> tuple[NDArray[np.int32], int]:
    """Integer samples, and how many had to be clipped to fit."""
    full_scale = float(1 << (bits - 1))
    scaled = np.rint(signal * full_scale)
    clipped = int(np.count_nonzero((scaled > full_scale - 1) | (scaled < -full_scale)))
    return np.clip(scaled, -full_scale, full_scale - 1).astype(np.int32), clipped


@dataclass(frozen=True)
class Encoded:
    """A FLAC file in memory, with what is known of its samples."""

    data: bytes
    content: str  # sha256 of rate and decoded PCM
    frames: int
    clipped: int  # samples beyond full scale, cut
    peak_dbfs: float  # of the stored samples; -inf never occurs: silence is refused before
    rms_dbfs: float


def encode_flac(signal: Signal, sample_rate: int, bits: int = 16) -> Encoded:
    """Encode (time,) float64 as mono FLAC of 16 or 24 bits; lossless for what came from as many."""
    pcm, clipped = _to_integers(signal, bits)
    file = io.BytesIO()
    shifted = pcm << (32 - bits)  # libsndfile takes the upper bits of an int32
    soundfile.write(file, shifted, sample_rate, format="FLAC", subtype=f"PCM_{bits}")
    stored = pcm / float(1 << (bits - 1))
    content = hashlib.sha256(f"{sample_rate} {bits}\n".encode() + pcm.astype("<i4").tobytes())
    return Encoded(
        data=file.getvalue(),
        content=content.hexdigest(),
        frames=len(pcm),
        clipped=clipped,
        peak_dbfs=decibels(float(np.abs(stored).max(initial=0.0))),
        rms_dbfs=decibels(float(np.sqrt(np.mean(stored**2))) if len(stored) else 0.0),
    )


def decibels(amplitude: float) -> float:
    """Level over full scale, dB, rounded to 0.01; -200 for silence."""
    return round(20 * float(np.log10(max(amplitude, 1e-10))), 2)


def encode_wav(signal: NDArray, sample_rate: int) -> bytes:
    """Encode (time,) as mono float32 WAV: what predicted signals are stored as."""
    file = io.BytesIO()
    # Not libsndfile: it writes the time of day into a float WAV (its PEAK chunk).
    wavfile.write(file, sample_rate, np.asarray(signal, dtype=np.float32))
    return file.getvalue()


def read_signal(data: bytes) -> tuple[Signal, int]:
    """Decode a shard member that RealEar wrote: (time,) float64 and its rate in Hz."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float64")
    return samples, rate
