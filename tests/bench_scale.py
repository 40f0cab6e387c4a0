"""What an hour of audio costs at every step, and what ten times the clips cost in memory.

`python -m tests.bench_scale`: processor seconds and bytes an hour of audio (16 kHz, readings of 2
to 5 s), each step in this process, one thread, without the start of anything: the table that
`docs/scale.md` reckons with. Then the peak memory of the largest process of a whole `realear
evaluate` on some clips and on ten times as many.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile

from pipelines import evaluate, make, predict, score, tasks
from pipelines.config import Suite, parse_suite
from pipelines.engines import Engine
from pipelines.records import Part
from pipelines.workspace import Workspace
from tests import faults
from tests.bench_evaluate import REALEAR, suite
from tests.bench_prepare import speechlike

READINGS, NOISY = 2, 160  # voices a sentence, clips in noise
FEW = 200  # clips, and ten times as many


class Costs:
    """Processor seconds and bytes by step."""

    def __init__(self, hours: float) -> None:
        self.hours = hours

    def tell(self, step: str, seconds: float, folder: str, hours: float = 0.0) -> None:
        """A line of the table."""
        hours = hours or self.hours
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(f"{step:<34} {seconds / hours:10.1f} s {size / hours / 1e6:10.2f} MB", flush=True)


def busy(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    started = time.process_time()
    with contextlib.redirect_stderr(io.StringIO()):
        work()
    return time.process_time() - started


def steps(folder: Path, sizes: tuple[int, int]) -> None:
    """Every step of an evaluation, part by part."""
    loaded: Suite = parse_suite(suite(sizes), "bench")
    work, engine = Workspace(str(folder / "work")), Engine(workers=1)
    made: dict[str, make.Made] = {}
    for name, title in (("readings", "generate: read aloud"), ("noisy", "generate: in noise")):
        config = loaded.datasets[name]
        took = busy(lambda: made.update({name: make.make(name, config, work, engine, made)}))  # noqa: B023
        card = made[name].card
        Costs(card.seconds / 3600).tell(title, took, made[name].folder)
    cells = evaluate.plan_cells(loaded, made, evaluate.check_models(loaded))
    for cell in cells:
        asked, card = cell.handling, cell.made.card
        costs = Costs(card.seconds / 3600)
        model = asked.load()
        parts = predict.plan(work, card, asked)
        took = busy(lambda: [predict.predict_shard(p, model, tasks.get(asked.task)) for p in parts])  # noqa: B023
        costs.tell(f"predict: {asked.model}", took, work.predictions(asked.chain, card.name))
    by_metric: dict[str, list[Part]] = {}
    for part in evaluate.score_parts(cells, work):
        by_metric.setdefault(part.payload.metric, []).append(part)
    for metric, parts in by_metric.items():
        took = busy(lambda: [score.score_shard([part]) for part in parts])  # noqa: B023
        Costs(sum(part.seconds for part in parts) / 3600).tell(
            f"score: {metric}", took, parts[0].folder
        )


def recordings(folder: Path, clips: int) -> None:
    """One long sound in pieces of a second, at 8 kHz."""
    import numpy as np

    folder.mkdir(parents=True)
    sound = speechlike(np.random.default_rng(0), 30.0)
    for number in range(clips):
        start = number * 97 % (len(sound) - faults.RATE)
        piece = sound[start : start + faults.RATE]
        soundfile.write(folder / f"{number % 40}_{number}.wav", piece, faults.RATE)


def preparing(folder: Path, clips: int) -> None:
    """Sharding as FLAC, and of the bytes as they are."""
    recordings(folder / "recordings", clips)
    corpus = {"folder": f"{folder}/recordings", "audio": "{speaker}_{take}.wav"}
    for form in ("flac", "original"):
        content = {"domain": "real", "corpus": corpus, "format": form}
        config = parse_suite(
            {**suite((1, 1)), "datasets": {**suite((1, 1))["datasets"], "own": content}}, "bench"
        ).datasets["own"]
        work = Workspace(str(folder / form))
        took = busy(lambda: make.make("own", config, work, Engine(workers=1), {}))  # noqa: B023
        Costs(clips / 3600).tell(f"prepare: {form}, 8 kHz, 1 s a clip", took, work.dataset("own"))


def evaluated_in(folder: Path, clips: int) -> float:
    """MB of the largest process of a whole evaluation with two workers, of so many clips."""
    folder = folder / f"{clips}"
    recordings(folder / "recordings", clips)
    file = faults.suite(folder / "suite")
    content = json.loads(file.read_text())
    content["datasets"]["speech"]["corpus"]["folder"] = f"{folder}/recordings"
    content["datasets"]["noisy"]["recipe"]["clips"] = clips
    for each in content["datasets"].values():
        each["shards"] = max(4, clips // 50)
    content["models"] = {}
    content["comparisons"]["noise"] |= {"models": ["wiener"], "metrics": {"si_snr": {}}}
    file.write_text(json.dumps(content))
    small = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stderr=-3); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    words = ["evaluate", str(file), "--out", str(folder / "out"), "--workers", "2"]
    command = [sys.executable, "-c", small, *REALEAR, *words, "--tracking", "none"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(ended.stdout.split()[-1]) / 1024


def main() -> None:
    """The table, then the memory."""
    sizes = [int(word) for word in sys.argv[1:4]] or [READINGS, NOISY, FEW]
    print("\nan hour of audio: processor time, and what is stored\n")
    with tempfile.TemporaryDirectory() as name:
        preparing(Path(name), 10 * sizes[2])
        steps(Path(name), (sizes[0], sizes[1]))
        few, many = (evaluated_in(Path(name), clips) for clips in (sizes[2], 10 * sizes[2]))
    what = f"memory of evaluating {10 * sizes[2]:,} clips"
    print(f"{what:<46} {many / few:6.2f} × that of {sizes[2]:,} ({many:.0f} MB)", flush=True)


if __name__ == "__main__":
    main()
