"""Sharding against its peers over the same files: `make bench`, `python -m tests.bench_prepare`.

The corpus is made here: clips of 3 to 15 s at 16 kHz that compress like speech. Everybody's modules
are imported before; the start of our workers and of the peers' pool counts, and so do the digests,
measurements and the index that only we make. The files are in the page cache, and the disk is idle
when a clock starts. What we write is on the disk when ours stops; of the peers that is true only of
the one that says so. How long ours takes for next to nothing (two clips a worker) stands by itself.
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import webdataset as wds
from scipy.signal import lfilter

from pipelines import engines, forkserver, make
from pipelines.config import DatasetConfig
from pipelines.engines import Engine
from pipelines.shards.datasets import RandomReader
from pipelines.workspace import Workspace

RATE = 16_000  # Hz
CLIPS = 8_000
ROUNDS = 3
EMPTY = "start and end, 2 workers"


def speechlike(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(time,) int16: noise with syllables and pauses; FLAC halves it, as it does speech."""
    size = int(seconds * RATE)
    sound = lfilter([1.0], [1.0, -1.6, 0.9], rng.standard_normal(size))
    syllables = np.repeat(rng.gamma(0.6, 1.0, size // 2_000 + 1), 2_000)[:size]
    shaped = sound * syllables + rng.normal(0, 0.02, size)
    return np.clip(shaped * 800, -32_768, 32_767).astype(np.int16)


def corpus(folder: Path, clips: int, seconds: tuple[float, float]) -> int:
    """Fill a folder with recordings; their bytes."""
    rng = np.random.default_rng(0)
    long = speechlike(rng, 300.0)
    for number in range(clips):
        size = int(rng.uniform(*seconds) * RATE)
        start = int(rng.integers(0, len(long) - size))
        sound = long[start : start + size] + rng.integers(-2, 3, size, dtype=np.int16)
        soundfile.write(folder / f"speaker{number % 40}_{number:06d}.wav", sound, RATE)
    return sum(path.stat().st_size for path in folder.iterdir())


def ours(folder: Path, workers: int, **options: Any) -> float:
    """A dataset prepared from the folder; seconds."""
    corpus = {"folder": str(folder), "audio": "{speaker}_{take}.wav"}
    config = DatasetConfig(domain="real", corpus=corpus, **options)
    engine = Engine(workers=workers)
    forkserver.stop()
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
        os.sync()
        started = time.perf_counter()
        engines.begin(engine)
        make.make("bench", config, Workspace(out), engine, {})
        return time.perf_counter() - started


def timed(work: Callable[[Path, Path], object], folder: Path) -> float:
    """A peer's way of writing what is in a folder into shards; seconds."""
    with tempfile.TemporaryDirectory() as out:
        os.sync()
        started = time.perf_counter()
        work(folder, Path(out))
        return time.perf_counter() - started


def tar(folder: Path, out: Path) -> None:
    """`tar cf`: the bytes as they are, one file, nothing checked."""
    subprocess.run(
        ["tar", "cf", str(out / "all.tar"), str(folder)], check=True, capture_output=True
    )


def tar_on_disk(folder: Path, out: Path) -> None:
    """The same, and the file is on the disk."""
    tar(folder, out)
    with (out / "all.tar").open("rb") as file:
        os.fsync(file.fileno())


def tarwriter_bytes(folder: Path, out: Path) -> None:
    """The plainest webdataset loop over the same bytes."""
    with wds.TarWriter(str(out / "all.tar"), encoder=False) as writer:
        for path in sorted(folder.iterdir()):
            writer.write({"__key__": path.stem, "wav": path.read_bytes()})


def tarwriter_flac(folder: Path, out: Path) -> None:
    """The plainest webdataset loop that stores FLAC."""
    with wds.TarWriter(str(out / "all.tar"), encoder=False) as writer:
        for path in sorted(folder.iterdir()):
            samples, rate = soundfile.read(path)
            file = io.BytesIO()
            soundfile.write(file, samples, rate, format="FLAC")
            writer.write({"__key__": path.stem, "flac": file.getvalue()})


def shar(folder: Path, out: Path) -> None:
    """Lhotse's Shar export to FLAC with two jobs."""
    from lhotse import CutSet, Recording

    cuts = CutSet.from_cuts(Recording.from_file(path).to_cut() for path in sorted(folder.iterdir()))
    cuts.to_eager().to_shar(out, fields={"recording": "flac"}, shard_size=200, num_jobs=2)


def random_reading(folder: Path) -> None:
    """Any key of a shard set of more than a gigabyte, as stored: the bytes, and decoded."""
    corpus = {"folder": str(folder), "audio": "{speaker}_{take}.wav"}
    config = DatasetConfig(domain="real", corpus=corpus, format="original", check="headers")
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
        made = make.make("bench", config, Workspace(out), Engine(workers=2), {})
        reader = RandomReader(made.folder, trust=True)
        keys = np.random.default_rng(1).choice(sorted(reader.rows), 500, replace=False)
        times = []
        for key in keys:
            started = time.perf_counter()
            reader[str(key)].signal()
            times.append(1e3 * (time.perf_counter() - started))
        reader.close()
    middle, last = statistics.median(times), sorted(times)[int(0.99 * len(times))]
    print(f"{'a key at random, decoded':<40} {middle:6.2f} ms, 99 % within {last:.2f} ms")


def ratio(what: str, peer: str, times: dict[str, list[float]]) -> None:
    """Peer's median over ours, as it is and without the start and end of our workers."""
    mine, theirs = statistics.median(times[what]), statistics.median(times[peer])
    line = f"{what:<40} {theirs / mine:6.2f} × {peer}"
    if "2 workers" in what:
        beyond = theirs / (mine - statistics.median(times[EMPTY]))
        line += f" ({beyond:.2f} × beyond start and end)"
    print(line, flush=True)


def peak_megabytes(folder: Path, clips: int) -> float:
    """The largest process of a whole `realear prepare`, asked for by a small process of its own."""
    small = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stderr=-3); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable, "-c", small, sys.executable, "-P", "-c",
            "from pipelines.cli import main; main()", "prepare", str(folder), "--name", "bench",
            "--out", out, "--audio", "{speaker}_{take}.wav", "--workers", "2",
            "--limit", str(clips),
        ]  # fmt: skip
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(ended.stdout) / 1024


