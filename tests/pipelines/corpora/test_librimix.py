"""LibriMix and SparseLibriMix: small trees of their true layouts; real mixtures, laid out flat."""

import json
from zlib import crc32

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError
from pipelines.shards import datasets

FIRST = "1580-141083-0046_7127-75947-0026"
SECOND = "3575-170457-0056_2830-3979-0008"
THREE = "1580-141083-0046_7127-75947-0026_2830-3980-0001"


def listed(folder, reader="librimix", **options):
    corpus = readers.create({"reader": reader, "folder": str(folder), **options}, "")
    return {entry.key: entry for entry in corpus.entries()}


def mixtures(corpora, place, names, signals):
    for signal in signals:
        for name in names:
            corpora.wav(f"{place}/{signal}/{name}.wav", seed=crc32(f"{signal} {name}".encode()))


@pytest.fixture
def tree(corpora):
    """Two kinds of mixture in two splits, with the tables that LibriMix's scripts write."""
    place = "Libri2Mix/wav8k/min"
    signals = ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise")
    mixtures(corpora, f"{place}/test", [FIRST], signals)
    mixtures(corpora, f"{place}/train-100", [SECOND], ("mix_clean", "s1", "s2"))
    corpora.file(
        f"{place}/metadata/metrics_test_mix_both.csv",
        f"mixture_ID,source_1_SNR,source_2_SNR,noise_SNR\n{FIRST},-3.98765,1.25,-4.321098\n",
    )
    corpora.file(
        f"{place}/metadata/metrics_train-100_mix_clean.csv",
        f"mixture_ID,source_1_SNR,source_2_SNR\n{SECOND},2.5,-2.5\n",
    )
    return corpora


def test_a_noisy_mixture_with_talkers_noise_and_levels(tree):
    made = tree.prepare(reader="librimix", mixture="mix_both")
    [row] = datasets.read_rows(f"{made.folder}/index.parquet")
    assert (row.key, row.speaker, row.sources) == (FIRST, "1580+7127", 2)
    assert row.has("noise")
    assert row.labels == {
        "split": "test", "s1_snr_db": "-3.988", "s2_snr_db": "1.25", "snr_db": "4.321"
    }  # fmt: skip
    [entry] = listed(tree.folder, mixture="mix_both").values()
    place = "Libri2Mix/wav8k/min/test"
    assert entry.sources == (f"{place}/s1/{FIRST}.wav", f"{place}/s2/{FIRST}.wav")
    assert (entry.clean, entry.noise) == (None, f"{place}/noise/{FIRST}.wav")


def test_one_talker_in_noise_has_a_clean_signal(tree):
    entry = listed(tree.folder, mixture="mix_single")[FIRST]
    assert entry.audio.endswith(f"test/mix_single/{FIRST}.wav")
    assert entry.clean.endswith(f"test/s1/{FIRST}.wav")
    assert (entry.sources, entry.speaker) == ((), "1580")


@pytest.mark.parametrize("folder", ["", "Libri2Mix", "Libri2Mix/wav8k", "Libri2Mix/wav8k/min"])
def test_the_folder_may_lie_above(tree, folder):
    found = listed(tree.folder / folder, mixture="mix_clean")
    assert {key: entry.labels["split"] for key, entry in found.items()} == {
        FIRST: "test", SECOND: "train-100"
    }  # fmt: skip
    assert found[SECOND].noise is None
    alone = listed(tree.folder / folder, mixture="mix_clean", split=["train-100"])
    assert alone == {SECOND: found[SECOND]}


def test_the_folder_of_a_split(tree):
    found = listed(tree.folder / "Libri2Mix/wav8k/min/test", mixture="mix_clean")
    assert found[FIRST].labels == {"split": "test"}
    assert found[FIRST].sources == (f"s1/{FIRST}.wav", f"s2/{FIRST}.wav")


