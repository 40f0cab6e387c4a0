"""A dataset: a card, tar shards with sidecars, an index row a sample, and what was refused.

datasets/<name>/    dataset.json · index.parquet · failures.parquet
                        <name>-000000.tar with its .json (sidecar) and .parquet (index rows) …
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import audio, stores
from pipelines.audio import BadAudio
from pipelines.records import SCHEMA_VERSION, Domain, Failure, LostWork, RealEarError, digest
from pipelines.schema import NAME
from pipelines.shards import sidecars
from pipelines.shards.sidecars import DamagedShard
from pipelines.shards.tars import Member

CARD, INDEX, FAILURES = "dataset.json", "index.parquet", "failures.parquet"
HEARD = "audio"  # the role of what a model hears; its references are s1, s2…, clean, noise
SMALL = 1 << 16  # bytes of a table below which zstd saves little, and is most of the time to read
STEM = re.compile(rf"{NAME.rstrip('$')}-[0-9]{{6,9}}")  # a shard's name, which becomes a path
SOUNDS = frozenset({"flac", "wav", "ogg", "mp3"})  # what a sound's member may end in

# Arrow's own pool keeps what was freed, a copy a thread: a launcher would grow with the index.
pa.set_memory_pool(pa.system_memory_pool())

_MEMBER = pa.struct([("name", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
INDEX_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),
        ("members", pa.list_(_MEMBER)),
        ("seconds", pa.float64()),
        ("sample_rate", pa.int32()),  # Hz
        ("channels", pa.int32()),
        ("sources", pa.int32()),  # separate sources that came with the clip
        ("cluster", pa.string()),  # corpus/speaker or corpus/session: what intervals resample
        ("pair", pa.string()),  # shared by clips that are the same but for their treatment
        ("speaker", pa.string()),
        ("session", pa.string()),
        ("text", pa.string()),
        ("labels", pa.string()),  # JSON object of strings
        # What metrics.recording measures of what is heard; none of it where nothing was decoded.
        ("peak_dbfs", pa.float64()),
        ("rms_dbfs", pa.float64()),
        ("loudness_lufs", pa.float64()),
        ("clipping", pa.float64()),  # share of samples
        ("silence", pa.float64()),  # share of time
        ("bandwidth_hz", pa.float64()),
        ("dc", pa.float64()),  # mean sample
        ("clipped", pa.int64()),  # samples cut at full scale when the shard was written
        ("sound", pa.string()),  # blake3 of rate and PCM of what is heard
        ("content", pa.string()),  # sha256 of every sound and of what is said of the clip
        ("schema_version", pa.int32()),
    ]
)
FAILURES_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("key", "stage", "reason", "detail", "shard")]
    + [("schema_version", pa.int32())]
)


@dataclass(frozen=True)
class Row:
    """One sample's line in the index (see INDEX_SCHEMA for units)."""

    key: str
    shard: str
    members: tuple[Member, ...]
    seconds: float
    sample_rate: int
    channels: int
    sources: int
    cluster: str
    pair: str | None
    speaker: str | None
    session: str | None
    text: str | None
    labels: Mapping[str, str]
    peak_dbfs: float | None
    rms_dbfs: float | None
    loudness_lufs: float | None
    clipping: float | None
    silence: float | None
    bandwidth_hz: float | None
    dc: float | None
    clipped: int
    sound: str
    content: str

    @cached_property
    def sounds(self) -> Mapping[str, Member]:
        """The members that are sounds, by role: `audio`, `s1`…, `clean`, `noise`."""
        split = [(member.name.rpartition("."), member) for member in self.members]
        return {role or HEARD: m for (role, _, suffix), m in split if suffix in SOUNDS}

    def has(self, role: str) -> bool:
        """Whether the sample has a sound in that role."""
        return role in self.sounds


def write_rows(target: str, rows: Sequence[Row]) -> None:
    """Publish index rows as Parquet."""
    records = [
        {
            **vars(row),  # not asdict, which would copy every value deeply
            "members": [vars(member) for member in row.members],
            "labels": json.dumps(dict(row.labels), sort_keys=True, ensure_ascii=False),
            "schema_version": SCHEMA_VERSION,
        }
        for row in rows
    ]
    write_table(target, pa.Table.from_pylist(records, schema=INDEX_SCHEMA))


def write_table(target: str, table: pa.Table) -> None:
    """Publish a table as Parquet; the same table gives the same bytes."""
    with stores.partial(target) as name:
        pq.write_table(table, name, compression="zstd" if table.nbytes > SMALL else "none")


