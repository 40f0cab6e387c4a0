"""VCTK: 110 speakers of English with many accents, each reading about 400 sentences.

Content: about 44 h a microphone of newspaper sentences, the Rainbow Passage and an elicitation
paragraph, read in a hemi-anechoic chamber; 48 kHz, mono, 16 bit. Licence: CC BY 4.0 (version 0.92),
ODC-By 1.0 (0.80).

    VCTK-Corpus-0.92/
      speaker-info.txt                                  ID AGE GENDER ACCENTS REGION COMMENTS
      txt/p225/p225_001.txt
      wav48_silence_trimmed/p225/p225_001_mic1.flac     version 0.92: mic1 and mic2
      wav48/p225/p225_001.wav                           version 0.80: one microphone

Microphone 1 is an omnidirectional DPA 4035, microphone 2 a Sennheiser MKH 800, which failed for
p280 and p315. The texts of p315 were lost: those clips are listed without a transcript.

Key: the utterance id, the same for both microphones. Speaker: p225 and so on. Text: the file in
`txt`. Labels: `device` (mic1 or mic2; version 0.92), and where speaker-info.txt has them `gender`
(F or M), `age` (years), `accent`.

    reader: vctk
    folder: VCTK-Corpus-0.92
    microphone: mic1      # or mic2

J. Yamagishi, C. Veaux, K. MacDonald, "CSTR VCTK Corpus: English Multi-speaker Corpus for CSTR Voice
Cloning Toolkit (version 0.92)", University of Edinburgh, 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pipelines.corpora import listing
from pipelines.corpora.base import Corpus, lines, recordings, sound_key, text_fault
from pipelines.records import Entry, Failure

TRIMMED, WHOLE = "wav48_silence_trimmed", "wav48"  # folders of versions 0.92 and 0.80
WITHOUT_MIC2 = ("p280", "p315")
WITHOUT_TEXT = ("p315",)
_NAME = re.compile(r"(.+)_(mic[12])")

Speakers = Mapping[str, Mapping[str, str]]  # speaker to labels


class Vctk(Corpus):
    """VCTK in the layout of version 0.92 or 0.80."""

    licence: ClassVar[str] = "CC-BY-4.0"
    language: ClassVar[str] = "en"

    microphone: Literal["mic1", "mic2"] = "mic1"

    def listed(self) -> Iterator[Entry]:
        """One entry an utterance, whether its recording or its transcript is all there is of it."""
        audio = listing.required(self.folder, [TRIMMED, WHOLE], "VCTK").name
        listing.required(self.folder, ["txt"], "VCTK")
        speakers = _speakers(Path(self.folder, "speaker-info.txt"))
        sounds = {}
        for path in recordings(str(Path(self.folder, audio))):
            utterance, microphone = _parts(PurePosixPath(path).stem, trimmed=audio == TRIMMED)
            if microphone is None:
                yield _unnamed(f"{audio}/{path}")
            elif microphone in ("", self.microphone):
                sounds[utterance] = f"{audio}/{path}"
        for utterance in sorted({*sounds, *self._transcribed(audio)}):
            place = sounds.get(utterance) or self._expected(audio, utterance)
            yield self._entry(utterance, place, speakers)

    def _transcribed(self, audio: str) -> set[str]:
        """Utterances with a transcript, but for those that this microphone never heard."""
        failed = WITHOUT_MIC2 if (audio, self.microphone) == (TRIMMED, "mic2") else ()
        texts = {path.stem for path in Path(self.folder, "txt").rglob("*.txt")}
        return {utterance for utterance in texts if _speaker(utterance) not in failed}

    def _expected(self, audio: str, utterance: str) -> str:
        suffix = f"_{self.microphone}.flac" if audio == TRIMMED else ".wav"
        return f"{audio}/{_speaker(utterance)}/{utterance}{suffix}"

    def _entry(self, utterance: str, place: str, speakers: Speakers) -> Entry:
        key, speaker = sound_key(utterance), _speaker(utterance)
        text = _text(Path(self.folder, "txt", speaker, f"{utterance}.txt"))
        fault = text_fault(key, place, text)
        if text is None and speaker not in WITHOUT_TEXT:
            fault = Failure(key, "prepare", "no_transcript", f"no txt/{speaker}/{utterance}.txt")
        device = {"device": self.microphone} if place.startswith(TRIMMED) else {}
        labels = {**device, **speakers.get(speaker, {})}
        return Entry(key, place, text=text, speaker=speaker, labels=labels, fault=fault)


def _parts(stem: str, *, trimmed: bool) -> tuple[str, str | None]:
    """Utterance and microphone; "" where the version has but one, None where a name says none."""
    found = _NAME.fullmatch(stem)
    if not trimmed:
        return stem, ""
    return (found[1], found[2]) if found else (stem, None)


def _unnamed(path: str) -> Entry:
    key = sound_key(PurePosixPath(path).stem)
    detail = "the name ends in neither _mic1 nor _mic2"
    return Entry(key, path, fault=Failure(key, "prepare", "no_label", detail))


def _speaker(utterance: str) -> str:
    return utterance.partition("_")[0]


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8-sig", "surrogateescape").strip()
    except FileNotFoundError:
        return None


def _speakers(path: Path) -> Speakers:
    """Age, gender and accent by speaker; empty where the file is not there.

    Version 0.80 writes the ids without their `p`.
    """
    speakers = {}
    for line in lines(path) if path.is_file() else ():
        name, *facts = [*line.split(), ""]
        name = f"p{name}" if name.isdecimal() else name
        speakers[name] = listing.known(dict(zip(("age", "gender", "accent"), facts, strict=False)))
    return speakers
