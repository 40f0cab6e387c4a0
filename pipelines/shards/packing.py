"""Packing: which clip goes to which shard, and the writing of one whole shard."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from metrics.recording import Measured
from pipelines import audio, stores
from pipelines.audio import Encoded
from pipelines.records import Failure, Part, canonical, digest
from pipelines.shards import sidecars
from pipelines.shards.datasets import HEARD, Row, write_rows
from pipelines.shards.tars import TarWriter

SHARDS = 32  # by default: eight for each of four workers, whatever the machine that packs
MEASURED = tuple(Measured.__dataclass_fields__)  # columns of the index, under the same names
CLIPS_PER_SHARD = (4, 1_000)  # fewest and most clips that the default puts into a shard


NOWHERE: Mapping[str, str] = MappingProxyType({})  # nothing stands yet, so no clip has a home


class Keyed(Protocol):
    """Anything with a key."""

    @property
    def key(self) -> str:
        """The clip's key."""
        ...


K = TypeVar("K", bound=Keyed)


@dataclass(frozen=True)
class Cutting:
    """How large shards are: a number of them, or the most clips or bytes in each.

    Nothing said: 32, or as many as keep a shard between 4 and 1,000 clips.
    """

    shards: int | None = None
    clips: int | None = None
    size: int | None = None  # bytes, as estimated before anything is decoded

    def count(self, clips: int, size: int = 0) -> int:
        """How many shards so many clips of so many bytes make."""
        if self.shards is not None:
            wanted = self.shards
        elif self.clips is not None:
            wanted = math.ceil(clips / self.clips)
        elif self.size is not None:
            wanted = math.ceil(size / self.size - 0.1)  # no shard more for a few bytes more
        else:
            least, most = CLIPS_PER_SHARD
            wanted = max(min(SHARDS, clips // least), math.ceil(clips / most))
        return min(max(wanted, 1), clips)


def in_order(items: Iterable[K]) -> list[K]:
    """Sorted by the hash of the key: neighbours in a folder are of one speaker, in a shard not."""
    return sorted(items, key=lambda item: (hashlib.sha256(item.key.encode()).digest(), item.key))


def cut(
    items: Iterable[K], cutting: Cutting, size: Callable[[K], int] | None = None
) -> list[list[K]]:
    """Sort by the hash of the key and cut into lists of about equal weight.

    The weight is a clip each or, where shards are cut by bytes, what `size` says. Never an empty
    list; no items, no lists.
    """
    ordered = in_order(items)
    weigh = size if cutting.size is not None and size is not None else None
    weights = [max(weigh(item), 1) if weigh else 1 for item in ordered]
    ends = list(accumulate(weights))
    shards = cutting.count(len(ordered), ends[-1] if ends else 0)
    edges = [_edge(ends, n, shards) for n in range(shards + 1)] if shards else []
    return [ordered[a:b] for a, b in pairwise(edges) if a < b]


def _edge(ends: Sequence[int], number: int, shards: int) -> int:
    """Where shard `number` begins: the item whose end comes next to its share of the weight."""
    share = round(ends[-1] * number / shards)
    at = bisect_left(ends, share)
    if number and at < len(ends) and ends[at] - share <= share - (ends[at - 1] if at else 0):
        at += 1
    return 0 if number == 0 else min(at, len(ends))


def place(
    name: str,
    items: Iterable[K],
    cutting: Cutting,
    homes: Mapping[str, str] = NOWHERE,
    size: Callable[[K], int] | None = None,
) -> list[tuple[str, list[K]]]:
    """Shard stems and their items: those that have a home stay there, the others open new shards.

    `homes`: key to stem, of what stands already; empty to begin anew. Assigning by `hash % n`
    would move nearly every clip as soon as n changes.
    """
    known: dict[str, list[K]] = {}
    new: list[K] = []
    for item in items:
        if home := homes.get(item.key):
            known.setdefault(home, []).append(item)
        else:
            new.append(item)
    if homes and cutting.shards is not None:  # new shards as large as the old ones
        cutting = Cutting(clips=math.ceil(len(homes) / len(set(homes.values()))))
    first = 1 + max((int(home.rpartition("-")[2]) for home in homes.values()), default=-1)
    placed = [(home, in_order(known[home])) for home in sorted(known)]
    opened = cut(new, cutting, size)
    return placed + [(stem(name, first + n), shard) for n, shard in enumerate(opened)]


def stem(name: str, number: int) -> str:
    """A shard's file name without suffix."""
    return f"{name}-{number:06d}"


@dataclass(frozen=True)
class Sample:
    """A clip ready to be stored: sounds by role, and what is known of them.

    `sounds["audio"]` is what a model hears; `"s1"`…, `"clean"`, `"noise"` are its references. Each
    is encoded already, or a signal, (time,) or (time, channels), to be stored as FLAC.
    """

    key: str
    sounds: Mapping[str, NDArray | Encoded]
    sample_rate: int
    cluster: str
    bits: int = 16
    pair: str | None = None
    speaker: str | None = None
    session: str | None = None
    text: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def pack(part: Part, samples: Iterable[Sample | Failure]) -> sidecars.Sidecar:
    """Write a part's tar, its index rows and its sidecar; failures are counted in the sidecar."""
    rows: list[Row] = []
    failures: list[Failure] = []
    base = f"{part.folder}/{part.stem}"
    with stores.partial(f"{base}.tar") as name, Path(name).open("wb") as file:
        writer = TarWriter(file)
        for sample in samples:
            if isinstance(sample, Failure):
                failures.append(sample)
            else:
                rows.append(_store(writer, sample, part.stem))
        tar = writer.close()
    write_rows(f"{base}.parquet", rows)
    return sidecars.write(
        part,
        {f"{base}.tar": tar, **sidecars.facts(f"{base}.parquet")},
        content=digest([row.content for row in rows]),
        clips_out=len(rows),
        seconds=sum(row.seconds for row in rows),
        failures=failures,
    )


def _store(writer: TarWriter, sample: Sample, shard: str) -> Row:
    """Append a sample to the tar; its index row says where everything lies."""
    encoded = {
        role: sound
        if isinstance(sound, Encoded)
        else audio.encode_flac(sound, sample.sample_rate, sample.bits, measured=role == HEARD)
        for role, sound in sample.sounds.items()
    }
    known = said_of(sample)
    members = {member_name(role, sound.suffix): sound.data for role, sound in encoded.items()}
    members["json"] = canonical({**known, "provenance": dict(sample.provenance)}).encode()
    if sample.text is not None:
        members["txt"] = sample.text.encode()
    if "class_index" in sample.labels:
        members["cls"] = sample.labels["class_index"].encode()
    heard = encoded[HEARD]
    return Row(
        key=sample.key,
        shard=shard,
        members=tuple(writer.write(sample.key, members)),
        seconds=heard.frames / sample.sample_rate,
        sample_rate=sample.sample_rate,
        channels=heard.channels,
        sources=sum(role[0] == "s" and role[1:].isdigit() for role in encoded),
        cluster=sample.cluster,
        pair=sample.pair,
        speaker=sample.speaker,
        session=sample.session,
        text=sample.text,
        labels=sample.labels,
        **{name: getattr(heard.measured, name, None) for name in MEASURED},
        clipped=sum(sound.clipped for sound in encoded.values()),
        sound=heard.content,
        content=digest([known, {role: found.content for role, found in sorted(encoded.items())}]),
    )


def member_name(role: str, suffix: str) -> str:
    """A sound's name in its tar, after the key's dot."""
    return suffix if role == HEARD else f"{role}.{suffix}"


def said_of(clip: Sample | Row) -> dict[str, Any]:
    """What is said of a clip beside its sounds: the same of a sample and of its index row."""
    return {
        "key": clip.key,
        "cluster": clip.cluster,
        "pair": clip.pair,
        "speaker": clip.speaker,
        "session": clip.session,
        "text": clip.text,
        "labels": dict(clip.labels),
    }
