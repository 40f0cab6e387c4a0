"""Auditions: a few clips to listen to, chosen by the index: typical ones and extremes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leaderboards import dataset_words as words
from leaderboards import examples
from leaderboards.description import Description, Sound
from pipelines import audio
from pipelines.audio import BadAudio
from pipelines.shards.datasets import Clip, RandomReader, Row

LONGEST = 15.0  # seconds in the page
UNITS = {"loudness_lufs": "LUFS", "rms_dbfs": "dBFS"}
STEREO = 2  # channels: so many stay as they are


def with_sounds(found: Description, folder: str, table: pa.Table) -> Description:
    """The description with up to six clips of the dataset; what cannot be decoded is left out.

    DamagedShard where a shard is not as long as its sidecar says.
    """
    if not found.clips:
        return found
    level = words.level(found)
    chosen = choose(table, level=level)
    reader = RandomReader(folder, trust=True)
    sounds = [_sound(reader[key], kinds, level) for key, kinds in chosen.items()]
    reader.close()
    return replace(found, sounds=tuple(sound for sound in sounds if sound is not None))


def choose(table: pa.Table, *, level: str) -> dict[str, tuple[str, ...]]:
    """Key to why it was chosen, at most six; of equals the first key, and no clip twice.

    `level` names the column that tells loud from faint. What no clip has, chooses none.
    """
    clipped = table.filter(pc.greater(table["clipping"], 0.0))
    wanted = (
        ("median length", table, "seconds", 0.5),
        (f"median {words.TITLES[level].lower()}", table, level, 0.5),
        ("quietest", table, level, 0.0),
        ("loudest", table, level, 1.0),
        ("longest", table, "seconds", 1.0),
        ("most clipped", clipped, "clipping", 1.0),
    )
    chosen: dict[str, tuple[str, ...]] = {}
    for kind, clips, column, place in wanted:
        known = clips.select(["key", column]).drop_null()
        if len(known):
            key = _key_at(known, column, place)
            chosen[key] = (*chosen.get(key, ()), kind)
    return chosen


def _key_at(known: pa.Table, column: str, place: float) -> str:
    """The key of the clip that stands there in the column's order, 0 the least and 1 the most."""
    values = known[column].to_numpy()
    at = math.floor(place * (len(values) - 1))
    equals = known["key"].filter(pa.array(values == np.partition(values, at)[at]))
    return str(pc.min(equals).as_py())


def _sound(clip: Clip, kinds: tuple[str, ...], level: str) -> Sound | None:
    row = clip.row
    data = _playable(clip.read(), row)
    if data is None:
        return None
    return Sound(
        kinds=kinds,
        key=row.key,
        seconds=row.seconds,
        audio=data,
        figures=_figures(row, level),
        speaker=row.speaker,
        text=row.text,
        cut=LONGEST if row.seconds > LONGEST else None,
    )


def _figures(row: Row, level: str) -> tuple[str, ...]:
    known = [words.amount(row.seconds, "s")]
    if (measured := getattr(row, level)) is not None:
        known.append(words.amount(measured, UNITS[level]))
    if row.clipping:
        known.append(f"{words.figure(100 * row.clipping, '%', decimals=2)} % clipped")
    return tuple(known)


def _playable(data: bytes, row: Row) -> bytes | None:
    """A file that every browser plays, of the clip's beginning; None for what cannot be decoded."""
    whole = row.seconds <= LONGEST
    if whole and row.channels <= STEREO and examples.plays(data):
        return data
    try:
        recording = audio.decode(data) if whole else audio.decode(data, 0.0, LONGEST)
        pcm = audio.pick(recording, "mono" if recording.channels > STEREO else "keep")
    except BadAudio:
        return None
    return audio.encode_flac(pcm, recording.sample_rate).data
