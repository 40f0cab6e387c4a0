"""Tars of any kind and in any state: what stands in them is found, what is wrong is said."""

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpora import tars
from pipelines.corpora.tars import Damage, Member
from pipelines.records import RealEarError

FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name: str, size: int = 3, **facts) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info


def packed(*infos: tarfile.TarInfo | str, form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, encoding="utf-8",
                      errors="surrogateescape") as tar:  # fmt: skip
        for info in infos:
            info = member(info) if isinstance(info, str) else info
            tar.addfile(info, io.BytesIO(bytes([len(info.name) % 256]) * info.size))
    return file.getvalue()


def found(where: Path, content: bytes) -> list[Member | Damage]:
    where.write_bytes(content)
    return list(tars.members(where))


@pytest.fixture
def where(tmp_path: Path) -> Path:
    return tmp_path / "x.tar"


NAMES = ["a.wav", "x/b.wav", "d" * 120 + "/" + "n" * 90 + ".wav", "p/" * 200 + "c.wav",
         "größe/日本語.wav"]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_members_lie_where_the_standard_library_finds_them(where, form):
    names = NAMES[:2] + NAMES[4:] if form == "ustar" else NAMES
    sizes = (0, 1, 511, 512, 513)
    content = packed(*map(member, names, sizes), form=FORMS[form])
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        expected = [Member(info.name, info.offset_data, info.size) for info in tar]
    assert [item.name for item in expected] == names
    assert found(where, content) == expected


def test_folders_are_no_members(where):
    old = member("y/", 0, type=tarfile.AREGTYPE)
    content = packed(member("x", 0, type=tarfile.DIRTYPE), "x/a.wav", old)
    assert [item.name for item in found(where, content)] == ["x/a.wav"]


def test_an_empty_tar_has_no_members_and_an_empty_file_is_cut_short(where):
    assert found(where, packed()) == []
    [damage] = found(where, b"")
    assert (damage.offset, damage.reason) == (0, "truncated")


UNSAFE = {
    "up": (member("../a.wav"), "a name with `..`"),
    "up within": (member("x/../../a.wav"), "a name with `..`"),
    "up, as Windows writes it": (member("x\\..\\a.wav"), "a name with `..`"),
    "absolute": (member("/etc/a.wav"), "an absolute or empty name"),
    "symbolic link": (member("a.wav", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
                      "a symbolic link"),
    "hard link": (member("a.wav", 0, type=tarfile.LNKTYPE, linkname="b.wav"), "a hard link"),
    "device": (member("a.wav", 0, type=tarfile.CHRTYPE), "a device"),
    "pipe": (member("a.wav", 0, type=tarfile.FIFOTYPE), "a pipe"),
    "unknown": (member("a.wav", 3, type=b"V"), "a member of an unknown kind"),
    "sparse": (member("a.wav", 3, type=tarfile.GNUTYPE_SPARSE), "a sparse file"),
    "sparse in pax": (member("a.wav", 3, pax_headers={"GNU.sparse.major": "1"}),
                      "a sparse file, or one of no length"),
    "a length below 0": (member("a.wav", 3, pax_headers={"size": "-512"}),
                         "a sparse file, or one of no length"),
    "endless name": (member("x" * (tars.LONGEST + 1)), "a header of 65549 bytes"),
}  # fmt: skip


@pytest.mark.parametrize(("info", "detail"), UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_member_is_marked_and_the_others_are_not(where, info, detail):
    before, bad, after = found(where, packed("before.wav", info, "after.wav"))
    assert (before.name, before.fault) == ("before.wav", "")
    assert (after.name, after.fault) == ("after.wav", "")
    assert (bad.fault, bad.detail) == ("unsafe_member", detail)


def test_a_pax_record_that_makes_no_sense_is_marked(where):
    content = packed(member("é" * 90 + ".wav"), "after.wav")
    position = content.index(b" path=")
    for digits in (b"99", b"00", b"\xb2\xb2", b"xx"):
        broken = content[: position - 3] + b"0" + digits + content[position:]
        bad, after = found(where, broken)
        assert (bad.fault, bad.detail) == ("unsafe_member", "a header that cannot be read")
        assert after == Member("after.wav", after.offset, 3)


@pytest.mark.parametrize("left", [513, 1023, 1024, 1025, 1026, 1535, 1536, 2048, 2050])
def test_a_tar_cut_short_keeps_what_stood_before(where, left):
    """Headers at 0, 1024 and 2048; the first has 3 bytes at 512, the second 3 at 1536."""
    *whole, last = found(where, packed("a.wav", "b.wav")[:left])
    assert [item.name for item in whole] == ["a.wav", "b.wav"][: (left - 515) // 1024 + 1]
    assert all(isinstance(item, Member) and not item.fault for item in whole)
    assert (last.fault if isinstance(last, Member) else last.reason) == "truncated"


def test_a_member_may_not_claim_more_than_there_is(where):
    header = member("b.wav", 1 << 40).tobuf(tarfile.GNU_FORMAT)
    a, b = found(where, packed("a.wav")[:1024] + header + bytes(1024))
    assert a == Member("a.wav", 512, 3)
    assert (b.name, b.fault) == ("b.wav", "truncated")
    assert b.detail == f"it claims {1 << 40} bytes of 1024 that are left"


def test_a_damaged_header_is_said_and_what_stood_before_is_kept(where):
    content = bytearray(packed("a.wav", "b.wav"))
    content[1024 + 10] ^= 1
    a, damage = found(where, bytes(content))
    assert a == Member("a.wav", 512, 3)
    assert (damage.offset, damage.reason) == (1024, "bad_tar")


def test_a_length_below_zero_ends_the_walk(where):
    header = member("b.wav", -512).tobuf(tarfile.GNU_FORMAT)
    [damage] = found(where, header + bytes(1024))
    assert damage == Damage(0, "bad_tar", "no header of a tar at byte 0")


def test_tars_put_together_are_seen(where):
    first = packed("a.wav")
    a, damage = found(where, first + packed("b.wav"))
    assert a.name == "a.wav"
    assert (damage.offset, damage.reason) == (1024, "trailing")


def test_no_tar_at_all(where):
    [damage] = found(where, b"<html>" + b"x" * 1_000)
    assert damage.reason == "bad_tar"


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed_tars_are_refused(where, kind):
    with pytest.raises(
        RealEarError, match=f"expected plain tars, found x.tar compressed by {kind}"
    ):
        found(where, PACKERS[kind](packed("a.wav")))


WHOLE = packed(*map(member, NAMES, (5, 600, 3, 0, 40)))


CHANGE = st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=9))


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(CHANGE, max_size=6), end=st.integers(0, len(WHOLE)))
def test_any_bytes_end_in_members_within_the_file(tmp_path_factory, changes, end):
    content = bytearray(WHOLE)
    for position, data in changes:
        content[position : position + len(data)] = data
    where = tmp_path_factory.getbasetemp() / "any.tar"
    for item in found(where, bytes(content[:end])):
        if isinstance(item, Member) and not item.fault:
            assert 0 <= item.offset <= item.offset + item.length <= end
            assert ".." not in item.name.split("/")
