"""WHAM! and WHAMR!: small trees of their true layouts, with the tables of noise and rooms."""

import pytest

from pipelines import corpora as readers
from pipelines.corpora.base import sound_key
from pipelines.records import RealEarError
from pipelines.shards import datasets

NAME = "447o030v_0.1232_050c0109_-0.1232"
KEY = sound_key(NAME)
LEVELS = {"s1_level_db": "0.1232", "s2_level_db": "-0.1232"}
PLACE = "wav8k/min/tt"
WHAM = ("mix_clean", "mix_both", "mix_single", "s1", "s2", "noise")
WHAMR = ("noise", *(f"{signal}_{room}" for signal in WHAM[:-1] for room in ("reverb", "anechoic")))


def listed(reader, folder, **options):
    corpus = readers.create({"reader": reader, "folder": str(folder), **options}, "")
    return {entry.key: entry for entry in corpus.entries()}


def mixtures(corpora, signals, *names):
    for seed, signal in enumerate(signals):
        for name in names:
            corpora.wav(f"{PLACE}/{signal}/{name}.wav", seed=seed)


@pytest.fixture
def noise_tables(tmp_path):
    folder = tmp_path / "wham_noise/metadata"
    folder.mkdir(parents=True)
    (folder / "mix_param_meta_tt.csv").write_text(
        "utterance_id,noise_samples_beginning_16k,noise_samples_end_16k,target_speaker1_snr_db\n"
        f"{NAME}.wav,16000,12000,-2.345678\n"
    )
    return str(folder)


@pytest.mark.parametrize(
    ("mixture", "sources", "clean", "noise", "speaker"),
    [
        ("mix_clean", ("s1", "s2"), None, None, "050+447"),
        ("mix_both", ("s1", "s2"), None, "noise", "050+447"),
        ("mix_single", (), "s1", "noise", "447"),
    ],
)
def test_what_belongs_to_a_kind_of_mixture(corpora, mixture, sources, clean, noise, speaker):
    mixtures(corpora, WHAM, NAME)
    entry = listed("wham", corpora.folder, mixture=mixture)[KEY]
    assert entry.audio == f"{PLACE}/{mixture}/{NAME}.wav"
    assert entry.sources == tuple(f"{PLACE}/{folder}/{NAME}.wav" for folder in sources)
    assert entry.clean == (f"{PLACE}/{clean}/{NAME}.wav" if clean else None)
    assert entry.noise == (f"{PLACE}/{noise}/{NAME}.wav" if noise else None)
    assert entry.speaker == speaker


def test_wham_with_the_level_of_its_noise(corpora, noise_tables):
    mixtures(corpora, WHAM, NAME)
    made = corpora.prepare(reader="wham", mixture="mix_both", noise_metadata=noise_tables)
    [row] = datasets.read_rows(f"{made.folder}/index.parquet")
    assert (row.key, row.speaker, row.sources) == (KEY, "050+447", 2)
    assert row.has("noise")
    assert row.labels == {"split": "tt", "snr_db": "-2.346", **LEVELS}
    options = {"mixture": "mix_clean", "noise_metadata": noise_tables}
    assert listed("wham", corpora.folder, **options)[KEY].labels == {"split": "tt", **LEVELS}


def test_whamr_asks_for_anechoic_signals(corpora, noise_tables, tmp_path):
    mixtures(corpora, WHAMR, NAME)
    (tmp_path / "reverb_params_tt.csv").write_text(
        f"utterance_id,room_x,room_y,room_z,T60\n{NAME}.wav,7.1,6.2,3.3,0.4321987\n"
    )
    options = {"noise_metadata": noise_tables, "room_metadata": str(tmp_path)}
    made = corpora.prepare(reader="whamr", mixture="mix_both_reverb", **options)
    [row] = datasets.read_rows(f"{made.folder}/index.parquet")
    assert row.labels == {
        "split": "tt", "room": "reverb", "t60_s": "0.4322", "snr_db": "-2.346", **LEVELS
    }  # fmt: skip
    entry = listed("whamr", corpora.folder, mixture="mix_both_reverb")[KEY]
    assert entry.sources == tuple(f"{PLACE}/{s}_anechoic/{NAME}.wav" for s in ("s1", "s2"))
    assert entry.noise == f"{PLACE}/noise/{NAME}.wav"


def test_whamr_in_other_versions(corpora):
    mixtures(corpora, WHAMR, NAME)
    single = listed("whamr", corpora.folder, mixture="mix_single_reverb", reference="reverb")[KEY]
    assert single.clean == f"{PLACE}/s1_reverb/{NAME}.wav"
    dry = listed("whamr", corpora.folder / PLACE, mixture="mix_clean_anechoic")[KEY]
    assert dry.labels == {"split": "tt", "room": "anechoic", **LEVELS}
    assert dry.sources == (f"s1_anechoic/{NAME}.wav", f"s2_anechoic/{NAME}.wav")


def test_nothing_is_lost(corpora, noise_tables):
    other = "01aa010b_1_209a010p_-1"
    mixtures(corpora, WHAM, NAME, other)  # the table does not know the other
    corpora.wav(f"{PLACE}/noise/22go010m_1_444o0310_-1.wav")  # nor this noise without a mixture
    made = corpora.prepare(reader="wham", mixture="mix_both", noise_metadata=noise_tables)
    assert [row.key for row in datasets.read_rows(f"{made.folder}/index.parquet")] == [KEY]
    assert made.card.refused == {"no_label": 2}
    (corpora.folder / PLACE / "s2" / f"{NAME}.wav").unlink()
    made = corpora.prepare("again", reader="wham", mixture="mix_clean")
    assert made.card.refused == {"missing_file": 1}


@pytest.mark.parametrize(
    ("reader", "options", "words"),
    [
        ("wham", {}, "expected one kind of mixture, found mix_clean, mix_both, mix_single: choose"),
        ("wham", {"length": "max"}, r"expected max/ in .*wav8k for `length: max`, found min"),
        ("wham", {"mixture": "mix_both", "split": ["test"]}, "split: expected one of tt, found"),
        ("wham", {"mixture": "mix_both", "noise_metadata": "/nowhere"}, "noise_metadata: expected"),
        ("whamr", {}, r"expected mix_clean_anechoic/ or .* in .*/wav8k/min .* found tt"),
    ],
)
def test_mistakes_are_said(corpora, reader, options, words):
    mixtures(corpora, WHAM, NAME)
    with pytest.raises(RealEarError, match=words):
        listed(reader, corpora.folder, **options)


def test_the_rooms_table_has_to_be_there(corpora):
    mixtures(corpora, WHAMR, NAME)
    options = {"mixture": "mix_clean_reverb", "room_metadata": str(corpora.folder)}
    with pytest.raises(
        RealEarError, match=r"room_metadata: expected reverb_params_tt\.csv in .*wav8k"
    ):
        listed("whamr", corpora.folder, **options)
