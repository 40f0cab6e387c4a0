"""Hugging Face datasets on disk: a folder of recordings (`audiofolder`), or Parquet (`parquet`).

    reader: audiofolder              reader: parquet
    folder: /corpora/minds           folder: /corpora/fleurs
    split: [test]                    split: [test]
    text: transcription              files: "data/test-*.parquet"   # default: every .parquet
    speaker: speaker_id              text: sentence
    label: intent                    key: path                      # a column; default: the place

Formats, not corpora: hours, rate, language and licence are those of the recordings.

    train/metadata.csv               data/train-00000-of-00002.parquet
    train/a.wav                          audio: {bytes, path}, sentence, speaker_id, label, …
    test/metadata.jsonl  …               with the features as JSON in the schema's metadata
    or train/dog/a.wav, train/cat/b.wav

AudioFolder: `metadata.csv`, `.jsonl` or `.parquet` in any folder names files relative to itself in
the column `file_name` (or the one that `file_name` names). Without such a file the innermost folder
is the class, if all recordings lie equally deep and there are two classes or more; classes are
numbered in the order of their names. Key: the path without its suffix. Parquet: key is the file and
the row, or the value of the column `key`; the audio stays where it is and is not read.

Text: the column `text`, else `transcription`, else `sentence`, or the one that `text` names.
Speaker: `speaker`, else `speaker_id`. Labels: `class` from the column `label`, with `class_index`
if it holds numbers, which the schema of a Parquet file may name (ClassLabel); every other column of
texts or numbers. Splits: the name before `-00000-of-00002`, else train, validation (valid, dev,
val) or test (eval, evaluation) in the name of a folder, in Parquet also of the file.

Recordings without a line of metadata count as `no_label`, empty cells of the column that `text`
names as `no_transcript`, Parquet files from where they cannot be read on as `unreadable`.

Lhoest, Villanova del Moral, Jernite, Thakur, von Platen, Patil and others: Datasets: A Community
Library for Natural Language Processing. EMNLP 2021, system demonstrations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpora import arrow, jsonlines, listing, tables
from pipelines.corpora.base import Corpus, recordings, sound_key, text_fault
from pipelines.corpora.stretches import Root, outside, refused, stem
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure, InTable, RealEarError, Sound
from pipelines.schema import nearest

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
DEFAULTS = {
    "text": ("text", "transcription", "sentence"),
    "speaker": ("speaker", "speaker_id"),
    "session": (),
    "label": ("label",),
}
SPLITS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation",
    "dev": "validation", "val": "validation", "test": "test", "testing": "test", "eval": "test",
    "evaluation": "test",
}  # fmt: skip
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(-[0-9a-f]+)?")


@dataclass(frozen=True)
class _Columns:
    """Which column says what of a clip; every other is a label."""

    text: str | None = None
    speaker: str | None = None
    session: str | None = None
    label: str | None = None
    classes: tuple[str, ...] = ()  # their names by number
    needs_text: bool = False

    def entry(self, key: str, audio: Sound, cells: Cells, split: str | None) -> Entry:
        """A clip's entry from its row."""
        speaker, session = _word(cells, self.speaker), _word(cells, self.session)
        text = "" if cells.get(self.text or "") == "" else _word(cells, self.text)
        taken = {self.text, self.speaker, self.session, self.label}
        labels = jsonlines.scalars({n: value for n, value in cells.items() if n not in taken})
        labels |= self._class(cells.get(self.label or ""))
        labels |= {"split": split} if split else {}
        fault = text_fault(key, text, speaker, session, *labels, *labels.values())
        if self.needs_text and text is None:
            fault = Failure(key, "prepare", "no_transcript", f"nothing in column {self.text!r}")
        elif self.classes and "class" not in labels and "class_index" in labels:
            number = labels["class_index"]
            detail = f"expected a class below {len(self.classes)}, found {number}"
            fault = Failure(key, "prepare", "bad_line", detail)
        return Entry(
            key=key,
            audio=audio,
            text=text,
            speaker=speaker,
            session=session,
            labels=labels,
            fault=fault,
        )

    def _class(self, value: Any) -> dict[str, str]:
        """Labels of a class, by name or number; -1 and nothing are no class."""
        named = jsonlines.scalars({"class": value})
        number = named.get("class", "")
        if not re.fullmatch(r"[0-9]{1,9}", number):
            return {} if number == "-1" else named
        index = int(number)
        name = {"class": self.classes[index]} if index < len(self.classes) else {}
        return {**name, "class_index": str(index)}


