"""What the experiments of `blind_experiments.py` are about: estimates in memory, and more of them.

Sounds are decoded once and lie in WORK/experiments as arrays; datasets beside those of quality.yaml
are generated when they are first asked for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from metrics import si_snr
from pipelines.quality_training import domain_of
from pipelines.shards.datasets import INDEX, RandomReader, read_rows

RATE, SECONDS = 8_000, 2.5  # Hz; of each clip, the first
EDGES = np.arange(-5.0, 20.1, 5.0)  # dB
ROLES = ("audio", "estimate", "reference", "others")


@dataclass(frozen=True)
class Data:
    """Estimates in memory: (clips, 4, time) int16 (mixture, estimate, reference, others), their
    lengths in samples, true SI-SNR in dB, separators, domains, and the mixtures that they are of.
    """

    sounds: np.ndarray
    lengths: np.ndarray
    truth: np.ndarray
    separators: np.ndarray
    domains: np.ndarray
    mixtures: np.ndarray

    def __len__(self) -> int:
        return len(self.truth)

    def where(self, chosen: np.ndarray) -> Data:
        """Some of the clips, by a mask or by numbers; no sound is copied before it is used."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        small = (self.lengths, self.truth, self.separators, self.domains, self.mixtures)
        return Data(Some(self.sounds, numbers), *(one[numbers] for one in small))

    def of(self, separators: Sequence[str]) -> Data:
        """The estimates of some separators."""
        return self.where(np.isin(self.separators, separators))

    def without(self, separators: Sequence[str]) -> Data:
        """Those of all the others."""
        return self.where(~np.isin(self.separators, separators))

    def stratified(self, seed: int = 0) -> np.ndarray:
        """Numbers of clips, equally many of each bin; of an empty bin there are none."""
        random = np.random.default_rng(seed)
        places = np.digitize(self.truth, EDGES) - 1
        bins = [np.flatnonzero(places == n) for n in range(len(EDGES) - 1)]
        fewest = min((len(one) for one in bins if len(one)), default=0)
        return np.sort(
            np.concatenate([random.permutation(one)[:fewest] for one in bins if len(one)])
        )


class Some:
    """Some rows of an array that may lie on disk."""

    def __init__(self, array: Any, numbers: np.ndarray) -> None:
        self._array, self._numbers = array, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, at: Any) -> np.ndarray:
        return self._array[self._numbers[at]]


def read(folder: Path, cache: Path, roles: Sequence[str] = ROLES) -> Data:
    """A dataset of the `separated` kind; decoded once, then read from `cache`."""
    rows = read_rows(str(folder / INDEX))
    rate = rows[0].sample_rate
    size = round(SECONDS * rate)
    path = cache / f"{folder.name}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        sounds = np.lib.format.open_memmap(
            path.with_suffix(".part"), "w+", np.int16, (len(rows), len(roles), size)
        )
        with closing(RandomReader(str(folder))) as reader:
            for number, row in enumerate(rows):
                clip = reader[row.key]
                for place, role in enumerate(roles):
                    signal = clip.signal(role)[:size]
                    sounds[number, place, : len(signal)] = np.rint(signal * 32_768)
        sounds.flush()
        path.with_suffix(".part").rename(path)
    sounds = np.load(path, mmap_mode="r")
    lengths = np.array([min(size, round(row.seconds * rate)) for row in rows])
    return Data(
        sounds,
        lengths,
        truth_of(sounds, lengths),
        np.array([row.labels["separator"] for row in rows]),
        np.array([domain_of(row.labels) for row in rows]),
        np.array([row.pair or row.key for row in rows]),
    )


def truth_of(sounds: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """SI-SNR in dB of what is kept of each clip; NaN where there is none."""
    found = np.full(len(sounds), np.nan)
    for number, size in enumerate(lengths):
        _, estimate, reference, _ = sounds[number, :, :size].astype(np.float64)
        if estimate.any() and reference.any():
            found[number] = float(si_snr(reference, estimate))
    return found


POOL = [
    {"model": "mixture"},
    {"model": "nmf"},
    {"model": "gated-mixture"},
    {"model": "small-conv-tasnet", "sources": 2},
    {"model": "rough-conv-tasnet", "sources": 2, "parameters": {"noise": 0.15}},
    {"model": "leaky-ratio-mask"},
    {"model": "leaky-binary-mask"},
    {"model": "crosstalk"},
    {"model": "spoilt"},
]
RANKED = [*POOL[:6], {"model": "oracle-irm"}, {"model": "oracle-ibm"}]
PAIRS = {  # of new voices, other ones than in the test set
    "kind": "scenes",
    "of": ["quality-voices"],
    "talkers": 2,
    "sample_rate": RATE,
    "loudness_lufs": [-36, -25],
    "splits": {"training": 0.7, "heldout": 0.15, "test": 0.15},
    "split": "test",
    "seed": 9,
}
SET = {"domain": "simulated", "licence": "CC0-1.0", "shard_clips": 500}


def made(work: Path, name: str) -> dict[str, Any]:
    """A dataset that quality.yaml made."""
    return {"domain": "synthetic", "path": str((work / "datasets" / name).resolve())}


def separated(of: Sequence[str], **options: Any) -> dict[str, Any]:
    """A dataset of estimates of the mixtures of others."""
    return {**SET, "recipe": {"kind": "separated", "of": list(of), **options}}


def generated(work: Path, datasets: dict[str, Any], name: str) -> Data:
    """A dataset of the separated kind, one of `datasets`, made unless it is there."""
    folder = work / "datasets" / name
    if not (folder / "dataset.json").exists():
        path = work / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"datasets": datasets}))  # JSON is YAML
        command = [Path(sys.executable).with_name("realear"), "generate", path, "--out", work]
        subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)
    return read(folder, work / "experiments")


