"""From made sounds and readings to a classifier and what explains it, by the commands that a user
would give.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import models
from models import explaining
from pipelines.class_training import changed, roomy, trimmed
from pipelines.config import load_datasets

ROOT = Path(__file__).parents[2]
QUICK = ("batch=6", "seconds=0.6", "steps=4", "check_every=2")
SMALL = ("mels=12", "width=3", "depth=3", "dim=8")
DATASETS = {
    "sounds": {"kind": "sounds", "classes": ["tone", "rain"], "each": 4, "seconds": [0.4, 1.4]},
    "digits": {"kind": "readings", "texts": ["one", "two"], "readings_per_text": 2},
    "classes": {
        "kind": "captioned", "of": ["sounds", "digits"], "class_is": "text", "templates": ["{text}"]
    },
}  # fmt: skip
RATE = 16_000


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, realear) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    datasets = {name: {"domain": "synthetic", "recipe": r} for name, r in DATASETS.items()}
    (folder / "recipe.yaml").write_text(json.dumps({"datasets": datasets}))
    ended = realear("generate", folder / "recipe.yaml", "--out", folder, "--workers", 1)
    assert ended.code == 0, ended.text
    return folder


def train(realear, workspace: Path, task: str, to: Path, *words: str, on="classes", more=()):
    settings = [part for word in (*QUICK, *words) for part in ("--set", word)]
    return realear("train", task, "--on", on, "--held-out", "classes", "--to", to,
                   "--out", workspace, *settings, *more)  # fmt: skip


@pytest.fixture(scope="module")
def classifier(workspace, realear) -> Path:
    to = workspace / "classifier"
    tests = ("--test", "sounds", "--test", "classes")
    ended = train(realear, workspace, "classification", to, *SMALL, more=tests)
    assert ended.code == 0, ended.text
    assert "realear predict trained-classifier" in ended.text
    return to


def test_a_classifier_is_trained_and_its_card_tells_how_good_it_is(classifier):
    card = json.loads((classifier / "card.json").read_text())
    model = models.create("trained-classifier", checkpoint=str(classifier))
    model.load()
    assert model.labels == ("one", "rain", "tone", "two")
    assert {name: test["tested"] for name, test in card["tests"].items()} == {
        "sounds": 8, "classes": 12
    }  # fmt: skip
    assert all(0 <= test["accuracy"] <= 1 for test in card["tests"].values())
    assert 0 <= card["valid_accuracy"] <= 1


def test_the_accuracy_on_the_card_is_that_of_the_board(classifier, workspace, realear):
    ended = realear(
        "score", "--model", "trained-classifier", "--dataset", "sounds", "--metric", "top_1",
        "--out", workspace, "--set", f"checkpoint={classifier}",
    )  # fmt: skip
    assert ended.code == 0, ended.text
    card = json.loads((classifier / "card.json").read_text())
    assert f"{100 * card['tests']['sounds']['accuracy']:.1f}" in ended.text


@pytest.mark.parametrize(
    ("task", "words"), [("piq", ("codes=3", "dim=6")), ("l2i", ("components=4", "dim=6"))]
)
def test_explainers_are_trained_for_it_and_explain_it(
    task, words, classifier, workspace, realear, tmp_path
):
    ended = train(realear, workspace, task, tmp_path / "one", f"classifier={classifier}", *words)
    assert ended.code == 0, ended.text
    again = train(realear, workspace, task, tmp_path / "two", f"classifier={classifier}", *words)
    assert again.code == 0, again.text
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes(), "same data, same seed, same weights"
    explained = models.create("trained-classifier", checkpoint=str(classifier))
    explained.load()
    explainer = models.create(f"trained-{task}", checkpoint=str(tmp_path / "one"))
    explainer.check(explained)
    clip = np.random.default_rng(0).normal(0, 0.1, 9_000).astype(np.float32)
    [mask] = explainer.explain([clip], explained, [1], sample_rate=RATE)
    assert mask.shape == explaining.shape(9_000, RATE)
    if task == "l2i":
        everything = models.create("trained-l2i", checkpoint=str(tmp_path / "one"), threshold=-1)
        [most] = everything.explain([clip], explained, [1], sample_rate=RATE)
        assert most.mean() > mask.mean()


@pytest.mark.parametrize(
    ("task", "words", "on", "said"),
    [
        ("classification", (), "sounds", "that are learnt, found one, two in 'classes'"),
        ("classification", (), "digits", "expected a label `class` of every clip of 'digits'"),
        ("classification", ("codes=3",), "classes", "unknown setting 'codes'"),
        ("piq", ("classifier=nowhere",), "classes", "found no nowhere/config.json"),
        ("l2i", ("threshold=much",), "classes", "threshold: expected a number such as"),
    ],
)
def test_what_does_not_fit_is_told(realear, workspace, tmp_path, task, words, on, said):
    ended = train(realear, workspace, task, tmp_path / "x", *words, on=on)
    assert ended.code == 2, ended.text
    assert said in " ".join(ended.text.split())


def test_only_kinds_that_tell_results_take_a_dataset_to_test_on(realear, workspace, tmp_path):
    ended = train(realear, workspace, "clap", tmp_path / "x", more=("--test", "sounds"))
    assert ended.code == 2
    assert "only classification tells its results" in " ".join(ended.text.split())


def test_changes_are_drawn_by_the_generator_and_keep_the_sound():
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    quiet = np.zeros(RATE // 2, np.float32)
    clip = np.concatenate([quiet, tone, quiet])
    one, two = (changed(clip, RATE, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    cut = [trimmed(clip, RATE, np.random.default_rng(seed)) for seed in range(20)]
    assert {len(each) for each in cut} == {len(clip), len(tone)}
    assert len(trimmed(quiet, RATE, np.random.default_rng(0))) == len(quiet)
    echoes = [roomy(clip, RATE, np.random.default_rng(seed)) for seed in range(20)]
    wet = [each for each in echoes if each is not clip]
    assert 3 < len(wet) < 17
    for each in wet:
        assert len(each) == len(clip)
        assert np.abs(each[-RATE // 2 :]).max() > 0, "the echo goes on behind the sound"
        np.testing.assert_allclose(each[: RATE // 2], 0, atol=1e-6)


def test_the_example_is_right_and_shares_no_voice_or_sound():
    found = load_datasets(str(ROOT / "examples/training/classification.yaml"))
    recipes = {name: dataset.recipe for name, dataset in found.datasets.items()}
    parts = ("", "-heldout", "-test")
    voices = [set(recipes[f"class-digits{part}"]["voices"]) for part in parts]
    assert len(set.union(*voices)) == sum(map(len, voices))
    assert len({recipes[f"class-sounds{part}"]["seed"] for part in parts}) == 3


def test_halves_of_people_share_nobody(monkeypatch):
    monkeypatch.setenv("REALEAR_RECORDINGS", "/somewhere")
    found = load_datasets(str(ROOT / "examples/training/people.yaml")).datasets
    halves = [set(found[name].recipe["of"]) for name in ("half-1", "half-2")]
    assert halves[0] & halves[1] == {"class-sounds", "class-digits"}
    assert len(halves[0] ^ halves[1]) == 4
