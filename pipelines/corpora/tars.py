"""Members of a tar, found from its headers alone: nothing is unpacked, and no header is trusted.

The standard library stops in silence at a damaged header and reads a long name of any claimed
length; here the first is reported and the second limited.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pipelines.records import RealEarError

BLOCK = tarfile.BLOCKSIZE  # 512 bytes
LONGEST = 1 << 16  # bytes of a header's extension: a path has at most 4 KiB
BEYOND = 1 << 20  # bytes after the end mark that are looked at
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_LINKS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_EXTENSIONS = {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE,
               tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar and where its bytes lie; `fault` and `detail`: why it must not be used."""

    name: str
    offset: int
    length: int
    fault: str = ""  # unsafe_member | truncated
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """Where a tar stops making sense: truncated | bad_tar | trailing."""

    offset: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What extensions said of the member that follows them."""

    name: str | None = None
    size: int | None = None
    unsafe: str = ""


def members(where: Path) -> Iterator[Member | Damage]:
    """Every file of a tar in its order; folders are left out.

    A member that cannot be used has a fault. Damage, and a member that is cut short, are the last.
    RealEarError for a compressed tar.
    """
    with where.open("rb") as file:
        magic = file.read(8)
        for start, kind in COMPRESSED.items():
            if magic.startswith(start):
                raise RealEarError(
                    f"expected plain tars, found {where.name} compressed by {kind}: unpack it once "
                    "(sound hardly gets smaller, and one clip could only be found by unpacking all)"
                )
        yield from _walk(file, where.stat().st_size)


def _walk(file: BinaryIO, size: int) -> Iterator[Member | Damage]:
    at, ahead = 0, _Ahead()
    while True:
        info = _header(file, at, size)
        if info is None:
            return
        if isinstance(info, Damage):
            yield info
            return
        data, length = at + BLOCK, info.size
        if info.type in _EXTENSIONS:
            ahead = _extended(file, info, data, ahead)
        else:
            member = _member(info, data, ahead)
            length, ahead = member.length, _Ahead()
            if data + length > size:
                detail = f"it claims {length} bytes of {size - data} that are left"
                yield replace(member, fault="truncated", detail=detail)
                return
            if not info.isdir():
                yield member
        at = data + length + -length % BLOCK


def _header(file: BinaryIO, at: int, size: int) -> tarfile.TarInfo | Damage | None:
    """The header at an offset; None at the end mark."""
    file.seek(at)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        found = "nothing" if not block else f"{len(block)} bytes"
        return Damage(at, "truncated", f"expected a header or the end mark, found {found}")
    if not any(block):
        detail = f"{size - at} bytes from the end mark on: tars put together?"
        return Damage(at, "trailing", detail) if any(file.read(BEYOND)) else None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        return Damage(at, "bad_tar", f"no header of a tar at byte {at}: {error}")
    if info.size < 0:
        return Damage(at, "bad_tar", f"the header at byte {at} claims {info.size} bytes")
    if info.type == tarfile.GNUTYPE_SPARSE and block[482]:
        return Damage(at, "bad_tar", f"a sparse file at byte {at}: store it whole")
    return info


def _member(info: tarfile.TarInfo, data: int, ahead: _Ahead) -> Member:
    """A member with what went ahead of it; links and devices have no bytes of their own."""
    name = info.name if ahead.name is None else ahead.name
    size = info.size if ahead.size is None else ahead.size
    odd = "" if info.isreg() or info.isdir() else "a member of an unknown kind"
    unsafe = ahead.unsafe or _LINKS.get(info.type, odd) or _unsafe_name(name)
    bare = info.type in tarfile.SUPPORTED_TYPES and not info.isreg()
    fault = "unsafe_member" if unsafe else ""
    return Member(name, data, 0 if bare else size, fault, unsafe)


def _unsafe_name(name: str) -> str:
    """Why a name could lead out of a folder; empty where it cannot."""
    if not name or name.startswith("/") or "\0" in name:
        return "an absolute or empty name"
    return "a name with `..`" if ".." in re.split(r"[/\\]", name) else ""


def _extended(file: BinaryIO, info: tarfile.TarInfo, data: int, ahead: _Ahead) -> _Ahead:
    """What an extension header adds to what is known of the next member."""
    if info.type in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
        return ahead
    if info.size > LONGEST:
        return replace(ahead, unsafe=f"a header of {info.size} bytes")
    file.seek(data)
    content = file.read(info.size)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        name = content.partition(b"\0")[0]
        return replace(ahead, name=name.decode("utf-8", "surrogateescape"))
    return _with_records(content, ahead)


def _with_records(content: bytes, ahead: _Ahead) -> _Ahead:
    """Name and size from records `length key=value` of POSIX.1-2001."""
    while content:
        found = re.match(rb"([0-9]{1,6}) ", content)
        length = int(found[1]) if found else 0
        record = content[:length]
        if not found or length <= len(found[0]) or not record.endswith(b"\n"):
            return replace(ahead, unsafe="a header that cannot be read")
        key, _, value = record[len(found[0]) : -1].partition(b"=")
        if key == b"path":
            ahead = replace(ahead, name=value.decode("utf-8", "surrogateescape"))
        elif key == b"size" and re.fullmatch(rb"[0-9]{1,18}", value):
            ahead = replace(ahead, size=int(value))
        elif key == b"size" or key.startswith(b"GNU.sparse."):
            ahead = replace(ahead, unsafe="a sparse file, or one of no length")
        content = content[length:]
    return ahead
