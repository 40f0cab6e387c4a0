"""What becomes of an evaluation: page, feed, runs, gates, and the board from tracking alone."""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leaderboards import charts
from leaderboards.tracking import Tracker
from pipelines import boarding

CELLS = 4


@pytest.fixture
def workspace(evaluated, tmp_path) -> Path:
    """A copy of the evaluated workspace, whose files of runs lie where they lay."""
    target = tmp_path / "workspace"
    shutil.copytree(evaluated, target)
    return target


@pytest.fixture
def again(realear, workspace, doubles):
    """`realear evaluate` or another command on the copied workspace."""

    def run(*options: object, command: str = "evaluate", suite: str | Path = "suite.yaml"):
        more = ("--workers", 1) if command == "evaluate" else ()
        return realear(command, workspace / suite, "--out", workspace, *more, *options)

    return run


def words(ended) -> str:
    return " ".join(ended.text.split())


def runs(workspace: Path) -> dict[str, list[str]]:
    """Run ids of evaluations and of cells."""
    with closing(sqlite3.connect(workspace / "realear.db")) as database:
        rows = database.execute("SELECT value, run_uuid FROM tags WHERE key = 'kind'").fetchall()
    return {kind: [run for k, run in rows if k == kind] for kind in ("evaluation", "cell")}


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def changed(workspace: Path, small, change) -> Path:
    suite = copy.deepcopy(small)
    change(suite)
    path = workspace / "suite.yaml"
    path.write_text(json.dumps(suite))
    return path


def gain(suite) -> None:
    """Another loudness: PESQ and SI-SNR stay, the fingerprint does not."""
    suite["models"]["slow"]["parameters"] = {"gain": 0.25}


def test_a_second_run_leaves_page_and_runs_as_they_are(again, workspace) -> None:
    assert again().code == 0  # the copy's page is noted to lie elsewhere: it is written again
    before, known = stamps(workspace / "site"), runs(workspace)
    ended = again()
    assert (ended.code, "was logged before" in ended.text) == (0, True)
    assert stamps(workspace / "site") == before
    assert runs(workspace) == known
    assert (len(known["evaluation"]), len(known["cell"])) == (1, CELLS)


def test_feed_and_badge_lie_beside_the_page(evaluated) -> None:
    site = evaluated / "site/small"
    [item] = json.loads((site / "feed.json").read_text())["items"]
    assert item["id"] == runs(evaluated)["evaluation"][0]
    assert item["date_published"].endswith("Z")
    assert "pocketsphinx-narrow" in (site / "badge.svg").read_text()


def test_a_changed_model_is_one_new_evaluation_with_links(again, workspace, small) -> None:
    [first] = runs(workspace)["evaluation"]
    changed(workspace, small, gain)
    ended = again("--since", "last", "--fail-if", "worse.si_snr > 100")
    assert ended.code == 0, ended.text
    assert "logged, 1 new runs" in words(ended)
    assert f"({first})" in ended.text
    known = runs(workspace)
    assert (len(known["evaluation"]), len(known["cell"])) == (2, CELLS + 1)
    items = json.loads((workspace / "site/small/feed.json").read_text())["items"]
    assert [item["id"] for item in items] == [
        next(run for run in known["evaluation"] if run != first), first
    ]  # fmt: skip


