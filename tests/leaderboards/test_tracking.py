from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from leaderboards import runs
from leaderboards.records import Board
from leaderboards.run_writers import Input, NewRun, _Requests
from leaderboards.tracking import Evaluation, Logged, Tracker, moments, values

ALL = 1000


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store with a space")


@pytest.fixture(scope="module")
def tracker(place: Path) -> Tracker:
    return Tracker(f"sqlite:///{place / 'realear.db'}", "small", place / "files")


@pytest.fixture(scope="module")
def evaluation(board: Board, tables) -> Evaluation:
    record = {"id": "large", "parameters": {"beam": 5, "weights": "models:/large/3"}}
    return Evaluation("small", board, tables, {tables[0].fingerprint: record})


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "media").mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "media/worst.wav").write_bytes(b"RIFF")
    return folder


@pytest.fixture(scope="module")
def logged(tracker: Tracker, evaluation: Evaluation, page: Path) -> Logged:
    return tracker.log(evaluation, page)


@pytest.fixture(scope="module")
def client(tracker: Tracker, logged: Logged):
    return tracker.store.client


def everything(client, tracker: Tracker):
    return list(client.search_runs([tracker.store.experiment], max_results=ALL))


def changed(evaluation: Evaluation, tmp_path: Path) -> Evaluation:
    """One more failure in one score file: one cell differs, all others are as they were."""
    first = evaluation.tables[0]
    clips = pq.ParquetFile(first.paths[0]).read().slice(1)
    path = tmp_path / "changed.parquet"
    pq.write_table(clips, path)
    return replace(evaluation, tables=[replace(first, paths=(str(path),)), *evaluation.tables[1:]])


def test_one_parent_and_a_child_a_model_and_dataset(client, tracker, logged, tables) -> None:
    assert logged.created
    assert logged.new == len(tables)
    assert set(logged.children) == {(t.fingerprint, t.dataset) for t in tables}
    found = everything(client, tracker)
    assert len(found) == 1 + len(tables)
    assert {run.info.status for run in found} == {"FINISHED"}
    child = client.get_run(logged.children[tables[0].fingerprint, "voices"])
    assert child.data.tags["mlflow.parentRunId"] == logged.parent
    assert child.data.tags["fingerprint"] == tables[0].fingerprint
    assert child.data.tags["domain"] == "synthetic"
    assert child.data.tags["model_uri"] == "models:/large/3"
    assert child.data.params["wer.normaliser"] == "none"
    assert json.loads(child.data.params["model.parameters"])["beam"] == 5
    [given] = child.inputs.dataset_inputs
    assert given.dataset.name == "voices"
    assert {tag.key: tag.value for tag in given.tags}["domain"] == "synthetic"


def test_metrics_are_the_boards_raw_values(client, logged: Logged, board: Board) -> None:
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


def test_clips_board_and_page_are_kept_as_files(client, logged, place, tables) -> None:
    child = client.get_run(logged.children[tables[0].fingerprint, "voices"])
    kept = Path(child.info.artifact_uri.removeprefix("file://").replace("%20", " "))
    assert place / "files" in kept.parents
    [clips] = kept.rglob("*.parquet")
    table = pq.ParquetFile(clips).read()
    assert table.num_rows == 40
    record = json.loads(table.schema.metadata[b"realear"])
    assert (record["model"], record["metric"]["name"]) == ("large", "wer")
    names = {item.path for item in client.list_artifacts(logged.parent)}
    assert names == {"board.csv", "board.json", "cells.json", "page"}
    names = {item.path for item in client.list_artifacts(logged.parent, "page")}
    assert names == {"page/index.html", "page/media"}


def test_large_media_are_left_out(tracker, evaluation, client, page, monkeypatch) -> None:
    monkeypatch.setattr("leaderboards.tracking.MEDIA_BYTES", 3)
    silent = replace(evaluation, suite="silent")
    other = Tracker(tracker.uri, "silent", tracker.artifacts)
    names = client.list_artifacts(other.log(silent, page).parent, "page")
    assert [item.path for item in names] == ["page/index.html"]


def test_a_second_call_adds_nothing(client, tracker, logged, evaluation, tables) -> None:
    before = len(everything(client, tracker))
    slower = replace(evaluation, tables=[replace(table, rtfx=1.0) for table in tables])
    again = Tracker(tracker.uri, "small", tracker.artifacts)
    assert again.standing(slower) == (logged.parent, logged.when)
    assert again.log(slower) == Logged(logged.parent, logged.when, {}, created=False)
    assert len(everything(client, tracker)) == before


