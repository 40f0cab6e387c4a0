"""Kills at random moments of an evaluation, and what the next run makes of the rest.

`python -m tests.faults` does the trials and prints the table of `docs/reliability.md`. Each starts
`realear evaluate` (prepare, generate, predict, score, page) with two workers in an empty folder,
waits until some of its shards are there and a moment longer, and kills one process by SIGKILL: the
launcher, a worker or the server that forks workers. Then the same command runs again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

SEED, TRIALS = 11, 50
VICTIMS = ("launcher", "worker", "worker", "fork server")
PAUSE = 0.6  # seconds: the kill comes at most so long after a shard is finished
GRACE = 5.0  # seconds that a worker may outlive its launcher
STEPS = {"prepare": "datasets/speech/*.json", "generate": "datasets/noisy/*.json",
         "predict": "predictions/*/*/*.json", "score": "scores/*/*/*/*.json"}  # fmt: skip
LASTING = ("datasets", "predictions", "scores")  # what two equal runs agree on, byte for byte
START = "from pipelines.cli import main; main()"
DOUBLES = Path(__file__).parent / "doubles"
CLIPS, SHARDS, RATE = 12, 4, 8_000
METRICS = ("si_snr", "estoi")
WHOLE = SHARDS * (3 + len(METRICS))  # shards of an evaluation, all steps together


@dataclass(frozen=True)
class Trial:
    """What is killed, and when: after so many finished shards, and seconds after that."""

    number: int
    victim: str
    shards: int
    seconds: float

    @classmethod
    def draw(cls, number: int, seed: int = SEED) -> Trial:
        """The trial of this number; it depends on nothing else."""
        chance = random.Random(f"{seed}/{number}")
        when = chance.randrange(WHOLE), chance.uniform(0, PAUSE)
        return cls(number, chance.choice(VICTIMS), *when)


@dataclass(frozen=True)
class Ended:
    """How a trial ended; `wrong` names what should not be, and is empty if all is well."""

    trial: Trial
    killed: str
    step: str  # that was under way
    code: int  # of the run that was disturbed
    stood: int  # shards that were finished when it ended
    wrong: tuple[str, ...]


def suite(folder: Path) -> Path:
    """A suite with a prepared and a generated dataset, a slow model, two metrics."""
    (folder / "recordings").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(CLIPS):
        sound = rng.integers(-9_000, 9_000, RATE).astype(np.int16)
        soundfile.write(folder / f"recordings/{number % 4}_{number}.wav", sound, RATE)
    corpus = {"folder": f"{folder}/recordings", "audio": "{speaker}_{take}.wav"}
    noise = {"kinds": ["white"], "snr_db": [5, 15]}
    scenes = {"kind": "scenes", "of": ["speech"], "clips": CLIPS, "noise": noise}
    asked = {"task": "enhancement", "models": ["slow"], "metrics": {name: {} for name in METRICS}}
    file = folder / "suite.yaml"
    content = {
        "name": "faults",
        "datasets": {
            "speech": {"domain": "real", "shards": SHARDS, "corpus": corpus},
            "noisy": {"domain": "simulated", "shards": SHARDS, "recipe": scenes},
        },
        "models": {"slow": {"model": "doubles:Slow"}},
        "comparisons": {"noise": {**asked, "simulated": ["noisy"]}},
    }
    file.write_text(json.dumps(content))
    return file


def start(file: Path, out: Path, command: str = "evaluate", *options: str) -> subprocess.Popen[str]:
    """`realear COMMAND` with two workers, as a process of its own."""
    path = os.pathsep.join([str(DOUBLES), *filter(None, [os.environ.get("PYTHONPATH")])])
    if command == "evaluate" and "--tracking" not in options:
        options = ("--tracking", "none", *options)
    words = (command, file, "--out", out, "--workers", "2", *options)
    return subprocess.Popen(
        [sys.executable, "-P", "-c", START, *words],
        env={"DOUBLES_SECONDS": "0.05", **os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finished(file: Path, out: Path, command: str = "evaluate", *options: str) -> tuple[int, str]:
    """Run to the end: exit code, and what was said."""
    process = start(file, out, command, *options)
    said, _ = process.communicate()
    return process.returncode, said


def lasting(out: Path) -> Iterator[Path]:
    """Files that every run must agree on; what is half-written is none yet."""
    for part in LASTING:
        for path in sorted((out / part).rglob("*")):
            if path.is_file() and path.suffix != ".partial":
                yield path


def tree(out: Path) -> dict[str, str]:
    """SHA-256 of every lasting file by name."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in lasting(out)
    }


