"""REAL-M: a small tree of its release, an early collection and an online one."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError
from pipelines.shards import datasets

AUDIO = "audio_files_converted_8000Hz"


def listed(folder, **options):
    corpus = readers.create({"reader": "realm", "folder": str(folder), **options}, "")
    return {entry.key: entry for entry in corpus.entries()}


@pytest.fixture(params=["", "REAL-M-v0.1.0/"])
def tree(corpora, request):
    """Two mixtures of either kind, in the folder itself or in that of the release."""
    root = request.param
    for number in (0, 1):
        corpora.wav(f"{root}{AUDIO}/BcArV/mixture_{number}_BcArV.wav", seed=number)
        corpora.wav(f"{root}{AUDIO}/early_collection1/take{number}.wav", seed=2 + number)
        corpora.wav(f"{root}separations/mixture_{number}_BcArV.wavsource1hat.wav")
    corpora.file(
        f"{root}transcriptions/BcArV.csv",
        ",sentence1,sentence2,filename\n"
        '0,"HE SAID, NO",SHE SAID YES,mixture_0_BcArV.wav\n'
        "1,FOUR,FIVE,mixture_1_BcArV.wav\n",
    )
    corpora.file(
        f"{root}transcriptions/early_collection1.csv",
        "sentence1,sentence2,WorkerId,filename\n"
        "ONE,TWO,A1B2,take0.mp3\nTHREE,FOUR,C3D4,take1.mp3\n",
    )
    return corpora


def test_both_kinds_with_their_sentences(tree):
    made = tree.prepare(reader="realm")
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert {key: (row.session, row.labels["split"]) for key, row in rows.items()} == {
        "BcArV-mixture_0_BcArV": ("BcArV", "online"),
        "BcArV-mixture_1_BcArV": ("BcArV", "online"),
        "early_collection1-take0": ("A1B2", "early"),
        "early_collection1-take1": ("C3D4", "early"),
    }
    row = rows["BcArV-mixture_0_BcArV"]
    assert row.labels == {"split": "online", "text_1": "HE SAID, NO", "text_2": "SHE SAID YES"}
    assert (row.text, row.speaker, row.sources) == (None, None, 0)
    assert (row.cluster, made.card.failed) == ("corpus/BcArV", 0)


def test_one_kind_and_the_same_keys(tree):
    everything, early = listed(tree.folder), listed(tree.folder, split=["early"])
    assert list(early) == ["early_collection1-take0", "early_collection1-take1"]
    assert early.items() <= everything.items()
    with pytest.raises(RealEarError, match="split: expected one of online, early, found 'test'"):
        listed(tree.folder, split=["test"])


def test_nothing_is_lost(corpora):
    for name in ("BcArV/a", "BcArV/b", "BcArV/c", "NoTab/d", "BcArV/e"):
        corpora.wav(f"{AUDIO}/{name}.wav")
    corpora.file(
        "transcriptions/BcArV.csv",
        b"index,sentence1,sentence2,filename\n0,ONE,TWO,a.wav\n1,ONE,,b.wav\n2,ONE,TWO,../gone.wav\n"
        b"3,ONE,TWO\n4,ONE,TWO,\n5,CAF\xe9,TWO,e.wav\n6,AGAIN,TWO,a.wav\n",
    )
    corpora.file("transcriptions/NoSound.csv", "index,sentence1,sentence2,filename\n0,A,B,f.wav\n")
    made = corpora.prepare(reader="realm")
    assert [row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")] == ["BcArV-a"]
    refused = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    assert {failure["key"]: failure["reason"] for failure in refused} == {
        "BcArV-a": "duplicate_key",
        "BcArV-b": "no_transcript",
        "BcArV-c": "no_transcript",
        "BcArV-e": "not_utf8",
        "BcArV-gone": "missing_file",
        "BcArV-line-5": "bad_line",
        "BcArV-line-6": "bad_line",
        "NoSound-f": "missing_file",
        "NoTab-d": "no_transcript",
    }


def test_without_any_transcripts(corpora):
    corpora.wav(f"{AUDIO}/BcArV/mixture_0_BcArV.wav")
    entry = listed(corpora.folder)["BcArV-mixture_0_BcArV"]
    assert (entry.fault, entry.labels) == (None, {"split": "online"})


def test_a_wrong_folder(corpora):
    corpora.wav("sounds/a.wav")
    with pytest.raises(RealEarError, match=rf"expected {AUDIO} or .* of REAL-M in .*found sounds"):
        listed(corpora.folder)
    corpora.wav(f"{AUDIO}/BcArV/a.wav")
    corpora.file("transcriptions/BcArV.csv", "index,sentence1,filename\n0,A,a.wav\n")
    with pytest.raises(RealEarError, match="expected a column 'sentence2', found index, sentence1"):
        listed(corpora.folder)
