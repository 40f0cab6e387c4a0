"""UrbanSound8K: slices in folders of folds, their recordings as sessions."""

import pytest

from pipelines import corpora as readers
from pipelines.records import RealEarError

TABLE = "metadata/UrbanSound8K.csv"
LINES = """\
slice_file_name,fsID,start,end,salience,fold,classID,class
100032-3-0-0.wav,100032,0.0,0.317551,1,5,3,dog_bark
100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing
100263-2-0-121.wav,100263,60.5,64.5,2,10,2,children_playing
"""


@pytest.fixture
def urbansound(corpora):
    corpora.file(TABLE, LINES)
    corpora.wav("audio/fold5/100032-3-0-0.wav", seed=1)
    corpora.wav("audio/fold5/100263-2-0-117.wav", seed=2, rate=16_000)  # rates differ
    corpora.wav("audio/fold10/100263-2-0-121.wav", seed=3)
    return corpora


def test_slices_have_class_fold_salience_and_recording(urbansound, outcome):
    found = outcome(reader="urbansound8k")
    assert not found.refused
    assert {key: row.labels for key, row in found.rows.items()} == {
        "100032-3-0-0":
            {"class": "dog_bark", "class_index": "3", "fold": "5", "salience": "1"},
        "100263-2-0-117":
            {"class": "children_playing", "class_index": "2", "fold": "5", "salience": "1"},
        "100263-2-0-121":
            {"class": "children_playing", "class_index": "2", "fold": "10", "salience": "2"},
    }  # fmt: skip
    assert {key: row.session for key, row in found.rows.items()} == {
        "100032-3-0-0": "100032",
        "100263-2-0-117": "100263",
        "100263-2-0-121": "100263",
    }


def test_one_fold(urbansound):
    config = {"reader": "urbansound8k", "folder": str(urbansound.folder), "fold": [10]}
    [entry] = readers.create(config, "corpus").entries()
    assert (entry.key, entry.audio) == ("100263-2-0-121", "audio/fold10/100263-2-0-121.wav")


def test_nothing_is_lost(urbansound, outcome):
    lines = "1-3-0-0.wav,1,0,1,1,5,3,dog_bark\n2-3-0-0.wav,2,0,1,1,5\n3-3-0-0.wav,3,0,1,1,5,3,\n"
    urbansound.file(TABLE, LINES + lines)
    urbansound.wav("audio/fold1/100032-3-0-0.wav", seed=4)  # the table has it in fold 5
    found = outcome(reader="urbansound8k")
    assert len(found.rows) == 3
    assert found.refused == {
        ("1-3-0-0", "missing_file"): 1,
        ("UrbanSound8K-line-6", "bad_line"): 1,
        ("3-3-0-0", "no_label"): 1,
        ("fold1-100032-3-0-0", "no_label"): 1,
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fold": [1]}, "fold: expected one of 5, 10, found '1'"),
        ({"folder": "audio"}, "expected metadata/UrbanSound8K.csv of .* found fold10, fold5"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(urbansound, options, text):
    folder = urbansound.folder / options.pop("folder", "")
    config = {"reader": "urbansound8k", "folder": str(folder), **options}
    with pytest.raises(RealEarError, match=text):
        readers.create(config, "corpus").entries()


def test_a_table_without_its_columns_is_refused(urbansound):
    urbansound.file(TABLE, "slice_file_name,fsID,fold\n")
    config = {"reader": "urbansound8k", "folder": str(urbansound.folder)}
    with pytest.raises(RealEarError, match="expected a column 'salience', found slice_file_name"):
        readers.create(config, "corpus").entries()
