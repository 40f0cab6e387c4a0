"""NeMo manifests: stretches of files, words, labels, and every line that is none of it counted."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpora as readers
from pipelines.records import Entry, RealEarError
from pipelines.shards import datasets


def read(corpora, *rows, name: str = "m.json", **options) -> dict[str, Entry]:
    lines = (row if isinstance(row, str | bytes) else json.dumps(row) for row in rows)
    encoded = (line.encode() if isinstance(line, str) else line for line in lines)
    where = corpora.file(name, b"\n".join(encoded))
    found = readers.create({"reader": "nemo", "file": str(where), **options}, "corpus").entries()
    return {entry.key: entry for entry in found}


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


def line(path: str = "a.wav", **fields) -> dict:
    return {"audio_filepath": path, "duration": 0.1, **fields}


def test_lines_become_clips(corpora):
    found = read(
        corpora,
        line("wavs/a.wav", text="one", speaker="jo", lang="de", label="yes", pred_text="won"),
        line("wavs/b.wav", offset=12.5, duration=3, normalized_text="two", take=2, words=[1]),
        line("wavs/b.wav", offset=15.5, duration=None, text=""),
    )
    assert found == {
        "wavs-a": Entry("wavs-a", "wavs/a.wav", text="one", speaker="jo", session="wavs/a",
                        labels={"class": "yes", "language": "de"}),
        "wavs-b-00012500": Entry("wavs-b-00012500", "wavs/b.wav", start=12.5, end=15.5,
                                 text="two", session="wavs/b", labels={"take": "2"}),
        "wavs-b-00015500": Entry("wavs-b-00015500", "wavs/b.wav", start=15.5, text="",
                                 session="wavs/b"),
    }  # fmt: skip


def test_end_to_end(corpora):
    corpora.wav("wavs/a.wav", seed=1)
    corpora.wav("wavs/b.wav", seed=2)
    rows = [
        line("wavs/a.wav", text="one"),
        line("wavs/b.wav", offset=0.02, duration=0.05),
        line("wavs/c.wav"),
        line(f"{corpora.folder}/wavs/a.wav", offset=0, duration=0.1),
    ]
    where = corpora.file("lists/m.json", "\n".join(map(json.dumps, rows)))
    made = corpora.prepare(reader="nemo", file=str(where))
    found = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert {key: row.seconds for key, row in found.items()} == {
        "wavs-a": 0.1, "wavs-b-00000020": 0.05, "wavs-a-00000000": 0.1,
    }  # fmt: skip
    assert found["wavs-a"].text == "one"
    assert dict(made.card.refused) == {"missing_file": 1}


def test_a_command_is_refused_and_never_run(corpora):
    command = f"touch {corpora.folder}/executed |"
    found = read(corpora, line(command), line("b.wav"))
    assert sorted(faults(found).values()) == ["command"]
    assert not (corpora.folder / "executed").exists()


BAD = {
    "no JSON": "{",
    "no object": "[1]",
    "nested": "[" * 50_000,
    "no path": {"text": "one"},
    "empty path": line(""),
    "a number for a path": line(7),
    "an object for words": line(text={"a": 1}),
    "a list for a speaker": line(speaker=["jo"]),
    "an offset before the start": line(offset=-1),
    "an offset that is no number": line(offset="x"),
    "no length": line(offset=0, duration=0),
    "a length that is no number": line(offset=0, duration="x"),
    "an endless length": '{"audio_filepath": "a.wav", "offset": 0, "duration": Infinity}',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_costs_one_clip(corpora, bad):
    found = read(corpora, line("b.wav"), bad, line("c.wav"))
    assert list(faults(found).values()) == ["bad_line"]
    assert len(found) == 3
    assert not found["b"].fault
    assert not found["c"].fault


def test_other_refusals(corpora):
    found = read(
        corpora,
        line(["a.wav", "b.wav"]),
        line("../a.wav"),
        line("a.wav", text_filepath="a.txt"),
        b'{"audio_filepath": "b.wav", "text": "caf\xe9"}',
        line("c.wav"),
        line("c.wav"),
    )
    assert sorted(faults(found).values()) == [
        "duplicate_key", "no_transcript", "not_utf8", "outside_corpus", "several_files",
    ]  # fmt: skip


def test_tarred_manifests_are_refused(corpora):
    with pytest.raises(RealEarError, match=r"found one of tarred audio, .*reader: webdataset"):
        read(corpora, line(shard_id=0))
    with pytest.raises(RealEarError, match="found one of tarred audio"):
        read(corpora, name="manifest__OP_0..7_CL_.json")


def test_a_manifest_that_is_not_there_and_a_folder_without_its_audio(corpora):
    with pytest.raises(RealEarError, match=r"JSON lines at .*n\.json, found no file there"):
        readers.create({"reader": "nemo", "file": "n.json", "folder": str(corpora.folder)},
                       "corpus").entries()  # fmt: skip
    with pytest.raises(RealEarError, match="found none of 1 clips there"):
        read(corpora, line("/elsewhere/a.wav"))


VALUE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([1])
NAMES = st.sampled_from(["audio_filepath", "offset", "duration", "text", "speaker", "label", "é"])


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.dictionaries(NAMES, VALUE, max_size=7), max_size=4))
def test_any_object_ends_as_a_clip_or_a_failure(tmp_path_factory, rows):
    where = tmp_path_factory.getbasetemp() / "any.json"
    rows = [*rows, line("good.wav")]
    where.write_text("\n".join(map(json.dumps, rows)))
    found = readers.create({"reader": "nemo", "file": str(where)}, "corpus").entries()
    assert len(found) == len(rows)
    for entry in found:
        assert entry.fault or (entry.start is None) or entry.start >= 0
