"""From made sounds and readings to a small CLAP, by the commands that a user would give."""

import json
from pathlib import Path

import numpy as np
import pytest

import models
from pipelines.shards.datasets import read_rows
from pipelines.training_pairs import coloured, paced

QUICK = ("batch=6", "check_every=2", "mels=16", "width=2", "depth=3", "dim=8", "buckets=64",
         "letters=8")  # fmt: skip
DATASETS = {
    "sounds": {"kind": "sounds", "classes": ["tone", "rain"], "each": 4, "seconds": [0.4, 2.4]},
    "digits": {"kind": "readings", "texts": ["one", "two"], "readings_per_text": 2},
    "pairs": {
        "kind": "captioned", "of": ["sounds", "digits"],
        "templates": ["someone says {text}", "this is {label}"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, realear) -> Path:
    folder = tmp_path_factory.mktemp("clap")
    datasets = {name: {"domain": "synthetic", "recipe": r} for name, r in DATASETS.items()}
    (folder / "recipe.yaml").write_text(json.dumps({"datasets": datasets}))
    ended = realear("generate", folder / "recipe.yaml", "--out", folder, "--workers", 1)
    assert ended.code == 0, ended.text
    return folder


def train(realear, workspace: Path, to: Path, *words: str, on: str = "pairs"):
    settings = [part for word in (*QUICK, *words) for part in ("--set", word)]
    return realear("train", "clap", "--on", on, "--held-out", "pairs", "--to", to,
                   "--out", workspace, *settings)  # fmt: skip


def test_clips_of_several_datasets_get_captions_and_keep_their_own(workspace):
    rows = {row.key: row for row in read_rows(f"{workspace}/datasets/pairs/index.parquet")}
    assert len(rows) == 12
    own = {row.key: row for row in read_rows(f"{workspace}/datasets/sounds/index.parquet")}
    for key, row in rows.items():
        if key in own:
            assert (row.labels, row.sound) == (own[key].labels, own[key].sound)
        else:
            assert row.labels["caption"] == f"someone says {row.text}"


def test_it_is_trained_goes_on_from_a_teacher_and_embeds(realear, workspace, tmp_path):
    ended = train(realear, workspace, tmp_path / "one", "steps=4")
    assert ended.code == 0, ended.text
    assert "realear predict trained-clap" in ended.text
    ended = train(realear, workspace, tmp_path / "two", "steps=2", f"start={tmp_path / 'one'}",
                  f"teacher={tmp_path / 'one'}", "soft=0.5")  # fmt: skip
    assert ended.code == 0, ended.text
    config = json.loads((tmp_path / "two/config.json").read_text())
    one, two = (models.create("trained-clap", checkpoint=str(tmp_path / n)) for n in ("one", "two"))
    assert config["begun"] == {"start": one.weights, "teacher": one.weights}
    clip = np.random.default_rng(0).normal(0, 0.1, 9_000).astype(np.float32)
    [a], [b] = (each.embed_audio([clip], sample_rate=16_000) for each in (one, two))
    assert not np.allclose(a, b)


@pytest.mark.parametrize(
    ("words", "on", "said"),
    [
        ((), "digits", "expected a label `caption` of every clip of 'digits', found 4 of 4"),
        (("teacher=nowhere",), "pairs", "found no nowhere/config.json"),
        (("soft=much",), "pairs", "soft: expected a number"),
    ],
)
def test_what_does_not_fit_is_told(realear, workspace, tmp_path, words, on, said):
    ended = train(realear, workspace, tmp_path / "x", *words, on=on)
    assert ended.code == 2, ended.text
    assert said in " ".join(ended.text.split())


def test_changes_keep_the_sound_and_are_drawn_by_the_generator():
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    one, two = (coloured(tone, 16_000, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.corrcoef(one, tone)[0, 1] > 0.8
    lengths = {len(paced(tone, np.random.default_rng(seed))) for seed in range(20)}
    assert len(lengths) > 3
    assert max(abs(np.log(length / 16_000)) for length in lengths) < 0.18
