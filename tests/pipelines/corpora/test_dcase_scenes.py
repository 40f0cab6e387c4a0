"""Acoustic scenes of every edition: tables with and without header, folds, places, devices."""

import pytest

from pipelines import corpora as readers
from pipelines.corpora.dcase_scenes import SCENES_2016, SCENES_2018
from pipelines.records import RealEarError

META_2017 = {
    "audio/b020_90_100.wav": "beach\tb020",
    "audio/b020_110_120.wav": "beach\tb020",
    "audio/a001_0_10.wav": "cafe/restaurant\ta001",
}
META_MOBILE = {
    "audio/airport-barcelona-0-0-a.wav": "airport\tbarcelona-0\ta",
    "audio/airport-barcelona-0-0-s1.wav": "airport\tbarcelona-0\ts1",
    "audio/tram-paris-7-31-b.wav": "tram\tparis-7\tb",
    "audio/tram-paris-8-32-b.wav": "tram\tparis-8\tb",  # in no list
}


def record(corpora, names):
    for seed, name in enumerate(names):
        corpora.wav(name, seed=seed)


@pytest.fixture
def tut2017(corpora):
    """Two folds, lists without header; test lists both with and without labels."""
    corpora.file("meta.txt", "".join(f"{name}\t{rest}\n" for name, rest in META_2017.items()))
    setup = "evaluation_setup"
    beach = "audio/b020_90_100.wav\tbeach\naudio/b020_110_120.wav\tbeach\n"
    cafe = "audio/a001_0_10.wav\tcafe/restaurant\n"
    corpora.file(f"{setup}/fold1_train.txt", beach)
    corpora.file(f"{setup}/fold1_evaluate.txt", cafe)
    corpora.file(f"{setup}/fold1_test.txt", "audio/a001_0_10.wav\n")
    corpora.file(f"{setup}/fold2_train.txt", cafe)
    corpora.file(f"{setup}/fold2_test.txt", "audio/b020_90_100.wav\r\naudio/b020_110_120.wav\r\n")
    record(corpora, META_2017)
    return corpora


@pytest.fixture
def mobile(corpora):
    """One fold, every table with a header."""
    header = "filename\tscene_label\tidentifier\tsource_label\n"
    table = "".join(f"{name}\t{rest}\n" for name, rest in META_MOBILE.items())
    corpora.file("meta.csv", header + table)
    setup = "evaluation_setup"
    corpora.file(
        f"{setup}/fold1_train.csv",
        "filename\tscene_label\naudio/airport-barcelona-0-0-a.wav\tairport\n",
    )
    tested = "audio/tram-paris-7-31-b.wav\naudio/airport-barcelona-0-0-s1.wav\n"
    corpora.file(f"{setup}/fold1_test.csv", f"filename\n{tested}")
    record(corpora, META_MOBILE)
    return corpora


def keys(corpora, **options) -> set[str]:
    config = {"reader": "dcase-scenes", "folder": str(corpora.folder), **options}
    return {entry.key for entry in readers.create(config, "corpus").entries()}


def test_2017_has_places_and_the_fold_that_tests_a_clip(tut2017, outcome):
    found = outcome(reader="dcase-scenes")
    assert not found.refused
    beach = {"class": "beach", "class_index": "0", "location": "b020"}
    assert {key: row.labels for key, row in found.rows.items()} == {
        "b020_90_100": {**beach, "fold": "2", "split": "train"},
        "b020_110_120": {**beach, "fold": "2", "split": "train"},
        "a001_0_10": {"class": "cafe/restaurant", "class_index": "2", "location": "a001",
                      "fold": "1", "split": "test"},
    }  # fmt: skip
    assert {row.cluster for row in found.rows.values()} == {"corpus/b020", "corpus/a001"}


def test_2016_has_its_places_in_the_names(corpora, outcome):
    names = ["audio/a001_0_30.wav", "audio/a001_30_60.wav", "audio/a113_0_30.wav"]
    corpora.file("meta.txt", "".join(f"{name}\ttram\n" for name in names))
    record(corpora, names)
    found = outcome(reader="dcase-scenes")
    assert {key: row.session for key, row in found.rows.items()} == {
        "a001_0_30": "a001",
        "a001_30_60": "a001",
        "a113_0_30": "a113",
    }
    assert found.rows["a113_0_30"].labels == {
        "class": "tram", "class_index": "14", "location": "a113",
    }  # fmt: skip


def test_mobile_has_city_and_device(mobile, outcome):
    found = outcome(reader="dcase-scenes")
    assert not found.refused
    airport = {
        "class": "airport",
        "class_index": "0",
        "location": "barcelona-0",
        "city": "barcelona",
    }
    tram = {"class": "tram", "class_index": "9", "city": "paris", "device": "b"}
    assert {key: row.labels for key, row in found.rows.items()} == {
        "airport-barcelona-0-0-a": {**airport, "device": "a", "split": "train"},
        "airport-barcelona-0-0-s1": {**airport, "device": "s1", "fold": "1", "split": "test"},
        "tram-paris-7-31-b": {**tram, "location": "paris-7", "fold": "1", "split": "test"},
        "tram-paris-8-32-b": {**tram, "location": "paris-8"},
    }  # fmt: skip
    assert found.rows["tram-paris-7-31-b"].cluster == "corpus/paris-7"


def test_parts_of_a_fold(tut2017):
    assert keys(tut2017, split=["test"]) == {"a001_0_10"}
    assert keys(tut2017, split=["test"], fold=2) == {"b020_90_100", "b020_110_120"}
    assert keys(tut2017, split=["train", "test"]) == keys(tut2017)


def test_clips_in_no_list_are_of_no_part(mobile):
    assert "tram-paris-8-32-b" in keys(mobile)
    assert "tram-paris-8-32-b" not in keys(mobile, split=["train", "test"])


def test_scenes_are_numbered_in_alphabetical_order():
    for scenes, number in [(SCENES_2016, 15), (SCENES_2018, 10)]:
        assert len(set(scenes)) == number
        assert list(scenes) == sorted(scenes)


def test_nothing_is_lost(mobile, outcome):
    with (mobile.folder / "meta.csv").open("a") as table:
        table.write("audio/bus-rome-1-1-a.wav\tbus\trome-1\ta\n")  # no such recording
        table.write("audio/bus-rome-1-2-a.wav\tbus\n")
        table.write("audio/tram-paris-8-33-b.wav\t\tparis-8\tb\n")
    mobile.wav("audio/tram-paris-9-34-c.wav", seed=9)
    found = outcome(reader="dcase-scenes")
    assert len(found.rows) == 4
    assert found.refused == {
        ("bus-rome-1-1-a", "missing_file"): 1,
        ("meta-line-7", "bad_line"): 1,
        ("tram-paris-8-33-b", "no_label"): 1,
        ("tram-paris-9-34-c", "no_label"): 1,
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"split": ["dev"]}, "split: expected one of train, test, found 'dev'"),
        ({"fold": 3}, "fold: expected one of 1, 2, found '3'"),
        ({"folder": "audio"}, r"expected meta\.csv or meta\.txt of a DCASE .* found a001_0"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(tut2017, options, text):
    options = {**options, "folder": str(tut2017.folder / options.get("folder", ""))}
    with pytest.raises(RealEarError, match=text):
        keys(tut2017, **options)
