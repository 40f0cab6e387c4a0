"""LibriMix from its tables: the same samples as its own script writes, on a tiny LibriSpeech."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from pipelines.config import DatasetConfig
from pipelines.make import Made, make
from pipelines.recipes import librimix
from pipelines.recipes.librimix import extended, stored
from pipelines.records import RealEarError
from pipelines.shards import datasets
from pipelines.shards.datasets import RandomReader

RATE = 16_000  # Hz, of LibriSpeech and of WHAM!'s noise
UTTERANCES = {  # samples of each; odd numbers show what resampling does to the last one
    "test-clean/61/70968/61-70968-0000": 12_001,
    "test-clean/61/70968/61-70968-0001": 20_011,
    "test-clean/237/126133/237-126133-0000": 16_000,
    "test-clean/908/157963/908-157963-0000": 26_003,
    "test-clean/1089/134686/1089-134686-0000": 14_500,
}
NOISES = {"tt/421c0206_0.01983_440o0307_-0.01983": 30_000, "tt/446o030h_1.4348_420o0304": 9_100}
HEADER = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain"


@dataclass
class Tree:
    """A LibriSpeech and a WHAM! as they lie on disk, prepared, and tables of mixtures."""

    corpora: object
    others: dict[str, Made]
    table: Path

    @property
    def folder(self) -> Path:
        return self.corpora.folder

    def generate(self, **options) -> Made:
        recipe = {"kind": "librimix", "of": list(self.others), "metadata": str(self.table)}
        config = DatasetConfig(domain="simulated", recipe=recipe | options, shards=1)
        corpora = self.corpora
        return make("made", config, corpora.workspace, corpora.engine, self.others)


def line(names: list[str], gains: list[float], noise: str, noise_gain: float) -> str:
    """A line of a table, as LibriMix's scripts write it."""
    name = "_".join(Path(name).name for name in names)
    cells = [part for n, g in zip(names, gains, strict=True) for part in (f"{n}.flac", repr(g))]
    return ",".join([name, *cells, f"{noise}.wav", repr(noise_gain)])


def prepared(corpora, name: str, **corpus) -> Made:
    options = {"channels": 0} if name == "wham" else {}
    return corpora.prepare(name, config=options, **corpus)


@pytest.fixture
def tree(corpora) -> Tree:
    for seed, (name, samples) in enumerate(UTTERANCES.items()):
        path = corpora.folder / f"LibriSpeech/{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, corpora.noise(samples, seed=seed), RATE)
        chapter = path.parent / f"{path.stem.rpartition('-')[0]}.trans.txt"
        with chapter.open("a") as transcripts:
            transcripts.write(f"{path.stem} WORDS {seed}\n")
    for seed, (name, samples) in enumerate(NOISES.items(), 50):
        both = np.stack([corpora.noise(samples, seed=seed + n) for n in (0, 10)], axis=1)
        corpora.wav(f"wham_noise/{name}.wav", both, rate=RATE)
    others = {
        "speech": prepared(
            corpora, "speech", reader="librispeech", folder=str(corpora.folder / "LibriSpeech")
        ),
        "wham": prepared(
            corpora, "wham", folder=str(corpora.folder / "wham_noise"), audio="tt/*.wav"
        ),
    }
    one, two, three, four, five = UTTERANCES
    long, short = NOISES
    lines = [
        HEADER,
        line([one, three], [0.6522426013163469, 0.4052135302314627], long, 1.278939726509671),
        line([two, four], [0.43570684902655216, 0.2], short, 0.846421593982919),
        line([five, three], [2.5, 1.9], long, 1.25),  # beyond full scale: LibriMix clips
    ]
    table = corpora.file("tables/libri2mix_test-clean.csv", "\n".join(lines) + "\n")
    return Tree(corpora, others, table)


# LibriMix's script once more, plainly: a mixture in float32, every file written by soundfile.


