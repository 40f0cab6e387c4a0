"""A board from tracking alone: every value as it was, and nothing is fetched twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leaderboards import boards
from leaderboards.rebuilding import rebuild
from leaderboards.records import Board, SliceRule
from leaderboards.tracking import Evaluation, Tracker


@pytest.fixture
def sliced(world, tables, tmp_path: Path) -> Board:
    """A board whose reading is cut by the clips' length and by a label."""
    index = tmp_path / "index.parquet"
    clips = pa.table(
        {
            "key": [f"clip-{at:03d}" for at in range(40)],
            "seconds": [float(at) for at in range(40)],
            "labels": ['{"snr": "5"}'] * 40,
            "audio": ["not for everybody"] * 40,
        }
    )
    pq.write_table(clips, index)
    rules = (SliceRule("length", "seconds", edges=(10.0, 30.0)), SliceRule("SNR", "labels.snr"))
    return boards.build(
        [replace(world.reading, slices=rules), world.speakers],
        tables,
        [replace(info, index=str(index)) for info in world.datasets],
        title="Does it hold in real life?",
        tolerated_failures=0.25,
        suite_digest="9c1e",
        versions={"python": "3.11"},
    )


@pytest.fixture
def tracker(sliced: Board, tables, tmp_path: Path) -> Tracker:
    tracker = Tracker(f"sqlite:///{tmp_path / 'a.db'}", "small", tmp_path / "files")
    tracker.log(Evaluation("small", sliced, tables))
    return tracker


def without_places(board: Board) -> dict:
    """All that a board says, but where its indexes lie."""
    return replace(
        board, datasets=tuple(replace(info, index="") for info in board.datasets)
    ).to_json()


def test_every_value_comes_back(tracker, sliced, tables, tmp_path) -> None:
    found = rebuild(tracker.uri, tmp_path / "fetched")
    assert without_places(found.board) == without_places(sliced)
    assert (found.suite, found.run) == ("small", tracker.earlier()[0].run)
    assert found.fetched + found.kept == len(tables) + 4  # an index a dataset that is cut
    kept = pq.ParquetFile(next(i.index for i in found.board.datasets if i.index)).schema_arrow
    assert set(kept.names) == {"key", "seconds", "labels"}


def test_what_was_fetched_is_kept(tracker, sliced, tables, tmp_path) -> None:
    first = rebuild(tracker.uri, tmp_path / "fetched")
    again = rebuild(tracker.uri, tmp_path / "fetched", experiment="small")
    assert again.board == first.board
    assert again.fetched == 0
    other = replace(sliced, title="Another title, the same scores")
    logged = tracker.log(Evaluation("small", other, tables))
    assert (logged.created, logged.new) == (True, 0)
    third = rebuild(tracker.uri, tmp_path / "fetched")
    assert (third.run, third.fetched, third.board.title) == (logged.parent, 0, other.title)
    damaged = next((tmp_path / "fetched").glob("*.parquet"))
    damaged.write_bytes(b"not Parquet")
    assert rebuild(tracker.uri, tmp_path / "fetched").board == third.board


def test_what_is_not_there_is_told(tracker, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"expected a tracking database at .*nowhere\.db"):
        rebuild(f"sqlite:///{tmp_path / 'nowhere.db'}", tmp_path)
    with pytest.raises(ValueError, match=r"unknown experiment 'smal' in .* one of .*small"):
        rebuild(tracker.uri, tmp_path, experiment="smal")
    with pytest.raises(ValueError, match="expected an evaluation in experiment 'Default'"):
        rebuild(tracker.uri, tmp_path, experiment="Default")
    for path in (tmp_path / "files").rglob("wer-*.parquet"):
        path.write_bytes(b"changed")
    with pytest.raises(ValueError, match=r"expected clips/wer-.* found other bytes"):
        rebuild(tracker.uri, tmp_path / "fetched")
