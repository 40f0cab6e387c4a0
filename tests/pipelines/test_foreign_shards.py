"""Datasets that come from elsewhere: nothing in them leads out of their folder or into memory."""

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import stores
from pipelines.records import Part, RealEarError
from pipelines.shards import datasets, packing, sidecars, tars
from pipelines.shards.datasets import About, RandomReader
from pipelines.shards.packing import Sample
from pipelines.shards.sidecars import DamagedShard

RATE = 8_000  # Hz
STEM = "x-000000"
HUGE = 2**62


@pytest.fixture
def folder(tmp_path) -> Path:
    """A dataset of one shard with two clips."""
    folder = tmp_path / "x"
    signal = np.random.default_rng(0).integers(-9_000, 9_000, 400) / 32_768
    samples = [Sample(key, {"audio": signal}, RATE, "x/jo", text="a") for key in "ab"]
    packing.pack(Part(str(folder), STEM, "inputs", 2, 1.0, None), samples)
    datasets.finish(str(folder), About("x", "real", {}), [STEM], "inputs")
    return folder


def vouch(folder: Path) -> None:
    """A sidecar that agrees with whatever is there: who made the shard made it, too."""
    where = sidecars.path(str(folder), STEM)
    record = stores.read_json(where)
    for name in record["files"]:
        record["files"][name] = [stores.size(f"{folder}/{name}"), stores.sha256(f"{folder}/{name}")]
    stores.write_json(where, record)


def change_rows(folder: Path, change) -> None:
    """Let a function change the first row, in the index and beside the shard."""
    for name in ("index.parquet", f"{STEM}.parquet"):
        table = pq.read_table(folder / name)
        rows = table.to_pylist()
        change(rows[0])
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / name)
    vouch(folder)


def place(offset: int, length: int):
    def change(row: dict) -> None:
        for member in row["members"]:
            member |= {"offset": offset, "length": length}

    return change


def read_everything(folder: Path) -> None:
    for clip in datasets.clips(str(folder), STEM):
        clip.signal()
    reader = RandomReader(str(folder))
    try:
        for key in reader.rows:
            reader[key].signal()
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 10), (0, -1), (0, HUGE), (HUGE, 1), (HUGE, HUGE), (0, 10_241), (10_240, 1)],
)
def test_a_row_that_leads_beyond_its_tar(folder, offset, length):
    read_everything(folder)
    change_rows(folder, place(offset, length))
    with pytest.raises(DamagedShard, match=r"no member|lies beyond the shard's end"):
        read_everything(folder)


def test_a_row_whose_bytes_are_no_sound(folder):
    change_rows(folder, place(0, 512))
    with pytest.raises(DamagedShard, match=r"audio of 'a' in x-000000\.tar is no sound"):
        read_everything(folder)


@pytest.mark.parametrize("shard", ["../x-000000", "/etc/x-000000", "..", "", "x", "x-000000/../y"])
def test_a_row_of_a_shard_elsewhere(folder, shard):
    change_rows(folder, lambda row: row.update(shard=shard))
    with pytest.raises(DamagedShard, match="is no shard"):
        read_everything(folder)
    assert datasets.homes(str(folder), {}) == {}


@pytest.mark.parametrize(
    "values",
    [{"members": None}, {"labels": None}, {"labels": "[" * 100_000}, {"labels": "[1]"},
     {"labels": "{"}, {"members": [{"name": "flac", "offset": None, "length": 3}]},
     {"shard": None}],
)  # fmt: skip
def test_a_row_that_says_nothing(folder, values):
    change_rows(folder, lambda row: row.update(values))
    with pytest.raises(DamagedShard, match="an index row is damaged"):
        read_everything(folder)


def test_an_index_of_other_columns_or_none_at_all(folder):
    table = pq.read_table(folder / f"{STEM}.parquet")
    pq.write_table(table.drop_columns(["sound"]), folder / f"{STEM}.parquet")
    vouch(folder)
    with pytest.raises(DamagedShard, match="expected the columns of an index"):
        read_everything(folder)
    for content in (b"", b"PAR1", b"PAR1 junk PAR1", bytes(5_000)):
        (folder / "index.parquet").write_bytes(content)
        with pytest.raises(DamagedShard, match=r"index\.parquet cannot be read"):
            RandomReader(str(folder))
        assert datasets.homes(str(folder), {}) == {}


@pytest.mark.parametrize("stem", ["../y-000000", "/tmp/y-000000", "x-000000/../../y-000000", "", 7])
def test_a_card_of_shards_elsewhere(folder, stem):
    card = json.loads((folder / "dataset.json").read_text())
    card["shards"][0]["stem"] = stem
    (folder / "dataset.json").write_text(json.dumps(card))
    with pytest.raises(RealEarError, match="is not a dataset's card"):
        datasets.read_card(str(folder))


@pytest.mark.parametrize("name", ["../y", "/tmp/y", "a/b", "", "."])
def test_a_card_whose_name_is_a_path(folder, name):
    card = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(card | {"name": name}))
    with pytest.raises(RealEarError, match="is not a dataset's card"):
        datasets.read_card(str(folder))


def test_json_that_nests_without_end(folder):
    for name in ("dataset.json", f"{STEM}.json"):
        (folder / name).write_text("[" * 200_000)
    with pytest.raises(RealEarError, match="is not a dataset's card"):
        datasets.read_card(str(folder))
    assert sidecars.read(str(folder), STEM) is None


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "sub/file", ""])
def test_a_sidecar_of_files_elsewhere_is_none(folder, name):
    where = folder / f"{STEM}.json"
    record = json.loads(where.read_text())
    where.write_text(json.dumps(record | {"files": {name: [4, "0" * 64]}}))
    with pytest.raises(DamagedShard, match="expected the sidecar"):
        sidecars.check(str(folder), STEM)


# Tars that TarWriter did not write


def tar_of(path: Path, **fields) -> str:
    """A tar of one member of 5 bytes with such a header; it may claim anything."""
    info = tarfile.TarInfo("a.flac")
    info.size = 5
    for name, value in fields.items():
        setattr(info, name, value)
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"sound".ljust(512, b"\0") + bytes(1024))
    return str(path)


def test_a_tar_of_another_writer_is_scanned(tmp_path):
    where = tar_of(tmp_path / "a.tar")
    assert list(tars.samples(where)) == [("a", {"flac": b"sound"})]


@pytest.mark.parametrize(
    "fields",
    [{"size": 10**12}, {"size": 2_000}, {"size": -5}, {"type": tarfile.GNUTYPE_LONGNAME},
     {"type": tarfile.GNUTYPE_LONGNAME, "size": 10**12}, {"type": tarfile.XHDTYPE},
     {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, {"type": tarfile.CHRTYPE}],
)  # fmt: skip
def test_a_header_that_claims_what_is_not_there(tmp_path, fields):
    with pytest.raises(RealEarError, match=r"a\.tar: expected a whole file at byte 0"):
        tars.scan(tar_of(tmp_path / "a.tar", **fields))


def test_a_tar_without_its_end_mark(folder):
    whole = (folder / f"{STEM}.tar").read_bytes()
    os.truncate(folder / f"{STEM}.tar", len(whole.rstrip(b"\0")) // 512 * 512)
    with pytest.raises(RealEarError, match=r"expected a (tar's header|whole file) at byte"):
        tars.scan(f"{folder}/{STEM}.tar")
