"""LibriSpeech: read English audiobooks with transcripts.

Volunteers of LibriVox read public-domain books; chapters were aligned with the books' texts and cut
at silences into utterances of up to 35 s. About 1,000 hours, 292,367 utterances, 2,484 readers, in
16 kHz FLAC, mono, American English mostly. Licence CC BY 4.0.

| split | hours | readers |
| --- | --- | --- |
| train-clean-100, train-clean-360, train-other-500 | 100.6, 363.6, 496.7 | 251, 921, 1,166 |
| dev-clean, dev-other | 5.4, 5.3 | 40, 33 |
| test-clean, test-other | 5.4, 5.1 | 40, 33 |

On disk:

    LibriSpeech/SPEAKERS.TXT                            reader | sex | split | minutes | name
    LibriSpeech/test-clean/1089/134686/1089-134686-0000.flac
    LibriSpeech/test-clean/1089/134686/1089-134686.trans.txt   a line an utterance: id and words

Key: the utterance id (reader-chapter-number). Speaker: the reader's number. Text: upper case
without punctuation, as the corpus has it. Labels: `split`, `chapter`, and `gender` (F or M) where
SPEAKERS.TXT is there. No session: one reader's chapters are one cluster.

    reader: librispeech
    folder: LibriSpeech        # or the folder that it lies in, or that of a single split
    split: [test-clean]        # default: every split that is there

Mini LibriSpeech (dev-clean-2, train-clean-5) has the same layout and is read alike.

Vassil Panayotov, Guoguo Chen, Daniel Povey, Sanjeev Khudanpur: LibriSpeech: an ASR corpus based on
public domain audio books. ICASSP 2015.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pipelines.corpora.base import Corpus, lines, sound_key, text_fault
from pipelines.corpora.layout import sounds, stem, subfolders
from pipelines.corpora.listing import bad_line, chosen, contents
from pipelines.records import Entry, Failure, RealEarError

_SPLIT = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
_UTTERANCE = re.compile(r"(\d+)-(\d+)-\d+")
_TRANSCRIPTS = ".trans.txt"


class LibriSpeech(Corpus):
    """Splits as folders of readers, those of chapters, each with its utterances and their texts."""

    licence: ClassVar[str] = "CC-BY-4.0"
    language: ClassVar[str] = "en"

    split: tuple[str, ...] = ()

    def listed(self) -> Iterator[Entry]:
        """One entry an utterance; a transcript without its recording is one, too."""
        root, splits = self._splits()
        genders: dict[str, str] = {}
        speakers = root / "SPEAKERS.TXT"
        for number, line in _lines(speakers):
            reader, gender = (field.strip() for field in (line + "|").split("|")[:2])
            if reader.isdecimal() and gender in {"F", "M"}:
                genders[reader] = gender
            elif not line.startswith(";"):
                yield bad_line(speakers, number, line)
        for split in chosen("split", self.split, splits):
            for place, inside, files in os.walk(splits[split]):
                inside.sort()
                yield from self._chapter(Path(place), sorted(files), split, genders)

    def _splits(self) -> tuple[Path, dict[str, Path]]:
        """The folder of SPEAKERS.TXT, and the folders of the splits by name."""
        here = Path(self.folder)
        for root in (here, here / "LibriSpeech"):
            splits = {name: root / name for name in subfolders(root) if _SPLIT.fullmatch(name)}
            if splits:
                return root, splits
        inside = subfolders(here)
        if inside and all(name.isdecimal() for name in inside):  # readers: the folder of a split
            return here, {here.resolve().name: here}
        raise RealEarError(
            f"expected splits such as test-clean/ in {self.folder}, found {contents(here)}: "
            "give the folder LibriSpeech that the archives unpack into"
        )

    def _chapter(
        self, place: Path, files: list[str], split: str, genders: dict[str, str]
    ) -> Iterator[Entry]:
        """Every utterance of a chapter that has a recording, a transcript or both."""
        texts: dict[str, str] = {}
        for table in (file for file in files if file.endswith(_TRANSCRIPTS)):
            for number, line in _lines(place / table):
                name, _, words = line.strip().partition(" ")
                if _UTTERANCE.fullmatch(name):
                    texts[name] = words.strip()
                else:
                    yield bad_line(place / table, number, line)
        heard = sounds(files)
        unheard = texts.keys() - {stem(file) for file in heard}
        folder = place.relative_to(self.folder).as_posix()
        for file in [*heard, *(f"{name}.flac" for name in sorted(unheard))]:
            yield _entry(folder, file, split, texts, genders)


def _lines(where: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that hold anything, by number; none where there is no file."""
    if where.is_file():
        yield from ((n, line) for n, line in enumerate(lines(where), 1) if line.strip())


def _entry(
    folder: str, file: str, split: str, texts: dict[str, str], genders: dict[str, str]
) -> Entry:
    name = stem(file)
    key, text, speaker = sound_key(name), texts.get(name) or None, None
    labels = {"split": split}
    if parts := _UTTERANCE.fullmatch(name):
        speaker, labels["chapter"] = parts.groups()
        if speaker in genders:
            labels["gender"] = genders[speaker]
    fault = text_fault(key, file, text)
    if text is None:
        fault = Failure(key, "prepare", "no_transcript", f"no words for {file} in {folder}")
    path = f"{folder}/{file}"
    return Entry(key, path, text=text, speaker=speaker, labels=labels, fault=fault)
