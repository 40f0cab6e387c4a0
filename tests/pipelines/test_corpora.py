"""Readers: what a folder or a manifest says about its recordings."""

import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import corpora
from pipelines.corpora import READERS
from pipelines.corpora import __main__ as sheets
from pipelines.corpora.base import LONGEST_KEY, sound_key, unique
from pipelines.corpora.files import compile_pattern
from pipelines.records import Entry, RealEarError

SUFFIXES = ("s1.flac", "clean.flac", "enhanced.wav", "interpretation.wav")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def put(folder: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path, **config) -> dict[str, Entry]:
    found = corpora.create({"folder": str(folder), **config}, "corpus").entries()
    assert len({entry.key for entry in found}) == len(found)
    return {entry.key: entry for entry in found}


def manifest(folder: Path, name: str, content: str | bytes) -> dict[str, Entry]:
    put(folder, name, content=content.encode() if isinstance(content, str) else content)
    return read(folder, reader="manifest", file=name)


def faults(entries: dict[str, Entry]) -> dict[str, str]:
    return {key: entry.fault.reason for key, entry in entries.items() if entry.fault}


# Keys


@pytest.mark.parametrize("name", ["a", "a-b_C9", "x" * LONGEST_KEY])
def test_a_sound_name_is_its_own_key(name):
    assert sound_key(name) == name


def test_folders_become_dashes():
    assert sound_key("19/198/utt_1") == "19-198-utt_1"


@pytest.mark.parametrize("name", ["take.1", "größe", "日本語", "a b", "", ".", "x" * 81, "a\udce9"])
def test_other_names_get_a_hash(name):
    assert re.fullmatch(r"[A-Za-z0-9_-]*-[0-9a-f]{8}", sound_key(name))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=120))
def test_a_key_suits_every_reader_of_tars(name):
    key = sound_key(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key)
    assert all(len(f"{key}.{suffix}") <= 100 for suffix in SUFFIXES)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("a.b é_-\ud800\udce9", max_size=90), unique=True, max_size=20))
def test_different_names_get_different_keys(names):
    assert len({sound_key(name) for name in names}) == len(names)


def test_the_later_of_two_equal_keys_is_a_fault_under_the_common_name():
    first, second, third = unique([Entry("a", "1.wav"), Entry("a", "2.wav"), Entry("a", "3.wav")])
    assert first == Entry("a", "1.wav")
    assert second.key != third.key
    assert {second.fault.reason, third.fault.reason} == {"duplicate_key"}
    assert {second.fault.key, third.fault.key} == {"a"}


def test_one_name_in_two_formats_is_one_key_twice(folder):
    put(folder, "a.flac", "a.wav", "b.wav", "a-b.wav", "a/b.wav")
    found = read(folder)
    assert len(found) == 5
    assert sorted(faults(found)) == ["a-b~2", "a~2"]


# Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "labels"),
    [
        ("{digit}_{speaker}_{take}.wav", "7_jackson_12.wav",
         {"digit": "7", "speaker": "jackson", "take": "12"}),
        ("{digit}_{speaker}_{take}.wav", "7_a_b_12.wav",
         {"digit": "7", "speaker": "a", "take": "b_12"}),
        ("{speaker}/{take}.flac", "p1/9.flac", {"speaker": "p1", "take": "9"}),
        ("{rest:path}/{take}.wav", "a/b/9.wav", {"rest": "a/b", "take": "9"}),
        ("**/*.wav", "a/b/9.wav", {}),
        ("**/*.wav", "9.wav", {}),
        ("**", "any/thing.mp3", {}),
        ("a+b (1)/*.wav", "a+b (1)/x.wav", {}),
    ],
)  # fmt: skip
def test_a_pattern_matches_and_labels(pattern, path, labels):
    assert compile_pattern(pattern).fullmatch(path).groupdict() == labels


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{digit}_{speaker}_{take}.wav", "7_jackson.wav"),
        ("{digit}_{speaker}_{take}.wav", "x/7_jackson_1.wav"),
        ("*.wav", "a/9.wav"),
        ("*.wav", "9.wavx"),
        ("a.wav", "aXwav"),
    ],
)
def test_a_pattern_does_not_match_more_than_it_says(pattern, path):
    assert compile_pattern(pattern).fullmatch(path) is None


def test_a_label_twice_in_a_pattern_is_refused():
    with pytest.raises(RealEarError, match="is not a file-name pattern"):
        compile_pattern("{a}_{a}.wav")


