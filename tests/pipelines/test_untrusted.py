"""What would crash a decoder, or make it read for ever, never reaches it; everything sound does."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
import soundfile

from pipelines import audio
from pipelines.audio import BadAudio
from pipelines.untrusted import ENTRIES, Metered, refuse_bomb

RATE = 8_000  # Hz
BACKWARDS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
IDENTIFICATION = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, RATE, 0, 0, 0, 0xB8, 1)
COMMENT = b"\x03vorbis" + struct.pack("<II", 0, 0) + b"\x01"


def encoded(form: str, subtype: str | None = None, *, rate: int = RATE, channels: int = 1,
            quality: float | None = None, samples: int = 4_000) -> bytes:  # fmt: skip
    signal = np.random.default_rng(0).uniform(-0.4, 0.4, (samples, channels))
    file = io.BytesIO()
    soundfile.write(file, signal, rate, format=form, subtype=subtype, compression_level=quality)
    return file.getvalue()


class Bits:
    """Numbers one behind the other, lowest bit first, as Vorbis packs them."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, value: int, count: int) -> "Bits":
        self.text += f"{value:0{count}b}"[::-1] if count else ""
        return self

    @property
    def data(self) -> bytes:
        return int(self.text[::-1], 2).to_bytes((len(self.text) + 7) // 8, "little")


def book(bits: Bits, entries: int, dimensions: int = 1, *, kind: str = "ordered",
         lookup: int = 0) -> None:  # fmt: skip
    """A codebook of equally long words; `entries` is a power of two."""
    depth = entries.bit_length() - 1
    bits.put(0x564342, 24).put(dimensions, 16).put(entries, 24)
    if kind == "ordered":
        bits.put(1, 1).put(depth - 1, 5).put(entries, depth + 1)
    elif kind == "plain":
        bits.put(0, 2)
        bits.text += f"{depth - 1:05b}"[::-1] * entries
    else:  # a flag before every length
        bits.put(0, 1).put(1, 1)
        bits.text += ("1" + f"{depth - 1:05b}"[::-1]) * entries
    bits.put(lookup, 4)
    if lookup:
        bits.put(0, 64).put(0, 4).put(0, 1)
        root = max(n for n in range(entries + 1) if n**dimensions <= entries)
        bits.text += "0" * (root if lookup == 1 else entries * dimensions)


def setup(*books: dict, count: int | None = None) -> bytes:
    """A setup header: codebooks, and the least that libvorbis takes behind them."""
    bits = Bits().put((count or len(books)) - 1, 8)
    for given in books:
        book(bits, **given)
    bits.put(0, 22).put(0, 6).put(1, 16).put(0, 5).put(0, 2).put(8, 4)  # times, a floor
    bits.put(0, 6).put(0, 16).put(0, 72).put(0, 14).put(0, 4)  # a residue
    bits.put(0, 22).put(0, 4).put(0, 24).put(0, 6).put(0, 41).put(1, 1)  # a mapping, a mode
    return b"\x05vorbis" + bits.data


def page(body: bytes, segments: bytes, number: int, *, flags: int = 0, serial: int = 1) -> bytes:
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, 0, serial, number, 0)
    found = zlib.crc32((head + bytes([len(segments)]) + segments + body).translate(BACKWARDS),
                       0xFFFFFFFF) ^ 0xFFFFFFFF  # fmt: skip
    told = found.to_bytes(4, "big").translate(BACKWARDS)
    return head[:22] + told + bytes([len(segments)]) + segments + body


