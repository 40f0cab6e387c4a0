"""Configuration: one clear error for whatever a user may write."""

from typing import Annotated

import pytest
from pydantic import Field

from pipelines import schema
from pipelines.records import RealEarError
from pipelines.schema import Config, expand, load_yaml, nearest, validate


class Room(Config):
    t60: float
    size: tuple[float, float] = (1, 2)


class Thing(Config):
    speaker: str = ""
    clips: Annotated[int, Field(ge=1)] = 1
    room: Room | None = None
    rooms: dict[str, Room] = Field(default_factory=dict)
    listed: list[Room] = Field(default_factory=list)


def wrong(value) -> str:
    with pytest.raises(RealEarError) as caught:
        validate(Thing, value, "file.yaml: thing")
    return str(caught.value)


def yaml(tmp_path, text: str | bytes):
    path = tmp_path / "a.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_yaml(str(path))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"speeker": "a"}, "unknown key 'speeker': did you mean 'speaker'?"),
        ({"zzz": 1}, "unknown key 'zzz': known: clips, listed, room, rooms, speaker"),
        ({"room": {"t60": 1, "sise": 2}}, "unknown key 'room.sise': did you mean 'size'?"),
        ({"rooms": {"a": {"t6": 1, "t60": 1}}}, "unknown key 'rooms.a.t6': did you mean 't60'?"),
        ({"listed": [{"t60": 1, "t61": 1}]}, "unknown key 'listed.0.t61': did you mean 't60'?"),
        ({"room": {}}, "missing key 'room.t60'"),
        ({"clips": 0}, "clips: Input should be greater than or equal to 1 (found 0)"),
        ({"clips": "many"}, "clips: Input should be a valid integer"),
        ({"clips": 1.5}, "clips: Input should be a valid integer"),
        ({"speaker": ["a"]}, "speaker: Input should be a valid string (found ['a'])"),
        ({"speaker": 3}, "speaker: Input should be a valid string (found 3)"),
        ({"room": "large"}, "room: "),
    ],
)
def test_a_wrong_key_or_value_is_told_with_its_place(value, line):
    message = wrong(value)
    assert message.startswith("file.yaml: thing:\n  ")
    assert line in message


def test_all_mistakes_are_told_at_once():
    assert len(wrong({"speeker": "a", "clips": 0, "room": {}}).splitlines()) == 4


@pytest.mark.parametrize(("value", "found"), [(None, "NoneType"), ([], "list"), ("a", "str")])
def test_only_a_mapping_is_a_configuration(value, found):
    assert wrong(value) == f"file.yaml: thing: expected a mapping of keys, found {found}"


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        validate(Thing, {}, "x").clips = 2


@pytest.mark.parametrize(
    ("name", "known", "remedy"),
    [
        ("recognision", ["recognition", "separation"], "did you mean 'recognition'?"),
        ("cat", ["bat", "rat", "dog"], "did you mean 'rat' or 'bat'?"),
        ("x", ["b", "a", "a"], "known: a, b"),
        ("x", [], "none is known"),
    ],
)
def test_nearest(name, known, remedy):
    assert nearest(name, known) == remedy


# YAML


def test_a_key_twice_is_refused_with_its_line(tmp_path):
    with pytest.raises(RealEarError, match=r'(?s)a\.yaml is not valid YAML.*"a".*line 3'):
        yaml(tmp_path, "a: 1\nb: 2\na: 3\n")


def test_a_merged_key_may_be_set_anew(tmp_path):
    found = yaml(tmp_path, "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  x: 3\n")
    assert found["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1", "a: \x00", "? {a: 1}\n: 2\n- 3"])
def test_what_is_no_yaml_is_refused(tmp_path, text):
    with pytest.raises(RealEarError, match=r"a\.yaml"):
        yaml(tmp_path, text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(RealEarError, match="expected a readable UTF-8 YAML file at"):
        yaml(tmp_path, b"a: caf\xe9")
    with pytest.raises(RealEarError, match="expected a readable UTF-8 YAML file at"):
        load_yaml(str(tmp_path))
    with pytest.raises(RealEarError, match=r"expected a YAML file at .*, found nothing there"):
        load_yaml(str(tmp_path / "b.yaml"))


def test_nothing_in_a_file_can_run_code(tmp_path):
    with pytest.raises(RealEarError, match="is not valid YAML"):
        yaml(tmp_path, "a: !!python/object/apply:os.system [true]\n")


def test_words_that_yaml_1_1_took_for_truth_are_words(tmp_path):
    assert yaml(tmp_path, "a: no\nb: 1e3\nc: 012\n") == {"a": "no", "b": 1000.0, "c": 12}


# Variables


def test_variables_are_filled_in_everywhere(monkeypatch):
    monkeypatch.setenv("DATA", "/data")
    given = {"a": ["$DATA/x", {"b": "${DATA}_y"}], "c": 1, "d": None}
    assert expand(given) == {"a": ["/data/x", {"b": "/data_y"}], "c": 1, "d": None}


def test_a_price_is_no_variable():
    assert expand("it costs $5, or 5$ or $") == "it costs $5, or 5$ or $"


def test_an_unset_variable_is_told_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(RealEarError, match=r"a\.yaml: expected the environment variable NOWHERE"):
        yaml(tmp_path, "a: {b: [$NOWHERE/x]}")
    with pytest.raises(RealEarError, match="export NOWHERE=/your/folder"):
        schema.expand("${NOWHERE}")
