"""WebDatasets that others made: every key becomes a clip or a failure, and nothing is believed."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from webdataset.tariterators import group_by_keys, tar_file_iterator

from pipelines import corpora as readers
from pipelines.corpora.base import sound_key
from pipelines.records import Entry, InTar, RealEarError
from pipelines.shards import datasets


def shard(corpora, name: str, members: dict[str, bytes | str | tarfile.TarInfo]) -> Path:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for path, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return corpora.file(name, file.getvalue())


def read(corpora, **options) -> dict[str, Entry]:
    config = {"reader": "webdataset", "folder": str(corpora.folder), **options}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


def cut_out(corpora, sound: InTar) -> bytes:
    return (corpora.folder / sound.path).read_bytes()[sound.offset : sound.offset + sound.length]


def test_members_of_a_key_become_a_clip(corpora):
    about = {"text": "not this", "speaker": "jo", "session": "monday", "snr": 5, "x": [1],
             "labels": {"room": "hall"}, "key": "k", "__url__": "u"}  # fmt: skip
    members = {"FLAC": b"heard", "s1.wav": b"one", "s2.wav": b"two", "clean.flac": b"clean",
               "noise.ogg": b"noise", "txt": " hello\n", "cls": "7", "json": json.dumps(about),
               "png": b"picture"}  # fmt: skip
    shard(corpora, "a/0.tar", {f"x/1.{suffix}": data for suffix, data in members.items()})
    [entry] = read(corpora).values()
    sounds = (entry.audio, *entry.sources, entry.clean, entry.noise)
    assert [cut_out(corpora, s) for s in sounds] == [b"heard", b"one", b"two", b"clean", b"noise"]
    assert (entry.key, entry.text, entry.speaker, entry.session) == ("x-1", "hello", "jo", "monday")
    assert entry.labels == {"room": "hall", "snr": "5", "class_index": "7"}
    assert entry.fault is None


def test_keys_are_those_of_the_webdataset_library(corpora):
    names = ["1.wav", "1.json", "x.y/2.wav", "x.y/2.cls", "./3.wav", "__meta__/4.wav", "README",
             "4.a.b.png", "4.wav"]  # fmt: skip
    content = {name: "{}" if name.endswith("json") else "5" for name in names}
    path = shard(corpora, "0.tar", content)
    with path.open("rb") as file:
        members = [{**member, "__url__": ""} for member in tar_file_iterator(file)]
    theirs = {sample["__key__"].removeprefix("./") for sample in group_by_keys(members)}
    assert theirs == {"1", "x.y/2", "3", "4"}
    assert set(read(corpora)) == {sound_key(key) for key in theirs}


def test_members_need_not_lie_side_by_side(corpora):
    shard(corpora, "0.tar", {"1.wav": b"1", "2.wav": b"2", "1.txt": "one", "2.txt": "two"})
    found = read(corpora)
    assert {key: entry.text for key, entry in found.items()} == {"1": "one", "2": "two"}


def test_fields_of_the_json_by_name(corpora):
    rows = {"1": {"transcript": "one", "who": "jo"}, "2": {"transcript": ""}, "3": {"text": "x"}}
    shard(corpora, "0.tar", {f"{key}.wav": b"1" for key in rows}
          | {f"{key}.json": json.dumps(row) for key, row in rows.items()})  # fmt: skip
    found = read(corpora, text="transcript", speaker="who")
    assert (found["1"].text, found["1"].speaker, found["2"].text) == ("one", "jo", "")
    assert faults(found) == {"3": "no_transcript"}
    assert read(corpora)["1"].labels == {"transcript": "one", "who": "jo"}


def test_the_member_that_is_heard_can_be_named(corpora):
    shard(corpora, "0.tar", {"1.mix.wav": b"mix", "1.wav": b"other", "1.s1.wav": b"s1"})
    [entry] = read(corpora, audio="mix.wav").values()
    assert cut_out(corpora, entry.audio) == b"mix"
    assert len(entry.sources) == 1
    assert faults(read(corpora, audio="noisy.wav")) == {"1": "missing_file"}


def test_what_realear_wrote_is_read_back(corpora):
    for name, seed in {"mix/a": 1, "s1/a": 2, "s2/a": 3}.items():
        corpora.wav(f"{name}.wav", seed=seed)
    made = corpora.prepare(audio="mix/{take}.wav", sources=["s1/{file}", "s2/{file}"], speaker="jo")
    again = corpora.prepare("again", reader="webdataset", folder=made.folder, name="corpus")
    [first], [second] = (datasets.read_rows(f"{m.folder}/index.parquet") for m in (made, again))
    assert again.card.failed == 0
    assert (second.content, second.labels, second.speaker) == (first.content, first.labels, "jo")


def test_end_to_end_with_a_shard_cut_short(corpora):
    wavs = {f"{n}.wav": corpora.wav("x.wav", seed=n).read_bytes() for n in range(4)}
    path = shard(corpora, "0.tar", wavs | {"0.txt": "zero"})
    path.write_bytes(path.read_bytes()[: 3 * (512 + 2048) - 1_000])
    made = corpora.prepare(reader="webdataset")
    rows = {row.key: row.seconds for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert rows == {"0": 0.1, "1": 0.1}
    assert dict(made.card.refused) == {"truncated": 1}


def link(name: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


PICKLED = io.BytesIO()
np.save(PICKLED, np.array([{"a": 1}], dtype=object))
PLAIN = io.BytesIO()
np.save(PLAIN, np.frombuffer(b"|O" * 400, dtype="<i2"))
BAD = {
    "up": ({"../1.wav": b"1"}, "unsafe_member"),
    "absolute": ({"/1.wav": b"1"}, "unsafe_member"),
    "linked recording": ({"1.wav": link("1.wav")}, "unsafe_member"),
    "linked text": ({"1.wav": b"1", "1.txt": link("1.txt")}, "unsafe_member"),
    "linked folder": ({"x": link("x")}, "unsafe_member"),
    "device": ({"1.wav": link("1.wav", tarfile.CHRTYPE)}, "unsafe_member"),
    "pickle": ({"1.wav": b"1", "1.pkl": b"c"}, "pickle"),
    "pickle, named further": ({"1.wav": b"1", "1.feats.PTH": b"c"}, "pickle"),
    "objects in NumPy": ({"1.wav": b"1", "1.npy": PICKLED.getvalue()}, "pickle"),
    "no recording": ({"1.txt": "one"}, "missing_file"),
    "two recordings": ({"1.wav": b"1", "1.flac": b"1"}, "several_files"),
    "two first sources": ({"1.wav": b"1", "1.s1.wav": b"1", "1.s1.flac": b"1"}, "several_files"),
    "no first source": ({"1.wav": b"1", "1.s2.wav": b"1"}, "missing_file"),
    "no JSON": ({"1.wav": b"1", "1.json": "{"}, "bad_line"),
    "no object": ({"1.wav": b"1", "1.json": "[1]"}, "bad_line"),
    "nested": ({"1.wav": b"1", "1.json": "[" * 100_000}, "bad_line"),
    "long": ({"1.wav": b"1", "1.json": "[" + " " * 300_000 + "]"}, "oversized"),
    "long text": ({"1.wav": b"1", "1.txt": "a" * 300_000}, "oversized"),
    "no class": ({"1.wav": b"1", "1.cls": "dog"}, "bad_line"),
    "not UTF-8": ({"1.wav": b"1", "1.txt": b"caf\xe9"}, "not_utf8"),
}


@pytest.mark.parametrize(("members", "reason"), BAD.values(), ids=BAD)
def test_a_bad_member_costs_one_clip(corpora, members, reason):
    shard(corpora, "0.tar", {"0.wav": b"1", **members, "9.wav": b"1"})
    found = read(corpora)
    assert list(faults(found).values()) == [reason]
    assert len(found) == 3


def test_an_array_of_numbers_is_no_pickle(corpora):
    shard(corpora, "0.tar", {"1.wav": b"1", "1.npy": PLAIN.getvalue()})
    assert not faults(read(corpora))


def test_pickles_may_be_ignored_and_are_not_opened(corpora):
    shard(corpora, "0.tar", {"1.wav": b"1", "1.pkl": b"c", "2.wav": b"1", "2.feats.pt": b"c"})
    assert faults(read(corpora, ignore=["feats.pt"])) == {"1": "pickle"}
    assert not faults(read(corpora, ignore=[".pkl", "pt"]))


def test_a_key_in_two_shards_and_a_member_twice_in_one(corpora):
    shard(corpora, "0.tar", {"1.wav": b"1", "2.wav": b"1"})
    shard(corpora, "1.tar", {"1.wav": b"1", "3.wav": b"1"})
    twice = shard(corpora, "2.tar", {"4.wav": b"1", "5.wav": b"1"})
    content = twice.read_bytes()
    twice.write_bytes(content[:1024] + content)
    found = read(corpora)
    assert faults(found) == {"1~2": "duplicate_key", "4": "duplicate_key"}
    assert found["4"].fault.detail == "2.tar: '4.wav' stands twice in the tar"


def test_a_damaged_shard_costs_what_stands_behind_the_damage(corpora):
    path = shard(corpora, "x/0.tar", {"1.wav": b"1", "2.wav": b"1"})
    content = bytearray(path.read_bytes())
    content[1024] ^= 1
    path.write_bytes(content)
    shard(corpora, "x/1.tar", {"3.wav": b"1"})
    found = read(corpora)
    assert faults(found) == {"x-0-byte-1024": "bad_tar"}
    assert {"1", "3"} < set(found)


def test_shards_by_a_pattern(corpora):
    for name in ("train/0.tar", "test/0.tar"):
        shard(corpora, name, {f"{name[:2]}.wav": b"1"})
    assert list(read(corpora, shards="test/*.tar")) == ["te"]
    with pytest.raises(RealEarError, match=r"named like 'dev/\*.tar' in .*, found none: name them"):
        read(corpora, shards="dev/*.tar")


@pytest.mark.parametrize("pattern", ["../*.tar", "/tmp/*.tar", "a/../../*.tar"])
def test_a_pattern_does_not_leave_the_folder(corpora, pattern):
    with pytest.raises(RealEarError, match="expected shards below"):
        read(corpora, shards=pattern)


def test_compressed_shards_are_an_error(corpora):
    shard(corpora, "0.tar", {"1.wav": b"1"})
    corpora.file("sub/1.tar.gz", b"\x1f\x8b")
    with pytest.raises(RealEarError, match=r"expected plain tars, found 1\.tar\.gz: unpack"):
        read(corpora)
