"""WSJ0-2mix and WSJ0-3mix: small trees of their true layout."""

import pytest

from pipelines import corpora as readers
from pipelines.corpora.base import sound_key
from pipelines.records import RealEarError
from pipelines.shards import datasets

TWO = "447o030v_0.1232_050c0109_-0.1232"
THREE = "050a0501_1.7922_441c020m_-1.7922_01ao030t_0"


def listed(folder, **options):
    corpus = readers.create({"reader": "wsj0mix", "folder": str(folder), **options}, "")
    return {entry.key: entry for entry in corpus.entries()}


def mixtures(corpora, place, *names, signals=("mix", "s1", "s2")):
    for seed, signal in enumerate(signals):
        for name in names:
            corpora.wav(f"{place}/{signal}/{name}.wav", seed=seed)


def test_talkers_and_levels_from_the_name(corpora):
    mixtures(corpora, "2speakers/wav8k/min/tt", TWO)
    made = corpora.prepare(reader="wsj0mix")
    [row] = datasets.read_rows(f"{made.folder}/index.parquet")
    assert (row.key, row.speaker, row.sources) == (sound_key(TWO), "050+447", 2)
    assert row.labels == {"split": "tt", "s1_level_db": "0.1232", "s2_level_db": "-0.1232"}


def test_three_talkers_beside_two(corpora):
    mixtures(corpora, "2speakers/wav8k/min/tt", TWO)
    mixtures(corpora, "3speakers/wav8k/max/cv", THREE, signals=("mix", "s1", "s2", "s3"))
    with pytest.raises(RealEarError, match="one talkers, found 2, 3: choose, as in `talkers: 2`"):
        listed(corpora.folder)
    [entry] = listed(corpora.folder, talkers=3).values()
    place = "3speakers/wav8k/max/cv"
    assert entry.sources == tuple(f"{place}/{s}/{THREE}.wav" for s in ("s1", "s2", "s3"))
    assert (entry.speaker, entry.labels["s3_level_db"]) == ("01a+050+441", "0")
    assert listed(corpora.folder / "3speakers/wav8k")[entry.key].labels == entry.labels


def test_one_split_and_the_same_keys(corpora):
    mixtures(corpora, "wav8k/min/tr", TWO)
    mixtures(corpora, "wav8k/min/tt", "22go010m_1e-05_444o0310_-1e-05")
    everything, part = listed(corpora.folder), listed(corpora.folder, split=["tt"])
    [(key, entry)] = part.items()
    assert len(everything) == 2
    assert everything[key] == entry
    assert (entry.speaker, entry.labels["s1_level_db"]) == ("22g+444", "1e-05")
    with pytest.raises(RealEarError, match="split: expected one of tr, tt, found 'cv'"):
        listed(corpora.folder, split=["cv"])


def test_nothing_is_lost(corpora):
    mixtures(corpora, "tt", "a_mixture", TWO)
    mixtures(corpora, "tt", THREE)  # three talkers, two folders
    corpora.wav("tt/s1/01aa010b_1_209a010p_-1.wav")
    made = corpora.prepare(reader="wsj0mix")
    rows = {row.key: row for row in datasets.read_rows(f"{made.folder}/index.parquet")}
    assert sorted(rows) == [sound_key(TWO), "a_mixture"]
    assert (rows["a_mixture"].speaker, rows["a_mixture"].labels) == (None, {"split": "tt"})
    assert made.card.refused == {"missing_file": 2}
