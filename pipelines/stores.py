"""Paths and atomic publication: whatever exists under its final name is whole.

A local path is written beside its target under a temporary name, flushed to the disk and renamed.
A URL (`gs://`, `s3://`, `hdfs://`) goes through Beam's filesystems (`objects`): spooled locally,
then uploaded whole, since object stores know no rename.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipelines import objects
from pipelines.records import RealEarError

PARTIAL = ".partial"  # suffix of files that are still being written
BLOCK = 1 << 20  # bytes read at a time
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # a disk, a quota, a limit on a file's length
FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class NotWritable(RealEarError):
    """What is made cannot be stored: no room, no right, no such place."""


def is_url(path: str) -> bool:
    """Whether Beam's filesystems are asked, not the local disk."""
    return "://" in path


def exists(path: str) -> bool:
    """Whether a file (or, locally, a folder) is there."""
    return objects.size(path) >= 0 if is_url(path) else Path(path).exists()


def size(path: str) -> int:
    """Length of a file in bytes; -1 where there is none."""
    try:
        return objects.size(path) if is_url(path) else Path(path).stat().st_size
    except OSError:
        return -1


def open_read(path: str) -> BinaryIO:
    """A seekable binary file for reading."""
    if is_url(path):
        return cast(BinaryIO, objects.filesystems(path).open(path))
    return Path(path).open("rb")


@contextmanager
def fetched(path: str) -> Iterator[str]:
    """A local file of the same bytes: the file itself, or a copy of what a URL names, downloaded
    once, for whoever reads all of it.
    """
    if not is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="realear-") as spool:
        name = f"{spool}/{path.rpartition('/')[2]}"
        with open_read(path) as source, Path(name).open("wb") as sink:
            shutil.copyfileobj(source, sink, BLOCK)
        yield name


def kept(path: str) -> str:
    """A local file of the same bytes that stays until this process ends: the file itself, or a copy
    of what a URL names, downloaded once; for what nobody changes meanwhile.
    """
    if not is_url(path):
        return path
    place = Path(_copies(), hashlib.sha256(path.encode()).hexdigest(), path.rpartition("/")[2])
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        with fetched(path) as name:
            shutil.move(name, place)
    return str(place)


@cache
def _copies() -> str:
    folder = tempfile.mkdtemp(prefix="realear-copies-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def read_bytes(path: str) -> bytes:
    """The whole of a file."""
    with open_read(path) as file:
        return file.read()


def read_json(path: str) -> Any:
    """The JSON value in a file."""
    return json.loads(read_bytes(path))


def sha256(path: str) -> str:
    """SHA-256 of a file's bytes, as hex."""
    found = hashlib.sha256()
    with open_read(path) as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


@contextmanager
def partial(target: str) -> Iterator[str]:
    """Yield a local name to write to; publish it as `target` if the block ends without an error."""
    if is_url(target):
        with tempfile.TemporaryDirectory(prefix="realear-") as spool:
            name = str(Path(spool, "upload"))
            yield name
            publish(name, target)
        return
    folder = Path(target).parent
    name = f"{folder}/.{Path(target).name}.{socket.gethostname()}.{os.getpid()}{PARTIAL}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield name
        publish(name, target)
    except OSError as error:
        # What may not be read is another matter: the folder, or one above it, must be meant.
        ours = error.errno in FULL or name.startswith(str(error.filename or "\0"))
        if ours and (words := refusal(error)):
            raise NotWritable(f"{target} cannot be written: {words}") from error
        raise
    finally:
        with suppress(OSError):  # where it could not even be made
            Path(name).unlink(missing_ok=True)


def refusal(error: OSError) -> str:
    """What a disk's refusal to write means and what helps; "" for any other error."""
    if error.errno in FULL:
        return (
            f"{error.strerror or 'no room'}: make room or name another folder by --out; finished "
            "shards are kept, the same command goes on from there"
        )
    if error.errno in FORBIDDEN:
        return f"{error.strerror}: allow writing there, or name another folder by --out"
    return ""


def publish(local_file: str, target: str) -> None:
    """Put a finished local file in place: flushed and renamed, or uploaded whole."""
    if is_url(target):
        objects.upload(local_file, target, Path(local_file).stat().st_size)
        return
    with Path(local_file).open("rb") as file:
        os.fsync(file.fileno())
    os.replace(local_file, target)  # noqa: PTH105 (the plain call is the point here)


_held: set[str] = set()  # folders that this process holds


@contextmanager
def alone(*folders: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold local folders against other commands of ours on this machine, made if need be.

    Whoever comes second waits, after `waiting` was called with the folder, and then finds the work
    done. The kernel lets go when a process ends, however it ends. Held by this process already: no
    waiting. URLs, and disks that know no locks: not held, and what two write at once is the same.
    """
    wanted = sorted({os.path.realpath(path) for path in folders if not is_url(path)} - _held)
    with ExitStack() as held:  # in the order of names, so that two never wait for each other
        for folder in wanted:
            held.enter_context(_hold(folder, waiting))
        _held.update(wanted)
        try:
            yield
        finally:
            _held.difference_update(wanted)


@contextmanager
def _hold(folder: str, waiting: Callable[[str], None]) -> Iterator[None]:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # whoever writes there will say why it cannot be done
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # no locks on this disk
            pass
        yield
    finally:
        os.close(handle)


def hasten(file: BinaryIO, offset: int, length: int) -> None:
    """Have the disk begin with bytes just written, so that the flush at the end finds little left.

    Advice: where the system takes none, the flush waits for all of them.
    """
    if hasattr(os, "posix_fadvise"):
        file.flush()
        # Linux takes "not needed" of bytes not yet on the disk as "write them now", and keeps them.
        with suppress(OSError):  # no file of a disk, or one whose system will not be advised
            os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)


def write_bytes(target: str, data: bytes) -> None:
    """Publish bytes under a name."""
    with partial(target) as name:
        Path(name).write_bytes(data)


def write_json(target: str, value: Any) -> None:
    """Publish a JSON value: sorted keys, indented, so that equal values are equal bytes."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)
    write_bytes(target, f"{text}\n".encode("utf-8", "backslashreplace"))


def remove(path: str) -> None:
    """Delete a file if it is there."""
    if is_url(path):
        if exists(path):
            objects.filesystems(path).delete([path])
    else:
        Path(path).unlink(missing_ok=True)


def listing(folder: str, pattern: str = "*") -> list[str]:
    """Paths of the files in a folder that match, sorted; empty where there is no folder."""
    if is_url(folder):
        wanted = f"{folder.rstrip('/')}/{pattern}"
        matched = objects.filesystems(folder).match([wanted])[0].metadata_list
        return sorted(str(item.path) for item in matched)
    return sorted(str(path) for path in Path(folder).glob(pattern) if path.is_file())


def sweep(folder: str) -> None:
    """Remove what killed processes of this machine left half-written in a folder."""
    if is_url(folder):
        return
    here = socket.gethostname()
    for path in Path(folder).glob(f".*{PARTIAL}"):
        host, _, process = path.name.removesuffix(PARTIAL).rpartition(".")
        if host.endswith(f".{here}") and process.isdigit() and not _alive(int(process)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _defunct(process)


def _defunct(process: int) -> bool:
    """Whether only the entry of a process is left, waiting for its parent (Linux)."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "Z"