class _Described(Corpus):
    """What both forms share: columns by name, and splits."""

    split: tuple[str, ...] = ()
    text: str | None = None
    speaker: str | None = None
    session: str | None = None
    label: str | None = None

    def _columns(self, there: Sequence[str], where: str) -> _Columns:
        """The columns of a table; RealEarError for a named one that is not there."""
        found: dict[str, str | None] = {}
        for option, usual in DEFAULTS.items():
            named = getattr(self, option)
            if named is not None:
                _need(option, named, there, where)
            found[option] = named or next((name for name in usual if name in there), None)
        return _Columns(**found, needs_text=self.text is not None)  # type: ignore[arg-type]

    def _check_splits(self, splits: Iterable[str | None]) -> None:
        listing.chosen("split", self.split, sorted({name for name in splits if name}))

    def _wanted(self, split: str | None) -> bool:
        return not self.split or split in self.split


class AudioFolder(_Described):
    """A folder of recordings with a table of metadata, or with a folder a class."""

    file_name: str = "file_name"

    def listed(self) -> Iterator[Entry]:
        """One entry a line of metadata, or a recording where there is no metadata."""
        split = {path: _split_of(path.split("/")[:-1]) for path in recordings(self.folder)}
        root = Path(self.folder)
        described = sorted(
            path.relative_to(root).as_posix()
            for path in root.rglob("metadata.*")
            if path.name in METADATA and path.is_file()
        )
        if not split and not described:
            raise RealEarError(
                f"expected recordings or {METADATA[0]} in {self.folder}, "
                f"found {listing.contents(self.folder)}"
            )
        self._check_splits(split.values())
        if not described:
            yield from self._by_folder(split)
            return
        seen: set[str] = set()
        for table in described:
            if self._wanted(found := _split_of(table.split("/")[:-1])) or found is None:
                yield from self._lines(table, seen)
        for path in split:
            if path not in seen and self._wanted(split[path]):
                detail = f"no line of metadata names {path!r:.120}"
                yield refused(sound_key(stem(path)), "no_label", detail)

    def _lines(self, table: str, seen: set[str]) -> Iterator[Entry]:
        """A metadata file's entries; the places that it names are put to those seen."""
        rows = list(_metadata(Path(self.folder, table)))
        there = list(dict.fromkeys(n for _, row in rows if isinstance(row, dict) for n in row))
        if there:
            _need("file_name", self.file_name, there, table)
        columns = self._columns(there, table)
        root, below = Root(self.folder), PurePosixPath(table).parent
        for number, row in rows:
            name = None if isinstance(row, str) else row.get(self.file_name)
            if isinstance(row, str) or not isinstance(name, str) or not name:
                key = sound_key(f"{stem(table)}/line-{number}")
                yield refused(key, "bad_line", f"line {number} of {table}: {row!r:.120}")
                continue
            place = root.place(str(below / name))
            if place is None:
                yield outside(sound_key(stem(name)), name, self.folder)
                continue
            seen.add(place)
            split = _split_of(place.split("/")[:-1])
            if self._wanted(split):
                rest = {column: value for column, value in row.items() if column != self.file_name}
                yield columns.entry(sound_key(stem(place)), place, rest, split)

    def _by_folder(self, split: dict[str, str | None]) -> Iterator[Entry]:
        """Recordings whose folder is their class, if that is how all of them lie."""
        for option in DEFAULTS:
            if getattr(self, option) is not None:
                raise RealEarError(
                    f"{option}: expected a metadata file in {self.folder}, found none"
                )
        folders = {path: _class_folder(path) for path in split}
        names = sorted({name for name in folders.values() if name})
        even = len({path.count("/") for path in split}) == 1 and None not in folders.values()
        number = {name: n for n, name in enumerate(names)} if even and len(names) > 1 else {}
        columns = _Columns(label="label", classes=tuple(number))
        for path in split:
            if self._wanted(split[path]):
                row = {"label": number.get(folders[path] or "")}
                yield columns.entry(sound_key(stem(path)), path, row, split[path])


