"""LJ Speech: one woman reading seven books of non-fiction, 24 hours.

Content: 13,100 clips of 1 to 10 s, 23 h 55 min, read by Linda Johnson for LibriVox; 22.05 kHz,
mono, 16 bit; American English. Licence: public domain.

    LJSpeech-1.1/
      metadata.csv            id|text as written|text with numbers and abbreviations spelt out
      wavs/LJ001-0001.wav

The table has no header and no quoting. Key: the id. Speaker: LJ, so that all clips are one cluster
and no interval is given. Text: the normalised one, or the raw one. There are no labels.

    reader: ljspeech
    folder: LJSpeech-1.1
    text: normalised      # or raw

K. Ito, L. Johnson, "The LJ Speech Dataset", 2017.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pipelines.corpora import listing, tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry, Failure

TABLE = "metadata.csv"
COLUMNS = ("id", "raw", "normalised")


class LjSpeech(Corpus):
    """LJ Speech in the layout of its archive."""

    licence: ClassVar[str] = "public domain"
    language: ClassVar[str] = "en-US"

    text: Literal["normalised", "raw"] = "normalised"

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the table, and one a recording that the table does not name."""
        table = listing.required(self.folder, [TABLE], "LJ Speech")
        rows = tables.delimited(table, delimiter="|", quotes=False, columns=COLUMNS)
        yield from listing.described(
            self.folder, table, rows, self._entry, below="wavs", reason="no_transcript"
        )

    def _entry(self, row: Cells) -> Entry:
        key, text = sound_key(row["id"]), row[self.text]
        missing = Failure(key, "prepare", "no_transcript", f"its line gives no {self.text} text")
        return Entry(
            key=key,
            audio=f"wavs/{row['id']}.wav",
            text=text or None,
            speaker="LJ",
            fault=text_fault(key, row["id"], text) or (None if text else missing),
        )
