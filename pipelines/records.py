"""The small frozen records that travel between stages; none of them holds audio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal

SCHEMA_VERSION = 2  # of every table and sidecar that RealEar writes

Domain = Literal["synthetic", "simulated", "real"]
Role = Literal["model", "baseline", "oracle"]
DOMAINS: tuple[Domain, ...] = ("synthetic", "simulated", "real")


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text. A record stands for the
    object of its fields, as `dataclasses.asdict` has it, without the copy.
    """
    return _CANONICAL.encode(value)


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _names(record.__class__)}


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_fields
)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value's canonical text, as 64 hex digits."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Failure:
    """One clip that could not go on: where it stopped, why in one word, and the detail."""

    key: str
    stage: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class InTar:
    """A recording that is a member of an uncompressed tar: where its bytes lie."""

    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class InTable:
    """A recording that is a cell of a Parquet file: bytes, or a struct with a field `bytes`."""

    path: str
    column: str
    group: int  # row group
    row: int  # within its row group


Sound = str | InTar | InTable  # a file's path, or a place in a file of many


@dataclass(frozen=True, slots=True)
class Entry:
    """What a corpus yields for a clip: file names and labels, no audio.

    Paths are relative to the corpus folder. `start` and `end` cut a stretch, in seconds, out of the
    recording and its references alike; `channel` (from 0) takes one channel of the recording.
    `fault` is set when the reader already knows that the clip cannot be used (its key stands twice,
    its transcript is not UTF-8).
    """

    key: str
    audio: Sound
    sources: tuple[Sound, ...] = ()
    clean: Sound | None = None
    noise: Sound | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    text: str | None = None
    speaker: str | None = None
    session: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    fault: Failure | None = None


@dataclass(frozen=True)
class Part:
    """One unit of work: writes the files of `folder/stem` and, last, their sidecar.

    `inputs` is the digest of everything that decides the result; `clips` and `seconds` are what it
    is expected to cost; `payload` is what the step's work function needs, references only.
    """

    folder: str
    stem: str
    inputs: str
    clips: int
    seconds: float
    payload: Any

    @property
    def id(self) -> str:
        """The folder and stem, unique in a run."""
        return f"{self.folder}/{self.stem}"


@dataclass(frozen=True)
class Joint:
    """Work that does several parts in one go: those that read the same, as `shared` says.

    `work` takes parts of one value of `shared`, and does each of them as if it were alone.
    """

    work: Callable[[Sequence[Part]], None]
    shared: Callable[[Part], Hashable]

    def __call__(self, part: Part) -> None:
        """Do one part."""
        self.work([part])

    def groups(self, parts: Sequence[Part]) -> list[tuple[Part, ...]]:
        """The parts of each value, in the order in which the values first come."""
        found: dict[Hashable, list[Part]] = {}
        for part in parts:
            found.setdefault(self.shared(part), []).append(part)
        return [tuple(group) for group in found.values()]


@dataclass(frozen=True)
class Step:
    """Parts that are done in the same way, and what that is called.

    `work` is an importable function of a part, a Joint of such, or what a model needs to be asked
    about one (`pipelines.predict.Handling`).
    """

    label: str
    parts: Sequence[Part]
    work: Any


class RealEarError(Exception):
    """A mistake that the user can mend: shown without a traceback, exit code 2."""


class ToleranceExceeded(RealEarError):
    """The work is done and kept, but more clips failed than the user tolerates: exit code 3."""


class LostWork(RealEarError):
    """Rows in and rows out of a step differ: nothing after it may run. Exit code 4."""


class GateFired(RealEarError):
    """All is done and kept, but the board is not as the user demands: exit code 5."""
