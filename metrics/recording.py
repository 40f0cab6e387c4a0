"""What a recording is like: level, loudness, clipping, silence and bandwidth, in one cheap pass.

These figures describe a clip and score nothing: they tell telephone from studio, loud from faint,
and damaged from sound. They cost a fraction of encoding the clip, because one transform of blocks
of 100 ms yields the loudness and the spectrum both.

Loudness is that of ITU-R BS.1770-4. Filtering by the transform of a block is periodic, as if the
block had been preceded by itself. What it lacks is the decay of the wrong start, and that decay is
known: the filter's own high-pass rings at 38 Hz and has died down by e^-24 within a block. So the
start that a block should have had is the periodic end of the block before, and the energy follows
exactly from the periodic one, the difference of both starts and two inner products (the shelf
before the high-pass, ringing for less than 1 ms, is left out of this).
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

RATES = (1_000, 384_000)  # Hz
LARGEST = 1e6  # amplitude; samples are meant to reach 1, and squares must not overflow
FAINTEST = 1e-10  # amplitude; -200 dBFS stands for silence
GATING = 4  # blocks in a gating block of 400 ms, which therefore overlap by 75 %
CHUNK = 1 << 16  # samples taken at a time: they stay in a processor's cache, and memory is bounded
SPECTRA, THINNED = 24, 4  # windows at least, where there are so many; every fourth block at least

GATED_SECONDS = 0.4
ABSOLUTE_GATE, RELATIVE_GATE, OFFSET = -70.0, -10.0, -0.691  # LUFS, LU, LU
# BS.1770's two filters at 48 kHz, ascending powers of z^-1: a shelf for the head, a high-pass.
SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285), (
    1.0, -1.69065929318241, 0.73248077421585,
)  # fmt: skip
HIGH_PASS = 1.0, -1.99004745483398, 0.99007225036621  # over which stands 1, -2, 1
TABULATED = 48_000  # Hz

STEP = 2.0**-15  # of 16 bits
FLAT = 3  # samples
FULL_SCALE = 0.98  # amplitude; the outermost codes of mu-law and A-law lie at 0.980 and 0.984
LEAST_CEILING = 0.1  # amplitude, -20 dBFS: no converter stops below
SHOULDER, CROWDED, REPEATED = 0.95, 1 / 3, 3  # of the extreme; share of samples; flat tops

UNITS = {np.dtype(np.int16): 2.0**-15, np.dtype(np.int32): 2.0**-31}  # amplitude of an integer's 1

SILENT_DBFS, SILENT_DB = -70.0, -40.0  # absolute, and against the loudest frame

BAND = 10  # bins of 10 Hz
SPEECH_HZ = 300.0  # hum and rumble lie below
AUDIBLE_DB = -70.0  # against the loudest band of speech
# 10 dB over the noise of rounding to 16 bits, and so over that of its usual dither (4.8 dB), too.
ROUNDING = 10.0 * STEP**2 / 12


@dataclass(frozen=True)
class Measured:
    """The figures of one recording, rounded so that processors agree; full scale is 1.

    `loudness_lufs` and `bandwidth_hz` are None where there is none: see `measure`.
    """

    peak_dbfs: float  # of samples, not between them; -200 for digital silence
    rms_dbfs: float  # of all samples of all channels; a full-scale sine has -3.01
    loudness_lufs: float | None  # ITU-R BS.1770-4, integrated
    clipping: float  # share of samples in flat tops, 0 to 1
    silence: float  # share of 20-ms frames, 0 to 1
    bandwidth_hz: float | None  # upper edge of the highest band that holds anything
    dc: float  # mean of all samples


def measure(samples: NDArray, sample_rate: int) -> Measured:
    """Measure a recording: `(time,)` or `(time, channels)`, float32 or float64, full scale 1.

    **Loudness** sums the channels' energies, each with weight 1. The K-weighting is the response
    that BS.1770 tabulates for 48 kHz, whatever the rate: a clip is as loud after resampling. None
    under 0.4 s and where the absolute gate of -70 LUFS leaves nothing.

    **Clipping** is the share of samples in runs of 3 or more within a 16-bit step of their
    channel's own maximum or minimum. A sound wave hardly ever rests at its extreme, a limited one
    does so again and again, at one level: an outburst at the end of the amplitude histogram, which
    otherwise falls smoothly (Aleinik and Matveev 2014; Eaton and Naylor 2013). Runs at an extreme
    from 0.98 count as they are. Below, where the level was turned down later, there must be 3 runs
    or more that hold a third of all samples beyond 95 % of the extreme; below -20 dBFS, where a few
    steps make a wave and flat tops are natural, nothing counts. So a low square wave is not
    clipped, and one of full scale is altogether. A channel that never changes is not clipped.
    Clipping that was resampled, mixed or coded with loss since is no longer flat and not found.

    **Silence** is the share of frames of 20 ms whose level (mean square of all channels) is below
    -70 dBFS, BS.1770's gate, or more than 40 dB under the loudest frame: speech keeps within 30 dB,
    its peaks 12 dB above the mean (ANSI S3.5-1997), so what lies deeper is a pause. Pauses filled
    with noise are not silent. A rest that fills no frame is left out, unless it is all there is.

    **Bandwidth**: the long-term spectrum (Hann windows of 100 ms, evenly spread) in bands of 100
    Hz; the upper edge of the highest one that is above the noise of 16-bit rounding by 10 dB and
    less than 70 dB under the loudest band from 300 Hz. About half the rate for white noise, 4000
    for telephone speech at any rate. None under 0.1 s and where no band holds anything.

    No samples at all are silence: levels of -200 dBFS, shares of 0 (`silence` 1), no loudness, no
    bandwidth. Raises TypeError for another dtype, ValueError for another shape, for a rate outside
    1-384 kHz, and for NaN, infinite or absurd samples (beyond a million).
    """
    if samples.dtype not in (np.float32, np.float64):
        raise TypeError(f"expected samples in float32 or float64, found {samples.dtype}")
    return _measured(_channels(samples, sample_rate), sample_rate, 1.0)


def measure_pcm(pcm: NDArray, sample_rate: int) -> Measured:
    """`measure` of integers, without a copy of them in floats: int16, or int32 of which the upper
    24 bits are used; the same figures as of the samples over full scale, 2^15 or 2^31.
    """
    if pcm.dtype not in UNITS:
        raise TypeError(f"expected samples in int16 or int32, found {pcm.dtype}")
    return _measured(_channels(pcm, sample_rate), sample_rate, UNITS[pcm.dtype])


def _measured(signals: NDArray, sample_rate: int, unit: float) -> Measured:
    """Measure `(channels, time)`; `unit` is the amplitude that the number 1 stands for."""
    tables = _tables(sample_rate)
    heard = [_listen(signal, tables, unit) for signal in signals]
    count = max(signals.size, 1)
    square = sum(channel.square for channel in heard) / count
    clipped = sum(
        _flat(signal, extremes, tables.chunk, unit)
        for signal, channel in zip(signals, heard, strict=True)
        for extremes in (channel.lows, channel.highs)
    )
    energies = reduce(np.add, [_weighted(channel, tables) for channel in heard])
    long_enough = signals.shape[1] >= GATED_SECONDS * sample_rate
    return Measured(
        peak_dbfs=_decibels(max(max(*channel.highs, -min(channel.lows)) for channel in heard)),
        rms_dbfs=_decibels(float(np.sqrt(square))),
        loudness_lufs=_loudness(energies) if long_enough else None,
        clipping=round(clipped / count, 6),
        silence=_silence(heard, square),
        bandwidth_hz=_bandwidth(heard, tables),
        dc=round(sum(channel.total for channel in heard) / count, 6) + 0.0,
    )


def _channels(samples: NDArray, sample_rate: int) -> NDArray:
    """The samples as (channels, time), a view; ValueError where they cannot be."""
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(f"expected a rate of {RATES[0]}-{RATES[1]} Hz, found {sample_rate}")
    if samples.ndim == 1:
        return samples[None]
    if samples.ndim != 2 or not samples.shape[1]:
        raise ValueError(f"expected (time,) or (time, channels), found shape {samples.shape}")
    return samples.T


@dataclass(frozen=True)
class _Tables:
    """What depends on the rate alone. A spectrum is a row of real and imaginary parts in turn."""

    frame: int  # samples
    block: int  # samples
    chunk: int  # samples, of whole blocks
    band_hz: float  # close to 100
    weights: NDArray[np.float32]  # (2 bins,): squares of a spectrum to K-weighted energy
    links: NDArray[np.float32]  # (2 bins, 4): a spectrum to the high-pass's two states at the
    # block's end and to the inner products of the block's output with what each state rings like
    ringing: NDArray[np.float64]  # (2, 2): inner products of those two decays


@lru_cache(maxsize=32)
def _tables(sample_rate: int) -> _Tables:
    frame = sample_rate // 50
    block = sample_rate // 10
    bins = np.arange(block // 2 + 1)
    delay = np.exp(-2j * np.pi * bins / block)  # z^-1
    numerator, denominator = _high_pass(sample_rate)
    gain = np.polyval(numerator[::-1], delay)
    rings = np.stack([delay**0, delay]) / np.polyval(denominator[::-1], delay)
    shelved = _shelf(bins * (sample_rate / block))
    heard = shelved * gain * rings[0]
    # The two states of the transposed direct form, the second one first, a sample before the end.
    second = numerator[2] * shelved - denominator[2] * heard
    first = numerator[1] * shelved - denominator[1] * heard + delay * second
    links = np.stack([first * delay, second * delay, *(heard * rings.conj())])
    both = np.where((bins == 0) | (2 * bins == block), 1.0, 2.0) / block  # signs of frequency
    return _Tables(
        frame=frame,
        block=block,
        chunk=block * max(1, CHUNK // block),
        band_hz=BAND * sample_rate / block,
        weights=np.repeat(both * np.abs(heard) ** 2, 2).astype(np.float32),
        links=_interleaved(both * links.conj()).T.astype(np.float32),
        ringing=((both * rings) @ rings.conj().T).real,
    )


def _interleaved(spectra: NDArray) -> NDArray:
    """Complex rows as rows of real and imaginary parts in turn."""
    return np.ascontiguousarray(spectra, np.complex128).view(np.float64)


def _shelf(frequencies: NDArray) -> NDArray:
    """The tabulated shelf's response at frequencies in Hz; flat above 24 kHz."""
    delay = np.exp(-2j * np.pi * np.minimum(frequencies, TABULATED / 2) / TABULATED)
    return np.asarray(np.polyval(SHELF[0][::-1], delay) / np.polyval(SHELF[1][::-1], delay))


