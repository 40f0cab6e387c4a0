"""The recipes in examples/recipes make what they say: on espeak-ng's voices, and on recordings."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile
from scipy.signal import lfilter

from pipelines import config, evaluate, schema
from pipelines.shards.datasets import RandomReader, read_card

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples/recipes").glob("*.yaml"))
OFFICIAL = "librimix-official"  # needs LibriMix's tables: tests/pipelines/recipes/test_librimix.py
CLIPS = 4
SOURCES = ("speech", "noises", "rooms")  # what the examples call the datasets that they are made of
RATE = 16_000  # Hz
REVERBERANT = ("whamr-reverberant", "dns-with-reverb", "in-rooms")
MIXTURES = ("libri2mix", "libri3mix", "wsj0-2mix", "wham-both", "whamr")


def variables(path: Path) -> set[str]:
    return set(re.findall(r"\$([A-Z_0-9]+)", path.read_text()))


@pytest.fixture
def folders(monkeypatch) -> None:
    for path in EXAMPLES:
        for name in variables(path):
            monkeypatch.setenv(name, f"/data/{name.lower()}")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_word_of_an_example_is_right(path, folders):
    found = config.load_datasets(str(path))
    assert evaluate.check_datasets(found)
    told = {line for line in path.read_text().splitlines() if line.startswith("#")}
    assert all(any(name in line for line in told) for name in variables(path))


def smaller(path: Path, sources: dict[str, dict]) -> dict:
    """An example with other sources and a few clips; nothing else is changed."""
    found = schema.load_yaml(str(path))
    for name, dataset in found["datasets"].items():
        if name in SOURCES:
            found["datasets"][name] = sources[name]
        elif dataset["recipe"]["kind"] != "readings":
            dataset["recipe"] |= {"clips": CLIPS} if dataset["recipe"]["kind"] == "scenes" else {}
            dataset["limit"] = CLIPS
            if "splits" in dataset["recipe"]:  # there are few speakers
                dataset["recipe"]["splits"] = {"train": 0.6, "test": 0.4}
            if "babble_talkers" in dataset["recipe"].get("noise", {}):
                dataset["recipe"]["noise"]["babble_talkers"] = 1
    return found


def generated(path: Path, sources: dict[str, dict], realear, folder: Path) -> dict[str, Path]:
    """Every dataset that the example generates, by name."""
    found = smaller(path, sources)
    file = folder / path.name
    file.write_text(json.dumps(found))
    ended = realear("generate", file, "--out", folder, "--workers", 1)
    assert ended.code == 0, ended.text
    recipes = {name: dataset.get("recipe", {}) for name, dataset in found["datasets"].items()}
    made = [
        name for name, recipe in recipes.items() if recipe.get("kind") not in {None, "readings"}
    ]
    return {name: folder / "datasets" / name for name in made}


def check(name: str, folder: Path) -> None:
    """As many clips as wanted, each the exact sum of its parts, with references for its task."""
    card = read_card(str(folder))
    assert (card.clips, card.failed) == (CLIPS, 0)
    assert (folder / "plan.parquet").exists()
    reader = RandomReader(str(folder))
    for key, row in reader.rows.items():
        clip = reader[key]
        if name.startswith(MIXTURES):
            assert row.sources == (3 if "3" in name else 2)
        parts = [role for role in row.sounds if re.fullmatch(r"s\d|clean|noise", role)]
        whole = "pre" if row.has("pre") else "audio"
        if parts:
            steps = np.sum([clip.signal(role) * 32_768 for role in parts], axis=0)
            np.testing.assert_array_equal(steps, clip.signal(whole) * 32_768)
        assert row.has("s1_dry") == row.has("s1_early") == (name in REVERBERANT)
    reader.close()


def noise(path: Path, seed: int) -> None:
    """Five seconds of coloured noise."""
    random = np.random.default_rng(seed)
    sound = lfilter([1.0], [1.0, -0.9], random.standard_normal(5 * RATE))
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, RATE, np.rint(1_500 * sound).astype(np.int16))


def response(path: Path, seed: int) -> None:
    """A decay of 0.3 s after a direct sound."""
    random = np.random.default_rng(seed)
    decay = 10 ** (-3 * np.arange(RATE // 2) / (0.3 * RATE))
    sound = 0.2 * decay * random.standard_normal(RATE // 2)
    sound[100] = 1.0
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, RATE, np.rint(20_000 * np.clip(sound, -1, 1)).astype(np.int16))


@pytest.fixture(scope="session")
def without_data(once, realear) -> dict[str, dict]:
    """Sources from nothing: sixteen voices of espeak-ng, noises and responses of numpy."""

    def make(folder: Path) -> None:
        for number in range(6):
            noise(folder / f"noises/noise{number}.wav", number)
            response(folder / f"rooms/room{number}.wav", number)
        prepare(
            realear,
            folder,
            speech={"domain": "synthetic", "recipe": {"kind": "readings", "sentences": 24}},
            noises={"domain": "real", "corpus": {"folder": f"{folder}/noises"}},
            rooms={"domain": "real", "corpus": {"folder": f"{folder}/rooms"}},
        )

    return prepared(once("example-sources", make))


def prepare(realear, folder: Path, **datasets: dict) -> None:
    file = folder / "sources.yaml"
    file.write_text(json.dumps({"datasets": datasets}))
    ended = realear("generate", file, "--out", folder, "--workers", 1)
    assert ended.code == 0, ended.text


def prepared(folder: Path) -> dict[str, dict]:
    found = {}
    for name in SOURCES:
        card = read_card(f"{folder}/datasets/{name}")
        found[name] = {"domain": card.domain, "path": f"{folder}/datasets/{name}"}
    return found


def people(recordings: Path) -> str:
    """A manifest of digits that last long enough to have a loudness, and of sentences."""
    lines = ["path,speaker"]
    for path in sorted(recordings.glob("free-spoken-digits/*_?.wav")):
        if soundfile.info(path).duration > 0.45:
            lines.append(f"free-spoken-digits/{path.name},{path.stem.split('_')[1]}")
    for path in sorted(recordings.glob("read-sentences/*.wav")):
        lines.append(f"read-sentences/{path.name},{path.stem.split('_')[0]}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def recorded(once, realear, recordings) -> dict[str, dict]:
    """Sources that people and microphones made: digits, sentences, noises, responses."""

    def make(folder: Path) -> None:
        manifest = folder / "people.csv"
        manifest.write_text(people(recordings))
        spoken = {"reader": "manifest", "file": str(manifest), "folder": str(recordings)}
        prepare(
            realear,
            folder,
            speech={"domain": "real", "corpus": spoken},
            noises={"domain": "real", "corpus": {"folder": f"{recordings}/noise"}},
            rooms={"domain": "real", "corpus": {"folder": f"{recordings}/room-responses"}},
        )

    return prepared(once("recorded-example-sources", make))


RUN = [path for path in EXAMPLES if path.stem != OFFICIAL]


@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_an_example_makes_its_sets_without_data(path, folders, without_data, realear, tmp_path):
    made = generated(path, without_data, realear, tmp_path)
    assert made
    for name, folder in made.items():
        check(name, folder)


@pytest.mark.parametrize(
    "path", [path for path in RUN if path.stem != "own-voices"], ids=lambda path: path.stem
)
def test_an_example_makes_its_sets_of_recordings(path, folders, recorded, realear, tmp_path):
    for name, folder in generated(path, recorded, realear, tmp_path).items():
        check(name, folder)
