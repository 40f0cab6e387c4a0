"""ESC-50: 2,000 environmental sounds of 50 classes, five seconds each.

Content: 2 h 47 min in 2,000 clips of 5 s, 40 a class, cut from recordings that people uploaded to
Freesound; 44.1 kHz, mono, 16 bit. No speech language. Five folds that keep clips of one source
recording together. Licence: CC BY-NC 3.0 (the subset ESC-10 of ten classes: CC BY 3.0).

    folder/
      meta/esc50.csv            filename,fold,target,category,esc10,src_file,take
      audio/1-100032-A-0.wav    fold-source-take-class

Key: the file's name. Session: the source recording on Freesound (`src_file`), since clips of one
recording are not independent. Labels: `class` (category), `class_index` (target, 0 to 49), `fold`.
There are no speakers and no texts.

    reader: esc50
    folder: ESC-50-master
    fold: [5]         # by default all
    esc10: true       # only the ten classes of ESC-10; they keep their numbers of ESC-50

K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia, 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pipelines.corpora import listing, tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry

TABLE = "meta/esc50.csv"
COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")


class Esc50(Corpus):
    """ESC-50 in the layout of its repository."""

    licence: ClassVar[str] = "CC-BY-NC-3.0"

    fold: tuple[int, ...] = ()
    esc10: bool = False

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the table, and one a recording that the table does not name."""
        table = listing.required(self.folder, [TABLE], "ESC-50")
        rows = list(tables.delimited(table, needs=COLUMNS))
        wanted = [str(fold) for fold in self.fold]
        folds = listing.chosen("fold", wanted, listing.distinct(rows, "fold"))

        def asked(row: Cells) -> bool:
            return row["fold"] in folds and (row["esc10"] == "True" or not self.esc10)

        yield from listing.described(self.folder, table, rows, _entry, wanted=asked, below="audio")


def _entry(row: Cells) -> Entry:
    key = sound_key(PurePosixPath(row["filename"]).stem)
    labels = listing.known(
        {"class": row["category"], "class_index": row["target"], "fold": row["fold"]}
    )
    return Entry(
        key=key,
        audio=f"audio/{row['filename']}",
        session=row["src_file"] or None,
        labels=labels,
        fault=text_fault(key, *row.values()) or listing.without_label(key, labels),
    )
