"""Packing: which clip goes to which shard, and the writing of one whole shard."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipelines import audio, stores
from pipelines.records import Failure, Part, canonical, digest
from pipelines.shards import sidecars
from pipelines.shards.datasets import Row, write_rows
from pipelines.shards.tars import TarWriter

SHARDS = 16  # by default: eight for each of two workers, whatever the machine that packs
CLIPS_PER_SHARD = (4, 1_000)  # fewest and most clips that the default puts into a shard


class Keyed(Protocol):
    """Anything with a key."""

    @property
    def key(self) -> str:
        """The clip's key."""
        ...


K = TypeVar("K", bound=Keyed)


def cut(items: Iterable[K], shards: int | None = None) -> list[list[K]]:
    """Sort by the hash of the key and cut into `shards` lists whose lengths differ by one at most.

    `shards=None`: 16, or as many as keep a shard between 4 and 1,000 clips. Never an empty list;
    no items, no lists.
    """
    ordered = sorted(items, key=lambda item: (hashlib.sha256(item.key.encode()).digest(), item.key))
    count = len(ordered)
    if shards is None:
        least, most = CLIPS_PER_SHARD
        shards = max(min(SHARDS, count // least), math.ceil(count / most), 1)
    shards = min(shards, count)
    edges = [round(count * n / shards) for n in range(shards + 1)] if shards else []
    return [ordered[a:b] for a, b in itertools.pairwise(edges)]


def stem(name: str, number: int) -> str:
    """A shard's file name without suffix."""
    return f"{name}-{number:06d}"


@dataclass(frozen=True)
class Sample:
    """A clip ready to be stored: signals by member name, each (time,) float64, and what is known.

    `signals["flac"]` is what a model hears; `"s1.flac"`…, `"clean.flac"` are its references.
    """

    key: str
    signals: Mapping[str, audio.Signal]
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
        writer.close()
    write_rows(f"{base}.parquet", rows)
    return sidecars.write(
        part,
        [f"{base}.tar", f"{base}.parquet"],
        content=digest([row.content for row in rows]),
        clips_out=len(rows),
        seconds=sum(row.seconds for row in rows),
        failures=failures,
    )


def _store(writer: TarWriter, sample: Sample, shard: str) -> Row:
    """Append a sample to the tar; its index row says where everything lies."""
    encoded = {
        name: audio.encode_flac(signal, sample.sample_rate, sample.bits)
        for name, signal in sample.signals.items()
    }
    known = _known(sample)
    members = {name: flac.data for name, flac in encoded.items()}
    members["json"] = canonical({**known, "provenance": dict(sample.provenance)}).encode()
    if sample.text is not None:
        members["txt"] = sample.text.encode()
    heard = encoded["flac"]
    return Row(
        key=sample.key,
        shard=shard,
        members=tuple(writer.write(sample.key, members)),
        seconds=heard.frames / sample.sample_rate,
        sample_rate=sample.sample_rate,
        sources=sum(name.startswith("s") for name in encoded),
        cluster=sample.cluster,
        pair=sample.pair,
        speaker=sample.speaker,
        session=sample.session,
        text=sample.text,
        labels=sample.labels,
        peak_dbfs=heard.peak_dbfs,
        rms_dbfs=heard.rms_dbfs,
        clipped=sum(flac.clipped for flac in encoded.values()),
        content=digest([known, {name: flac.content for name, flac in sorted(encoded.items())}]),
    )


def _known(sample: Sample) -> dict[str, Any]:
    """What is said of a sample beside its signals."""
    return {
        "key": sample.key,
        "cluster": sample.cluster,
        "pair": sample.pair,
        "speaker": sample.speaker,
        "session": sample.session,
        "text": sample.text,
        "labels": dict(sample.labels),
    }
