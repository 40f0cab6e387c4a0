"""STOI and ESTOI (Taal 2011, Jensen 2016), with the values of `pystoi`.

ESTOI is pystoi's own. STOI takes the same steps as pystoi in matrices instead of frame by frame: to
rounding the same values (2e-16 on speech), in a third of the time, and without scipy.signal, which
takes longer to import than a hundred clips to score. The tests hold it to pystoi at every rate.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, Metric, Signal, SignalItem, UndefinedMetric
from metrics.checks import as_channel, check_pair, check_sources
from metrics.perceptual import FAILURES
from metrics.signal import clip_score, signal_sheet

RATE = 10_000  # Hz at which STOI listens
FRAME, HOP, FFT = 256, 128, 512  # samples at RATE
SEGMENT = 30  # frames whose envelopes are compared: 0.38 s
BANDS, LOWEST = 15, 150.0  # thirds of an octave; Hz of the first one's centre
DYNAMICS = 40.0  # dB below the loudest frame of the reference: what is softer is silence
CLIP = 1 + 10 ** (15 / 20)  # an envelope may exceed the reference's by 15 dB at most
# 30 frames, once frames were cut out and joined: 31 before that.
SHORTEST = FRAME + SEGMENT * HOP + 1  # samples at RATE: 0.41 s
_EPS = float(np.finfo(float).eps)
_WINDOW = np.hanning(FRAME + 2)[1:-1]
_AT_ONCE = 512  # segments compared at a time: 2 MB a matrix, and no more for a clip of hours
_TOO_FEW_FRAMES = 1e-5  # what pystoi answers, with a warning, where too little speech is left
_NUMPY_GENERATOR = Lock()  # ESTOI draws from the one generator of the whole process

Floats = NDArray[np.float64]


def stoi(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """STOI, at most 1 (perfect), about 0 for unrelated signals; higher is better.

    Signals are `(time,)`, brought to 10 kHz by pystoi's (Octave's) filter. Raises
    UndefinedMetric("too_short") under 30 frames (about 0.41 s) of speech, and as `pesq` for
    silence, NaN and unequal lengths; ValueError unless the rate is positive.
    """
    pair = np.stack(_checked(reference, estimate, sample_rate))
    clean, heard = _envelopes(_without_silence(_resampled(pair, sample_rate)))
    segments = clean.shape[1] - SEGMENT + 1
    if segments < 1:
        raise _too_few_frames()
    spans = [slice(at, at + _AT_ONCE + SEGMENT - 1) for at in range(0, segments, _AT_ONCE)]
    alike = sum(_likeness(clean[:, span], heard[:, span]) for span in spans)
    return _sound(alike / (BANDS * segments))


def estoi(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> float:
    """Extended STOI by pystoi: as `stoi`, and repeatable.

    pystoi adds noise from numpy's global generator; here that is seeded with 0 and put back.
    """
    import pystoi

    pair = _checked(reference, estimate, sample_rate)
    with _NUMPY_GENERATOR, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Not enough STFT frames", RuntimeWarning)
        state = np.random.get_state()
        try:
            np.random.seed(0)
            with np.errstate(divide="ignore", invalid="ignore"):
                value = float(pystoi.stoi(*pair, sample_rate, extended=True))
        finally:
            np.random.set_state(state)
    # The value, not the warning, is trusted: warning filters are shared between threads.
    if value == _TOO_FEW_FRAMES:
        raise _too_few_frames()
    return _sound(value)


def score_stoi(item: SignalItem) -> ClipScore:
    """STOI of a clip: the mean over its sources."""
    return _score(item, stoi)


def score_estoi(item: SignalItem) -> ClipScore:
    """ESTOI of a clip: the mean over its sources."""
    return _score(item, estoi)


def _score(item: SignalItem, function: Callable[[Signal, Signal, int], float]) -> ClipScore:
    check_sources(item)
    pairs = zip(item.references, item.estimates, strict=True)
    return clip_score([function(*pair, item.sample_rate) for pair in pairs])


def _checked(reference: ArrayLike, estimate: ArrayLike, sample_rate: int) -> tuple[Signal, Signal]:
    if sample_rate <= 0:
        raise ValueError(f"stoi: expected a positive sample rate in Hz, found {sample_rate}")
    source, guess = as_channel(reference, "reference"), as_channel(estimate, "estimate")
    check_pair(source, guess)
    if math.ceil(len(source) * RATE / sample_rate) < SHORTEST:
        raise _too_few_frames()
    return source, guess


def _sound(value: float) -> float:
    if not math.isfinite(value):
        raise UndefinedMetric("not_a_number", "some band envelope has no variation to correlate")
    return float(value)


def _too_few_frames() -> UndefinedMetric:
    return UndefinedMetric(
        "too_short", "expected at least 30 frames (about 0.41 s) of speech in the reference"
    )


def _resampled(pair: Floats, sample_rate: int) -> Floats:
    """Signals `(2, time)` at RATE, as `scipy.signal.resample_poly` with Octave's filter.

    Blocks of input times a matrix: what a block of output takes from each of its samples.
    """
    up, down = _ratio(sample_rate)
    if up == down:
        return pair
    matrix, before, step = _polyphase(up, down)
    width, made = matrix.shape
    length = -(-pair.shape[1] * up // down)
    blocks = -(-length // made)
    padded = np.zeros((2, max((blocks - 1) * step + width, before + pair.shape[1])))
    padded[:, before : before + pair.shape[1]] = pair
    taken = sliding_window_view(padded, width, axis=1)[:, ::step][:, :blocks]
    found: Floats = (np.ascontiguousarray(taken) @ matrix).reshape(2, -1)[:, :length]
    return found


def _ratio(sample_rate: int) -> tuple[int, int]:
    common = math.gcd(RATE, sample_rate)
    return RATE // common, sample_rate // common


@cache
def _polyphase(up: int, down: int) -> tuple[Floats, int, int]:
    """A matrix `(inputs, outputs)`, how many of its inputs lie before its first output, and how
    many inputs later the next block begins.
    """
    taps = _filter(up, down)
    half = len(taps) // 2
    reach = -(-half // up)  # inputs on either side
    rounds = max(1, round(128 / down))  # of the filter's phases, in a block
    made = rounds * up
    width = 2 * reach + (made - 1) * down // up + 2
    tap = np.arange(made) * down - (np.arange(width)[:, None] - reach) * up + half
    inside = (tap >= 0) & (tap < len(taps))
    return np.where(inside, taps[np.clip(tap, 0, len(taps) - 1)], 0.0), reach, rounds * down


def _filter(up: int, down: int) -> Floats:
    """Octave's low-pass `(taps,)` at `up` times the rate: a Kaiser window of 60 dB, a transition
    of a tenth of the band.
    """
    rejection, band = 60.0, 1 / (2 * max(up, down))
    half = math.ceil((rejection - 8) / (28.714 * band / 10))
    ideal = np.sinc(2 * band * np.arange(-half, half + 1))
    taps = np.kaiser(2 * half + 1, 0.1102 * (rejection - 8.7)) * ideal
    return np.asarray(taps * (up / taps.sum()), np.float64)


def _framed(pair: Floats) -> Floats:
    """Windowed frames `(2, frames, FRAME)`; the last samples are in none, as in pystoi."""
    count = max(0, -(-(pair.shape[1] - FRAME) // HOP))
    return sliding_window_view(pair, FRAME, axis=1)[:, ::HOP][:, :count] * _WINDOW


def _without_silence(pair: Floats) -> Floats:
    """Both signals `(2, time)` joined from the frames in which the reference, the first, speaks."""
    frames = _framed(pair)
    energies = 20 * np.log10(np.linalg.norm(frames[0], axis=1) + _EPS)
    kept = frames[:, energies.max() - DYNAMICS - energies < 0]
    joined = np.zeros((2, kept.shape[1] + 1, HOP))
    joined[:, :-1] = kept[..., :HOP]
    joined[:, 1:] += kept[..., HOP:]
    return joined.reshape(2, -1)


def _envelopes(pair: Floats) -> Floats:
    """The energy in each band and frame, its root `(2, BANDS, frames)`."""
    bands, low = _bands()
    spectra = np.fft.rfft(_framed(pair), FFT)[..., low : low + bands.shape[1]]
    power = spectra.real**2 + spectra.imag**2
    return np.ascontiguousarray(np.sqrt(power @ bands.T).transpose(0, 2, 1))


@cache
def _bands() -> tuple[Floats, int]:
    """Which bins are in which band `(BANDS, bins)`, and the number of the first such bin."""
    bins = np.linspace(0, RATE, FFT + 1)[: FFT // 2 + 1]
    thirds = np.arange(BANDS)
    edges = [
        [int(np.argmin((bins - LOWEST * 2 ** ((2 * third + side) / 6)) ** 2)) for third in thirds]
        for side in (-1, 1)
    ]
    inside = np.zeros((BANDS, len(bins)))
    for band, (low, high) in enumerate(zip(*edges, strict=True)):
        inside[band, low:high] = 1
    return inside[:, edges[0][0] : edges[1][-1]], edges[0][0]


def _likeness(clean: Floats, heard: Floats) -> float:
    """The sum of correlations between all segments of two envelopes `(BANDS, frames)`."""
    energies = [
        np.linalg.norm(sliding_window_view(each, SEGMENT, axis=1), axis=2, keepdims=True)
        for each in (clean, heard)
    ]
    wanted = sliding_window_view(clean, SEGMENT, axis=1)
    found = sliding_window_view(heard, SEGMENT, axis=1) * (energies[0] / (energies[1] + _EPS))
    np.minimum(found, wanted * CLIP, out=found)
    found -= found.mean(axis=2, keepdims=True)
    wanted = wanted - wanted.mean(axis=2, keepdims=True)
    products = _inner(found, wanted)
    lengths = (np.sqrt(_inner(found, found)) + _EPS) * (np.sqrt(_inner(wanted, wanted)) + _EPS)
    return float((products / lengths).sum())


def _inner(left: Floats, right: Floats) -> Floats:
    found: Floats = np.einsum("bst,bst->bs", left, right)
    return found


def _sheet(name: str, title: str, summary: str, **fields: Any) -> Metric:
    return signal_sheet(
        name, title, summary,
        **{"unit": "", "function": f"metrics.intelligibility:score_{name}",
           "failure_policy": FAILURES, **fields},
    )  # fmt: skip


SHEETS: tuple[Metric, ...] = (
    _sheet(
        "stoi",
        "STOI",
        "short-time intelligibility",
        version="2",
        source="Taal et al. 2011",
    ),
    _sheet(
        "estoi",
        "ESTOI",
        "extended short-time intelligibility",
        libraries=("pystoi",),
        source="Jensen and Taal 2016",
    ),
)
