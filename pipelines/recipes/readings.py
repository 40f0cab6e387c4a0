"""Readings: texts read aloud by espeak-ng in many voices, one clip a text and voice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr
from pydantic import Field, field_validator

from pipelines.recipes import espeak
from pipelines.recipes.base import (
    Range,
    Recipe,
    Rendered,
    Row,
    generator,
    key_of,
    quantised,
    refuse_twins,
    uniform,
)
from pipelines.recipes.levels import SPEECH_DB, decibels, headroom, to_level

VOICES = (  # eight accents of English, a female and a male timbre each
    "en+f2",
    "en+m6",
    "en-029+f5",
    "en-029+m7",
    "en-gb-scotland+f2",
    "en-gb-scotland+m6",
    "en-gb-x-gbclan+f5",
    "en-gb-x-gbclan+adam",
    "en-gb-x-gbcwmd+f2",
    "en-gb-x-gbcwmd+m6",
    "en-gb-x-rp+f1",
    "en-gb-x-rp+m1",
    "en-us+f2",
    "en-us+m5",
    "en-us-nyc+f5",
    "en-us-nyc+m1",
)
EDGE_SECONDS = 0.15  # of silence before and after the speech


class Readings(Recipe):
    """How texts are read.

    Attributes:
        texts: what to read; None where the texts are given to `plan` (a dataset's transcripts).
        voices: espeak-ng voices with their variants (`en-us+f3`); each counts as a speaker.
        words_per_minute, pitch: [low, high] from which each reading draws; pitch 50 is the voice's.
        sample_rate: Hz of the clips.
        readings_per_text: by how many different voices each text is read.
        floor_db: dBFS of a faint white noise under the whole clip, as any microphone has; None for
            digital silence. Recognisers trained on recordings fail on digital silence:
            pocketsphinx's word error rate on ten sentences in en-us fell from 77 % to 30 %.
        seed: another seed gives other voices to the texts and other speeds and pitches.
    """

    texts: tuple[str, ...] | None = None
    voices: tuple[str, ...] = Field(default=VOICES, min_length=1)
    words_per_minute: Range = (130.0, 170.0)
    pitch: Range = (40.0, 60.0)
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000)
    readings_per_text: int = Field(default=1, ge=1)
    floor_db: float | None = Field(default=-65.0, ge=-90.0, le=-40.0)
    seed: int = 0

    @field_validator("voices")
    @classmethod
    def _voices_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        full = tuple(espeak.full_name(name) for name in names)
        refuse_twins(full, "voice", "name each voice once")
        return full

    @field_validator("words_per_minute")
    @classmethod
    def _speakable_speed(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        return _inside(bounds, espeak.WORDS_PER_MINUTE)

    @field_validator("pitch")
    @classmethod
    def _speakable_pitch(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        return _inside(bounds, espeak.PITCH)


def _inside(bounds: tuple[float, float], limits: tuple[int, int]) -> tuple[float, float]:
    if bounds[0] < limits[0] or bounds[1] > limits[1]:
        raise ValueError(f"expected a range within {list(limits)}, found {list(bounds)}: narrow it")
    return bounds


class Reading(Row):
    """One clip to be read: `render` needs nothing else.

    Attributes:
        key: sample key; text_id: the id that came with the text, shared by its readings.
        text: what is said. voice: who says it, such as `en-us+f3`; the clip's speaker.
        words_per_minute, pitch: how. sample_rate: Hz. floor_db: see `Readings`.
    """

    key: str
    text_id: str
    text: str
    voice: str
    words_per_minute: int
    pitch: int
    sample_rate: int
    floor_db: float | None


def numbered(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Texts with ids by position, `text-0000` onwards, as `plan` wants them."""
    return [(f"text-{index:04d}", text) for index, text in enumerate(texts)]


def plan(recipe: Readings, texts: Sequence[tuple[str, str]] | None = None) -> list[Reading]:
    """Who reads what, and how.

    Voices rotate through the texts in the order given, so that no voice reads more than one text
    more than another. A reading's speed and pitch depend on the seed, the text's id and the voice.

    Args:
        recipe: the options.
        texts: (id, text) pairs; None to read the recipe's own texts.

    Returns:
        rows in the order of the texts; none for no texts.

    Raises:
        ValueError: texts given twice or not at all, a repeated id, a text with nothing to say, or
            more readings a text than voices.
    """
    pairs = _texts(recipe, texts)
    if recipe.readings_per_text > len(recipe.voices):
        raise ValueError(
            f"expected at most {len(recipe.voices)} readings_per_text, one a voice, found "
            f"{recipe.readings_per_text}: add voices or lower it"
        )
    rows = [
        _reading(recipe, text_id, text, voice=voice)
        for index, (text_id, text) in enumerate(pairs)
        for voice in _readers(recipe, index)
    ]
    refuse_twins((row.key for row in rows), "key", "give the texts ids that differ more")
    return rows


def _texts(recipe: Readings, texts: Sequence[tuple[str, str]] | None) -> list[tuple[str, str]]:
    if (texts is None) == (recipe.texts is None):
        found = "neither" if texts is None else "both"
        raise ValueError(
            f"expected texts in the recipe or given to plan, found {found}: leave texts out of one"
        )
    pairs = numbered(recipe.texts or ()) if texts is None else list(texts)
    refuse_twins((text_id for text_id, _ in pairs), "text id", "name each text once")
    for text_id, text in pairs:
        if "\0" in text or not any(character.isalnum() for character in text):
            raise ValueError(
                f"expected words in text {text_id!r}, found {text[:60]!r}: leave it out"
            )
    return pairs


def _readers(recipe: Readings, index: int) -> list[str]:
    """The voices of the text at `index`: the next ones in the seed's order."""
    count = recipe.readings_per_text
    order = generator(recipe.seed, "voices").permutation(len(recipe.voices))
    first = index * count
    return [recipe.voices[order[place % len(order)]] for place in range(first, first + count)]


def _reading(recipe: Readings, text_id: str, text: str, *, voice: str) -> Reading:
    random = generator(recipe.seed, "reading", text_id, voice)
    return Reading(
        key=key_of(text_id, voice.replace("+", "-")),
        text_id=text_id,
        text=text,
        voice=voice,
        words_per_minute=int(uniform(random, recipe.words_per_minute, digits=0)),
        pitch=int(uniform(random, recipe.pitch, digits=0)),
        sample_rate=recipe.sample_rate,
        floor_db=recipe.floor_db,
    )


def render(reading: Reading, speaker: espeak.Speaker) -> Rendered:
    """Read one row aloud.

    The speech is brought to the row's rate by soxr at HQ and to -25 dBFS, with 0.15 s of silence
    (the floor) at both ends. `audio` is the only sound: nothing was mixed.

    Raises:
        ValueError: espeak-ng finds nothing to say in the text.
        espeak.SpeechError: it failed to say it.
    """
    said = speaker.say(
        reading.text,
        voice=reading.voice,
        words_per_minute=reading.words_per_minute,
        pitch=reading.pitch,
    )
    speech = soxr.resample(said / 32768.0, espeak.SAMPLE_RATE, reading.sample_rate, quality="HQ")
    speech = to_level(speech, SPEECH_DB, name=f"{reading.voice} reading {reading.text[:60]!r}")
    audio = np.pad(speech, round(EDGE_SECONDS * reading.sample_rate))
    audio += _floor(reading, audio.size)
    audio *= headroom(audio)
    return Rendered({"audio": quantised(audio)}, reading.sample_rate)


def _floor(reading: Reading, size: int) -> np.ndarray:
    if reading.floor_db is None:
        return np.zeros(size)
    return decibels(reading.floor_db) * generator("floor", reading.key).standard_normal(size)
