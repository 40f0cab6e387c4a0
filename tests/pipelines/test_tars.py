"""Tars: the same samples are the same bytes, and every WebDataset reader finds them."""

import gc
import hashlib
import io
import tarfile
import time

import pytest
import webdataset as wds
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.shards import tars
from pipelines.shards.tars import Member, TarWriter, header

Samples = dict[str, dict[str, bytes]]

SAMPLES: Samples = {
    "a": {"json": b"{}", "flac": b"f" * 700, "s1.flac": b"", "txt": "é".encode()},
    "b-1_C": {"flac": bytes(512)},
    "x" * 80: {"interpretation.wav": bytes(range(256)) * 5},
}


def tar(samples: Samples) -> tuple[bytes, dict[str, list[Member]]]:
    file = io.BytesIO()
    writer = TarWriter(file)
    index = {key: writer.write(key, members) for key, members in samples.items()}
    writer.close()
    return file.getvalue(), index


@pytest.fixture
def shard(tmp_path) -> str:
    path = tmp_path / "a-000000.tar"
    path.write_bytes(tar(SAMPLES)[0])
    return str(path)


def test_the_bytes_are_known():
    # A change here makes every shard on every disk stale: it has to be meant.
    assert hashlib.sha256(tar(SAMPLES)[0]).hexdigest().startswith("79d46885f8b90d57")


def test_the_same_samples_are_the_same_bytes_at_any_time_in_any_order_of_members(monkeypatch):
    first, _ = tar(SAMPLES)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    turned = {key: dict(reversed(members.items())) for key, members in SAMPLES.items()}
    assert tar(turned)[0] == first


def test_nothing_of_the_machine_is_in_the_headers(shard):
    with tarfile.open(shard) as archive:
        for info in archive:
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
            assert info.mode == 0o644
            assert not info.pax_headers


def test_it_is_as_long_as_tar_says():
    data, _ = tar(SAMPLES)
    assert len(data) % tarfile.RECORDSIZE == 0
    assert len(tar({})[0]) == tarfile.RECORDSIZE


def test_members_lie_where_the_index_says():
    data, index = tar(SAMPLES)
    for key, members in index.items():
        assert [member.name for member in members] == sorted(SAMPLES[key])
        for member in members:
            assert data[member.offset : member.offset + member.length] == SAMPLES[key][member.name]


def test_scan_finds_what_was_written(shard):
    _, index = tar(SAMPLES)
    assert tars.scan(shard) == {
        key: {member.name: member for member in members} for key, members in index.items()
    }


def test_samples_come_back_in_order(shard):
    assert list(tars.samples(shard)) == list(SAMPLES.items())
    assert [key for key, _ in tars.samples(shard)] == list(SAMPLES)


@pytest.mark.filterwarnings(  # webdataset leaves the closing of its files to chance
    "ignore:Exception ignored in. <_io.FileIO name=.*a-000000.tar"
    ":pytest.PytestUnraisableExceptionWarning"
)
def test_webdataset_reads_the_same_keys_and_bytes(shard, monkeypatch):
    monkeypatch.setenv("WDS_SECURE", "1")
    read = {}
    for sample in wds.WebDataset(shard, shardshuffle=False):
        read[sample.pop("__key__")] = {
            name: data for name, data in sample.items() if not name.startswith("__")
        }
    gc.collect()
    assert read == SAMPLES
    assert list(read) == list(SAMPLES)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_-]{1,80}", fullmatch=True),
        st.dictionaries(
            st.sampled_from(["flac", "json", "txt", "s1.flac", "s2.flac", "clean.flac"]),
            st.binary(max_size=1100),
            min_size=1,
        ),
        max_size=5,
    )
)
def test_any_samples_come_back(tmp_path_factory, samples):
    path = tmp_path_factory.mktemp("tars") / "any.tar"
    data, index = tar(samples)
    path.write_bytes(data)
    assert dict(tars.samples(str(path))) == samples
    for key, members in index.items():
        for member in members:
            assert data[member.offset :][: member.length] == samples[key][member.name]


@given(st.text(min_size=1, max_size=160), st.integers(0, 8**11 - 1))
def test_a_header_is_what_tarfile_writes(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    try:
        expected = info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    except ValueError:
        with pytest.raises(ValueError, match=r"too long|can't encode"):
            header(name, size)
    else:
        assert header(name, size) == expected
