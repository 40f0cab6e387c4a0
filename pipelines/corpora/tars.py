"""Members of a tar, found from its headers alone: nothing is unpacked, and no header is trusted.

The standard library's `tarfile` stops in silence at a damaged header, reads a long name of any
claimed length, and takes three times as long. Here the first is reported, the second limited.
Headers are those of POSIX.1-1988 (ustar) with the extensions of GNU and of POSIX.1-2001 (pax).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from pipelines.records import RealEarError

BLOCK = 512  # bytes
LONGEST = 1 << 16  # bytes of a header's extension: a path has at most 4 KiB
BEYOND = 1 << 20  # bytes after the end mark that are looked at
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_FILES = {b"0", b"\0", b"7"}
_FOLDER = b"5"
_ODD = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_NO_BYTES = {b"1", b"2", b"3", b"4", b"5", b"6"}  # whatever length such a header states
_LONG_NAME, _LONG_LINK = b"L", b"K"  # GNU
_RECORDS, _RECORDS_FOR_ALL = {b"x", b"X"}, b"g"  # pax


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
class _Header:
    """What a block of 512 bytes says of the member that follows it."""

    name: str
    kind: bytes
    size: int


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
        header = _header(file, at, size)
        if header is None:
            return
        if isinstance(header, Damage):
            yield header
            return
        data = at + BLOCK
        extended = _extended(file, header, data, ahead)
        if extended is not None:
            length, ahead = header.size, extended
        else:
            member = _member(header, data, ahead)
            length, ahead = member.length, _Ahead()
            if data + length > size:
                detail = f"it claims {length} bytes of {size - data} that are left"
                yield replace(member, fault="truncated", detail=detail)
                return
            if not _is_folder(header, member):
                yield member
        at = data + length + -length % BLOCK


def _header(file: BinaryIO, at: int, size: int) -> _Header | Damage | None:
    """The header at an offset; None at the end mark."""
    file.seek(at)
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        found = "nothing" if not block else f"{len(block)} bytes"
        return Damage(at, "truncated", f"expected a header or the end mark, found {found}")
    if not any(block):
        detail = f"{size - at} bytes from the end mark on: tars put together?"
        return Damage(at, "trailing", detail) if any(file.read(BEYOND)) else None
    length = _number(block[124:136])
    if length is None or not _adds_up(block):
        return Damage(at, "bad_tar", f"no header of a tar at byte {at}")
    kind = block[156:157]
    if kind == b"S" and block[482]:
        return Damage(at, "bad_tar", f"a sparse file at byte {at}: store it whole")
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(name, kind, length)


def _number(field: bytes) -> int | None:
    """A header's number, octal or (GNU) binary; None for what is none or below 0."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    return int(digits or b"0", 8) if not digits.strip(b"01234567") else None


def _adds_up(block: bytes) -> bool:
    """Whether a header's sum, of its bytes as unsigned or (long ago) signed numbers, is right."""
    rest = block[:148] + b" " * 8 + block[156:]
    stated, total = _number(block[148:156]), sum(rest)
    return stated == total or stated == total - 256 * sum(byte > 127 for byte in rest)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _member(header: _Header, data: int, ahead: _Ahead) -> Member:
    """A member with what went ahead of it; links, devices and folders have no bytes."""
    name = header.name if ahead.name is None else ahead.name
    size = header.size if ahead.size is None else ahead.size
    known = header.kind in _FILES or header.kind == _FOLDER
    odd = "" if known else _ODD.get(header.kind, "a member of an unknown kind")
    unsafe = ahead.unsafe or odd or _unsafe_name(name)
    length = 0 if header.kind in _NO_BYTES else size
    return Member(name, data, length, "unsafe_member" if unsafe else "", unsafe)


def _is_folder(header: _Header, member: Member) -> bool:
    """Whether it is one, also as before there was a kind of their own for them."""
    return header.kind == _FOLDER or (header.kind in _FILES and member.name.endswith("/"))


def _unsafe_name(name: str) -> str:
    """Why a name could lead out of a folder; empty where it cannot."""
    if not name or name.startswith("/") or "\0" in name:
        return "an absolute or empty name"
    return "a name with `..`" if ".." in name and ".." in re.split(r"[/\\]", name) else ""


def _extended(file: BinaryIO, header: _Header, data: int, ahead: _Ahead) -> _Ahead | None:
    """What an extension adds to what is known of the next member; None for a member itself."""
    if header.kind in (_LONG_LINK, _RECORDS_FOR_ALL):
        return ahead
    if header.kind != _LONG_NAME and header.kind not in _RECORDS:
        return None
    if header.size > LONGEST:
        return replace(ahead, unsafe=f"a header of {header.size} bytes")
    file.seek(data)
    content = file.read(header.size)
    if header.kind == _LONG_NAME:
        return replace(ahead, name=_text(content))
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
