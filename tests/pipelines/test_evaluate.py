"""A suite end to end: the same whatever the workers and shards, and nothing done twice."""

import copy
import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.records import Joint
from pipelines.shards import datasets

MODELS = 4


@pytest.fixture
def workspace(evaluated, tmp_path) -> Path:
    """A copy of the evaluated workspace, to be changed; times and all."""
    target = tmp_path / "workspace"
    shutil.copytree(evaluated, target)
    return target


def scores(workspace: Path) -> dict[tuple[str, ...], tuple]:
    """(chain, dataset, metric, key) to what the score tables say of the clip."""
    found = {}
    for path in (workspace / "scores").rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            key = (*path.relative_to(workspace).parts[1:4], row.pop("key"))
            assert key not in found
            found[key] = tuple(row.items())
    return found


def board(workspace: Path) -> list[dict[str, str]]:
    """The exported board without the speed, which no two runs share."""
    with (workspace / "site/small/board.csv").open(encoding="utf-8") as file:
        return [{k: v for k, v in row.items() if k != "rtfx"} for row in csv.DictReader(file)]


def runs(workspace: Path) -> list[tuple[str, str]]:
    """Status and parent ("" for none) of every run that MLflow knows."""
    database = sqlite3.connect(workspace / "realear.db")
    try:
        return database.execute(
            "SELECT r.status, coalesce(t.value, '') FROM runs r LEFT JOIN tags t "
            "ON t.run_uuid = r.run_uuid AND t.key = 'mlflow.parentRunId'"
        ).fetchall()
    finally:
        database.close()


def test_everything_is_there_and_accounted_for(evaluated):
    card = datasets.read_card(str(evaluated / "datasets/pairs"))
    assert (card.clips, len(card.shards), card.sources) == (7, 3, 2)
    found = scores(evaluated)
    clips = {"readings": 9, "pairs": 7, "noisy": 8}
    assert len(found) == 2 * (9 + 7 + 2 * 8)
    assert {key[1]: 0 for key in found}.keys() == clips.keys()
    assert all(dict(row)["end"] == "scored" for row in found.values())
    assert {path.name for path in (evaluated / "site").iterdir()} == {"small"}
    page = evaluated / "site/small"
    assert {path.name for path in page.iterdir()} >= {
        "index.html", "board.css", "board.js", "board.csv", "board.json", "data", "vendor"
    }  # fmt: skip
    assert not list(evaluated.rglob("*.partial"))


def test_mlflow_holds_a_parent_and_a_child_a_model_and_dataset(evaluated):
    found = runs(evaluated)
    assert {status for status, _ in found} == {"FINISHED"}
    parents = [parent for _, parent in found]
    assert parents.count("") == 1
    assert len(parents) == 1 + MODELS
    assert len(set(parents)) == 2


def test_mlflow_holds_what_models_cost_and_what_became_of_their_clips(evaluated):
    with closing(sqlite3.connect(evaluated / "realear.db")) as database:
        kept = {key for (key,) in database.execute("SELECT key FROM latest_metrics")}
    assert {"rtfx", "load_seconds", "pesq.scored", "pesq.undefined", "pesq.failed"} <= kept


def test_two_workers_write_the_same_bytes_wherever_they_are_started(
    evaluated, doubles, suite_file, tree, tmp_path
):
    # The folder in which the user stands holds a package of the name of one of ours.
    impostor = tmp_path / "models/__init__.py"
    impostor.parent.mkdir()
    impostor.write_text("raise SystemExit('the wrong models')\n")
    start = "from pipelines.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", start, "evaluate", suite_file(tmp_path), "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert tree(tmp_path / "realear") == tree(evaluated)
    assert board(tmp_path / "realear") == board(evaluated)


