"""Audio files to arrays and back: decoding by libsndfile, resampling by soxr, nothing invented.

Scores are computed in float64, models hear float32. What comes as integers stays integers until
something has to be computed from it: that is exact, and twice as fast.
"""

from __future__ import annotations

import io
import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from blake3 import blake3
from numpy.typing import NDArray

from metrics.recording import LARGEST, Measured, measure, measure_pcm
from pipelines.untrusted import Metered, refuse_bomb

Signal = NDArray[np.float64]

RATES = (1_000, 384_000)  # Hz; a header outside of this lies
COARSE = 65_535  # Hz; above it FLAC (and any real device) knows multiples of 10 Hz only
CHANNELS = 8  # the most that FLAC holds
BLOCK = 1 << 16  # samples decoded at a time: a header may promise more than any memory holds
AT_ONCE = 1 << 19  # samples × channels decoded at a time: there may be 1,024 channels
MOST = 200_000_000  # samples × channels of one clip, 3.5 h of mono at 16 kHz: 1.6 GB as float64
# Lengths that writers leave in a header when they cannot go back: close to 2^31 or 2^32, whole
# blocks only (0xFFFFFFFF by ffmpeg, 0x7FFFF000 by SoX, 0x7FFFFF00 or 0x80000000 by arecord).
STREAMED = (range(0x7FFF0000, 0x80000001), range(0xFFFF0000, 0x100000000))
UNKNOWN = 1 << 40  # samples, 795 days at 16 kHz; libsndfile's "no length given" lies far above
LATE = 0.5  # s that a stretch may end after the recording, as Kaldi's extract-segments has it
# libsndfile's names of the formats that every reader of WebDatasets knows, and their suffixes.
KEPT = {"WAV": "wav", "WAVEX": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}
SIXTEEN_BIT = {"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"}
# The header of a WAV file of nothing but samples: RIFF, length, WAVE and fmt, 16, format (1: PCM),
# channels, rate, bytes a second, bytes of all channels together, bits, data, length.
_PLAIN_WAV = struct.Struct("<4sI8sIHHIIHH4sI")
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
    """A decoded file: samples (time, channels) as libsndfile gives them, and their rate in Hz.

    `pcm` is int16 for sources of 16 bits and fewer, int32 with the upper 24 bits used for 24-bit
    ones, float64 in [-1, 1) for every other.
    """

    pcm: NDArray
    sample_rate: int
    bits: int  # 16 or 24: what FLAC needs to hold it
    suffix: str | None = None  # of its format, if it is one that may be kept as it is

    @property
    def samples(self) -> NDArray[np.float64]:
        """(time, channels) float64 in [-1, 1)."""
        return to_float(self.pcm)

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return int(self.pcm.shape[1])

    @property
    def content(self) -> str:
        """Digest of rate, bits, channels and samples; equal sounds, equal digests."""
        return _content(self.pcm, self.sample_rate, self.bits)


def to_float(pcm: NDArray) -> NDArray[np.float64]:
    """Integer samples (16 bits, or the upper bits of 32) as float64 in [-1, 1); floats as such."""
    if pcm.dtype == np.int16:
        return pcm / 2.0**15
    return pcm / 2.0**31 if pcm.dtype == np.int32 else np.asarray(pcm, dtype=np.float64)


def decode(
    data: bytes | BinaryIO, start: float | None = None, end: float | None = None
) -> Recording:
    """Decode a file, or the stretch from `start` to `end` (seconds) of it.

    BadAudio("undecodable" | "truncated" | "bad_sample_rate" | "empty" | "too_long" | "endless" |
    "unreadable" | "out_of_range" | "segment_outside"). Without a stretch the whole file is read,
    and its length checked.
    """
    if isinstance(data, bytes) and (plain := _plain_wav(data)):
        return _taken(data, plain, start, end)
    stream = Metered(io.BytesIO(data) if isinstance(data, bytes) else data)
    with _opened(stream) as file:
        bits = 16 if file.subtype in SIXTEEN_BIT else 24
        expected, rate, notes = file.frames, file.samplerate, file.extra_info
        suffix = KEPT.get(file.format)
        integers = file.subtype in SIXTEEN_BIT or file.subtype == "PCM_24"
        kind = ("int16" if bits == 16 else "int32") if integers else "float64"
        span = _span(start, end, rate, expected)
        pcm = _read(file, kind, span)
    if span is None:
        _refuse_truncated(notes, _promised(stream, expected), len(pcm))
    elif len(pcm) < span[1] - span[0]:
        found = (span[0] + len(pcm)) / rate
        raise BadAudio("truncated", f"the stretch ends at {end} s, the sound at {found:.3f} s")
    if not len(pcm):
        raise BadAudio("empty", "the file holds no samples")
    _refuse_absurd(pcm)
    return Recording(pcm, rate, bits, suffix)


