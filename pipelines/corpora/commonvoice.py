"""Common Voice: sentences read by volunteers, one language a folder.

Content: from minutes to thousands of hours a language, in more than a hundred languages; MP3, mono.
Recorded in browsers and on phones, in whatever room. Licence: CC0 1.0 (public domain dedication;
identifying a speaker is forbidden).

    cv-corpus-…/<locale>/          the folder of one language
      clips/common_voice_en_1.mp3
      train.tsv dev.tsv test.tsv validated.tsv other.tsv invalidated.tsv

Tables have tabs between columns and no quoting. Needed columns: client_id, path, sentence; releases
differ in the rest (`accent` became `accents`; `locale`, `variant`, `sentence_id` came later; paths
of the first releases lack `.mp3`). A clip of train, dev or test stands in `validated` as well: it
is listed once, under the first of the tables in the order above. Clips in no table that is listed
are left out. Beware of `invalidated` and `other`, whose texts listeners have refused or not yet
heard.

Key: the clip's name. Speaker: `client_id` as it is (one device or account). Text: `sentence`.
Labels: `split`, and where the volunteer said so `gender`, `age` (a decade), `accent`, and `locale`.

    reader: commonvoice
    folder: cv-corpus-17.0-2024-03-15/en
    split: [test]         # by default every table that is there

R. Ardila, M. Branson, K. Davis, M. Henretty, M. Kohler, J. Meyer, R. Morais, L. Saunders, F. M.
Tyers, G. Weber, "Common Voice: A Massively-Multilingual Speech Corpus", LREC, 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pipelines.corpora import listing, tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry

SPLITS = ("train", "dev", "test", "validated", "other", "invalidated")
COLUMNS = ("client_id", "path", "sentence")


class CommonVoice(Corpus):
    """One language of a Common Voice release; the language is the user's to state."""

    licence: ClassVar[str] = "CC0-1.0"

    split: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a clip of the tables; a clip in several is listed under the first of them."""
        names = [f"{split}.tsv" for split in SPLITS]
        listing.required(self.folder, names, "one language of Common Voice")
        there = [split for split in SPLITS if Path(self.folder, f"{split}.tsv").is_file()]
        listed: set[str] = set()
        for split in listing.chosen("split", self.split, there):
            table = Path(self.folder, f"{split}.tsv")
            here = set()
            for number, row in tables.delimited(table, quotes=False, needs=COLUMNS):
                if isinstance(row, str) or not row["path"]:
                    yield listing.bad_line(table, number, row)
                elif row["path"] not in listed:
                    here.add(row["path"])
                    yield _entry(row, split)
            listed |= here


def _entry(row: Cells, split: str) -> Entry:
    path = PurePosixPath(row["path"])
    key = sound_key(path.stem)
    labels = listing.known(
        {
            "split": split,
            "gender": row.get("gender"),
            "age": row.get("age"),
            "accent": row.get("accents") or row.get("accent"),
            "locale": row.get("locale"),
        }
    )
    return Entry(
        key=key,
        audio=f"clips/{row['path']}" + ("" if path.suffix else ".mp3"),
        text=row["sentence"],
        speaker=row["client_id"] or None,
        labels=labels,
        fault=text_fault(key, *row.values()),
    )
