"""Prepare: recordings in, verified shards out. Decode, check, mix, resample, store."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines import whereabouts
from pipelines.audio import BadAudio
from pipelines.estimates import sizes
from pipelines.originals import Originals, path_of
from pipelines.records import Entry, Failure, InTable, Part, Sound, digest
from pipelines.shards.packing import NOWHERE, Cutting, Sample, pack, place
from pipelines.treatment import Begun, Treatment, begin, sounds

VERSION = "3"  # bump when the same recordings would give other samples
TOGETHER, HELD = 4, 1 << 20  # clips at a time; samples of them after which no other joins
UNKNOWN = "unknown"  # speaker of clips that name none: one cluster, so no interval is invented


@dataclass(frozen=True)
class Preparing:
    """What the work on one shard needs: its entries and how to treat them."""

    folder: str
    corpus: str
    entries: tuple[Entry, ...]
    treatment: Treatment = field(default_factory=Treatment)

    @property
    def originals(self) -> Originals:
        """The corpus's files."""
        return Originals(self.folder, follow_links=self.treatment.follow_links)


def plan(
    name: str, target: str, job: Preparing, cutting: Cutting, homes: Mapping[str, str] = NOWHERE
) -> list[Part]:
    """Parts of a dataset `name` in the folder `target`, one a shard; `homes`: where clips are."""
    stamps = _Stamps(job.originals)
    size: Callable[[Entry], int] | None = None
    if cutting.size is not None:
        size = sizes(job.entries, job.treatment, job.originals)
    parts = []
    for shard, entries in place(name, job.entries, cutting, homes, size):
        seen = [[stamps.of(sound) for sound in sounds(entry).values()] for entry in entries]
        facts = list(zip(entries, seen, strict=True))
        inputs = digest(["prepare", VERSION, job.corpus, job.treatment, facts])
        seconds = sum(_seconds(entry, found) for entry, found in facts)
        # Compressed, so that the launcher does not hold a million clips' references while it waits.
        payload = zlib.compress(pickle.dumps(replace(job, entries=tuple(entries))))
        parts.append(Part(target, shard, inputs, len(entries), seconds, payload))
    return parts


class _Stamps:
    """What shows of recordings without reading them; a file of many is looked at once."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._known: dict[Sound, tuple[int | None, int | None]] = {}

    def of(self, sound: Sound) -> list[Any]:
        """Path, bytes, time of change: what decides the samples, as far as it shows."""
        key = sound.path if isinstance(sound, InTable) else sound
        if key not in self._known:
            found = self._originals.stamp(key) if key else (None, None)
            if isinstance(sound, str):
                return [sound, *found]
            self._known[key] = found
        return [path_of(sound), *self._known[key]]


def _seconds(entry: Entry, seen: Sequence[Sequence[Any]]) -> float:
    """How long the work on a clip will be, roughly: a stretch's length, else bytes at 16 kHz."""
    if entry.end is not None:
        return entry.end - (entry.start or 0.0)
    if isinstance(entry.audio, InTable):
        return 10.0
    return sum(size or 0 for _, size, _ in seen) / 32_000


def make_shard(part: Part) -> None:
    """Write one shard of a dataset (the work function of this step)."""
    job: Preparing = pickle.loads(zlib.decompress(part.payload))  # of our own making
    pack(part, samples(job))


def samples(job: Preparing) -> Iterator[Sample | Failure]:
    """Every entry as a sample or as a failure, in order."""
    originals = job.originals
    begun = ((entry, _begun(job, originals, entry)) for entry in job.entries)
    for together in _together(begun):
        for entry, found in together:
            yield found if isinstance(found, Failure) else _sample(job, entry, found)


def _begun(job: Preparing, originals: Originals, entry: Entry) -> Begun | Failure:
    whereabouts.clips([entry.key])
    try:
        return entry.fault or begin(job.treatment, originals, entry)
    except BadAudio as error:
        return Failure(entry.key, "prepare", error.reason, str(error))


def _together(
    begun: Iterable[tuple[Entry, Begun | Failure]],
) -> Iterator[list[tuple[Entry, Begun | Failure]]]:
    """A few clips at a time, short ones only: all are encoded before any is measured, since a
    processor does the same thing again faster than one after another.
    """
    group: list[tuple[Entry, Begun | Failure]] = []
    samples = 0
    for entry, found in begun:
        group.append((entry, found))
        samples += 0 if isinstance(found, Failure) else found.samples
        if len(group) == TOGETHER or samples > HELD:
            yield group
            group, samples = [], 0
    yield group


def _sample(job: Preparing, entry: Entry, begun: Begun) -> Sample:
    return Sample(
        key=entry.key,
        sounds=begun.done(),
        sample_rate=begun.sample_rate,
        cluster=f"{job.corpus}/{entry.session or entry.speaker or UNKNOWN}",
        speaker=entry.speaker,
        session=entry.session,
        text=entry.text,
        labels=entry.labels,
        provenance=_provenance(entry),
    )


def _provenance(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"file": path_of(entry.audio)}
    if entry.start is not None or entry.end is not None:
        found["seconds"] = [entry.start or 0.0, entry.end]
    if entry.channel is not None:
        found["channel"] = entry.channel
    return found


def notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What a reader of the board should know about the corpus."""
    nameless = sum(entry.speaker is None and entry.session is None for entry in entries)
    if not nameless:
        return ()
    return (
        f"{nameless} of {len(entries)} clips name no speaker or session: they count as one "
        "cluster, so that no interval is invented",
    )