def test_metrics_that_read_a_clip_together_write_what_each_does_alone(
    workspace, evaluated, realear, tree, monkeypatch
):
    monkeypatch.setattr(Joint, "groups", lambda _, parts: [(part,) for part in parts])
    shutil.rmtree(workspace / "scores")
    ended = realear("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 1)
    assert ended.code == 0, ended.text
    assert tree(workspace) == tree(evaluated)


def test_seven_shards_give_the_same_scores_as_three(evaluated, realear, suite_file, tmp_path):
    ended = realear(
        "evaluate", suite_file(tmp_path, shards=7), "--out", tmp_path, "--workers", 1
    )  # fmt: skip
    assert ended.code == 0, ended.text
    assert len(list((tmp_path / "datasets/noisy").glob("*.tar"))) == 7
    assert len(list((evaluated / "datasets/noisy").glob("*.tar"))) == 3
    assert scores(tmp_path) == scores(evaluated)
    assert board(tmp_path) == board(evaluated)
    for name in ("readings", "pairs", "noisy"):
        three, seven = (
            datasets.read_card(str(root / "datasets" / name)) for root in (evaluated, tmp_path)
        )
        assert three.content == seven.content


def test_a_second_run_does_nothing(workspace, realear, stamps):
    before, logged = stamps(workspace), len(runs(workspace))
    ended = realear("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 2)
    assert ended.code == 0, ended.text
    lines = [line for line in ended.text.splitlines() if line.startswith(STEPS)]
    assert len(lines) == 3 + MODELS + 1
    assert all("up to date" in line for line in lines)
    assert stamps(workspace) == before
    assert "was logged before" in ended.text
    assert len(runs(workspace)) == logged


def test_a_second_run_imports_nothing_that_only_work_needs(evaluated):
    heavy = ["apache_beam", "mlflow", "torch", "scipy.signal", "vl_convert", "pandas"]
    code = (
        "import sys; from pipelines import cli\n"
        "try: cli.main()\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "evaluate", str(evaluated / "suite.yaml")]
    ended = subprocess.run(
        [*command, "--out", str(evaluated)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


STEPS = ("Prepare", "Generate", "Predict", "Score:")


def changed(workspace, realear, stamps, small, change) -> tuple[set[str], str]:
    """What appears on the disk when the suite changes, and what was said; nothing else moves."""
    before = stamps(workspace)
    suite = copy.deepcopy(small)
    change(suite)
    (workspace / "suite.yaml").write_text(json.dumps(suite))
    ended = realear("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 1)
    assert ended.code == 0, ended.text
    after = stamps(workspace)
    assert {name: after[name] for name in before} == before
    return after.keys() - before.keys(), ended.text


def test_another_parameter_asks_that_model_alone(workspace, realear, stamps, small):
    def gain(suite):
        suite["models"]["slow"]["parameters"] = {"gain": 0.25}

    [old] = (workspace / "predictions").glob("slow-*")
    new, said = changed(workspace, realear, stamps, small, gain)
    chains = {name.split("/")[1] for name in new}
    assert len(chains) == 1
    assert chains.pop().startswith("slow-")
    assert {name.split("/")[0] for name in new} == {"predictions", "scores"}
    assert old.exists()
    asked = [line for line in said.splitlines() if line.startswith("Predict")]
    assert [line for line in asked if "up to date" not in line] == [
        line for line in asked if line.startswith("Predict slow: 3/3 shards")
    ]


def test_another_normaliser_scores_that_metric_alone(workspace, realear, stamps, small):
    def normaliser(suite):
        suite["comparisons"]["words"]["metrics"]["wer"] = {"normaliser": "none"}

    new, said = changed(workspace, realear, stamps, small, normaliser)
    assert len(new) == 2 * 3  # a table and its sidecar a shard
    assert {(name.split("/")[0], name.split("/")[3].split("-")[0]) for name in new} == {
        ("scores", "wer")
    }
    assert "Score: 3/3 shards, 21 were there" in said
    assert board(workspace)[0]["value"] == "1.0"  # every first word has a capital, every last a dot


def test_a_damaged_prediction_is_refused_by_name_and_can_be_mended(
    workspace, realear, tree, evaluated
):
    [shard] = (workspace / "predictions").glob("wiener-*/noisy/noisy-000001.tar")
    damage(shard)
    for sidecar in (workspace / "scores").glob("wiener-*/noisy/pesq-*/noisy-000001.json"):
        sidecar.unlink()
    again = ("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 1)
    ended = realear(*again)
    assert ended.code == 2
    assert f"{shard} is not the file that its sidecar describes" in ended.text
    assert "Traceback" not in ended.text
    assert "run the same command again, which makes it anew" in ended.text
    ended = realear(*again)
    assert ended.code == 0, ended.text
    assert tree(workspace) == tree(evaluated)


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_the_board_comes_back_from_what_is_there(workspace, realear, evaluated):
    shutil.rmtree(workspace / "site")
    ended = realear("board", workspace / "suite.yaml", "--out", workspace)
    assert ended.code == 0, ended.text
    assert board(workspace) == board(evaluated)
    for sidecar in (workspace / "scores").glob("oracle-irm-*/pairs/stoi-*/pairs-000000.json"):
        sidecar.unlink()
    ended = realear("board", workspace / "suite.yaml", "--out", workspace)
    assert ended.code == 2
    assert "expected scores at" in ended.text
    assert "run `realear evaluate` with this suite first" in ended.text


def test_a_model_that_fails_is_shown_counted_and_ends_in_three(workspace, realear, small, tmp_path):
    suite = copy.deepcopy(small)
    suite["datasets"] = {
        "noisy": {"domain": "simulated", "path": str(workspace / "datasets/noisy")}
    }
    suite["models"]["moody"] = {"model": "doubles:Moody"}
    suite["comparisons"] = {"noise": {**small["comparisons"]["noise"], "models": ["moody"]}}
    file = tmp_path / "moody.yaml"
    file.write_text(json.dumps(suite))
    ended = realear("evaluate", file, "--out", tmp_path / "out", "--workers", 1)
    assert ended.code == 3, ended.text
    rows = [dict(row) for row in scores(tmp_path / "out").values()]
    failed = [row for row in rows if row["end"] == "failed"]
    assert 0 < len(failed) < len(rows) == 16
    assert {row["reason"] for row in failed} <= {"error", "not_finite", "wrong_length"}
    assert all(row["value"] is None for row in failed)
    assert f"moody failed on {len(failed) // 2} of 8 in noisy" in ended.text.replace("\n", " ")
    file.write_text(json.dumps({**suite, "tolerate": 1.0}))
    assert realear("evaluate", file, "--out", tmp_path / "out", "--workers", 1).code == 0
