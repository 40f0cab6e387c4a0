"""Paths, seconds and sessions as other tools' manifests name them; JSON lines of any kind."""

import gzip
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.corpora import jsonlines
from pipelines.corpora.stretches import Root, seconds, stem, with_sessions
from pipelines.records import Entry, Failure, RealEarError


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("a.wav", "a.wav"),
        ("./x/../a.wav", "a.wav"),
        ("/data/set/x/a.wav", "x/a.wav"),
        ("/data/./set//a.wav", "a.wav"),
        ("..a.wav", "..a.wav"),
        ("../a.wav", None),
        ("x/../../a.wav", None),
        ("/data/settee/a.wav", None),
        ("/data/set/../a.wav", None),
        ("/a.wav", None),
    ],
)
def test_a_path_lies_in_the_folder_or_nowhere(path, place):
    assert Root("/data/set").place(path) == place


def test_a_path_through_a_link_to_the_folder_lies_in_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    root = Root(str(tmp_path / "link"))
    assert root.place(str(tmp_path / "link/a.wav")) == "a.wav"
    assert root.place(str(tmp_path.resolve() / "real/a.wav")) == "a.wav"


@settings(max_examples=300, deadline=None)
@given(st.text("./a", max_size=12))
def test_no_place_leaves_the_folder(path):
    place = Root("/data/set").place(path)
    if place is not None:
        whole = Path("/data/set", place)
        assert ".." not in whole.parts
        assert whole.is_relative_to("/data/set")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0.0), (1.5, 1.5), ("1.50", 1.5), ("1e1", 10.0), (".5", 0.5), ("7.", 7.0),
        (-1, None), ("-0.1", None), (math.nan, None), ("nan", None), ("inf", None), ("1e999", None),
        (10**400, None), (1e9, 1e9), (1e10, None),
        (True, None), (None, None), ("", None), ("1_0", None), ([1], None),
        ("1" * 5_000, None), (" 1", None),
    ],
)  # fmt: skip
def test_seconds_are_numbers_from_zero_to_a_billion(value, number):
    assert seconds(value) == number


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x.y/a.b.wav", "x.y/a.b"),
        ("x.y/a", "x.y/a"),
        (".wav", ".wav"),
        ("x/.wav", "x/.wav"),
        ("", ""),
    ],
)
def test_a_stem_is_the_path_without_its_last_suffix(path, name):
    assert stem(path) == name


def clip(key: str, speaker: str | None, *, bad: bool = False) -> Entry:
    fault = Failure(key, "prepare", "bad_line") if bad else None
    return Entry(key, f"{key}.wav", speaker=speaker, fault=fault)


@pytest.mark.parametrize(
    ("clips", "shared"),
    [
        ([("a", "jo", "r1"), ("b", "jo", "r1"), ("c", "jo", "r2")], False),
        ([("a", "jo", "r1"), ("b", "al", "r2")], False),
        ([("a", None, "r1"), ("b", None, "r2")], False),
        ([("a", "jo", "r1"), ("b", "al", "r1"), ("c", "jo", "r2")], True),
        ([("a", None, "r1"), ("b", None, "r1")], True),
        ([("a", "jo", "r1"), ("b", None, "r1")], True),
    ],
)
def test_recordings_are_sessions_where_their_clips_share_voices(clips, shared):
    found = with_sessions((clip(key, speaker), recording) for key, speaker, recording in clips)
    assert [entry.session for entry in found] == [r if shared else None for _, _, r in clips]


def test_a_failed_clip_makes_no_session():
    clips = [(clip("a", "jo"), "r1"), (clip("b", None, bad=True), "r1")]
    assert [entry.session for entry in with_sessions(clips)] == [None, None]


# JSON lines


def rows(where: Path, content: bytes) -> list:
    where.write_bytes(gzip.compress(content) if where.suffix == ".gz" else content)
    return list(jsonlines.rows(where))


@pytest.mark.parametrize("name", ["m.jsonl", "m.jsonl.gz"])
def test_each_line_is_an_object_or_is_handed_on(tmp_path, name):
    deep = "[" * 100_000
    lines = [b'\xef\xbb\xbf{"a": 1}', b"", b"[1]", b'{"a": ', deep.encode(), b'{"a": "\xff"}\r']
    found = rows(tmp_path / name, b"\n".join(lines))
    assert found == [(1, {"a": 1}), (3, "[1]\n"), (4, '{"a": \n'), (5, deep + "\n"),
                     (6, {"a": "\udcff"})]  # fmt: skip


def test_a_line_without_end_costs_itself_and_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "LONGEST", 1_000)
    found = rows(tmp_path / "m.jsonl", b'{"a": 1}\n"' + b"x" * 10_000 + b'"\n{"a": 2}')
    assert [row for _, row in found if isinstance(row, dict)] == [{"a": 1}, {"a": 2}]
    [(number, text)] = [(n, row) for n, row in found if isinstance(row, str)]
    assert number == 2
    assert text.startswith('a line of more than 1000 bytes: "xx')
    assert len(text) < 300


def test_a_line_as_long_as_may_be_is_read(tmp_path, monkeypatch):
    line = b'{"a": 1}\n'
    monkeypatch.setattr(jsonlines, "LONGEST", len(line))
    assert rows(tmp_path / "m.jsonl", line * 2) == [(1, {"a": 1}), (2, {"a": 1})]


def test_a_gzip_file_cut_short_says_so_after_what_stood_before(tmp_path):
    lines = b"".join(b'{"a": "%d"}\n' % (n**5) for n in range(20_000))
    whole = gzip.compress(lines)
    (tmp_path / "m.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    *good, (_, last) = jsonlines.rows(tmp_path / "m.jsonl.gz")
    assert len(good) > 5_000
    assert all(isinstance(row, dict) for _, row in good)
    assert last.startswith("m.jsonl.gz cannot be read beyond this line: ")


def test_a_file_that_is_no_gzip_is_one_bad_line(tmp_path):
    (tmp_path / "m.jsonl.gz").write_bytes(b'{"a": 1}\n')
    [(number, text)] = jsonlines.rows(tmp_path / "m.jsonl.gz")
    assert number == 1
    assert "cannot be read beyond this line" in text


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(RealEarError, match=r"expected a file of JSON lines at .*, found no file"):
        list(jsonlines.rows(tmp_path / "m.jsonl"))


def test_scalars_are_what_a_label_can_hold():
    fields = {"a": "x", "b": 2, "c": 1.5, "d": True, "e": None, "f": [1], "g": {"h": 1}, "i": ""}
    assert jsonlines.scalars(fields) == {"a": "x", "b": "2", "c": "1.5", "d": "true"}
    assert jsonlines.scalars([1]) == {}
    assert jsonlines.scalars({"n": 10**5_000})["n"].startswith("0x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON | st.binary(max_size=30), max_size=5))
def test_any_line_is_a_row_or_text_in_its_place(tmp_path_factory, values):
    where = tmp_path_factory.getbasetemp() / "any.jsonl"
    lines = [v if isinstance(v, bytes) else json.dumps(v).encode() for v in values]
    where.write_bytes(b"\n".join(lines))
    found = dict(jsonlines.rows(where))
    if not any(isinstance(value, bytes) for value in values):
        assert [n for n, row in found.items() if isinstance(row, dict)] == [
            n for n, value in enumerate(values, 1) if isinstance(value, dict)
        ]
    assert all(isinstance(row, dict | str) for row in found.values())
