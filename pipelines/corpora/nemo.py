"""A NeMo manifest: JSON lines with `audio_filepath`, `offset`, `duration`, `text`, `speaker`.

    reader: nemo
    file: manifests/dev.json          # or .jsonl, .json.gz; absolute, or relative to `folder`
    folder: /corpora/podcasts         # all audio lies in here; default: the manifest's folder

A format, not a corpus: hours, rate, language and licence are those of the recordings.

    {"audio_filepath": "wavs/a.wav", "duration": 4.2, "text": "…", "speaker": "jo"}
    {"audio_filepath": "wavs/b.wav", "offset": 12.5, "duration": 3.0, "text": "…", "lang": "de"}

A clip is a line: the whole file, or with `offset` the stretch of `duration` seconds from there.
Paths are absolute or relative to `folder`. Key: the path without its suffix, and the offset in
milliseconds where there is one. Text: `text`, else `normalized_text`. Labels: `class` from `label`
or `command`, `language` from `lang`, and every other column that is a text or a number; `pred_text`
is what some model said, and is left out. Session: the recording, if one is cut into clips of
several speakers or of unknown ones.

NeMo would run an `audio_filepath` that ends in `|`; here it is a counted failure (`command`). So
are lists of files (`several_files`). Manifests of tarred audio are refused: their lines say nothing
of where in which tar the audio lies.

Kuchaiev, Li, Nguyen, Hrinchuk, Leary, Ginsburg, Kriman, Beliaev, Lavrukhin, Cook, Castonguay,
Popova, Huang, Cohen: NeMo: a toolkit for building AI applications using Neural Modules.
arXiv:1909.09577, 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.corpora import jsonlines
from pipelines.corpora.base import sound_key, text_fault
from pipelines.corpora.manifest import Manifest
from pipelines.corpora.stretches import (
    Root,
    need_some_inside,
    outside,
    refused,
    seconds,
    stem,
    with_sessions,
)
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, RealEarError

PATHS = ("audio_filepath", "audio_filename")
# Columns that are no labels: what the entry itself holds, a model's words, and other files.
TAKEN = {*PATHS, "offset", "duration", "text", "normalized_text", "text_filepath", "speaker"}
TAKEN |= {"pred_text", "label", "command", "lang", "rttm_filepath", "ctm_filepath", "uem_filepath"}
_SHARDED = re.compile(r"_OP_\d+\.\.\d+_CL_|\{\d+\.\.\d+\}")


class Nemo(Manifest):
    """Clips of a NeMo manifest."""

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the manifest."""
        entries = list(with_sessions(self._clips()))
        need_some_inside(entries, self.folder)
        yield from entries

    def _clips(self) -> Iterator[tuple[Entry, str]]:
        """Every line's entry with its recording's path."""
        if _SHARDED.search(self.file):
            raise _tarred(self.file)
        where = Path(self.file) if Path(self.file).is_file() else Path(self.folder, self.file)
        root = Root(self.folder)
        for number, row in jsonlines.rows(where):
            if isinstance(row, dict) and "shard_id" in row:
                raise _tarred(str(where))
            entry = _entry(row, number, root)
            yield entry, stem(str(entry.audio))


def _tarred(name: str) -> RealEarError:
    return RealEarError(
        f"expected a manifest of audio files, found one of tarred audio, {name}: give the manifest "
        "that the tars were made from, or read the tars themselves with `reader: webdataset`"
    )


def _entry(row: Cells | str, number: int, root: Root) -> Entry:
    """One line's entry; a line that cannot be understood becomes a counted failure."""
    path = None if isinstance(row, str) else row.get(PATHS[0], row.get(PATHS[1]))
    if isinstance(row, str) or not path or not isinstance(path, str | list):
        return refused(f"line-{number}", "bad_line", f"line {number}: {row!r:.120}")
    if isinstance(path, list):
        detail = f"line {number} names {len(path)} files for one clip: give each a line"
        return refused(f"line-{number}", "several_files", detail)
    place = root.place(path)
    key = _key(place or path, row.get("offset"))
    if "|" in path:
        detail = f"{path!r:.120} is a command, and none is run: write the sound as a file"
        return refused(key, "command", detail)
    return outside(key, path, root.folder) if place is None else _clip(key, place, row, number)


def _key(path: str, offset: Any) -> str:
    """The path without its suffix, and where the clip starts in it in milliseconds."""
    start = seconds(offset)
    return sound_key(stem(path) if start is None else f"{stem(path)}-{round(start * 1000):08d}")


def _clip(key: str, place: str, row: Cells, number: int) -> Entry:
    stretch = _stretch(row)
    words, speaker = row.get("text", row.get("normalized_text")), row.get("speaker")
    if stretch is None or isinstance(words, dict | list) or isinstance(speaker, dict | list):
        return refused(key, "bad_line", f"line {number}: {row!r:.120}")
    if words is None and row.get("text_filepath"):
        detail = f"line {number} has its words in another file: write them into the line as `text`"
        return refused(key, "no_transcript", detail)
    text = None if words is None else str(words)
    voice = None if speaker in (None, "") else str(speaker)
    labels = _labels(row)
    return Entry(
        key=key,
        audio=place,
        start=stretch[0],
        end=stretch[1],
        text=text,
        speaker=voice,
        labels=labels,
        fault=text_fault(key, place, text, voice, *labels, *labels.values()),
    )


def _stretch(row: Cells) -> tuple[float | None, float | None] | None:
    """Start and end in seconds, (None, None) for the whole file; None where they make no sense.

    A duration alone cuts nothing: it is that of the file, and manifests round it.
    """
    if row.get("offset") is None:
        return None, None
    start, length = seconds(row["offset"]), seconds(row.get("duration"))
    if start is None or length == 0 or (length is None and row.get("duration") is not None):
        return None
    return start, None if length is None else round(start + length, 9)


def _labels(row: Cells) -> dict[str, str]:
    plain = jsonlines.scalars({name: row[name] for name in row if name not in TAKEN})
    named = {"class": row.get("label", row.get("command")), "language": row.get("lang")}
    return plain | jsonlines.scalars(named)
