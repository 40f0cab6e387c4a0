"""Datasets: card, index, failures; reading by shard and by key."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.records import Failure, LostWork, Part, RealEarError, digest
from pipelines.shards import datasets, packing
from pipelines.shards.datasets import About, RandomReader
from pipelines.shards.packing import Sample
from pipelines.shards.sidecars import DamagedShard

RATE = 8_000  # Hz
ABOUT = About("x", "real", {"corpus": {}}, licence="CC0-1.0", notes=("a note",))


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9_000, 9_000, 400) / 32_768


def sample(key: str) -> Sample:
    seed = ord(key)
    signals = {"audio": noise(seed), "s1": noise(seed + 100), "s2": noise(seed + 200)}
    return Sample(key, signals, RATE, f"x/{key}")


def put(folder: Path, number: int, *samples: Sample | Failure) -> str:
    stem = packing.stem("x", number)
    packing.pack(Part(str(folder), stem, "inputs", len(samples), 1.0, None), samples)
    return stem


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three clips and a failure in two shards."""
    refused = Failure("d", "prepare", "silent", "zero")
    stems = [put(tmp_path, 0, sample("a"), sample("b")), put(tmp_path, 1, sample("c"), refused)]
    datasets.finish(str(tmp_path), ABOUT, stems, "inputs")
    return tmp_path


def test_the_card_counts_what_is_there(folder):
    card = datasets.read_card(str(folder))
    assert (card.clips, card.failed, card.refused) == (3, 1, {"silent": 1})
    assert (card.seconds, card.sample_rate, card.sources) == (0.15, RATE, 2)
    assert [(shard.stem, shard.clips) for shard in card.shards] == [
        ("x-000000", 2),
        ("x-000001", 1),
    ]
    assert (card.licence, card.redistribute, card.notes) == ("CC0-1.0", False, ("a note",))


def test_small_tables_are_stored_plainly_and_large_ones_compressed(tmp_path):
    for rows, found in ((10, "UNCOMPRESSED"), (100_000, "ZSTD")):
        path = str(tmp_path / f"{rows}.parquet")
        datasets.write_table(path, pa.table({"number": list(range(rows))}))
        assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == found


def test_the_index_holds_every_clip_and_failures_every_other(folder):
    assert [row.key for row in datasets.read_rows(f"{folder}/index.parquet")] == ["a", "b", "c"]
    assert pq.read_table(folder / "failures.parquet").to_pylist() == [
        {
            "key": "d",
            "stage": "prepare",
            "reason": "silent",
            "detail": "zero",
            "shard": "x-000001",
            "schema_version": 2,
        }
    ]


def test_the_content_is_the_same_however_it_is_cut(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    stems = [put(other, 0, sample("c")), put(other, 1, sample("b"), sample("a"))]
    card = datasets.finish(str(other), ABOUT, stems, "inputs")
    assert card.content == datasets.read_card(str(folder)).content
    fewer = datasets.finish(str(other), ABOUT, stems[1:], "inputs")
    assert fewer.content != card.content


def test_shards_of_a_larger_make_are_dropped_and_nothing_else(folder):
    for name in ("x-000001-notes.txt", "y-000001.tar", "x.tar", "mine.txt"):
        (folder / name).touch()
    datasets.finish(str(folder), ABOUT, ["x-000000"], "inputs")
    assert {path.name for path in folder.iterdir()} == {
        "dataset.json", "failures.parquet", "index.parquet",
        "x-000000.json", "x-000000.parquet", "x-000000.tar",
        "x-000001-notes.txt", "y-000001.tar", "x.tar", "mine.txt",
    }  # fmt: skip


def test_a_damaged_shard_is_no_part_of_a_dataset(folder):
    tar = folder / "x-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-512])
    with pytest.raises(DamagedShard, match=r"x-000000\.tar is not the file"):
        datasets.finish(str(folder), ABOUT, ["x-000000", "x-000001"], "inputs")


def test_rows_that_do_not_add_up_are_lost_work(folder):
    where = folder / "x-000000.json"
    record = json.loads(where.read_text())
    where.write_text(json.dumps(record | {"clips_out": 3, "clips_in": 3}))
    with pytest.raises(LostWork, match="the index rows and the shards' clip counts differ"):
        datasets.finish(str(folder), ABOUT, ["x-000000", "x-000001"], "inputs")


def test_any_clip_is_read_by_key(folder):
    reader = RandomReader(str(folder))
    for key in "cab":
        expected = sample(key).sounds
        np.testing.assert_array_equal(reader[key].signal(), expected["audio"])
        np.testing.assert_array_equal(reader[key].sources(), [expected["s1"], expected["s2"]])
    with pytest.raises(KeyError):
        reader["d"]
    reader.close()


def test_a_clip_is_read_at_another_rate(folder):
    reader = RandomReader(str(folder))
    assert reader["a"].signal(sample_rate=16_000).shape == (800,)
    assert reader["a"].sources(16_000).shape == (2, 800)
    with pytest.raises(KeyError, match="clean"):
        reader["a"].read("clean")
    reader.close()


def test_a_clip_without_sources_has_none(tmp_path):
    put(tmp_path, 0, Sample("a", {"audio": noise(1)}, RATE, "x/a"))
    for clip in datasets.clips(str(tmp_path), "x-000000"):
        with pytest.raises(KeyError):
            clip.sources()


def test_a_shard_is_checked_before_it_is_read(folder):
    tar = folder / "x-000000.tar"
    whole = bytearray(tar.read_bytes())
    whole[700] ^= 1
    tar.write_bytes(whole)
    with pytest.raises(DamagedShard):
        next(datasets.clips(str(folder), "x-000000"))


def test_a_folder_without_a_card_is_no_dataset(tmp_path):
    with pytest.raises(RealEarError, match=r"found no dataset\.json: make it with"):
        datasets.read_card(str(tmp_path))


def test_a_card_of_another_version_is_not_read(folder):
    where = folder / "dataset.json"
    where.write_text(json.dumps(json.loads(where.read_text()) | {"schema_version": 0}))
    with pytest.raises(RealEarError, match="expected schema_version 2, found 0"):
        datasets.read_card(str(folder))


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', '{"shards": [{}], "notes": []}'])
def test_a_broken_card_is_an_error_that_names_it(folder, text):
    (folder / "dataset.json").write_text(text)
    with pytest.raises(RealEarError, match=r"dataset\.json"):
        datasets.read_card(str(folder))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("café", "café"),
        ("caf\udce9", r"caf\xe9"),
        ("half \ud83d", "half \ufffd"),
        ("<object at 0x7f12ab>", "<object>"),
    ],
)
def test_what_is_shown_is_printable_and_repeatable(text, shown):
    assert datasets.printable(text) == shown
    datasets.printable(text).encode()


def test_failures_of_any_text_can_be_written(tmp_path):
    failures = [Failure("b", "x", "r", "caf\udce9"), Failure("a", "x", "r", "\ud83d")]
    datasets.write_failures(f"{tmp_path}/f.parquet", [("x-000000", f) for f in failures])
    rows = datasets.read_table(f"{tmp_path}/f.parquet").to_pylist()
    assert [row["key"] for row in rows] == ["a", "b"]


def test_a_digest_is_of_the_value_not_of_its_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": "\udce9"}) != digest({"a": "\ud83d"})
    assert len(digest(None)) == 64
