"""CryCeleb2023: babies as speakers, birth and discharge, three splits."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

HEADER = "baby_id,period,duration,split,chronological_index,file_name,file_id\n"
CRIES = [
    ("spk1", "B", "train", "001"),
    ("spk1", "D", "train", "001"),
    ("spk590", "B", "dev", "004"),
    ("anonymous1", "B", "test", "001"),
]


def place(baby, period, split, index):
    return f"audio/{split}/{baby}/{period}/{baby}_{period}_{index}.wav"


@pytest.fixture
def cries(corpora):
    lines = [
        f"{baby},{period},0.1,{split},{index},{place(baby, period, split, index)},{n}\n"
        for n, (baby, period, split, index) in enumerate(CRIES)
    ]
    corpora.file("metadata.csv", HEADER + "".join(lines))
    for seed, cry in enumerate(CRIES):
        corpora.wav(place(*cry), seed=seed)
    return corpora


def test_a_baby_is_one_cluster_at_birth_and_discharge(cries, outcome):
    found = outcome(reader="cryceleb")
    assert not found.refused
    assert {key: row.cluster for key, row in found.rows.items()} == {
        "spk1_B_001": "corpus/spk1",
        "spk1_D_001": "corpus/spk1",
        "spk590_B_004": "corpus/spk590",
        "anonymous1_B_001": "corpus/anonymous1",
    }
    row = found.rows["spk590_B_004"]
    assert row.labels == {"split": "dev", "period": "B", "chronological_index": "004"}
    assert row.text is None


def test_some_splits(cries):
    config = {"reader": "cryceleb", "folder": str(cries.folder), "split": ["test", "dev"]}
    entries = readers.create(config, "corpus").entries()
    assert {entry.key for entry in entries} == {"spk590_B_004", "anonymous1_B_001"}


def test_nothing_is_lost(cries, outcome):
    with (cries.folder / "metadata.csv").open("a") as table:
        table.write(f"spk2,B,0.1,train,001,{place('spk2', 'B', 'train', '001')},4\n")
        table.write("spk3,B,0.1\n")
        table.write(",B,0.1,train,001,audio/train/x_B_001.wav,5\n")
        table.write("spk1,B,0.1,train,002,../spk1_B_002.wav,6\n")
    cries.wav(place("spk1", "B", "train", "009"), seed=9)
    (cries.folder.parent / "spk1_B_002.wav").write_bytes(b"outside")
    found = outcome(reader="cryceleb")
    assert len(found.rows) == 4
    assert found.refused == {
        ("spk2_B_001", "missing_file"): 1,
        ("metadata-line-7", "bad_line"): 1,
        ("x_B_001", "no_label"): 1,
        ("spk1_B_002", "outside_corpus"): 1,
        ("train-spk1-B-spk1_B_009", "no_label"): 1,
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"split": ["val"]}, "split: expected one of dev, test, train, found 'val'"),
        ({"folder": "audio"}, r"expected metadata\.csv of CryCeleb2023 .* found dev, test, train"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(cries, options, text):
    config = {**options, "folder": str(cries.folder / options.get("folder", ""))}
    with pytest.raises(RealEarError, match=text):
        readers.create({"reader": "cryceleb", **config}, "corpus").entries()
