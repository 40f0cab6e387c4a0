"""Judges learnt from shards of the `separated` kind, and calibrated on those that are held out."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models import calibration
from pipelines import audio, stores
from pipelines.make import Made
from pipelines.records import RealEarError
from pipelines.shards.datasets import INDEX, RandomReader, Row, read_rows

if TYPE_CHECKING:
    import torch
    from lightning import LightningModule

    from models.blind import Heard, Judge
    from pipelines.training import Settings

ROLES = ("flac", "estimate.flac", "reference.flac", "others.flac")
FAINTEST = 1e-9  # mean square, -90 dBFS: a stretch of a fainter sound has no SI-SNR worth learning
JUDGES = {"Spectral": "trained-quality", "Published": "real-m-network"}
GUESSED = ("si_snr", "deviation", "features")
AT_ONCE = 256  # clips that are decoded before they are judged


def spectral(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    """Our own network for a dataset of estimates, and its configuration."""
    from models.training.quality import QualityTraining

    rate = _rate(made)
    network = dict(settings.network)
    config = {"architecture": "Spectral", "sample_rate": rate, "network": network}
    return QualityTraining(rate, network, settings.learning_rate, settings.steps), config


def published(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    """REAL-M's network for a dataset of estimates, and its configuration."""
    from models.training.quality import PublishedTraining

    config = {"architecture": "Published", "sample_rate": _rate(made), "network": {}}
    return PublishedTraining(settings.learning_rate, settings.steps), config


def _rate(made: Made) -> int:
    """The rate of a dataset; RealEarError unless it is one, and all its clips are estimates."""
    rows = read_rows(f"{made.folder}/{INDEX}")
    rates = {row.sample_rate for row in rows}
    if len(rates) != 1 or not all(map(_complete, rows)):
        raise RealEarError(
            f"train: expected estimates with their references and the others, at one rate, in "
            f"{made.card.name!r}, found {sorted(rates)} Hz: generate it with `kind: separated`"
        )
    return int(rates.pop())


def _complete(row: Row) -> bool:
    return all(row.has(role) for role in ("estimate", "reference", "others"))


def stretch(
    sample: Mapping[str, bytes], settings: Settings, rng: random.Random | None
) -> tuple[torch.Tensor, ...] | None:
    """A stretch of mixture, estimate, reference and others; None where one of the first three is
    silent in it.
    """
    import torch

    decoded = [audio.read_signal(sample[role]) for role in ROLES]
    sounds, rate = np.stack([signal for signal, _ in decoded]), decoded[0][1]
    size = round(settings.seconds * rate)
    if sounds.shape[1] < size:
        sounds = np.pad(sounds, ((0, 0), (0, size - sounds.shape[1])))
    start = rng.randrange(sounds.shape[1] - size + 1) if rng else 0
    found = sounds[:, start : start + size].astype(np.float32)
    if (found[:3].var(axis=1) < FAINTEST).any():
        return None
    return tuple(torch.from_numpy(one) for one in found)


def calibrated(folder: Path, learnt: Made, held_out: Made) -> dict[str, Any]:
    """A trained judge's calibration on held-out estimates, for its card; arrays go into its folder.

    Half of the mixtures calibrate, the other half measure what that is worth, and the other way
    round; what is stored was fitted on both. What it `learnt` from is what others are compared
    with. A judge that hears the others is calibrated without them, too, under `alone`.
    """
    from models.registry import create

    rows, known = (
        [row for row in read_rows(f"{made.folder}/{INDEX}") if row.labels]
        for made in (held_out, learnt)
    )
    judge: Any = create(JUDGES[_architecture(folder)], checkpoint=str(folder), device="cpu")
    truth = np.array([float(row.labels["si_snr_db"]) for row in rows])
    halves = half_of([row.pair or row.key for row in rows])
    features = _features(judge, known, learnt.folder)
    guesses = _guesses(judge, rows, held_out.folder)
    final = calibration.fit(guesses, truth, features)
    ends = _ends(judge, final)
    groups = {
        "separator": [row.labels["separator"] for row in rows],
        "domain": [domain_of(row.labels) for row in rows],
    }
    told = calibration.card(_crossed(guesses, truth, halves, features), truth, groups, ends)
    alone: dict[str, Any] = {}
    if judge.hears_others:
        features = _features(judge, known, learnt.folder, alone=True)
        by_itself = _guesses(judge, rows, held_out.folder, alone=True)
        final = replace(final, alone=calibration.fit(by_itself, truth, features))
        alone = calibration.figures(_crossed(by_itself, truth, halves, features), truth)
    values, arrays = calibration.stored(final)
    if arrays:
        _write(folder / "calibration.safetensors", arrays)
    if alone:
        values["alone"] |= alone
    return {**values, **told}


