"""Speed as a ratio to a named peer, both in one run on one machine: `make bench`.

A ratio over 1 means that RealEar is faster. Absolute times say nothing on shared machines, so none
is promised and none is tested.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pystoi
import soundfile
import webdataset as wds

import metrics
from pipelines import audio
from pipelines.records import Part
from pipelines.shards.packing import Sample, pack
from pipelines.shards.tars import TarWriter

ROUNDS = 7  # alternating, the median counts


def compare(what: str, peer: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Time both in turns and print the ratio of the medians."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        for name, function in (("ours", ours), ("theirs", theirs)):
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    ratio = statistics.median(times["theirs"]) / statistics.median(times["ours"])
    print(f"{what:<46} {ratio:6.2f} × {peer}")


def tar_writing() -> None:
    """Bytes into a tar: 300 members of 200 kB."""
    data = np.random.default_rng(0).bytes(200_000)
    keys = [f"clip-{n:04d}" for n in range(300)]

    def ours() -> None:
        writer = TarWriter(io.BytesIO())
        for key in keys:
            writer.write(key, {"audio": data})
        writer.close()

    def theirs() -> None:
        with wds.TarWriter(io.BytesIO(), encoder=False, mtime=0) as writer:
            for key in keys:
                writer.write({"__key__": key, "flac": data})

    compare("write a tar shard", "webdataset.TarWriter", ours, theirs)


def shard_packing() -> None:
    """Signals into a published shard with index, levels, digests and hashes: 40 clips of 5 s."""
    noise = np.random.default_rng(1).normal(0, 0.1, (40, 80_000))
    samples = [Sample(f"clip-{n:02d}", {"audio": x}, 16_000, "c/s") for n, x in enumerate(noise)]

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            pack(Part(folder, "bench-000000", "", len(samples), 0.0, None), samples)

    def theirs() -> None:
        with (
            tempfile.TemporaryDirectory() as folder,
            wds.TarWriter(str(Path(folder, "bench.tar")), encoder=False) as writer,
        ):
            for sample in samples:
                file = io.BytesIO()
                soundfile.write(file, sample.sounds["audio"], 16_000, format="FLAC")
                writer.write({"__key__": sample.key, "flac": file.getvalue()})

    compare("pack a shard (with index, digests, levels)", "soundfile + TarWriter", ours, theirs)


def intelligibility() -> None:
    """STOI with every check of METRICS before it, against the bare library: 5 s."""
    clean = np.random.default_rng(3).normal(0, 0.1, 80_000)
    noisy = clean + np.random.default_rng(4).normal(0, 0.1, 80_000)
    compare(
        "STOI, checked, 5 s", "pystoi", lambda: metrics.stoi(clean, noisy, 16_000),
        lambda: pystoi.stoi(clean, noisy, 16_000),
    )  # fmt: skip


def decoding() -> None:
    """FLAC from memory, with the checks for truncation: 10 s."""
    data = audio.encode_flac(np.random.default_rng(5).normal(0, 0.1, 160_000), 16_000).data
    compare(
        "decode FLAC, checked, 10 s", "soundfile", lambda: audio.decode(data),
        lambda: soundfile.read(io.BytesIO(data)),
    )  # fmt: skip


def main() -> None:
    """Every comparison, a line each."""
    from tests import (
        bench_board,
        bench_evaluate,
        bench_explanations,
        bench_generate,
        bench_inference,
        bench_metrics,
        bench_prepare,
        bench_rooms,
        bench_scale,
        bench_text,
        bench_tracking,
        bench_zero_shot,
    )  # they borrow `compare` from here

    print("ratio of median times, peer over RealEar: over 1 is faster than the peer\n")
    for bench in (tar_writing, shard_packing, intelligibility, decoding):
        bench()
    bench_text.main()
    bench_metrics.main()
    bench_prepare.main()
    bench_generate.main()
    bench_rooms.main()
    bench_inference.main()
    bench_tracking.main()
    bench_zero_shot.main()
    bench_explanations.main()
    bench_board.main([])
    bench_evaluate.main()
    bench_scale.main()


if __name__ == "__main__":
    main()
