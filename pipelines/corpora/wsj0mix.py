"""WSJ0-2mix and WSJ0-3mix: readers of the Wall Street Journal mixed, two or three at a time.

The benchmark on which single-channel talker separation is compared most: utterances of WSJ0, mixed
by the authors' script at relative levels drawn between 0 and 5 dB. 20,000 mixtures for training
(`tr`, 30 h), 5,000 for validation (`cv`, 8 h; same talkers), 3,000 for testing (`tt`, 5 h; other
talkers), for two talkers and for three. English, 8 kHz and 16 kHz WAV. WSJ0 (LDC93S6A) is licensed
by the Linguistic Data Consortium; the mixtures may not be passed on.

On disk (`min`: cut to the shortest talker, `max`: padded to the longest):

    2speakers/wav8k/min/tt/{mix,s1,s2}/447o030v_0.1232_050c0109_-0.1232.wav
    3speakers/wav8k/min/tt/{mix,s1,s2,s3}/…

A file's name gives each talker's utterance and level in dB. Key: that name (dots make it a name
with a hash). Speaker: the first three characters of each utterance id, joined by `+`. References:
`s1`, `s2` (`s3`). Labels: `split`, `s1_level_db`, `s2_level_db` …

    reader: wsj0mix
    folder: wsj0-mix           # or any folder above or below, down to one that holds mix/
    talkers: 2                 # a choice is needed only where there are several
    rate: 8k
    length: min
    split: [tt]                # default: every split that is there

John R. Hershey, Zhuo Chen, Jonathan Le Roux, Shinji Watanabe: Deep clustering: Discriminative
embeddings for segmentation and separation. ICASSP 2016. Yusuf Isik, Jonathan Le Roux, Zhuo Chen,
Shinji Watanabe, John R. Hershey: Single-Channel Multi-Speaker Separation Using Deep Clustering.
Interspeech 2016 (three talkers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pipelines.corpora.layout import pick
from pipelines.corpora.mixtures import Labels, Mixtures, Signals, Table, entries, source_folders
from pipelines.records import Entry

_UTTERANCE = re.compile(r"([0-9a-z]{3})[0-9a-z]{5}", re.IGNORECASE)
_LEVEL = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


class Wsj0Mix(Mixtures):
    """Mixtures of two or three WSJ0 readers, without noise."""

    licence: ClassVar[str] = "LicenseRef-LDC-User-Agreement"
    kinds: ClassVar[tuple[str, ...]] = ("mix",)
    splits: ClassVar[tuple[str, ...]] = ("tr", "cv", "tt")

    talkers: int | None = Field(None, ge=2, le=10)

    def above(self) -> Path:
        """`2speakers` or `3speakers`, where the user's folder holds them."""
        folders = {str(talkers): f"{talkers}speakers" for talkers in range(2, 11)}
        wanted = None if self.talkers is None else str(self.talkers)
        return pick(Path(self.folder), "talkers", folders, wanted)

    def listed(self) -> Iterator[Entry]:
        """One entry a mixture."""
        kind, parts = self.parts(None)
        for split, part in parts.items():
            signals = Signals(
                mixture=self.below(part / kind),
                sources=tuple(self.below(part / name) for name in source_folders(part)),
            )
            labels = {"split": split} if split else {}
            yield from entries(self.folder, signals, Table(), readers, labels=labels)


def readers(name: str) -> tuple[tuple[str, ...], Labels]:
    """The WSJ0 readers of a mixture's name and their levels; nothing where it has another form."""
    parts = name.split("_")
    utterances = [_UTTERANCE.fullmatch(part) for part in parts[::2]]
    levels = [_LEVEL.fullmatch(part) for part in parts[1::2]]
    if not (all(utterances) and all(levels) and len(utterances) == len(levels)):
        return (), {}
    speakers = tuple(match[1].lower() for match in utterances if match)
    return speakers, {f"s{n}_level_db": match[0] for n, match in enumerate(levels, 1) if match}