def _architecture(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_bytes())["architecture"])


def half_of(names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of two halves each name is in: those of one mixture are in one."""
    from pipelines.recipes.base import seed_of

    return np.array([seed_of(name, "half") % 2 == 0 for name in names], dtype=bool)


def domain_of(labels: Mapping[str, str]) -> str:
    """What a mixture is like: "3 talkers", "rooms", "noisy" or "clean"."""
    if labels.get("talkers", "2") != "2":
        return f"{labels['talkers']} talkers"
    if "t60_s" in labels:
        return "rooms"
    return "noisy" if "noise" in labels else "clean"


def _guesses(
    judge: Judge, rows: Sequence[Row], folder: str, *, alone: bool = False
) -> calibration.Guesses:
    """Of every row; `alone`, as if there were no others."""
    parts = [
        judge.guess([(mix, one, (0 if alone else 1) * rest) for mix, one, rest in heard])
        for heard in _heard(rows, folder)
    ]
    return calibration.Guesses(**{name: _joined(parts, name) for name in GUESSED})


def _features(judge: Judge, rows: Sequence[Row], folder: str, *, alone: bool = False) -> Any:
    """Of some rows that were learnt from; None of a judge that compares none."""
    few = calibration.some(rows)
    if _guesses(judge, few[:1], folder).features is None:
        return None
    return _guesses(judge, few, folder, alone=alone).features


def _joined(parts: Sequence[calibration.Guesses], name: str) -> Any:
    values = [getattr(part, name) for part in parts]
    return None if values[0] is None else np.concatenate(values)


def _heard(rows: Sequence[Row], folder: str) -> Iterator[list[Heard]]:
    """Mixtures, estimates and others, some at a time."""
    with closing(RandomReader(folder)) as reader:
        for start in range(0, len(rows), AT_ONCE):
            clips = [reader[row.key] for row in rows[start : start + AT_ONCE]]
            yield [
                (
                    clip.signal().astype(np.float32),
                    clip.signal("estimate").astype(np.float32),
                    clip.signal("others").astype(np.float32),
                )
                for clip in clips
            ]


def _crossed(
    guesses: calibration.Guesses,
    truth: NDArray[np.float64],
    halves: NDArray[np.bool_],
    learnt: NDArray[np.float64] | None,
) -> dict[str, NDArray[np.float64]]:
    """Judgements of each half by the calibration of the other."""
    found: dict[str, NDArray[np.float64]] = {}
    for half in (halves, ~halves):
        fitted = calibration.fit(_chosen(guesses, ~half), truth[~half], learnt)
        for name, values in fitted.judgements(_chosen(guesses, half)).items():
            found.setdefault(name, np.zeros(len(truth)))[half] = values
    return found


def _chosen(guesses: calibration.Guesses, which: NDArray[np.bool_]) -> calibration.Guesses:
    def chosen(name: str) -> Any:
        values = getattr(guesses, name)
        return None if values is None else values[which]

    return calibration.Guesses(**{name: chosen(name) for name in GUESSED})


def _ends(judge: Any, fitted: calibration.Calibration) -> tuple[float, float] | None:
    """The ends of what a network can say, corrected; None where it has none."""
    highest = getattr(judge.network, "RANGE_DB", None)
    if highest is None:
        return None
    low, high = fitted.correct(np.array([0.0, highest]))
    return float(low), float(high)


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    from safetensors.numpy import save

    stores.write_bytes(str(path), save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
