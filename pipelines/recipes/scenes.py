"""Scenes: talkers in rooms, in noise and over channels, from clips of single talkers.

One recipe covers what the field calls mixtures (any number of talkers), noisy speech and
reverberant speech. What a scene holds and how it is made says `pipelines.recipes.staging`; who is
drawn from which side of a split, `pipelines.recipes.pool`; when talkers speak,
`pipelines.recipes.placing`. As the field's sets have it, beside
`of: [the clips of single talkers]`:

- WSJ0-2mix: `{talkers: 2, split_levels: true, sample_rate: 8000}`
- Libri2Mix, noisy: `{talkers: 2, loudness_lufs: [-33, -25], length: max,
  noise: {of: [wham-noise], loudness_lufs: [-38, -30]}}`
- WHAM!: `{talkers: 2, split_levels: true,
  noise: {of: [wham-noise], snr_db: [-6, 3], against: loudest}}`; WHAMR!: `room: {}` beside it
- SparseLibriMix: `{talkers: 2, length: max, overlap: {grid: [0, 0.2, 0.4, 0.6, 0.8, 1]},
  loudness_lufs: [-33, -25]}`
- VoiceBank-DEMAND: `{noise: {kinds: [recorded, babble], of: [demand],
  snr_db: {grid: [0, 5, 10, 15]}}}`; 2.5, 7.5, 12.5 and 17.5 dB to test
- DNS Challenge: `{length: 10, loudness_lufs: [-35, -15], room: {},
  noise: {of: [noises], snr_db: [-5, 20]}}`

In the manner of those sets, not their clips (`pipelines.recipes.librimix` makes LibriMix's own):
WSJ0-2mix and VoiceBank-DEMAND measure active speech levels (ITU-T P.56), levels and SNRs here are
root mean squares; SparseLibriMix cuts utterances at pauses and lets each talker speak several
times, DNS joins clips of a talker until they fill 10 s, a scene here has one clip a talker.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from pipelines.recipes import channels, perturb
from pipelines.recipes.base import (
    Range,
    Recipe,
    Spread,
    generator,
    key_of,
    refuse_twins,
    seed_of,
    uniform,
)
from pipelines.recipes.channels import Channel
from pipelines.recipes.levels import SPEECH_DB
from pipelines.recipes.measured import MeasuredRoom, draw_measured
from pipelines.recipes.noise import NoiseRanges, NoiseRow, Read
from pipelines.recipes.perturb import Perturbation, PerturbationRow
from pipelines.recipes.placing import Length, Stretch, place
from pipelines.recipes.pool import (
    NoiseClip,
    NoisePool,
    Pairing,
    Pool,
    RecordedRooms,
    ResponseClip,
    RoomPool,
    Side,
    SourceClip,
    check_clips,
    sex_of,
)
from pipelines.recipes.rooms import Room, RoomRanges, draw_rooms
from pipelines.recipes.staging import Scene, Talker, render

__all__ = [
    "NoiseClip",
    "NoiseRanges",
    "Read",
    "RecordedRooms",
    "ResponseClip",
    "Room",
    "RoomRanges",
    "Scene",
    "Scenes",
    "SourceClip",
    "Talker",
    "plan",
    "render",
]

_SHARES = 1e-6  # by which the shares of splits may miss 1
_WHOLE_SECONDS = 0.001  # that a clip may lack and still say the whole of its text


class Scenes(Recipe):
    """How scenes are made.

    Attributes:
        clips: how many; None for as many as there are source clips. Each source clip leads one
            scene before any leads two.
        talkers: 1 (noisy or reverberant speech) or more (mixtures of different speakers).
        gender: of the talkers of a scene: "any", "same", or "different" (not all the same).
        sample_rate: Hz of the scenes; sources are handed over at it.
        level_db: [low, high] dB by which each further talker is quieter than the first, who is at
            -25 dBFS.
        split_levels: whether the levels lie around -25 dBFS instead: of two talkers one is half
            the difference above, the other half of it below, as in WSJ0-2mix.
        loudness_lufs: [low, high] LUFS of each talker, instead of level_db, as in LibriMix.
        length: of a mixture: "min" cuts all talkers to the shortest; "max" keeps them whole; a
            number is seconds: of longer clips a part is taken, shorter ones begin at random.
        overlap: of the time in which anybody speaks, the share in which two or more do, 0 to 1;
            [low, high], or {grid: [value, ...]}, or one value. Then talkers begin one after
            another, in a random order. None: together ("min") or at random so that they fit.
        splits: shares by name, such as {train: 0.8, dev: 0.1, test: 0.1}; split: the one to take.
            A speaker's side follows from the speaker's name and the shares: nobody is on two
            sides, and who is added moves nobody.
        room: the rooms; None for no room. All talkers of a scene share one room.
        recorded_rooms: {of: [dataset, ...]} of recorded impulse responses, instead of room.
        noise: the noises; None for no noise.
        channel: what the sum goes through; None for nothing.
        perturb: how each talker's clip is changed before anything else; None for not at all.
        seed: another seed pairs and places anew.
    """

    clips: int | None = Field(default=None, ge=1)
    talkers: int = Field(default=1, ge=1)
    gender: Pairing = "any"
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)
    level_db: Range = (0.0, 5.0)
    split_levels: bool = False
    loudness_lufs: Range | None = None
    length: Length = "min"
    overlap: Spread | None = None
    splits: dict[str, float] | None = None
    split: str | None = None
    room: RoomRanges | None = None
    recorded_rooms: RecordedRooms | None = None
    noise: NoiseRanges | None = None
    channel: Channel | None = None
    perturb: Perturbation | None = None
    seed: int = 0

    @field_validator("length", mode="before")
    @classmethod
    def _known_length(cls, length: Any) -> Any:
        number = isinstance(length, int | float) and not isinstance(length, bool)
        if length not in ("min", "max") and not (number and math.isfinite(length) and length > 0):
            raise ValueError("expected min, max or a number of seconds above 0")
        return length

    @field_validator("splits")
    @classmethod
    def _whole(cls, splits: dict[str, float] | None) -> dict[str, float] | None:
        if splits is not None and not (
            all(share > 0.0 for share in splits.values())
            and abs(sum(splits.values()) - 1.0) < _SHARES
        ):
            raise ValueError(f"expected shares above 0 that add up to 1, found {splits}")
        return splits

    @model_validator(mode="after")
    def _agreeing(self) -> Self:
        if (self.splits is None) != (self.split is None) or (
            self.splits is not None and self.split not in self.splits
        ):
            known = sorted(self.splits) if self.splits else "no splits"
            raise ValueError(f"expected split to be one of splits, found {self.split!r} of {known}")
        if self.loudness_lufs is not None and {"level_db", "split_levels"} & self.model_fields_set:
            raise ValueError("expected level_db or loudness_lufs, found both: leave one out")
        if self.room is not None and self.recorded_rooms is not None:
            raise ValueError("expected room or recorded_rooms, found both: leave one out")
        if self.talkers == 1 and (self.overlap is not None or self.gender != "any"):
            raise ValueError("expected 2 talkers or more for overlap and gender, found 1")
        if (
            self.overlap is not None
            and not 0.0 <= self.overlap.bounds[0] <= (self.overlap.bounds[1]) <= 1.0
        ):
            raise ValueError(f"expected an overlap within 0 and 1, found {self.overlap.bounds}")
        return self


@dataclass(frozen=True)
class _Drawn:
    """What scenes are drawn from, once checked; None where nothing of it is wanted."""

    recipe: Scenes
    pool: Pool
    noises: NoisePool | None
    rooms: RoomPool | None


Name = tuple[int, str, int]  # what draws are keyed by: seed, key of the leading clip, turn


def plan(
    recipe: Scenes,
    sources: Sequence[SourceClip],
    noises: Sequence[NoiseClip] = (),
    responses: Sequence[ResponseClip] = (),
) -> list[Scene]:
    """Who is heard with whom, when, where, in what noise and over what channel.

    The order of the clips does not matter. Each decision draws from a generator of its own, keyed
    by the seed and the leading clip: with noise or a room added to a recipe, the pairs stay as they
    are. Another set of source clips may change which clips come together.

    Args:
        recipe: the options.
        sources: clips of single talkers.
        noises: recorded noises, for the kind `recorded`.
        responses: recorded impulse responses, for `recorded_rooms`.

    Returns:
        rows in an order shuffled by the seed, with different keys.

    Raises:
        ValueError: no sources, a repeated key, a clip without length, too few speakers, an unknown
            gender where it matters, or no recordings of noise or rooms where some are wanted.
    """
    if not sources:
        raise ValueError("expected source clips to make scenes of, found none: prepare some first")
    drawn = _drawn(recipe, sources, noises, responses)
    clips = [clip for speaker in drawn.pool.by_speaker.values() for clip in speaker]
    leads = sorted(clips, key=lambda clip: _order(recipe.seed, clip.key))
    count = len(leads) if recipe.clips is None else recipe.clips
    rows = [
        _scene(drawn, lead=leads[index % len(leads)], turn=index // len(leads))
        for index in range(count)
    ]
    refuse_twins((row.key for row in rows), "scene", "give the source clips other keys")
    return rows


def _order(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}/{key}".encode("utf-8", "surrogateescape")).digest()


def _drawn(
    recipe: Scenes,
    sources: Sequence[SourceClip],
    noises: Sequence[NoiseClip],
    responses: Sequence[ResponseClip],
) -> _Drawn:
    """The pools of the recipe's split; ValueError where they cannot make one scene."""
    for clips, what in ((sources, "source"), (noises, "noise"), (responses, "response")):
        check_clips(clips, what)
    side, ranges, rooms = Side(recipe.splits, recipe.split), recipe.noise, recipe.recorded_rooms
    kinds = ranges.drawn if ranges is not None else ()
    pool = Pool(side.take(sources, lambda clip: clip.speaker))
    babblers = ranges.babble_talkers if ranges is not None and "babble" in kinds else 0
    pool.check_count(recipe.talkers, babblers, side)
    pool.check_pairing(recipe.gender, recipe.talkers)
    recorded, measured = None, None
    if ranges is not None and "recorded" in kinds:
        recorded = NoisePool(noises, ranges.types, side=Side() if ranges.shared else side)
    if rooms is not None:
        there = Side() if rooms.shared else side
        measured = RoomPool(responses, talkers=recipe.talkers, side=there)
    return _Drawn(recipe, pool, recorded, measured)


