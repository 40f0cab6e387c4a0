"""VoiceBank-DEMAND: small trees of its usual layouts; four real pairs."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError
from pipelines.shards import datasets


def listed(folder, **options):
    corpus = readers.create({"reader": "voicebank-demand", "folder": str(folder), **options}, "")
    return {entry.key: entry for entry in corpus.entries()}


def pairs(corpora, folders: str, *names: str):
    """The same names in `folders` with clean and with noisy in the place of the star."""
    for seed, side in enumerate(("clean", "noisy")):
        for name in names:
            corpora.wav(f"{folders.replace('*', side)}/{name}.wav", seed=seed)


@pytest.fixture
def tree(corpora):
    pairs(corpora, "*_testset_wav", "p232_001", "p257_002")
    pairs(corpora, "*_trainset_28spk_wav", "p226_001")
    corpora.file("testset_txt/p232_001.txt", "Please call Stella.\n")
    corpora.file("testset_txt/p257_002.txt", "Ask her to bring these things.\n")
    corpora.file("logfiles/log_testset.txt", "p232_001 bus 2.5\np257_002 living 17.5\n")
    return corpora


def test_pairs_with_noise_level_and_words(tree):
    made = tree.prepare(reader="voicebank-demand", split=["testset"])
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert sorted(rows) == ["p232_001", "p257_002"]
    row = rows["p232_001"]
    assert (row.speaker, row.text, row.cluster) == ("p232", "Please call Stella.", "corpus/p232")
    assert row.labels == {"split": "testset", "noise": "bus", "snr_db": "2.5"}
    assert row.has("clean")
    entry = listed(tree.folder)["p232_001"]
    assert (entry.audio, entry.clean) == (
        "noisy_testset_wav/p232_001.wav", "clean_testset_wav/p232_001.wav"
    )  # fmt: skip


def test_a_split_without_texts_or_log(tree):
    everything, train = listed(tree.folder), listed(tree.folder, split=["trainset_28spk"])
    assert list(everything) == ["p232_001", "p257_002", "p226_001"]
    assert train == {"p226_001": everything["p226_001"]}
    assert train["p226_001"].labels == {"split": "trainset_28spk"}
    assert train["p226_001"].fault is None


@pytest.mark.parametrize(
    ("folders", "labels"),
    [("*", {}), ("test/*", {"split": "test"}), ("*_testset_wav_16k", {"split": "testset_16k"})],
)
def test_other_usual_layouts(corpora, folders, labels):
    pairs(corpora, folders, "p232_005")
    entry = listed(corpora.folder)["p232_005"]
    assert (entry.labels, entry.fault) == (labels, None)
    assert entry.clean == f"{folders.replace('*', 'clean')}/p232_005.wav"


def test_two_versions_of_a_split_are_a_choice(tree):
    pairs(tree, "*_testset_wav_16k", "p232_001", "p257_002")
    with pytest.raises(RealEarError, match="one version of each, found testset and testset_16k"):
        listed(tree.folder)
    found = listed(tree.folder, split=["testset_16k"])
    assert found["p257_002"].labels == {"split": "testset_16k", "noise": "living", "snr_db": "17.5"}
    assert found["p257_002"].text == "Ask her to bring these things."


def test_nothing_is_lost(tree):
    pairs(tree, "*_testset_wav", "p232_003", "p232_004")  # neither a text nor a line, one of both
    tree.file("testset_txt/p232_004.txt", "\n")
    tree.wav("clean_testset_wav/p232_006.wav")
    tree.file("testset_txt/p232_007.txt", b"caf\xe9")
    known = "p232_001 bus 2.5\np232_004 bus 2.5\np232_006 bus 2.5\np232_007 bus 2.5\n"
    tree.file("logfiles/log_testset.txt", f"{known}\np257_002 living loud\n../../x bus 2\n")
    tree.file("testset_txt/p232_006.txt", "Six spoons.")
    made = tree.prepare(reader="voicebank-demand", split=["testset"])
    rows = datasets.read_rows(f"{made.folder}/index.parquet")
    assert [row.key for row in rows] == ["p232_001"]
    refused = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    assert {failure["key"]: failure["reason"] for failure in refused} == {
        "p232_003": "no_label",
        "p232_004": "no_transcript",
        "p232_006": "missing_file",  # the noisy one
        "p232_007": "not_utf8",
        "p257_002": "no_label",
        "log_testset-line-6": "bad_line",
        "log_testset-line-7": "bad_line",
    }


def test_texts_may_be_left_alone(tree):
    (tree.folder / "testset_txt/p232_001.txt").unlink()
    assert listed(tree.folder)["p232_001"].fault.reason == "no_transcript"
    entry = listed(tree.folder, transcripts=False)["p232_001"]
    assert (entry.text, entry.fault) == (None, None)


def test_mistakes_are_said(tree, tmp_path):
    with pytest.raises(RealEarError, match="split: expected one of testset, trainset_28spk, found"):
        listed(tree.folder, split=["test"])
    with pytest.raises(RealEarError, match="expected clean_testset_wav/ and noisy_testset_wav/"):
        listed(tree.folder / "testset_txt")
    tree.wav("noisy_trainset_56spk_wav/p234_001.wav")
    words = "expected clean_trainset_56spk_wav/ beside noisy_trainset_56spk_wav/"
    with pytest.raises(RealEarError, match=words):
        listed(tree.folder)


def test_real_pairs(corpora, recordings):
    made = corpora.prepare(reader="voicebank-demand", folder=str(recordings / "voicebank-demand"))
    rows = datasets.read_rows(f"{made.folder}/index.parquet")
    assert sorted(row.key for row in rows) == [f"p287_00{number}" for number in (1, 2, 3, 4)]
    assert {(row.speaker, row.sample_rate, row.has("clean")) for row in rows} == {
        ("p287", 16_000, True)
    }