def test_labels_become_text_speaker_and_labels(folder):
    put(folder, "0_jo_1.wav", "7_jo_1.wav", "notes.txt")
    found = read(
        folder,
        audio="{digit}_{speaker}_{take}.wav",
        text={"label": "digit", "words": {"0": "zero"}},
    )
    assert found["0_jo_1"].text == "zero"
    assert found["7_jo_1"].text == "7"  # a value without a word stands for itself
    assert found["0_jo_1"].speaker == "jo"
    assert found["0_jo_1"].labels == {"digit": "0", "take": "1"}
    assert not faults(found)


def test_templates_are_filled_from_labels_and_the_path(folder):
    put(folder, "mix/a_b.wav")
    [entry] = read(
        folder,
        audio="mix/{first}_{second}.wav",
        speaker="{first}+{second}",
        session="{folder}",
        clean="clean/{stem}.flac",
        sources=["s1/{file}", "s2/{first}.wav"],
    ).values()
    assert entry.key == "a_b"  # the folder that the pattern fixes is no part of it
    assert (entry.audio, entry.clean) == ("mix/a_b.wav", "clean/a_b.flac")
    assert entry.sources == ("s1/a_b.wav", "s2/a.wav")
    assert (entry.speaker, entry.session) == ("a+b", "mix")


def test_a_template_of_an_unknown_label_is_refused(folder):
    put(folder, "a_b.wav")
    with pytest.raises(RealEarError, match=r"asks for 'speeker': did you mean 'speaker'"):
        read(folder, audio="{speaker}_{n}.wav", session="{speeker}")


def test_nothing_that_matches_is_an_error_that_counts_the_rest(folder):
    put(folder, "a.wav", "b.mp3", "c.txt")
    with pytest.raises(RealEarError, match=r"found none \(of 2 recordings there\)"):
        read(folder, audio="{x}_{y}.wav")


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(RealEarError, match="expected a folder of recordings, found none at"):
        read(tmp_path / "nowhere")


def test_formats_that_cannot_be_decoded_are_listed_all_the_same(folder):
    put(folder, "a.m4a", "b.WAV", "c.opus", "d.sph", "e.txt", "f.json")
    assert sorted(entry.audio for entry in read(folder).values()) == [
        "a.m4a", "b.WAV", "c.opus", "d.sph",
    ]  # fmt: skip


# Transcripts


TABLES = {
    "tsv": "a\tone two\nb\tthree\n",
    "kaldi": "a one two\nb\tthree\n",
    "sphinx": "<s> one two </s> (a)\n three (b)\n",
}


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("form", TABLES)
def test_tables_of_transcripts(folder, form, ends):
    put(folder, "a.wav", "b.wav")
    put(folder, "table", content=b"\xef\xbb\xbf" + TABLES[form].replace("\n", ends).encode())
    found = read(folder, text={"file": "table", "format": form})
    assert {key: entry.text for key, entry in found.items()} == {"a": "one two", "b": "three"}
    assert not faults(found)


def test_both_sides_without_a_partner_are_counted(folder):
    put(folder, "a.wav", "b.wav")
    put(folder, "table", content=b"a\tone\nc\ttwo\n")
    found = read(folder, text={"file": "table"})
    assert faults(found) == {"b": "no_transcript", "c": "missing_file"}


def test_a_transcript_keeps_its_unusual_line_separators(folder):
    put(folder, "a.wav")
    put(folder, "table", content="a\tone\u2028two\x85three\n".encode())
    assert read(folder, text={"file": "table"})["a"].text == "one\u2028two\x85three"


@pytest.mark.parametrize("line", ["a\ttwo", "a\t"])
def test_two_transcripts_of_one_clip_are_refused(folder, line):
    put(folder, "a.wav")
    put(folder, "table", content=f"a\tone\n{line}\n".encode())
    with pytest.raises(RealEarError, match="expected one transcript of 'a', found 'one' and"):
        read(folder, text={"file": "table"})


def test_the_same_transcript_twice_is_one(folder):
    put(folder, "a.wav")
    put(folder, "table", content=b"a\tone\na\tone\n")
    assert read(folder, text={"file": "table"})["a"].text == "one"


@pytest.mark.parametrize(("form", "line"), [("tsv", "a one"), ("sphinx", "<s> one </s>")])
def test_a_table_of_another_form_is_refused(folder, form, line):
    put(folder, "a.wav")
    put(folder, "table", content=line.encode())
    with pytest.raises(RealEarError, match=f"expected lines of the form '{form}'"):
        read(folder, text={"file": "table", "format": form})


def test_a_table_that_is_not_there_is_refused(folder):
    put(folder, "a.wav")
    with pytest.raises(RealEarError, match="expected transcripts at"):
        read(folder, text={"file": "table"})


