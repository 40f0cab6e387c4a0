"""Forked workers: as the command that asks for them, and ended with it, the server or us."""

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from pipelines import engines, forkserver, transforms
from pipelines.engines import Engine
from pipelines.records import LostWork, Part
from pipelines.shards import sidecars

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")

# A worker that tells of itself and ends as its module says, instead of serving Beam.
TELLING = """
import os, sys
from pipelines import worker

def main(parent):
    told = [os.environ.get("TOLD"), os.getcwd(), worker.LAUNCHER in os.environ]
    print(ascii(told), os.getppid() == parent, flush=True)
    {end}

worker.main = main
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command of a worker that ends in a certain way."""

    def make(end: str) -> str:
        (tmp_path / "telling.py").write_text(textwrap.dedent(TELLING).format(end=end))
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(engines.__file__).parent.parent}")
        return forkserver.command(engines.environment(), ["telling"])

    yield make
    forkserver.stop()


def run(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError('found nothing')", 1),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.kill(os.getpid(), 11)", -11),
    ],
)
def test_a_worker_is_as_its_command_and_ends_the_command_as_it_ends(command, tmp_path, end, code):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    ended = run(command(end), folder, TOLD="é\udcff")
    told = ["é\udcff", str(folder), True]
    assert ended.stdout == f"{told!a} True\n"
    assert ended.returncode == code
    assert ("found nothing" in ended.stderr) == ("ValueError" in end)


def test_a_server_is_kept_while_it_lives_and_the_environment_is_the_same(monkeypatch):
    first = forkserver.start(engines.environment())
    assert forkserver.start(engines.environment()) == first
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    second = forkserver.start(engines.environment())
    assert second != first
    forkserver._Server.process.kill()
    forkserver._Server.process.wait()
    assert forkserver.start(engines.environment()) not in (first, second)
    forkserver.stop()


def test_without_a_server_the_command_is_a_plain_worker(command, tmp_path):
    asked = command("pass")
    forkserver.stop()
    ended = run(asked, tmp_path)  # its own main, which wants to know whom to serve
    assert "CONTROL_API_SERVICE_DESCRIPTOR" in ended.stderr
    assert ended.returncode == 1


def test_a_killed_command_takes_its_worker_along(command, tmp_path):
    asked = command("import time; print(os.getpid(), flush=True); time.sleep(100)")
    process = subprocess.Popen(asked, shell=True, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    ends = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    assert not Path(f"/proc/{worker}").exists()


def test_a_killed_server_ends_the_run(tmp_path, monkeypatch):
    (tmp_path / "slow_work.py").write_text("import time\ndo = lambda part: time.sleep(60)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import slow_work

    def kill() -> None:
        time.sleep(2)
        forkserver._Server.process.kill()

    thread = threading.Thread(target=kill)
    parts = [Part(str(tmp_path / "out"), stem, "these", 1, 1.0, "") for stem in "ab"]
    thread.start()
    with pytest.raises(LostWork, match="killed by SIGKILL"):
        transforms.run("Doing", parts, slow_work.do, Engine(workers=2))
    thread.join()
    assert not any(map(sidecars.is_current, parts))
    del sys.modules["slow_work"]


def test_another_users_process_is_refused(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        forkserver._refuse_strangers(ours)
        monkeypatch.setattr(os, "getuid", lambda: 12_345)
        with pytest.raises(PermissionError):
            forkserver._refuse_strangers(ours)


@pytest.mark.parametrize("said", [b"", b"\0\0", b"\0\0\0\xff{"], ids=["nothing", "half", "less"])
def test_a_command_that_goes_before_it_has_asked_leaves_the_server(command, tmp_path, said):
    asked = command("pass")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.connect(forkserver._Server.address)
        gone.sendall(said)
    assert run(asked, tmp_path).returncode == 0
    assert forkserver._Server.process.poll() is None