def peers() -> dict[str, Callable[[Path, Path], object]]:
    """Who else writes shards, by name: three that keep bytes, then those that write FLAC."""
    found: dict[str, Callable[[Path, Path], object]] = {
        "tar cf": tar,
        "tar cf and fsync": tar_on_disk,
        "webdataset TarWriter, bytes": tarwriter_bytes,
        "soundfile + TarWriter, FLAC": tarwriter_flac,
    }
    try:
        import lhotse  # noqa: F401
    except ImportError:
        print("lhotse is not installed: `pip install lhotse` adds its Shar to this list")
        return found
    return {**found, "lhotse Shar, FLAC, 2 jobs": shar}


def compare(folder: Path) -> None:
    """Everybody over the files of a folder, in turns."""
    others = peers()
    keep = {"format": "original"}
    modes: dict[str, tuple[int, dict[str, Any]]] = {
        "re-encode, 2 workers": (2, {}),
        "re-encode, 1 worker": (1, {}),
        "originals, decoded, 2 workers": (2, keep),
        "originals, headers only, 2 workers": (2, {**keep, "check": "headers"}),
        EMPTY: (2, {"limit": 4, "shards": 2}),
    }
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, work in others.items():
            times.setdefault(name, []).append(timed(work, folder))
        for name, (workers, options) in modes.items():
            times.setdefault(name, []).append(ours(folder, workers, **options))
    for name, found in times.items():
        print(f"{name:<40} {statistics.median(found):6.2f} s", flush=True)
    for mode in list(modes)[:2]:
        for peer in list(others)[3:]:
            ratio(mode, peer, times)
    for mode in list(modes)[2:4]:
        for peer in list(others)[:3]:
            ratio(mode, peer, times)


def main() -> None:
    """Every comparison, a line each."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        size = corpus(folder, CLIPS, (3.0, 15.0))
        print(f"\nsharding {CLIPS} clips, {size / 1e9:.2f} GB of WAV, workers' start included\n")
        compare(folder)
        random_reading(folder)
    with tempfile.TemporaryDirectory() as made:
        corpus(Path(made), 20_000, (0.2, 0.4))
        small, large = (peak_megabytes(Path(made), clips) for clips in (2_000, 20_000))
        print(
            f"{'memory of 20,000 clips':<40} {large / small:6.2f} × that of 2,000 ({large:.0f} MB)"
        )


if __name__ == "__main__":
    main()
