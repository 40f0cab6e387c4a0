"""A Kaldi data folder: `wav.scp`, with `segments`, `text`, `utt2spk`, `spk2gender`.

    reader: kaldi
    folder: /corpora/ami              # all audio lies in here
    data: data/dev                    # the Kaldi data folder; default: `folder` itself

A format, not a corpus: hours, rate, language and licence are those of the recordings.

    data/dev/
        wav.scp       recording  path                      (absolute, or relative to `folder`)
        segments      utterance  recording  start  end     (seconds; end -1: to the end) [channel]
        text          utterance  words …
        utt2spk       utterance  speaker
        spk2gender    speaker    m|f

A clip is an utterance: a line of `segments`, or without that file one of `wav.scp`. Key: the
utterance's id. Speaker: `utt2spk`. Text: `text`. Labels: `gender`. Session: the recording, if any
recording holds utterances of several speakers or of unknown ones. A fifth column of `segments` is
the channel, counted from 0 as Kaldi's own `extract-segments` does. Other files are not read.

Nothing in `wav.scp` is ever executed: a line that is a command is a counted failure (`command`),
and so is a place inside an archive (`archive`). A recording without a line in `segments` counts as
`no_segment`, an utterance without one in `utt2spk` as `no_label`.

Povey, Ghoshal, Boulianne, Burget, Glembek, Goel, Hannemann, Motlíček, Qian, Schwarz, Silovský,
Stemmer, Veselý: The Kaldi Speech Recognition Toolkit. IEEE ASRU 2011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.corpora.base import Corpus, lines, sound_key, text_fault
from pipelines.corpora.stretches import (
    Root,
    need_some_inside,
    outside,
    refused,
    seconds,
    with_sessions,
)
from pipelines.records import Entry, Failure, RealEarError

_SPACE = re.compile(r"[ \t]+")  # ASCII only, as Kaldi: an id may hold any other letter
_OFFSET = re.compile(r".*:\d+", re.DOTALL)
WRITE_IT = "write the sound as a file of its own and name that in wav.scp"


@dataclass(frozen=True)
class _Table:
    """A file of lines `id rest`; `bad` are the lines that say nothing or say it again."""

    rest: dict[str, str] = field(default_factory=dict)
    bad: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class _Data:
    """The files of a data folder; None for one that is not there."""

    wavs: _Table
    cuts: _Table | None
    text: _Table | None
    speakers: _Table | None
    genders: _Table | None

    def bad(self) -> Iterator[Entry]:
        """A failure a line that is none, or that stands twice."""
        for table in (self.wavs, self.cuts, self.text, self.speakers, self.genders):
            yield from table.bad if table else ()


class Kaldi(Corpus):
    """Utterances of a Kaldi data folder."""

    data: str = ""

    def listed(self) -> Iterator[Entry]:
        """One entry an utterance, and one for each line that leads to none."""
        data = _read(self._where())
        entries = list(with_sessions(_clips(data, Root(self.folder))))
        need_some_inside(entries, self.folder)
        yield from entries
        yield from _lost(data)
        yield from data.bad()

    def _where(self) -> Path:
        inside = Path(self.folder, self.data)
        where = inside if (inside / "wav.scp").is_file() else Path(self.data or self.folder)
        if not (where / "wav.scp").is_file():
            found = ", ".join(sorted(path.name for path in inside.glob("*"))[:8]) or "nothing"
            raise RealEarError(
                f"expected a Kaldi data folder with wav.scp at {inside}, found {found}: name it "
                "with `data`, relative to `folder`"
            )
        return where


def _read(where: Path) -> _Data:
    def table(name: str) -> _Table | None:
        return _table(where / name) if (where / name).is_file() else None

    wavs = _table(where / "wav.scp")
    return _Data(wavs, table("segments"), table("text"), table("utt2spk"), table("spk2gender"))


def _table(where: Path) -> _Table:
    """Lines of a file by their first word; only in `text` may a line end after it."""
    rest: dict[str, str] = {}
    bad: list[Entry] = []
    for number, line in enumerate(lines(where), 1):
        name, *more = _SPACE.split(line.strip(" \t\r\n"), maxsplit=1)
        if not name:
            continue
        if not more and where.name != "text":
            detail = f"line {number} of {where.name} ends after {name!r:.80}"
            bad.append(refused(sound_key(f"{where.name}-{number}"), "bad_line", detail))
        elif name in rest:
            detail = f"line {number} of {where.name} names it again"
            bad.append(refused(sound_key(name), "duplicate_key", detail))
        else:
            rest[name] = more[0] if more else ""
    return _Table(rest, tuple(bad))


def _clips(data: _Data, root: Root) -> Iterator[tuple[Entry, str]]:
    """Every utterance's entry with its recording's id."""
    if data.cuts is None:
        for name in data.wavs.rest:
            yield _described(_placed(name, name, data.wavs, root), name, data), name
    else:
        for name, rest in data.cuts.rest.items():
            recording, *stretch = _SPACE.split(rest)
            entry = _cut(_placed(name, recording, data.wavs, root), stretch)
            yield _described(entry, name, data), recording


def _placed(utterance: str, recording: str, wavs: _Table, root: Root) -> Entry:
    """Where an utterance's recording lies, or why it lies nowhere."""
    key = sound_key(utterance)
    path = wavs.rest.get(recording)
    if path is None:
        return refused(key, "missing_file", f"wav.scp has no recording {recording!r:.80}")
    if "|" in path or path == "-":
        detail = f"{path!r:.120} is a command, and none is run: run it yourself, {WRITE_IT}"
        return refused(key, "command", detail)
    if _OFFSET.fullmatch(path):
        return refused(key, "archive", f"{path!r:.120} lies inside an archive: {WRITE_IT}")
    place = root.place(path)
    return outside(key, path, root.folder) if place is None else Entry(key=key, audio=place)


