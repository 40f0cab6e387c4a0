"""Covered: a clip with something else over it at a stated level, and both beside the mixture.

To ask whether an answer is about the clip itself: `clean` is the clip as it is heard in the
mixture, `noise` what covers it, and they add up to `audio`, sample for sample. What covers is
white noise, or a clip of other datasets: speech, recorded noise or, with `other: class`, a clip of
another class of the same ones. It begins at a random place and goes round where it is too short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from pipelines.recipes.base import (
    Recipe,
    Rendered,
    Row,
    Spread,
    generator,
    key_of,
    quantised,
    seed_of,
    uniform,
)
from pipelines.recipes.levels import headroom
from pipelines.recipes.noise import Read, recorded, scale_to_snr, white


class Over(Recipe):
    """What covers clips.

    Attributes:
        kind: "white" noise; "class", a clip of another class; "recorded", a clip of `of`.
        of: datasets of what is recorded: speech, noises.
        snr_db: power of the clip over power of what covers it, means over the clip; [low, high],
            or {grid: [value, ...]}, or one value.
    """

    kind: Literal["white", "class", "recorded"] = "class"
    of: tuple[str, ...] = ()
    snr_db: Spread = Spread(grid=(0.0,))

    @model_validator(mode="before")
    @classmethod
    def _one_dataset(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("of"), str):
            return {**given, "of": (given["of"],)}
        return given

    @model_validator(mode="after")
    def _recorded_of(self) -> Over:
        if (self.kind == "recorded") != bool(self.of):
            raise ValueError(
                f"expected `of` with kind: recorded and with it alone, found kind: {self.kind}, "
                f"of: {list(self.of)}"
            )
        return self


class Covered(Recipe):
    """How clips are covered.

    Attributes:
        over: what covers them. sample_rate: Hz of the mixtures. seed: another seed covers anew.
    """

    over: Over = Over()
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)
    seed: int = 0


@dataclass(frozen=True)
class SourceClip:
    """A clip to cover, or to cover with. `name` is its class, None where it has none."""

    key: str
    seconds: float
    name: str | None
    labels: Mapping[str, str] = field(default_factory=dict)


class Covering(Row):
    """One covered clip.

    Attributes:
        key: of the mixture. clip: of what is covered. over: key of what covers it, None for white
            noise. start_seconds: where that begins. snr_db: see `Over`. seconds: the clip's.
        labels: the clip's own, and `over` and `snr_db`. sample_rate: Hz. seed: of the noise.
    """

    key: str
    clip: str
    over: str | None
    start_seconds: float
    snr_db: float
    seconds: float
    labels: dict[str, str]
    sample_rate: int
    seed: int

    @property
    def source_keys(self) -> tuple[str, ...]:
        """The clip, and what covers it."""
        return (self.clip,) if self.over is None else (self.clip, self.over)


def plan(
    recipe: Covered, clips: Sequence[SourceClip], covers: Sequence[SourceClip] = ()
) -> list[Covering]:
    """A row a clip, by key; every draw depends on the seed, the clip and what there is to draw.

    ValueError without clips, without anything to cover them with, or where a class is to be covered
    by another one and there is none.
    """
    ordered = sorted(clips, key=lambda clip: clip.key)
    if not ordered:
        raise ValueError("expected clips to cover, found none: prepare some first")
    pool = sorted(ordered if recipe.over.kind == "class" else covers, key=lambda clip: clip.key)
    return [_row(recipe, clip, pool) for clip in ordered]


def _row(recipe: Covered, clip: SourceClip, pool: Sequence[SourceClip]) -> Covering:
    random = generator(recipe.seed, clip.key, "over")
    over = None if recipe.over.kind == "white" else _drawn(recipe, clip, pool, random)
    snr_db = recipe.over.snr_db.draw(random, digits=1)
    start = 0.0 if over is None else uniform(random, (0.0, over.seconds), digits=3)
    name = "white" if over is None else over.name or "recorded"
    return Covering(
        key=key_of(clip.key, f"{seed_of(recipe.seed, clip.key, name) % 16**6:06x}"),
        clip=clip.key,
        over=None if over is None else over.key,
        start_seconds=start,
        snr_db=snr_db,
        seconds=clip.seconds,
        labels={**clip.labels, "over": name, "snr_db": f"{snr_db:g}"},
        sample_rate=recipe.sample_rate,
        seed=seed_of(recipe.seed, clip.key, "noise"),
    )


def _drawn(
    recipe: Covered, clip: SourceClip, pool: Sequence[SourceClip], random: np.random.Generator
) -> SourceClip:
    """Another class first, each as likely, then a clip of it; else any clip."""
    if recipe.over.kind == "class":
        names = sorted({other.name for other in pool if other.name and other.name != clip.name})
        if not (clip.name and names):
            raise ValueError(
                f"expected clips of two classes or more, found {clip.name!r} alone around "
                f"{clip.key!r}: cover them by kind: white or recorded"
            )
        name = names[int(random.integers(len(names)))]
        pool = [other for other in pool if other.name == name]
    if not pool:
        raise ValueError(f"expected clips in {list(recipe.over.of)} to cover with, found none")
    return pool[int(random.integers(len(pool)))]


def render(row: Covering, read: Read) -> Rendered:
    """Mix one clip; `read` fetches a signal by key, (time,) float at `row.sample_rate`.

    ValueError where the clip or what covers it is silent.
    """
    clip = np.asarray(read(row.clip), dtype=np.float64)
    if row.over is None:
        over = white(clip.size, generator(row.seed, "white"))
    else:
        start = round(row.start_seconds * row.sample_rate)
        over = recorded(np.asarray(read(row.over), dtype=np.float64), clip.size, start=start)
    noise = scale_to_snr(clip, over, row.snr_db)
    gain = headroom(np.abs(clip) + np.abs(noise))  # so that both parts fit, and their sum
    parts = {"clean": quantised(gain * clip), "noise": quantised(gain * noise)}
    sounds = {"audio": parts["clean"] + parts["noise"], **parts}
    return Rendered(sounds, row.sample_rate, row.labels)
