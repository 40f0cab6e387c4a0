"""Lhotse manifests: cuts, or recordings with supervisions, as `.jsonl` or `.jsonl.gz`.

    reader: lhotse
    folder: /corpora/ami                        # all audio lies in here; default: the manifest's
    cuts: manifests/cuts_dev.jsonl.gz           # or recordings: … with supervisions: …
    each: supervision                           # a clip a supervision; default: a clip a cut

A format, not a corpus: hours, rate, language and licence are those of the recordings.

    cuts           {"id", "start", "duration", "channel", "supervisions": […], "recording": {…},
                    "custom": {…}, "type": "MonoCut" | "MultiCut"}
    recordings     {"id", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}], …}
    supervisions   {"id", "recording_id", "start", "duration", "channel", "text", "speaker", …}

A clip is a cut, a supervision (`each: supervision`, or recordings with supervisions), or a whole
recording (recordings alone). Paths are absolute or relative to `folder`. Key: the id of the cut,
supervision or recording. Text: those of its supervisions in order of time; speaker: theirs, joined
by "+". Labels: `gender`, `language`, and the custom fields that are texts or numbers. Session: the
recording, if one is cut into clips of several speakers or of unknown ones. A clip of one channel
takes that channel; a MultiCut must take one channel or all of one file.

Counted failures: sources that are no file (`command`, `url`, `memory`, `shar`; nothing is run or
fetched), `mixed_cut`, `padding_cut`, cuts of features only (`no_recording`), recordings to be
augmented when they are read (`transforms`), channels spread over files (`channels`).

Żelasko, Povey, Trmal, Khudanpur: Lhotse: a speech data representation library for the modern deep
learning ecosystem. arXiv:2110.12561, 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from pipelines.corpora import jsonlines
from pipelines.corpora.base import Corpus, sound_key, text_fault
from pipelines.corpora.stretches import (
    Root,
    joined,
    need_some_inside,
    outside,
    refused,
    seconds,
    with_sessions,
)
from pipelines.corpora.tables import Cells
from pipelines.records import Entry

CUTS = {"MonoCut", "MultiCut", "Cut"}  # "Cut" is what MonoCut was called before version 0.8
REFUSED = {
    "MixedCut": ("mixed_cut", "it is mixed as it is read: save its audio, and give the new cuts"),
    "PaddingCut": ("padding_cut", "it holds no recording"),
}
WHOLE = 1e-3  # seconds: a stretch that falls short of its recording by less is all of it


class _Refusal(Exception):
    """Why a manifest's item gives no clip: a reason in one word, and the detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class _Clip:
    """An item of the manifests: a stretch of a recording with what was said in it."""

    id: str
    recording: Cells
    start: float
    duration: float | None  # seconds; None to the end
    channels: frozenset[int] | None  # None: all
    supervisions: list[Cells]
    custom: Any = None