def _scene(drawn: _Drawn, *, lead: SourceClip, turn: int) -> Scene:
    recipe = drawn.recipe
    name = (recipe.seed, lead.key, turn)
    others = drawn.pool.partners(
        generator(*name, "talkers"), lead, recipe.talkers - 1, recipe.gender
    )
    clips = [lead, *others]
    seconds, talkers = _talkers(drawn, clips, name)
    channel = None
    if recipe.channel is not None:
        channel = channels.draw(recipe.channel, generator(*name, "channel"))
    return Scene(
        key=_key(recipe, clips, turn),
        talkers=talkers,
        sample_rate=recipe.sample_rate,
        seconds=seconds,
        noise=_noise(drawn, clips, seconds, name),
        channel=channel,
        text=_text(lead, talkers),
        split=recipe.split,
    )


def _text(lead: SourceClip, talkers: Sequence[Talker]) -> str | None:
    """What a lone talker says; None where several talk or only a part of the clip is heard."""
    change = talkers[0].perturbation
    whole = lead.seconds if change is None else perturb.seconds(change, lead.seconds)
    return lead.text if len(talkers) == 1 and talkers[0].seconds > whole - _WHOLE_SECONDS else None


def _key(recipe: Scenes, clips: Sequence[SourceClip], turn: int) -> str:
    """The leading clip's key with ten digits that stand for seed, talkers and turn."""
    digits = seed_of(recipe.seed, turn, *(clip.key for clip in clips))
    return key_of(clips[0].key, f"{digits % 16**10:010x}")


