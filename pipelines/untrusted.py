"""Files that anybody may have written, as a decoder is given them: metered, bombs refused before.

libsndfile reads damaged files without harm, with two exceptions that 400 bytes can bring about. A
Vorbis header may announce codebooks of millions of entries: libvorbis puts a table of them on the
stack (a crash, the worker is gone) and fills gigabytes. And behind an Ogg page anything may follow:
libogg looks for the next page to the very end, hours where a file is a terabyte of nothing.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO

REREAD = 4  # how often a decoder may read a file: some look for its end, or its length, first
SLACK = 1 << 26  # bytes beyond that: soundfile seeks, and libFLAC reads 8 KiB, after every block
MOST_READ = 3_200_000_000  # bytes, of any file: twice what the longest clip has as 64-bit floats
FARTHEST = 1 << 33  # bytes beyond a file's end that a decoder may go to: files' systems have ends

HEADERS = 1 << 26  # bytes of pages up to the end of Vorbis's headers: comments may hold a picture
SETUP = 1 << 18  # bytes of the setup header; libvorbis writes up to 11 KB
ENTRIES = 1 << 16  # of a codebook; libvorbis writes up to 6,561
VALUES = 1 << 20  # of all codebooks together, entries × dimensions; libvorbis writes up to 87,948
_PAGE = struct.Struct(
    "<4sBBqIIIB"
)  # capture pattern, version, flags, …, serial, number, sum, count
_CONTINUED = 1
_BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # a byte's bits turned round


class Metered(io.RawIOBase):
    """A file of which a decoder may read a few times its length, and no more than MOST_READ.

    `stopped`: reason ("endless" | "unreadable" | "undecodable") and detail, once the decoder was
    told that the file ends though it does not. Nothing is raised into the decoder, where an
    exception could only be printed and forgotten. Closing it leaves the file open.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._left = min(REREAD * self._size + SLACK, MOST_READ)
        self.stopped: tuple[str, str] | None = None
        self._tagged = False
        file.seek(0)
        self._tagged = self.read(3) == b"ID3"
        file.seek(0)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place where the next byte is read; -1, an error to libsndfile, once stopped."""
        return -1 if self.stopped else self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; before the first byte there is none."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(min(max(base + offset, 0), self._size + FARTHEST))

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, to the end where it is negative."""
        return super().read(size) or b""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end, or where enough was read."""
        if self.stopped:
            return 0
        try:
            count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        except OSError as error:
            self.stopped = "unreadable", f"reading fails: {error.strerror or error}"
            return 0
        self._left -= count
        # libsndfile takes no Ogg stream behind a tag, but says so only when it has opened it.
        if self._tagged and bytes(buffer[:4]) == b"OggS":
            self.stopped = "undecodable", "an Ogg stream behind an ID3 tag"
            return 0
        if self._left < 0:
            self.stopped = "endless", "no end of the sound is found, however much is read"
            return 0
        return count


def refuse_bomb(file: Metered) -> None:
    """ValueError for an Ogg Vorbis file whose headers are damaged, or ask for absurd tables.

    The decoder sees the same headers as this: pages follow each other without a gap and their sums
    are right, up to the end of the third header. Every other file is let pass. Goes back to the
    file's start.
    """
    file.seek(0)
    if file.read(4) == b"OggS":
        file.seek(0)
        for packet in _headers(file):
            if packet.startswith(b"\x05vorbis"):
                _check_setup(packet)
    file.seek(0)


def _headers(file: Metered) -> Iterator[bytes]:
    """The three header packets of a file's first stream; none if it is not Vorbis."""
    packets = 0
    begun: bytes | None = None  # a packet that goes on on the next page
    for flags, segments, body in _pages(file):
        if not packets and not body.startswith(b"\x01vorbis"):
            return
        if bool(flags & _CONTINUED) != (begun is not None):
            raise ValueError("a header of its Vorbis stream is torn")
        at = 0
        for length in segments:
            begun = (begun or b"") + body[at : at + length]
            at += length
            if length < 255:
                yield begun
                packets, begun = packets + 1, None
                if packets == 3:
                    return


