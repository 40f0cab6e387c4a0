"""Tables that come with corpora: CSV, TSV and JSON lines, read so that one bad line costs one clip.

Rows are (line number from 1, cells by column); a line that cannot be understood is handed on as the
text that it is, for the reader to count.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.corpora.base import lines
from pipelines.records import RealEarError
from pipelines.schema import nearest

DELIMITERS = {".csv": ",", ".tsv": "\t"}

Cells = dict[str, Any]  # column to value


def delimited(
    where: Path,
    *,
    delimiter: str | None = None,
    quotes: bool = True,
    columns: Sequence[str] | None = None,
    needs: Sequence[str] = (),
) -> Iterator[tuple[int, Cells | str]]:
    """Rows of a CSV or TSV file, a line each.

    `delimiter`: by default what the suffix says. `quotes=False`: a quotation mark is a character
    like any other (Common Voice, Kaldi). `columns`: their names, where the file has no header.
    RealEarError for a column of `needs` that is not there, or for no file at all.
    """
    delimiter = delimiter or DELIMITERS.get(where.suffix, ",")
    listed = [(n, line) for n, line in enumerate(table_lines(where), 1) if line.strip()]
    if columns is None:
        columns = (_cells(listed[0][1], delimiter, quotes) or []) if listed else []
        listed = listed[1:]
    for name in needs:
        if name not in columns:
            found = ", ".join(columns) or "an empty file"
            raise RealEarError(
                f"{where}: expected a column {name!r}, found {found}: {nearest(name, columns)}"
            )
    for number, line in listed:
        cells = _cells(line, delimiter, quotes)
        if cells is None or len(cells) != len(columns):
            yield number, line
        else:
            yield number, dict(zip(columns, cells, strict=True))


def table_lines(where: Path) -> list[str]:
    """The lines of a file that must be there; RealEarError where it is not."""
    if not where.is_file():
        raise RealEarError(f"expected a table at {where}, found no file there")
    return lines(where)


def _cells(line: str, delimiter: str, quotes: bool) -> list[str] | None:
    """A line's cells; None where a quote opens and never closes.

    Line by line, since an open quote would swallow every line, and every clip, up to the next one.
    """
    if not quotes:
        return line.rstrip("\r\n").split(delimiter)
    try:
        [cells] = csv.reader([line.rstrip("\r\n") + "\n"], delimiter=delimiter)
    except (csv.Error, ValueError):
        return None
    return None if cells and cells[-1].endswith("\n") else cells


def jsonl(where: Path, *, words: Sequence[str] = ()) -> Iterator[tuple[int, Cells | str]]:
    """Rows of a file of JSON objects, a line each; those of `words` must be no list or object."""
    for number, line in enumerate(table_lines(where), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if _plain(row, words) else line


def _plain(row: Any, words: Sequence[str]) -> bool:
    return isinstance(row, dict) and not any(
        isinstance(row.get(column), dict | list) for column in words
    )