def test_a_change_adds_its_cell_and_links_to_the_others(tracker, evaluation, tmp_path) -> None:
    mine = Tracker(f"sqlite:///{tmp_path / 'a.db'}", "small")
    first = mine.log(evaluation)
    one = changed(evaluation, tmp_path)
    assert mine.standing(one) is None
    second = mine.log(one)
    pair = (evaluation.tables[0].fingerprint, evaluation.tables[0].dataset)
    assert second.new == 1
    assert second.children[pair] != first.children[pair]
    assert {k: v for k, v in second.children.items() if k != pair} == {
        k: v for k, v in first.children.items() if k != pair
    }
    client = mine.store.client
    assert len(everything(client, mine)) == 2 + len(evaluation.tables) + 1
    parent = client.get_run(second.parent)
    links = {v for k, v in parent.data.params.items() if k.startswith("link.")}
    assert links == {run for key, run in second.children.items() if key != pair}
    assert parent.data.tags["cells.linked"] == str(len(links))
    # and back: the first evaluation is known still
    assert mine.log(evaluation).parent == first.parent


def test_history_is_what_came_before(tracker, evaluation, board, tmp_path) -> None:
    mine = Tracker(f"sqlite:///{tmp_path / 'a.db'}", "small")
    first = mine.log(evaluation)
    second = mine.log(changed(evaluation, tmp_path))
    assert [run.run for run in mine.earlier()] == [second.parent, first.parent]
    [moment] = moments(mine.earlier(before=second.when))
    assert (moment.run, moment.when) == (first.parent, first.when)
    row = board.sections[0].rows[0]
    key = f"reading|{row.model}|{row.fingerprint}"
    assert moment.values[f"{key}|real"] == row.real.value
    assert f"{key}|gap" not in moment.values
    assert values(mine.earlier()[1])[f"{key}|gap"] == row.gap.value


def test_what_a_crash_left_half_done_is_done_again(tracker, evaluation, tmp_path) -> None:
    """Only a store that is asked run by run can be left so."""
    mine = Tracker(f"sqlite:///{tmp_path / 'a.db'}", "small")
    store = by_client(mine.store)
    parent, _ = store.begin("broken", {"run_key": evaluation.key, "kind": "evaluation"})
    store.begin("broken child", {"mlflow.parentRunId": parent})
    assert mine.standing(evaluation) is None
    logged = mine.log(evaluation)
    found = {run.info.run_id for run in everything(mine.store.client, mine)}
    assert found == {logged.parent, *logged.children.values()}


def by_client(store: runs.Store) -> runs.Store:
    return replace(store, writer=_Requests(store.client, store.experiment))


def test_tables_are_written_as_mlflow_writes_them(tmp_path) -> None:
    """Everything that MLflow's client tells of a run, whichever way it came into the store."""
    given = Input("set", "0" * 36, "{}", {"clips": 3}, {"domain": "real"})
    numbers = {f"metric {at}": at / 7 for at in range(ALL)}
    words = {f"parameter {at}": at for at in range(250)} | {"long": "x" * 600}
    told = []
    with runs.quiet():
        for name, way in (("quick", lambda store: store), ("slow", by_client)):
            store = way(runs.open_store(f"sqlite:///{tmp_path / name}.db", "suite"))
            ids = [store.begin(title, {"kind": "cell"})[0] for title in ("one", "two")]
            tags = {f"tag {at}": "value" for at in range(120)} | {"kind": "cell"}
            store.finish(
                [NewRun(run, title, "p" * 32, tags, numbers, words, [given])
                 for run, title in zip(ids, ("one", "two"), strict=True)]
            )  # fmt: skip
            told.append([as_told(store.client.get_run(run)) for run in ids])
    assert told[0] == told[1]
    assert len(told[0][0]["data"]["metrics"]) == ALL


def as_told(run) -> dict:
    """A run as a dictionary, without the ids and times that no two runs share."""
    record = run.to_dictionary()
    info = record["info"]
    for name in ("run_id", "start_time", "end_time", "artifact_uri"):
        assert info.pop(name)
    assert info.pop("experiment_id") == "1"
    inputs = [(each.dataset.to_dictionary(), [(tag.key, tag.value) for tag in each.tags])
              for each in run.inputs.dataset_inputs]  # fmt: skip
    return {"info": info, "data": record["data"], "inputs": inputs}


def test_logging_is_private_and_leaves_no_global_state(logged, tracker, evaluation) -> None:
    import mlflow

    levels = {name: logging.getLogger(name).level for name in runs.NOISY}
    assert not tracker.log(evaluation).created
    tracker.earlier()
    assert {name: logging.getLogger(name).level for name in runs.NOISY} == levels
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert mlflow.active_run() is None
    assert "realear.db" not in mlflow.get_tracking_uri()


def test_the_first_call_of_a_process_says_nothing_and_the_second_needs_no_mlflow(
    tmp_path: Path,
) -> None:
    code = f"""
import sys
from leaderboards.records import Board
from leaderboards.tracking import Evaluation, Tracker
tracker = Tracker("sqlite:///{tmp_path}/a.db", "small")
tracker.log(Evaluation("small", Board("b", ()), []))
if len(sys.argv) > 1: assert "mlflow" not in sys.modules
"""
    for more in ([], ["again"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *more], capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "a.db").is_file()
    assert not list(tmp_path.glob("mlruns"))
