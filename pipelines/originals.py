"""The recordings that a corpus lists: found, kept inside the corpus's folder, opened.

A path comes from a table that somebody else may have written, so it is followed only to a place
below the corpus's folder, and nothing is read from it but sound.
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.audio import BadAudio
from pipelines.records import InTable, InTar, Sound

IN_MEMORY = 1 << 26  # bytes: longer files are read as they are decoded
CACHED = 1 << 28  # bytes of Parquet row groups kept: clips come in the order of their keys


def path_of(sound: Sound) -> str:
    """The file that a recording lies in."""
    return sound if isinstance(sound, str) else sound.path


class Originals:
    """The files of one corpus; `follow_links`: symbolic links may lead out of its folder."""

    def __init__(self, folder: str, *, follow_links: bool = False) -> None:
        self._folder = folder
        self._absolute = os.path.abspath(folder)  # noqa: PTH100
        self._root = os.path.realpath(folder)
        self._real: dict[str, str] = {}  # folders below, and where their links lead
        self._follow_links = follow_links
        self._groups: OrderedDict[tuple[str, str, int], pa.ChunkedArray] = OrderedDict()

    def stamp(self, sound: Sound) -> tuple[int | None, int | None]:
        """A recording's bytes and its file's time of change in ns; None for what is no file, or
        cannot be looked at. A Parquet cell's bytes are not known: its file's are shared evenly.
        """
        try:
            found = os.stat(os.path.join(self._folder, path_of(sound)))  # noqa: PTH116, PTH118
        except (OSError, ValueError):  # not there, too long a name, no permission, a NUL in it
            return None, None
        if not S_ISREG(found.st_mode):
            return None, None
        return sound.length if isinstance(sound, InTar) else found.st_size, found.st_mtime_ns

    def open(self, sound: Sound) -> bytes | BinaryIO:
        """A recording's bytes, or the open file where it is long.

        BadAudio("missing_file" | "unreadable" | "outside_corpus" | "truncated").
        """
        path = path_of(sound)
        try:
            where = Path(self._inside(path))
            found = where.stat()
            if not S_ISREG(found.st_mode):  # opening a pipe would wait, reading a device never end
                raise BadAudio("missing_file", f"{path!r} is a folder, a pipe or a device, no file")
            if isinstance(sound, InTar):
                return _member(where, sound, found.st_size)
            if isinstance(sound, InTable):
                return self._cell(where, sound)
            return where.open("rb") if found.st_size > IN_MEMORY else _whole(where)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadAudio("missing_file", f"no file at {path!r}") from error
        except OSError as error:
            raise BadAudio("unreadable", f"{path}: {error.strerror or error}") from error
        except BadAudio:
            raise
        except ValueError as error:
            raise BadAudio("missing_file", f"{path!r} cannot be a file's name: {error}") from error

    def _inside(self, path: str) -> str:
        """The place of a path, which must lie below the corpus's folder."""
        plain = os.path.normpath(os.path.join(self._absolute, path))  # noqa: PTH118
        if not _below(plain, self._absolute) and not _below(plain, self._root):
            raise BadAudio(
                "outside_corpus",
                f"{path!r} leads out of the corpus: name the folder that holds it as `folder`",
            )
        if not self._follow_links and not _below(self._resolved(plain), self._root):
            raise BadAudio(
                "outside_corpus",
                f"{path!r} is a link out of the corpus: `follow_links: true` allows it",
            )
        return plain

    def _resolved(self, plain: str) -> str:
        """Where a path leads, links followed; a folder is asked once, not for each of its files."""
        if os.path.islink(plain):  # noqa: PTH114
            return os.path.realpath(plain)
        folder, name = os.path.split(plain)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return os.path.join(self._real[folder], name)  # noqa: PTH118

    def _cell(self, where: Path, sound: InTable) -> bytes:
        column = self._column(where, sound)
        if not 0 <= sound.row < len(column):
            raise BadAudio("missing_file", f"{sound.path} has no row {sound.row} in its group")
        value = column[sound.row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise BadAudio("missing_file", f"{sound.path}: no bytes in column {sound.column!r}")
        return data

    def _column(self, where: Path, sound: InTable) -> pa.ChunkedArray:
        """A column of a row group; the last ones read are kept."""
        name = (sound.path, sound.column, sound.group)
        if name not in self._groups:
            try:
                with pq.ParquetFile(where) as file:
                    table = file.read_row_group(sound.group, columns=[sound.column])
                self._groups[name] = table.column(0)
            except (pa.ArrowException, IndexError) as error:
                raise BadAudio("unreadable", f"{sound.path}: {error}") from error
            while len(self._groups) > 1 and sum(c.nbytes for c in self._groups.values()) > CACHED:
                self._groups.popitem(last=False)
        self._groups.move_to_end(name)
        return self._groups[name]


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _whole(where: Path) -> bytes:
    with where.open("rb", buffering=0) as file:
        return file.read()


def _member(where: Path, sound: InTar, size: int) -> bytes | BinaryIO:
    """A tar's member; never more than the tar of that size holds, whatever its header claims."""
    if not 0 <= sound.offset <= sound.offset + sound.length <= size:
        detail = f"{sound.path}: a member ends at byte {sound.offset + sound.length} of {size}"
        raise BadAudio("truncated", detail)
    if sound.length > IN_MEMORY:
        return cast(BinaryIO, io.BufferedReader(_Window(where, sound.offset, sound.length)))
    with where.open("rb") as file:
        file.seek(sound.offset)
        return file.read(sound.length)


class _Window(io.RawIOBase):
    """A stretch of a file as a file of its own."""

    def __init__(self, where: Path, offset: int, length: int) -> None:
        self._file = where.open("rb")
        self._offset, self._length, self._at = offset, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._offset + self._at)
        wanted = max(0, min(len(buffer), self._length - self._at))
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
