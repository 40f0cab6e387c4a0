"""Staging: the rows that decide a scene, and how one is made from them and the sources' signals.

- Every talker is brought to its level *as heard at the microphone*, over its own stretch, so that
  levels differ in the mixture as the row says, whatever the distances.
- The reference of a talker in a room is its reverberant image (the clip convolved with the impulse
  response), aligned with the mixture, as in WHAMR!'s reverberant task. `s1_early` is the same with
  the first 50 ms of the response, `s1_dry` with the direct sound alone: WHAMR!'s anechoic
  reference. What would sound on after the scene's end is cut off.
- Noise is added at the microphone, without the room. Its SNR is of the whole scene.
- One common gain turns everything down where any sound passes 0.95 of full scale (0.9 where levels
  are loudnesses). Then the talkers and the noise are rounded to 16 bits each and summed, so that
  they add up exactly: to `audio`, or to `pre` where a channel comes after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts come in where they are used: signal takes a second
from numpy.typing import NDArray

from pipelines.recipes import channels, noise, perturb
from pipelines.recipes.base import Rendered, Row, quantised
from pipelines.recipes.channels import ChannelRow
from pipelines.recipes.levels import (
    LOUDNESS_PEAK,
    PEAK,
    decibels,
    gain_to,
    gain_to_loudness,
    headroom,
    power,
    quantised_to_power,
)
from pipelines.recipes.measured import MeasuredRoom, measured_responses
from pipelines.recipes.noise import NoiseRow, Read
from pipelines.recipes.perturb import PerturbationRow
from pipelines.recipes.placing import overlapped
from pipelines.recipes.rooms import Responses, Room, responses

_SHORT_SECONDS = 0.01  # that a source may be shorter than stated: resampling rounds


class Talker(Row):
    """One talker of a scene.

    Attributes:
        key, speaker, gender: the source clip, who speaks in it; None where the gender is unknown.
        level_dbfs, loudness_lufs: how loud as heard at the microphone; one of them.
        start_seconds, seconds: the part of the clip, once perturbed, that is heard.
        offset_seconds: when it begins in the scene.
        room: simulated or measured; None for none. perturbation: None for none.
    """

    key: str
    speaker: str
    gender: str | None = None
    level_dbfs: float | None
    loudness_lufs: float | None = None
    start_seconds: float = 0.0
    seconds: float
    offset_seconds: float = 0.0
    room: Room | MeasuredRoom | None = None
    perturbation: PerturbationRow | None = None

    @property
    def level(self) -> float:
        """How loud the talker is, in LUFS where that was asked for, else in dBFS."""
        found = self.loudness_lufs if self.level_dbfs is None else self.level_dbfs
        assert found is not None
        return found


class Scene(Row):
    """One scene, decided: `render` needs this and the named source signals.

    Attributes:
        key: sample key. talkers: one or more, different speakers.
        sample_rate: Hz. seconds: how long it will be.
        noise, channel: None for none. text: what the single talker says; None for several talkers.
        split: the side of the split that all speakers are on; None where nothing is split.
    """

    key: str
    talkers: tuple[Talker, ...]
    sample_rate: int
    seconds: float
    noise: NoiseRow | None = None
    channel: ChannelRow | None = None
    text: str | None = None
    split: str | None = None

    @property
    def source_keys(self) -> tuple[str, ...]:
        """All source clips that rendering will read, talkers first, then rooms and noise."""
        rooms = [talker.room for talker in self.talkers]
        measured = tuple(room.key for room in rooms if isinstance(room, MeasuredRoom))
        added = self.noise.keys if self.noise else ()
        return tuple(talker.key for talker in self.talkers) + measured + added


@dataclass(frozen=True)
class _Parts:
    """One talker in a scene before rounding: (samples,) each; all but the image only in a room."""

    image: np.ndarray
    dry: np.ndarray | None = None
    early: np.ndarray | None = None
    t60_s: float | None = None  # None also where it cannot be measured

    @property
    def sounds(self) -> list[np.ndarray]:
        """Those that there are."""
        return [sound for sound in (self.image, self.dry, self.early) if sound is not None]


def render(scene: Scene, read: Read) -> Rendered:
    """Make one scene. The same row and signals give the same bits, in any process.

    Args:
        scene: a row of `scenes.plan`.
        read: fetches a source clip's signal by its key: (time,) float at `scene.sample_rate`,
            asked once for each of `scene.source_keys`.

    Returns:
        `audio`; with one talker `clean`, its image without the noise; with more, `s1`, `s2`… in the
        order of the row; `noise` where there is some; in a room `s1_dry` and `s1_early` of each
        talker; `pre`, the sum, where a channel changed it into `audio`.

    Raises:
        ValueError: a source is silent, not finite, not of one channel or shorter than stated; a
            loudness is wanted of less than 0.4 s; or the SNR is none that 16 bits can hold.
    """
    samples = round(scene.seconds * scene.sample_rate)
    spoken = [_signal(read, talker.key) for talker in scene.talkers]
    talkers = [
        _parts(talker, signal, samples, scene.sample_rate, read)
        for talker, signal in zip(scene.talkers, spoken, strict=True)
    ]
    images = np.stack([parts.image for parts in talkers])
    raw, went_round = _noise(scene, samples, read)
    added = None if raw is None else raw * _noise_gain(scene, images, raw)
    gain = _common_gain(scene, talkers, added)
    sounds = _references(talkers, gain)
    summed = list(quantised(images * gain))
    if added is not None:
        sounds["noise"] = _noise_steps(scene, summed, added * gain)
        summed.append(sounds["noise"])
    mixture = np.stack(summed).sum(axis=0, dtype=np.int16)
    audio, said = _through_channel(scene, mixture)
    if audio is not mixture:
        sounds["pre"] = mixture
    said |= (
        _labels(scene) | _room_labels(scene, talkers) | _measured(scene, summed, gain, went_round)
    )
    return Rendered({"audio": audio, **sounds}, scene.sample_rate, said)


def _signal(read: Read, key: str) -> np.ndarray:
    signal = np.asarray(read(key), dtype=np.float64)
    if signal.ndim != 1:
        raise ValueError(
            f"expected one channel, shape (time,), of source clip {key!r}, found {signal.shape}"
        )
    return signal


def _parts(
    talker: Talker, signal: np.ndarray, samples: int, sample_rate: int, read: Read
) -> _Parts:
    """A talker at its level and place, from its whole clip."""
    stretch = _stretch(talker, signal, sample_rate)
    offset = min(round(talker.offset_seconds * sample_rate), samples)
    response = _responses(talker.room, sample_rate, read)
    image = stretch if response is None else _convolved(stretch, response.full)
    # The level is the speech's, not its dying away's.
    gain = _level_gain(talker, image[: min(stretch.size, samples - offset)], sample_rate)

    def placed(part: np.ndarray) -> np.ndarray:
        total = np.zeros(samples)
        part = part[: samples - offset]
        total[offset : offset + part.size] = gain * part
        return total

    if response is None:
        return _Parts(placed(image))
    return _Parts(
        placed(image),
        dry=placed(_convolved(stretch, response.anechoic)),
        early=placed(_convolved(stretch, response.early)),
        t60_s=response.t60_s,
    )


def _responses(room: Room | MeasuredRoom | None, sample_rate: int, read: Read) -> Responses | None:
    if isinstance(room, MeasuredRoom):
        return measured_responses(room, sample_rate, read)
    return None if room is None else responses(room, sample_rate)


def _level_gain(talker: Talker, heard: np.ndarray, sample_rate: int) -> float:
    """The factor that brings what is heard of a talker to its level."""
    name = f"source clip {talker.key!r}"
    if talker.loudness_lufs is not None:
        return gain_to_loudness(heard, sample_rate, talker.loudness_lufs, name=name)
    assert talker.level_dbfs is not None
    return gain_to(heard, talker.level_dbfs, name=name)


def _stretch(talker: Talker, signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """The part of a clip that is heard, once perturbed."""
    if talker.perturbation is not None:
        signal = perturb.apply(talker.perturbation, signal, sample_rate)
    start = round(talker.start_seconds * sample_rate)
    stretch = signal[start : start + round(talker.seconds * sample_rate)]
    if stretch.size < (talker.seconds - _SHORT_SECONDS) * sample_rate:
        raise ValueError(
            f"expected {talker.start_seconds + talker.seconds:.3f} s of source clip "
            f"{talker.key!r}, found {signal.size / sample_rate:.3f} s: prepare its dataset again"
        )
    return stretch


def _convolved(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    if not signal.size:
        return signal
    found: np.ndarray = scipy.signal.oaconvolve(signal, response)
    return found


def _noise(scene: Scene, samples: int, read: Read) -> tuple[np.ndarray | None, bool]:
    """The scene's noise at any level, None without, and whether it went round."""
    if scene.noise is None:
        return None, False
    return noise.make(scene.noise, samples, scene.sample_rate, lambda key: _signal(read, key))