def test_one_transcript_that_is_not_utf8_costs_one_clip(folder):
    put(folder, "a.wav", "b.wav", "c.wav")
    put(folder, "table", content=b"a\tcaf\xe9\nb\tcaf\xc3\xa9\nc\tthree\n")
    found = read(folder, text={"file": "table"})
    assert faults(found) == {"a": "not_utf8"}
    assert found["b"].text == "café"
    assert r"caf\xe9" in found["a"].fault.detail


def test_text_beside_the_recording(folder):
    put(folder, "x/a.wav", "b.wav", "c.wav")
    put(folder, "x/a.txt", content=b"\xef\xbb\xbf one two \n")
    put(folder, "c.txt", content=b"\xff")
    found = read(folder, text={"beside": ".txt"})
    assert found["x-a"].text == "one two"
    assert faults(found) == {"b": "no_transcript", "c": "not_utf8"}


def test_an_empty_transcript_is_a_transcript(folder):
    put(folder, "a.wav", "a.txt")
    found = read(folder, text={"beside": ".txt"})
    assert found["a"].text == ""
    assert not faults(found)


@pytest.mark.parametrize("text", [{}, {"file": "t", "beside": ".txt"}])
def test_transcripts_have_one_origin(folder, text):
    with pytest.raises(RealEarError, match="expected exactly one of file, beside, label"):
        read(folder, text=text)


# Manifests


CSV = "path,text,speaker,room,sources\na.wav,one,jo,hall,s1.wav; s2.wav\nsub/b.wav,,,,\n"
TSV = CSV.replace(",", "\t")
JSONL = (
    '{"path": "a.wav", "text": "one", "speaker": "jo", "room": "hall", '
    '"sources": ["s1.wav", "s2.wav"]}\n{"path": "sub/b.wav", "text": "", "room": null}\n'
)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(("name", "content"), [("m.csv", CSV), ("m.tsv", TSV), ("m.jsonl", JSONL)])
def test_manifests_in_three_forms_say_the_same(folder, name, content, ends):
    found = manifest(folder, name, b"\xef\xbb\xbf" + content.replace("\n", ends).encode())
    assert found == {
        "a": Entry(
            "a", "a.wav", ("s1.wav", "s2.wav"), text="one", speaker="jo", labels={"room": "hall"}
        ),
        "sub-b": Entry("sub-b", "sub/b.wav", text=""),
    }


def test_a_manifest_may_name_keys_and_numbers(folder):
    found = manifest(folder, "m.jsonl", '{"path": "a.wav", "key": 0, "text": 5, "take": 3}\n')
    assert found == {"0": Entry("0", "a.wav", text="5", labels={"take": "3"})}


def test_a_manifest_lies_where_its_recordings_do_or_elsewhere(folder, tmp_path):
    put(tmp_path, "lists/m.csv", content=b"path\na.wav\n")
    beside = corpora.create({"reader": "manifest", "file": str(tmp_path / "lists/m.csv")}, "x")
    assert beside.folder == str(tmp_path / "lists")
    apart = read(folder, reader="manifest", file=str(tmp_path / "lists/m.csv"))
    assert list(apart) == ["a"]


BAD_LINES = {
    "m.csv": [
        "b.wav",  # too few
        "b.wav,two,three",  # too many
        ",two",  # no path
        'b.wav,"two',  # a quote that never closes
        'b.wav,"' + "x" * 200_000 + '"',  # beyond csv's own limit
    ],
    "m.tsv": ["b.wav two", "\ttwo", 'b.wav\t"two'],
    "m.jsonl": [
        "b.wav",
        '{"path": "b.wav", "text": "two"',
        '["b.wav", "two"]',
        '{"path": null}',
        '{"path": "b.wav", "text": ["two"]}',
        '{"path": {"a": 1}}',
        "[" * 100_000,
        "7",
    ],
}


@pytest.mark.parametrize(("name", "line"), [(n, line) for n in BAD_LINES for line in BAD_LINES[n]])
def test_a_bad_line_costs_one_clip(folder, name, line):
    good = {
        "m.csv": ["path,text", "a.wav,one", "c.wav,three"],
        "m.tsv": ["path\ttext", "a.wav\tone", "c.wav\tthree"],
        "m.jsonl": ["", '{"path": "a.wav", "text": "one"}', '{"path": "c.wav"}'],
    }[name]
    found = manifest(folder, name, "\n".join([*good[:2], line, good[2]]))
    assert faults(found) == {"line-3": "bad_line"}
    assert found["line-3"].fault.detail.startswith("line 3 of the manifest: ")
    assert sorted(found) == ["a", "c", "line-3"]


def test_quotes_inside_a_csv_are_read_as_everywhere(folder):
    found = manifest(folder, "m.csv", 'path,text\na.wav,"one, ""two"""\n')
    assert found["a"].text == 'one, "two"'


