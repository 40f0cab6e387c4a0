"""Free Spoken Digit Dataset: the digits zero to nine, spoken in English by a few speakers.

Content: 3,000 recordings by 6 speakers (50 of each digit a speaker), about half a second each,
8 kHz, mono, silence trimmed. The corpus grows: earlier versions have fewer speakers. Licence:
CC BY-SA 4.0.

    folder/
      recordings/7_jackson_32.wav     {digit}_{speaker}_{take}.wav; or straight in the folder

Key: the file's name. Speaker: the name in the file's name. Text: the digit's word. Labels: `class`
(the word), `class_index` (the digit), `split` (by the corpus's own rule, takes 0 to 4 are the test
set), `take`; `gender` and `accent` of the speakers that the corpus describes.

    reader: free-spoken-digits
    folder: free-spoken-digit-dataset
    split: [test]         # by default all

Z. Jackson, C. Souza, J. Flaks, Y. Pan, H. Nicolas, A. Thite, "Free Spoken Digit Dataset", Zenodo,
2018.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pipelines.corpora import listing
from pipelines.corpora.base import Corpus, recordings, sound_key, text_fault
from pipelines.records import Entry, Failure, RealEarError

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = {
    "george": "GRC/Greek",
    "jackson": "USA/neutral",
    "nicolas": "BEL/French",
    "theo": "USA/neutral",
    "yweweler": "DEU/German",
}  # of the men that the corpus's metadata describes
TEST_TAKES = 5  # takes below this are the official test set
SPLITS = ("train", "test")
_NAME = re.compile(r"(\d)_(.+)_([0-9]+)")


class FreeSpokenDigits(Corpus):
    """The digits, in the layout of the repository or in one folder."""

    licence: ClassVar[str] = "CC-BY-SA-4.0"
    language: ClassVar[str] = "en"

    split: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry a recording; one whose name says no digit is a counted failure."""
        below = "recordings/" if Path(self.folder, "recordings").is_dir() else ""
        paths = [f"{below}{path}" for path in recordings(str(Path(self.folder, below)))]
        if not any(_NAME.fullmatch(PurePosixPath(path).stem) for path in paths):
            raise RealEarError(
                f"expected recordings named like 7_jackson_32.wav in {self.folder} or in its "
                f"folder recordings, found {listing.contents(self.folder)}: let `folder` name "
                "the corpus's folder"
            )
        splits = listing.chosen("split", self.split, SPLITS)
        for path in paths:
            entry = _entry(path)
            if not entry.labels or entry.labels["split"] in splits:
                yield entry


def _entry(path: str) -> Entry:
    stem = PurePosixPath(path).stem
    key = sound_key(stem)
    found = _NAME.fullmatch(stem)
    if found is None:
        detail = "the name is not digit_speaker_take"
        return Entry(key, path, fault=Failure(key, "prepare", "no_label", detail))
    digit, speaker, take = found.groups()
    accent = ACCENTS.get(speaker)
    labels = {
        "class": WORDS[int(digit)],
        "class_index": digit,
        "split": "test" if int(take) < TEST_TAKES else "train",
        "take": take,
        "gender": "male" if accent else None,
        "accent": accent,
    }
    return Entry(
        key=key,
        audio=path,
        text=WORDS[int(digit)],
        speaker=speaker,
        labels=listing.known(labels),
        fault=text_fault(key, path),
    )
