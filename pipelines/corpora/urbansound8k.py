"""UrbanSound8K: 8,732 sounds of ten classes of city noise, up to four seconds each.

Content: 8 h 45 min in 8,732 clips of at most 4 s, cut from field recordings that people uploaded to
Freesound. Rate, bit depth and channels are those of each upload, so they differ from clip to clip:
give the dataset a `sample_rate`. No speech language. Ten folds, to be used as they are: clips of
one recording lie in one fold. Licence: CC BY-NC 3.0.

    folder/
      metadata/UrbanSound8K.csv         slice_file_name,fsID,start,end,salience,fold,classID,class
      audio/fold1/101415-3-0-2.wav      recording-class-occurrence-slice

Key: the file's name. Session: the recording on Freesound (`fsID`), since slices of one recording
are not independent. Labels: `class`, `class_index` (classID, 0 to 9), `fold`, `salience` (1: in the
foreground, 2: in the background). There are no speakers and no texts.

    reader: urbansound8k
    folder: UrbanSound8K
    fold: [10]        # by default all

J. Salamon, C. Jacoby, J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", ACM
Multimedia, 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pipelines.corpora import listing, tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry

TABLE = "metadata/UrbanSound8K.csv"
COLUMNS = ("slice_file_name", "fsID", "salience", "fold", "classID", "class")


class UrbanSound8K(Corpus):
    """UrbanSound8K in the layout of its archive."""

    licence: ClassVar[str] = "CC-BY-NC-3.0"

    fold: tuple[int, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the table, and one a recording that the table does not name."""
        table = listing.required(self.folder, [TABLE], "UrbanSound8K")
        rows = list(tables.delimited(table, needs=COLUMNS))
        wanted = [str(fold) for fold in self.fold]
        folds = listing.chosen("fold", wanted, listing.distinct(rows, "fold"))
        yield from listing.described(
            self.folder,
            table,
            rows,
            _entry,
            wanted=lambda row: row["fold"] in folds,
            below="audio",
        )


def _entry(row: Cells) -> Entry:
    key = sound_key(PurePosixPath(row["slice_file_name"]).stem)
    labels = listing.known(
        {
            "class": row["class"],
            "class_index": row["classID"],
            "fold": row["fold"],
            "salience": row["salience"],
        }
    )
    return Entry(
        key=key,
        audio=f"audio/fold{row['fold']}/{row['slice_file_name']}",
        session=row["fsID"] or None,
        labels=labels,
        fault=text_fault(key, *row.values()) or listing.without_label(key, labels),
    )
