"""NTCD-TIMIT: the sentences of TCD-TIMIT in six noises at several levels.

Content: volunteers with an Irish accent, 98 TIMIT sentences each, recorded in a studio, and every
one again in six noises at a range of signal-to-noise ratios; 16 kHz, mono. (The corpus's visual
features are not read.) Licence: CC BY-NC 4.0.

    folder/
      Babble/-5/volunteers/01M/straightcam/sa1.wav    noise, SNR in dB, speaker, sentence
      Clean/volunteers/01M/straightcam/sa1.wav        the same without noise
      matlab_raw/train/…/01M/…                        which speakers are train, dev and test

The noises are Babble, Cafe, Car, LR (a living room), Street and White.

Key: speaker, sentence, noise and SNR. Speaker: 01M and so on; the letter is the gender. Clean
target: the same file below `Clean`, where that folder is there. Labels: `noise`, `snr_db`,
`gender`, `sentence`, and `split` (from `matlab_raw`, where it is there; the nine speakers of the
test set are known without it). Text: the corpus brings phones, no words; name TIMIT's own list of
sentences, PROMPTS.TXT, as `prompts` (relative to the folder) to have them.

    reader: ntcd-timit
    folder: NTCD-TIMIT
    noise: [Babble]       # by default every noise that is there; Clean lists the clean ones
    snr_db: [-5, 0]       # by default all; clean recordings have none
    split: [test]         # by default all
    prompts: PROMPTS.TXT

A. H. Abdelaziz, "NTCD-TIMIT: A New Database and Baseline for Noise-Robust Audio-Visual Speech
Recognition", Interspeech, 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipelines.corpora import listing
from pipelines.corpora.base import Corpus, recordings, sound_key, text_fault
from pipelines.corpora.tables import table_lines
from pipelines.records import Entry, Failure, RealEarError

CLEAN = "Clean"
SPLITS = ("train", "dev", "test")
TEST = ("09F", "24M", "26M", "27M", "33F", "40F", "47M", "49F", "56M")
_LEVEL = re.compile(r"-?\d+")  # dB
_PATH = re.compile(r"(?:(-?\d+)/)?(.*/([^/]+)/[^/]+/([^/]+)\.wav)")
_SPEAKER = re.compile(r"\d+([FM])")
_PROMPT = re.compile(r"(.+)\((\w+)\)")


@dataclass(frozen=True)
class _Known:
    """What the corpus knows beyond its file names."""

    splits: Mapping[str, str]  # speaker to split
    prompts: Mapping[str, str] | None  # sentence, in lower case, to words
    clean: bool  # whether the clean recordings are there


class NtcdTimit(Corpus):
    """The audio of NTCD-TIMIT."""

    licence: ClassVar[str] = "CC-BY-NC-4.0"
    language: ClassVar[str] = "en-IE"

    noise: tuple[str, ...] = ()
    snr_db: tuple[int, ...] = ()
    split: tuple[str, ...] = ()
    prompts: str = ""

    def listed(self) -> Iterator[Entry]:
        """One entry a noisy recording (or clean one, if asked for)."""
        known = _Known(
            _splits(Path(self.folder, "matlab_raw")),
            _prompts(Path(self.folder, self.prompts)) if self.prompts else None,
            Path(self.folder, CLEAN).is_dir(),
        )
        there = [split for split in SPLITS if split in known.splits.values()]
        splits = listing.chosen("split", self.split, there)
        for noise in self._noises():
            for path in recordings(str(Path(self.folder, noise))):
                entry = _entry(noise, path, known)
                if not entry.labels or self._asked(entry, splits):
                    yield entry

    def _asked(self, entry: Entry, splits: Sequence[str]) -> bool:
        """Whether a clip is of the splits and levels asked for; clean ones have no level."""
        level = entry.labels.get("snr_db")
        loud = level is None or not self.snr_db or int(level) in self.snr_db
        return loud and (not self.split or entry.labels.get("split") in splits)

    def _noises(self) -> list[str]:
        """Folders to list: of the noises asked for, or of every noise."""
        levels = {
            path.name: [level.name for level in path.iterdir() if _LEVEL.fullmatch(level.name)]
            for path in sorted(Path(self.folder).iterdir())
            if path.is_dir()
        }
        noises = [name for name, found in levels.items() if found]
        if not noises:
            raise RealEarError(
                f"expected folders of noise like Babble/-5 in {self.folder}, found "
                f"{listing.contents(self.folder)}: unpack the corpus's noises side by side"
            )
        there = sorted({level for name in noises for level in levels[name]}, key=int)
        listing.chosen("snr_db", [str(level) for level in self.snr_db], there)
        if not self.noise:
            return noises
        return listing.chosen("noise", self.noise, [*noises, *({CLEAN} & levels.keys())])


def _splits(folder: Path) -> dict[str, str]:
    """Split by speaker, from the folders of features; the test set is known without them."""
    splits = dict.fromkeys(TEST, "test")
    for split in SPLITS:
        for path in Path(folder, split).rglob("*"):
            if _SPEAKER.fullmatch(path.name):
                splits[path.name] = split
    return splits


def _prompts(path: Path) -> dict[str, str]:
    """Words by sentence, from lines of the form `words (sentence)`; comments begin with `;`."""
    prompts = {}
    for line in table_lines(path):
        found = _PROMPT.fullmatch(line.strip())
        if found and not line.startswith(";"):
            prompts[found[2].lower()] = found[1].strip()
    return prompts


def _entry(noise: str, path: str, known: _Known) -> Entry:
    place = f"{noise}/{path}"
    found = _PATH.fullmatch(path)
    if found is None or (found[1] is None) != (noise == CLEAN):
        key = sound_key(place.rpartition(".")[0])
        detail = "the path is not noise/SNR/…/speaker/…/sentence.wav"
        return Entry(key, place, fault=Failure(key, "prepare", "no_label", detail))
    level, rest, speaker, sentence = found.groups()
    gender = _SPEAKER.fullmatch(speaker)
    labels = {
        "noise": noise,
        "snr_db": level,
        "gender": gender[1] if gender else None,
        "sentence": sentence,
        "split": known.splits.get(speaker),
    }
    key = sound_key("_".join(filter(None, (speaker, sentence, noise, level))))
    text = None if known.prompts is None else known.prompts.get(sentence.lower())
    fault = text_fault(key, place, text)
    if known.prompts is not None and text is None:
        fault = Failure(key, "prepare", "no_transcript", f"the prompts have no {sentence}")
    return Entry(
        key=key,
        audio=place,
        clean=f"{CLEAN}/{rest}" if known.clean and noise != CLEAN else None,
        text=text,
        speaker=speaker,
        labels=listing.known(labels),
        fault=fault,
    )
