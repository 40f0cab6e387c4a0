"""What readers of one certain corpus share: the layout that must be there, the parts asked for,
tables that describe the recordings of a folder, and what is wrong in either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pipelines.corpora.base import recordings, sound_key
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure, RealEarError
from pipelines.shards.datasets import printable

Row = tuple[int, Cells | str]  # line number, and cells or the line that is none

SHOWN = 6  # names of a folder that an error message shows


def required(folder: str, names: Sequence[str], corpus: str) -> Path:
    """The first of `names` (files or folders, `/` between) that is there.

    RealEarError where none is, saying what the folder holds instead.
    """
    for name in names:
        if (where := Path(folder, name)).exists():
            return where
    wanted = " or ".join(names)
    raise RealEarError(
        f"expected {wanted} of {corpus} in {folder}, found {contents(folder)}: "
        f"let `folder` name the folder that {wanted} lies in"
    )


def contents(folder: str | Path) -> str:
    """The first names in a folder, in words."""
    names = sorted(printable(path.name) for path in Path(folder).iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "nothing") + more


def chosen(option: str, wanted: Collection[str], there: Collection[str]) -> list[str]:
    """The parts to list, in the order of `there`: those wanted, all of them if none is named.

    RealEarError for one that is not there, naming those that are.
    """
    for name in wanted:
        if name not in there:
            found = ", ".join(there) or "none that is there"
            raise RealEarError(f"{option}: expected one of {found}, found {name!r}")
    return [name for name in there if name in wanted or not wanted]


def distinct(rows: Iterable[Row], column: str) -> list[str]:
    """The different values of a column, numbers in their order."""
    values = {row[column] for _, row in rows if not isinstance(row, str)}
    return sorted(values, key=lambda value: (len(value), value))


def described(
    folder: str,
    table: Path,
    rows: Iterable[Row],
    entry: Callable[[Cells], Entry],
    *,
    wanted: Callable[[Cells], bool] = lambda _: True,
    below: str,
    reason: str = "no_label",
) -> Iterator[Entry]:
    """Entries of a table: one a wanted row, one a bad line, one a recording that no row names.

    `below` is the folder of recordings, relative to the corpus; a recording there that no row names
    fails for `reason`, whatever is wanted, as nothing says which part it is of.
    """
    named = set()
    for number, row in rows:
        if isinstance(row, str):
            yield bad_line(table, number, row)
            continue
        found = entry(row)
        named.add(found.audio)
        if wanted(row):
            yield found
    for path in recordings(str(Path(folder, below))):
        if (place := f"{below}/{path}") not in named:
            key = sound_key(PurePosixPath(path).with_suffix("").as_posix())
            fault = Failure(key, "prepare", reason, f"not in {table.name}")
            yield Entry(key, place, fault=fault)


def bad_line(table: Path, number: int, row: Cells | str) -> Entry:
    """The counted failure of a line that cannot be understood; lines count from 1."""
    key = sound_key(f"{table.stem}-line-{number}")
    shown = row.rstrip("\r\n") if isinstance(row, str) else row
    detail = f"line {number} of {table.name}: {shown!r:.120}"
    return Entry(key=key, audio="", fault=Failure(key, "prepare", "bad_line", detail))


def known(labels: Mapping[str, str | None]) -> dict[str, str]:
    """Labels without those that the corpus leaves empty."""
    return {name: value for name, value in labels.items() if value}


def without_label(key: str, labels: Mapping[str, str], name: str = "class") -> Failure | None:
    """A failure where a clip lacks the label that makes it of use."""
    if labels.get(name):
        return None
    return Failure(key, "prepare", "no_label", f"its line gives no {name}")
