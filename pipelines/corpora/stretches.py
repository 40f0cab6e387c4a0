"""Stretches of recordings, as the manifests of other tools name them: path, seconds, session."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.corpora.base import text_fault
from pipelines.records import Entry, Failure, RealEarError

LONGEST = 1e9  # seconds: 31 years; times beyond are a mistake
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Root:
    """The folder that all audio of a corpus must lie in; paths are compared as texts only."""

    folder: str
    _names: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = (str(Path(self.folder).absolute()), str(Path(self.folder).resolve()))
        plain = tuple(os.path.normpath(name).rstrip("/") + "/" for name in names)
        object.__setattr__(self, "_names", plain)

    def place(self, path: str) -> str | None:
        """A path, absolute or relative to the folder, as relative to it; None outside of it."""
        if not path.startswith("/"):
            inside = os.path.normpath(path)
            return None if inside == ".." or inside.startswith("../") else inside
        whole = os.path.normpath(path)
        for name in self._names:
            if whole.startswith(name):
                return whole.removeprefix(name)
        return None


def seconds(value: Any) -> float | None:
    """A number from 0 to a billion, also one spelt in decimal; None for everything else."""
    if isinstance(value, str):
        if len(value) > 40 or not _NUMBER.fullmatch(value):
            return None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number <= LONGEST else None


def refused(key: str, reason: str, detail: str) -> Entry:
    """An entry that only counts a failure."""
    return Entry(key=key, audio="", fault=Failure(key, "prepare", reason, detail))


def outside(key: str, path: str, folder: str) -> Entry:
    """The refusal of a path that leaves the corpus folder."""
    detail = f"{path!r:.120} does not lie in {folder}: `folder` must hold all audio"
    return refused(key, "outside_corpus", detail)


def joined(names: Iterable[str]) -> str | None:
    """The different names, sorted, joined by "+"; None where there is none."""
    return "+".join(sorted(set(names))) or None


def stem(path: str) -> str:
    """A path without its suffix; a leading dot begins none."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"


def need_some_inside(entries: Sequence[Entry], folder: str) -> None:
    """RealEarError where every single clip lies outside of the folder: then the folder is wrong."""
    faults = [entry.fault for entry in entries]
    if faults and all(fault and fault.reason == "outside_corpus" for fault in faults):
        first = faults[0].detail if faults[0] else ""
        raise RealEarError(
            f"expected audio in {folder}, found none of {len(faults)} clips there (the first: "
            f"{first}): set `folder` to the folder that holds the recordings"
        )


def with_sessions(clips: Iterable[tuple[Entry, str]]) -> Iterator[Entry]:
    """Clips, given with their recording's id, with that id as session where it matters.

    It does if any recording holds several clips that are not all of one known speaker: those share
    a room and voices, so they are one cluster. Otherwise speakers are the clusters, and a clip that
    is a recording of its own shares nothing.
    """
    listed = list(clips)
    voices: dict[str, set[str | None]] = {}
    counts: dict[str, int] = {}
    for entry, recording in listed:
        if not entry.fault:
            voices.setdefault(recording, set()).add(entry.speaker)
            counts[recording] = counts.get(recording, 0) + 1
    shared = any(
        counts[recording] > 1 and (len(found) > 1 or None in found)
        for recording, found in voices.items()
    )
    for entry, recording in listed:
        if shared and not entry.fault:
            fault = text_fault(entry.key, recording)
            yield replace(entry, session=recording, fault=fault)
        else:
            yield entry
