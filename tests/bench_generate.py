"""Generating against a plain script, the same mixtures: `python -m tests.bench_generate`.

Two talkers in a recorded noise at 8 kHz, of clips at 16 kHz. Ours: `realear generate` with two
workers from datasets prepared before, timed whole, its start included; it plans, renders, measures
and digests every sound, and writes shards with an index. The peer: a single process that follows
the same plan with numpy, soxr and soundfile, and writes a file a sound (mixture, both talkers,
noise), as the field's scripts do: 16-bit WAV, or FLAC as our shards hold it. Its mixtures are
compared with ours, sample by sample, before anything is timed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
import soxr

from pipelines.shards.datasets import RandomReader
from tests.bench_prepare import speechlike

REALEAR = [sys.executable, "-P", "-c", "from pipelines.cli import main; main()"]
SOURCE_RATE, RATE = 16_000, 8_000  # Hz
CLIPS = 2_000
ROUNDS = 2


def sources(folder: Path) -> None:
    """160 clips of 20 speakers, 3 to 15 s, in FLAC as LibriSpeech's; 80 noises, 8 to 16 s, in WAV
    as WHAM!'s.
    """
    random = np.random.default_rng(0)
    for name, count, seconds in (("speech.flac", 160, (3.0, 15.0)), ("noise.wav", 80, (8.0, 16.0))):
        kind, suffix = name.split(".")
        (folder / kind).mkdir()
        for number in range(count):
            sound = speechlike(random, float(random.uniform(*seconds)))
            file = folder / kind / f"{kind}{number % 20}_{number}.{suffix}"
            soundfile.write(file, sound, SOURCE_RATE)


def recipe(folder: Path) -> Path:
    """Two datasets of recordings and the mixtures of them."""
    datasets = {
        kind: {
            "domain": "real",
            "format": "original",
            "corpus": {"folder": f"{folder}/{kind}", "audio": "{speaker}_{take}.*"},
        }
        for kind in ("speech", "noise")
    }
    scenes = {
        "kind": "scenes",
        "of": "speech",
        "clips": CLIPS,
        "talkers": 2,
        "sample_rate": RATE,
        "noise": {"of": "noise", "snr_db": [0, 10]},
    }
    file = folder / "recipe.yaml"
    mixtures = {"domain": "simulated", "recipe": scenes}
    file.write_text(json.dumps({"datasets": {**datasets, "mixtures": mixtures}}))
    return file


def generate(file: Path, out: Path, *arguments: str) -> None:
    """`realear generate`, as anybody would run it."""
    command = [*REALEAR, "generate", str(file), "--out", str(out), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def plain_loop(plan: Path, recordings: Path, out: Path, suffix: str) -> None:
    """Every mixture of a plan, one after another, a file a sound."""
    speech = recordings / "speech"
    for row in pq.read_table(plan).to_pylist():
        talkers, noise = json.loads(row["talkers"]), json.loads(row["noise"])
        samples = round(row["seconds"] * RATE)
        images = np.stack(
            [at_level(read(speech, f"{t['key']}.flac")[:samples], t["level_dbfs"]) for t in talkers]
        )
        whole = read(recordings / "noise", f"{noise['keys'][0]}.wav")
        start = round(noise["start_seconds"] * RATE)
        added = np.take(whole, np.arange(start, start + samples), mode="wrap")
        spoken = 10 * np.log10(np.mean(images.sum(axis=0) ** 2))
        added = at_level(added, spoken - noise["snr_db"])
        parts = np.vstack([images, added])
        peak = max(np.abs(parts).max(), np.abs(parts.sum(axis=0)).max())
        steps = np.rint(parts * min(1.0, 0.95 / peak) * 32_768).astype(np.int16)
        mixture = steps.sum(axis=0, dtype=np.int16)
        for name, sound in zip(("mix", "s1", "s2", "noise"), (mixture, *steps), strict=True):
            soundfile.write(out / f"{row['key']}.{name}.{suffix}", sound, RATE, subtype="PCM_16")


def read(folder: Path, name: str) -> np.ndarray:
    """(time,) of a recording, brought to the mixtures' rate."""
    signal, rate = soundfile.read(folder / name)
    return soxr.resample(signal, rate, RATE, quality="HQ")


def at_level(signal: np.ndarray, level_dbfs: float) -> np.ndarray:
    return signal * (10 ** (level_dbfs / 20) / np.sqrt(np.mean(signal**2)))


def check_equal(dataset: Path, out: Path) -> None:
    """The peer's mixtures are ours, within the step by which the noise's gain is corrected."""
    reader = RandomReader(str(dataset))
    for key in list(reader.rows)[:50]:
        theirs, _ = soundfile.read(out / f"{key}.mix.wav", dtype="int16")
        np.testing.assert_allclose(reader[key].signal() * 32_768, theirs, atol=2)
    reader.close()


def timed_loop(plan: Path, recordings: Path, suffix: str) -> float:
    """The plain script in a process of its own; seconds."""
    code = (
        "import sys; from pathlib import Path; from tests.bench_generate import plain_loop; "
        "plain_loop(*map(Path, sys.argv[1:4]), sys.argv[4])"
    )
    with tempfile.TemporaryDirectory() as out:
        words = [str(plan), str(recordings), out, suffix]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
        return time.perf_counter() - started


def timed_generate(file: Path, out: Path, workers: int) -> float:
    """The mixtures anew, their sources being there; seconds."""
    for path in (out / "datasets/mixtures").glob("*"):
        path.unlink()
    started = time.perf_counter()
    generate(file, out, "--workers", str(workers))
    return time.perf_counter() - started


def main() -> None:
    """Every comparison, a line each."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        sources(folder)
        file, out, plan = recipe(folder), folder / "out", folder / "plan.parquet"
        generate(file, out)
        dataset = out / "datasets/mixtures"
        plan.write_bytes((dataset / "plan.parquet").read_bytes())
        (folder / "plain").mkdir()
        plain_loop(plan, folder, folder / "plain", "wav")
        check_equal(dataset, folder / "plain")
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for suffix in ("wav", "flac"):
                times.setdefault(suffix, []).append(timed_loop(plan, folder, suffix))
            for workers in (1, 2):
                found = timed_generate(file, out, workers)
                times.setdefault(str(workers), []).append(found)
        rate = {name: CLIPS / statistics.median(seconds) for name, seconds in times.items()}
        print(f"\n{CLIPS} two-talker mixtures in noise, whole commands, clips a second\n")
        for workers in ("2", "1"):
            for suffix in ("wav", "flac"):
                what = f"realear generate, workers: {workers}, {rate[workers]:.1f}"
                peer = f"a plain loop to {suffix.upper()}, {rate[suffix]:.1f}"
                print(f"{what:<46} {rate[workers] / rate[suffix]:6.2f} × {peer}", flush=True)


if __name__ == "__main__":
    main()
