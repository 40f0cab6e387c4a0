"""A manifest: CSV, TSV or JSONL, a line a clip; a line that is none of these is a counted failure.

Columns: `path` (needed; relative to the manifest's folder, or `folder`), and as they apply `key`,
`text`, `speaker`, `session`, `clean`, `noise`, `sources` (in JSONL a list, else separated by `;`),
`start` and `end` (seconds: a stretch of the recording and of its references), `channel` (from 0).
Every other column becomes a label.

    reader: manifest
    file: recordings/manifest.csv
    folder: recordings            # that every path lies in; default: the manifest's own
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import model_validator

from pipelines.corpora import tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.stretches import seconds
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure, RealEarError

WORDS = ("path", "key", "text", "speaker", "session", "clean", "noise", "start", "end", "channel")
COLUMNS = (*WORDS, "sources")


class Manifest(Corpus):
    """Recordings listed in a file; `folder` defaults to the folder that the file lies in."""

    file: str
    folder: str = ""

    @model_validator(mode="before")
    @classmethod
    def _folder_of_file(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("file") and not values.get("folder"):
            return {**values, "folder": str(Path(str(values["file"])).parent)}
        return values

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the manifest."""
        where = Path(self.file) if Path(self.file).is_file() else Path(self.folder, self.file)
        if not where.is_file():
            raise RealEarError(f"expected a manifest at {self.file}, found no file there")
        for number, row in _rows(where):
            yield _entry(row, number)


def _rows(where: Path) -> Iterator[tuple[int, Cells | str]]:
    if where.suffix in {".jsonl", ".json"}:
        return tables.jsonl(where, words=WORDS)
    if where.suffix not in tables.DELIMITERS:
        raise RealEarError(
            f"expected a manifest ending in .csv, .tsv or .jsonl, found {where.name}"
        )
    return tables.delimited(where, needs=("path",))


def _entry(row: Cells | str, number: int) -> Entry:
    """One line's entry; a line that cannot be understood becomes a counted failure."""
    if isinstance(row, str) or row.get("path") in (None, "") or (stretch := _stretch(row)) is None:
        key = f"line-{number}"
        shown = row.rstrip("\r\n") if isinstance(row, str) else row
        detail = f"line {number} of the manifest: {shown!r:.120}"
        return Entry(key=key, audio="", fault=Failure(key, "prepare", "bad_line", detail))
    path, given = str(row["path"]), row.get("key")
    start, end, channel = stretch
    named = given not in (None, "")
    key = sound_key(str(given) if named else _name(path, start, end) or f"line-{number}")
    labels = {
        str(column): str(value)
        for column, value in row.items()
        if column and column not in COLUMNS and value not in (None, "")
    }
    text = None if row.get("text") is None else str(row["text"])
    speaker, session = _word(row.get("speaker")), _word(row.get("session"))
    return Entry(
        key=key,
        audio=path,
        sources=_sources(row.get("sources")),
        clean=_word(row.get("clean")),
        noise=_word(row.get("noise")),
        start=start,
        end=end,
        channel=channel,
        text=text,
        speaker=speaker,
        session=session,
        labels=labels,
        fault=text_fault(key, path, text, speaker, session, *labels, *labels.values()),
    )


def _stretch(row: Cells) -> tuple[float | None, float | None, int | None] | None:
    """Start and end in seconds and the channel; None where they make no sense."""
    said = {name: word for name in ("start", "end") if (word := _word(row.get(name))) is not None}
    times = {name: seconds(word) for name, word in said.items()}
    channel = _word(row.get("channel"))
    if None in times.values() or not re.fullmatch(r"\d{0,3}", channel or ""):
        return None
    start, end = times.get("start"), times.get("end")
    if end is not None and end <= (start or 0.0):
        return None
    return start, end, int(channel) if channel else None


def _name(path: str, start: float | None, end: float | None) -> str:
    """A path without its suffix, and the stretch in ms; empty where it names no file (`.`, `/`)."""
    place = PurePosixPath(path)
    if not place.name:
        return ""
    cut = "".join(f"-{round(1000 * at):07d}" for at in (start, end) if at is not None)
    return place.with_suffix("").as_posix() + cut


def _word(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _sources(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return tuple(item.strip() for item in str(value or "").split(";") if item.strip())