def _high_pass(sample_rate: int) -> tuple[NDArray, NDArray]:
    """Numerator and denominator of the tabulated high-pass at another rate.

    Its poles decay as fast in seconds and its gain at half the rate is the tabulated one's.
    """
    denominator = np.poly(np.roots(HIGH_PASS) ** (TABULATED / sample_rate)).real
    gain = np.abs(denominator).sum() / np.abs(HIGH_PASS).sum()
    return gain * np.array([1.0, -2.0, 1.0]), denominator


@dataclass(frozen=True)
class _Heard:
    """Sums and series of one channel, or of a chunk of it."""

    lows: list[float]  # of each chunk, and 0
    highs: list[float]
    total: float
    square: float
    frames: NDArray[np.float64]  # (frames of 20 ms,): mean squares
    energies: NDArray[np.float64]  # (blocks of 100 ms,): K-weighted, filtered periodically
    links: NDArray[np.float64]  # (blocks, 4): see `_Tables`
    spectrum: NDArray[np.float32]  # (2 (bins - 2),): squares of spectra, summed over windows
    windows: int


def _listen(signal: NDArray, tables: _Tables, unit: float) -> _Heard:
    """One pass over a channel, some whole blocks at a time."""
    size = tables.chunk
    every = min(THINNED, max(1, len(signal) // tables.block // SPECTRA))
    starts = range(0, max(len(signal), 1), size)
    chunks = [_chunk(signal[start : start + size], tables, every, unit) for start in starts]
    return _Heard(
        lows=[low for chunk in chunks for low in chunk.lows],
        highs=[high for chunk in chunks for high in chunk.highs],
        total=sum(chunk.total for chunk in chunks),
        square=sum(chunk.square for chunk in chunks),
        frames=np.concatenate([chunk.frames for chunk in chunks]),
        energies=np.concatenate([chunk.energies for chunk in chunks]),
        links=np.concatenate([chunk.links for chunk in chunks]),
        spectrum=reduce(np.add, [chunk.spectrum for chunk in chunks]),
        windows=sum(chunk.windows for chunk in chunks),
    )


def _chunk(signal: NDArray, tables: _Tables, every: int, unit: float) -> _Heard:
    samples = _single(signal)
    ranged = samples if unit == 1.0 else signal  # integers are compared four times as fast
    low, high = unit * float(ranged.min(initial=0)), unit * float(ranged.max(initial=0))
    if not (low >= -LARGEST and high <= LARGEST):
        raise ValueError(f"expected samples within ±1, found them from {low:g} to {high:g}")
    if unit != 1.0:
        samples *= np.float32(unit)  # a power of two: exact
    blocks, whole = len(samples) // tables.block, len(samples) // tables.frame
    frames = samples[: whole * tables.frame].reshape(whole, tables.frame)
    squares = np.vecdot(frames, frames).astype(np.float64)
    rest, cut = samples[whole * tables.frame :], samples[blocks * tables.block :]
    from scipy.fft import rfft  # not where only names are wanted

    spectra = rfft(samples[: blocks * tables.block].reshape(blocks, tables.block), axis=-1)
    total = float(spectra[:, 0].real.sum() + cut.sum())
    parts = spectra.view(np.float32)
    links = (parts @ tables.links).astype(np.float64)
    spectrum = _hann(parts[::every])
    parts *= parts  # in place: from here on, powers
    return _Heard(
        lows=[low],
        highs=[high],
        total=total,
        square=float(squares.sum() + np.vecdot(rest, rest)),
        frames=squares / tables.frame,
        energies=(parts @ tables.weights).astype(np.float64),
        links=links,
        spectrum=spectrum,
        windows=-(-blocks // every),
    )


def _single(signal: NDArray) -> NDArray[np.float32]:
    """Samples as float32, contiguous, a copy where they are not so already."""
    if signal.dtype != np.float64:
        return np.ascontiguousarray(signal, np.float32)
    with np.errstate(over="ignore"):  # what overflows is refused with the infinite
        return np.ascontiguousarray(signal, np.float32)


def _hann(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squares of spectra without their outermost bins under a Hann window twice as high, summed.

    The window is a sum of three neighbours, weighted -1/2, 1, -1/2.
    """
    windowed = parts[:, :-4] + parts[:, 4:]
    windowed *= -0.5
    windowed += parts[:, 2:-2]
    windowed *= windowed
    return np.asarray(windowed.sum(axis=0))


def _weighted(channel: _Heard, tables: _Tables) -> NDArray[np.float64]:
    """K-weighted mean squares of the blocks, each started with what the one before left behind."""
    ends, products = channel.links[:, :2], channel.links[:, 2:]
    missing = -ends
    missing[1:] += ends[:-1]
    ringing = (missing @ tables.ringing + 2 * products) * missing
    return np.asarray((channel.energies + ringing.sum(axis=1)) / tables.block)


def _loudness(blocks: NDArray[np.float64]) -> float | None:
    """Integrated loudness in LUFS of the mean squares of blocks of 100 ms, summed over channels."""
    gating = np.convolve(blocks, np.full(GATING, 1 / GATING), "valid")
    loud = gating[gating > 10 ** ((ABSOLUTE_GATE - OFFSET) / 10)]
    if not len(loud):
        return None
    kept = loud[loud > loud.mean() * 10 ** (RELATIVE_GATE / 10)]
    return round(10 * float(np.log10(kept.mean())) + OFFSET, 2)


def _silence(heard: list[_Heard], square: float) -> float:
    """Share of silent frames; `square`, the whole recording's, is the only frame if need be."""
    frames = reduce(np.add, [channel.frames for channel in heard]) / len(heard)
    if not len(frames):
        frames = np.array([square])
    floor = max(10 ** (SILENT_DBFS / 10), float(frames.max()) * 10 ** (SILENT_DB / 10))
    return round(int(np.count_nonzero(frames < floor)) / len(frames), 4)


def _bandwidth(heard: list[_Heard], tables: _Tables) -> float | None:
    """Upper edge in Hz of the highest band that holds anything; None where none does."""
    windows = sum(channel.windows for channel in heard)
    if not windows:
        return None
    count = tables.block // 2 // BAND
    bins = np.zeros(count * 2 * BAND)  # the first two stay empty: the mean, and half of it
    bins[4:] = reduce(np.add, [channel.spectrum for channel in heard])[2 : len(bins) - 2]
    bands = bins.reshape(count, -1).sum(axis=1) * (4 / 3 / tables.block**2 / windows)
    loudest = float(bands[int(SPEECH_HZ / tables.band_hz) :].max())
    floor = max(ROUNDING * 2 * BAND / tables.block, loudest * 10 ** (AUDIBLE_DB / 10))
    audible = np.flatnonzero(bands > floor)
    return float(round((audible[-1] + 1) * tables.band_hz)) if len(audible) else None


def _flat(signal: NDArray, extremes: list[float], size: int, unit: float) -> int:
    """How many samples lie in runs at one extreme, where it is plausibly a ceiling.

    `extremes` are those of one sign in each chunk of `size` samples.
    """
    extreme = max(extremes, key=abs)
    ceiling = abs(extreme)
    if ceiling < LEAST_CEILING:
        return 0
    beyond = operator.ge if extreme > 0 else operator.le
    level = extreme * (1 - STEP / ceiling)
    reached = [number for number, each in enumerate(extremes) if beyond(each, level)]
    lying = _beyond(signal[reached[0] * size : (reached[-1] + 1) * size], level, unit)
    count = np.count_nonzero(lying)
    if count < FLAT or count == len(signal):
        return 0
    runs = _runs(lying)
    flat = int(runs.sum())
    if flat and ceiling < FULL_SCALE:
        few = len(runs) < REPEATED
        if few or flat < CROWDED * np.count_nonzero(_beyond(signal, SHOULDER * extreme, unit)):
            return 0
    return flat


def _beyond(signal: NDArray, level: float, unit: float) -> NDArray[np.bool_]:
    """Which samples are as far from zero as a level of one sign, or farther."""
    if unit != 1.0:  # the first whole number that is so as float32
        level = (math.ceil if level > 0 else math.floor)(float(np.float32(level)) / unit)
    return np.asarray(signal >= level if level > 0 else signal <= level)


def _runs(lying: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the runs of true values that are long enough to be a flat top."""
    where = np.flatnonzero(lying)
    starts = np.flatnonzero(where[1:] - where[:-1] != 1) + 1
    edges = np.concatenate(([0], starts, [len(where)]))
    lengths = edges[1:] - edges[:-1]
    return np.asarray(lengths[lengths >= FLAT])


def _decibels(amplitude: float) -> float:
    return round(20 * float(np.log10(max(amplitude, FAINTEST))), 2)
