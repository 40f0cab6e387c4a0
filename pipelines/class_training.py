"""What the small classifier, and what explains it, are trained on: a stretch of a clip, changed as
rooms, telephones and people would change it, and its class.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.fft import next_fast_len

from pipelines import audio
from pipelines.make import Made
from pipelines.records import RealEarError
from pipelines.shards.datasets import INDEX, RandomReader, read_rows, read_table
from pipelines.training_pairs import coloured, paced

if TYPE_CHECKING:
    import torch
    from lightning import LightningModule

    from pipelines.training import Settings

CLASS = "class"
RATE = 16_000  # Hz that the classifier hears
AT_ONCE = 64  # clips that are tested together
SHARE = 0.4  # of the clips, for each change
T60 = (0.1, 0.6)  # seconds in which the echo of a room falls by 60 dB
DIRECT_DB = (-2.0, 14.0)  # the sound itself against its echo
FAINT_DB = -35.0  # below a clip's strongest 10 ms: what is fainter at its ends may be cut off


def classes_of(made: Made) -> tuple[str, ...]:
    """The classes of a dataset, in order of the alphabet; RealEarError where a clip has none."""
    table = read_table(f"{made.folder}/{INDEX}")
    found = [json.loads(labels).get(CLASS) for labels in table["labels"].to_pylist()]
    if None in found or len(set(found)) < 2:
        raise RealEarError(
            f"train classification: expected a label `class` of every clip of {made.card.name!r}, "
            f"and two classes or more, found {found.count(None)} of {len(found)} clips without: "
            "generate it with `kind: captioned` and `class_is: text` where its texts are classes"
        )
    return tuple(sorted(set(found)))


def module(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    """The training of a classifier and `config.json`."""
    from models.training.classification import ClassificationTraining

    labels, network = classes_of(made), dict(settings.network)
    config = {
        "architecture": "Classifier",
        "sample_rate": RATE,
        "labels": list(labels),
        "network": network,
    }
    rates = settings.learning_rate, settings.steps
    return ClassificationTraining(labels, network, *rates), config


def check(config: Mapping[str, Any], held_out: Made) -> None:
    """RealEarError where a held-out clip is of a class that is not learnt."""
    if unknown := sorted(set(classes_of(held_out)) - set(config["labels"])):
        raise RealEarError(
            "train classification: expected held-out clips of the classes that are learnt, found "
            f"{', '.join(unknown)} in {held_out.card.name!r}: leave them out, or learn them, too"
        )


def clip(
    sample: Mapping[str, bytes], settings: Settings, rng: random.Random | None
) -> tuple[torch.Tensor, int, str] | None:
    """(time,) at 16 kHz filled with zeros up to `settings.seconds`, how many samples were there,
    and the class; the beginning, unchanged, of held-out clips. None of a clip without a sample.
    """
    import torch

    signal, rate = audio.read_signal(sample["flac"])
    mono = signal if signal.ndim == 1 else signal.mean(axis=1)
    heard = audio.resample(mono, rate, RATE).astype(np.float32)
    name = str(json.loads(sample["json"])["labels"][CLASS])
    size, start = round(settings.seconds * RATE), 0
    if rng is not None and len(heard):
        chance = np.random.default_rng(rng.getrandbits(63))
        heard = changed(heard, RATE, chance)
        start = int(chance.integers(max(len(heard) - size, 0) + 1))
    stretch = heard[start : start + size]
    if not len(stretch):
        return None
    filled = np.zeros(size, np.float32)
    filled[: len(stretch)] = stretch
    return torch.from_numpy(filled), len(stretch), name


def changed(heard: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(time,) at another speed, cut, in a room, and in other colours; each a share of all clips."""
    heard = trimmed(paced(heard, rng), rate, rng)
    return coloured(roomy(heard, rate, rng), rate, rng)


def trimmed(heard: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(time,) without the faint ends of a share of all clips, which people often cut off."""
    if rng.random() >= SHARE:
        return heard
    step = max(rate // 100, 1)
    power = np.add.reduceat(heard.astype(np.float64) ** 2, np.arange(0, len(heard), step))
    loud = np.flatnonzero(power > power.max() * 10 ** (FAINT_DB / 10))
    return heard[loud[0] * step : (loud[-1] + 1) * step] if len(loud) else heard


def roomy(heard: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(time,) with the echo of a room for a share of all clips: noise that dies away (Polack)."""
    if rng.random() >= SHARE:
        return heard
    seconds = rng.uniform(*T60)
    time = np.arange(1, round(seconds * rate)) / rate
    echo = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    echo *= 10 ** (-rng.uniform(*DIRECT_DB) / 20) / np.sqrt(np.square(echo).sum())
    size = next_fast_len(len(heard) + len(echo), real=True)
    wet = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(echo, size), size)
    late: np.ndarray = np.zeros(len(heard), np.float32)
    late[1:] = wet[: len(heard) - 1]
    found: np.ndarray = heard + late
    return found


def collate(clips: list[Any]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """(batch, time), (batch,) lengths in samples, and classes."""
    import torch

    sounds, lengths, names = zip(*clips, strict=True)
    return torch.stack(sounds), torch.tensor(lengths), list(names)


def accuracy(folder: Path, made: Made) -> dict[str, Any]:
    """The share of a dataset's clips that a trained classifier names right, whole and unchanged."""
    from models.own import TrainedClassifier

    model = TrainedClassifier(checkpoint=str(folder), device="cpu")
    model.load()
    rows = [row for row in read_rows(f"{made.folder}/{INDEX}") if row.labels.get(CLASS)]
    right = 0
    with closing(RandomReader(made.folder)) as reader:
        for start in range(0, len(rows), AT_ONCE):
            group = rows[start : start + AT_ONCE]
            heard = [reader[row.key].signal(sample_rate=RATE).astype(np.float32) for row in group]
            logits = model.classify(heard, sample_rate=RATE)
            said = [model.labels[int(np.argmax(each))] for each in logits]
            right += sum(a == row.labels[CLASS] for a, row in zip(said, group, strict=True))
    return {"accuracy": round(right / max(len(rows), 1), 4), "tested": len(rows)}