def _talkers(
    drawn: _Drawn, clips: Sequence[SourceClip], name: Name
) -> tuple[float, tuple[Talker, ...]]:
    """How long the scene is, and everything about its talkers."""
    recipe = drawn.recipe
    changes = _perturbations(recipe, len(clips), name)
    lengths = [
        clip.seconds if change is None else perturb.seconds(change, clip.seconds)
        for clip, change in zip(clips, changes, strict=True)
    ]
    seconds, stretches = _stretches(recipe, lengths, name)
    levels = _levels(recipe, len(clips), name)
    return seconds, tuple(
        Talker(
            key=clip.key,
            speaker=clip.speaker,
            gender=sex_of(clip.gender),
            **level,
            start_seconds=stretch.start,
            seconds=stretch.seconds,
            offset_seconds=stretch.offset,
            room=room,
            perturbation=change,
        )
        for clip, level, stretch, room, change in zip(
            clips, levels, stretches, _rooms(drawn, len(clips), name), changes, strict=True
        )
    )


def _rooms(drawn: _Drawn, count: int, name: Name) -> Sequence[Room | MeasuredRoom | None]:
    """The room of each talker: one for all of them, or None."""
    recipe = drawn.recipe
    if drawn.rooms is not None:
        keys = drawn.rooms.pick(generator(*name, "recorded room"))
        return draw_measured(keys, generator(*name, "responses"), talkers=count)
    if recipe.room is None:
        return [None] * count
    # Splits share no rooms either.
    seed = recipe.seed if recipe.split is None else seed_of(recipe.seed, recipe.split)
    random, rate = generator(*name, "room"), recipe.sample_rate
    return draw_rooms(recipe.room, random, talkers=count, seed=seed, sample_rate=rate)


