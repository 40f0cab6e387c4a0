"""VCTK: both versions, either microphone, the speakers that lack one or their texts."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

INFO_092 = """\
ID  AGE  GENDER  ACCENTS  REGION COMMENTS
p225  23  F    English    Southern  England
p280  25  F    French
p315  18  M    American   New England  (no text files)
s5    24  M    British
"""
INFO_080 = """\
ID  AGE  GENDER  ACCENTS  REGION
225  23  F    English    Southern  England
"""
TRIMMED = "wav48_silence_trimmed"


@pytest.fixture
def vctk(corpora):
    """Version 0.92: p280 and p315 have no second microphone, p315 has no texts."""
    corpora.file("speaker-info.txt", INFO_092)
    for utterance in ("p225_001", "p280_001", "s5_001"):
        corpora.file(f"txt/{utterance.split('_')[0]}/{utterance}.txt", "Please call Stella.\n")
    for utterance, microphones in {"p225_001": (1, 2), "p280_001": (1,), "p315_001": (1,),
                                   "s5_001": (1, 2)}.items():  # fmt: skip
        for microphone in microphones:
            speaker = utterance.split("_")[0]
            corpora.wav(f"{TRIMMED}/{speaker}/{utterance}_mic{microphone}.flac", seed=microphone)
    return corpora


def listed(corpora, **options):
    config = {"reader": "vctk", "folder": str(corpora.folder), **options}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def test_utterances_have_text_and_what_is_known_of_the_speaker(vctk, outcome):
    found = outcome(reader="vctk")
    assert not found.refused
    assert {key: (row.speaker, row.text) for key, row in found.rows.items()} == {
        "p225_001": ("p225", "Please call Stella."),
        "p280_001": ("p280", "Please call Stella."),
        "p315_001": ("p315", None),  # lost, as the corpus says itself
        "s5_001": ("s5", "Please call Stella."),
    }
    assert found.rows["p225_001"].labels == {
        "device": "mic1", "gender": "F", "age": "23", "accent": "English",
    }  # fmt: skip
    assert found.rows["s5_001"].labels["accent"] == "British"


def test_the_other_microphone_has_the_same_keys_where_it_worked(vctk, outcome):
    found = outcome(reader="vctk", microphone="mic2")
    assert not found.refused
    assert set(found.rows) == {"p225_001", "s5_001"}
    assert {row.labels["device"] for row in found.rows.values()} == {"mic2"}


def test_the_older_version(corpora, outcome):
    corpora.file("speaker-info.txt", INFO_080)
    corpora.file("txt/p225/p225_001.txt", "Please call Stella.")
    corpora.wav("wav48/p225/p225_001.wav")
    found = outcome(reader="vctk")
    assert not found.refused
    [row] = found.rows.values()
    assert (row.key, row.text, row.speaker) == ("p225_001", "Please call Stella.", "p225")
    assert row.labels == {"gender": "F", "age": "23", "accent": "English"}


def test_nothing_is_lost(vctk, outcome):
    vctk.file("txt/p225/p225_002.txt", "No recording.")
    vctk.file("txt/p225/p225_003.txt", b"caf\xe9")
    vctk.wav(f"{TRIMMED}/p225/p225_003_mic1.flac", seed=3)
    vctk.wav(f"{TRIMMED}/p225/p225_004_mic1.flac", seed=4)
    vctk.wav(f"{TRIMMED}/p225/p225_005.flac", seed=5)
    found = outcome(reader="vctk")
    assert len(found.rows) == 4
    assert found.refused == {
        ("p225_002", "missing_file"): 1,
        ("p225_003", "not_utf8"): 1,
        ("p225_004", "no_transcript"): 1,
        ("p225_005", "no_label"): 1,
    }


def test_without_the_file_about_speakers_there_are_fewer_labels(vctk):
    (vctk.folder / "speaker-info.txt").unlink()
    assert listed(vctk)["p225_001"].labels == {"device": "mic1"}


@pytest.mark.parametrize("name", [TRIMMED, "txt"])
def test_what_is_not_vctk_is_refused(vctk, name):
    (vctk.folder / name).rename(vctk.folder / "elsewhere")
    with pytest.raises(RealEarError, match=f"expected {name}.* of VCTK in .*, found elsewhere"):
        listed(vctk)
