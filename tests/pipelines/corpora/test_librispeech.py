"""LibriSpeech: a small tree of its true layout, whole, in part, and from three folders."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError
from pipelines.shards import datasets

SPEAKERS = """\
; Some pipe(|) separated metadata about all LibriSpeech speakers
;ID  |SEX| SUBSET           |MINUTES| NAME
61   | M | test-clean       | 8.08  | Paul-Gabriel Wiener
84   | F | dev-clean        | 8.02  | Christie Nowak
"""


def utterance(corpora, root, split, reader, chapter, words: dict[str, str], recorded=None):
    """A chapter: its transcripts, and recordings of those (or of the numbers given)."""
    place = f"{root}{split}/{reader}/{chapter}/{reader}-{chapter}"
    lines = [f"{reader}-{chapter}-{number} {text}".strip() for number, text in words.items()]
    corpora.file(f"{place}.trans.txt", "\n".join(lines) + "\n")
    for seed, number in enumerate(words if recorded is None else recorded):
        corpora.wav(f"{place}-{number}.flac", seed=int(reader) + seed, rate=16_000)


@pytest.fixture(params=["", "LibriSpeech/"])
def tree(corpora, request):
    """Two splits, in the folder itself or in LibriSpeech/ below it."""
    root = request.param
    corpora.file(f"{root}SPEAKERS.TXT", SPEAKERS)
    utterance(
        corpora, root, "test-clean", "61", "70968", {"0000": "HE BEGAN", "0001": "A CONFUSED"}
    )
    utterance(corpora, root, "dev-clean", "84", "121123", {"0000": "GO DO YOU HEAR"})
    return corpora


def listed(corpora, folder="", **options):
    where = str(corpora.folder / folder)
    entries = readers.create({"reader": "librispeech", "folder": where, **options}, "").entries()
    return {entry.key: entry for entry in entries}


def test_every_utterance_with_reader_chapter_and_words(tree):
    made = tree.prepare(reader="librispeech")
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert {key: row.text for key, row in rows.items()} == {
        "61-70968-0000": "HE BEGAN",
        "61-70968-0001": "A CONFUSED",
        "84-121123-0000": "GO DO YOU HEAR",
    }
    row = rows["61-70968-0001"]
    assert (row.speaker, row.session, row.cluster) == ("61", None, "corpus/61")
    assert row.labels == {"split": "test-clean", "chapter": "70968", "gender": "M"}
    assert rows["84-121123-0000"].labels["gender"] == "F"
    assert made.card.failed == 0


def test_one_split_and_the_same_keys(tree):
    everything, part = listed(tree), listed(tree, split=["dev-clean"])
    assert list(part) == ["84-121123-0000"]
    assert part["84-121123-0000"] == everything["84-121123-0000"]


def test_the_folder_of_a_split_alone(corpora):
    utterance(corpora, "", "test-other", "367", "130732", {"0000": "LOBSTERS"})
    found = listed(corpora, "test-other")
    assert found["367-130732-0000"].labels == {"split": "test-other", "chapter": "130732"}
    assert found["367-130732-0000"].audio == "367/130732/367-130732-0000.flac"
    assert listed(corpora, "test-other", split=["test-other"]) == found


def test_nothing_is_lost(corpora):
    words = {"0000": "SAID", "0001": "", "0002": "NEVER RECORDED"}
    utterance(corpora, "", "test-clean", "61", "1", words, recorded=["0000", "0001", "0003"])
    corpora.file("test-clean/62/1/62-1.trans.txt", b"../../../escape WORDS\n62-1-0000 CAF\xc9\n")
    corpora.wav("test-clean/62/1/62-1-0000.flac")
    corpora.file("SPEAKERS.TXT", ";ID\nwhat is this\n")
    made = corpora.prepare(reader="librispeech")
    assert [row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")] == ["61-1-0000"]
    refused = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    assert sorted((failure["key"].split("-line")[0], failure["reason"]) for failure in refused) == [
        ("61-1-0001", "no_transcript"),
        ("61-1-0002", "missing_file"),
        ("61-1-0003", "no_transcript"),
        ("62-1-0000", "not_utf8"),
        ("62-1_trans", "bad_line"),
        ("SPEAKERS", "bad_line"),
    ]


def test_what_is_not_there_is_said(tree):
    with pytest.raises(RealEarError, match=r"split: expected one of dev-clean, test-clean, found"):
        listed(tree, split=["test-other"])
    tree.file("elsewhere/notes.txt", "")
    with pytest.raises(RealEarError, match=r"expected splits such as test-clean/.*notes.txt"):
        listed(tree, "elsewhere")
