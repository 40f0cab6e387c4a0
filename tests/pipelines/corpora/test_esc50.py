"""ESC-50: folds, the ten classes of ESC-10, source recordings; the real clips where they are."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

HEADER = "filename,fold,target,category,esc10,src_file,take\n"
LINES = {
    "1-100032-A-0.wav": "1,0,dog,True,100032,A",
    "1-100032-B-0.wav": "1,0,dog,True,100032,B",
    "2-100648-A-43.wav": "2,43,car_horn,False,100648,A",
}


@pytest.fixture
def esc50(corpora):
    table = [f"{name},{line}\n" for name, line in LINES.items()]
    corpora.file("meta/esc50.csv", HEADER + "".join(table))
    for seed, name in enumerate(LINES):
        corpora.wav(f"audio/{name}", seed=seed)
    return corpora


def test_clips_have_class_fold_and_source_recording(esc50, outcome):
    found = outcome(reader="esc50")
    assert not found.refused
    assert {key: row.labels for key, row in found.rows.items()} == {
        "1-100032-A-0": {"class": "dog", "class_index": "0", "fold": "1"},
        "1-100032-B-0": {"class": "dog", "class_index": "0", "fold": "1"},
        "2-100648-A-43": {"class": "car_horn", "class_index": "43", "fold": "2"},
    }
    clusters = {row.cluster for row in found.rows.values()}
    assert clusters == {"corpus/100032", "corpus/100648"}
    assert {(row.speaker, row.text) for row in found.rows.values()} == {(None, None)}


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"fold": [2]}, {"2-100648-A-43"}),
        ({"fold": [2, 1]}, {"2-100648-A-43", "1-100032-A-0", "1-100032-B-0"}),
        ({"esc10": True}, {"1-100032-A-0", "1-100032-B-0"}),
        ({"esc10": True, "fold": [2]}, set()),
    ],
)
def test_parts(esc50, options, keys):
    config = {"reader": "esc50", "folder": str(esc50.folder), **options}
    entries = readers.create(config, "corpus").entries()
    assert {entry.key for entry in entries} == keys


def test_nothing_is_lost(esc50, outcome):
    with (esc50.folder / "meta/esc50.csv").open("ab") as table:
        table.write(b"3-1-A-9.wav,3,9,crow,False,1,A\n")  # no such recording
        table.write(b"4-2-A-9.wav,4\n")
        table.write(b"5-3-A-9.wav,5,9,,False,3,A\n")
        table.write(b"5-4-A-9.wav,5,9,cr\xe9w,False,4,A\n")
    esc50.wav("audio/5-5-A-9.wav", seed=9)
    found = outcome(reader="esc50")
    assert len(found.rows) == 3
    assert found.refused == {
        ("3-1-A-9", "missing_file"): 1,
        ("esc50-line-6", "bad_line"): 1,
        ("5-3-A-9", "no_label"): 1,
        ("5-4-A-9", "not_utf8"): 1,
        ("5-5-A-9", "no_label"): 1,
    }


def test_what_is_not_esc50_is_refused(esc50):
    for config, text in [
        ({"folder": str(esc50.folder / "audio")}, r"expected meta/esc50.csv of ESC-50 in .*audio, "
         r"found 1-100032-A-0.wav, .*: let `folder` name the folder that"),
        ({"fold": [6]}, "fold: expected one of 1, 2, found '6'"),
    ]:  # fmt: skip
        reader = readers.create(
            {"reader": "esc50", "folder": str(esc50.folder), **config}, "corpus"
        )
        with pytest.raises(RealEarError, match=text):
            reader.entries()


def test_the_real_clips(recordings, outcome):
    found = outcome(reader="esc50", folder=str(recordings / "esc50"))
    assert not found.refused
    facts = {key: (row.labels["class"], row.session) for key, row in found.rows.items()}
    assert facts == {
        "1-100032-A-0": ("dog", "100032"),
        "2-100648-A-43": ("car_horn", "100648"),
        "3-103051-C-19": ("thunderstorm", "103051"),
        "4-156993-A-19": ("thunderstorm", "156993"),
        "5-156999-C-19": ("thunderstorm", "156999"),
    }
    assert {(row.seconds, row.sample_rate) for row in found.rows.values()} == {(5.0, 44_100)}