class Lhotse(Corpus):
    """Cuts, supervisions or recordings of Lhotse manifests."""

    cuts: str | None = None
    recordings: str | None = None
    supervisions: str | None = None
    each: Literal["cut", "supervision"] = "cut"
    folder: str = ""

    @model_validator(mode="before")
    @classmethod
    def _folder_of_manifest(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("folder"):
            named = values.get("cuts") or values.get("recordings")
            return {**values, "folder": str(Path(str(named)).parent)} if named else values
        return values

    @model_validator(mode="after")
    def _one_kind(self) -> Lhotse:
        if (self.cuts is None) == (self.recordings is None):
            raise ValueError("expected exactly one of cuts, recordings")
        if self.cuts is not None and self.supervisions is not None:
            raise ValueError("expected supervisions with recordings only: cuts hold their own")
        if self.recordings is not None and self.each != "cut":
            raise ValueError("expected each with cuts only: supervisions are one clip each")
        return self

    def listed(self) -> Iterator[Entry]:
        """One entry a cut, supervision or recording, and one for each line that leads to none."""
        entries = list(with_sessions(self._clips()))
        need_some_inside(entries, self.folder)
        yield from entries

    def _clips(self) -> Iterator[tuple[Entry, str]]:
        root = Root(self.folder)
        items = self._from_cuts() if self.cuts is not None else self._from_recordings()
        for item in items:
            if isinstance(item, Entry):
                yield item, ""
            else:
                yield _entry(item, root), item.recording["id"]

    def _from_cuts(self) -> Iterator[_Clip | Entry]:
        for number, row in self._rows(self.cuts):
            try:
                clip = _of_cut(row)
                yield from _supervised(clip) if self.each == "supervision" else [clip]
            except _Refusal as refusal:
                yield _refused(row, number, refusal)

    def _from_recordings(self) -> Iterator[_Clip | Entry]:
        recordings: dict[str, _Clip] = {}
        again = []
        for number, row in self._rows(self.recordings):
            try:
                clip = _of_recording(row)
            except _Refusal as refusal:
                yield _refused(row, number, refusal)
                continue
            if recordings.setdefault(clip.id, clip) is not clip:
                detail = f"line {number} names it again"
                again.append(refused(sound_key(clip.id), "duplicate_key", detail))
        if self.supervisions is None:
            yield from recordings.values()
        else:
            yield from self._from_supervisions(recordings)
        yield from again  # last, since the first of two equal keys is the one that stays

    def _from_supervisions(self, recordings: dict[str, _Clip]) -> Iterator[_Clip | Entry]:
        used = set()
        for number, row in self._rows(self.supervisions):
            try:
                clip = _of_supervision(row, recordings)
            except _Refusal as refusal:
                yield _refused(row, number, refusal)
            else:
                used.add(clip.recording["id"])
                yield clip
        for name in sorted(set(recordings) - used):
            detail = f"no supervision of the recording {name!r:.80}"
            yield refused(sound_key(f"{name}/no-segment"), "no_segment", detail)

    def _rows(self, name: str | None) -> Iterator[tuple[int, Cells | str]]:
        inside = Path(self.folder, name or "")
        return jsonlines.rows(inside if inside.is_file() else Path(name or ""))


def _of_cut(row: Cells | str) -> _Clip:
    if isinstance(row, str) or not _is_name(row.get("id")):
        raise _Refusal("bad_line", f"expected a cut, found {row!r:.120}")
    kind = str(row.get("type"))
    if kind in REFUSED:
        reason, detail = REFUSED[kind]
        raise _Refusal(reason, f"a {kind}: {detail}")
    recording = row.get("recording")
    if recording is None and kind in CUTS:
        raise _Refusal("no_recording", "the cut names features or nothing, but no recording")
    start, duration = seconds(row.get("start")), seconds(row.get("duration"))
    spoken = row.get("supervisions") or []
    if (
        kind not in CUTS
        or not isinstance(recording, dict)
        or not _is_name(recording.get("id"))
        or start is None
        or not duration
        or not isinstance(spoken, list)
        or not all(isinstance(item, dict) for item in spoken)
    ):
        raise _Refusal("bad_line", f"expected a MonoCut or MultiCut, found {row!r:.120}")
    channels = _channels(row.get("channel"))
    return _Clip(row["id"], recording, start, duration, channels, spoken, row.get("custom"))


def _supervised(clip: _Clip) -> Iterator[_Clip | Entry]:
    """A clip for every supervision of a cut; what stands beyond the cut's end is left out."""
    if not clip.supervisions:
        raise _Refusal("no_segment", "the cut has no supervision")
    for number, row in enumerate(clip.supervisions, 1):
        try:
            spoken = _stretch(row, clip)
        except _Refusal as refusal:
            yield _refused({"id": row.get("id") or f"{clip.id}/{number}"}, number, refusal)
        else:
            left = (clip.duration or 0) - (spoken.start - clip.start)
            yield replace(spoken, duration=min(spoken.duration or left, left), custom=clip.custom)


def _of_recording(row: Cells | str) -> _Clip:
    if isinstance(row, str) or not _is_name(row.get("id")) or "sources" not in row:
        raise _Refusal("bad_line", f"expected a recording, found {row!r:.120}")
    return _Clip(row["id"], row, 0.0, None, None, [])


def _of_supervision(row: Cells | str, recordings: dict[str, _Clip]) -> _Clip:
    if isinstance(row, str) or not _is_name(row.get("recording_id")):
        raise _Refusal("bad_line", f"expected a supervision, found {row!r:.120}")
    if row["recording_id"] not in recordings:
        raise _Refusal("missing_file", f"no recording {row['recording_id']!r:.80} is listed")
    return _stretch(row, recordings[row["recording_id"]])


def _stretch(row: Cells, whole: _Clip) -> _Clip:
    """The stretch of a recording or cut that a supervision is about."""
    start, duration = seconds(row.get("start")), seconds(row.get("duration"))
    beyond = start is not None and whole.duration is not None and start >= whole.duration
    if not _is_name(row.get("id")) or start is None or not duration or beyond:
        raise _Refusal("bad_line", f"expected a supervision with a stretch, found {row!r:.120}")
    channels = _channels(row.get("channel")) or whole.channels
    return _Clip(row["id"], whole.recording, whole.start + start, duration, channels, [row])


def _entry(clip: _Clip, root: Root) -> Entry:
    """Where a clip lies and what was said, or why it lies nowhere."""
    key = sound_key(clip.id)
    try:
        path, channel = _source(clip.recording, clip.channels)
    except _Refusal as refusal:
        return refused(key, refusal.reason, str(refusal))
    place = root.place(path)
    if place is None:
        return outside(key, path, root.folder)
    said = sorted(clip.supervisions, key=lambda row: seconds(row.get("start")) or 0.0)
    words = [str(row["text"]) for row in said if row.get("text") is not None]
    text = " ".join(words) if words else None
    speaker, labels = _joined(said, "speaker"), _labels(clip)
    start, end = _bounds(clip)
    return Entry(
        key=key,
        audio=place,
        start=start,
        end=end,
        channel=channel,
        text=text,
        speaker=speaker,
        labels=labels,
        fault=text_fault(key, clip.id, place, text, speaker, *labels, *labels.values()),
    )


def _source(recording: Cells, channels: frozenset[int] | None) -> tuple[str, int | None]:
    """The one file that holds the channels, and which of its channels to take; None for all."""
    sources = [_file(source) for source in _list(recording.get("sources"))]
    there = frozenset(channel for _, held in sources for channel in held)
    wanted = there if channels is None else channels
    needed = [(path, held) for path, held in sources if wanted.intersection(held)]
    if recording.get("transforms"):
        raise _Refusal("transforms", "to be augmented as it is read: save its audio first")
    if not wanted <= there or len(needed) != 1:
        detail = (
            f"channels {sorted(wanted)} of {sorted(there)} lie in {len(needed)} files, not in 1"
        )
        raise _Refusal("channels", detail)
    path, held = needed[0]
    if len(wanted) == 1:
        return path, held.index(min(wanted))
    if wanted == set(held):
        return path, None
    detail = f"{len(wanted)} channels of a file of {len(held)}: expected one a cut, or all"
    raise _Refusal("channels", detail)


def _file(source: Any) -> tuple[str, list[int]]:
    """Path and channels of an audio source."""
    kind = source.get("type") if isinstance(source, dict) else None
    if kind in ("command", "url", "memory", "shar"):
        detail = f"the audio is no file but of type {kind}: save it as a file, and name that"
        raise _Refusal(str(kind), detail)
    path = source.get("source") if kind == "file" else None
    channels = _list(source.get("channels")) if kind == "file" else []
    if not isinstance(path, str) or not path or not _channels(channels):
        raise _Refusal(
            "bad_line", f"expected a source with type and channels, found {source!r:.120}"
        )
    return path, list(dict.fromkeys(channels))


def _channels(value: Any) -> frozenset[int] | None:
    """Channel numbers from one or a list of them; None where none is named."""
    if value is None:
        return None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(type(number) is int and number >= 0 for number in numbers):
        raise _Refusal("bad_line", f"expected channels, found {value!r:.80}")
    return frozenset(numbers)


def _bounds(clip: _Clip) -> tuple[float | None, float | None]:
    """Start and end in seconds; (None, None) where the clip is all of its recording."""
    full = seconds(clip.recording.get("duration"))
    if clip.duration is None:
        return None, None
    if full is not None and clip.start < WHOLE and abs(clip.duration - full) < WHOLE:
        return None, None
    return clip.start, round(clip.start + clip.duration, 9)


def _labels(clip: _Clip) -> dict[str, str]:
    """Custom fields of the cut; of its supervisions what each of them says, joined by "+"."""
    custom = [jsonlines.scalars(row.get("custom")) for row in clip.supervisions]
    labels = {name: _joined(custom, name) for fields in custom for name in fields}
    labels |= {name: _joined(clip.supervisions, name) for name in ("gender", "language")}
    return jsonlines.scalars(clip.custom) | jsonlines.scalars(labels)


def _joined(rows: Iterable[Cells], name: str) -> str | None:
    """The different values of a field, joined by "+"."""
    return joined(str(row[name]) for row in rows if isinstance(row.get(name), str | int))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _refused(row: Cells | str, number: int, refusal: _Refusal) -> Entry:
    name = row.get("id") if isinstance(row, dict) else None
    key = sound_key(name) if isinstance(name, str) and name else f"line-{number}"
    return refused(key, refusal.reason, str(refusal))
