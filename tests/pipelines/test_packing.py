"""Packing: which clip goes to which shard, and one whole shard written."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.records import Failure, LostWork, Part
from pipelines.shards import datasets, packing, sidecars, tars
from pipelines.shards.packing import Cutting, Sample, cut

KEYS = st.lists(st.text("abc-_0", min_size=1, max_size=6), unique=True, max_size=60)


@dataclass(frozen=True)
class Item:
    key: str


def items(keys) -> list[Item]:
    return [Item(key) for key in keys]


def noise(seed: int, samples: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, samples)


SAMPLES = [
    Sample("b", {"audio": noise(1)}, 8_000, "set/jo", text="one", labels={"z": "1", "a": "é"}),
    Sample("a", {"audio": noise(2), "s1": noise(3), "s2": noise(4)}, 8_000, "set/al",
           bits=24, speaker="al", session="s", pair="p", provenance={"file": "a.wav"}),
]  # fmt: skip
LOST = Failure("c", "prepare", "silent")


def pack(folder: Path, samples=(*SAMPLES, LOST)) -> sidecars.Sidecar:
    return packing.pack(Part(str(folder), "x-000000", "inputs", 3, 1.0, None), samples)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# Cutting


@given(KEYS, st.one_of(st.none(), st.integers(1, 70)))
def test_every_clip_is_in_one_shard_and_no_shard_is_empty(keys, shards):
    found = cut(items(keys), Cutting(shards))
    assert sorted(item.key for shard in found for item in shard) == sorted(keys)
    assert all(found)
    lengths = [len(shard) for shard in found]
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    if shards:
        assert len(found) == min(shards, len(keys))


@given(KEYS, st.randoms(use_true_random=False), st.integers(1, 9))
def test_the_order_that_clips_come_in_does_not_matter(keys, random, shards):
    turned = random.sample(keys, len(keys))
    assert cut(items(turned), Cutting(shards)) == cut(items(keys), Cutting(shards))


@pytest.mark.parametrize(
    ("clips", "shards"),
    [(0, 0), (1, 1), (7, 1), (8, 2), (64, 16), (128, 32), (10_000, 32), (40_000, 40)],
)
def test_shards_by_default(clips, shards):
    assert len(cut(items(str(n) for n in range(clips)), Cutting())) == shards


def test_the_cut_is_by_hash_not_by_name():
    # Neighbours in a folder are of one speaker; a shard should not be.
    [first, _] = cut(items(f"{n:03}" for n in range(100)), Cutting(2))
    assert 10 < sum(item.key < "050" for item in first) < 40


# Writing


def test_the_same_samples_are_the_same_files(tmp_path):
    pack(tmp_path / "one")
    pack(tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert list(files(tmp_path / "one")) == ["x-000000.json", "x-000000.parquet", "x-000000.tar"]


def test_rows_say_what_is_in_the_tar(tmp_path):
    sidecar = pack(tmp_path)
    b, a = datasets.read_rows(f"{tmp_path}/x-000000.parquet")
    assert (b.key, b.text, b.labels, b.sources, b.seconds) == (
        "b",
        "one",
        {"z": "1", "a": "é"},
        0,
        0.05,
    )
    assert (a.sources, a.speaker, a.session, a.pair, a.text) == (2, "al", "s", "p", None)
    whole = (tmp_path / "x-000000.tar").read_bytes()
    stored = dict(tars.samples(f"{tmp_path}/x-000000.tar"))
    for row in (a, b):
        assert stored[row.key] == {
            member.name: whole[member.offset :][: member.length] for member in row.members
        }
    assert sorted(stored["a"]) == ["flac", "json", "s1.flac", "s2.flac"]
    assert stored["b"]["txt"] == b"one"
    assert json.loads(stored["a"]["json"])["provenance"] == {"file": "a.wav"}
    assert (sidecar.clips_in, sidecar.clips_out, sidecar.failures) == (3, 2, (LOST,))
    assert sidecar.seconds == pytest.approx(0.1)


def test_samples_are_stored_without_loss(tmp_path):
    pack(tmp_path)
    for clip in datasets.clips(str(tmp_path), "x-000000"):
        sample = next(sample for sample in SAMPLES if sample.key == clip.row.key)
        step = 0.5**sample.bits  # half of a step
        for name, signal in sample.sounds.items():
            np.testing.assert_allclose(clip.signal(name), signal, atol=step, rtol=0)


CHANGES = {
    "text": {"text": "two"},
    "label": {"labels": {"z": "2", "a": "é"}},
    "cluster": {"cluster": "set/mo"},
    "speaker": {"speaker": "x"},
    "signal": {"sounds": {"audio": noise(9)}},
    "rate": {"sample_rate": 16_000},
    "bits": {"bits": 24},
    "source": {"sounds": {"audio": noise(1), "s1": noise(1)}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_a_score_may_depend_on_changes_the_content(tmp_path, change):
    before = pack(tmp_path)
    after = pack(tmp_path, [replace(SAMPLES[0], **change), SAMPLES[1], LOST])
    assert after.content != before.content


def test_where_the_recording_lay_does_not_change_the_content(tmp_path):
    before = pack(tmp_path)
    moved = replace(SAMPLES[1], provenance={"file": "elsewhere.wav"})
    assert pack(tmp_path, [SAMPLES[0], moved, LOST]).content == before.content


def test_a_lost_clip_is_an_error_and_leaves_no_sidecar(tmp_path):
    with pytest.raises(LostWork, match=r"expected 3 clips .* found 2 written and 0 failed"):
        pack(tmp_path, SAMPLES)
    assert sidecars.read(str(tmp_path), "x-000000") is None


def test_an_error_on_the_way_publishes_nothing(tmp_path):
    def broken():
        yield SAMPLES[0]
        raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError, match="no more disk"):
        pack(tmp_path, broken())
    assert files(tmp_path) == {}


def test_a_shard_of_failures_alone_is_a_shard(tmp_path):
    failures = [replace(LOST, key=key) for key in "abc"]
    assert pack(tmp_path, failures).clips_out == 0
    assert list(datasets.clips(str(tmp_path), "x-000000")) == []


@settings(max_examples=25, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.dictionaries(st.text("ab"), st.text("éa\n")),
)
def test_any_text_and_labels_come_back(tmp_path_factory, text, labels):
    folder = tmp_path_factory.mktemp("any")
    sample = replace(SAMPLES[0], text=text, labels=labels)
    pack(folder, [sample, SAMPLES[1], LOST])
    row = datasets.read_rows(f"{folder}/x-000000.parquet")[0]
    assert (row.text, row.labels) == (text, labels)
    assert dict(tars.samples(f"{folder}/x-000000.tar"))["b"]["txt"].decode() == text
