from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from leaderboards.records import Board
from leaderboards.tracking import NOISY, Logged, log_evaluation


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store with a space")


@pytest.fixture(scope="module")
def logged(place: Path, board: Board, tables) -> Logged:
    return log(place, board, tables)


def log(place: Path, board: Board, tables) -> Logged:
    models = {tables[0].fingerprint: {"id": "large", "parameters": {"beam": 5}}}
    return log_evaluation(
        board, tables, database=place / "realear.db", artifacts=place / "files",
        models=models, page="<!doctype html>",
    )  # fmt: skip


@pytest.fixture(scope="module")
def client(place: Path, logged: Logged):
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{(place / 'realear.db').resolve()}")


def runs(client, logged: Logged):
    return list(client.search_runs([logged.experiment], max_results=1000))


def test_one_parent_and_a_child_a_model_and_dataset(client, logged: Logged, tables) -> None:
    assert logged.created
    assert set(logged.children) == {(t.fingerprint, t.dataset) for t in tables}
    assert len(runs(client, logged)) == 1 + len(tables)
    child = client.get_run(logged.children[tables[0].fingerprint, "voices"])
    assert child.data.tags["mlflow.parentRunId"] == logged.parent
    assert child.data.tags["fingerprint"] == tables[0].fingerprint
    assert child.data.tags["domain"] == "synthetic"
    assert child.data.params["wer.normaliser"] == "none"
    assert child.data.params["model.parameters"] == '{"beam": 5}'
    assert child.info.status == "FINISHED"


def test_metrics_are_the_boards_raw_values(client, logged: Logged, board: Board, tables) -> None:
    large = next(row for row in board.sections[0].rows if row.model == "large")
    child = client.get_run(logged.children[large.fingerprint, "street"])
    part = large.real.datasets[0]
    assert child.data.metrics["wer"] == part.value
    assert child.data.metrics["wer.low"] == part.interval.low
    assert child.data.metrics["wer.scored"] == 40
    assert child.data.metrics["rtfx"] == 5.0
    parent = client.get_run(logged.parent)
    assert parent.data.metrics[f"reading/large-{large.fingerprint}/gap"] == large.gap.value
    assert parent.data.tags["suite_digest"] == board.suite_digest


def test_clips_and_the_board_are_kept_as_files(client, logged: Logged, place: Path, tables) -> None:
    child = client.get_run(logged.children[tables[0].fingerprint, "voices"])
    kept = Path(child.info.artifact_uri.removeprefix("file://").replace("%20", " "))
    assert place / "files" in kept.parents
    table = pq.ParquetFile(kept / "clips.parquet").read()
    assert table.num_rows == 40
    assert set(table.column("metric").to_pylist()) == {"wer"}
    names = {item.path for item in client.list_artifacts(logged.parent)}
    assert names == {"board.csv", "board.html", "board.json"}


def test_a_second_call_adds_nothing(client, logged: Logged, place, board: Board, tables) -> None:
    before = len(runs(client, logged))
    slower = [replace(table, rtfx=1.0) for table in tables]
    again = log(place, board, slower)
    assert again == replace(logged, created=False)
    assert len(runs(client, logged)) == before


def test_what_a_crash_left_half_done_is_finished(client, logged, place, board, tables) -> None:
    key = (tables[0].fingerprint, "rooms")
    before = len(runs(client, logged))
    client.set_terminated(logged.children[key], status="FAILED")
    client.set_terminated(logged.parent, status="FAILED")
    again = log(place, board, tables)
    assert again.parent == logged.parent
    assert again.created
    assert again.children[key] != logged.children[key]
    assert len(runs(client, logged)) == before
    others = {k: v for k, v in again.children.items() if k != key}
    assert others == {k: v for k, v in logged.children.items() if k != key}


def test_another_suite_is_another_evaluation(client, logged, place, board, tables) -> None:
    before = len(runs(client, logged))
    one = replace(board, suite_digest="other")
    other = log(place, one, tables[:1])
    assert other.parent != logged.parent
    assert len(runs(client, logged)) == before + 2


def test_logging_is_private_and_leaves_no_global_state(logged, place, board, tables) -> None:
    import mlflow

    levels = {name: logging.getLogger(name).level for name in NOISY}
    log(place, board, tables)
    assert {name: logging.getLogger(name).level for name in NOISY} == levels
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert mlflow.active_run() is None
    assert "realear.db" not in mlflow.get_tracking_uri()


def test_the_first_call_of_a_process_says_nothing(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from leaderboards.records import Board
from leaderboards.tracking import log_evaluation
place = Path({str(tmp_path)!r})
log_evaluation(Board("b", ()), [], database=place / "a.db", artifacts=place / "files")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "a.db").is_file()
