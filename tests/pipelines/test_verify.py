"""Verify finds every kind of damage, says where, and finds nothing where nothing is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines import stores, verify
from pipelines.engines import Engine
from pipelines.shards import datasets, sidecars

FORMATS = [{"format": "flac"}, {"format": "original"}, {"format": "original", "check": "headers"}]


def verified(corpora, made):
    return verify.verify(made, corpora.workspace, Engine(workers=1))


def mixed(corpora, **config):
    """Six recordings of several formats with texts."""
    for number, suffix in enumerate(["wav", "flac", "ogg", "mp3", "wav", "aiff"]):
        subtype = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}.get(suffix, "PCM_16")
        signal = corpora.noise(8_000, seed=number)
        corpora.wav(f"jo_{number}.{suffix}", signal, subtype=subtype, rate=16_000)
        corpora.file(f"jo_{number}.txt", f"words {number}")
    return corpora.prepare(
        audio="{speaker}_{take}.*", text={"beside": ".txt"}, config={"shards": 2, **config}
    )


@pytest.mark.parametrize("config", FORMATS, ids=str)
def test_nothing_is_found_where_nothing_is_wrong(corpora, config):
    made = mixed(corpora, **config)
    assert made.card.clips == 6
    found = verified(corpora, made)
    assert found.problems == ()
    assert (found.clips, found.duplicates, found.contradictions) == (6, (), ())
    assert found.coverage == {"text": 1.0, "speaker": 1.0, "session": 0.0, "take": 1.0}


def test_originals_are_the_files_byte_for_byte(corpora):
    made = mixed(corpora, format="original")
    for stem in (shard.stem for shard in made.card.shards):
        for clip in datasets.clips(made.folder, stem):
            [(_, member)] = clip.row.sounds.items()
            stored = json.loads(clip.read("json"))["provenance"]["file"]
            if stored.endswith("aiff"):  # no reader of WebDatasets expects it
                assert member.name == "flac"
            else:
                assert clip.read() == (corpora.folder / stored).read_bytes()
                assert member.name == stored.rpartition(".")[2]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def vouch(made, stem: str) -> None:
    """Make the sidecar agree with the files: the damage came before it."""
    record = stores.read_json(sidecars.path(made.folder, stem))
    for name in record["files"]:
        where = f"{made.folder}/{name}"
        record["files"][name] = [stores.size(where), stores.sha256(where)]
    stores.write_json(sidecars.path(made.folder, stem), record)


@pytest.mark.parametrize("config", FORMATS, ids=str)
def test_one_flipped_bit_is_found_and_so_is_the_clip_if_the_sidecar_agrees(corpora, config):
    made = mixed(corpora, **config)
    row = datasets.read_rows(f"{made.folder}/index.parquet")[0]
    member = row.sounds["audio"]
    flip(Path(made.folder, f"{row.shard}.tar"), member.offset + member.length // 2)
    assert any("is not the file" in p.what for p in verified(corpora, made).problems)
    vouch(made, row.shard)
    [problem] = verified(corpora, made).problems
    assert (problem.shard, problem.key) == (row.shard, row.key)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"text": "other"}, "its index row says something else"),
        ({"seconds": 0.1}, "is not as long"),
        ({"sound": "0"}, "its sounds or labels are not"),
        ({"key": "other"}, "lies elsewhere in the tar"),
    ],
)
def test_an_index_that_says_something_else_is_found(corpora, change, what):
    made = mixed(corpora)
    stem = made.card.shards[0].stem
    table = datasets.read_table(f"{made.folder}/{stem}.parquet")
    rows = table.to_pylist()
    rows[0] |= change
    changed = type(table).from_pylist(rows, schema=table.schema)
    datasets.write_table(f"{made.folder}/{stem}.parquet", changed)
    vouch(made, stem)
    assert any(what in problem.what for problem in verified(corpora, made).problems)


def test_a_card_that_says_something_else_is_found(corpora):
    made = mixed(corpora)
    index = datasets.read_table(f"{made.folder}/index.parquet")
    datasets.write_table(f"{made.folder}/index.parquet", index.slice(1))
    what = {problem.what.split(":")[0] for problem in verified(corpora, made).problems}
    assert what == {"clips", "distinct keys", "content"}


def test_a_shard_that_is_gone_or_no_tar_is_one_problem_not_a_crash(corpora):
    made = mixed(corpora)
    first, second = (shard.stem for shard in made.card.shards)
    Path(made.folder, f"{first}.tar").unlink()
    Path(made.folder, f"{second}.tar").write_bytes(b"?" * 2_000)
    assert {problem.shard for problem in verified(corpora, made).problems} == {first, second}


def test_the_same_sound_twice_is_told_and_so_are_two_transcripts_of_it(corpora):
    for name, seed, text in [
        ("a", 1, "one"),
        ("b", 1, "one"),
        ("c", 2, "two"),
        ("d", 2, "to"),
        ("e", 3, ""),
    ]:
        corpora.wav(f"{name}.wav", seed=seed)
        corpora.file(f"{name}.txt", text)
    corpora.wav("c.flac", seed=2)  # another format, the same samples; the key stands twice, though
    made = corpora.prepare(text={"beside": ".txt"}, config={"shards": 3})
    assert made.card.duplicates == 2
    found = verified(corpora, made)
    assert sorted(map(sorted, found.duplicates)) == [["a", "b"], ["c", "d"]]
    assert [sorted(keys) for keys in found.contradictions] == [["c", "d"]]
    other = corpora.prepare("other", text={"beside": ".txt"}, audio="[ae].wav".replace("[ae]", "a"))
    assert verify.shared(made, other) in ([("a", "a")], [("b", "a")])


def test_the_command_says_what_it_found_and_ends_with_2_if_that_is_bad(corpora, realear):
    made = mixed(corpora)
    out = corpora.workspace.root
    fine = realear("verify", "set", "--out", out, "--against", "set")
    assert fine.code == 0
    assert "✓ set: 6 clips in 2 shards, 0 problems" in fine.text
    assert "6 clips of set sound exactly as one of set" in fine.text
    flip(Path(made.folder, f"{made.card.shards[0].stem}.tar"), 3_000)
    bad = realear("verify", "set", "--out", out)
    assert bad.code == 2
    assert "problems in" in bad.text


def test_a_dataset_that_grew_is_sound(corpora):
    for number in range(5):
        corpora.wav(f"{number}.wav", seed=number)
    corpora.prepare()
    for number in range(5, 9):
        corpora.wav(f"{number}.wav", np.ones(9) * 0.5, seed=number)
    assert verified(corpora, corpora.prepare()).problems == ()
