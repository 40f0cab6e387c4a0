"""Scenes: talkers in rooms and in noise, from clips of single talkers.

One recipe covers what the field calls mixtures (two or three talkers), noisy speech and reverberant
speech. Conventions:

- Every talker is brought to -25 dBFS *as heard at the microphone*, then given its gain, so that
  `level_db` is the difference between the talkers in the mixture, whatever the distances.
- The reference of a talker in a room is its reverberant image (the clip convolved with the impulse
  response), aligned with the mixture, as in WHAMR!'s reverberant task: a model is asked to separate
  or to denoise, not to dereverberate. What would sound on after the clip's end is cut off.
- Noise is added at the microphone, without the room. Its SNR is measured against the sum of the
  talkers over the whole clip.
- One common gain turns everything down where the mixture's peak passes 0.95. Then the talkers and
  the noise are rounded to 16 bits each and summed, so that they add up to the audio exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.signal
from pydantic import Field, field_validator

from pipelines.recipes import noise
from pipelines.recipes.base import (
    Range,
    Recipe,
    Rendered,
    Row,
    generator,
    key_of,
    quantised,
    refuse_twins,
    seed_of,
    uniform,
)
from pipelines.recipes.levels import SPEECH_DB, gain_to, headroom
from pipelines.recipes.rooms import Room, RoomRanges, draw_rooms, impulse_response

Read = Callable[[str], np.ndarray]  # source key -> (time,) at the scene's sample rate


class NoiseRanges(Recipe):
    """What noise is drawn from.

    Attributes:
        kinds: any of white, pink and babble; each scene draws one.
        snr_db: [low, high] dB, talkers' power over noise power.
        babble_talkers: how many other speakers babble.
    """

    kinds: tuple[noise.Kind, ...] = Field(default=noise.KINDS, min_length=1)
    snr_db: Range = (0.0, 15.0)
    babble_talkers: int = Field(default=5, ge=1)

    @field_validator("kinds")
    @classmethod
    def _once(cls, kinds: tuple[noise.Kind, ...]) -> tuple[noise.Kind, ...]:
        refuse_twins(kinds, "kind of noise", "name each kind once")
        return kinds


class Scenes(Recipe):
    """How scenes are made.

    Attributes:
        clips: how many; None for as many as there are source clips. Each source clip leads one
            scene before any leads two.
        talkers: 1 (noisy or reverberant speech), 2 or 3 (mixtures of different speakers).
        sample_rate: Hz of the scenes; sources are handed over at it.
        level_db: [low, high] dB by which each further talker is quieter than the first.
        length: of a mixture: "min" cuts all talkers to the shortest, all begin together; "max"
            keeps the longest whole, the others begin at random so that they fit.
        room: the rooms; None for no room. All talkers of a scene share one room.
        noise: the noises; None for no noise.
        seed: another seed pairs and places anew.
    """

    clips: int | None = Field(default=None, ge=1)
    talkers: int = Field(default=1, ge=1, le=3)
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)
    level_db: Range = (0.0, 5.0)
    length: Literal["min", "max"] = "min"
    room: RoomRanges | None = None
    noise: NoiseRanges | None = None
    seed: int = 0


@dataclass(frozen=True)
class SourceClip:
    """A clip of one talker that scenes may use: its key, who speaks, how long, what is said."""

    key: str
    speaker: str
    seconds: float
    text: str | None = None


class Talker(Row):
    """One talker of a scene: the source clip, its speaker, gain, start and place."""

    key: str
    speaker: str
    gain_db: float
    offset_seconds: float
    room: Room | None


class NoiseRow(Row):
    """The noise of a scene; `babble_keys` are clips of other speakers, none if not babble."""

    kind: noise.Kind
    snr_db: float
    seed: int
    babble_keys: tuple[str, ...] = ()


class Scene(Row):
    """One scene, decided: `render` needs this and the named source signals.

    Attributes:
        key: sample key. talkers: one or more, different speakers.
        sample_rate: Hz. length: see `Scenes`.
        seconds: how long it will be, by the sources' stated lengths.
        noise: None for none. text: what the single talker says; None for several talkers.
    """

    key: str
    talkers: tuple[Talker, ...]
    sample_rate: int
    length: Literal["min", "max"]
    seconds: float
    noise: NoiseRow | None
    text: str | None

    @property
    def source_keys(self) -> tuple[str, ...]:
        """All source clips that rendering will read, talkers first, in order."""
        babble = self.noise.babble_keys if self.noise else ()
        return tuple(talker.key for talker in self.talkers) + babble


class _Cast:
    """The source clips by speaker, all in an order that does not depend on how they were given."""

    def __init__(self, sources: Sequence[SourceClip]) -> None:
        self.by_speaker: dict[str, list[SourceClip]] = {}
        for clip in sorted(sources, key=lambda clip: (clip.speaker, clip.key)):
            self.by_speaker.setdefault(clip.speaker, []).append(clip)
        self.speakers = list(self.by_speaker)

    def others(
        self, random: np.random.Generator, count: int, *, taken: Sequence[str]
    ) -> list[SourceClip]:
        """`count` clips of different speakers, none of them taken: a speaker, then one clip."""
        free = [speaker for speaker in self.speakers if speaker not in taken]
        chosen = [free[place] for place in random.permutation(len(free))[:count]]
        return [_pick(random, self.by_speaker[speaker]) for speaker in chosen]


def _pick(random: np.random.Generator, clips: Sequence[SourceClip]) -> SourceClip:
    return clips[int(random.integers(len(clips)))]


def plan(recipe: Scenes, sources: Sequence[SourceClip]) -> list[Scene]:
    """Who is heard with whom, where and in what noise.

    The order of `sources` does not matter. Each decision draws from a generator of its own, keyed
    by the seed and the leading clip: with noise or a room added to a recipe, the pairs stay as they
    are. Another set of source clips may change which clips come together.

    Returns:
        rows in an order shuffled by the seed, with different keys.

    Raises:
        ValueError: no sources, a repeated key, a clip without length, or too few speakers.
    """
    _check(recipe, sources)
    cast = _Cast(sources)
    leads = sorted(sources, key=lambda clip: _order(recipe.seed, clip.key))
    count = len(leads) if recipe.clips is None else recipe.clips
    rows = [
        _scene(recipe, cast, lead=leads[index % len(leads)], turn=index // len(leads))
        for index in range(count)
    ]
    refuse_twins((row.key for row in rows), "scene", "give the source clips other keys")
    return rows


def _order(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}/{key}".encode("utf-8", "surrogateescape")).digest()


def _check(recipe: Scenes, sources: Sequence[SourceClip]) -> None:
    if not sources:
        raise ValueError("expected source clips to make scenes of, found none: prepare some first")
    refuse_twins((clip.key for clip in sources), "source clip", "name each clip once")
    short = [clip.key for clip in sources if not clip.seconds > 0.0]
    if short:
        raise ValueError(f"expected source clips of some length, found 0 s: {short[:5]}; drop them")
    babblers = 0
    if recipe.noise is not None and "babble" in recipe.noise.kinds:
        babblers = recipe.noise.babble_talkers
    speakers = len({clip.speaker for clip in sources})
    if speakers < recipe.talkers + babblers:
        raise ValueError(
            f"expected source clips of {recipe.talkers + babblers} speakers or more "
            f"({recipe.talkers} talkers and {babblers} of babble, all different), found "
            f"{speakers}: add speakers, or lower talkers or noise.babble_talkers"
        )


def _scene(recipe: Scenes, cast: _Cast, *, lead: SourceClip, turn: int) -> Scene:
    name = (recipe.seed, lead.key, turn)
    others = cast.others(generator(*name, "talkers"), recipe.talkers - 1, taken=[lead.speaker])
    clips = [lead, *others]
    lengths = [clip.seconds for clip in clips]
    return Scene(
        key=_key(recipe, clips, turn),
        talkers=_talkers(recipe, clips, name),
        sample_rate=recipe.sample_rate,
        length=recipe.length,
        seconds=round(min(lengths) if recipe.length == "min" else max(lengths), 6),
        noise=_noise(recipe, cast, clips, name),
        text=lead.text if recipe.talkers == 1 else None,
    )


def _key(recipe: Scenes, clips: Sequence[SourceClip], turn: int) -> str:
    """The leading clip's key with ten digits that stand for seed, talkers and turn."""
    digits = seed_of(recipe.seed, turn, *(clip.key for clip in clips))
    return key_of(clips[0].key, f"{digits % 16**10:010x}")


