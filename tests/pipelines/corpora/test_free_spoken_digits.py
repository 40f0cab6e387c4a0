"""Free Spoken Digit Dataset: names say everything; all 2,000 real digits where they are."""

from collections import Counter

import pytest

from pipelines import corpora as readers
from pipelines.corpora.free_spoken_digits import WORDS
from pipelines.records import RealEarError

NAMES = ("0_jackson_4", "0_jackson_5", "9_maria_del_mar_12")


@pytest.fixture(params=["", "recordings/"])
def digits(corpora, request):
    for seed, name in enumerate(NAMES):
        corpora.wav(f"{request.param}{name}.wav", seed=seed)
    corpora.file("README.md", "…")
    return corpora


def test_a_name_says_digit_speaker_and_split(digits, outcome):
    found = outcome(reader="free-spoken-digits")
    assert not found.refused
    assert {key: (row.text, row.speaker) for key, row in found.rows.items()} == {
        "0_jackson_4": ("zero", "jackson"),
        "0_jackson_5": ("zero", "jackson"),
        "9_maria_del_mar_12": ("nine", "maria_del_mar"),
    }
    zero = {"class": "zero", "class_index": "0", "gender": "male", "accent": "USA/neutral"}
    assert {key: row.labels for key, row in found.rows.items()} == {
        "0_jackson_4": {**zero, "take": "4", "split": "test"},
        "0_jackson_5": {**zero, "take": "5", "split": "train"},
        "9_maria_del_mar_12":
            {"class": "nine", "class_index": "9", "take": "12", "split": "train"},
    }  # fmt: skip


def test_one_split_and_what_cannot_be_told(digits, outcome):
    parent = "recordings/" if (digits.folder / "recordings").is_dir() else ""
    digits.wav(f"{parent}noise.wav", seed=8)
    digits.wav(f"{parent}12_jackson_1.wav", seed=9)
    found = outcome(reader="free-spoken-digits", split=["test"])
    assert set(found.rows) == {"0_jackson_4"}
    assert found.refused == {("noise", "no_label"): 1, ("12_jackson_1", "no_label"): 1}


def test_what_is_not_there_is_refused(digits):
    config = {"reader": "free-spoken-digits", "folder": str(digits.folder)}
    with pytest.raises(RealEarError, match="split: expected one of train, test, found 'dev'"):
        readers.create({**config, "split": ["dev"]}, "corpus").entries()
    for name in NAMES:
        for path in digits.folder.rglob(f"{name}.wav"):
            path.unlink()
    with pytest.raises(RealEarError, match=r"expected recordings named like 7_jackson_32\.wav"):
        readers.create(config, "corpus").entries()


def test_all_real_digits(recordings, outcome):
    found = outcome(reader="free-spoken-digits", folder=str(recordings / "free-spoken-digits"))
    assert not found.refused
    rows = found.rows.values()
    assert len(rows) == 2_000
    assert Counter(row.text for row in rows) == dict.fromkeys(WORDS, 200)
    assert Counter(row.speaker for row in rows) == dict.fromkeys(
        ("george", "jackson", "nicolas", "theo"), 500
    )
    assert Counter(row.labels["split"] for row in rows) == {"test": 200, "train": 1_800}
    assert {row.sample_rate for row in rows} == {8_000}
    assert all(row.labels["class_index"] == key[0] for key, row in found.rows.items())