def _cut(entry: Entry, stretch: list[str]) -> Entry:
    """The stretch `start end [channel]` of a recording; -1 is its end."""
    if entry.fault:
        return entry
    start, end, channel = (*stretch, "", "", "")[:3]
    first, last = seconds(start), seconds(end)
    whole = re.fullmatch(r"-1(\.0*)?", end) is not None
    ordered = first is not None and (whole or (last is not None and last > first))
    numbered = len(stretch) == 2 or (len(stretch) == 3 and re.fullmatch(r"[0-9]{1,4}", channel))
    if ordered and numbered:
        return replace(entry, start=first, end=last, channel=int(channel) if channel else None)
    detail = f"expected `start end` in seconds, found {' '.join(stretch)!r:.80}"
    return refused(entry.key, "bad_line", detail)


def _described(entry: Entry, utterance: str, data: _Data) -> Entry:
    """An entry with its words, speaker and gender; a failure where a file lacks its line."""
    if entry.fault:
        return entry
    key = entry.key
    words = data.text.rest.get(utterance) if data.text else None
    speaker = data.speakers.rest.get(utterance) if data.speakers else None
    gender = data.genders.rest.get(speaker or "") if data.genders else None
    fault = text_fault(key, utterance, str(entry.audio), words, speaker, gender)
    if data.text and words is None:
        fault = Failure(key, "prepare", "no_transcript", f"text has no line {utterance!r:.80}")
    elif data.speakers and speaker is None:
        fault = Failure(key, "prepare", "no_label", f"utt2spk has no line {utterance!r:.80}")
    labels = {"gender": gender} if gender else {}
    return replace(entry, text=words, speaker=speaker, labels=labels, fault=fault)


def _lost(data: _Data) -> Iterator[Entry]:
    """Recordings without a segment, and utterances that only `text` or `utt2spk` knows."""
    if data.cuts is not None:
        used = {_SPACE.split(rest, maxsplit=1)[0] for rest in data.cuts.rest.values()}
        for recording in sorted(set(data.wavs.rest) - used):
            detail = f"segments has no line for the recording {recording!r:.80}"
            yield refused(sound_key(f"{recording}/no-segment"), "no_segment", detail)
    known = data.cuts or data.wavs
    named = {name for table in (data.text, data.speakers) if table for name in table.rest}
    source = "wav.scp" if data.cuts is None else "segments"
    for name in sorted(named - set(known.rest)):
        yield refused(sound_key(name), "missing_file", f"{source} has no line {name!r:.80}")
