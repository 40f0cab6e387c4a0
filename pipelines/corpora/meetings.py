"""Meetings with RTTM files (AMI and others): speaker turns, real overlaps without truth, or whole.

    reader: meetings
    folder: /corpora/ami
    rttm: "rttms/test/*.rttm"                       # default: every .rttm below the folder
    audio: "**/{meeting}.Mix-Headset.wav"           # default: named as the meeting, any suffix
    clips: overlaps                                 # or turns (default), whole
    padding: 0.5                                    # seconds before and after an overlap
    shortest: 1.0                                   # seconds; shorter turns or overlaps: left out

The AMI Meeting Corpus: 171 meetings, 100 hours, English (most speakers are not native), 16 kHz,
from headsets, lapels and microphone arrays; CC BY 4.0. It comes with words, not with RTTM files;
these are published apart. Other corpora whose turns are told by RTTM files are read alike.

    amicorpus/ES2002a/audio/ES2002a.Mix-Headset.wav
    rttms/test/ES2004a.rttm        SPEAKER ES2004a 1 12.34 5.67 <NA> <NA> MEE011 <NA> <NA>

`turns`: a clip a speaker turn; stretches of one speaker that touch or overlap are one turn.
`overlaps`: a clip a stretch in which two or more speakers talk at once, as long as it lasts: real
mixtures, whose separate voices nobody knows. Padding ends with the last turn; padded stretches that
meet are one. `whole`: a clip a recording.

Key: the meeting, the speaker or `overlap`, start and end in milliseconds. Speaker: who talks in the
clip, joined by "+" (in `turns`, whose turn it is). Session: the meeting. Labels: `speakers`, how
many talk in the clip; `overlap`, the share of it in which two or more do (not in `whole`). No text.
RTTM channels are not told apart: take one with the dataset's `channels`.

A clip of a meeting without a recording counts as `missing_file`. A recording without turns counts
as `no_label`, unless `rttm` chooses some of the files. Lines of RTTM that are not about speakers
are left aside.

Carletta, Ashby, Bourban, Flynn, Guillemot, Hain, Kadlec, Karaiskos, Kraaij, Kronenthal, Lathoud,
Lincoln, Lisowska, McCowan, Post, Reidsma, Wellner: The AMI Meeting Corpus: A Pre-announcement. MLMI
2005.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.corpora.base import Corpus, lines, recordings, sound_key, text_fault
from pipelines.corpora.files import EVERYTHING, compile_pattern
from pipelines.corpora.stretches import joined, refused, seconds, stem
from pipelines.records import Entry, Failure, RealEarError

EVERY_RTTM = "**/*.rttm"
# The types of line that the RTTM specification of NIST knows beside SPEAKER.
OTHER_LINES = {"SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER",
               "EDIT", "IP", "SU", "CB", "A/P", "SPKR-INFO"}  # fmt: skip
TOUCH = 1e-6  # seconds between two stretches that count as touching

Stretch = tuple[float, float]  # start and end in seconds
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Moments:
    """A meeting cut wherever somebody starts or stops: who talks in each piece. Empty: nobody."""

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    talking: tuple[frozenset[str], ...]

    def within(self, stretch: Stretch) -> Iterator[tuple[float, frozenset[str]]]:
        """Seconds and speakers of every piece of a stretch in which somebody talks."""
        start, end = stretch
        number = max(0, bisect_right(self.starts, start) - 1)
        while number < len(self.starts) and self.starts[number] < end:
            length = min(end, self.ends[number]) - max(start, self.starts[number])
            if length > TOUCH:
                yield length, self.talking[number]
            number += 1

    def overlaps(self, shortest: float, padding: float) -> list[Stretch]:
        """The longest stretches in which two or more talk, of at least `shortest` seconds."""
        pieces = zip(self.starts, self.ends, self.talking, strict=True)
        found = merged([(start, end) for start, end, names in pieces if len(names) > 1])
        last = max(self.ends, default=0.0)
        return merged([
            (round(max(0.0, start - padding), 6), round(min(last, end + padding), 6))
            for start, end in found
            if end - start >= shortest - TOUCH
        ])  # fmt: skip


def moments(turns: dict[str, list[Stretch]]) -> Moments:
    """Who talks when, from each speaker's stretches (which do not overlap one another)."""
    changes: dict[float, list[tuple[str, bool]]] = {}
    for name, stretches in turns.items():
        for start, end in stretches:
            changes.setdefault(start, []).append((name, True))
            changes.setdefault(end, []).append((name, False))
    times = sorted(changes)
    talking: set[str] = set()
    pieces = []
    for start, end in itertools.pairwise(times):
        talking -= {name for name, starts in changes[start] if not starts}
        talking |= {name for name, starts in changes[start] if starts}
        if talking:
            pieces.append((start, end, frozenset(talking)))
    starts, ends, names = zip(*pieces, strict=True) if pieces else ((), (), ())
    return Moments(starts, ends, names)


