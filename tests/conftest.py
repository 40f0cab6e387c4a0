"""What tests of several packages share: the command, and folders made once for all workers."""

import contextlib
import fcntl
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and everything that it said."""

    code: int
    text: str


class _Exit(BaseException):
    """In the place of os._exit, which would end the tests as well."""


@contextlib.contextmanager
def _captured(arguments: tuple[str, ...], into: io.StringIO):
    """Command line, output and `os._exit` as a process of its own would have them."""
    before = sys.argv, os._exit, dict(os.environ)
    sys.argv, os._exit = ["realear", *arguments], _leave
    try:
        with contextlib.redirect_stdout(into), contextlib.redirect_stderr(into):
            yield
    finally:
        sys.argv, os._exit = before[:2]
        os.environ.clear()
        os.environ.update(before[2])


def _leave(code: int) -> None:
    raise _Exit(code)


def run_realear(*arguments: object) -> Ended:
    """The `realear` command in this process: quick, with its exit code and its words."""
    from pipelines import cli

    said = io.StringIO()
    code = 0
    with _captured(tuple(map(str, arguments)), said):
        try:
            cli.main()
        except _Exit as end:
            code = end.args[0]
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Ended(code, said.getvalue())


@pytest.fixture(scope="session")
def realear() -> Callable[..., Ended]:
    return run_realear


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: a folder that `make` fills once, however many workers ask for it."""
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent

    def get(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return get
