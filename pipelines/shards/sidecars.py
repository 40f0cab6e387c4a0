"""A sidecar: the small JSON beside a shard that says what made it and what is in it.

It is written last. Without its sidecar a shard does not exist; with one whose `inputs` differ, the
shard is made again, and only that shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from pipelines import stores
from pipelines.records import SCHEMA_VERSION, Failure, LostWork, Part, RealEarError


class DamagedShard(RealEarError):
    """A file's bytes are not the ones that its sidecar vouches for."""


@dataclass(frozen=True)
class Sidecar:
    """What a part's files are: digests, counts, failures.

    `content` is the digest of the decoded content (PCM and labels, texts, scores), which does not
    change with an encoder's version: later steps build on it. `files` maps each file name to its
    (bytes, sha256). Clips in = clips out + failures, always.
    """

    inputs: str
    content: str
    clips_in: int
    clips_out: int
    seconds: float
    files: Mapping[str, tuple[int, str]]
    failures: tuple[Failure, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.clips_in != self.clips_out + len(self.failures):
            raise LostWork(
                f"expected {self.clips_in} clips to be accounted for, "
                f"found {self.clips_out} written and {len(self.failures)} failed"
            )


def path(folder: str, stem: str) -> str:
    """Where a shard's sidecar lies."""
    return f"{folder}/{stem}.json"


def write(
    part: Part,
    files: Mapping[str, tuple[int, str]],
    *,
    content: str,
    clips_out: int,
    seconds: float,
    failures: Sequence[Failure] = (),
) -> Sidecar:
    """Describe the files that a part has published, and publish that description, last.

    `files`: the path of each to its bytes and sha256, as `facts` finds them.
    """
    sidecar = Sidecar(
        inputs=part.inputs,
        content=content,
        clips_in=part.clips,
        clips_out=clips_out,
        seconds=round(seconds, 6),
        files={PurePosixPath(name).name: found for name, found in files.items()},
        failures=tuple(failures),
    )
    stores.write_json(path(part.folder, part.stem), asdict(sidecar))
    return sidecar


def facts(*files: str) -> dict[str, tuple[int, str]]:
    """Bytes and sha256 of files, by reading them."""
    return {name: (stores.size(name), stores.sha256(name)) for name in files}


def read(folder: str, stem: str) -> Sidecar | None:
    """The sidecar of a shard; None where there is none, or none of this schema."""
    where = path(folder, stem)
    if not stores.exists(where):
        return None
    try:
        record = stores.read_json(where)
        record["files"] = {name: (int(f[0]), str(f[1])) for name, f in record["files"].items()}
        record["failures"] = tuple(Failure(**failure) for failure in record["failures"])
        sidecar = Sidecar(**record)
        if any(PurePosixPath(n).name != n or n in ("", "..") for n in sidecar.files):
            return None  # it vouches for files that lie elsewhere
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, LostWork):
        return None
    return sidecar if sidecar.schema_version == SCHEMA_VERSION else None


def is_current(part: Part) -> bool:
    """Whether a part's result is there, made from these inputs, and as long as it should be."""
    sidecar = read(part.folder, part.stem)
    return (
        sidecar is not None
        and sidecar.inputs == part.inputs
        and all(stores.size(f"{part.folder}/{n}") == size for n, (size, _) in sidecar.files.items())
    )


def check(folder: str, stem: str, tar: str = "") -> Sidecar:
    """Compare a shard's files with their sidecar, byte for byte; DamagedShard where they differ.

    A tar cut at a member's end, or with one bit of a header flipped, still reads as a valid,
    shorter tar: only the hash tells. `tar`: the shard's tar as it was fetched.
    """
    sidecar = check_size(folder, stem)
    for name, (_, sha256) in sidecar.files.items():
        where = tar if tar and name == f"{stem}.tar" else f"{folder}/{name}"
        if stores.sha256(where) != sha256:
            raise _damaged(folder, stem, name, sidecar)
    return sidecar


def check_made(folder: str, stem: str, tar: str = "") -> Sidecar:
    """The same for what RealEar can make again: a damaged shard's sidecar is taken away, so that
    the next run makes it.
    """
    try:
        return check(folder, stem, tar)
    except DamagedShard as error:
        stores.remove(path(folder, stem))
        what = str(error).partition(": delete ")[0]
        raise DamagedShard(
            f"{what}: it no longer counts as made; run the same command again, which makes it anew"
        ) from error


def check_size(folder: str, stem: str) -> Sidecar:
    """Compare the lengths of a shard's files with its sidecar; DamagedShard where they differ."""
    sidecar = read(folder, stem)
    if sidecar is None:
        raise DamagedShard(f"expected the sidecar {path(folder, stem)}, found none: make it again")
    for name, (size, _) in sidecar.files.items():
        if stores.size(f"{folder}/{name}") != size:
            raise _damaged(folder, stem, name, sidecar)
    return sidecar


def _damaged(folder: str, stem: str, name: str, sidecar: Sidecar) -> DamagedShard:
    size, sha256 = sidecar.files[name]
    return DamagedShard(
        f"{folder}/{name} is not the file that its sidecar describes ({size} bytes, sha256 "
        f"{sha256[:12]}…): delete {path(folder, stem)} and run the same command again"
    )