def test_a_gate_ends_in_five_when_all_is_done(again, workspace) -> None:
    before = runs(workspace)
    ended = again("--fail-if", "synthetic.wer > 0.05", "--fail-if", "failed.wer > 0")
    assert ended.code == 5, ended.text
    assert "synthetic.wer > 0.05: words: pocketsphinx-narrow has a synthetic wer of" in words(ended)
    assert "failed.wer" not in ended.text
    assert runs(workspace) == before
    ended = again("--fail-if", "simulated.pesq < 0", command="board")
    assert ended.code == 0, ended.text
    assert again("--fail-if", "wiener.simulated.pesq > 0", command="board").code == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fail-if", "gap.wer > 0.05"), "gap needs synthetic and real datasets"),
        (("--fail-if", "synthetic.wr > 1"), "unknown metric 'wr': did you mean 'wer'"),
        (("--fail-if", "worse.wer > 1"), "name it by --since"),
        (("--since", "last", "--tracking", "none"), "--since needs a tracking store"),
        (("--since", "0123"), "expected `last` or the run of an evaluation of 'small'"),
        (("--tracking", "runs.db"), "expected a URI such as sqlite:///runs.db"),
    ],
)
def test_wrong_words_are_refused_before_any_work(again, workspace, options, message) -> None:
    before = stamps(workspace)
    ended = again(*options)
    assert (ended.code, message in words(ended)) == (2, True), ended.text
    assert stamps(workspace) == before


def test_no_tracking_and_another_store(again, workspace, tmp_path, realear) -> None:
    (workspace / "realear.db").rename(tmp_path / "gone.db")
    ended = again("--tracking", "none", "--since", "last")
    assert ended.code == 2
    ended = again("--tracking", "none")
    assert (ended.code, "MLflow" in ended.text) == (0, False)
    assert not (workspace / "realear.db").exists()
    [item] = json.loads((workspace / "site/small/feed.json").read_text())["items"]
    assert "date_published" not in item
    assert again(command="board").code == 0
    assert not (workspace / "realear.db").exists()


def test_the_board_comes_back_from_tracking_alone(evaluated, realear, tmp_path) -> None:
    uri = f"sqlite:///{evaluated / 'realear.db'}"
    command = ("board", "--from-mlflow", uri, "--out", tmp_path)
    ended = realear(*command)
    assert ended.code == 0, ended.text
    assert f"{2 * CELLS} files fetched, 0 were there" in words(ended)
    made, found = (
        json.loads((root / "site/small/board.json").read_text()) for root in (evaluated, tmp_path)
    )
    for record in (made, found):
        for info in record["datasets"]:
            del info["index"]
    assert found == made
    assert (tmp_path / "site/small/index.html").is_file()
    ended = realear(*command, "--experiment", "small", "--fail-if", "synthetic.wer > 0")
    assert (ended.code, f"{2 * CELLS} were there" in words(ended)) == (5, True)
    ended = realear(*command, "--experiment", "smal")
    assert (ended.code, "unknown experiment 'smal'" in words(ended)) == (2, True)


def test_an_experiments_name_makes_no_folder_elsewhere(board_of_evil, realear, tmp_path) -> None:
    ended = realear("board", "--from-mlflow", board_of_evil, "--out", tmp_path / "out")
    assert (ended.code, "expected a name of up to 64 letters" in words(ended)) == (2, True)
    assert not (tmp_path / "evil").exists()


@pytest.fixture
def board_of_evil(tmp_path) -> str:
    from leaderboards.records import Board
    from leaderboards.tracking import Evaluation

    uri = f"sqlite:///{tmp_path / 'evil.db'}"
    Tracker(uri, "../../evil").log(Evaluation("../../evil", Board("evil", ()), []))
    return uri


def test_board_wants_one_thing(refused_board) -> None:
    assert "expected one of SUITE.yaml, --from-mlflow and --serve" in refused_board()
    assert "expected one of" in refused_board("suite.yaml", "--serve", "site")
    assert "found none at nowhere" in refused_board("--serve", "nowhere")


@pytest.fixture
def refused_board(realear):
    def run(*arguments):
        ended = realear("board", *arguments)
        assert ended.code == 2
        return words(ended)

    return run


@pytest.mark.parametrize(("long", "times"), [(0.0, 1), (60.0, 0)])
def test_what_draws_is_started_beside_work_that_takes_long(again, monkeypatch, long, times):
    started = []
    monkeypatch.setattr(boarding, "LONG", long)
    monkeypatch.setattr(charts, "start", lambda: started.append(long))
    assert again("--tracking", "none").code == 0
    assert len(started) == times
