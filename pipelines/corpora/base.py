"""The contract of a corpus reader, and what all readers share: keys, and transcripts as bytes."""

from __future__ import annotations

import hashlib
import io
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_origin

from pydantic import ValidationInfo, field_validator

from pipelines.records import Entry, Failure, RealEarError
from pipelines.schema import Config
from pipelines.shards.datasets import printable

LONGEST_KEY = 80  # characters: leaves room for ".s1.flac" within the 100 of a tar name
# What counts as a recording in a folder. Some of these libsndfile cannot decode: they are listed
# all the same, so that they end as counted failures and not as files that nobody saw.
_LOSSLESS = {".wav", ".flac", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64", ".sph", ".wv"}
_LOSSY = {".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".wma", ".amr", ".mp4", ".webm", ".mka"}
SUFFIXES = frozenset(_LOSSLESS | _LOSSY)


class Corpus(Config):
    """A collection of recordings in a folder.

    `name` goes into cluster ids (`corpus/speaker`): clips of one speaker in two datasets of one
    corpus are one cluster. Default: the folder's own name. A reader of one certain corpus states
    that corpus's licence and language.
    """

    licence: ClassVar[str] = "unknown"
    language: ClassVar[str] = ""

    folder: str
    name: str = ""

    @field_validator("*", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any, field: ValidationInfo) -> Any:
        """`split: test` is as good as `split: [test]`."""
        annotation = cls.model_fields[str(field.field_name)].annotation
        several = get_origin(annotation) is tuple
        return (value,) if several and isinstance(value, str | int | float) else value

    @property
    def title(self) -> str:
        """The corpus's name."""
        return self.name or Path(self.folder).resolve().name

    @abstractmethod
    def listed(self) -> Iterator[Entry]:
        """Every clip, in any order, keys as they come; nothing may be left out."""

    def entries(self) -> list[Entry]:
        """Every clip with a sound key; the second of two equal keys becomes a counted failure."""
        if not Path(self.folder).is_dir():
            raise RealEarError(f"expected a folder of recordings, found none at {self.folder}")
        return list(unique(self.listed()))


def unique(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Mark the later of entries with equal keys; give each of those a key of its own."""
    seen: dict[str, int] = {}
    for entry in entries:
        count = seen[entry.key] = seen.get(entry.key, 0) + 1
        if count == 1:
            yield entry
        else:
            fault = Failure(entry.key, "prepare", "duplicate_key", f"stands {count} times or more")
            yield replace(entry, key=f"{entry.key}~{count}", fault=fault)


def sound_key(name: str) -> str:
    """A key that every reader of tars accepts: up to 80 ASCII letters, digits, `_` and `-`.

    A name that has to be changed for it gets a hash of the original, so that different names never
    meet in one key. A folder separator alone becomes `-`.
    """
    plain = name.replace("/", "-")
    key = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
    if key == plain and 0 < len(key) <= LONGEST_KEY:
        return key
    tag = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{key[: LONGEST_KEY - 9]}-{tag}"


def recordings(folder: str) -> list[str]:
    """Every recording below a folder, relative, `/` between folders, sorted.

    Links to files count, links to folders are not followed. The walk asks the disk about folders,
    not about each file in them.
    """
    found = []
    for where, _, files in os.walk(folder):
        below = os.path.relpath(where, folder).replace(os.sep, "/")
        start = "" if below == "." else f"{below}/"
        found += [start + name for name in files if _suffix(name) in SUFFIXES]
    return sorted(found)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a million names, no Path for each)


def lines(path: Path) -> list[str]:
    """Lines of a text file with their ends, a byte-order mark left out.

    Bytes that are not UTF-8 survive as surrogates, so that one bad line costs one clip. A line ends
    at a line feed or carriage return only: `str.splitlines` would cut a transcript at U+2028 too.
    """
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    return list(io.StringIO(text, newline=""))


def text_fault(key: str, *values: str | None) -> Failure | None:
    """A failure if any text came from bytes that are not UTF-8 (read with surrogateescape), or
    holds half a character, which JSON can spell.
    """
    for value in values:
        if value is None or value.isascii():
            continue
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            shown = printable(value)[:60]
            return Failure(key, "prepare", "not_utf8", f"the text is not UTF-8: {shown}")
    return None