def _pages(file: Metered) -> Iterator[tuple[int, bytes, bytes]]:
    """Flags, lengths of segments and body of the pages of a file's first Ogg stream."""
    first: tuple[int, int] | None = None  # serial, number of the page expected next
    while file.tell() < HEADERS:
        head = file.read(_PAGE.size)
        if len(head) < _PAGE.size:
            raise ValueError("the headers of its Ogg stream end too soon")
        pattern, version, flags, _, serial, number, stated, count = _PAGE.unpack(head)
        segments = file.read(count)
        body = file.read(sum(segments))
        page = head[:22] + bytes(4) + head[26:] + segments + body
        if pattern != b"OggS" or version or stated != _sum(page):
            raise ValueError("a header page of its Ogg stream is damaged")
        if first is None:
            first = serial, number
        if serial == first[0]:
            if number != first[1]:
                raise ValueError("a header page of its Ogg stream is missing")
            first = serial, number + 1
            yield flags, segments, body
    raise ValueError(f"the headers of its Ogg stream take more than {HEADERS} bytes")


def _sum(page: bytes) -> int:
    """Ogg's checksum: zlib's polynomial, but from the other end of every byte, and from 0."""
    found = zlib.crc32(page.translate(_BACKWARDS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(found.to_bytes(4, "little").translate(_BACKWARDS), "big")


@lru_cache(maxsize=64)  # files of one encoder at one setting share their setup header
def _check_setup(packet: bytes) -> None:
    """ValueError for a Vorbis setup header that asks for more than any encoder does."""
    if len(packet) > SETUP:
        raise ValueError(f"its Vorbis setup header has {len(packet)} bytes")
    bits = _Bits(packet[7:])
    values = 0
    for _ in range(bits.take(8) + 1):
        values += _codebook(bits)
        if values > VALUES:
            raise ValueError("its Vorbis codebooks ask for absurd amounts of memory")


class _Bits:
    """Numbers from a stream of bits, lowest bit first; ValueError beyond its end."""

    def __init__(self, data: bytes) -> None:
        self._text = f"{int.from_bytes(data, 'little'):0{8 * len(data)}b}"[::-1]
        self._at = 0

    def take(self, count: int) -> int:
        """The next number of so many bits."""
        self.skip(count)
        return int(self._text[self._at - count : self._at][::-1] or "0", 2)

    def skip(self, count: int) -> None:
        """Go on by so many bits."""
        self._at += count
        if self._at > len(self._text):
            raise ValueError("its Vorbis setup header ends too soon")

    def skip_optional(self, times: int, count: int) -> None:
        """Go on by fields of a bit each, followed by so many bits where it is 1."""
        found = re.compile(rf"(?:0|1.{{{count}}}){{{times}}}+").match(self._text, self._at)
        if found is None:
            raise ValueError("its Vorbis setup header ends too soon")
        self._at = found.end()


def _codebook(bits: _Bits) -> int:
    """How many values a codebook asks memory for; goes on to the bits behind it."""
    if bits.take(24) != 0x564342:
        raise ValueError("its Vorbis setup header is damaged")
    dimensions, entries = bits.take(16), bits.take(24)
    if entries > ENTRIES:
        raise ValueError(f"a Vorbis codebook of {entries} entries, more than {ENTRIES}")
    if bits.take(1):  # by length: how many of each
        bits.skip(5)
        told = 0
        while told < entries:
            told += bits.take((entries - told).bit_length())
    elif bits.take(1):  # not all of them are used
        bits.skip_optional(entries, 5)
    else:
        bits.skip(5 * entries)
    kind = bits.take(4)
    if not kind:
        return entries
    bits.skip(64)
    width = bits.take(4) + 1
    bits.skip(1)
    bits.skip(width * (_root(entries, dimensions) if kind == 1 else entries * dimensions))
    return entries * max(dimensions, 1)


def _root(entries: int, dimensions: int) -> int:
    """The largest whole number whose power does not exceed `entries`."""
    if not dimensions:
        raise ValueError("a Vorbis codebook of no dimensions")
    found = int(entries ** (1 / dimensions))
    while (found + 1) ** dimensions <= entries:
        found += 1
    while found**dimensions > entries:
        found -= 1
    return found
