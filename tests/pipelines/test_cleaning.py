"""gc: what no suite refers to is listed, then removed; what a suite needs is never touched."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def workspace(evaluated, tmp_path) -> Path:
    target = tmp_path / "workspace"
    shutil.copytree(evaluated, target)
    return target


@pytest.fixture
def gc(realear, workspace, doubles):
    def run(*options: object, suites=("suite.yaml",)):
        ended = realear("gc", *(workspace / name for name in suites), "--out", workspace, *options)
        assert ended.code == 0, ended.text
        return [line.split() for line in ended.text.splitlines()]

    return run


@pytest.fixture
def fewer(workspace, small) -> str:
    """A suite without the separation, and of one enhancer less."""
    suite = copy.deepcopy(small)
    del suite["comparisons"]["voices"], suite["datasets"]["pairs"]
    suite["comparisons"]["noise"]["models"] = ["slow"]
    suite["comparisons"]["noise"]["metrics"] = {"si_snr": {}}
    (workspace / "fewer.yaml").write_text(json.dumps({**suite, "name": "fewer"}))
    return "fewer.yaml"


def files(workspace: Path) -> set[str]:
    return {str(p.relative_to(workspace)) for p in workspace.rglob("*") if p.is_file()}


def test_nothing_is_listed_that_the_suite_needs(gc, workspace) -> None:
    before = files(workspace)
    assert gc("--remove") == [["nothing", "to", "remove:", "everything", "is", "referred", "to"]]
    assert files(workspace) == before


def test_what_no_suite_refers_to_is_listed_with_its_size_then_removed(
    gc, workspace, fewer, realear, stamps
) -> None:
    before = files(workspace)
    listed = gc(suites=(fewer,))
    places = {line[-1].split("/")[0] + "/" + line[-1].split("/")[1].split("-")[0]
              for line in listed if "/" in line[-1]}  # fmt: skip
    assert places == {
        "datasets/pairs", "predictions/oracle", "predictions/wiener",
        "scores/oracle", "scores/wiener", "scores/slow", "site/small",
    }  # fmt: skip
    assert listed[-1][-3:] == ["--remove", "removes", "them"]
    assert listed[-2][1:] == ["rows", "of", "timings.parquet"]
    assert files(workspace) == before
    assert gc(suites=("suite.yaml", fewer))[0][0] == "nothing"

    gc("--remove", suites=(fewer,))
    gone = before - files(workspace)
    assert {name.split("/")[0] for name in gone} == {"datasets", "predictions", "scores", "site"}
    assert not (workspace / "datasets/pairs").exists()
    assert not list((workspace / "predictions").glob("wiener-*"))
    chains = pq.read_table(workspace / "timings.parquet")["chain"].to_pylist()
    assert {chain.rpartition("-")[0] for chain in chains} == {"pocketsphinx-narrow", "slow"}
    assert gc(suites=(fewer,))[0][0] == "nothing"

    kept = stamps(workspace)
    ended = realear("evaluate", workspace / fewer, "--out", workspace, "--workers", 1)
    assert ended.code == 0, ended.text
    assert stamps(workspace) == kept  # nothing had to be made again


def test_what_is_not_of_our_making_stays_and_is_told(gc, workspace, fewer, tmp_path) -> None:
    outside = tmp_path / "outside.parquet"
    outside.write_text("mine")
    (workspace / "datasets/pairs/notes.txt").write_text("mine")
    (workspace / "datasets/pairs/pairs-000099.parquet").symlink_to(outside)
    (workspace / "datasets/linked").symlink_to(tmp_path)
    (workspace / "site/mine").mkdir()
    (workspace / "site/mine/index.html").write_text("mine")
    (workspace / "thesis.txt").write_text("mine")
    said = gc("--remove", suites=(fewer,))
    assert [line[1].rpartition("/")[2] for line in said if line[0] == "stays"] == [
        "notes.txt:", "pairs-000099.parquet:"
    ]  # fmt: skip
    assert {path.name for path in (workspace / "datasets/pairs").iterdir()} == {
        "notes.txt", "pairs-000099.parquet"
    }  # fmt: skip
    for path in (outside, workspace / "site/mine/index.html", workspace / "thesis.txt"):
        assert path.read_text() == "mine"
    assert (workspace / "datasets/linked").is_symlink()


def test_scores_of_a_dataset_that_is_not_there_are_kept(gc, workspace) -> None:
    """Its sample rate, and so the metrics' specs, are not known."""
    shutil.rmtree(workspace / "datasets/pairs")
    assert gc() == [["nothing", "to", "remove:", "everything", "is", "referred", "to"]]


def test_a_wrong_place_and_a_wrong_suite(realear, workspace, tmp_path) -> None:
    ended = realear("gc", workspace / "suite.yaml", "--out", tmp_path / "nowhere")
    assert (ended.code, "expected a local workspace, found none" in ended.text) == (2, True)
    ended = realear("gc", "nowhere.yaml", "--out", workspace, "--remove")
    assert ended.code == 2
    assert realear("gc", "--out", workspace).code == 2
