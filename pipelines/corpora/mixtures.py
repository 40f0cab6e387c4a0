"""What corpora of mixtures share: one file name in folders side by side, a folder a signal.

    wav8k/min/tt/{mix_both,mix_clean,mix_single,s1,s2,noise}/<name>.wav

No reader itself: LibriMix, SparseLibriMix, WSJ0-mix, WHAM! and WHAMR! are built on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pipelines.corpora import tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.layout import pick, sounds_in, stem, subfolders
from pipelines.corpora.listing import bad_line, chosen, contents
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure, RealEarError

Labels = dict[str, str]
Describe = Callable[[str], tuple[tuple[str, ...], Labels]]  # a name's speakers, and its labels

RATES = {"8k": "wav8k", "16k": "wav16k"}
LENGTHS = {"min": "min", "max": "max"}


@dataclass(frozen=True)
class Signals:
    """Folders, relative to the corpus, that hold a mixture's signals under one file name."""

    mixture: str
    sources: tuple[str, ...] = ()
    clean: str | None = None
    noise: str | None = None


@dataclass
class Table:
    """Labels by mixture, gathered from the tables of a corpus; `bad`: lines without sense."""

    labels: dict[str, Labels] = field(default_factory=dict)
    bad: list[Entry] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def add(self, where: Path, key: str, understand: Callable[[Cells], Labels]) -> None:
        """Read a table whose column `key` names the mixture; nothing where there is no file.

        `understand` gives a line's labels; ValueError or KeyError makes it a bad line.
        """
        if not where.is_file():
            return
        self.files.append(where.name)
        for number, row in tables.delimited(where, needs=(key,)):
            try:
                if isinstance(row, str):
                    raise ValueError("not as many cells as columns")
                name = str(row[key]).removesuffix(".wav")
                if not name or "/" in name:
                    raise ValueError("not the name of a mixture")
                found = understand(row)
            except (ValueError, KeyError):
                self.bad.append(bad_line(where, number, row))
            else:
                self.labels.setdefault(name, {}).update(found)


def decimal(value: object) -> str:
    """A number of a table with four digits; ValueError where it is none."""
    return f"{float(str(value)):.4g}"


def entries(
    root: str,
    signals: Signals,
    table: Table,
    describe: Describe,
    *,
    labels: Mapping[str, str],
    prefix: str = "",
) -> Iterator[Entry]:
    """A mixture an entry: every name that stands in any of the folders or in the table.

    What is in one place only becomes an entry all the same: prepare counts the file that is not
    there. `prefix` goes before the name in the key; `labels` are those of all mixtures. Where no
    sources are named, only the first talker is heard.
    """
    folders = [signals.mixture, *signals.sources, signals.clean, signals.noise]
    files = {name for folder in folders if folder for name in sounds_in(Path(root, folder))}
    stems = {stem(name) for name in files}
    files |= {f"{name}.wav" for name in table.labels.keys() - stems}
    yield from table.bad
    for file in sorted(files):
        name = stem(file)
        key = sound_key(prefix + name)
        speakers, own = describe(name)
        own = {**labels, **own, **table.labels.get(name, {})}
        fault = text_fault(key, file, *own.values())
        if signals.sources and speakers and len(speakers) != len(signals.sources):
            detail = f"{len(speakers)} talkers, {len(signals.sources)} folders of sources"
            fault = Failure(key, "prepare", "missing_file", detail)
        elif table.files and name not in table.labels:
            fault = Failure(key, "prepare", "no_label", f"no line in {', '.join(table.files)}")
        yield Entry(
            key=key,
            audio=f"{signals.mixture}/{file}",
            sources=tuple(f"{folder}/{file}" for folder in signals.sources),
            clean=f"{signals.clean}/{file}" if signals.clean else None,
            noise=f"{signals.noise}/{file}" if signals.noise else None,
            speaker="+".join(sorted(speakers if signals.sources else speakers[:1])) or None,
            labels=own,
            fault=fault,
        )


class Mixtures(Corpus):
    """A corpus of `wav8k/min/<split>/<signal>/` folders; `folder` may be any level of these.

    Where a level offers a choice (two rates, two lengths, several kinds of mixture), it has to be
    made: the same mixtures in two versions are not two corpora.
    """

    language: ClassVar[str] = "en"
    kinds: ClassVar[tuple[str, ...]]  # folders that hold mixtures
    splits: ClassVar[tuple[str, ...]]  # their usual names, in order

    rate: Literal["8k", "16k"] | None = None
    length: Literal["min", "max"] | None = None  # cut to the shortest talker, or padded
    split: tuple[str, ...] = ()

    def place(self) -> Path:
        """The folder that holds the splits, or is one."""
        rated = pick(self.above(), "rate", RATES, self.rate)
        return pick(rated, "length", LENGTHS, self.length)

    def above(self) -> Path:
        """The folder that holds the rates: the user's, unless a corpus has a level above them."""
        return Path(self.folder)

    def parts(self, kind: str | None) -> tuple[str, dict[str, Path]]:
        """The kind of mixture, and the folders of the wanted splits that hold it, by name.

        A folder that holds mixtures itself is a split, a nameless one where its name is not usual.
        """
        place = self.place()
        name = place.resolve().name
        here = {name if name in self.splits else "": place}
        below = {split: place / split for split in subfolders(place)}
        kind, there = of_kind(here | below, self.kinds, kind, place)
        return kind, {name: there[name] for name in chosen("split", self.split, there)}

    def below(self, where: Path) -> str:
        """A folder's path relative to the corpus, `/` between."""
        return where.relative_to(self.folder).as_posix()


def of_kind(
    parts: Mapping[str, Path], kinds: Sequence[str], wanted: str | None, where: Path
) -> tuple[str, dict[str, Path]]:
    """The kind of mixture that is wanted, or the only one that is there, and the parts with it.

    RealEarError where there is a choice and nothing is wanted, or where there is none.
    """
    holding = {name: [k for k in kinds if (part / k).is_dir()] for name, part in parts.items()}
    there = [kind for kind in kinds if any(kind in found for found in holding.values())]
    if wanted is None and len(there) > 1:
        raise RealEarError(
            f"{where}: expected one kind of mixture, found {', '.join(there)}: "
            f"choose, as in `mixture: {there[0]}`"
        )
    if wanted not in there and (wanted or not there):
        names = f"{wanted}/" if wanted else " or ".join(f"{kind}/" for kind in kinds)
        raise RealEarError(
            f"expected {names} in {where} or in a split's folder below it, found "
            f"{', '.join(there) or contents(where)}: let `folder` name the folder of the mixtures"
        )
    kind = wanted or there[0]
    return kind, {name: parts[name] for name, found in holding.items() if kind in found}


def source_folders(part: Path) -> list[str]:
    """`s1`, `s2`, … that lie beside the mixtures; RealEarError where there are fewer than two."""
    found = {name for name in subfolders(part) if re.fullmatch(r"s\d+", name)}
    if len(found) < 2:
        raise RealEarError(
            f"expected the talkers' folders s1/, s2/ in {part}, found {contents(part)}: "
            "unpack them beside the mixtures"
        )
    return sorted(found, key=lambda name: int(name[1:]))


def refuse_without(option: str, folder: Path, *names: str) -> None:
    """RealEarError where a folder of tables that the user named holds none of these."""
    if not any((folder / name).is_file() for name in names):
        found = contents(folder) if folder.is_dir() else "no folder"
        raise RealEarError(f"{option}: expected {' or '.join(names)} in {folder}, found {found}")