def _perturbations(recipe: Scenes, count: int, name: Name) -> Sequence[PerturbationRow | None]:
    if recipe.perturb is None:
        return [None] * count
    random = generator(*name, "perturb")
    return [perturb.draw(recipe.perturb, random) for _ in range(count)]


def _stretches(recipe: Scenes, lengths: Sequence[float], name: Name) -> tuple[float, list[Stretch]]:
    overlap = None
    if recipe.overlap is not None:
        overlap = recipe.overlap.draw(generator(*name, "overlap"))
    return place(
        lengths,
        recipe.length,
        overlap,
        cuts=generator(*name, "cuts"),
        starts=generator(*name, "starts"),
    )


def _levels(recipe: Scenes, count: int, name: Name) -> list[dict[str, float | None]]:
    """The level of each talker: dBFS, or LUFS."""
    random = generator(*name, "levels")
    if recipe.loudness_lufs is not None:
        louds = [uniform(random, recipe.loudness_lufs) for _ in range(count)]
        return [{"level_dbfs": None, "loudness_lufs": loud} for loud in louds]
    below = [0.0, *(uniform(random, recipe.level_db) for _ in range(count - 1))]
    middle = sum(below) / count if recipe.split_levels else 0.0
    return [{"level_dbfs": round(SPEECH_DB + middle - step, 6)} for step in below]


def _noise(
    drawn: _Drawn, clips: Sequence[SourceClip], seconds: float, name: Name
) -> NoiseRow | None:
    ranges = drawn.recipe.noise
    if ranges is None:
        return None
    kind = ranges.drawn[int(generator(*name, "noise").integers(len(ranges.drawn)))]
    keys: tuple[str, ...] = ()
    start, label = 0.0, str(kind)
    if kind == "babble":
        taken = [clip.speaker for clip in clips]
        random = generator(*name, "babble")
        others = drawn.pool.others(random, ranges.babble_talkers, taken=taken)
        keys = tuple(clip.key for clip in others)
    if kind == "recorded":
        assert drawn.noises is not None
        recording = drawn.noises.pick(generator(*name, "recording"))
        keys, label = (recording.key,), recording.type
        room = max(recording.seconds - seconds, 0.0) or recording.seconds
        start = uniform(generator(*name, "noise start"), (0.0, room))
    lufs = ranges.loudness_lufs
    return NoiseRow(
        kind=kind,
        type=label,
        snr_db=None if lufs else ranges.snr_db.draw(generator(*name, "snr")),
        loudness_lufs=uniform(generator(*name, "noise loudness"), lufs) if lufs else None,
        against=ranges.against,
        seed=seed_of(*name, "noise seed"),
        keys=keys,
        start_seconds=start,
    )