class Parquet(_Described):
    """Parquet files with a column of audio, as `datasets` writes them."""

    files: str = "**/*.parquet"
    audio: str | None = None
    key: str | None = None

    def listed(self) -> Iterator[Entry]:
        """One entry a row."""
        if self.files.startswith("/") or ".." in PurePosixPath(self.files).parts:
            raise RealEarError(f"files: expected a pattern below `folder`, found {self.files!r}")
        root = Path(self.folder)
        found = sorted(p.relative_to(root).as_posix() for p in root.glob(self.files) if p.is_file())
        if not found:
            raise RealEarError(
                f"expected Parquet files named like {self.files!r} in {self.folder}, "
                f"found {listing.contents(root)}: name them with `files`"
            )
        split = {path: _split_of(stem(path).split("/")) for path in found}
        self._check_splits(split.values())
        for path in found:
            if self._wanted(split[path]):
                yield from self._rows(path, split[path])

    def _rows(self, path: str, split: str | None) -> Iterator[Entry]:
        """A file's entries, and a failure from where on it cannot be read."""
        number = 0
        try:
            with pq.ParquetFile(Path(self.folder, path)) as file:
                audio = self._audio(file.schema_arrow, path)
                names = arrow.plain_columns(file.schema_arrow)
                columns = self._with_classes(names, file.schema_arrow, path)
                for group in range(file.num_row_groups):
                    for row, cells in enumerate(arrow.cells(file, group, names)):
                        place = sound_key(f"{stem(path)}/{number}")
                        sound = InTable(path, audio, group, row)
                        yield self._entry(columns, sound, cells, place, split)
                        number += 1
        except arrow.DAMAGED as error:
            key = sound_key(f"{stem(path)}/from-{number}")
            yield refused(key, "unreadable", f"{path} from row {number} on: {error!s:.200}")

    def _entry(
        self, columns: _Columns, sound: InTable, cells: Cells, place: str, split: str | None
    ) -> Entry:
        if self.key is None:
            return columns.entry(place, sound, cells, split)
        named = _word(cells, self.key)
        if not named:
            detail = f"{sound.path} has nothing in the column {self.key!r} there"
            return refused(place, "bad_line", detail)
        rest = {name: value for name, value in cells.items() if name != self.key}
        return columns.entry(sound_key(named), sound, rest, split)

    def _with_classes(self, names: list[str], schema: pa.Schema, path: str) -> _Columns:
        """The columns that say what, with the names of the classes that the schema gives."""
        if self.key is not None:
            _need("key", self.key, names, path)
        columns = self._columns(names, path)
        classes = arrow.features(schema).get(columns.label or "", {}).get("names")
        if not isinstance(classes, list):
            return columns
        return replace(columns, classes=tuple(str(name) for name in classes))

    def _audio(self, schema: pa.Schema, path: str) -> str:
        """The column of audio: the one that is named, or has that feature, or is called so."""
        known = arrow.features(schema).items()
        heard = [name for name, feature in known if feature.get("_type") == "Audio"]
        name = self.audio or (heard[0] if len(heard) == 1 else "audio")
        if not arrow.holds_bytes(schema, name):
            raise RealEarError(
                f"{path}: expected a column {name!r} of bytes or of {{bytes, path}}, found "
                f"{', '.join(schema.names) or 'no columns'}: name it with `audio`"
            )
        return name


def _need(option: str, column: str, there: Sequence[str], where: str) -> None:
    if column not in there:
        found = ", ".join(there) or "none"
        raise RealEarError(
            f"{option}: expected a column {column!r} in {where}, found {found}: "
            f"{nearest(column, there)}"
        )


def _split_of(names: Sequence[str]) -> str | None:
    """The split that folders, and perhaps a file, are named for; None where none is."""
    if names and (found := _SHARD.fullmatch(names[-1])):
        return found[1]
    for name in names:
        for word in re.split(r"[-._ 0-9]+", name):
            if word in SPLITS:
                return SPLITS[word]
    return None


def _class_folder(path: str) -> str | None:
    """The innermost folder of a recording, unless it is that of a split."""
    parent = PurePosixPath(path).parent.name
    return None if not parent or _split_of([parent]) else parent


def _metadata(where: Path) -> Iterator[tuple[int, Cells | str]]:
    """Rows of a metadata file of any of its three forms."""
    if where.suffix == ".csv":
        return tables.delimited(where)
    return jsonlines.rows(where) if where.suffix == ".jsonl" else arrow.rows(where)


def _word(cells: Cells, column: str | None) -> str | None:
    return jsonlines.scalars({"": cells.get(column)}).get("") if column else None