class _Onward(soundfile.SoundFile):
    """A file read or written from front to back. soundfile would seek to where it is after every
    block, which costs FLAC reads, and MP3 the exact samples, while libmpg123 complains on the
    terminal.
    """

    def seekable(self) -> bool:
        """Not to soundfile's own bookkeeping; `seek` works all the same."""
        return False


@contextmanager
def _opened(stream: Metered) -> Iterator[soundfile.SoundFile]:
    """A file as libsndfile reads it; BadAudio for whatever it cannot."""
    try:
        refuse_bomb(stream)
        with _Onward(stream) as file:
            _refuse_rate(file.samplerate)
            yield file
    except BadAudio:
        raise
    except (RuntimeError, ValueError, OverflowError) as error:  # LibsndfileError is the first
        if stream.stopped:
            raise BadAudio(*stream.stopped) from error
        detail = getattr(error, "error_string", error)
        raise BadAudio("undecodable", f"libsndfile cannot read it: {detail}") from error
    if stream.stopped:
        raise BadAudio(*stream.stopped)


@dataclass(frozen=True)
class Header:
    """What a file says of itself: nothing is decoded."""

    frames: int  # 0 where it does not say
    sample_rate: int
    channels: int
    suffix: str | None  # of its format, if it is one that may be kept as it is


