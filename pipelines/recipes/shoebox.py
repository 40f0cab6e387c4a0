"""Impulse responses of shoebox rooms by the image-source method, and walls for a wanted T60.

The images of a talker in six plane walls are laid out as Allen and Berkley did (1979): all of them
within a radius, so that no part of the decay is thinned out as a limit of reflections would do.
pyroomacoustics (Scheibler et al., 2018) makes the response of them, with its fractional delays. All
walls absorb the same share of the energy at every frequency; the air absorbs nothing.

**High-pass.** All images have the same sign, so their sum holds an offset that decays with the room
and that no real response has. A causal Butterworth high-pass at 50 Hz takes it away, as in Allen
and Berkley (who filtered at 1 % of the sample rate).

**Walls for a T60.** Formulas miss: sound along the long axes of a shoebox meets few walls and dies
slowly, so that walls by Eyring's formula give 10 to 50 % more than was asked for; walls by Sabine's
gave 22 % less to 43 % more in 100 rooms of the default ranges. So the formula only begins: the
response is made, its T60 measured, the walls changed in proportion, until the two agree within 1 %.
This takes two or three rounds of milliseconds, because measuring needs no fractional delays: each
image goes to the nearest quarter of a sample. The T60 belongs to a sample rate: at 8 kHz a response
holds more of the slow low modes than at 16 kHz and rings some 3 % longer.

pyroomacoustics' hybrid with ray tracing is not used: its tail is noise from a generator that all
rooms of a process share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import scipy  # its parts come in where they are used: signal takes a second

from pipelines.recipes.decay import reverberation_time

SPEED_OF_SOUND = 343.0  # m/s, air at 20 °C
HIGH_PASS = 50.0  # Hz
_FINER = 4  # parts of a sample to which images are put while walls are fitted
_TAPS, _TABLE = 81, 20  # of pyroomacoustics' fractional delays; steps a sample in their table
_LEAD = _TAPS // 2  # samples by which those delays ring ahead
_CLOSE = 0.01  # a measured T60 this close to the wanted one, as a share, is not improved
_ROUNDS = 6  # of changing the walls, at most
_STEP = 2.0  # the factor by which a round changes them, at most
_MOST = 0.99  # of the energy, that walls may be made to take
_PART = 0.8  # of the wanted T60 that is simulated to measure it: the line ends at 35 of 60 dB

Point = tuple[float, float, float]  # m, along length, width and height
Images = tuple[np.ndarray, np.ndarray]  # (images,) each: distances in m, and what they come with


def eyring_t60(size_m: Point, absorption: float) -> float:
    """T60 in seconds by Eyring's formula (1930), of walls that take a share of the energy."""
    return _seconds(size_m) / _toll(absorption)


def _toll(absorption: float) -> float:
    """Nepers of energy that a wall takes; turned back by `_share`."""
    return -math.log1p(-absorption)


def _share(toll: float) -> float:
    return -math.expm1(-toll)


def _seconds(size_m: Point) -> float:
    """Eyring's T60 where a wall takes one neper of energy."""
    length, width, height = size_m
    surface = 2.0 * (length * width + length * height + width * height)
    return 24.0 * math.log(10.0) * length * width * height / (SPEED_OF_SOUND * surface)


def images(size_m: Point, source: Point, microphone: Point, radius: float) -> Iterator[Images]:
    """The images of a source within a radius (m) of a microphone, in slices across the room.

    Yields:
        distances (images,) float64 in m, and in how many walls each was mirrored, (images,) int64;
        slices without any are left out.
    """
    (x, x_hits), (y, y_hits), (z, z_hits) = (
        _mirrored(place, at, side, radius)
        for place, at, side in zip(source, microphone, size_m, strict=True)
    )
    across, hits = np.add.outer(y**2, z**2), np.add.outer(y_hits, z_hits)
    for offset, first in zip(x, x_hits, strict=True):
        near = across <= radius**2 - offset**2
        if near.any():
            yield np.sqrt(across[near] + offset**2), hits[near] + first