def sidecars(out: Path, pattern: str = "*/**/*.json") -> dict[Path, tuple[int, int]]:
    """Sidecars with inode and time of change: both differ once one is written again."""
    found = [path for path in out.glob(pattern) if re.search(r"-\d{6}$", path.stem)]
    stats = {path: path.stat() for path in found if path.parts[len(out.parts)] in LASTING}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def step(out: Path) -> str:
    """The first step that has not finished all of its shards."""
    for name, pattern in STEPS.items():
        if len(sidecars(out, pattern)) < SHARDS * (len(METRICS) if name == "score" else 1):
            return name
    return "page"


def processes(launcher: int) -> dict[str, list[int]]:
    """A launcher's fork server and workers, from /proc."""
    named: dict[int, tuple[bytes, int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = (path / "comm").read_bytes()
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        named[int(path.name)] = name, parent
    servers = [n for n, (name, of) in named.items() if (name, of) == (b"realear-forks\n", launcher)]
    workers = [
        n for n, (name, of) in named.items() if name == b"realear-worker\n" and of in servers
    ]
    return {"launcher": [launcher], "fork server": servers, "worker": workers}


def alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def disturb(process: subprocess.Popen[str], trial: Trial, out: Path) -> tuple[str, str, list[int]]:
    """Kill the trial's victim at its moment: who died, the step under way, the workers there were.

    Where there is no such process yet, or no work left for it, the launcher dies in its place.
    """
    due = wait_for(lambda: process.poll() is not None or len(sidecars(out)) >= trial.shards, 200)
    assert due, "it has come to a stop"
    time.sleep(trial.seconds)
    found, under_way = processes(process.pid), step(out)
    name = trial.victim if found[trial.victim] and under_way != "page" else "launcher"
    try:
        os.kill(random.Random(trial.number).choice(found[name]), signal.SIGKILL)
    except ProcessLookupError:  # it had ended by itself since we looked
        name = "launcher"
        process.kill()
    return name, under_way, found["worker"]


def attempt(trial: Trial, file: Path, out: Path, undisturbed: dict[str, str]) -> Ended:
    """One trial in an empty folder."""
    process = start(file, out)
    killed, under_way, workers = disturb(process, trial, out)
    said, _ = process.communicate()
    wrong = []
    if not wait_for(lambda: not any(map(alive, workers)), GRACE):
        wrong.append("workers outlive their launcher")
    # 0: a worker that had just done its part, or a server that nobody needed any more.
    if process.returncode not in ((-signal.SIGKILL,) if killed == "launcher" else (0, 4)):
        wrong.append(f"ended with {process.returncode}: {said[-300:]}")
    if process.returncode == 4 and "killed by SIGKILL" not in said:
        wrong.append(f"tells no cause: {said[-300:]}")
    before = sidecars(out)
    code, said = finished(file, out)
    if code:
        wrong.append(f"the second run ended with {code}: {said[-300:]}")
    wrong += compare(out, undisturbed, before)
    return Ended(trial, killed, under_way, process.returncode, len(before), tuple(wrong))


def compare(
    out: Path, undisturbed: dict[str, str], before: dict[Path, tuple[int, int]]
) -> list[str]:
    """What differs from the undisturbed run, was done twice, counted twice or left lying."""
    found, after = tree(out), sidecars(out)
    names = sorted(found.items() ^ undisturbed.items())
    wrong = [f"differs: {name}" for name in dict(names)]
    wrong += [f"done twice: {path.name}" for path in before if after.get(path) != before[path]]
    wrong += [f"left: {path.name}" for path in out.rglob("*.partial")]
    wrong += [f"left: {path.name}" for path in (out / "timings").glob("*")]
    timed = pq.ParquetFile(out / "timings.parquet").read(["shard"])["shard"].to_pylist()
    if sorted(timed) != [f"noisy-{number:06d}" for number in range(SHARDS)]:
        wrong.append(f"times of {timed}")
    return wrong


def trials(numbers: range, folder: Path, seed: int = SEED) -> Iterator[Ended]:
    """Trials one after another; the undisturbed run comes first."""
    file = suite(folder)
    code, said = finished(file, folder / "undisturbed")
    if code:
        raise AssertionError(said)
    undisturbed = tree(folder / "undisturbed")
    for number in numbers:
        yield attempt(Trial.draw(number, seed), file, folder / f"{number}", undisturbed)
        shutil.rmtree(folder / f"{number}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    print(f"| trial | killed | after shards + s | during | exit | of {WHOLE} shards stood | then |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for each in trials(range(1, asked.trials + 1), Path(folder), asked.seed):
            trial, verdict = each.trial, "; ".join(each.wrong) or "identical"
            bad += bool(each.wrong)
            print(
                f"| {trial.number} | {each.killed} | {trial.shards} + {trial.seconds:.2f} | "
                f"{each.step} | {each.code} | {each.stood} | {verdict} |",
                flush=True,
            )
    print(f"\n{asked.trials - bad} of {asked.trials} identical, seed {asked.seed}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
