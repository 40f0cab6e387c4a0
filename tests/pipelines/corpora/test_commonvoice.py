"""Common Voice: tables without quoting, old and new headers, clips in several tables."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

NEW = ("client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender"
       "\taccents\tvariant\tlocale\tsegment\n")  # fmt: skip
OLD = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\n"
SPEAKER = "9d5f" * 32  # client ids are 128 hex digits


def new(speaker, path, sentence, about="thirties\tfemale_feminine\tEngland English\t"):
    return f"{speaker}\t{path}\tab12\t{sentence}\t\t2\t0\t{about}\ten\t\n"


@pytest.fixture
def english(corpora):
    """A release of today: what is in test is in validated, too."""
    tested = new(SPEAKER, "common_voice_en_1.mp3", 'He said "no.')
    silent = new("b" * 128, "common_voice_en_2.mp3", "Two.", about="\t\t\t")
    corpora.file("test.tsv", NEW + tested)
    corpora.file("validated.tsv", NEW + tested + silent)
    corpora.file("invalidated.tsv", NEW + new(SPEAKER, "common_voice_en_3.mp3", "Three."))
    corpora.file("clip_durations.tsv", "clip\tduration[ms]\ncommon_voice_en_1.mp3\t100\n")
    corpora.file("validated_sentences.tsv", "sentence_id\tsentence\nab12\tNobody spoke this.\n")
    for number in (1, 2, 3, 4):  # the fourth is in no table
        corpora.wav(f"clips/common_voice_en_{number}.mp3", seed=number, rate=16_000,
                    subtype="MPEG_LAYER_III")  # fmt: skip
    return corpora


def listed(corpora, **options):
    config = {"reader": "commonvoice", "folder": str(corpora.folder), **options}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def test_clips_have_speaker_sentence_and_what_the_speaker_said(english, outcome):
    found = outcome(reader="commonvoice")
    assert not found.refused
    assert {key: (row.text, row.labels["split"]) for key, row in found.rows.items()} == {
        "common_voice_en_1": ('He said "no.', "test"),
        "common_voice_en_2": ("Two.", "validated"),
        "common_voice_en_3": ("Three.", "invalidated"),
    }
    row = found.rows["common_voice_en_1"]
    assert row.speaker == SPEAKER
    assert row.labels == {
        "split": "test",
        "gender": "female_feminine",
        "age": "thirties",
        "accent": "England English",
        "locale": "en",
    }
    assert found.rows["common_voice_en_2"].labels == {"split": "validated", "locale": "en"}


def test_a_table_of_ones_choice_is_listed_whole(english):
    assert set(listed(english, split=["validated"])) == {"common_voice_en_1", "common_voice_en_2"}
    assert set(listed(english, split=["test"])) == {"common_voice_en_1"}
    assert set(listed(english, split=["validated", "test"])) == set(
        listed(english, split=["validated"])
    )


def test_the_first_releases(corpora):
    path = "3f2a" * 32
    corpora.file("train.tsv", OLD + f"{SPEAKER}\t{path}\tEins.\t2\t0\ttwenties\tmale\taustria\n")
    [entry] = listed(corpora).values()
    assert entry.audio == f"clips/{path}.mp3"
    assert len(entry.key) == 80
    assert entry.labels == {
        "split": "train", "gender": "male", "age": "twenties", "accent": "austria",
    }  # fmt: skip


def test_nothing_is_lost(english, outcome):
    with (english.folder / "test.tsv").open("ab") as table:
        table.write(new(SPEAKER, "common_voice_en_5.mp3", "No recording.").encode())
        table.write(new(SPEAKER, "common_voice_en_1.mp3", "Again.").encode())
        table.write(new(SPEAKER, "common_voice_en_4.mp3", "Caf\xe9.").encode("latin-1"))
        table.write(f"{SPEAKER}\tcommon_voice_en_6.mp3\n".encode())
        table.write(new(SPEAKER, "", "No path.").encode())
    found = outcome(reader="commonvoice")
    assert len(found.rows) == 3
    assert found.refused == {
        ("common_voice_en_5", "missing_file"): 1,
        ("common_voice_en_1", "duplicate_key"): 1,
        ("common_voice_en_4", "not_utf8"): 1,
        ("test-line-6", "bad_line"): 1,
        ("test-line-7", "bad_line"): 1,
    }


def test_what_is_not_there_is_refused(english):
    with pytest.raises(RealEarError, match="one of test, validated, invalidated, found 'train'"):
        listed(english, split=["train"])
    (english.folder / "de").mkdir()
    reader = {"reader": "commonvoice", "folder": str(english.folder.parent)}
    with pytest.raises(RealEarError, match=r"expected train\.tsv or .* Common Voice in .* corpus"):
        readers.create(reader, "corpus").entries()