def read(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32")
    return samples if samples.ndim == 1 else samples[:, 0]


def faded(noise: np.ndarray, samples: int) -> np.ndarray:
    """The noise after itself, cross-faded over half a second and a sample."""
    hann, longer = np.hanning(RATE + 1), noise
    half = RATE // 2 + 1
    while len(longer) < samples:
        start = len(longer) - half
        seam = [longer[start + n] * hann[half - 1 - n] + noise[n] * hann[n] for n in range(half)]
        longer = np.concatenate([longer[:start], seam, noise[half:]])
    return longer[:samples]


def scripted(
    sources: list[np.ndarray],
    gains: list[float],
    noise: np.ndarray,
    noise_gain: float,
    *,
    kind: str,
    rate: int,
    length: str,
) -> dict[str, np.ndarray]:
    """A mixture and its parts by role, before they are written."""
    longest = max(map(len, sources))
    signals = [
        resample_poly(signal * gain, rate, RATE)
        for signal, gain in zip(
            [*sources, faded(noise[:longest], longest)], [*gains, noise_gain], strict=True
        )
    ]
    sizes = [len(signal) for signal in signals]
    size = min(sizes) if length == "min" else max(sizes)
    signals = [
        np.concatenate([s[:size], np.zeros(max(size - len(s), 0), s.dtype)]) for s in signals
    ]
    heard = {
        "mix_clean": signals[:-1],
        "mix_both": signals,
        "mix_single": [signals[0], signals[-1]],
    }
    mixture = np.zeros(size, np.float32)
    for signal in heard[kind]:
        mixture += signal
    talkers = {f"s{n}": s for n, s in enumerate(signals[:-1], 1)}
    return {"audio": mixture, "noise": signals[-1], **talkers, "clean": signals[0]}


def by_the_script(tree: Tree, row: dict, kind: str, rate: int, length: str) -> dict[str, Path]:
    """Files of a mixture and its parts, by role."""
    count = sum(name.endswith("_path") for name in row) - 1
    names = [row[f"source_{n}_path"] for n in range(1, count + 1)]
    roles = scripted(
        [read(tree.folder / "LibriSpeech" / name) for name in names],
        [float(row[f"source_{n}_gain"]) for n in range(1, count + 1)],
        read(tree.folder / "wham_noise" / row["noise_path"]),
        float(row["noise_gain"]),
        kind=kind,
        rate=rate,
        length=length,
    )
    files = {}
    for role, signal in roles.items():
        files[role] = tree.folder / f"script/{kind}/{rate}/{length}/{role}/{row['mixture_ID']}.wav"
        files[role].parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(files[role], signal, rate)
    return files


def lines(tree: Tree) -> list[dict[str, str]]:
    header, *rest = tree.table.read_text().splitlines()
    return [dict(zip(header.split(","), row.split(","), strict=True)) for row in rest]


ROLES = {
    "mix_clean": {"audio", "s1", "s2"},
    "mix_both": {"audio", "s1", "s2", "noise"},
    "mix_single": {"audio", "clean", "noise"},
}


@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("rate", [8_000, 16_000])
@pytest.mark.parametrize("length", ["min", "max"])
def test_every_sample_is_that_of_the_script(tree, kind, rate, length):
    made = tree.generate(mixture=kind, sample_rate=rate, length=length)
    reader = RandomReader(made.folder)
    assert reader.rows.keys() == {row["mixture_ID"] for row in lines(tree)}
    for row in lines(tree):
        clip = reader[row["mixture_ID"]]
        assert clip.row.sounds.keys() == ROLES[kind]
        files = by_the_script(tree, row, kind, rate, length)
        for role in ROLES[kind]:
            expected, expected_rate = soundfile.read(files[role], dtype="int16")
            assert (expected_rate, clip.row.sample_rate) == (rate, rate)
            np.testing.assert_array_equal(clip.signal(role) * 32_768, expected)
    reader.close()


SIGNALS = st.integers(1, 25_000)  # samples
GAINS = st.floats(-3, 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(SIGNALS, GAINS), min_size=2, max_size=4),
    st.tuples(st.integers(9_000, 30_000), GAINS),
    st.sampled_from(list(ROLES)),
    st.sampled_from([8_000, 16_000]),
    st.sampled_from(["min", "max"]),
)
def test_any_mixture_is_that_of_the_script(talkers, noise, kind, rate, length):
    def part(name: str, gain: float) -> librimix.Part:
        return librimix.Part(key=name, gain=gain)

    random = np.random.default_rng(0)
    sizes = {f"s{n}": size for n, (size, _) in enumerate(talkers, 1)} | {"noise": noise[0]}
    signals = {name: random.integers(-9_000, 9_000, n) / 32_768 for name, n in sizes.items()}
    row = librimix.Mixture(
        key="x",
        talkers=tuple(part(f"s{n}", gain) for n, (_, gain) in enumerate(talkers, 1)),
        noise=None if kind == "mix_clean" else part("noise", noise[1]),
        mixture=kind,
        sample_rate=rate,
        length=length,
        seconds=1.0,
    )
    rendered = librimix.render(row, signals.__getitem__)
    *sources, added = [signal.astype(np.float32) for signal in signals.values()]
    gains = [gain for _, gain in talkers]
    how = {"kind": kind, "rate": rate, "length": length}
    expected = scripted(sources, gains, added, noise[1], **how)
    assert rendered.sounds.keys() == ROLES[kind] | (
        {name for name in sizes if name != "noise"} if kind != "mix_single" else set()
    )
    for role, steps in rendered.sounds.items():
        file = io.BytesIO()
        soundfile.write(file, expected[role], rate, format="WAV")
        file.seek(0)
        np.testing.assert_array_equal(steps, soundfile.read(file, dtype="int16")[0])