def _talkers(
    recipe: Scenes, clips: Sequence[SourceClip], name: tuple[int, str, int]
) -> tuple[Talker, ...]:
    rooms: Sequence[Room | None] = [None] * len(clips)
    if recipe.room is not None:
        rooms = draw_rooms(recipe.room, generator(*name, "room"), talkers=len(clips))
    levels, starts = generator(*name, "levels"), generator(*name, "starts")
    longest = max(clip.seconds for clip in clips)
    return tuple(
        Talker(
            key=clip.key,
            speaker=clip.speaker,
            gain_db=0.0 - uniform(levels, recipe.level_db) if index else 0.0,
            offset_seconds=uniform(starts, (0.0, _slack(recipe, longest - clip.seconds))),
            room=room,
        )
        for index, (clip, room) in enumerate(zip(clips, rooms, strict=True))
    )


def _slack(recipe: Scenes, seconds: float) -> float:
    """How late a talker may begin."""
    return seconds if recipe.length == "max" else 0.0


def _noise(
    recipe: Scenes, cast: _Cast, clips: Sequence[SourceClip], name: tuple[int, str, int]
) -> NoiseRow | None:
    if recipe.noise is None:
        return None
    random = generator(*name, "noise")
    kind = recipe.noise.kinds[int(random.integers(len(recipe.noise.kinds)))]
    snr_db = uniform(random, recipe.noise.snr_db)
    babblers: list[SourceClip] = []
    if kind == "babble":
        taken = [clip.speaker for clip in clips]
        babblers = cast.others(generator(*name, "babble"), recipe.noise.babble_talkers, taken=taken)
    return NoiseRow(
        kind=kind,
        snr_db=snr_db,
        seed=seed_of(*name, "noise seed"),
        babble_keys=tuple(clip.key for clip in babblers),
    )


