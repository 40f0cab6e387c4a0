"""A manifest: CSV, TSV or JSONL, a line a clip.

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

from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.records import Entry, Failure, RealEarError
from pipelines.schema import nearest

COLUMNS = ("path", "key", "text", "speaker", "session", "clean", "sources")
DELIMITERS = {".csv": ",", ".tsv": "\t"}


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


def _lines(where: Path) -> list[str]:
    # Bytes that are not UTF-8 survive as surrogates, so that one bad line costs one clip.
    return where.read_bytes().decode("utf-8-sig", "surrogateescape").splitlines(keepends=True)


def _delimited(where: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if where.suffix not in DELIMITERS:
        raise RealEarError(
            f"expected a manifest ending in .csv, .tsv or .jsonl, found {where.name}"
        )
    reader = csv.DictReader(_lines(where), delimiter=DELIMITERS[where.suffix])
    columns = reader.fieldnames or []
    if "path" not in columns:
        found = ", ".join(columns) or "an empty file"
        raise RealEarError(
            f"{where}: expected a column 'path', found {found}: {nearest('path', columns)}"
        )
    for row in reader:
        extra = row.pop(None, None)  # csv's own name for surplus
        yield reader.line_num, {**row, **({"": extra} if extra else {})}


def _jsonl(where: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(where), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield number, row if isinstance(row, dict) else {"": line}


def _entry(row: dict[str, Any], number: int) -> Entry:
    """One line's entry; a line that cannot be understood becomes a counted failure."""
    path = str(row.get("path") or "")
    given = row.get("key")
    name = str(given) if given else PurePosixPath(path).with_suffix("").as_posix()
    key = sound_key(name if path or given else f"line-{number}")
    labels = {
        str(column): str(value)
        for column, value in row.items()
        if column and column not in COLUMNS and value not in (None, "")
    }
    text = None if row.get("text") is None else str(row["text"])
    fault = text_fault(key, path, text, *labels.values())
    if "" in row or not path:
        fault = Failure(key, "prepare", "bad_line", f"line {number} of the manifest: {row!r:.120}")
    return Entry(
        key=key,
        audio=path,
        sources=_sources(row.get("sources")),
        clean=str(row["clean"]) if row.get("clean") else None,
        text=text,
        speaker=str(row["speaker"]) if row.get("speaker") else None,
        session=str(row["session"]) if row.get("session") else None,
        labels=labels,
        fault=fault,
    )


def _sources(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return tuple(item.strip() for item in str(value or "").split(";") if item.strip())