def _noise_gain(scene: Scene, images: np.ndarray, raw: np.ndarray) -> float:
    """The factor that brings the noise to its level against the talkers, or to its loudness."""
    row = scene.noise
    assert row is not None
    if row.loudness_lufs is not None:
        return gain_to_loudness(raw, scene.sample_rate, row.loudness_lufs, name="the noise")
    assert row.snr_db is not None
    wanted = _spoken(list(images), row.against) * decibels(-row.snr_db) ** 2
    return math.sqrt(wanted) * gain_to(raw, 0.0, name="the noise")


def _noise_steps(
    scene: Scene, talkers: Sequence[NDArray[np.int16]], added: np.ndarray
) -> NDArray[np.int16]:
    """The noise in 16 bits, at its SNR to the talkers in 16 bits."""
    row = scene.noise
    assert row is not None
    if row.snr_db is None:
        return quantised(added)
    wanted = _spoken(talkers, row.against) * decibels(-row.snr_db) ** 2
    return quantised_to_power(added, wanted, name=f"noise at an SNR of {row.snr_db:g} dB")


def _spoken(talkers: Sequence[np.ndarray], against: str) -> float:
    """The power that an SNR is measured against: of the sum of the talkers, or of the loudest."""
    if against == "loudest":
        return max(power(image) for image in talkers)
    exact = [image / 32_768.0 if image.dtype == np.int16 else image for image in talkers]
    return power(np.sum(exact, axis=0))


