"""Publication: what stands under its final name is whole."""

import hashlib
import io
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from pipelines import stores


def dead_process() -> int:
    """The id of a process that has just ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_bytes_come_back(tmp_path):
    target = str(tmp_path / "deep" / "er" / "file")
    stores.write_bytes(target, b"one")
    stores.write_bytes(target, b"two!")
    assert stores.read_bytes(target) == b"two!"
    assert stores.size(target) == 4
    assert stores.sha256(target) == hashlib.sha256(b"two!").hexdigest()
    assert names(tmp_path / "deep" / "er") == ["file"]


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    target = str(tmp_path / "file")
    stores.write_bytes(target, b"whole")

    def fail() -> None:
        with stores.partial(target) as name:
            Path(name).write_bytes(b"hal")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert stores.read_bytes(target) == b"whole"
    assert names(tmp_path) == ["file"]


def test_who_reads_meanwhile_reads_the_old_file_whole(tmp_path):
    target = str(tmp_path / "file")
    stores.write_bytes(target, b"old")
    with stores.open_read(target) as reader:
        stores.write_bytes(target, b"new")
        assert reader.read() == b"old"
    assert stores.read_bytes(target) == b"new"


def test_the_disk_is_told_to_begin_and_nothing_is_lost(tmp_path):
    with stores.partial(str(tmp_path / "a")) as name, Path(name).open("wb") as file:
        file.write(b"x" * 10_000)
        stores.hasten(file, 0, 10_000)
        assert Path(name).stat().st_size == 10_000  # it has left our own buffer
        file.write(b"y")
    assert (tmp_path / "a").read_bytes() == b"x" * 10_000 + b"y"
    stores.hasten(io.BytesIO(), 0, 1)  # no disk to tell


def test_nothing_stands_under_the_name_before_the_end(tmp_path):
    target = str(tmp_path / "file")
    with stores.partial(target) as name:
        Path(name).write_bytes(b"x")
        assert not stores.exists(target)
        assert Path(name).parent == tmp_path  # a rename must not cross file systems
        assert Path(name).name.startswith(".")
    assert stores.exists(target)


def test_equal_values_are_equal_json_bytes(tmp_path):
    for name, value in {"a": {"x": 1, "é": [2.5, None]}, "b": {"é": [2.5, None], "x": 1}}.items():
        stores.write_json(str(tmp_path / name), value)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "é" in (tmp_path / "a").read_text(encoding="utf-8")


def test_json_survives_bytes_that_were_not_utf8(tmp_path):
    stores.write_json(str(tmp_path / "a"), {"text": "caf\udce9"})
    assert stores.read_json(str(tmp_path / "a")) == {"text": "caf\udce9"}
    json.loads((tmp_path / "a").read_text(encoding="utf-8"))


def test_what_is_not_there(tmp_path):
    missing = str(tmp_path / "missing")
    assert not stores.exists(missing)
    assert stores.size(missing) == -1
    stores.remove(missing)  # no error
    assert stores.listing(missing) == []
    with pytest.raises(FileNotFoundError):
        stores.read_bytes(missing)


def test_listing_is_sorted_and_holds_files_alone(tmp_path):
    for name in ("b.tar", "a.tar", "c.json"):
        (tmp_path / name).touch()
    (tmp_path / "d.tar").mkdir()
    assert stores.listing(str(tmp_path), "*.tar") == [f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"]


def test_sweep_removes_what_dead_processes_of_this_machine_left(tmp_path):
    here, dead = socket.gethostname(), dead_process()
    left = {
        f".x.tar.{here}.{dead}.partial": False,
        f".x.tar.{here}.{os.getpid()}.partial": True,  # somebody is writing it
        f".x.tar.elsewhere.{dead}.partial": True,  # another machine's: we cannot know
        f"x.tar.{here}.{dead}.partial": True,  # a user's own file
        "x.tar": True,
    }
    for name in left:
        (tmp_path / name).touch()
    stores.sweep(str(tmp_path))
    assert {name: (tmp_path / name).exists() for name in left} == left


def test_sweep_of_no_folder_does_nothing(tmp_path):
    stores.sweep(str(tmp_path / "nowhere"))
