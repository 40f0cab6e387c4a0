"""What scenes are drawn from: speakers, noises and recorded rooms, each on one side of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import field_validator

from pipelines.recipes.base import Recipe, refuse_twins

Pairing = Literal["any", "same", "different"]
_SHOWN = 5  # names in a message

C = TypeVar("C", "SourceClip", "NoiseClip", "ResponseClip")


@dataclass(frozen=True)
class SourceClip:
    """A clip of one talker that scenes may use: its key, who speaks, how long, what is said.

    `gender`: as the corpus says it, such as F, female or m; None where it does not.
    """

    key: str
    speaker: str
    seconds: float
    text: str | None = None
    gender: str | None = None


@dataclass(frozen=True)
class NoiseClip:
    """A recorded noise that scenes may use: its key, what it is of, how long.

    `recording`: what it was cut from, so that its parts stay on one side of a split; None for the
    clip itself.
    """

    key: str
    type: str
    seconds: float
    recording: str | None = None


@dataclass(frozen=True)
class ResponseClip:
    """A recorded impulse response that scenes may use: its key, and the room it was recorded in."""

    key: str
    room: str


def sex_of(gender: str | None) -> str | None:
    """F or M for a corpus's word for it (F, female, m, male_masculine …); other words as is."""
    word = (gender or "").strip().casefold().partition("_")[0]
    return {"f": "F", "female": "F", "m": "M", "male": "M"}.get(word, gender or None)


def side_of(name: str, splits: Mapping[str, float]) -> str:
    """The split that a speaker or a recording belongs to, by the hash of its name.

    Depends on the name and the shares alone: neither on the seed, nor on who else there is, nor on
    the order of the splits.
    """
    digest = hashlib.sha256(f"split/{name}".encode("utf-8", "surrogateescape")).digest()
    place = int.from_bytes(digest[:8], "big") / 2.0**64
    total = 0.0
    for split in sorted(splits):
        total += splits[split]
        if place < total:
            return split
    return max(splits)  # shares may add up to a little less than 1


@dataclass(frozen=True)
class Side:
    """The side of a split that scenes are drawn from; everything where nothing is split."""

    splits: Mapping[str, float] | None = None
    split: str | None = None

    def take(self, clips: Sequence[C], name: Callable[[C], str]) -> Sequence[C]:
        """The clips whose speaker, recording or room, by `name`, is on this side."""
        if self.splits is None or self.split is None:
            return clips
        return [clip for clip in clips if side_of(name(clip), self.splits) == self.split]

    def __str__(self) -> str:
        return f" in split {self.split}" if self.split else ""


def check_clips(clips: Sequence[SourceClip | NoiseClip | ResponseClip], what: str) -> None:
    """ValueError for a repeated key, or a clip without length; `what` clips they are."""
    refuse_twins((clip.key for clip in clips), f"{what} clip", "name each clip once")
    timed = [clip for clip in clips if not isinstance(clip, ResponseClip)]
    short = [clip.key for clip in timed if not clip.seconds > 0.0]
    if short:
        raise ValueError(
            f"expected {what} clips of some length, found 0 s: {short[:_SHOWN]}; drop them"
        )


class Pool:
    """Clips of talkers by speaker, in an order that does not depend on how they were given."""

    def __init__(self, sources: Sequence[SourceClip]) -> None:
        self.by_speaker: dict[str, list[SourceClip]] = {}
        for clip in sorted(sources, key=lambda clip: (clip.speaker, clip.key)):
            self.by_speaker.setdefault(clip.speaker, []).append(clip)
        self.speakers = list(self.by_speaker)
        self._alike: dict[str | None, list[str]] = {}  # speakers by gender
        for name, clips in self.by_speaker.items():
            self._alike.setdefault(sex_of(clips[0].gender), []).append(name)
        self._unlike = {
            gender: [name for other, names in self._alike.items() if other != gender
                     for name in names]
            for gender in self._alike
        }  # fmt: skip

    def check_count(self, talkers: int, babblers: int, side: Side) -> None:
        """ValueError if there are too few speakers for one scene."""
        if len(self.speakers) < talkers + babblers:
            raise ValueError(
                f"expected source clips of {talkers + babblers} speakers or more{side} "
                f"({talkers} talkers and {babblers} of babble, all different), found "
                f"{len(self.speakers)}: add speakers, or lower talkers or noise.babble_talkers"
            )

    def check_pairing(self, pairing: Pairing, talkers: int) -> None:
        """ValueError if there is nobody to pair some speaker with."""
        if pairing == "any":
            return
        if unknown := self._alike.get(None):
            raise ValueError(
                f"expected the gender of every speaker for gender: {pairing}, found "
                f"{len(unknown)} of {len(self.speakers)} without: {unknown[:_SHOWN]}; give their "
                "clips the label gender, or take gender: any"
            )
        self._check_agreement()
        groups = {gender: len(names) for gender, names in self._alike.items()}
        if pairing == "same" and min(groups.values()) < talkers:
            raise ValueError(
                f"expected {talkers} speakers or more of each gender for gender: same, found "
                f"{groups}: add speakers, leave some out, or lower talkers"
            )
        if pairing == "different" and len(groups) < 2:
            raise ValueError(
                f"expected speakers of two genders for gender: different, found {groups}: add some"
            )

    def _check_agreement(self) -> None:
        """ValueError if the clips of one speaker differ in gender."""
        torn = [
            name
            for name, clips in self.by_speaker.items()
            if len({sex_of(clip.gender) for clip in clips}) > 1
        ]
        if torn:
            raise ValueError(
                f"expected one gender for each speaker, found several: {torn[:_SHOWN]}; mend the "
                "labels"
            )

    def others(
        self, random: np.random.Generator, count: int, *, taken: Sequence[str]
    ) -> list[SourceClip]:
        """`count` clips of different speakers, none of them taken: a speaker, then one clip."""
        return self._clips(random, _different(random, self.speakers, count, taken=taken))

    def partners(
        self, random: np.random.Generator, lead: SourceClip, count: int, pairing: Pairing
    ) -> list[SourceClip]:
        """`count` clips of other speakers for a lead.

        `same`: all of the lead's gender. `different`: not all of it, the first of them of another.
        """
        gender, heard = sex_of(lead.gender), [lead.speaker]
        if pairing == "different":
            heard += _different(random, self._unlike[gender], 1, taken=heard)
        among = self._alike[gender] if pairing == "same" else self.speakers
        heard += _different(random, among, count + 1 - len(heard), taken=heard)
        return self._clips(random, heard[1:])

    def _clips(self, random: np.random.Generator, speakers: Sequence[str]) -> list[SourceClip]:
        """A clip of each speaker."""
        choices = [self.by_speaker[speaker] for speaker in speakers]
        return [clips[int(random.integers(len(clips)))] for clips in choices]


