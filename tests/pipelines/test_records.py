"""Canonical text and digests of what travels."""

import json
from dataclasses import asdict, dataclass

import pytest

from pipelines.records import Entry, Failure, InTar, canonical, digest

ENTRY = Entry(
    key="a",
    audio=InTar("a.tar", 512, 90),
    sources=("a/1.wav", InTar("b.tar", 0, 7)),
    text="straße",
    labels={"z": "1", "a": "2"},
    fault=Failure("a", "prepare", "silent"),
)


def test_a_record_stands_for_its_fields_however_deep_it_lies():
    assert json.loads(canonical(ENTRY)) == json.loads(json.dumps(asdict(ENTRY)))
    assert digest(["x", (ENTRY, [None, 1])]) == digest(["x", [asdict(ENTRY), [None, 1]]])


def test_other_records_have_other_digests():
    assert digest(ENTRY) != digest(Entry("a", "a.tar"))


def test_what_json_does_not_know_is_an_error():
    with pytest.raises(TypeError):
        canonical({"found": {1, 2}})


def test_records_of_one_name_are_told_apart():
    @dataclass
    class Entry:
        other: int

    assert canonical([ENTRY, Entry(3)]).endswith('{"other":3}]')