def test_a_choice_has_to_be_made_and_can(tree):
    with pytest.raises(RealEarError, match=r"one kind of mixture, found mix_clean, mix_both"):
        listed(tree.folder)
    mixtures(tree, "Libri2Mix/wav16k/min/dev", [FIRST], ("mix_clean", "s1", "s2"))
    with pytest.raises(RealEarError, match=r"one rate, found 8k, 16k: choose, as in `rate: 8k`"):
        listed(tree.folder)
    assert listed(tree.folder, rate="16k")[FIRST].labels == {"split": "dev"}
    mixtures(tree, "Libri3Mix/wav8k/max/dev", [THREE], ("mix_clean", "s1", "s2", "s3"))
    with pytest.raises(RealEarError, match="one talkers, found 2, 3"):
        listed(tree.folder)
    [entry] = listed(tree.folder, talkers=3).values()
    assert (entry.speaker, len(entry.sources)) == ("1580+2830+7127", 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": "16k"}, r"expected wav16k/ in .* found wav8k"),
        ({"length": "max"}, r"expected max/ in .* found min"),
        ({"talkers": 3}, r"expected Libri3Mix/ in .* found Libri2Mix"),
        ({"mixture": "mix"}, r"expected mix/ in .* found mix_clean, mix_both, mix_single"),
        ({"mixture": "mix_both", "split": ["train-100"]}, r"split: .* of test, found 'train-100'"),
        ({"mixture": "mix_both", "metadata": "nowhere"}, r"expected libri2mix_test-clean.csv or"),
    ],
)
def test_what_is_not_there_is_said(tree, options, words):
    with pytest.raises(RealEarError, match=words):
        listed(tree.folder, **options)


def test_no_mixtures_at_all(corpora):
    corpora.wav("music/song.wav")
    with pytest.raises(RealEarError, match=r"expected mix_clean/ or mix_both/ .* found music"):
        listed(corpora.folder)
    corpora.wav("test/mix_clean/a.wav")
    with pytest.raises(RealEarError, match=r"expected the talkers' folders s1/, s2/ in .*/test"):
        listed(corpora.folder)


def test_gains_and_sexes_from_librimixs_own_tables(tree, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "libri2mix_test-clean.csv").write_text(
        "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain\n"
        f"{FIRST},a.flac,0.7123456,b.flac,1.5,n.wav,0.25\n"
    )
    (own / "libri2mix_test-clean_info.csv").write_text(
        "mixture_ID,speaker_1_ID,speaker_1_sex,speaker_2_ID,speaker_2_sex\n"
        f"{FIRST},7127.0,M,1580.0,F\n"
    )
    found = listed(tree.folder, mixture="mix_clean", split=["test"], metadata=str(own))
    assert found[FIRST].labels == {
        "split": "test", "gender": "F+M",
        "s1_gain": "0.7123", "s2_gain": "1.5", "noise_gain": "0.25",
    }  # fmt: skip