def _plain_wav(data: bytes) -> Header | None:
    """What a WAV file of 16 bits says of itself where it is so plain that there is nothing for
    libsndfile to find out: no chunk but two, each exactly as long as it should be. None for every
    other file. (Most corpora are such files; their samples then are taken where they lie.)
    """
    if len(data) <= _PLAIN_WAV.size:
        return None
    found = _PLAIN_WAV.unpack_from(data)
    channels, rate, size = found[5], found[6], len(data) - _PLAIN_WAV.size
    expected = (b"RIFF", len(data) - 8, b"WAVEfmt ", 16, 1, channels, rate, 2 * channels * rate,
                2 * channels, 16, b"data", size)  # fmt: skip
    if found != expected or not 1 <= channels <= CHANNELS or size % (2 * channels):
        return None
    if not RATES[0] <= rate <= RATES[1] or not storable(rate) or size > 2 * MOST:
        return None
    return Header(size // (2 * channels), rate, channels, "wav")


def _taken(data: bytes, plain: Header, start: float | None, end: float | None) -> Recording:
    """The samples of a plain WAV file, or a stretch of them, where they lie: nobody writes them."""
    pcm = np.frombuffer(data, "<i2", offset=_PLAIN_WAV.size).reshape(-1, plain.channels)
    span = _span(start, end, plain.sample_rate, plain.frames) or (0, plain.frames)
    samples = pcm[slice(*span)].astype(np.int16, copy=False)
    return Recording(samples, plain.sample_rate, 16, plain.suffix)


def header(data: bytes | BinaryIO) -> Header:
    """A file's own words; BadAudio where it has none that make sense."""
    if isinstance(data, bytes) and (plain := _plain_wav(data)):
        return plain
    with _opened(Metered(io.BytesIO(data) if isinstance(data, bytes) else data)) as file:
        notes, suffix = file.extra_info, KEPT.get(file.format)
        found = Header(file.frames, file.samplerate, file.channels, suffix)
    _refuse_truncated(notes, 0, 0)
    if not found.frames:
        raise BadAudio("empty", "the file holds no samples")
    return found


def _span(start: float | None, end: float | None, rate: int, frames: int) -> tuple[int, int] | None:
    """First and last sample of a stretch; None for the whole."""
    if start is None and end is None:
        return None
    first = round((start or 0.0) * rate)
    last = round(end * rate) if end is not None else frames
    last = min(last, frames) if last <= frames + LATE * rate else last
    if not 0 <= first < last <= frames:
        found = f"{start or 0.0} to {end} s of a recording of {frames / rate:.3f} s"
        raise BadAudio("segment_outside", f"expected a stretch within the recording, found {found}")
    return first, last


def _read(file: soundfile.SoundFile, kind: str, span: tuple[int, int] | None) -> NDArray:
    """All samples or a stretch, (time, channels): as many as there are, whatever the header says.

    BadAudio("too_long") once there are more than MOST.
    """
    most, at_once = MOST // file.channels, min(BLOCK, AT_ONCE // file.channels)
    wanted = file.frames
    if span is not None:
        file.seek(span[0])
        wanted = span[1] - span[0]
    elif file.format == "MP3":
        file.seek(0)  # as soundfile.read does: libmpg123 then rounds the last bit otherwise
    pcm = np.empty((min(wanted, most), file.channels), kind)  # takes no memory until it is filled
    found = 0
    while count := len(file.read(out=pcm[found : found + at_once])):
        found += count
    if wanted > found == most and len(file.read(1, dtype=kind, always_2d=True)):
        raise BadAudio(
            "too_long",
            f"expected at most {most} samples ({most / file.samplerate:.0f} s), found more: "
            "cut the recording into stretches, by a manifest's start and end",
        )
    return pcm if found == len(pcm) else pcm[:found].copy()


def _refuse_rate(rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise BadAudio("bad_sample_rate", f"expected {RATES[0]}-{RATES[1]} Hz, found {rate} Hz")
    if not storable(rate):
        detail = f"expected a multiple of 10 Hz above {COARSE} Hz, found {rate} Hz"
        raise BadAudio("bad_sample_rate", detail)


def storable(rate: int) -> bool:
    """Whether FLAC can hold a rate in Hz so that every decoder reads it back."""
    return rate <= COARSE or rate % 10 == 0


def _promised(stream: Metered, frames: int) -> int:
    """How many samples the header promises; 0 where it does not say."""
    stream.seek(0)
    start = stream.read(4096)
    if start.startswith(b"NIST_1A") and (stated := _NIST_LENGTH.search(start)):
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


def _refuse_absurd(pcm: NDArray) -> None:
    """Damaged floats may be anything; NaN and infinite ones are told by their own reason."""
    if pcm.dtype == np.float64:
        peak = max(-pcm.min(), pcm.max())
        if LARGEST < peak < np.inf:
            raise BadAudio("out_of_range", f"expected samples within ±1, found up to {peak:g}")


def pick(recording: Recording, channels: str | int) -> NDArray:
    """`"mono"`: the mean of the channels, (time,); `"keep"`: all of them, (time, channels), or
    (time,) for one; a number from 0: that one, (time,). Integers stay integers where they can.

    BadAudio("no_such_channel" | "too_many_channels").
    """
    count = recording.channels
    if isinstance(channels, int):
        if channels >= count:
            detail = f"expected channel {channels}, found {count} channels"
            raise BadAudio("no_such_channel", detail)
        return recording.pcm[:, channels]
    if count == 1:
        return recording.pcm[:, 0]
    if channels == "mono":
        return _mean(recording.pcm)
    if count > CHANNELS:
        detail = f"expected at most {CHANNELS} channels, found {count}: mix or pick them"
        raise BadAudio("too_many_channels", detail)
    return recording.pcm


def _mean(pcm: NDArray) -> Signal:
    """(time,) mean of the channels; as floats there is only ever a block of them in memory."""
    mean = np.empty(len(pcm))
    for at in range(0, len(pcm), BLOCK):
        mean[at : at + BLOCK] = to_float(pcm[at : at + BLOCK]).mean(axis=1)
    return mean


def resample(signal: NDArray, rate: int, new_rate: int) -> NDArray:
    """Soxr HQ along the first axis, dtype kept; the very same array where the rates are equal."""
    if rate == new_rate or not len(signal):
        return signal
    return np.asarray(soxr.resample(signal, rate, new_rate, quality="HQ"))


def resample_pcm(signal: NDArray, rate: int, new_rate: int) -> NDArray:
    """The same for integers as `Recording.pcm` holds them: floats only where it must be.

    BadAudio("too_long") where that makes more than MOST samples.
    """
    if signal.size / rate * new_rate > MOST:
        seconds = len(signal) / rate
        detail = f"expected at most {MOST} samples, found {seconds:.0f} s to become {new_rate} Hz"
        raise BadAudio("too_long", f"{detail}: cut the recording into stretches")
    return signal if rate == new_rate else resample(to_float(signal), rate, new_rate)


def quantise(signal: NDArray, bits: int) -> tuple[NDArray, int]:
    """Samples as int16 or as the upper 24 bits of int32, and how many had to be clipped to fit."""
    if signal.dtype == (np.int16 if bits == 16 else np.int32):
        return signal, 0
    full_scale = float(1 << (bits - 1))
    pcm = np.empty(signal.shape, np.int16 if bits == 16 else np.int32)
    clipped = 0
    for at in range(0, len(signal), BLOCK):  # floats are large: only ever a block of them
        scaled = to_float(signal[at : at + BLOCK]) * full_scale
        np.rint(scaled, out=scaled)
        clipped += int(np.count_nonzero((scaled > full_scale - 1) | (scaled < -full_scale)))
        pcm[at : at + BLOCK] = np.clip(scaled, -full_scale, full_scale - 1, out=scaled)
    pcm <<= 0 if bits == 16 else 8
    return pcm, clipped


@dataclass(frozen=True)
class Encoded:
    """An audio file in memory, with what is known of its samples."""

    data: bytes
    content: str  # blake3 of rate and decoded PCM; of the bytes, where they were not decoded
    frames: int
    channels: int
    suffix: str = "flac"
    clipped: int = 0  # samples beyond full scale, cut on encoding
    measured: Measured | None = None  # None: the bytes were kept unheard, or nobody will ask
    heard: bool = True  # whether any sample differs from zero


@dataclass(frozen=True, eq=False)
class Coded:
    """FLAC in memory with the samples that it holds, of which nothing else is known yet."""

    data: bytes
    pcm: NDArray
    sample_rate: int
    bits: int
    clipped: int

    @property
    def heard(self) -> bool:
        """Whether any sample differs from zero."""
        return bool(self.pcm.any())

    def listened(self, *, measured: bool = True) -> Encoded:
        """The same, its samples digested and, unless told not to, measured."""
        return Encoded(
            data=self.data,
            content=_content(self.pcm, self.sample_rate, self.bits),
            frames=len(self.pcm),
            channels=1 if self.pcm.ndim == 1 else self.pcm.shape[1],
            clipped=self.clipped,
            measured=_measure(self.pcm, self.sample_rate) if measured else None,
            heard=self.heard,
        )


def code(signal: NDArray, sample_rate: int, bits: int = 16) -> Coded:
    """Encode (time,) or (time, channels) as FLAC of 16 or 24 bits.

    Float64 in [-1, 1), or integers as `Recording.pcm` holds them; lossless for what came from as
    many bits.
    """
    pcm, clipped = quantise(signal, bits)
    pcm = np.ascontiguousarray(pcm)
    return Coded(_flac(pcm, sample_rate, bits), pcm, sample_rate, bits, clipped)


def encode_flac(
    signal: NDArray, sample_rate: int, bits: int = 16, *, measured: bool = True
) -> Encoded:
    """`code` a signal, and find out about its samples all that `Coded.listened` does."""
    return code(signal, sample_rate, bits).listened(measured=measured)


class _Memory:
    """A file in memory of one process, which libsndfile writes by itself: to an object of Python's
    it would write through Python, ninety times a clip.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self.number = os.memfd_create("flac")

    def __del__(self) -> None:
        os.close(self.number)

    def taken(self) -> bytes:
        """What lies in it; it is empty, and at its start, thereafter."""
        found = os.pread(self.number, os.fstat(self.number).st_size, 0)
        os.ftruncate(self.number, 0)
        os.lseek(self.number, 0, os.SEEK_SET)
        return found


_KEPT = threading.local()  # a thread's own file


def _flac(pcm: NDArray, sample_rate: int, bits: int) -> bytes:
    if not hasattr(os, "memfd_create"):  # only Linux has it
        file = io.BytesIO()
        _write_flac(file, pcm, sample_rate, bits)
        return file.getvalue()
    memory: _Memory | None = getattr(_KEPT, "memory", None)
    if memory is None or memory.process != os.getpid():  # a fork would share the place in it
        memory = _KEPT.memory = _Memory()
    try:
        _write_flac(memory.number, pcm, sample_rate, bits)
    finally:
        found = memory.taken()
    return found


def _write_flac(where: int | io.BytesIO, pcm: NDArray, sample_rate: int, bits: int) -> None:
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    kind = (where, "w", sample_rate, channels, f"PCM_{bits}")
    with _Onward(*kind, format="FLAC", closefd=False) as sink:
        sink.buffer_write(pcm, "int16" if bits == 16 else "int32")


def keep(data: bytes, recording: Recording) -> Encoded:
    """A file's own bytes, with what was found when they were decoded."""
    pcm = recording.pcm[:, 0] if recording.channels == 1 else recording.pcm
    return Encoded(
        data=data,
        content=recording.content,
        frames=len(pcm),
        channels=recording.channels,
        suffix=recording.suffix or "",
        measured=_measure(pcm, recording.sample_rate),
        heard=_peak(pcm) >= 2.0**-recording.bits,
    )


def keep_unheard(data: bytes, found: Header) -> Encoded:
    """A file's own bytes, nothing decoded: as long as its header says."""
    content = fingerprint(data)
    return Encoded(data, content, found.frames, found.channels, found.suffix or "")


def _measure(pcm: NDArray, sample_rate: int) -> Measured:
    """Levels, loudness, clipping, silence and bandwidth; float32 holds 24 bits."""
    if pcm.dtype == np.float64:
        return measure(pcm.astype(np.float32), sample_rate)
    return measure_pcm(pcm, sample_rate)


def _peak(pcm: NDArray) -> float:
    """The largest magnitude, full scale 1; 0 where there is no sample."""
    scale = {"int16": 2.0**-15, "int32": 2.0**-31}.get(pcm.dtype.name, 1.0)
    return scale * max(-float(pcm.min(initial=0)), float(pcm.max(initial=0)))


def _content(pcm: NDArray, sample_rate: int, bits: int) -> str:
    """Digest of rate, bits, channels and samples; equal sounds, equal digests."""
    channels = pcm.size // max(len(pcm), 1)
    found = blake3(f"{sample_rate} {bits} {channels}\n".encode())
    plain = np.ascontiguousarray(pcm, pcm.dtype.newbyteorder("<"))
    found.update(plain.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def fingerprint(data: bytes) -> str:
    """Digest of a file's bytes where nothing is decoded: BLAKE3, four times as fast as SHA-256."""
    return blake3(data).hexdigest()


def encode_wav(signal: NDArray, sample_rate: int) -> bytes:
    """Encode (time,) as mono float32 WAV: what predicted signals are stored as."""
    file = io.BytesIO()
    # Not libsndfile: it writes the time of day into a float WAV (its PEAK chunk).
    from scipy.io import wavfile  # a second to import: only where it is wanted

    wavfile.write(file, sample_rate, np.asarray(signal, dtype=np.float32))
    return file.getvalue()


def read_signal(data: bytes) -> tuple[Signal, int]:
    """Decode a shard's member: (time,) or (time, channels) float64, and its rate in Hz.

    BadAudio as `decode`, but what is there is taken, whatever the header promises.
    """
    with _opened(Metered(io.BytesIO(data))) as file:
        samples, rate = _read(file, "float64", None), file.samplerate
    return samples[:, 0] if samples.shape[1] == 1 else samples, rate
