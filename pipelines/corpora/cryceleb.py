"""CryCeleb2023: cries of 786 newborns, for telling babies apart by their voices.

Content: 26,093 expirations, 6.5 h, cut by hand from recordings made in hospitals within the first
hours after birth and again upon discharge; 16 kHz, mono WAV. No language. Licence: CC BY-NC-ND 4.0.

    folder/
      metadata.csv      baby_id,period,duration,split,chronological_index,file_name,…
      audio/train/spk1/B/spk1_B_001.wav         split / baby / B (birth) or D (discharge)

Key: the file's name. Speaker: `baby_id`, so that a baby's two recordings are one cluster; in the
test set the ids are anonymous and do not tell which recordings are of one baby. Labels: `split`
(train: 586 babies, dev: 40, test: 160), `period`, `chronological_index` (of the cry in its
recording). There are no texts. The lists of pairs to verify (dev_pairs.csv, test_pairs.csv) are not
read.

    reader: cryceleb
    folder: CryCeleb2023
    split: [dev]          # by default all

D. Budaghyan, C. C. Onu, A. Gorin, C. Subakan, D. Precup, "CryCeleb: A Speaker Verification Dataset
Based on Infant Cry Sounds", ICASSP, 2024.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from pipelines.corpora import listing, tables
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.tables import Cells
from pipelines.records import Entry

TABLE = "metadata.csv"
LABELS = ("split", "period", "chronological_index")
COLUMNS = ("baby_id", "file_name", *LABELS)


class CryCeleb(Corpus):
    """CryCeleb2023 with its audio unpacked."""

    licence: ClassVar[str] = "CC-BY-NC-ND-4.0"

    split: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a line of the table, and one a recording that the table does not name."""
        table = listing.required(self.folder, [TABLE], "CryCeleb2023")
        rows = list(tables.delimited(table, needs=COLUMNS))
        splits = listing.chosen("split", self.split, listing.distinct(rows, "split"))
        yield from listing.described(
            self.folder,
            table,
            rows,
            _entry,
            wanted=lambda row: row["split"] in splits,
            below="audio",
        )


def _entry(row: Cells) -> Entry:
    key = sound_key(PurePosixPath(row["file_name"]).stem)
    speaker = {"speaker": row["baby_id"]}
    return Entry(
        key=key,
        audio=row["file_name"],
        speaker=row["baby_id"] or None,
        labels=listing.known({name: row[name] for name in LABELS}),
        fault=text_fault(key, *row.values()) or listing.without_label(key, speaker, "speaker"),
    )
