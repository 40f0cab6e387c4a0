"""The Beam wiring: every part is done once, or the run says why not and keeps what it has."""

import os
import sys
import textwrap
from dataclasses import replace

import pytest

from pipelines import engines, transforms
from pipelines.engines import Engine
from pipelines.records import LostWork, Part, RealEarError
from pipelines.shards import sidecars
from pipelines.shards.sidecars import DamagedShard

# A module of its own: worker processes import the work function by its name.
CHORES = '''
from pathlib import Path

from pipelines import stores
from pipelines.records import Joint
from pipelines.shards import sidecars


def do(part):
    """What the payload says; every call leaves a trace."""
    with Path(part.folder, "calls.txt").open("a") as file:
        file.write(part.stem + "\\n")
    if part.payload == "damaged":
        raise sidecars.DamagedShard("shard seven:\\nits bytes differ")
    if part.payload == "bug":
        raise KeyError("no such clip")
    if part.payload != "lost":
        leave(part)


def do_jointly(parts):
    """The same of parts with one payload; one trace of them all."""
    with Path(parts[0].folder, "calls.txt").open("a") as file:
        file.write("+".join(part.stem for part in parts) + "\\n")
    for part in parts:
        leave(part)


def payload(part):
    return part.payload


joint = Joint(do_jointly, payload)


def leave(part):
    target = f"{part.folder}/{part.stem}.txt"
    stores.write_bytes(target, part.inputs.encode())
    facts = sidecars.facts(target)
    sidecars.write(part, facts, content=part.inputs, clips_out=part.clips, seconds=1.0)
'''


@pytest.fixture(scope="module")
def do(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "chores_of_the_tests.py").write_text(textwrap.dedent(CHORES))
    before = dict(os.environ)
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    from chores_of_the_tests import do

    yield do
    sys.path.remove(str(folder))
    del sys.modules["chores_of_the_tests"]
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(params=[1, 2], ids=["in this process", "two processes"])
def engine(request) -> Engine:
    return engines.engine("local", request.param)


def parts_in(folder, *payloads: str, inputs: str = "these") -> list[Part]:
    folder.mkdir(exist_ok=True)
    return [
        Part(str(folder), f"part-{n}", inputs, 2, float(n), payload)
        for n, payload in enumerate(payloads)
    ]


def calls(folder) -> list[str]:
    trace = folder / "calls.txt"
    return sorted(trace.read_text().split()) if trace.exists() else []


def test_every_part_is_done_once_and_counted(do, engine, tmp_path, capsys):
    parts = parts_in(tmp_path, *[""] * 5)
    assert transforms.run("Try", parts, do, engine) == 5
    assert calls(tmp_path) == [part.stem for part in parts]
    assert all(sidecars.is_current(part) for part in parts)
    assert "5/5 shards · 10 clips" in capsys.readouterr().err


def test_parts_that_share_something_are_done_in_one_go(do, engine, tmp_path):
    from chores_of_the_tests import joint

    parts = parts_in(tmp_path, "a", "b", "a", "b", "a")
    do(parts[0])
    assert transforms.run("Try", parts, joint, engine) == 4
    assert calls(tmp_path) == ["part-0", "part-1+part-3", "part-2+part-4"]
    assert all(sidecars.is_current(part) for part in parts)
    joint(replace(parts[0], inputs="others"))
    assert calls(tmp_path)[:2] == ["part-0", "part-0"]


def test_what_is_there_is_not_done_again(do, tmp_path, capsys):
    engine = Engine()
    first, second = parts_in(tmp_path, *[""] * 4)[:2], parts_in(tmp_path, *[""] * 4)
    assert transforms.run("Try", first, do, engine) == 2
    assert transforms.run("Try", second, do, engine) == 2
    assert "2/2 shards, 2 were there" in capsys.readouterr().err
    assert transforms.run("Try", second, do, engine) == 0
    assert "Try: all 4 shards up to date" in capsys.readouterr().err
    assert calls(tmp_path) == [part.stem for part in second]


def test_other_inputs_or_a_cut_file_are_done_again(do, tmp_path):
    engine = Engine()
    transforms.run("Try", parts_in(tmp_path, "", "", ""), do, engine)
    changed = parts_in(tmp_path, "", "", "")
    changed[1] = parts_in(tmp_path, "", "", "", inputs="other")[1]
    (tmp_path / "part-2.txt").write_bytes(b"th")
    assert transforms.run("Try", changed, do, engine) == 2
    assert (tmp_path / "part-1.txt").read_text() == "other"
    assert (tmp_path / "part-2.txt").read_text() == "these"


def test_nothing_to_do_is_nothing_said(do, capsys):
    assert transforms.run("Try", [], do, Engine()) == 0
    assert capsys.readouterr().err == ""


def test_a_missing_result_is_lost_work(do, tmp_path):
    parts = parts_in(tmp_path, "", "lost", "", "")
    with pytest.raises(LostWork, match=r"Try: expected 4 results, 1 are missing .*/part-1: run"):
        transforms.run("Try", parts, do, Engine())
    assert [sidecars.is_current(part) for part in parts] == [True, False, True, True]


def test_an_exception_on_a_worker_ends_the_run_with_its_cause(do, engine, tmp_path):
    # Each lane goes from dear to cheap: the first parts of both are done before the one that fails.
    parts = parts_in(tmp_path, "bug", "", "", "", "", "")
    with pytest.raises(Exception, match=r"KeyError|no such clip") as caught:
        transforms.run("Try", parts, do, engine)
    assert "no such clip" in str(caught.value)
    assert "Do parts" in str(caught.value)
    assert not isinstance(caught.value, RealEarError)
    finished = [part for part in parts if sidecars.is_current(part)]
    assert finished
    assert not sidecars.is_current(parts[0])
    mended = parts_in(tmp_path, *[""] * 6)
    assert transforms.run("Try", mended, do, Engine()) == 6 - len(finished)


def test_a_mistake_to_mend_comes_back_as_what_it_was(do, engine, tmp_path):
    with pytest.raises(DamagedShard) as caught:
        transforms.run("Try", parts_in(tmp_path, "damaged", "", ""), do, engine)
    assert str(caught.value) == "shard seven:\nits bytes differ"


def test_half_written_files_of_the_dead_are_swept(do, tmp_path):
    import socket

    dead = tmp_path / f".part-0.txt.{socket.gethostname()}.{2**22 + 1}.partial"
    alive = tmp_path / f".part-0.txt.{socket.gethostname()}.{os.getppid()}.partial"
    for path in (dead, alive):
        path.write_bytes(b"half")
    transforms.run("Try", parts_in(tmp_path, ""), do, Engine())
    assert not dead.exists()
    assert alive.exists()
    dead.write_bytes(b"half")  # left after the last part, by who writes the tables
    assert transforms.run("Try", parts_in(tmp_path, ""), do, Engine()) == 0
    assert not dead.exists()


@pytest.mark.parametrize(
    ("asked", "audio", "expected"), [(0, 50.0, 1), (0, 70.0, 2), (2, 1.0, 2)]
)  # seconds of audio a part, of two parts
def test_a_little_work_needs_no_worker_processes_unless_asked_for(
    asked, audio, expected, monkeypatch, tmp_path
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    parts = [Part(str(tmp_path), f"part-{n}", "these", 1, audio, "") for n in range(2)]
    assert transforms._fitting(parts, "cpu", engines.engine("local", asked)).workers == expected
