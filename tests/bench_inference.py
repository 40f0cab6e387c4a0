"""Asking a model about shards, against plain loops: `python -m tests.bench_inference`.

The same wav2vec 2.0 with layer norm and random weights, tiny and of the base size, answers the same
clips of very different length, on one thread. The peers are loops in one process without Beam,
shards written, digests or failures counted: clip by clip; batches of 8 in the shards' order, padded
to the longest; and batches made as ours are, which tells what the harness itself costs.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

import models
from models.base import Model
from pipelines import batches, predict, tasks, transforms
from pipelines.engines import Engine
from pipelines.predict import Handling
from pipelines.records import Part
from pipelines.shards import datasets, packing
from pipelines.shards.datasets import Card, Clip
from pipelines.shards.packing import Sample
from pipelines.workspace import Workspace
from tests.models.adapters.test_ctc import save

RATE = 16_000  # Hz
ROUNDS = 3
PADDED = 8  # clips in a batch of the plain padded loop
FRAMES = {  # wav2vec 2.0's own: a frame every 20 ms
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
SIZES = {  # clips in the loops and for the workers, and the network's sizes
    "tiny": (
        400,
        2_000,
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "conv_dim": (32,) * 7,
            **FRAMES,
        },
    ),
    "base": (
        24,
        96,
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3_072,
            "conv_dim": (512,) * 7,
            **FRAMES,
        },
    ),
}


def dataset(folder: str, clips: int, shards: int = 4) -> Card:
    """Clips of 0.5 to 20 s, most of them short."""
    Path(folder).mkdir()
    rng = np.random.default_rng(0)
    stems = [f"set-{number:06d}" for number in range(shards)]
    for number, stem in enumerate(stems):
        seconds = np.clip(rng.lognormal(1.0, 0.8, clips // shards), 0.5, 20.0)
        samples = [
            Sample(f"c{number}-{n}", {"audio": noise(rng, each)}, RATE, "a/b", text="word")
            for n, each in enumerate(seconds)
        ]
        packing.pack(Part(folder, stem, "", len(samples), float(seconds.sum()), None), samples)
    return datasets.finish(folder, datasets.About("set", "synthetic", {}), stems, "")


def noise(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(time,) int16."""
    return rng.normal(0, 3_000, int(seconds * RATE)).astype(np.int16)


def signals(folder: str, card: Card) -> Iterator[list[Clip]]:
    """The clips of every shard; decoding is the peers' work, too."""
    for shard in card.shards:
        with datasets.opened(folder, shard.stem) as clips:
            yield clips


def heard(clips: Sequence[Clip]) -> list[np.ndarray]:
    return [clip.signal(sample_rate=RATE).astype(np.float32) for clip in clips]


def singly(model: Model, folder: str, card: Card) -> None:
    """One clip after another."""
    for clips in signals(folder, card):
        for signal in heard(clips):
            model.transcribe([signal])


def padded(model: Model, folder: str, card: Card) -> None:
    """Batches of so many clips as they come, padded to the longest."""
    for clips in signals(folder, card):
        for at in range(0, len(clips), PADDED):
            model.transcribe(heard(clips[at : at + PADDED]))


def bucketed(model: Model, folder: str, card: Card) -> None:
    """The very batches that ours are, and nothing else."""
    for clips in signals(folder, card):
        for window in batches.windows(clips):
            sounds = heard(window)
            most = round(model.batch_seconds * RATE)
            for batch in batches.packed([len(sound) for sound in sounds], most):
                model.transcribe([sounds[number] for number in batch])


def ours(asked: Handling, model: Model, folder: str, card: Card) -> None:
    """Everything that a worker does with a loaded model: prediction shards and their sidecars."""
    with tempfile.TemporaryDirectory() as out:
        for part in predict.plan(Workspace(out), card, asked, dataset=folder):
            predict.predict_shard(part, model, tasks.get("recognition"))


def by_workers(asked: Handling, workers: int, folder: str, card: Card) -> float:
    """Seconds of the whole step, the start of workers and of their models included."""
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
        parts = predict.plan(Workspace(out), card, asked, dataset=folder)
        started = time.perf_counter()
        transforms.run("Predict", parts, asked, Engine(workers=workers))
        return time.perf_counter() - started


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(size: str) -> None:
    """All comparisons for one size of network."""
    clips, many, sizes = SIZES[size]
    with tempfile.TemporaryDirectory() as made:
        folder, checkpoint = f"{made}/set", str(save(Path(made) / size, **sizes))
        card = dataset(folder, clips)
        name = "models.adapters.ctc:CTC"
        asked = predict.handling(size, name, "recognition", {"checkpoint": checkpoint})
        model = models.create(name, checkpoint=checkpoint)
        model.warm_up()
        loops: dict[str, Callable[[], None]] = {
            "ours": lambda: ours(asked, model, folder, card),
            "one by one": lambda: singly(model, folder, card),
            f"padded, {PADDED} at a time": lambda: padded(model, folder, card),
            "the same batches, bare": lambda: bucketed(model, folder, card),
        }
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for loop, work in loops.items():
                times.setdefault(loop, []).append(timed(work))
        found = {loop: statistics.median(seconds) for loop, seconds in times.items()}
        for loop in list(loops)[1:]:
            what = f"wav2vec 2.0, {size}, {card.seconds / found['ours']:.0f} × real time"
            print(f"{what:<46} {found[loop] / found['ours']:6.2f} × {loop}", flush=True)
        compare_workers(size, asked, made, many)


def compare_workers(size: str, asked: Handling, made: str, clips: int) -> None:
    """One worker and two on the same shards, whole steps. What a step takes that has next to
    nothing to do stands beside them: the start of the workers and of their models.
    """
    folder, nothing = f"{made}/many", f"{made}/few"
    card, few = dataset(folder, clips, shards=16), dataset(nothing, 4)
    start = {n: by_workers(asked, n, nothing, few) for n in (1, 2)}
    whole = {n: by_workers(asked, n, folder, card) for n in (1, 2)}
    took = f"{whole[1]:.0f} s, started in {start[1]:.1f} and {start[2]:.1f} s"
    what = f"wav2vec 2.0, {size}, 2 workers"
    print(f"{what:<46} {whole[1] / whole[2]:6.2f} × 1 worker, {took}", flush=True)


def main() -> None:
    """Every comparison, a line each."""
    torch.set_num_threads(1)
    print("\nasking a model about shards, clips of 0.5 to 20 s, one thread\n")
    for size in sys.argv[1:] or SIZES:
        compare(size)


if __name__ == "__main__":
    main()
