"""Hugging Face datasets on disk: folders with and without metadata, and Parquet with audio."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpora as readers
from pipelines.records import Entry, InTable, RealEarError
from pipelines.shards import datasets


def read(corpora, reader: str, **options) -> dict[str, Entry]:
    config = {"reader": reader, "folder": str(corpora.folder), **options}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


def touch(corpora, *names: str) -> None:
    for name in names:
        corpora.file(name, b"")


# AudioFolder


ROWS = [
    {"file_name": "a.wav", "transcription": "one", "speaker_id": "jo", "take": 1},
    {"file_name": "x/b.wav", "transcription": "two", "speaker_id": "al", "take": 2},
]


def metadata(corpora, name: str, rows: list[dict]) -> None:
    if name.endswith(".csv"):
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        corpora.file(name, "\n".join(lines))
    elif name.endswith(".jsonl"):
        corpora.file(name, "\n".join(map(json.dumps, rows)))
    else:
        corpora.file(name, b"")
        pq.write_table(pa.Table.from_pylist(rows), corpora.folder / name)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_metadata_in_three_forms_says_the_same(corpora, name):
    touch(corpora, "a.wav", "x/b.wav")
    metadata(corpora, name, ROWS)
    assert read(corpora, "audiofolder") == {
        "a": Entry("a", "a.wav", text="one", speaker="jo", labels={"take": "1"}),
        "x-b": Entry("x-b", "x/b.wav", text="two", speaker="al", labels={"take": "2"}),
    }


def test_splits_are_folders_with_metadata_of_their_own(corpora):
    touch(corpora, "train/a.wav", "train/x/b.wav", "val-clean/a.wav", "val-clean/x/b.wav")
    metadata(corpora, "train/metadata.csv", ROWS)
    metadata(corpora, "val-clean/metadata.csv", ROWS)
    both = read(corpora, "audiofolder")
    assert [e.labels["split"] for e in both.values()] == ["train"] * 2 + ["validation"] * 2
    assert not faults(both)
    only = read(corpora, "audiofolder", split=["validation"])
    assert only == {key: both[key] for key in ("val-clean-a", "val-clean-x-b")}
    with pytest.raises(RealEarError, match="expected one of train, validation, found 'test'"):
        read(corpora, "audiofolder", split=["test"])


def test_one_table_for_all_splits(corpora):
    rows = [{"file_name": f"{split}/a.wav", "label": "yes"} for split in ("train", "test")]
    metadata(corpora, "metadata.jsonl", rows)
    touch(corpora, "train/a.wav", "test/a.wav", "train/b.wav")
    assert faults(read(corpora, "audiofolder")) == {"train-b": "no_label"}
    assert read(corpora, "audiofolder", split=["test"]) == {
        "test-a": Entry("test-a", "test/a.wav", labels={"class": "yes", "split": "test"})
    }


def test_columns_can_be_named(corpora):
    names = ("audio_file_name", "raw", "who", "day", "intent")
    cells = [("a.wav", "one", "jo", "monday", 3), ("b.wav", None, None, None, -1)]
    rows = [dict(zip(names, row, strict=True)) for row in cells]
    metadata(corpora, "metadata.parquet", rows)
    touch(corpora, "a.wav", "b.wav")
    named = {"file_name": "audio_file_name", "text": "raw", "speaker": "who", "session": "day"}
    found = read(corpora, "audiofolder", **named, label="intent")
    assert found["a"] == Entry("a", "a.wav", text="one", speaker="jo", session="monday",
                               labels={"class_index": "3"})  # fmt: skip
    assert faults(found) == {"b": "no_transcript"}
    with pytest.raises(
        RealEarError, match=r"text: expected a column 'row' in .*did you mean 'raw'"
    ):
        read(corpora, "audiofolder", **{**named, "text": "row"})
    with pytest.raises(RealEarError, match="file_name: expected a column 'file_name' in metadata"):
        read(corpora, "audiofolder")


def test_every_missing_piece_is_counted(corpora):
    corpora.wav("a.wav")
    corpora.wav("b.wav", seed=1)
    corpora.file("metadata.csv", b"file_name,text\na.wav,one\nlost.wav,two\n../c.wav,three\n"
                 b",four\nd.wav,\"five\n/elsewhere/e.wav,six\nf.wav,caf\xe9\n")  # fmt: skip
    made = corpora.prepare(reader="audiofolder")
    assert [row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")] == ["a"]
    assert dict(made.card.refused) == {
        "bad_line": 2, "missing_file": 1, "no_label": 1, "not_utf8": 1, "outside_corpus": 2,
    }  # fmt: skip


def test_folders_are_classes(corpora):
    names = [f"{split}/{kind}/{n}.wav" for split in ("train", "test") for kind in ("dog", "cat")
             for n in range(2)]  # fmt: skip
    touch(corpora, *names)
    found = read(corpora, "audiofolder", split=["test"])
    assert {key: dict(e.labels) for key, e in found.items()} == {
        f"test-{kind}-{n}": {"class": kind, "class_index": index, "split": "test"}
        for kind, index in (("cat", "0"), ("dog", "1"))
        for n in range(2)
    }


@pytest.mark.parametrize(
    "names",
    [("a.wav", "b.wav"), ("dog/a.wav", "dog/b.wav"), ("dog/a.wav", "cat/x/b.wav"),
     ("dog/a.wav", "b.wav"), ("train/a.wav", "test/b.wav")],
)  # fmt: skip
def test_folders_that_are_no_classes(corpora, names):
    touch(corpora, *names)
    found = read(corpora, "audiofolder")
    assert len(found) == 2
    assert not any("class" in entry.labels or entry.fault for entry in found.values())


def test_a_wrong_folder_is_an_error(corpora):
    touch(corpora, "notes.txt")
    with pytest.raises(RealEarError, match=r"recordings or metadata.csv in .*, found notes.txt"):
        read(corpora, "audiofolder")
    with pytest.raises(RealEarError, match=r"named like '\*\*/\*.parquet' in .*, found notes.txt"):
        read(corpora, "parquet")
    touch(corpora, "a.wav")
    with pytest.raises(RealEarError, match="text: expected a metadata file in"):
        read(corpora, "audiofolder", text="text")
    touch(corpora, "metadata.parquet")
    with pytest.raises(RealEarError, match="expected a Parquet file at"):
        read(corpora, "audiofolder")


# Parquet


AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    "audio": {"sampling_rate": 8000, "_type": "Audio"},
    "sentence": {"dtype": "string", "_type": "Value"},
    "label": {"names": ["no", "yes"], "_type": "ClassLabel"},
}


def table(sounds: list[bytes | None], *, features: object = None, **columns) -> pa.Table:
    cells = [None if data is None else {"bytes": data, "path": f"{n}.wav"}
             for n, data in enumerate(sounds)]  # fmt: skip
    made = pa.table({"audio": pa.array(cells, AUDIO), **columns})
    if features is None:
        return made
    told = features if isinstance(features, bytes) else json.dumps({"info": {"features": features}})
    return made.replace_schema_metadata({b"huggingface": told})


def put(corpora, name: str, content: pa.Table, *, group: int = 2) -> None:
    corpora.file(name, b"")
    pq.write_table(content, corpora.folder / name, row_group_size=group)


def three() -> pa.Table:
    return table(
        [b"a" * 50, b"b", b"c"], features=FEATURES, sentence=["one", "two", ""],
        speaker_id=[7, 8, 7], label=[1, 0, -1], snr=[1.5, None, 3.0], words=[[1], [2], []],
    )  # fmt: skip


def test_rows_become_clips(corpora):
    put(corpora, "data/test-00000-of-00001.parquet", three())
    found = read(corpora, "parquet")
    path, key = "data/test-00000-of-00001.parquet", "data-test-00000-of-00001"
    assert found == {
        f"{key}-0": Entry(
            f"{key}-0", InTable(path, "audio", 0, 0), text="one", speaker="7",
            labels={"snr": "1.5", "class": "yes", "class_index": "1", "split": "test"},
        ),
        f"{key}-1": Entry(
            f"{key}-1", InTable(path, "audio", 0, 1), text="two", speaker="8",
            labels={"class": "no", "class_index": "0", "split": "test"},
        ),
        f"{key}-2": Entry(
            f"{key}-2", InTable(path, "audio", 1, 0), text="", speaker="7",
            labels={"snr": "3.0", "split": "test"},
        ),
    }  # fmt: skip


def test_end_to_end(corpora):
    sounds = [corpora.wav("x.wav", seed=n).read_bytes() for n in range(3)]
    put(corpora, "train.parquet", table([*sounds, None], id=["a", "b", "c", "d"]))
    made = corpora.prepare(reader="parquet", key="id")
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert sorted(rows) == ["a", "b", "c"]
    assert rows["a"].labels == {"split": "train"}
    assert dict(made.card.refused) == {"missing_file": 1}


def test_the_audio_is_not_read(corpora):
    put(corpora, "a.parquet", table([b"x" * 5_000] * 4, sentence=list("abcd")))
    path = corpora.folder / "a.parquet"
    content = bytearray(path.read_bytes())
    for group in range(2):
        chunk = pq.ParquetFile(path).metadata.row_group(group).column(0)
        assert chunk.path_in_schema == "audio.bytes"
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        content[start : start + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)
    assert [entry.text for entry in read(corpora, "parquet").values()] == list("abcd")


@pytest.mark.parametrize(
    ("name", "split"),
    [("data/train.clean.100-00000-of-00002.parquet", "train.clean.100"),
     ("data/dev-00000-of-00001-0123456789abcdef.parquet", "dev"),
     ("default/partial-train/0000.parquet", "train"), ("en/validation/0000.parquet", "validation"),
     ("eval_1.parquet", "test"), ("evaluated.parquet", None), ("contest.parquet", None)],
)  # fmt: skip
def test_splits_are_named_by_files_and_folders(corpora, name, split):
    put(corpora, name, table([b"a"]))
    [entry] = read(corpora, "parquet").values()
    assert entry.labels.get("split") == split


def test_keys_stay_when_one_split_is_listed(corpora):
    for split in ("train", "test"):
        put(corpora, f"data/{split}-00000-of-00001.parquet", three())
    both, one = read(corpora, "parquet"), read(corpora, "parquet", split=["test"])
    assert len(both) == 6
    assert one == {key: both[key] for key in both if "test" in key}
    assert len(read(corpora, "parquet", files="data/train-*.parquet")) == 3


def test_columns_of_a_parquet_file_can_be_named(corpora):
    content = table([b"a", b"b"], raw=["one", None], id=["x/1", None]).append_column(
        "noisy", pa.array([b"c", b"d"])
    )
    put(corpora, "a.parquet", content)
    found = read(corpora, "parquet", audio="noisy", key="id", text="raw")
    assert found["x-1"] == Entry("x-1", InTable("a.parquet", "noisy", 0, 0), text="one")
    assert faults(found) == {"a-1": "bad_line"}
    assert faults(read(corpora, "parquet", text="raw")) == {"a-1": "no_transcript"}
    with pytest.raises(RealEarError, match=r"expected a column 'raw' of bytes .*: name it with"):
        read(corpora, "parquet", audio="raw")
    with pytest.raises(RealEarError, match=r"key: expected a column 'ids' in .*did you mean 'id'"):
        read(corpora, "parquet", key="ids")
    with pytest.raises(RealEarError, match="expected a pattern below `folder`"):
        read(corpora, "parquet", files="../*.parquet")


def test_a_class_beyond_the_names_costs_one_clip(corpora):
    put(corpora, "a.parquet", table([b"a", b"b"], features=FEATURES, label=[2, 1]))
    assert faults(read(corpora, "parquet")) == {"a-0": "bad_line"}


@pytest.mark.parametrize(
    "told",
    [b"{", b"[]", b"[" * 50_000, b'{"info": 1}', b'{"info": {"features": [1]}}',
     b'{"info": {"features": {"label": {"names": 1}, "audio": 2}}}', b"\xff"],
)  # fmt: skip
def test_features_that_make_no_sense_name_nothing(corpora, told):
    put(corpora, "a.parquet", table([b"a"], features=told, label=[1]))
    [entry] = read(corpora, "parquet").values()
    assert entry.labels == {"class_index": "1"}


def test_text_that_is_not_utf8_costs_one_clip(corpora):
    bad = pa.array([b"caf\xe9", "café".encode()]).view(pa.string())
    put(corpora, "a.parquet", table([b"a", b"b"], sentence=bad))
    found = read(corpora, "parquet")
    assert faults(found) == {"a-0": "not_utf8"}
    assert found["a-1"].text == "café"


def test_damaged_files_are_counted_and_the_others_are_read(corpora):
    put(corpora, "a.parquet", table([b"a"]))
    corpora.file("b.parquet", b"PAR1" + bytes(100) + b"PAR1")
    corpora.file("c.parquet", (corpora.folder / "a.parquet").read_bytes()[:-20])
    corpora.file("d.parquet", b"")
    found = read(corpora, "parquet")
    assert list(faults(found).values()) == ["unreadable"] * 3
    assert not found["a-0"].fault


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 2_000), st.binary(min_size=1, max_size=4)),
                        min_size=1, max_size=3))  # fmt: skip
def test_any_damage_ends_in_entries_or_one_clear_error(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    pq.write_table(three(), folder / "a.parquet", row_group_size=2)
    content = bytearray((folder / "a.parquet").read_bytes())
    for position, data in changes:
        position %= len(content)
        content[position : position + len(data)] = data
    (folder / "a.parquet").write_bytes(content)
    corpus = readers.create({"reader": "parquet", "folder": str(folder)}, "corpus")
    try:
        found = corpus.entries()
    except RealEarError:
        return
    assert all(entry.fault or isinstance(entry.audio, InTable) for entry in found)
