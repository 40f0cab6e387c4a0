"""The guard: the run ends when a worker process dies, and says how."""

import os
import re
import signal
import sys
import threading

import pytest

from pipelines import guard, transforms, whereabouts
from pipelines.engines import Engine
from pipelines.records import LostWork, Part
from pipelines.shards import sidecars

DEADLY = '''
import os, signal, time
from pipelines import stores, whereabouts
from pipelines.shards import sidecars


def do(part):
    """Die of what the payload names, hang at a clip, or do the part."""
    if part.payload == "hang":
        whereabouts.clips(["clip-7", "clip-9"])
        time.sleep(600)
    elif part.payload:
        while not os.path.exists(f"{part.folder}/b.json"):  # which the other worker is at
            time.sleep(0.01)
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


def test_an_interruption_that_is_not_heard_is_sent_again(monkeypatch):
    """As one is not that reaches the main thread a moment before it falls asleep."""
    sent, kill = [], os.kill

    def lost_at_first(process, number):
        sent.append(number)
        if len(sent) > 1:
            kill(process, number)

    def die():
        raise RuntimeError("Worker subprocess exited with return code 7")

    monkeypatch.setattr(os, "kill", lost_at_first)
    threading.Timer(0.2, die).start()
    with pytest.raises(LostWork, match="ended with exit code 7"), guard.workers("Doing"):
        threading.Event().wait(20)
    assert sent == [signal.SIGINT] * 2


def hanging(folder, label, deadly, engine):
    """A part that ends, then one that hangs; what is said of it."""
    parts = [
        Part(str(folder), stem, "these", 2, seconds, payload)
        for stem, seconds, payload in (("a-000000", 9.0, ""), ("a-000001", 8.0, "hang"))
    ]
    with pytest.raises(LostWork) as stopped:
        transforms.run(label, parts, deadly, engine)
    assert sidecars.is_current(parts[0])
    assert not sidecars.is_current(parts[1])
    return str(stopped.value)


def test_a_clip_that_takes_too_long_ends_the_run_by_name(deadly, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(whereabouts, "PATIENCE", 0.5)
    said = hanging(tmp_path / "out", "Doing", deadly, Engine(workers=2, timeout=2.0))
    assert "Doing: a-000001, clip clip-7 and 1 more has taken " in said
    assert "--timeout allows 2 s" in said
    told = " ".join(capsys.readouterr().err.split())
    assert re.search(r"a-000001, clip clip-7 and 1 more has taken 1 s so far, in process \d+", told)


def test_a_clip_of_the_only_process_ends_the_run_too(deadly, tmp_path):
    said = hanging(tmp_path / "out", "Doing", deadly, Engine(workers=1, timeout=1.0))
    assert "a-000001, clip clip-7 and 1 more has taken" in said


def test_nothing_is_noted_where_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whereabouts.shard("a-000000")
    whereabouts.clips(["clip"])
    assert not list(tmp_path.iterdir())


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