def test_a_column_without_a_name_is_no_label(folder):
    found = manifest(folder, "m.csv", ",path,text\n0,a.wav,one\n")
    assert found == {"a": Entry("a", "a.wav", text="one")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b"path,text\na.wav,caf\xe9\nb.wav,two\n"),
        ("m.tsv", b"path\ttext\na.wav\tcaf\xe9\nb.wav\ttwo\n"),
        ("m.jsonl", b'{"path": "a.wav", "text": "caf\xe9"}\n{"path": "b.wav"}\n'),
        ("m.jsonl", b'{"path": "a.wav", "text": "half \\ud83d"}\n{"path": "b.wav"}\n'),
        ("m.csv", b"path,speaker\na.wav,Jos\xe9\nb.wav,Jo\n"),
        ("m.csv", b"path,session\na.wav,Jos\xe9\nb.wav,Jo\n"),
        ("m.csv", b"path,room\na.wav,caf\xe9\nb.wav,hall\n"),
    ],
)
def test_a_line_that_is_not_utf8_costs_one_clip(folder, name, content):
    found = manifest(folder, name, content)
    assert faults(found) == {"a": "not_utf8"}
    assert sorted(found) == ["a", "b"]


def test_a_line_separator_inside_a_text_ends_no_line(folder):
    found = manifest(folder, "m.csv", "path,text\na.wav,one\u2028two\n")
    assert found["a"].text == "one\u2028two"
    found = manifest(folder, "m.jsonl", '{"path": "a.wav", "text": "one\u2028two"}\n')
    assert found["a"].text == "one\u2028two"


@pytest.mark.parametrize("path", [".", "/", "..", "a\\u0000b", "x" * 300])
def test_a_path_that_names_no_file_is_an_entry_like_any_other(folder, path):
    found = manifest(folder, "m.jsonl", f'{{"path": "{path}"}}\n')
    assert len(found) == 1


def test_a_manifest_without_paths_is_refused(folder):
    with pytest.raises(RealEarError, match="expected a column 'path', found paths, text: did you"):
        manifest(folder, "m.csv", "paths,text\na.wav,one\n")
    with pytest.raises(RealEarError, match="found an empty file"):
        manifest(folder, "n.csv", "")


def test_other_files_are_no_manifest(folder):
    with pytest.raises(RealEarError, match=r"ending in .csv, .tsv or .jsonl, found m\.xls"):
        manifest(folder, "m.xls", "x")
    with pytest.raises(RealEarError, match=r"expected a manifest at n\.csv, found no file there"):
        read(folder, reader="manifest", file="n.csv")


# Choosing a reader


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"reader": "manifesto"}, r"unknown reader 'manifesto': did you mean 'manifest'\?"),
        ({"folder": "x", "speeker": "a"}, r"unknown key 'speeker': did you mean 'speaker'\?"),
        ({"audio": "*.wav"}, "missing key 'folder'"),
        ({"folder": "x", "text": {"fil": "a"}}, r"unknown key 'text\.fil': did you mean 'file'"),
        ({"folder": "x", "text": {"file": "a", "format": "csv"}}, r"text\.format: .*found 'csv'"),
        ({"folder": ["x"]}, r"folder: Input should be a valid string \(found \['x'\]\)"),
    ],
)
def test_a_wrong_configuration_is_told_with_its_remedy(config, text):
    with pytest.raises(RealEarError, match=text):
        corpora.create(config, "datasets.a.corpus")


def test_the_corpus_is_called_as_it_says_or_as_its_folder(folder):
    assert corpora.create({"folder": str(folder)}, "x").title == "set"
    assert corpora.create({"folder": str(folder), "name": "fsdd"}, "x").title == "fsdd"


# Every reader by name


def test_every_reader_has_a_data_sheet_that_docs_corpora_md_shows():
    """If this fails: `make docs`."""
    written = Path(__file__).parents[2] / "docs/corpora.md"
    assert written.read_text(encoding="utf-8") == sheets.page()
    for name, reader in sheets.readers().items():
        assert sheets.summary_of(reader).endswith("."), name
        assert "reader: " in (sys.modules[reader.__module__].__doc__ or ""), name


@pytest.mark.parametrize("name", READERS)
def test_a_folder_that_is_another_corpus_is_told_before_any_work(name, tmp_path):
    (tmp_path / "unrelated.bin").write_bytes(b"?")
    config = {"reader": name, "folder": str(tmp_path)}
    if name in ("manifest", "nemo"):
        config["file"] = "manifest.jsonl"
    with pytest.raises(RealEarError, match="expected"):
        list(corpora.create(config, "x").entries())


def test_one_word_does_where_several_may_stand(tmp_path):
    config = {"reader": "librispeech", "folder": str(tmp_path), "split": "test-clean"}
    assert corpora.create(config, "x").split == ("test-clean",)
