"""JSON lines from anywhere, plain or gzip: read as a stream, every line and its nesting limited."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipelines.corpora.tables import Cells
from pipelines.records import RealEarError

LONGEST = 1 << 23  # bytes of a line: a meeting with every word's alignment has about 1 MiB
SHOWN = 200  # bytes kept of a line that is too long


def rows(where: Path) -> Iterator[tuple[int, Cells | str]]:
    """Line number from 1 and its object; a line that is none is handed on as text, to be counted.

    A file ending in .gz is unpacked as it is read. Bytes that are not UTF-8 survive as surrogates.
    Blank lines are skipped; an empty file gives nothing. RealEarError where there is no file.
    """
    if not where.is_file():
        raise RealEarError(f"expected a file of JSON lines at {where}, found no file there")
    number = 0
    with _open(where) as file:
        try:
            while line := file.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    _skip(file, line)
                    yield number, f"a line of more than {LONGEST} bytes: {_text(line[:SHOWN])}"
                elif line.strip():
                    yield number, parse(_text(line.removeprefix(b"\xef\xbb\xbf")))
        except (OSError, EOFError, zlib.error) as error:
            yield number + 1, f"{where.name} cannot be read beyond this line: {error}"


def parse(text: str) -> Cells | str:
    """The object that a text spells; the text itself where it spells none, or nests too deep."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def scalars(fields: Any) -> dict[str, str]:
    """A JSON object's texts, numbers and truth values as text, by name; nothing else of it."""
    if not isinstance(fields, dict):
        return {}
    return {
        str(name): _spelled(value)
        for name, value in fields.items()
        if isinstance(value, str | int | float) and value != ""
    }


def _spelled(value: str | int | float) -> str:
    """A value as text; numbers as Python writes them, truth values as JSON does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value)
    except ValueError:  # more digits than Python is willing to print
        return hex(cast(int, value))


def _open(where: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(where) if where.suffix == ".gz" else where.open("rb"))


def _skip(file: BinaryIO, line: bytes) -> None:
    """Read on to the end of a line without keeping it."""
    while line and not line.endswith(b"\n"):
        line = file.readline(LONGEST)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")