def render(scene: Scene, read: Read) -> Rendered:
    """Make one scene. The same row and signals give the same bits, in any process.

    Args:
        scene: a row of `plan`.
        read: fetches a source clip's signal by its key: (time,) float at `scene.sample_rate`,
            asked once for each of `scene.source_keys`.

    Returns:
        the audio; with one talker `clean`, its image without the noise; with more, `s1`, `s2`… in
        the order of the row; `noise` where there is some. They add up to the audio, exactly.

    Raises:
        ValueError: a source is empty, silent, not finite or not of one channel.
    """
    talkers = _together(scene, [_signal(read, talker.key) for talker in scene.talkers])
    speech = np.sum(talkers, axis=0)
    added = _noise_signal(scene, speech, read)
    gain = headroom(speech + added)
    images = quantised(talkers * gain)
    sounds = {f"s{number}": image for number, image in enumerate(images, 1)}
    if len(images) == 1:
        sounds = {"clean": images[0]}
    if scene.noise is not None:
        sounds["noise"] = quantised(added * gain)
    audio = np.stack(list(sounds.values())).sum(axis=0, dtype=np.int16)
    return Rendered({"audio": audio, **sounds}, scene.sample_rate)


def _signal(read: Read, key: str) -> np.ndarray:
    signal = np.asarray(read(key), dtype=np.float64)
    if signal.ndim != 1:
        raise ValueError(
            f"expected one channel, shape (time,), of source clip {key!r}, found {signal.shape}"
        )
    return signal


def _together(scene: Scene, signals: Sequence[np.ndarray]) -> np.ndarray:
    """(sources, time): every talker's image at its level and place."""
    offsets = [round(talker.offset_seconds * scene.sample_rate) for talker in scene.talkers]
    ends = [offset + signal.size for offset, signal in zip(offsets, signals, strict=True)]
    samples = min(ends) if scene.length == "min" else max(ends)
    placed = np.zeros((len(signals), samples))
    for row, talker, signal, offset in zip(placed, scene.talkers, signals, offsets, strict=True):
        image = _image(talker, signal, samples - offset, scene.sample_rate)
        row[offset : offset + image.size] = image
    return placed


def _image(talker: Talker, signal: np.ndarray, samples: int, sample_rate: int) -> np.ndarray:
    """The talker as heard at the microphone, at its level, at most `samples` long."""
    image = signal
    if talker.room is not None and signal.size:
        image = scipy.signal.oaconvolve(signal, impulse_response(talker.room, sample_rate))
    heard = image[: min(signal.size, samples)]  # the level is the speech's, not its dying away's
    name = f"source clip {talker.key!r}"
    return image[:samples] * gain_to(heard, SPEECH_DB + talker.gain_db, name=name)


def _noise_signal(scene: Scene, speech: np.ndarray, read: Read) -> np.ndarray:
    if scene.noise is None:
        return np.zeros(speech.size)
    signal = noise.make(
        scene.noise.kind,
        speech.size,
        seed=scene.noise.seed,
        babble_keys=scene.noise.babble_keys,
        read=lambda key: _signal(read, key),
    )
    return noise.scale_to_snr(speech, signal, scene.noise.snr_db)