def _common_gain(scene: Scene, talkers: Sequence[_Parts], added: np.ndarray | None) -> float:
    """What keeps the sum and each of its parts within full scale; at most 1."""
    parts = [sound for talker in talkers for sound in talker.sounds]
    mixture = np.sum([talker.image for talker in talkers], axis=0)
    if added is not None:
        parts.append(added)
        mixture = mixture + added
    loud = scene.talkers[0].loudness_lufs is not None
    peak = LOUDNESS_PEAK if loud else PEAK
    return min(headroom(part, peak) for part in [mixture, *parts])


def _references(talkers: Sequence[_Parts], gain: float) -> dict[str, NDArray[np.int16]]:
    """The talkers' sounds by role."""
    sounds: dict[str, NDArray[np.int16]] = {}
    for number, talker in enumerate(talkers, 1):
        sounds["clean" if len(talkers) == 1 else f"s{number}"] = quantised(talker.image * gain)
        if talker.dry is not None and talker.early is not None:
            sounds[f"s{number}_dry"] = quantised(talker.dry * gain)
            sounds[f"s{number}_early"] = quantised(talker.early * gain)
    return sounds


def _through_channel(
    scene: Scene, mixture: NDArray[np.int16]
) -> tuple[NDArray[np.int16], dict[str, str]]:
    """What came through the scene's channel, the mixture itself without one; and its labels."""
    if scene.channel is None:
        return mixture, {}
    if scene.channel == ChannelRow():
        return mixture, channels.labels(scene.channel)
    passed = channels.passed(scene.channel, mixture / 32_768.0, scene.sample_rate)
    return quantised(np.minimum(passed.signal, 1.0 - 2.0**-15)), dict(passed.labels)


def _labels(scene: Scene) -> dict[str, str]:
    """What the row says that slices are cut by."""
    talkers = scene.talkers
    labels = {"talkers": str(len(talkers))}
    genders = [talker.gender for talker in talkers if talker.gender]
    if len(genders) == len(talkers):
        labels["gender"] = "+".join(sorted(genders))
    if scene.noise is not None:
        labels["noise"] = scene.noise.type
    if scene.split is not None:
        labels["split"] = scene.split
    return labels | _perturbed([talker.perturbation for talker in talkers])


def _room_labels(scene: Scene, talkers: Sequence[_Parts]) -> dict[str, str]:
    """T60 in seconds and distance in m, means over the talkers, where they are known."""
    labels = {}
    t60s = [talker.t60_s for talker in talkers if talker.t60_s is not None]
    if t60s:
        labels["t60_s"] = f"{sum(t60s) / len(t60s):.2f}"
    rooms = [talker.room for talker in scene.talkers]
    distances = [room.distance_m for room in rooms if isinstance(room, Room)]
    if distances:
        labels["distance"] = f"{sum(distances) / len(distances):.1f}"
    return labels


def _perturbed(rows: Sequence[PerturbationRow | None]) -> dict[str, str]:
    """Speed, tempo and semitones, of each talker where any is changed in it."""
    known = [row or PerturbationRow() for row in rows]
    changed = sorted({name for row in known for name in perturb.labels(row)})
    return {name: "+".join(f"{getattr(row, name):g}" for row in known) for name in changed}


def _measured(
    scene: Scene, parts: Sequence[NDArray[np.int16]], gain: float, went_round: bool
) -> dict[str, str]:
    """What was found in the scene as made: `parts` are the talkers, then the noise if any."""
    count = len(scene.talkers)
    labels: dict[str, str] = {}
    if scene.noise is not None:
        snr_db = scene.noise.snr_db
        if snr_db is None:
            spoken, added = _spoken(parts[:count], scene.noise.against), power(parts[count])
            snr_db = round(10.0 * math.log10(spoken / added), 1)
        labels["snr_db"] = f"{snr_db:g}"
    if went_round:
        labels["noise_looped"] = "true"
    if count > 1:
        begins = [round(talker.offset_seconds * scene.sample_rate) for talker in scene.talkers]
        lengths = [round(talker.seconds * scene.sample_rate) for talker in scene.talkers]
        spans = [(b, min(b + n, parts[0].size)) for b, n in zip(begins, lengths, strict=True)]
        labels["overlap"] = f"{round(overlapped(spans), 2):g}"
    if gain < 1.0:
        labels["turned_down_db"] = f"{-20.0 * math.log10(gain):.2f}"
    return labels
