"""The guard: the run ends when a worker process dies, and says how."""

import os
import signal
import sys
import threading

import pytest

from pipelines import guard, transforms
from pipelines.engines import Engine
from pipelines.records import LostWork, Part
from pipelines.shards import sidecars

DEADLY = '''
import os, signal
from pipelines import stores
from pipelines.shards import sidecars


def do(part):
    """Die of what the payload names, or do the part."""
    if part.payload:
        os.kill(os.getpid(), getattr(signal, part.payload))
    target = f"{part.folder}/{part.stem}.txt"
    stores.write_bytes(target, b"done")
    sidecars.write(part, sidecars.facts(target), content="", clips_out=part.clips, seconds=1.0)
'''


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    (tmp_path / "deadly_work.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import deadly_work

    yield deadly_work.do
    del sys.modules["deadly_work"]


@pytest.mark.parametrize(
    ("name", "said"), [("SIGKILL", "killed by SIGKILL, out of memory"), ("SIGSEGV", "SIGSEGV")]
)
def test_a_worker_that_dies_ends_the_run_and_what_is_done_stays(deadly, tmp_path, name, said):
    folder = str(tmp_path / "out")
    # Dearest first, in two lanes: a and d, b and c.
    payloads = {"a": "", "b": "", "c": name, "d": ""}
    parts = [
        Part(folder, stem, "these", 1, 9.0 - n, payload)
        for n, (stem, payload) in enumerate(payloads.items())
    ]
    before, hook = signal.getsignal(signal.SIGINT), threading.excepthook
    with pytest.raises(LostWork, match=said):
        transforms.run("Doing", parts, deadly, Engine(workers=2))
    assert sidecars.is_current(parts[1])
    assert not sidecars.is_current(parts[2])
    assert signal.getsignal(signal.SIGINT) is before
    assert threading.excepthook is hook


def test_ctrl_c_is_the_users_also_when_workers_end_of_it():
    with pytest.raises(KeyboardInterrupt), guard.workers("Doing"):
        os.kill(os.getpid(), signal.SIGINT)


def test_another_threads_trouble_is_still_shown(capsys):
    def fail() -> None:
        raise OSError("disk full")

    with guard.workers("Doing"):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert "disk full" in capsys.readouterr().err