TALKERS = (("george", "theo"), ("jackson", "nicolas"))
STRINGS, DIGITS = 100, 6  # strings of digits a talker, digits a string


def digits(work: Path, names: Sequence[str]) -> Data:
    """Strings of digits of two people on top of each other, as parted by the pool."""
    title = "-".join(names)
    folder = work / "digits" / title
    if not folder.exists():
        _strings(Path(os.environ["REALEAR_RECORDINGS"]) / "free-spoken-digits", folder, names)
    scenes = {
        "kind": "scenes",
        "of": [f"digits-{title}"],
        "talkers": 2,
        "clips": 60,
        "sample_rate": RATE,
        "loudness_lufs": [-36, -25],
    }
    noise = {"kinds": ["white", "pink"], "snr_db": [0, 25]}
    datasets = {
        f"digits-{title}": {
            "domain": "real",
            "licence": "CC-BY-SA-4.0",
            "corpus": {"folder": str(folder.resolve()), "audio": "{speaker}/*.wav"},
        },
        f"clean-{title}": {**SET, "recipe": scenes},
        f"noisy-{title}": {**SET, "recipe": {**scenes, "noise": noise, "seed": 1}},
        f"estimates-{title}": separated(
            [f"clean-{title}", f"noisy-{title}"], pool=POOL, each=2, spread_db=[-7, 25]
        ),
    }
    return generated(work, datasets, f"estimates-{title}")


def _strings(source: Path, folder: Path, names: Sequence[str]) -> None:
    """Strings of digits, as TIDIGITS has them, out of recordings of single ones."""
    random = np.random.default_rng(0)
    for name in names:
        takes = [soundfile.read(path)[0] for path in sorted(source.glob(f"*_{name}_*.wav"))]
        (folder / name).mkdir(parents=True)
        for number in range(STRINGS):
            chosen = random.choice(len(takes), DIGITS, replace=False)
            gaps = [np.zeros(int(RATE * random.uniform(0.03, 0.15))) for _ in chosen]
            parts = [part for pair in zip(gaps, chosen, strict=True) for part in pair]
            signal = np.concatenate([p if isinstance(p, np.ndarray) else takes[p] for p in parts])
            soundfile.write(folder / name / f"{name}-{number}.wav", signal, RATE)


def readers(recordings: Path, work: Path) -> Data:
    """The noisy mixtures of two readers, as parted by all of the pool, at five qualities each."""
    mixtures = {
        "domain": "real",
        "licence": "CC-BY-4.0",
        "corpus": {
            "folder": str((recordings / "two-speaker-mixtures").resolve()),
            "audio": "mix/{first}-{a}_{second}-{b}.wav",
            "speaker": "{first}+{second}",
            "sources": ["s1/{file}", "s2/{file}"],
        },
    }
    datasets = {"two-readers": mixtures}
    for seed in range(5):
        datasets[f"readers-{seed}"] = separated(
            ["two-readers"], pool=POOL, spread_db=[-7, 25], seed=seed
        )
    parts = [generated(work, datasets, f"readers-{seed}") for seed in range(5)]
    found = parts[0]
    for part in parts[1:]:
        found = both(found, part)
    return found


def both(first: Data, second: Data) -> Data:
    """Two sets as one."""
    names = ("lengths", "truth", "separators", "domains", "mixtures")
    small = (np.concatenate([getattr(first, n), getattr(second, n)]) for n in names)
    return Data(Joined(first.sounds, second.sounds), *small)


class Joined:
    """The rows of two arrays, one after the other."""

    def __init__(self, first: Any, second: Any) -> None:
        self._parts = (first, second)

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, at: Any) -> np.ndarray:
        if np.ndim(at) == 0:
            first = len(self._parts[0])
            return self._parts[0][at] if at < first else self._parts[1][at - first]
        return np.stack([self[int(number)] for number in at])