def read_table(path: str) -> pa.Table:
    """The whole of a Parquet file; DamagedShard where it is none."""
    with stores.open_read(path) as file:
        try:
            return pq.ParquetFile(file).read()  # pq.read_table brings in pandas
        except (pa.ArrowException, OSError) as error:
            raise DamagedShard(f"{path} cannot be read: {error}: make it again") from error


def read_rows(path: str) -> list[Row]:
    """Index rows from Parquet."""
    return to_rows(read_table(path))


def to_rows(table: pa.Table) -> list[Row]:
    """Rows of an index table; DamagedShard where they are not such as RealEar writes."""
    if not table.schema.equals(INDEX_SCHEMA):
        raise DamagedShard("expected the columns of an index, found others: make the dataset again")
    try:
        return [_row(record) for record in table.to_pylist()]
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedShard(f"an index row is damaged: {error}: make the dataset again") from error


def _row(record: dict[str, Any]) -> Row:
    """A row of an index; ValueError or TypeError where it leads anywhere but into a shard."""
    del record["schema_version"]
    record["labels"] = dict(json.loads(record["labels"]))
    record["members"] = tuple(Member(**member) for member in record["members"])
    row = Row(**record)
    if not STEM.fullmatch(row.shard):
        raise ValueError(f"{row.shard!r:.80} is no shard")
    for member in row.members:
        if member.offset < 0 or member.length < 0:
            raise ValueError(f"{member.length} bytes from byte {member.offset} are no member")
    return row


def write_failures(target: str, failures: Sequence[tuple[str, Failure]]) -> None:
    """Publish what was refused, each with the shard that it would be in, as Parquet, by key."""
    records = [
        {
            **{name: printable(value) for name, value in asdict(failure).items()},
            "shard": shard,
            "schema_version": SCHEMA_VERSION,
        }
        for shard, failure in sorted(failures, key=lambda pair: (pair[1].key, pair[1].reason))
    ]
    write_table(target, pa.Table.from_pylist(records, schema=FAILURES_SCHEMA))


def printable(text: str) -> str:
    """Text that any file can hold and any run repeats: bytes that were not UTF-8 show as escapes,
    addresses of objects in an error's text are left out.
    """
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text)  # what no bytes can mean
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Shard:
    """A shard's place, size and content."""

    stem: str
    clips: int
    seconds: float
    content: str


@dataclass(frozen=True)
class Card:
    """`dataset.json`: what the dataset is, how it was made, what it holds."""

    name: str
    domain: Domain
    made_by: Mapping[str, Any]  # the configuration that made it
    inputs: str  # digest of everything that decided the content
    content: str  # digest of PCM and labels, whatever the sharding
    sample_rate: int  # Hz; the lowest, where clips differ
    sources: int  # the most that a clip has
    clips: int
    seconds: float
    refused: Mapping[str, int]  # clips that could not be used, by reason
    shards: tuple[Shard, ...]
    cutting: Mapping[str, Any] = field(default_factory=dict)  # how large the user wanted shards
    duplicates: int = 0  # clips that sound exactly as another one
    notes: tuple[str, ...] = ()
    licence: str = "unknown"
    language: str = ""
    redistribute: bool = False
    schema_version: int = SCHEMA_VERSION

    @property
    def failed(self) -> int:
        """How many clips were refused."""
        return sum(self.refused.values())


@dataclass(frozen=True)
class About:
    """The part of the card that its maker states rather than counts."""

    name: str
    domain: Domain
    made_by: Mapping[str, Any]
    cutting: Mapping[str, Any] = field(default_factory=dict)
    licence: str = "unknown"
    language: str = ""
    redistribute: bool = False
    notes: tuple[str, ...] = field(default=())


