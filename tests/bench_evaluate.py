"""A whole evaluation against a loop of one's own: `python -m tests.bench_evaluate`.

The same clips, models and metrics: pocketsphinx on readings by WER; a Wiener filter on noisy
readings by PESQ, STOI and SI-SNR. Ours is `realear evaluate` with one worker and with two, from
datasets that are there to the board's page, every process's start included. The peers are a loop
(soundfile, pesq, pystoi, jiwer, torchmetrics) over the same clips as files, which writes its
answers as files and one line of means, and `multiprocessing.Pool(2)` of that loop's body; a thread
a process, as ours, so that a core is compared with a core. Their means are compared with ours
before anything is told. Beside the clock stands processor time, which other work on the machine
disturbs less. The start is the same for any number of clips: on few of them it is most of what
differs.
"""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

RATE = 16_000  # Hz
READINGS, NOISY = 6, 720  # by how many voices each of forty sentences is read; clips in noise
ROUNDS = 2  # of all ways, in turn: a slow minute of a shared machine falls on one of a way's runs
REALEAR = [sys.executable, "-P", "-c", "from pipelines.cli import main; main()"]
TOLERANCE = {"wer": 1e-12, "pesq": 1e-6, "stoi": 1e-8, "si_snr": 1e-3}


def suite(clips: tuple[int, int]) -> dict[str, Any]:
    """Readings, and the same in noise."""
    readings = {
        "kind": "readings",
        "readings_per_text": clips[0],
        "sentences": 40,
        "sample_rate": RATE,
    }
    scenes = {"kind": "scenes", "of": ["readings"], "clips": clips[1], "sample_rate": RATE}
    noise = {"kinds": ["pink"], "snr_db": [0, 15]}
    return {
        "name": "bench",
        "datasets": {
            "readings": {"domain": "synthetic", "recipe": readings},
            "noisy": {"domain": "simulated", "recipe": {**scenes, "noise": noise}},
        },
        "comparisons": {
            "words": {
                "task": "recognition",
                "models": ["pocketsphinx"],
                "metrics": {"wer": {"normaliser": "basic"}},
                "synthetic": ["readings"],
            },
            "noise": {
                "task": "enhancement",
                "models": ["wiener"],
                "metrics": {"pesq": {}, "stoi": {}, "si_snr": {}},
                "simulated": ["noisy"],
            },
        },
    }


def prepare(folder: Path, clips: tuple[int, int]) -> Path:
    """The datasets in a workspace, and every clip's members as files for the peers."""
    file = folder / "suite.yaml"
    file.write_text(json.dumps(suite(clips)))
    run([*REALEAR, "generate", str(file), "--out", str(folder / "work")])
    for name in ("readings", "noisy"):
        for shard in sorted((folder / f"work/datasets/{name}").glob("*.tar")):
            with tarfile.open(shard) as tar:
                tar.extractall(folder / name, filter="data")
    return file


def run(command: Sequence[str]) -> str:
    """A command's output; an error if it failed."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=given).stdout


class Loop:
    """The loop's body, as one writes it: models and metrics ready, a clip a call."""

    def __init__(self, folder: Path) -> None:
        import models

        self.folder = folder
        self.answers = folder / "answers"
        self.answers.mkdir(exist_ok=True)
        self.recogniser = models.create("pocketsphinx")
        self.enhancer = models.create("wiener")
        for model in (self.recogniser, self.enhancer):
            model.load()

    def words(self, path: Path) -> tuple[str, str]:
        """What was said and what was heard."""
        import soundfile

        signal, _ = soundfile.read(path, dtype="float32")
        [heard] = self.recogniser.transcribe([signal])
        (self.answers / f"{path.stem}.txt").write_text(heard)
        return path.with_suffix(".txt").read_text(), heard

    def noise(self, path: Path) -> tuple[float, float, float]:
        """PESQ, STOI, SI-SNR in dB."""
        import pesq
        import pystoi
        import soundfile
        import torch
        from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio

        noisy, rate = soundfile.read(path, dtype="float32")
        clean, _ = soundfile.read(path.with_suffix(".clean.flac"))
        [enhanced] = self.enhancer.enhance([noisy], sample_rate=rate)
        soundfile.write(self.answers / f"{path.stem}.wav", enhanced, rate, subtype="FLOAT")
        estimate, _ = soundfile.read(self.answers / f"{path.stem}.wav")
        ratio = scale_invariant_signal_noise_ratio(torch.tensor(estimate), torch.tensor(clean))
        return (
            float(pesq.pesq(rate, clean, estimate, "wb")),
            float(pystoi.stoi(clean, estimate, rate)),
            float(ratio),
        )


