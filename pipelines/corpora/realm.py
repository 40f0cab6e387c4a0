"""REAL-M: two people read aloud at the same time in real rooms; there are no reference signals.

Crowd-sourced: pairs of people read two given sentences together into their own phones and laptops,
in many acoustic surroundings and accents. 1,436 mixtures, English, 8 kHz WAV (converted from what
the contributors sent). Three early collections were paid crowd work, the others came in online, a
collection a session. The release names no licence that this reader knows of.

On disk (version 0.1.0):

    REAL-M-v0.1.0/audio_files_converted_8000Hz/BcArV/mixture_0_BcArV.wav
    REAL-M-v0.1.0/audio_files_converted_8000Hz/early_collection1/….wav
    REAL-M-v0.1.0/transcriptions/BcArV.csv               index, sentence1, sentence2, filename
    REAL-M-v0.1.0/transcriptions/early_collection1.csv   sentence1, sentence2, WorkerId, filename
    REAL-M-v0.1.0/separations/                           signals of a model: not read

Key: collection and file name. Session: the collection, or the worker in the early ones; the people
are not named. Labels: `split` (early or online), `text_1` and `text_2`, the two sentences; which of
two separated signals says which is for a metric to find out. No text: no single person says it all.

    reader: realm
    folder: REAL-M-v0.1.0      # or the folder that it lies in
    split: [online]            # default: both

Cem Subakan, Mirco Ravanelli, Samuele Cornell, François Grondin: REAL-M: Towards Speech Separation
on Real Mixtures. ICASSP 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pipelines.corpora import tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.layout import sounds_in, subfolders
from pipelines.corpora.listing import bad_line, chosen, required
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure

_AUDIO, _TEXTS = "audio_files_converted_8000Hz", "transcriptions"
_COLUMNS = ("sentence1", "sentence2", "filename")


class RealM(Corpus):
    """Mixtures by collection, with the sentences of both people."""

    language: ClassVar[str] = "en"

    split: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a recording; a line of a table without its recording is one, too."""
        audio = required(self.folder, (_AUDIO, f"REAL-M-v0.1.0/{_AUDIO}"), "REAL-M")
        texts = audio.parent / _TEXTS
        collections = set(subfolders(audio)) | {table.stem for table in texts.glob("*.csv")}
        by_split: dict[str, list[str]] = {}
        for collection in sorted(collections):
            by_split.setdefault(_split(collection), []).append(collection)
        for split in chosen("split", self.split, by_split):
            for collection in by_split[split]:
                table = texts / f"{collection}.csv" if texts.is_dir() else None
                yield from self._collection(audio / collection, table)

    def _collection(self, place: Path, table: Path | None) -> Iterator[Entry]:
        """Every recording of a collection, in the order of its table, then what has no line."""
        folder = place.relative_to(self.folder).as_posix()
        files = {PurePosixPath(file).stem: file for file in sounds_in(place)}
        said = set()
        if table is not None and table.is_file():
            for number, row in tables.delimited(table, needs=_COLUMNS):
                stem = "" if isinstance(row, str) else PurePosixPath(row["filename"].strip()).stem
                if isinstance(row, str) or not stem:
                    yield bad_line(table, number, row)
                    continue
                said.add(stem)  # tables of the early collections name MP3 files
                yield _entry(f"{folder}/{files.get(stem, stem + '.wav')}", row, table)
        for stem in sorted(files.keys() - said):
            yield _entry(f"{folder}/{files[stem]}", None, table)


def _split(collection: str) -> str:
    return "early" if collection.startswith("early_collection") else "online"


def _entry(path: str, row: Cells | None, table: Path | None) -> Entry:
    """One recording, with its line of the table if it has one."""
    place = PurePosixPath(path)
    collection = place.parent.name
    key = sound_key(f"{collection}/{place.stem}")
    labels = {"split": _split(collection)}
    session, fault = collection, None
    if row is not None:
        texts = row["sentence1"].strip(), row["sentence2"].strip()
        labels |= {f"text_{number}": text for number, text in enumerate(texts, 1)}
        session = row.get("WorkerId", "").strip() or collection
        if not all(texts):
            fault = Failure(key, "prepare", "no_transcript", "a sentence is empty")
    elif table is not None:
        fault = Failure(key, "prepare", "no_transcript", f"no line for {path} in {table.name}")
    fault = fault or text_fault(key, path, session, *labels.values())
    return Entry(key, path, session=session, labels=labels, fault=fault)