def test_it_is_what_the_reader_of_librimix_makes_of_the_scripts_own_files(tree):
    for row in lines(tree):
        for role, file in by_the_script(tree, row, "mix_both", 8_000, "min").items():
            name = {"audio": "mix_both"}.get(role, role)
            target = tree.folder / f"Libri2Mix/wav8k/min/test/{name}/{file.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    read = tree.corpora.prepare(
        "read",
        reader="librimix",
        folder=str(tree.folder / "Libri2Mix"),
        mixture="mix_both",
        metadata=str(tree.table.parent),
    )
    made = tree.generate()
    theirs, ours = (RandomReader(found.folder).rows for found in (read, made))
    assert theirs.keys() == ours.keys()
    for key, row in ours.items():
        assert (row.sound, row.speaker, row.sources) == (
            theirs[key].sound, theirs[key].speaker, theirs[key].sources
        )  # fmt: skip
        assert theirs[key].labels.items() - row.labels.items() == {("split", "test")}


def test_labels_say_gains_levels_and_what_was_clipped(tree):
    tree.corpora.file(
        "tables/libri2mix_test-clean_info.csv",
        "mixture_ID,speaker_1_ID,speaker_1_sex,speaker_2_ID,speaker_2_sex\n"
        "61-70968-0000_237-126133-0000,61.0,M,237.0,F\n",
    )
    rows = RandomReader(tree.generate().folder).rows
    labels = rows["61-70968-0000_237-126133-0000"].labels
    assert (labels["gender"], labels["s1_gain"], labels["noise_gain"]) == ("F+M", "0.6522", "1.279")
    reader = RandomReader(tree.generate().folder)
    clip = reader["61-70968-0000_237-126133-0000"]
    talkers, noise = clip.sources().sum(axis=0), clip.signal("noise")
    snr_db = 10 * np.log10(np.mean(talkers**2) / np.mean(noise**2))
    reader.close()
    assert float(labels["snr_db"]) == pytest.approx(snr_db, abs=0.01)
    assert "clipped" not in labels
    loud = rows["1089-134686-0000_237-126133-0000"]
    assert "gender" not in loud.labels
    assert int(loud.labels["clipped"]) > 100


def test_three_talkers(tree):
    header = HEADER.replace(",noise_path", ",source_3_path,source_3_gain,noise_path")
    names = list(UTTERANCES)[:3]
    row = line(names, [0.5, 0.6, 0.7], next(iter(NOISES)), 0.3)
    tree.table.write_text(f"{header}\n{row}\n")
    made = tree.generate(length="max")
    assert (made.card.clips, made.card.sources) == (1, 3)
    files = by_the_script(tree, lines(tree)[0], "mix_both", 8_000, "max")
    reader = RandomReader(made.folder)
    [clip] = [reader[key] for key in reader.rows]
    for role in ("audio", "s1", "s2", "s3", "noise"):
        expected, _ = soundfile.read(files[role], dtype="int16")
        np.testing.assert_array_equal(clip.signal(role) * 32_768, expected)
    assert clip.row.speaker == "237+61+61"
    reader.close()