def clips(folder: Path, name: str) -> list[Path]:
    """What models hear, in order."""
    return [p for p in sorted((folder / name).glob("*.flac")) if "." not in p.stem]


_loop: list[Loop] = []  # of a process of the pool


def begin(folder: Path) -> None:
    """Make a process's loop; one thread, as ours."""
    import torch

    torch.set_num_threads(1)
    _loop.append(Loop(folder))


def call(job: tuple[str, Path]) -> Any:
    """One clip by its method's name."""
    name, path = job
    return getattr(_loop[0], name)(path)


def peer(folder: Path, processes: int) -> None:
    """Print the means, by a loop or by a pool over the very same body."""
    import jiwer
    import numpy as np

    from metrics.text import basic

    jobs = [("words", path) for path in clips(folder, "readings")]
    jobs += [("noise", path) for path in clips(folder, "noisy")]
    if processes == 1:
        begin(folder)
        found = [call(job) for job in jobs]
    else:
        with multiprocessing.Pool(processes, begin, (folder,)) as pool:
            found = pool.map(call, jobs, chunksize=4)
    said, heard = zip(*(each for each in found if len(each) == 2), strict=True)
    means = np.mean([each for each in found if len(each) == 3], axis=0)
    wer = jiwer.wer([basic(text) for text in said], [basic(text) for text in heard])
    told = dict(zip(("pesq", "stoi", "si_snr"), map(float, means), strict=True))
    print(json.dumps({"wer": wer, **told}))


def board(work: Path) -> dict[str, float]:
    """The same values from our board."""
    found = json.loads((work / "site/bench/board.json").read_text())
    values = {}
    for section in found["sections"]:
        side = "synthetic" if section["comparison"]["synthetic"] else "simulated"
        values[section["comparison"]["metric"]] = section["rows"][0][side]["value"]
    return values


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock, and of processor time of every process started."""
    clock, busy = time.perf_counter(), _busy()
    work()
    return time.perf_counter() - clock, _busy() - busy


def _busy() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ours(file: Path, folder: Path, workers: int) -> None:
    """`realear evaluate`, without what an earlier one has left but the datasets."""
    work = str(folder / "work")
    run(["rm", "-rf", *(f"{work}/{name}" for name in ("predictions", "scores", "site"))])
    words = ["--out", work, "--workers", str(workers), "--tracking", "none"]
    run([*REALEAR, "evaluate", str(file), *words])


def agree(theirs: dict[str, float], found: dict[str, float]) -> None:
    """An error unless both say the same."""
    for name, value in theirs.items():
        if not math.isclose(value, found[name], abs_tol=TOLERANCE[name]):
            raise AssertionError(f"{name}: expected the loop's {value}, found {found[name]}")


def main() -> None:
    """A line for every way, then the ratios."""
    sizes = [int(word) for word in sys.argv[1:3]] or [READINGS, NOISY]
    said: list[str] = []
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()):
        folder = Path(name)
        file = prepare(folder, (sizes[0], sizes[1]))
        loop = [sys.executable, "-m", "tests.bench_evaluate", "peer", str(folder)]
        ways: dict[str, Callable[[], object]] = {
            "a loop": lambda: said.append(run([*loop, "1"])),
            "RealEar, 1 worker": lambda: ours(file, folder, 1),
            "RealEar, 2 workers": lambda: ours(file, folder, 2),
            "multiprocessing.Pool(2)": lambda: said.append(run([*loop, "2"])),
        }
        print(
            f"\na whole evaluation, {40 * sizes[0]} readings, {sizes[1]} noisy ones\n", flush=True
        )
        times = dict.fromkeys(ways, (0.0, 0.0))
        for way, work in [*ways.items()] * ROUNDS:
            clock, busy = measured(work)
            times[way] = times[way][0] + clock, times[way][1] + busy
            print(f"{way:<46} {clock:6.1f} s, processor {busy:6.1f} s", flush=True)
        for told in said:
            agree(json.loads(told), board(folder / "work"))
    for way, against in (
        ("RealEar, 1 worker", "a loop"),
        ("RealEar, 2 workers", "a loop"),
        ("RealEar, 2 workers", "multiprocessing.Pool(2)"),
    ):
        clock, busy = (
            theirs / mine for theirs, mine in zip(times[against], times[way], strict=True)
        )
        print(f"{way:<46} {clock:6.2f} × {against} (processor time {busy:.2f} ×)", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        peer(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
