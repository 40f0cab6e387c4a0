"""What tests of several packages share: the command, and folders made once for all workers."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Two test processes on two cores: each with two threads, they would wait for each other most of the
# time. Before anything imports numpy or torch; commands that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


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


@pytest.fixture(scope="session")
def doubles() -> Iterator[Path]:
    """The folder of the models for tests, importable here and on workers."""
    folder = Path(__file__).parent / "doubles"
    before = os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), before]))
    yield folder
    sys.path.remove(str(folder))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def small_suite(*, shards: int = 3) -> dict[str, Any]:
    """A suite of all three tasks and of synthetic and simulated speech, as small as can be."""

    def dataset(domain: str, **recipe: Any) -> dict[str, Any]:
        return {"domain": domain, "shards": shards, "recipe": recipe, "licence": "CC0-1.0"}

    texts = ["Ten green bottles.", "A cold wind blew.", "Please close the door."]
    readings = {"kind": "readings", "texts": texts, "readings_per_text": 3}
    scenes = {"kind": "scenes", "of": ["readings"]}
    noise = {"kinds": ["white"], "snr_db": [5, 15]}
    return {
        "name": "small",
        "datasets": {
            "readings": dataset("synthetic", **readings),
            "pairs": dataset("synthetic", **scenes, talkers=2, clips=7, sample_rate=8_000),
            "noisy": dataset("simulated", **scenes, clips=8, noise=noise),
        },
        "models": {"slow": {"model": "doubles:Slow"}},
        "comparisons": {
            "words": {
                "task": "recognition",
                "models": ["pocketsphinx-narrow"],
                "metrics": {"wer": {"normaliser": "basic"}, "cer": {"normaliser": "basic"}},
                "synthetic": ["readings"],
            },
            "voices": {
                "task": "separation",
                "models": ["oracle-irm"],
                "metrics": {"si_snri": {}, "stoi": {}},
                "synthetic": ["pairs"],
            },
            "noise": {
                "task": "enhancement",
                "models": ["wiener", "slow"],
                "metrics": {"pesq": {}, "si_snr": {}},
                "simulated": ["noisy"],
            },
        },
    }


@pytest.fixture(scope="session")
def suite_file() -> Callable[..., Path]:
    """Write a suite, the small one by default, into a folder; JSON is YAML, too."""

    def write(folder: Path, suite: dict[str, Any] | None = None, **options: int) -> Path:
        path = folder / "suite.yaml"
        path.write_text(json.dumps(suite or small_suite(**options)))
        return path

    return write


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """The small suite, three shards a dataset: copy it before changing it."""
    return small_suite()


@pytest.fixture(scope="session")
def evaluated(once, realear, doubles, suite_file) -> Path:
    """A workspace in which the small suite was evaluated by one worker; not to be changed."""

    def make(folder: Path) -> None:
        ended = realear("evaluate", suite_file(folder), "--out", folder, "--workers", 1)
        assert ended.code == 0, ended.text

    return once("evaluated", make)


LASTING = ("datasets", "predictions", "scores")  # what two equal runs agree on, byte for byte


def tree_of(workspace: Path) -> dict[str, str]:
    """Every lasting file's hash by name; what is half-written is not lasting."""
    return {
        str(path.relative_to(workspace)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in LASTING
        for path in sorted((workspace / part).rglob("*"))
        if path.is_file() and path.suffix != ".partial"
    }


def stamps_of(workspace: Path) -> dict[str, tuple[int, int]]:
    """Every lasting file's inode and time of change: both differ once it is written again."""
    found = {name: (workspace / name).stat() for name in tree_of(workspace)}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, str]]:
    return tree_of


@pytest.fixture(scope="session")
def stamps() -> Callable[[Path], dict[str, tuple[int, int]]]:
    return stamps_of
