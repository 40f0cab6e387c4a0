"""Folders as corpora lay them out: levels to go down by, and what lies in one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.corpora.base import SUFFIXES
from pipelines.corpora.listing import contents
from pipelines.records import RealEarError


def subfolders(here: Path) -> list[str]:
    """Names of the folders in a folder, sorted; none where it is no folder."""
    if not here.is_dir():
        return []
    with os.scandir(here) as inside:
        return sorted(found.name for found in inside if found.is_dir())


def sounds(files: Iterable[str]) -> list[str]:
    """The file names among these that are of recordings."""
    return [name for name in files if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122


def sounds_in(here: Path) -> list[str]:
    """File names of the recordings right in a folder, unsorted; none where it is no folder."""
    return sounds(os.listdir(here)) if here.is_dir() else []  # noqa: PTH208


def stem(file: str) -> str:
    """A recording's file name without its suffix (`Path.stem` takes ten times as long)."""
    return file.rpartition(".")[0]


def pick(here: Path, option: str, folders: Mapping[str, str], chosen: str | None) -> Path:
    """One folder further down, by an option's values and the folders that they stand for.

    Where nothing is chosen: the only one that is there, or `here` where none is (what the user
    named lies below that level already). RealEarError where there are several, or not the chosen.
    """
    inside = subfolders(here)
    there = [value for value, name in folders.items() if name in inside]
    if chosen is None:
        if len(there) > 1:
            raise RealEarError(
                f"{here}: expected one {option}, found {', '.join(there)}: "
                f"choose, as in `{option}: {there[0]}`"
            )
        return here / folders[there[0]] if there else here
    if chosen in there:
        return here / folders[chosen]
    if here.resolve().name == folders[chosen]:
        return here
    raise RealEarError(
        f"expected {folders[chosen]}/ in {here} for `{option}: {chosen}`, found {contents(here)}"
    )
