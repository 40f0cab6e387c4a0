"""What the small CLAP is trained on: two seconds of a clip, a little changed, and its caption."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import audio
from pipelines.make import Made
from pipelines.records import RealEarError
from pipelines.shards.datasets import INDEX, read_table

if TYPE_CHECKING:
    import torch
    from lightning import LightningModule

    from pipelines.training import Settings

CAPTION = "caption"
SPEEDS = (0.85, 1.18)  # a share of all clips is played so much slower or faster
PHONE = 4_000.0  # Hz: above it a share of all clips has nothing, as over a telephone
TILT_DB = 9.0  # by which a share of all clips is brighter or duller over the whole spectrum
SNR_DB = (5.0, 40.0)
SHARE = 0.5  # of the clips, for each change


def module(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    """The training and `config.json`; RealEarError where clips have no caption."""
    from models import own
    from models.clap import Clap
    from models.training.clap import ClapTraining

    labels = [
        json.loads(said) for said in read_table(f"{made.folder}/{INDEX}")["labels"].to_pylist()
    ]
    silent = sum(not said.get(CAPTION) for said in labels)
    if silent or not labels:
        raise RealEarError(
            f"train clap: expected a label `caption` of every clip of {made.card.name!r}, found "
            f"{silent} of {len(labels)} without: generate it with `kind: captioned`"
        )
    network = dict(settings.network)
    start = _weights(settings.start)
    teacher = Clap(**network) if settings.teacher else None
    if teacher is not None:
        teacher.load_state_dict(_weights(settings.teacher) or {})
    training = ClapTraining(
        network,
        settings.learning_rate,
        settings.steps,
        start=start,
        teacher=teacher,
        soft=settings.soft,
    )
    begun = {name: _hash(getattr(settings, name)) for name in ("start", "teacher")}
    config = {"architecture": own.TrainedClap.architecture, "network": network, "begun": begun}
    return training, config


def _hash(checkpoint: str) -> str | None:
    from models import own

    return own.TrainedClap(checkpoint=checkpoint).weights if checkpoint else None


def _weights(checkpoint: str) -> dict[str, torch.Tensor] | None:
    """The weights of a folder of `realear train clap`, or of the name of a shipped one."""
    if not checkpoint:
        return None
    from models import own
    from models.neural import load_weights

    try:
        return load_weights(Path(own.TrainedClap(checkpoint=checkpoint).checked) / own.WEIGHTS)
    except (ValueError, OSError) as error:
        raise RealEarError(f"train clap: {error}") from error


def clip(
    sample: Mapping[str, bytes], settings: Settings, rng: random.Random | None
) -> tuple[torch.Tensor, str]:
    """A window of a clip at 16 kHz and its caption; the beginning, unchanged, of held-out clips."""
    import torch

    from models.clap import RATE, WINDOW

    del settings
    signal, rate = audio.read_signal(sample["flac"])
    mono = signal if signal.ndim == 1 else signal.mean(axis=1)
    heard = audio.resample(mono, rate, RATE).astype(np.float32)
    caption = str(json.loads(sample["json"])["labels"][CAPTION])
    if rng is None:
        return torch.from_numpy(_window(heard, 0, WINDOW)), caption
    chance = np.random.default_rng(rng.getrandbits(63))
    heard = paced(heard, chance)
    window = _window(heard, int(chance.integers(max(len(heard) - WINDOW, 0) + 1)), WINDOW)
    return torch.from_numpy(coloured(window, RATE, chance)), caption


def _window(heard: np.ndarray, start: int, size: int) -> np.ndarray:
    """`size` samples from `start` on, zeros behind the end."""
    window = np.zeros(size, np.float32)
    stretch = heard[start : start + size]
    window[: len(stretch)] = stretch
    return window


def paced(heard: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A share of all clips slower or faster, by linear interpolation: pitch changes with it."""
    if rng.random() >= SHARE:
        return heard
    places = np.arange(0, len(heard) - 1, rng.uniform(*SPEEDS))
    found: np.ndarray = np.interp(places, np.arange(len(heard)), heard).astype(np.float32)
    return found


def coloured(heard: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(time,) float32 brighter or duller, over a telephone, in noise; each a share of all clips."""
    spectrum = np.fft.rfft(heard)
    hertz = np.fft.rfftfreq(len(heard), 1 / rate)
    if rng.random() < SHARE:
        tilt = rng.uniform(-TILT_DB, TILT_DB) * (hertz / hertz[-1] - 0.5)
        spectrum *= 10 ** (tilt / 20)
    if rng.random() < SHARE:
        spectrum[hertz > PHONE] = 0
    heard = np.fft.irfft(spectrum, len(heard))
    if rng.random() < SHARE:
        level = np.sqrt(np.mean(heard**2)) * 10 ** (-rng.uniform(*SNR_DB) / 20)
        heard = heard + level * rng.standard_normal(len(heard))
    return heard.astype(np.float32)


def collate(clips: list[Any]) -> tuple[torch.Tensor, list[str]]:
    """(batch, time) and captions."""
    import torch

    sounds, captions = zip(*clips, strict=True)
    return torch.stack(sounds), list(captions)
