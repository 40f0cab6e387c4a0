"""A manifest: CSV, TSV or JSONL, a line a clip; a line that is none of these is a counted failure.

Columns: `path` (needed; relative to the manifest's folder, or `folder`), and as they apply `key`,
`text`, `speaker`, `session`, `clean`, `sources` (in JSONL a list, else separated by `;`). Every
other column becomes a label.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import model_validator

from pipelines.corpora.base import Corpus, lines, sound_key, text_fault
from pipelines.records import Entry, Failure, RealEarError
from pipelines.schema import nearest

WORDS = ("path", "key", "text", "speaker", "session", "clean")
COLUMNS = (*WORDS, "sources")
DELIMITERS = {".csv": ",", ".tsv": "\t"}

Row = dict[str, Any]  # column to value; a line that gives none is handed on as it is


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
        rows = _jsonl(where) if where.suffix in {".jsonl", ".json"} else _delimited(where)
        for number, row in rows:
            yield _entry(row, number)


def _delimited(where: Path) -> Iterator[tuple[int, Row | str]]:
    if where.suffix not in DELIMITERS:
        raise RealEarError(
            f"expected a manifest ending in .csv, .tsv or .jsonl, found {where.name}"
        )
    delimiter = DELIMITERS[where.suffix]
    listed = [(number, line) for number, line in enumerate(lines(where), 1) if line.strip()]
    columns = (_cells(listed[0][1], delimiter) or []) if listed else []
    if "path" not in columns:
        found = ", ".join(columns) or "an empty file"
        raise RealEarError(
            f"{where}: expected a column 'path', found {found}: {nearest('path', columns)}"
        )
    for number, line in listed[1:]:
        cells = _cells(line, delimiter)
        if cells is None or len(cells) != len(columns):
            yield number, line
        else:
            yield number, dict(zip(columns, cells, strict=True))


def _cells(line: str, delimiter: str) -> list[str] | None:
    """A line's cells; None where a quote opens and never closes.

    Line by line, since an open quote would swallow every line, and every clip, up to the next one.
    """
    try:
        [cells] = csv.reader([line.rstrip("\r\n") + "\n"], delimiter=delimiter)
    except (csv.Error, ValueError):
        return None
    return None if cells and cells[-1].endswith("\n") else cells


def _jsonl(where: Path) -> Iterator[tuple[int, Row | str]]:
    for number, line in enumerate(lines(where), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if _plain(row) else line


def _plain(row: Any) -> bool:
    """Whether a JSON value is an object with words and numbers, not objects, under its columns."""
    return isinstance(row, dict) and not any(
        isinstance(value, dict | list) for column, value in row.items() if column in WORDS
    )


def _entry(row: Row | str, number: int) -> Entry:
    """One line's entry; a line that cannot be understood becomes a counted failure."""
    if isinstance(row, str) or row.get("path") in (None, ""):
        key = f"line-{number}"
        shown = row.rstrip("\r\n") if isinstance(row, str) else row
        detail = f"line {number} of the manifest: {shown!r:.120}"
        return Entry(key=key, audio="", fault=Failure(key, "prepare", "bad_line", detail))
    path, given = str(row["path"]), row.get("key")
    named = given not in (None, "")
    key = sound_key(str(given) if named else _name(path) or f"line-{number}")
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
        text=text,
        speaker=speaker,
        session=session,
        labels=labels,
        fault=text_fault(key, path, text, speaker, session, *labels, *labels.values()),
    )


def _name(path: str) -> str:
    """A path without its suffix; empty where it names no file (``, `.`, `/`)."""
    place = PurePosixPath(path)
    return place.with_suffix("").as_posix() if place.name else ""


def _word(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _sources(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return tuple(item.strip() for item in str(value or "").split(";") if item.strip())
