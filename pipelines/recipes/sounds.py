"""Sounds: tones, noises, bells, engines and the like, made from a few numbers, each with a caption.

A class is a function of the numbers that its row has drawn, and words for it. What is drawn is told
in the caption where people would tell it: `a high tone`, `an engine running fast`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from pipelines.recipes.base import (
    Range,
    Recipe,
    Rendered,
    Row,
    generator,
    key_of,
    quantised,
    uniform,
)
from pipelines.recipes.levels import decibels, headroom, to_level
from pipelines.recipes.synthesis import CLASSES, Drawn

OPENINGS = (
    "{}", "the sound of {}", "this is a sound of {}", "a recording of {}", "I can hear {}",
    "{} can be heard",
)  # fmt: skip
LEVEL_DB = -23.0  # dBFS; what is quieter by nature (clicks) keeps its peaks below full scale


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(set(names) - set(CLASSES))
    if unknown:
        raise ValueError(f"expected classes of {', '.join(sorted(CLASSES))}, found {unknown}")
    if len(set(names)) < len(names):
        raise ValueError(f"expected each class once, found {list(names)}")
    return names


class Sounds(Recipe):
    """What sounds are made.

    Attributes:
        classes: which, each as often; all of them by default.
        each: clips of each class.
        seconds: [low, high] from which each draws its length.
        sample_rate: Hz.
        snr_db: [low, high] of a white noise under the sound; None for none.
        captions: "told" for captions of several wordings that tell pitch and speed, "plain" for the
            class's first name alone.
        seed: another seed makes other sounds.
    """

    classes: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_known)] = tuple(
        CLASSES
    )
    each: int = Field(default=10, ge=1)
    seconds: Range = (2.0, 4.0)
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)
    snr_db: Range | None = (10.0, 40.0)
    captions: Literal["told", "plain"] = "told"
    seed: int = 0


class Sound(Row):
    """One sound to be made.

    Attributes:
        key: of the sample. name: the class. caption: what is heard, in words.
        drawn: the class's own numbers by name (Hz, seconds, times a second).
        seconds: its length. sample_rate: Hz. snr_db: see `Sounds`. seed: of what is random in it.
    """

    key: str
    name: str
    caption: str
    drawn: dict[str, float]
    seconds: float
    sample_rate: int
    snr_db: float | None
    seed: int


def plan(recipe: Sounds) -> list[Sound]:
    """Rows class by class; a sound depends on seed, class and number alone."""
    return [_row(recipe, name, number) for name in recipe.classes for number in range(recipe.each)]


def _row(recipe: Sounds, name: str, number: int) -> Sound:
    random = generator(recipe.seed, "sound", name, number)
    entry = CLASSES[name]
    drawn = {key: _drawn(random, bounds) for key, bounds in entry.ranges.items()}
    snr_db = None if recipe.snr_db is None else uniform(random, recipe.snr_db, digits=1)
    return Sound(
        key=key_of(name, str(recipe.seed), f"{number:05d}"),
        name=name,
        caption=_caption(name, drawn, random) if recipe.captions == "told" else entry.words[0],
        drawn=drawn,
        seconds=uniform(random, recipe.seconds, digits=2),
        sample_rate=recipe.sample_rate,
        snr_db=snr_db,
        seed=recipe.seed,
    )


def _drawn(random: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A number from a range, each ratio as likely as any other: pitch and speed are heard so."""
    low, high = np.log(bounds[0]), np.log(bounds[1])
    return float(np.clip(round(float(np.exp(random.uniform(low, high))), 4), *bounds))


def _caption(name: str, drawn: Mapping[str, float], random: np.random.Generator) -> str:
    entry = CLASSES[name]
    words = entry.words[int(random.integers(len(entry.words)))]
    told = [entry.told(key, value) for key, value in drawn.items() if random.random() < 0.5]
    words = " ".join([*(word for word in told if word), words])
    if entry.countable:
        words = f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
    return OPENINGS[int(random.integers(len(OPENINGS)))].format(words)


def render(row: Sound) -> Rendered:
    """Make one sound, at -23 dBFS or as loud as its peaks allow. The same row, the same samples.

    Raises:
        ValueError: nothing can be heard of it.
    """
    random = generator(row.seed, "samples", row.key)
    drawn = Drawn(row.drawn, round(row.seconds * row.sample_rate), row.sample_rate, random)
    sound = to_level(CLASSES[row.name].make(drawn), LEVEL_DB, name=row.name)
    if row.snr_db is not None:
        floor = random.standard_normal(sound.size)
        sound = sound + floor * decibels(LEVEL_DB - row.snr_db)
    labels: dict[str, Any] = {"class": row.name, "caption": row.caption}
    return Rendered(
        {"audio": quantised(sound * headroom(sound))}, row.sample_rate, _text(labels, row)
    )


def _text(labels: dict[str, Any], row: Sound) -> dict[str, str]:
    drawn = {re.sub(r"\W", "_", key): f"{value:g}" for key, value in row.drawn.items()}
    return {**labels, **drawn}