def test_clean_mixtures_need_no_noise(tree):
    del tree.others["wham"]
    assert tree.generate(mixture="mix_clean").card.clips == 3
    with pytest.raises(RealEarError, match=r"2 are missing: tt/421c0206_0.01983_440o0307"):
        tree.generate(mixture="mix_both")


def test_a_noise_that_cannot_be_extended_costs_its_mixture(tree):
    tree.corpora.wav("wham_noise/tt/short.wav", tree.corpora.noise(8_001), rate=RATE)
    text = tree.table.read_text().replace("tt/446o030h_1.4348_420o0304.wav", "tt/short.wav")
    tree.table.write_text(text)
    where = str(tree.folder / "wham_noise")
    tree.others["wham"] = prepared(tree.corpora, "wham", folder=where, audio="tt/*.wav")
    with pytest.raises(RealEarError, match="1 of 3 clips failed"):
        tree.generate()
    [failed] = datasets.read_table(
        f"{tree.corpora.workspace.dataset('made')}/failures.parquet"
    ).to_pylist()
    assert failed["reason"] == "unusable_source"
    assert "expected more than 8001 samples of noise" in failed["detail"]


def test_the_card_says_nothing_of_where_the_table_lay(tree):
    recipe = tree.generate().card.made_by["recipe"]
    assert recipe["metadata"] == "libri2mix_test-clean.csv"


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("noise_gain", "noise_gian", "expected a column 'noise_gain'"),
        ("0.4052135302314627", "loud", "expected a number as source_2_gain of 61-70968-0000_237-"),
        ("0.4052135302314627", "nan", "expected a number as source_2_gain of 61-70968-0000_237-"),
        ("908-157963-0000.flac", "908-1-0000.flac", r"1 are missing: test-clean/908/157963/908-1-"),
        ("\n1089-134686-0000_237-126133-0000,", "\n61-70968-0000_237-126133-0000,", "repeated"),
        (",0.2,", ",", "line 3: expected a row"),
    ],
)
def test_a_wrong_table_is_told_before_any_work(tree, old, new, text):
    whole = tree.table.read_text()
    assert old in whole
    tree.table.write_text(whole.replace(old, new))
    with pytest.raises(RealEarError, match=text):
        tree.generate()
    assert not Path(tree.corpora.workspace.dataset("made"), "plan.parquet").exists()


def test_sources_at_another_rate_are_refused(tree):
    where = str(tree.folder / "LibriSpeech")
    config = {"sample_rate": 8_000}
    tree.others["speech"] = tree.corpora.prepare(
        "speech", config=config, reader="librispeech", folder=where
    )
    with pytest.raises(RealEarError, match=r"expected sources at 16000 Hz, .* found 5 at other"):
        tree.generate()


def test_noise_that_was_mixed_down_is_refused(tree):
    where = str(tree.folder / "wham_noise")
    tree.others["wham"] = tree.corpora.prepare("wham", folder=where, audio="tt/*.wav")
    with pytest.raises(RealEarError, match="prepare it with `channels: 0`"):
        tree.generate()


def test_rounding_is_that_of_libsndfile(tmp_path):
    random = np.random.default_rng(0)
    edges = np.array([1.0, -1.0, 1 - 2.0**-31, 32_767.5 / 32_768, -1.5 / 32_768, 0.0, -(2.0**-40)])
    for kind in (np.float32, np.float64):
        signal = np.concatenate([random.uniform(-1.2, 1.2, 10_000), edges]).astype(kind)
        soundfile.write(tmp_path / "a.wav", signal, RATE)
        expected, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
        np.testing.assert_array_equal(stored(signal), expected)


def test_noise_long_enough_is_only_cut():
    noise = np.arange(10.0)
    np.testing.assert_array_equal(extended(noise, 4, name="x"), noise[:4])