def _mirrored(
    source: float, microphone: float, side: float, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: offsets (m) of the images from the microphone, and their mirrorings."""
    most = math.ceil(radius / side) + 1
    number = np.arange(-most, most + 1)
    place = np.where(number % 2 == 0, number * side + source, (number + 1) * side - source)
    near = np.abs(place - microphone) <= radius
    return (place - microphone)[near], np.abs(number[near])


def simulated(
    size_m: Point,
    source: Point,
    microphone: Point,
    *,
    absorption: float,
    seconds: float,
    sample_rate: int,
) -> np.ndarray:
    """The impulse response from source to microphone in a room.

    Sound leaves the source at the first sample. At a distance of d m it arrives after d / 343 s
    with an amplitude of 1 / d, as in pyroomacoustics.

    Args:
        size_m: length, width and height of the room.
        source: where the sound comes from.
        microphone: where it is heard.
        absorption: share of the energy that a wall takes, in (0, 1).
        seconds: length of the response.
        sample_rate: Hz.

    Returns:
        (time,) float64.
    """
    found = images(size_m, source, microphone, SPEED_OF_SOUND * seconds)
    toll = _toll(absorption)
    arrivals = ((distance, np.exp(-0.5 * toll * hits) / distance) for distance, hits in found)
    return _built(arrivals, seconds, sample_rate)


def direct_sound(distance_m: float, *, seconds: float, sample_rate: int) -> np.ndarray:
    """The part of `simulated` that no wall has a share in, (time,) float64."""
    distance = np.array([distance_m])
    return _built([(distance, 1.0 / distance)], seconds, sample_rate)


def _built(arrivals: Iterable[Images], seconds: float, sample_rate: int) -> np.ndarray:
    """The response of arrivals (distances, amplitudes), by pyroomacoustics.

    By a single thread: several would add in another order, and the bits would differ.
    """
    from pyroomacoustics import libroom  # takes a second and a half: only where rooms are rendered

    samples = round(seconds * sample_rate)
    response = np.zeros(samples + 2 * _TAPS)
    for distance, amplitude in arrivals:
        delay = distance / SPEED_OF_SOUND + _LEAD / sample_rate
        libroom.rir_builder(response, delay, amplitude, sample_rate, _TAPS, _TABLE, 1)
    return high_passed(response[_LEAD : _LEAD + samples], sample_rate)


def high_passed(response: np.ndarray, sample_rate: int) -> np.ndarray:
    """A response (time,) without what lies below 50 Hz, by a causal Butterworth of order 2."""
    sections = scipy.signal.butter(2, HIGH_PASS, "high", fs=sample_rate, output="sos")
    return np.asarray(scipy.signal.sosfilt(sections, response), dtype=np.float64)


def fitted_walls(
    size_m: Point,
    sources: Sequence[Point],
    microphone: Point,
    *,
    t60_s: float,
    sample_rate: int,
) -> tuple[float, tuple[float, ...]]:
    """The walls that give a room a T60.

    Args:
        size_m: length, width and height of the room.
        sources: one or more; the geometric mean of their T60s is to be `t60_s`, since ISO 3382-2
            averages over places, too, and a room has one set of walls.
        microphone: where they are heard.
        t60_s: the wanted T60.
        sample_rate: Hz of the responses whose T60 counts.

    Returns:
        the absorption, and the T60 in seconds measured from each source.
    """
    radius = SPEED_OF_SOUND * _PART * t60_s
    places = [
        _Place(size_m, source, microphone, radius=radius, rate=sample_rate) for source in sources
    ]
    toll = _seconds(size_m) / t60_s
    tried: list[tuple[float, float, tuple[float, ...]]] = []
    for _ in range(_ROUNDS):
        absorption = round(min(_share(toll), _MOST), 6)
        found = tuple(place.t60(absorption) for place in places)
        excess = math.exp(sum(map(math.log, found)) / len(found)) / t60_s
        tried.append((abs(math.log(excess)), absorption, found))
        if abs(excess - 1.0) <= _CLOSE:
            break
        toll = _toll(absorption) * min(max(excess, 1.0 / _STEP), _STEP)
    _, absorption, found = min(tried)
    return absorption, found


class _Place:
    """One source's images, laid out once and heard through different walls."""

    def __init__(
        self, size_m: Point, source: Point, microphone: Point, *, radius: float, rate: int
    ) -> None:
        self._rate = rate
        radius += math.dist(source, microphone)
        slices = list(images(size_m, source, microphone, radius))
        distance = np.concatenate([distance for distance, _ in slices])
        self._hits = np.concatenate([hits.astype(np.int16) for _, hits in slices])
        self._sample = np.rint(distance * (_FINER * rate / SPEED_OF_SOUND)).astype(np.int32)
        self._spread = 1.0 / distance

    def t60(self, absorption: float) -> float:
        """Measured in seconds; one sample where the sound dies too suddenly to measure."""
        passed = np.exp(-0.5 * _toll(absorption) * np.arange(int(self._hits.max()) + 1))
        fine = np.bincount(self._sample, weights=passed[self._hits] * self._spread)
        response = high_passed(scipy.signal.resample_poly(fine, 1, _FINER), self._rate)
        found = reverberation_time(response, self._rate)
        return found or 1.0 / self._rate
