"""VoiceBank-DEMAND: clean and noisy speech in pairs, for speech enhancement.

Sentences of the Voice Bank corpus with noise of DEMAND and two artificial kinds added: the
benchmark on which enhancement is compared most. 48 kHz WAV, English, CC BY 4.0.

| split | clips | talkers | noise |
| --- | --- | --- | --- |
| trainset_28spk | 11,572 (9.4 h) | 28, from England | 10 kinds at 0, 5, 10, 15 dB |
| trainset_56spk | 23,075 | 56, from Scotland and the United States | the same |
| testset | 824 (0.6 h) | p232 and p257 | 5 other kinds at 2.5, 7.5, 12.5, 17.5 dB |

On disk:

    clean_testset_wav/p232_001.wav      also clean_trainset_28spk_wav …, and _16k after it
    noisy_testset_wav/p232_001.wav
    testset_txt/p232_001.txt            what is said
    log_testset.txt                     file name, noise, SNR in dB; also below logfiles/

`train/{clean,noisy}/` and `test/{clean,noisy}/`, and plain `clean/` and `noisy/`, are read as well.

Key: the file's name. Speaker: what stands before its `_`. References: the clean recording. Text and
the labels `noise` and `snr_db` where the folder of texts and the log are there. Label `split`.

    reader: voicebank-demand
    folder: voicebank-demand
    split: [testset]           # default: every split that is there
    transcripts: false         # default true: a clip without its text is a failure

Cassia Valentini-Botinhao, Xin Wang, Shinji Takaki, Junichi Yamagishi: Investigating RNN-based
speech enhancement methods for noise-robust Text-to-Speech. SSW 2016. Cassia Valentini-Botinhao:
Noisy speech database for training speech enhancement algorithms and TTS models. University of
Edinburgh, 2017.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pipelines.corpora.base import Corpus, lines, sound_key, text_fault
from pipelines.corpora.layout import sounds_in, stem, subfolders
from pipelines.corpora.listing import bad_line, chosen, contents
from pipelines.records import Entry, Failure, RealEarError

_FOLDER = re.compile(r"(clean|noisy)_((?:train|test)set(?:_\d+spk)?)(?:_wav)?(_16k(?:hz)?)?", re.I)
_CLIP = re.compile(r"([a-z]\d+)_\w+", re.I)
_LEVEL = re.compile(r"-?\d+(\.\d+)?")


@dataclass
class _Split:
    """A split's folders, relative to the corpus, and what lies beside them, by clip."""

    title: str  # as its texts and its log call it; empty where the folders have other names
    sides: dict[str, str] = field(default_factory=dict)  # folders of `clean` and `noisy`
    texts: dict[str, Path] | None = None
    log: dict[str, tuple[str, str]] | None = None  # noise and SNR


class VoiceBankDemand(Corpus):
    """Pairs of a noisy and a clean recording: one name in two folders."""

    licence: ClassVar[str] = "CC-BY-4.0"
    language: ClassVar[str] = "en"

    split: tuple[str, ...] = ()
    transcripts: bool = True

    def listed(self) -> Iterator[Entry]:
        """One entry a pair; a recording, text or line of a log without its pair is one, too."""
        splits = self._splits()
        names = chosen("split", self.split, splits)
        titles = [splits[name].title for name in names]
        if twice := [name for name in names if titles.count(splits[name].title) > 1]:
            raise RealEarError(
                f"split: expected one version of each, found {' and '.join(twice)} in "
                f"{self.folder}: choose, as in `split: [{twice[0]}]`"
            )
        for name in names:
            yield from self._clips(name, splits[name])

    def _splits(self) -> dict[str, _Split]:
        """The splits that are there; RealEarError for none, or for half of one."""
        here, splits = Path(self.folder), dict[str, _Split]()
        for folder in subfolders(here):
            if found := _FOLDER.fullmatch(folder):
                side, title, version = (part or "" for part in found.groups())
                split = splits.setdefault(f"{title}{version}", _Split(title))
                split.sides[side.lower()] = folder
            elif folder in {"clean", "noisy"}:
                splits.setdefault("", _Split("")).sides[folder] = folder
            elif below := {"clean", "noisy"} & set(subfolders(here / folder)):
                splits[folder] = _Split(folder, {side: f"{folder}/{side}" for side in below})
        for split in splits.values():
            if len(split.sides) == 1:
                [(side, folder)] = split.sides.items()
                other = "noisy" if side == "clean" else "clean"
                raise RealEarError(
                    f"expected {folder.replace(side, other)}/ beside {folder}/ in {here}, found "
                    f"{contents(here)}: unpack both"
                )
        if not splits:
            raise RealEarError(
                f"expected clean_testset_wav/ and noisy_testset_wav/, or clean/ and noisy/, in "
                f"{here}, found {contents(here)}: let `folder` name the folder that holds them"
            )
        return splits

    def _clips(self, name: str, split: _Split) -> Iterator[Entry]:
        """Every pair of a split."""
        here = Path(self.folder)
        files = {file for folder in split.sides.values() for file in sounds_in(here / folder)}
        if self.transcripts and (texts := here / f"{split.title}_txt").is_dir():
            split.texts = {path.stem: path for path in texts.iterdir() if path.suffix == ".txt"}
        for place in (here, here / "logfiles"):
            if (log := place / f"log_{split.title}.txt").is_file():
                split.log, bad = _logged(log)
                yield from bad
        stems = {stem(file) for file in files}
        files |= {f"{clip}.wav" for clip in {*(split.texts or ()), *(split.log or ())} - stems}
        for file in sorted(files):
            yield _entry(file, name, split)


def _logged(where: Path) -> tuple[dict[str, tuple[str, str]], list[Entry]]:
    """Noise and SNR by clip, and the lines that say something else."""
    log, bad = dict[str, tuple[str, str]](), []
    for number, line in enumerate(lines(where), 1):
        match line.split():
            case [clip, noise, level] if "/" not in clip and _LEVEL.fullmatch(level):
                log[clip.removesuffix(".wav")] = noise, level
            case []:
                pass
            case _:
                bad.append(bad_line(where, number, line))
    return log, bad


def _entry(file: str, name: str, split: _Split) -> Entry:
    clip = stem(file)
    key, text, labels = sound_key(clip), None, {"split": name} if name else {}
    fault = None
    if split.texts is not None:
        text = _read(split.texts[clip]) if clip in split.texts else None
        if not text:
            fault = Failure(key, "prepare", "no_transcript", f"no words in {split.title}_txt")
    if split.log is not None and clip in split.log:
        labels["noise"], labels["snr_db"] = split.log[clip]
    elif split.log is not None:
        fault = Failure(key, "prepare", "no_label", f"no line in log_{split.title}.txt")
    speaker = _CLIP.fullmatch(clip)
    return Entry(
        key=key,
        audio=f"{split.sides['noisy']}/{file}",
        clean=f"{split.sides['clean']}/{file}",
        text=text,
        speaker=speaker[1] if speaker else None,
        labels=labels,
        fault=fault or text_fault(key, file, text, *labels.values()),
    )


def _read(where: Path) -> str:
    return where.read_bytes().decode("utf-8-sig", "surrogateescape").strip()
