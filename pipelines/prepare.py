"""Prepare: recordings in, verified shards out. Decode, check, mono, resample, FLAC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from stat import S_ISREG

import numpy as np

from pipelines import audio, stores
from pipelines.audio import BadAudio
from pipelines.records import Entry, Failure, Part, digest
from pipelines.shards.packing import Sample, cut, pack, stem

VERSION = "1"  # bump when the same recordings would give other samples
UNKNOWN = "unknown"  # speaker of clips that name none: one cluster, so no interval is invented


@dataclass(frozen=True)
class Preparing:
    """What the work on one shard needs: its entries and how to treat them."""

    folder: str
    corpus: str
    entries: tuple[Entry, ...]
    sample_rate: int | None = None  # Hz; None keeps each recording's own
    channel: int | None = None  # None: the mean of all


def plan(name: str, target: str, job: Preparing, shards: int | None = None) -> list[Part]:
    """Parts of a dataset `name` in the folder `target`, one a shard."""
    parts = []
    for number, entries in enumerate(cut(job.entries, shards)):
        facts, size = _facts(job.folder, entries)
        payload = replace(job, entries=tuple(entries))
        inputs = digest(["prepare", VERSION, job.corpus, job.sample_rate, job.channel, facts])
        parts.append(Part(target, stem(name, number), inputs, len(entries), size / 32_000, payload))
    return parts


def _facts(folder: str, entries: Sequence[Entry]) -> tuple[list[object], int]:
    """What decides the samples, as far as it shows without reading the audio; and all bytes."""
    facts: list[object] = []
    total = 0
    for entry in entries:
        stamps: list[object] = []
        for path in (entry.audio, entry.clean, *entry.sources):
            length, modified = _stamp(Path(folder, path)) if path else (None, None)
            stamps.append([path, length, modified])
            total += length or 0
        facts.append([asdict(entry), stamps])
    return facts, total


def _stamp(path: Path) -> tuple[int | None, int | None]:
    """Length in bytes and time of change in ns; None for what is no file or cannot be looked at."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # not there, too long a name, no permission, a NUL in it
        return None, None
    return (found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else (None, None)


def make_shard(part: Part) -> None:
    """Write one shard of a dataset (the work function of this step)."""
    job: Preparing = part.payload
    pack(part, samples(job))


def samples(job: Preparing) -> Iterator[Sample | Failure]:
    """Every entry as a sample or as a failure, in order."""
    for entry in job.entries:
        yield entry.fault or _sample(job, entry)


def _sample(job: Preparing, entry: Entry) -> Sample | Failure:
    try:
        signals, rate, bits = _signals(job, entry)
    except BadAudio as error:
        return Failure(entry.key, "prepare", error.reason, str(error))
    return Sample(
        key=entry.key,
        signals=signals,
        sample_rate=rate,
        bits=bits,
        cluster=f"{job.corpus}/{entry.session or entry.speaker or UNKNOWN}",
        speaker=entry.speaker,
        session=entry.session,
        text=entry.text,
        labels=entry.labels,
        provenance={"file": entry.audio},
    )


def _signals(job: Preparing, entry: Entry) -> tuple[dict[str, audio.Signal], int, int]:
    """All signals of a clip at one rate, with that rate and the bits they need."""
    names = {"flac": entry.audio}
    names |= {f"s{n + 1}.flac": path for n, path in enumerate(entry.sources)}
    if entry.clean:
        names["clean.flac"] = entry.clean
    recordings = {name: _decode(job.folder, path) for name, path in names.items()}
    heard = recordings["flac"]
    _check_alike(recordings, heard)
    rate = job.sample_rate or heard.sample_rate
    signals = {
        name: audio.resample(audio.mono(found, job.channel), found.sample_rate, rate)
        for name, found in recordings.items()
    }
    bits = max(found.bits for found in recordings.values())
    if not np.any(np.rint(signals["flac"] * 2.0 ** (bits - 1))):
        raise BadAudio("silent", f"every sample is zero at {bits} bits")
    return signals, rate, bits


def _decode(folder: str, path: str) -> audio.Recording:
    where = str(Path(folder, path))
    try:
        data = stores.read_bytes(where)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise BadAudio("missing_file", f"no file at {path!r}") from error
    except OSError as error:
        raise BadAudio("unreadable", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BadAudio("missing_file", f"{path!r} cannot be a file's name: {error}") from error
    recording = audio.decode(data)
    if not np.isfinite(recording.samples).all():
        raise BadAudio("not_finite", f"{path} holds NaN or infinite samples")
    return recording


def _check_alike(recordings: dict[str, audio.Recording], heard: audio.Recording) -> None:
    """References must be as long as what is heard, sample for sample, at the same rate."""
    for name, found in recordings.items():
        if found.sample_rate != heard.sample_rate:
            detail = f"{name}: expected {heard.sample_rate} Hz, found {found.sample_rate} Hz"
            raise BadAudio("source_sample_rate", detail)
        if len(found.samples) != len(heard.samples):
            detail = f"{name}: expected {len(heard.samples)} samples, found {len(found.samples)}"
            raise BadAudio("source_length", detail)


def notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """What a reader of the board should know about the corpus."""
    nameless = sum(entry.speaker is None and entry.session is None for entry in entries)
    if not nameless:
        return ()
    return (
        f"{nameless} of {len(entries)} clips name no speaker or session: they count as one "
        "cluster, so that no interval is invented",
    )