def finish(folder: str, about: About, stems: Sequence[str], inputs: str) -> Card:
    """Join the shards' parts into index, failures and, last, the card; drop what is not listed.

    The shards' lengths are compared with their sidecars, not their bytes: those were hashed as they
    were written, and are again by whoever reads them.
    """
    parts = [(stem, sidecars.check_size(folder, stem)) for stem in stems]
    failures = [(stem, failure) for stem, part in parts for failure in part.failures]
    reasons = sorted(failure.reason for _, failure in failures)
    _drop_others(folder, about.name, set(stems))
    counts = _join(folder, stems)
    if counts.clips != sum(part.clips_out for _, part in parts):
        raise LostWork(f"{folder}: the index rows and the shards' clip counts differ")
    write_failures(f"{folder}/{FAILURES}", failures)
    card = Card(
        **{name: getattr(about, name) for name in About.__dataclass_fields__},
        inputs=inputs,
        content=digest(sorted(counts.contents)),
        sample_rate=counts.sample_rate,
        sources=counts.sources,
        clips=counts.clips,
        seconds=round(counts.seconds, 3),
        refused={reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
        shards=tuple(Shard(s, p.clips_out, p.seconds, p.content) for s, p in parts if p.clips_out),
        duplicates=counts.clips - len(set(counts.sounds)),
    )
    stores.write_json(f"{folder}/{CARD}", asdict(card))
    return card


@dataclass
class _Counts:
    """What the card says of the index as a whole."""

    clips: int = 0
    seconds: float = 0.0
    sample_rate: int = 0  # the lowest
    sources: int = 0  # the most
    contents: list[str] = field(default_factory=list)
    sounds: list[bytes] = field(default_factory=list)


def _join(folder: str, stems: Sequence[str]) -> _Counts:
    """Write the index, a row group a shard: a million rows at once would fill the memory."""
    counts = _Counts()
    seconds: list[float] = []
    rates: list[int] = []
    with (
        stores.partial(f"{folder}/{INDEX}") as name,
        pq.ParquetWriter(name, INDEX_SCHEMA, compression="zstd") as writer,
    ):
        for stem in stems:
            table = read_table(f"{folder}/{stem}.parquet")
            if not len(table):
                continue
            writer.write_table(table)
            counts.clips += len(table)
            seconds.append(math.fsum(table["seconds"].to_pylist()))
            rates.append(pc.min(table["sample_rate"]).as_py())
            counts.sources = max(counts.sources, pc.max(table["sources"]).as_py())
            counts.contents += table["content"].to_pylist()
            counts.sounds += [bytes.fromhex(sound)[:16] for sound in table["sound"].to_pylist()]
    counts.seconds = math.fsum(seconds)
    counts.sample_rate = min(rates, default=0)
    return counts


def homes(folder: str, cutting: Mapping[str, Any]) -> dict[str, str]:
    """Key to shard of what stands already, refused clips too; empty where nothing stands that can
    be read, or where it was cut to other sizes.
    """
    found: dict[str, str] = {}
    try:
        if dict(read_card(folder).cutting) != dict(cutting):
            return {}
        for name in (INDEX, FAILURES):
            if stores.exists(f"{folder}/{name}"):
                table = read_table(f"{folder}/{name}")
                found |= zip(table["key"].to_pylist(), table["shard"].to_pylist(), strict=True)
    except (RealEarError, KeyError):
        return {}
    return found if all(STEM.fullmatch(str(stem)) for stem in set(found.values())) else {}


def _drop_others(folder: str, name: str, stems: set[str]) -> None:
    """Remove shards of an earlier, larger make: a stale one must never be read again."""
    for path in stores.listing(folder, f"{name}-[0-9][0-9][0-9][0-9][0-9][0-9].*"):
        if path.rpartition("/")[2].split(".")[0] not in stems:
            stores.remove(path)


def read_card(folder: str) -> Card:
    """The card of a dataset; RealEarError where the folder holds none, or none of this version."""
    where = f"{folder}/{CARD}"
    if not stores.exists(where):
        raise RealEarError(
            f"expected a prepared dataset in {folder}, found no {CARD}: "
            "make it with `realear prepare` or name it in a suite's `datasets`"
        )
    try:
        record = stores.read_json(where)
        record["shards"] = tuple(Shard(**shard) for shard in record["shards"])
        record["notes"] = tuple(record["notes"])
        card = Card(**record)
        for name in (f"{card.name}-000000", *(shard.stem for shard in card.shards)):
            if not STEM.fullmatch(name):  # it would become a path
                raise ValueError(f"{name!r:.80} is no shard")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RealEarError(f"{where} is not a dataset's card: {error!r}: make it again") from error
    if card.schema_version != SCHEMA_VERSION:
        raise RealEarError(
            f"{where}: expected schema_version {SCHEMA_VERSION}, found {card.schema_version}: "
            "make the dataset again"
        )
    return card


def is_whole(folder: str) -> bool:
    """Whether a dataset's tables are there beside its card."""
    return all(stores.exists(f"{folder}/{name}") for name in (CARD, INDEX, FAILURES))


@dataclass(frozen=True)
class Clip:
    """A sample to read from: its index row, and its bytes on demand."""

    row: Row
    file: BinaryIO

    def read(self, name: str = HEARD) -> bytes:
        """The bytes of the sound in a role, or of another member (`txt`, `json`); KeyError where
        the sample has none.
        """
        others = {member.name: member for member in self.row.members}
        member = self.row.sounds.get(name) or others[name]
        if member.offset + member.length > self.file.seek(0, io.SEEK_END):
            where = f"{member.name} of {self.row.key!r} in {self.row.shard}.tar"
            raise DamagedShard(f"{where} lies beyond the shard's end: make the dataset again")
        self.file.seek(member.offset)
        return self.file.read(member.length)

    def signal(self, role: str = HEARD, sample_rate: int | None = None) -> audio.Signal:
        """A sound's samples, the mean of its channels, (time,) float64, at a rate in Hz (None: as
        stored).
        """
        signal, rate = self._decoded(role)
        mono = signal if signal.ndim == 1 else signal.mean(axis=1)
        return audio.resample(mono, rate, sample_rate or rate)

    def channels(self, role: str = HEARD, sample_rate: int | None = None) -> audio.Signal:
        """A sound's channels, (channels, time) float64, at a rate in Hz (None: as stored)."""
        signal, rate = self._decoded(role)
        every = signal[:, None] if signal.ndim == 1 else signal
        return audio.resample(every, rate, sample_rate or rate).T

    def _decoded(self, role: str) -> tuple[audio.Signal, int]:
        try:
            return self._samples(self.read(role))
        except BadAudio as error:
            where = f"{role} of {self.row.key!r} in {self.row.shard}.tar"
            raise DamagedShard(f"{where} is no sound: {error}: make the dataset again") from error

    def _samples(self, data: bytes) -> tuple[audio.Signal, int]:
        return audio.read_signal(data)

    def sources(self, sample_rate: int | None = None) -> audio.Signal:
        """The separate sources, (sources, time) float64; KeyError where there are none."""
        if not self.row.sources:
            raise KeyError("s1")
        return np.stack([self.signal(f"s{n + 1}", sample_rate) for n in range(self.row.sources)])


@contextmanager
def opened(folder: str, stem: str) -> Iterator[list[Clip]]:
    """The samples of a shard, in its order, after checking its bytes against its sidecar; they can
    be read from until the block ends.
    """
    sidecars.check_size(folder, stem)  # before anything is fetched
    with stores.fetched(f"{folder}/{stem}.tar") as tar:
        sidecars.check(folder, stem, tar)
        with stores.open_read(tar) as file:
            yield [Clip(row, file) for row in read_rows(f"{folder}/{stem}.parquet")]


def clips(folder: str, stem: str) -> Iterator[Clip]:
    """The same one after another, for whoever is done with a clip when the next one comes."""
    with opened(folder, stem) as found:
        yield from found


class RandomReader:
    """Read any samples of a dataset by key; files stay open until `close`.

    A shard's bytes are compared with its sidecar when it is first read from; `trust=True` compares
    their number only, so that the first clip of a shard comes as fast as any other.
    """

    def __init__(self, folder: str, *, trust: bool = False) -> None:
        self._folder = folder
        self._trust = trust
        self._files: dict[str, BinaryIO] = {}
        self._index = read_table(f"{folder}/{INDEX}")
        self._places = {key: at for at, key in enumerate(self._index["key"].to_pylist())}

    @cached_property
    def rows(self) -> dict[str, Row]:
        """Every row by key."""
        return {row.key: row for row in to_rows(self._index)}

    def __contains__(self, key: str) -> bool:
        """Whether there is a sample of that key."""
        return key in self._places

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self._places)

    def row(self, key: str) -> Row:
        """The index row of that key; KeyError for no such."""
        [found] = to_rows(self._index.slice(self._places[key], 1))
        return found

    def __getitem__(self, key: str) -> Clip:
        """The sample of that key; KeyError for no such, DamagedShard for changed bytes."""
        row = self.row(key)
        if row.shard not in self._files:
            check = sidecars.check_size if self._trust else sidecars.check
            check(self._folder, row.shard)
            self._files[row.shard] = stores.open_read(f"{self._folder}/{row.shard}.tar")
        return Clip(row, self._files[row.shard])

    def close(self) -> None:
        """Close the shards that were read from."""
        for file in self._files.values():
            file.close()
        self._files.clear()
