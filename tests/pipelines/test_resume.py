"""Killed or interrupted in the middle, then started again: the same files, and nothing twice."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import faults

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture
def begun(evaluated, tmp_path) -> Path:
    """The evaluated workspace without the slow model's answers and without scores."""
    target = tmp_path / "workspace"
    shutil.copytree(evaluated, target)
    for path in (target / "predictions").glob("slow-*"):
        shutil.rmtree(path)
    for name in ("scores", "site", "artifacts"):
        shutil.rmtree(target / name)
    (target / "realear.db").unlink()
    return target


def launch(workspace: Path, *, seconds_a_clip: float) -> subprocess.Popen[str]:
    command = ("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", "2")
    return subprocess.Popen(
        [sys.executable, "-P", "-c", faults.START, *command],
        env={**os.environ, "DOUBLES_SECONDS": str(seconds_a_clip)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def answered(workspace: Path) -> list[Path]:
    """The sidecars of the slow model's shards."""
    return list((workspace / "predictions").glob("slow-*/noisy/noisy-*.json"))


def stop(workspace: Path, how: signal.Signals) -> tuple[subprocess.Popen[str], str]:
    """Start, and send a signal as soon as some, but not all, of the answers are there."""
    process = launch(workspace, seconds_a_clip=0.7)
    try:
        assert faults.wait_for(lambda: answered(workspace), 120), "nothing was answered"
        workers = faults.processes(process.pid)["worker"]
        assert workers
        if how == signal.SIGINT:  # Ctrl-C reaches the workers, too
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        said, _ = process.communicate(timeout=faults.GRACE + 10)
    finally:
        process.kill()
    assert faults.wait_for(lambda: not any(map(faults.alive, workers)), faults.GRACE), (
        "workers outlive their launcher"
    )
    assert 0 < len(answered(workspace)) < 3
    return process, said


def sealed(path: Path) -> bool:
    """Whether a shard's file has its sidecar; files that belong to no shard need none."""
    shard = re.fullmatch(r".+-\d{6}", path.stem)
    return shard is None or path.with_suffix(".json").is_file()


def go_on(workspace, realear, evaluated, tree, stamps) -> None:
    """Start again: equal to the undisturbed run, what stood stands, nothing half-written stays."""
    before = {  # a file whose sidecar the kill forestalled does not exist
        name: stamp
        for name, stamp in stamps(workspace).items()
        if not name.endswith((".tar", ".parquet")) or sealed(workspace / name)
    }
    ended = realear("evaluate", workspace / "suite.yaml", "--out", workspace, "--workers", 1)
    assert ended.code == 0, ended.text
    after = stamps(workspace)
    assert {name: after.get(name) for name in before} == before
    assert tree(workspace) == tree(evaluated)
    assert not list(workspace.rglob("*.partial"))
    done = len([name for name in before if name.startswith("predictions/slow-")]) // 2
    assert f"Predict slow: {3 - done}/{3 - done} shard" in ended.text
    assert f"{done} were there" in ended.text


@linux
def test_killed_and_started_again(begun, realear, evaluated, tree, stamps):
    process, _ = stop(begun, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    go_on(begun, realear, evaluated, tree, stamps)


@linux
def test_interrupted_and_started_again(begun, realear, evaluated, tree, stamps):
    process, said = stop(begun, signal.SIGINT)
    assert process.returncode == 130
    message = "realear: interrupted: finished shards are kept, the same command goes on from there"
    assert message in said
    assert "Traceback" not in said
    go_on(begun, realear, evaluated, tree, stamps)


def test_what_a_dead_process_left_half_written_is_swept(begun, realear, evaluated, tree):
    import socket

    folder = begun / "datasets/pairs"
    shutil.rmtree(folder)
    folder.mkdir()
    left = folder / f".pairs-000000.tar.{socket.gethostname()}.{2**22 + 1}.partial"
    left.write_bytes(b"half a shard")
    # A shard whose process died before its sidecar was written does not exist.
    orphan = folder / "pairs-000001.tar"
    orphan.write_bytes(b"whole, for all that anybody knows")
    ended = realear("evaluate", begun / "suite.yaml", "--out", begun, "--workers", 1)
    assert ended.code == 0, ended.text
    assert not left.exists()
    assert tree(begun) == tree(evaluated)
