"""A manifest: CSV, TSV or JSONL, a line a clip; a line that is none of these is a counted failure.

Columns: `path` (needed; relative to the manifest's folder, or `folder`), and as they apply `key`,
`text`, `speaker`, `session`, `clean`, `sources` (in JSONL a list, else separated by `;`). Every
other column becomes a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import model_validator

from pipelines.corpora import tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure, RealEarError

WORDS = ("path", "key", "text", "speaker", "session", "clean")
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