def merged(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Stretches in order, those that touch or overlap made one."""
    found: list[Stretch] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1] + TOUCH:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


class Meetings(Corpus):
    """Turns, overlaps or whole recordings of meetings."""

    rttm: str = EVERY_RTTM
    audio: str = EVERYTHING
    clips: Literal["turns", "overlaps", "whole"] = "turns"
    padding: Duration = 0.0
    shortest: Duration = 0.0

    @model_validator(mode="after")
    def _fitting(self) -> Meetings:
        if self.padding and self.clips != "overlaps":
            raise ValueError("expected padding with `clips: overlaps` only")
        if self.shortest and self.clips == "whole":
            raise ValueError("expected shortest with `clips: turns` or `overlaps` only")
        return self

    def listed(self) -> Iterator[Entry]:
        """One entry a clip, and one for each line or recording that leads to none."""
        turns: dict[str, dict[str, list[Stretch]]] = {}
        bad: list[Entry] = []
        for where in self._tables():
            bad += _collect(where, turns)
        sounds = self._sounds()
        if turns and not sounds.keys() & turns.keys():
            raise RealEarError(
                f"expected recordings of the meetings {', '.join(sorted(turns)[:3])}, … in "
                f"{self.folder}, found {', '.join(sorted(sounds)[:3]) or 'none'}: say how they are "
                "named, as in `audio: '**/{meeting}.Mix-Headset.wav'`"
            )
        for meeting in sorted(turns):
            talk = {name: merged(found) for name, found in turns[meeting].items()}
            yield from self._clips(meeting, talk, sounds.get(meeting))
        if self.rttm == EVERY_RTTM:
            for meeting in sorted(sounds.keys() - turns.keys()):
                yield refused(sound_key(meeting), "no_label", "no RTTM file has a turn of it")
        yield from bad

    def _tables(self) -> list[Path]:
        if self.rttm.startswith("/") or ".." in PurePosixPath(self.rttm).parts:
            raise RealEarError(f"rttm: expected a pattern below `folder`, found {self.rttm!r}")
        found = sorted(path for path in Path(self.folder).glob(self.rttm) if path.is_file())
        if not found:
            raise RealEarError(
                f"expected RTTM files named like {self.rttm!r} in {self.folder}, found none: "
                "name them with `rttm`, as in `rttm: 'rttms/test/*.rttm'`"
            )
        return found

    def _sounds(self) -> dict[str, str]:
        """Meeting to its recording."""
        pattern = compile_pattern(self.audio)
        sounds: dict[str, str] = {}
        for path in recordings(self.folder):
            if found := pattern.fullmatch(path):
                meeting = found.groupdict().get("meeting") or PurePosixPath(stem(path)).name
                if sounds.setdefault(meeting, path) != path:
                    raise RealEarError(
                        f"expected one recording of the meeting {meeting}, found {sounds[meeting]} "
                        f"and {path}: choose with `audio`, as in `audio: '**/{{meeting}}.wav'`"
                    )
        return sounds

    def _clips(
        self, meeting: str, turns: dict[str, list[Stretch]], path: str | None
    ) -> Iterator[Entry]:
        if self.clips == "whole":
            labels = {"speakers": str(len(turns))}
            yield _entry(meeting, meeting, path, None, joined(turns), labels)
            return
        who = moments(turns)
        if self.clips == "overlaps":
            found = [("overlap", s) for s in who.overlaps(self.shortest, self.padding)]
        else:
            each = ((name, s) for name in sorted(turns) for s in turns[name])
            found = [(name, s) for name, s in each if s[1] - s[0] >= self.shortest - TOUCH]
        for name, stretch in found:
            pieces = list(who.within(stretch))
            heard = {speaker for _, talking in pieces for speaker in talking}
            both = sum(length for length, talking in pieces if len(talking) > 1)
            share = f"{both / (stretch[1] - stretch[0]):.3f}"
            labels = {"speakers": str(len(heard)), "overlap": share}
            speaker = joined(heard) if self.clips == "overlaps" else name
            yield _entry(_name(meeting, name, stretch), meeting, path, stretch, speaker, labels)


def _name(meeting: str, of: str, stretch: Stretch) -> str:
    start, end = (round(1000 * time) for time in stretch)
    return f"{meeting}-{of}-{start:07d}-{end:07d}"


def _entry(
    name: str,
    meeting: str,
    path: str | None,
    stretch: Stretch | None,
    speaker: str | None,
    labels: dict[str, str],
) -> Entry:
    key = sound_key(name)
    fault = text_fault(key, meeting, path, speaker)
    if path is None:
        detail = f"no recording of the meeting {meeting!r:.80}"
        fault = Failure(key, "prepare", "missing_file", detail)
    start, end = stretch or (None, None)
    return Entry(
        key=key,
        audio=path or "",
        start=start,
        end=end,
        speaker=speaker,
        session=meeting,
        labels=labels,
        fault=fault,
    )


def _collect(where: Path, turns: dict[str, dict[str, list[Stretch]]]) -> Iterator[Entry]:
    """Put a file's turns to those of their meetings; a failure for each line that is none."""
    for number, line in enumerate(lines(where), 1):
        fields = re.split(r"[ \t]+", line.strip(" \t\r\n"))
        if not fields[0] or fields[0].startswith(";;") or fields[0] in OTHER_LINES:
            continue
        start, length = (seconds(field) for field in (*fields, "", "", "", "", "")[3:5])
        known = fields[0] == "SPEAKER" and len(fields) in (9, 10) and fields[7] != "<NA>"
        if not known or start is None or not length or length <= TOUCH:
            key = sound_key(f"{where.stem}-line-{number}")
            yield refused(key, "bad_line", f"line {number} of {where.name}: {line!r:.120}")
        else:
            stretch = (round(start, 6), round(start + length, 6))
            turns.setdefault(fields[1], {}).setdefault(fields[7], []).append(stretch)
