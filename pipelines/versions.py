"""Which code and which libraries decide what is made, as digests and version numbers go."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent


@cache
def installed(library: str) -> str:
    """A library's version, looked up once (0.5 ms); PackageNotFoundError where there is none."""
    return version(library)


@cache
def code(*packages: str) -> str:
    """SHA-256 of every file of some of our packages, by name and bytes, as hex."""
    found = hashlib.sha256()
    for package in packages:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix != ".pyc" and path.is_file():
                data = path.read_bytes()
                found.update(f"{path.relative_to(ROOT).as_posix()}\n{len(data)}\n".encode())
                found.update(data)
    return found.hexdigest()
