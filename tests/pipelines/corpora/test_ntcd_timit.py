"""NTCD-TIMIT: noise and level from the folders, clean targets, TIMIT's own sentences."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

PROMPTS = """\
; A list of sentences (sentence)
She had your dark suit. (sa1)
Bright sunshine. (si1039)
"""
CONDITIONS = ("Babble/-5", "Babble/10", "LR/-5", "Clean")
CLIPS = ("01M/straightcam/sa1", "09F/straightcam/SI1039")


@pytest.fixture
def noisy(corpora):
    for seed, condition in enumerate(CONDITIONS):
        for clip in CLIPS:
            corpora.wav(f"{condition}/volunteers/{clip}.wav", seed=seed)
    corpora.file("PROMPTS.TXT", PROMPTS)
    for split, speaker in [("train", "01M"), ("test", "09F")]:
        corpora.file(f"matlab_raw/{split}/volunteers/{speaker}/sa1.mat", b"")
    return corpora


def listed(corpora, **options):
    config = {"reader": "ntcd-timit", "folder": str(corpora.folder), **options}
    return {entry.key: entry for entry in readers.create(config, "corpus").entries()}


def test_noisy_clips_have_a_clean_target_and_their_words(noisy, outcome):
    found = outcome(reader="ntcd-timit", prompts="PROMPTS.TXT")
    assert not found.refused
    assert set(found.rows) == {
        f"{clip}_{condition}"
        for clip in ("01M_sa1", "09F_SI1039")
        for condition in ("Babble_-5", "Babble_10", "LR_-5")
    }
    row = found.rows["09F_SI1039_Babble_-5"]
    assert (row.speaker, row.text) == ("09F", "Bright sunshine.")
    assert row.labels == {
        "noise": "Babble", "snr_db": "-5", "gender": "F", "sentence": "SI1039", "split": "test",
    }  # fmt: skip
    assert all(any(m.name.startswith("clean.") for m in r.members) for r in found.rows.values())


def test_the_target_is_the_same_file_without_noise(noisy):
    entry = listed(noisy)["01M_sa1_LR_-5"]
    assert entry.audio == "LR/-5/volunteers/01M/straightcam/sa1.wav"
    assert entry.clean == "Clean/volunteers/01M/straightcam/sa1.wav"
    assert entry.text is None


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"noise": ["LR"], "split": ["train"]}, {"01M_sa1_LR_-5"}),
        ({"snr_db": [10], "split": ["test"]}, {"09F_SI1039_Babble_10"}),
        ({"noise": ["Clean"]}, {"01M_sa1_Clean", "09F_SI1039_Clean"}),
        ({"noise": ["Clean", "LR"], "snr_db": [-5], "split": ["train"]},
         {"01M_sa1_Clean", "01M_sa1_LR_-5"}),
    ],
)  # fmt: skip
def test_parts(noisy, options, keys):
    assert set(listed(noisy, **options)) == keys


def test_clean_recordings_have_no_target(noisy):
    entries = listed(noisy, noise=["Clean"]).values()
    assert {(entry.clean, entry.labels.get("snr_db")) for entry in entries} == {(None, None)}


def test_the_test_set_is_known_without_the_folders_of_features(noisy):
    for path in sorted((noisy.folder / "matlab_raw").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    found = listed(noisy)
    assert found["09F_SI1039_LR_-5"].labels["split"] == "test"
    assert "split" not in found["01M_sa1_LR_-5"].labels


def test_nothing_is_lost(noisy, outcome):
    noisy.wav("LR/-5/volunteers/01M/straightcam/sx2.wav", seed=9)  # no clean one, no words
    noisy.wav("LR/loose.wav", seed=10)
    (noisy.folder / "Clean/volunteers/01M/straightcam/sa1.wav").unlink()
    found = outcome(reader="ntcd-timit", noise=["LR"], prompts="PROMPTS.TXT")
    assert set(found.rows) == {"09F_SI1039_LR_-5"}
    assert found.refused == {
        ("01M_sx2_LR_-5", "no_transcript"): 1,
        ("LR-loose", "no_label"): 1,
        ("01M_sa1_LR_-5", "missing_file"): 1,
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"noise": ["Rain"]}, "noise: expected one of Babble, LR, Clean, found 'Rain'"),
        ({"snr_db": [0]}, "snr_db: expected one of -5, 10, found '0'"),
        ({"split": ["dev"]}, "split: expected one of train, test, found 'dev'"),
        ({"prompts": "P.TXT"}, r"expected a table at .*P\.TXT, found no file there"),
        ({"folder": "Babble"}, r"expected folders of noise like Babble/-5 in .*, found -5, 10"),
    ],
)
def test_what_is_not_there_is_refused(noisy, options, text):
    options = {**options, "folder": str(noisy.folder / options.get("folder", ""))}
    with pytest.raises(RealEarError, match=text):
        listed(noisy, **options)