def test_nothing_is_lost(corpora):
    names = [FIRST, SECOND, THREE]
    mixtures(corpora, "dev", names, ("mix_clean", "s1", "s2"))
    corpora.wav("dev/s2/1-1-1_2-2-2.wav")
    (corpora.folder / f"dev/s1/{SECOND}.wav").unlink()
    corpora.file(
        "metadata/metrics_dev_mix_clean.csv",
        "mixture_ID,source_1_SNR,source_2_SNR\n"
        f"{FIRST},1,-1\n{SECOND},1,-1\n{THREE},1,-1\n1-1-1_2-2-2,0,0\n"
        "3-3-3_4-4-4,0,0\n../../escape,0,0\n5-5-5_6-6-6,loud,0\n7-7-7_8-8-8,1\n",
    )
    corpora.wav("dev/mix_clean/9-9-9_10-10-10.wav")
    made = corpora.prepare(reader="librimix")
    assert [row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")] == [FIRST]
    refused = datasets.read_table(f"{made.folder}/failures.parquet").to_pylist()
    assert {failure["key"]: failure["reason"] for failure in refused} == {
        SECOND: "missing_file",  # its first source
        THREE: "missing_file",  # three talkers, two folders
        "1-1-1_2-2-2": "missing_file",  # a source alone
        "3-3-3_4-4-4": "missing_file",  # a line alone
        "9-9-9_10-10-10": "no_label",
        "metrics_dev_mix_clean-line-7": "bad_line",
        "metrics_dev_mix_clean-line-8": "bad_line",
        "metrics_dev_mix_clean-line-9": "bad_line",
    }


# SparseLibriMix


@pytest.fixture
def sparse(corpora):
    for overlap in ("0", "0.2"):
        mixtures(corpora, f"sparse_2_{overlap}/wav8000", ["mix_0000001"],
                 ("mix_clean", "mix_noisy", "s1", "s2", "noise"))  # fmt: skip
    return corpora


def said(speaker, *parts):
    return [{"spk_id": speaker, "words": part.split()} for part in parts]


def test_overlap_talkers_and_words(sparse, tmp_path):
    for overlap in ("0", "0.2"):
        where = tmp_path / f"metadata/sparse_2_{overlap}/metadata.json"
        where.parent.mkdir(parents=True)
        talkers = {"s1": said("4507", "that is why", "science"), "s2": said("2961", "but i")}
        mixture = {"mixture_name": "mix_0000001", "noise": [{"file": "n.wav"}], **talkers}
        where.write_text(json.dumps([mixture, {"mixture_name": "mix_0000002"}]))
    options = {"mixture": "mix_noisy", "metadata": str(tmp_path / "metadata")}
    made = sparse.prepare(reader="sparselibrimix", **options)
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert sorted(rows) == ["2-000-mix_0000001", "2-020-mix_0000001"]
    row = rows["2-020-mix_0000001"]
    assert (row.speaker, row.sources, row.text) == ("2961+4507", 2, None)
    assert row.labels == {
        "split": "sparse_2_0.2", "overlap": "0.2",
        "text_1": "that is why science", "text_2": "but i",
    }  # fmt: skip
    assert made.card.refused == {"bad_line": 2}
    entry = listed(sparse.folder, "sparselibrimix", **options)["2-020-mix_0000001"]
    assert entry.noise == "sparse_2_0.2/wav8000/noise/mix_0000001.wav"


def test_one_condition_gives_the_same_keys(sparse):
    everything = listed(sparse.folder, "sparselibrimix", mixture="mix_clean")
    part = listed(sparse.folder, "sparselibrimix", mixture="mix_clean", split=["sparse_2_0.2"])
    assert part == {"2-020-mix_0000001": everything["2-020-mix_0000001"]}
    alone = listed(sparse.folder / "sparse_2_0.2", "sparselibrimix", mixture="mix_clean")
    assert list(alone) == ["2-020-mix_0000001"]
    assert (everything["2-000-mix_0000001"].noise, alone["2-020-mix_0000001"].speaker) == (
        None,
    ) * 2


def test_sparse_mistakes_are_said(sparse, tmp_path):
    with pytest.raises(RealEarError, match=r"split: expected one of sparse_2_0, sparse_2_0\.2"):
        listed(sparse.folder, "sparselibrimix", split=["sparse_2_1"])
    with pytest.raises(RealEarError, match=r"expected folders such as sparse_2_0\.2/"):
        listed(tmp_path, "sparselibrimix")
    with pytest.raises(RealEarError, match=r"metadata: expected .*metadata\.json, found no file"):
        listed(sparse.folder, "sparselibrimix", mixture="mix_clean", metadata=str(tmp_path))


# Real mixtures


def test_real_mixtures_in_a_flat_folder(corpora, recordings):
    folder = str(recordings / "two-speaker-mixtures")
    made = corpora.prepare(reader="librimix", folder=folder)
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert len(rows) == 5
    assert {row.sources for row in rows.values()} == {2}
    assert rows["3752-4943-0021_84-121550-0018"].speaker == "3752+84"
    assert made.card.failed == 0
