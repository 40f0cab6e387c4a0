"""Faults, each followed by a second run that must end as if nothing had happened."""

import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests import faults

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks into /proc for whom to kill"
)
BATCH = 5  # trials a test: two test processes share them


@pytest.fixture
def suite(tmp_path):
    return faults.suite(tmp_path / "made")


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("first", range(1, faults.TRIALS + 1, BATCH))
def test_killed_at_any_moment_and_started_again(first, tmp_path):
    ended = list(faults.trials(range(first, first + BATCH), tmp_path))
    assert len(ended) == BATCH
    assert [(each.trial, each.wrong) for each in ended if each.wrong] == []


def test_killed_again_and_again(suite, realear, tmp_path):
    """Launcher, then worker, in one folder: datasets alone, so that it is quick."""
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    for victim, shards, code in (("launcher", 1, -9), ("worker", faults.SHARDS + 1, 4)):
        process = faults.start(suite, out, "generate")
        killed, _, _ = faults.disturb(process, faults.Trial(1, victim, shards, 0.0), out)
        process.communicate()
        assert (killed, process.returncode) == (victim, code)
    before = faults.sidecars(out)
    assert faults.SHARDS < len(before) < 2 * faults.SHARDS
    assert realear("generate", suite, "--out", out, "--workers", 1).code == 0
    again = faults.sidecars(out)
    assert {path: again[path] for path in before} == before
    assert realear("generate", suite, "--out", undisturbed, "--workers", 1).code == 0
    assert faults.tree(out) == faults.tree(undisturbed)


@pytest.fixture
def undisturbed(suite, realear, tmp_path):
    """The datasets as they should be."""
    assert realear("generate", suite, "--out", tmp_path / "whole", "--workers", 1).code == 0
    return faults.tree(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 100 kB, or another one over it; unmounted at the end."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options: str) -> bool:
        words = ["mount", "-t", "tmpfs", *options, "tmpfs", str(place)]
        return subprocess.run(words, capture_output=True).returncode == 0

    if os.geteuid() or not mount("-o", "size=100k"):
        pytest.skip("mounting a small disk needs root; RLIMIT_FSIZE stands for it")
    yield place, mount
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_room_is_all_that_it_takes(suite, undisturbed, small_disk, realear):
    place, mount = small_disk
    ended = realear("generate", suite, "--out", place, "--workers", 2)
    assert ended.code == 2
    assert "cannot be written: No space left on device: make room" in ended.text
    assert "Traceback" not in ended.text
    stood = faults.sidecars(place)
    assert 0 < len(stood) < 2 * faults.SHARDS
    assert mount("-o", "remount,size=10m")
    assert realear("generate", suite, "--out", place, "--workers", 2).code == 0
    again = faults.sidecars(place)
    assert {path: again[path] for path in stood} == stood
    assert not list(place.rglob("*.partial"))
    assert faults.tree(place) == undisturbed


def test_a_limit_on_the_length_of_files_is_told(suite, undisturbed, tmp_path):
    process = faults.start(suite, tmp_path / "out", "generate")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    said, _ = process.communicate()
    assert process.returncode == 2
    assert "cannot be written: File too large: make room" in said
    assert "Traceback" not in said
    assert faults.finished(suite, tmp_path / "out", "generate")[0] == 0
    assert faults.tree(tmp_path / "out") == undisturbed


def test_an_output_that_may_not_be_written_is_told(suite, small_disk, realear):
    place, mount = small_disk
    assert mount("-o", "remount,ro")
    ended = realear("generate", suite, "--out", place, "--workers", 1)
    assert ended.code == 2
    assert "cannot be written: Read-only file system: allow writing there" in ended.text
    assert "Traceback" not in ended.text
    assert not list(place.iterdir())


def test_two_at_once_share_the_work(suite, undisturbed, tmp_path):
    out = tmp_path / "out"
    both = [faults.start(suite, out, "generate") for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert faults.tree(out) == undisturbed
    done = "".join(said)
    assert done.count("Prepare speech: all 4 shards up to date") == 1
    assert done.count("Generate noisy: all 4 shards up to date") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_evaluations_at_once_are_logged_once(suite, tmp_path):
    out, database = tmp_path / "out", f"sqlite:///{tmp_path}/runs.db"
    both = [faults.start(suite, out, "evaluate", "--tracking", database) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "".join(said).count("was logged before") == 1
    with closing(sqlite3.connect(tmp_path / "runs.db")) as logged:
        [(number,)] = logged.execute("SELECT count(*) FROM runs")
    assert number == 2  # the evaluation, and its cell
    assert faults.finished(suite, tmp_path / "alone")[0] == 0
    assert faults.tree(out) == faults.tree(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_model_that_hangs_is_named_and_the_rest_goes_on(suite, tmp_path, monkeypatch):
    monkeypatch.setenv("DOUBLES_SECONDS", "600")
    code, said = faults.finished(suite, tmp_path / "out", "evaluate", "--timeout", "3")
    assert code == 4, said
    assert "Predict slow: noisy-00000" in said
    assert "has taken" in said
    monkeypatch.setenv("DOUBLES_SECONDS", "0")
    assert faults.finished(suite, tmp_path / "out")[0] == 0
    assert faults.finished(suite, tmp_path / "alone")[0] == 0
    assert faults.tree(tmp_path / "out") == faults.tree(tmp_path / "alone")
