"""LJ Speech: a table of ids and two texts, without header and without quoting."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

TABLE = (
    'LJ001-0001|Printed in 1455, "in quires|Printed in fourteen fifty-five, "in quires\n'
    "LJ001-0002|in being.|in being.\n"
)


@pytest.fixture
def speech(corpora):
    corpora.file("metadata.csv", TABLE)
    for seed, name in enumerate(("LJ001-0001", "LJ001-0002")):
        corpora.wav(f"wavs/{name}.wav", seed=seed)
    return corpora


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, 'Printed in fourteen fifty-five, "in quires'),
        ({"text": "raw"}, 'Printed in 1455, "in quires'),
    ],
)
def test_either_text(speech, outcome, options, text):
    found = outcome(reader="ljspeech", **options)
    assert not found.refused
    assert {key: row.text for key, row in found.rows.items()} == {
        "LJ001-0001": text,
        "LJ001-0002": "in being.",
    }
    assert {row.cluster for row in found.rows.values()} == {"corpus/LJ"}


def test_nothing_is_lost(speech, outcome):
    with (speech.folder / "metadata.csv").open("ab") as table:
        table.write(b"LJ001-0003|no recording|no recording\n")
        table.write(b"LJ001-0004|one text only\n")
        table.write(b"LJ001-0005|5%|\n")
        table.write(b"LJ001-0006|caf\xe9|caf\xe9\n")
    speech.wav("wavs/LJ001-0007.wav", seed=7)
    found = outcome(reader="ljspeech")
    assert len(found.rows) == 2
    assert found.refused == {
        ("LJ001-0003", "missing_file"): 1,
        ("metadata-line-4", "bad_line"): 1,
        ("LJ001-0005", "no_transcript"): 1,
        ("LJ001-0006", "not_utf8"): 1,
        ("LJ001-0007", "no_transcript"): 1,
    }


def test_what_is_not_there_is_refused(speech):
    config = {"reader": "ljspeech", "folder": str(speech.folder / "wavs")}
    with pytest.raises(RealEarError, match=r"expected metadata\.csv of LJ Speech .* LJ001-0001"):
        readers.create(config, "corpus").entries()
    with pytest.raises(RealEarError, match="text: Input should be 'normalised' or 'raw'"):
        readers.create({**config, "text": "normalized"}, "corpus")