def _different(
    random: np.random.Generator, names: Sequence[str], count: int, *, taken: Sequence[str]
) -> list[str]:
    """`count` of the names, all different and none of them taken; there must be as many.

    Drawn again where one was had already: a pool is large and a scene small.
    """
    chosen: list[str] = []
    while len(chosen) < count:
        name = names[int(random.integers(len(names)))]
        if name not in taken and name not in chosen:
            chosen.append(name)
    return chosen


class RecordedRooms(Recipe):
    """Rooms whose impulse responses were recorded.

    Attributes:
        of: the datasets of responses. A scene takes all of its own from one room.
        shared: whether rooms may be heard in several splits.
    """

    of: tuple[str, ...] = ()
    shared: bool = False

    @field_validator("of", mode="before")
    @classmethod
    def _one_dataset(cls, of: Any) -> Any:
        return (of,) if isinstance(of, str) else of


class RoomPool:
    """Recorded responses by room, of the rooms that have one for each talker."""

    def __init__(self, clips: Sequence[ResponseClip], *, talkers: int, side: Side) -> None:
        """Whatever the order of the clips. ValueError if no room has as many."""
        rooms: dict[str, list[str]] = {}
        for clip in sorted(
            side.take(clips, lambda clip: clip.room), key=lambda clip: (clip.room, clip.key)
        ):
            rooms.setdefault(clip.room, []).append(clip.key)
        self._rooms = [keys for keys in rooms.values() if len(keys) >= talkers]
        if not self._rooms:
            raise ValueError(
                f"expected a room with {talkers} recorded responses or more{side}, one a talker, "
                f"found {len(rooms)} rooms of {len(clips)} responses in all: add some or lower "
                "talkers"
            )

    def pick(self, random: np.random.Generator) -> list[str]:
        """The keys of one room's responses."""
        return self._rooms[int(random.integers(len(self._rooms)))]


class NoisePool:
    """Recorded noises by type, of the types asked for."""

    def __init__(self, clips: Sequence[NoiseClip], types: Sequence[str], *, side: Side) -> None:
        """Whatever the order of the clips; `types`: none for all. ValueError if none is left."""
        if not clips:
            raise ValueError(
                "expected recorded noises, found none: name their datasets in noise.of"
            )
        there = sorted({clip.type for clip in clips})
        if unknown := sorted(set(types) - set(there)):
            raise ValueError(f"expected noise.types among {there}, found {unknown}")
        wanted = [clip for clip in clips if not types or clip.type in types]
        found = side.take(wanted, lambda clip: clip.recording or clip.key)
        if not found:
            raise ValueError(
                f"expected recorded noises{side}, found none of {len(wanted)}: add some, or let "
                "all splits share them with noise.shared: true"
            )
        self._by_type: dict[str, list[NoiseClip]] = {}
        for clip in sorted(found, key=lambda clip: (clip.type, clip.key)):
            self._by_type.setdefault(clip.type, []).append(clip)
        self.types = list(self._by_type)

    def pick(self, random: np.random.Generator) -> NoiseClip:
        """A type, then one recording of it."""
        clips = self._by_type[self.types[int(random.integers(len(self.types)))]]
        return clips[int(random.integers(len(clips)))]
