"""Training: the same data and seed give the same weights, a stopped one goes on, and what comes out
is a model like any other.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import models
from metrics import si_snr as exact_si_snr
from pipelines import arguments, config, training
from pipelines.arguments import find
from pipelines.records import RealEarError
from pipelines.workspace import Workspace

ROOT = Path(__file__).parents[2]
START = "from pipelines.cli import main; main()"
QUICK = ("steps=6", "check_every=3", "batch=2", "seconds=0.5", "enc_num_feats=16",
         "msk_num_feats=8", "msk_num_hidden_feats=8", "msk_num_layers=2")  # fmt: skip
RECIPES = {
    "voices": {"domain": "synthetic", "recipe": {"kind": "readings", "sentences": 4}},
    **{
        name: {
            "domain": "synthetic",
            "recipe": {
                "kind": "scenes", "of": "voices", "clips": 4, "talkers": 2, "sample_rate": 8_000,
                "length": "min", "seed": seed,
            },
        }
        for seed, name in enumerate(("pairs", "others"))
    },
}  # fmt: skip


def settings(*words: str) -> list[str]:
    return [part for word in words for part in ("--set", word)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, realear) -> Path:
    folder = tmp_path_factory.mktemp("training")
    (folder / "recipe.yaml").write_text(json.dumps({"datasets": RECIPES}))
    ended = realear("generate", folder / "recipe.yaml", "--out", folder, "--workers", 1)
    assert ended.code == 0, ended.text
    return folder


def runs(workspace: Path) -> list:
    """MLflow's runs of trainings."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace}/realear.db")
    return client.search_runs([client.get_experiment_by_name(training.EXPERIMENT).experiment_id])


def train(realear, workspace: Path, to: Path, *words: str, task: str = "separation", on="pairs"):
    held_out = {"pairs": "others", "voices": "voices"}[on]
    return realear("train", task, "--on", on, "--held-out", held_out, "--to", to,
                   "--out", workspace, *settings(*words))  # fmt: skip


def test_a_separator_is_trained_again_to_the_same_bytes_and_scores(realear, workspace, tmp_path):
    ended = train(realear, workspace, tmp_path / "one", *QUICK)
    assert ended.code == 0, ended.text
    assert "after 6 steps" in ended.text
    (run,) = runs(workspace)
    assert run.info.status == "FINISHED"
    assert run.data.params["network/num_sources"] == "2"
    assert run.data.metrics["valid_si_snri"] < 100
    learnt, held_out = (find(name, Workspace(str(workspace))) for name in ("pairs", "others"))
    given = arguments.words(QUICK, "--set")
    training.train("separation", learnt, held_out, str(tmp_path / "two"), given)
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    card = json.loads((tmp_path / "one/card.json").read_text())
    assert (
        card["data"]["learnt"]["content"] == find("pairs", Workspace(str(workspace))).card.content
    )
    ended = realear(
        "score", "--model", "trained-separator", "--dataset", "others", "--metric", "si_snri",
        "--out", workspace, *settings(f"checkpoint={tmp_path / 'one'}"),
    )  # fmt: skip
    assert ended.code == 0, ended.text
    assert "trained-separator" in ended.text


def test_a_recogniser_is_trained_and_transcribes(realear, workspace, tmp_path):
    quick = ("steps=2", "check_every=1", "batch=2", "n_hidden=8")
    ended = train(realear, workspace, tmp_path / "r", *quick, task="recognition", on="voices")
    assert ended.code == 0, ended.text
    model = models.create("trained-recogniser", checkpoint=str(tmp_path / "r"))
    rng = np.random.default_rng(0)
    clips = [rng.normal(0, 0.1, size).astype(np.float32) for size in (16_000, 300, 0, 16_000)]
    together = model.transcribe(clips)
    assert together == [model.transcribe([clip])[0] for clip in clips]
    assert together[2] == ""


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_checkpoint(workspace, tmp_path):
    words = ("steps=60", "check_every=2", *QUICK[2:])
    command = [sys.executable, "-P", "-c", START, "train", "separation", "--on", "pairs",
               "--held-out", "others", "--to", str(tmp_path / "model"), "--out", str(workspace),
               *settings(*words)]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 120
    while not list(tmp_path.glob("model/training/*/last.ckpt")) and time.monotonic() < ends:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "model/card.json").exists()
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=250, env={**os.environ}
    )
    assert ended.returncode == 0, ended.stderr
    shown = [line for line in ended.stderr.splitlines() if line.startswith("Train: ")]
    first = int(shown[0].split()[1].partition("/")[0])
    assert first > 2
    going_on = [
        run for run in runs(workspace) if run.data.tags["folder"] == str(tmp_path / "model")
    ]
    assert len(going_on) == 1, "stopped or not, a training is one run"
    assert (tmp_path / "model/card.json").exists()


@pytest.mark.parametrize(
    ("task", "on", "words", "said"),
    [
        ("segmentation", "pairs", (), "unknown task 'segmentation'"),
        ("separation", "pairs", ("step=3",), "unknown setting 'step'.*steps"),
        ("separation", "pairs", ("steps=many",), "steps: expected a number such as 2000"),
        ("separation", "pairs", ("steps=2.5",), "steps: expected a whole number"),
        ("separation", "voices", (), "expected a dataset of one sample rate and one number of"),
        ("recognition", "pairs", (), "expected a text of every clip of 'pairs'"),
    ],
)
def test_what_cannot_be_trained_is_told_before_work_begins(
    workspace, tmp_path, task, on, words, said
):
    made = find(on, Workspace(str(workspace)))
    with pytest.raises(RealEarError, match=said):
        training.train(task, made, made, str(tmp_path / "m"), arguments.words(words, "--set"))
    assert not (tmp_path / "m").exists()


def test_the_loss_is_the_metric_and_takes_the_better_order():
    import torch

    from models.training.separation import pit_si_snr, si_snr

    rng = np.random.default_rng(0)
    sources = rng.normal(0, 0.1, (3, 2, 4_000)) + 0.01
    estimates = sources[:, ::-1] * 2 + rng.normal(0, 0.05, sources.shape)
    found = pit_si_snr(torch.tensor(sources), torch.tensor(estimates.copy()))
    for clip in range(3):
        expected = np.mean([exact_si_snr(sources[clip, n], estimates[clip, 1 - n]) for n in (0, 1)])
        assert found[clip].item() == pytest.approx(expected, abs=1e-3)
    silent = si_snr(torch.zeros(1, 100), torch.ones(1, 100, requires_grad=True))
    assert torch.isfinite(silent).all()


def test_the_example_is_in_order():
    found = config.load_datasets(str(ROOT / "examples/training/pairs.yaml"))
    assert set(found.datasets) == {
        "training-voices",
        "training-pairs",
        "heldout-pairs",
        "test-pairs",
    }