def packets(*bodies: bytes) -> tuple[bytes, bytes]:
    """Body and lengths of segments of a page of whole packets."""
    lengths = b"".join(bytes([255] * (len(b) // 255) + [len(b) % 255]) for b in bodies)
    return b"".join(bodies), lengths


def ogg(setup_header: bytes) -> bytes:
    """A Vorbis file of that setup header and four pages of empty packets."""
    pages = [page(*packets(IDENTIFICATION), 0, flags=2), page(*packets(COMMENT, setup_header), 1)]
    return b"".join([*pages, *(page(*packets(b"\0\0", b"\0\0"), 2 + n) for n in range(4))])


def refusal(data: bytes) -> str:
    """Why a file is refused, or nothing."""
    try:
        refuse_bomb(Metered(io.BytesIO(data)))
    except ValueError as error:
        return str(error)
    return ""


def outcome(data: bytes) -> str:
    """`decoded`, or the reason why it is not."""
    try:
        return "decoded" if len(audio.decode(data).pcm) else "nothing"
    except BadAudio as error:
        return error.reason


# Vorbis headers


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_what_an_encoder_writes_passes(rate, channels):
    for quality in (0.0, 0.5, 1.0):
        assert not refusal(
            encoded("OGG", "VORBIS", rate=rate, channels=channels, quality=quality, samples=100)
        )


@pytest.mark.parametrize(
    "data",
    [b"", b"OggX", encoded("WAV"), encoded("FLAC"), encoded("MP3"), encoded("OGG", "OPUS")],
)
def test_what_is_not_vorbis_passes_unread(data):
    stream = Metered(io.BytesIO(data))
    refuse_bomb(stream)
    assert stream.read() == data


@pytest.mark.parametrize("lookup", [0, 1, 2])
@pytest.mark.parametrize("kind", ["ordered", "plain", "sparse"])
@pytest.mark.parametrize(("entries", "dimensions"), [(16, 1), (256, 4), (4_096, 1)])
def test_codebooks_of_every_kind_are_understood(kind, lookup, entries, dimensions):
    some = {"entries": entries, "dimensions": dimensions, "kind": kind, "lookup": lookup}
    assert not refusal(ogg(setup(some, some)))
    assert "of 1048576 entries" in refusal(ogg(setup(some, some, {"entries": 1 << 20})))
    assert "ends too soon" in refusal(ogg(setup(some)[:16]))


@pytest.mark.parametrize("entries", [2 * ENTRIES, 1 << 20, 1 << 23])
def test_a_codebook_that_overflows_the_stack_of_a_decoder_is_refused(entries):
    data = ogg(setup({"entries": entries}))
    assert len(data) < 500
    for read in (audio.decode, audio.header):
        with pytest.raises(BadAudio, match=f"a Vorbis codebook of {entries} entries") as caught:
            read(data)
        assert caught.value.reason == "undecodable"


@pytest.mark.parametrize("some", [{"entries": ENTRIES}, {"entries": 4_096, "dimensions": 256,
                                                         "lookup": 1}])  # fmt: skip
def test_many_large_codebooks_are_refused_together(some):
    assert not refusal(ogg(setup(some)))
    assert "absurd amounts of memory" in refusal(ogg(setup(*[some] * 40)))


def test_a_bomb_spread_over_pages_between_those_of_others_is_found():
    bomb = setup({"entries": 1 << 20, "kind": "ordered"}) + bytes(700)
    first, second = bomb[:510], bomb[510:]
    foreign = page(*packets(b"of another stream"), 0, flags=2, serial=2)
    comment, lengths = packets(COMMENT)
    data = [page(*packets(IDENTIFICATION), 0, flags=2), foreign,
            page(comment + first, lengths + bytes([255, 255]), 1), foreign,
            page(*packets(second), 2, flags=1)]  # fmt: skip
    assert "a Vorbis codebook" in refusal(b"".join(data))


def test_a_bomb_behind_a_tag_is_not_opened():
    bomb = ogg(setup({"entries": 1 << 20}))
    for tag in (b"ID3\x03\0\0\0\0\0\x0a" + bytes(10), b"ID3\x04\0\0\0\0\x03\x74" + bytes(500)):
        for data in (tag + bomb, tag + tag + bomb):
            with pytest.raises(BadAudio):
                audio.decode(data)


def test_headers_that_a_decoder_might_see_differently_are_refused():
    whole = encoded("OGG", "VORBIS")
    second = whole.index(b"OggS", 4)
    third = whole.index(b"OggS", second + 4)
    damaged = {
        "flipped": whole[:100] + bytes([whole[100] ^ 1]) + whole[101:],
        "junk between": whole[:second] + b"junk" + whole[second:],
        "missing": whole[:second] + whole[third:],
        "cut": whole[: second + 100],
        "first only": whole[:second],
    }
    assert not refusal(whole)
    assert all(refusal(data) for data in damaged.values())


def test_any_damage_to_vorbis_headers_is_decoded_or_refused():
    whole = encoded("OGG", "VORBIS", samples=800)
    for seed in range(300):
        rng, data = random.Random(seed), bytearray(whole)
        data[rng.randrange(whole.index(b"\x05vorbis") + 400)] ^= 1 << rng.randrange(8)
        assert outcome(bytes(data)) in {"decoded", "undecodable", "truncated", "bad_sample_rate"}


# What a decoder may read


class Failing(io.BytesIO):
    """A disk that fails behind so many bytes."""

    def __init__(self, data: bytes, after: int) -> None:
        super().__init__(data)
        self.after = after

    def readinto(self, buffer) -> int:
        if self.tell() + len(buffer) > self.after:
            raise OSError(5, "Input/output error")
        return super().readinto(buffer)


@pytest.mark.parametrize("after", [0, 9_000])
@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3", "OGG"])
def test_a_disk_that_fails_costs_one_clip(form, after):
    data = encoded(form, samples=40_000)
    with pytest.raises(BadAudio, match="Input/output error") as caught:
        audio.decode(Failing(data, after))
    assert caught.value.reason == "unreadable"


def test_a_file_may_be_read_a_few_times_and_no_more(monkeypatch):
    monkeypatch.setattr("pipelines.untrusted.SLACK", 53)  # three bytes are looked at beforehand
    stream = Metered(io.BytesIO(bytes(100)))
    for _ in range(4):
        stream.seek(0)
        assert len(stream.read()) == 100
    stream.seek(0)
    assert stream.read(50) == bytes(50)
    assert stream.stopped is None
    assert stream.read(50) == b""
    assert stream.stopped[0] == "endless"
    assert stream.tell() == -1


def test_places_before_a_file_are_its_start():
    stream = Metered(io.BytesIO(b"abc"))
    assert [stream.seek(-5), stream.seek(-9, io.SEEK_END), stream.seek(2)] == [0, 0, 2]
    assert stream.seek(-3, io.SEEK_CUR) == 0
    assert stream.seek(1 << 70) < 1 << 40
    assert stream.read() == b""


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3", "OGG"])
def test_a_long_file_is_decoded_to_the_very_samples(form, capfd):
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE, 1, format=form) as writer:
        for seed in range(20):
            writer.write(np.random.default_rng(seed).uniform(-0.4, 0.4, 10_000))
    whole, _ = soundfile.read(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(audio.decode(file.getvalue()).samples[:, 0], whole)
    assert "error" not in capfd.readouterr().err  # of libmpg123, where it has to seek
