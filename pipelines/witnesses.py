"""Witnesses: a file that the launcher lays beside the results, and every worker looks for.

A worker on another host that does not see the same folder, or has other versions of the libraries,
would write where nobody looks, or other bytes. It stops the run instead, and says which.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from pipelines import stores
from pipelines.records import Part, RealEarError
from pipelines.shards import sidecars


@dataclass(frozen=True)
class Witness:
    """Where the file lies, and the launcher's versions by name."""

    path: str
    versions: tuple[tuple[str, str], ...]


@contextmanager
def laid(parts: Sequence[Part]) -> Iterator[Witness]:
    """A witness beside the first part's result, until the block ends."""
    # The name of what is half-written: a folder is swept of it if we are killed.
    name = f".witness.{socket.gethostname()}.{os.getpid()}{stores.PARTIAL}"
    path = f"{parts[0].folder}/{name}"
    stores.write_bytes(path, b"")
    try:
        yield Witness(path, versions())
    finally:
        stores.remove(path)


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Python and every library that RealEar names, "none" where one is not installed."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for requirement in ["realear", *(importlib.metadata.requires("realear") or ())]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name and "extra ==" not in requirement:
            found[name[0]] = _version(name[0])
    return tuple(sorted(found.items()))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def admit(part: Part, witness: Witness) -> list[Part]:
    """The part, if this worker is to do it: not if it is done, as when a lost bundle is repeated.

    RealEarError if this worker does not see what the launcher sees, or is not made as it is.
    """
    _look(witness)
    return [] if sidecars.is_current(part) else [part]


@cache
def _look(witness: Witness) -> None:
    """Once a process: a mistake ends the run, and a process that has seen the file believes it."""
    here = socket.gethostname()
    if not stores.exists(witness.path):
        raise RealEarError(
            f"the worker on {here} does not see {os.path.dirname(witness.path)}: mount "  # noqa: PTH120
            "the folder of --out, and what datasets are made from, there under the same absolute "
            "names, or say a URL (s3://, gs://, hdfs://)"
        )
    ours = dict(versions())
    differ = [
        f"{name} {ours.get(name, 'none')} (expected {expected})"
        for name, expected in witness.versions
        if ours.get(name) != expected
    ]
    if differ:
        raise RealEarError(
            f"the worker on {here} has {', '.join(differ)}: install the same versions on every "
            "worker (constraints.txt)"
        )
