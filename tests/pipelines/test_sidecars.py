"""Sidecars: a shard is what its sidecar vouches for, or it is not there."""

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.records import Failure, LostWork, Part
from pipelines.shards import sidecars
from pipelines.shards.sidecars import DamagedShard
from pipelines.shards.tars import TarWriter

STEM = "a-000000"
REFUSED = (Failure("c", "prepare", "silent", "every sample is zero"),)


@pytest.fixture
def part(tmp_path) -> Part:
    """A shard of two clips and one failure, published."""
    with (tmp_path / f"{STEM}.tar").open("wb") as file:
        writer = TarWriter(file)
        for key in "ab":
            writer.write(key, {"audio": key.encode() * 600, "txt": b"words"})
        writer.close()
    made = Part(str(tmp_path), STEM, "inputs", 3, 1.5, None)
    write(made)
    return made


def write(part: Part, *, clips_out: int = 2, failures=REFUSED) -> sidecars.Sidecar:
    return sidecars.write(
        part,
        sidecars.facts(f"{part.folder}/{part.stem}.tar"),
        content="content",
        clips_out=clips_out,
        seconds=1.23456789,
        failures=failures,
    )


def tar(part: Part) -> Path:
    return Path(part.folder, f"{part.stem}.tar")


def change(part: Part, **values) -> None:
    where = Path(sidecars.path(part.folder, part.stem))
    where.write_text(json.dumps(json.loads(where.read_text()) | values))


def test_a_sidecar_comes_back_as_it_was_written(part):
    found = sidecars.read(part.folder, part.stem)
    assert found == write(part)
    assert found.failures == REFUSED
    assert (found.clips_in, found.clips_out, found.seconds) == (3, 2, 1.234568)
    assert found.files[f"{STEM}.tar"][0] == tar(part).stat().st_size


def test_the_same_shard_has_the_same_sidecar(part):
    where = Path(sidecars.path(part.folder, part.stem))
    before = where.read_bytes()
    write(part)
    assert where.read_bytes() == before


@pytest.mark.parametrize(("clips_out", "failures"), [(3, REFUSED), (1, REFUSED), (2, ())])
def test_clips_in_must_be_clips_out_and_failures(part, clips_out, failures):
    with pytest.raises(LostWork, match=f"expected 3 .* found {clips_out} written and"):
        write(part, clips_out=clips_out, failures=failures)


def test_a_whole_shard_is_current_and_sound(part):
    assert sidecars.is_current(part)
    assert sidecars.check(part.folder, part.stem).clips_out == 2


def test_other_inputs_are_not_current(part):
    assert not sidecars.is_current(Part(part.folder, STEM, "others", 3, 1.5, None))


def test_without_its_sidecar_a_shard_does_not_exist(part):
    Path(sidecars.path(part.folder, part.stem)).unlink()
    assert sidecars.read(part.folder, part.stem) is None
    assert not sidecars.is_current(part)
    with pytest.raises(DamagedShard, match=r"expected the sidecar .* found none: make it again"):
        sidecars.check(part.folder, part.stem)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"files": []}', '{"inputs": "inputs"}']
)
def test_a_broken_sidecar_is_none(part, text):
    Path(sidecars.path(part.folder, part.stem)).write_text(text)
    assert sidecars.read(part.folder, part.stem) is None
    assert not sidecars.is_current(part)


@pytest.mark.parametrize(
    "values",
    [{"schema_version": 0}, {"clips_out": 1}, {"more": 1}, {"failures": [{"key": "c"}]}],
)
def test_a_sidecar_that_does_not_add_up_is_none(part, values):
    change(part, **values)
    assert sidecars.read(part.folder, part.stem) is None
    assert not sidecars.is_current(part)


def test_a_missing_or_longer_tar_is_not_current(part):
    with tar(part).open("ab") as file:
        file.write(b"x")
    assert not sidecars.is_current(part)
    tar(part).unlink()
    assert not sidecars.is_current(part)
    with pytest.raises(DamagedShard):
        sidecars.check(part.folder, part.stem)


def test_a_tar_cut_at_a_members_end_is_refused_though_it_reads(part):
    with tarfile.open(tar(part)) as archive:
        end = archive.getmembers()[2].offset
    tar(part).write_bytes(tar(part).read_bytes()[:end])
    with tarfile.open(tar(part)) as archive:
        assert len(archive.getmembers()) == 2  # valid, and shorter
    assert not sidecars.is_current(part)
    with pytest.raises(DamagedShard, match="is not the file that its sidecar describes"):
        sidecars.check(part.folder, part.stem)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_flipped_bit_is_refused(part, data):
    whole = tar(part).read_bytes()
    place = data.draw(st.integers(0, len(whole) * 8 - 1))
    broken = bytearray(whole)
    broken[place // 8] ^= 1 << place % 8
    tar(part).write_bytes(broken)
    try:
        with pytest.raises(DamagedShard, match=r"delete .*a-000000\.json and run the same command"):
            sidecars.check(part.folder, part.stem)
    finally:
        tar(part).write_bytes(whole)
