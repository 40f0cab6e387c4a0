"""Train: shards in, a small model of our own out, as a folder that `realear predict` takes.

The folder holds `model.safetensors`, `config.json` (what the network is) and `card.json` (what made
it: data by digest, settings, library versions, the held-out score). A checkpoint after every pass
over the held-out clips lets the same command go on where it was stopped.
"""

from __future__ import annotations

import importlib
import logging
import os
import random
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.neural import require
from pipelines import audio, class_training, explainer_training, quality_training, stores
from pipelines import training_pairs as pairs
from pipelines.make import Made
from pipelines.records import RealEarError, digest
from pipelines.schema import nearest
from pipelines.shards import sidecars
from pipelines.shards.datasets import INDEX, read_table

if TYPE_CHECKING:
    import torch
    from lightning import LightningModule

SOURCE = re.compile(r"s\d+\.flac")
SHUFFLED = 200  # clips held to draw the next one from
FAINTEST = 1e-7  # mean square, -70 dBFS: a source below it teaches nothing in a stretch
EXPERIMENT, RUN = "RealEar training", "mlflow-run.txt"
LIBRARIES = ("lightning", "numpy", "torch", "torchaudio", "webdataset")


@dataclass(frozen=True)
class Settings:
    """What can be said about a training; the network's own sizes by their own names."""

    batch: int = 8  # clips
    seconds: float = 3.0  # of audio in a clip of a batch
    steps: int = 2_000  # batches until it ends
    check_every: int = 100  # steps between looks at the held-out clips
    patience: int = 10  # looks without anything better until it ends
    learning_rate: float = 1e-3
    seed: int = 0
    loaders: int = 0  # processes that decode beside the training; their number changes the order
    network: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""  # of clap: a folder to go on from
    teacher: str = ""  # of clap: a folder whose similarities are `soft` of the targets
    soft: float = 0.0
    classifier: str = "classes-16k"  # of piq and l2i: the folder of what is to be explained


@dataclass(frozen=True)
class Trainable:
    """One kind of training: its module, how clips become its batches, what is watched."""

    make: Callable[[Settings, Made], tuple[LightningModule, dict[str, Any]]]
    """The module, and `config.json`."""
    clip: Callable[[Mapping[str, bytes], Settings, random.Random | None], Any]
    """A sample of a shard as the module wants it; None to leave it out."""
    collate: Callable[[list[Any]], Any]
    watched: str
    better: str  # "min" or "max"
    model: str
    """What predicts with the folder, by name."""
    sizes: str = ""
    """Module whose SMALL holds the network's own sizes; "" for a network that has none."""
    finish: Callable[[Path, Made, Made], dict[str, Any]] | None = None
    """What is found out about the trained model on the held-out clips, for its card."""
    test: Callable[[Path, Made], dict[str, Any]] | None = None
    """How good the trained model is on another dataset, for its card; nothing is chosen by it."""
    precision: str = "32-true"
    check: Callable[[Mapping[str, Any], Made], None] | None = None
    """RealEarError unless what `config.json` describes can be watched on the held-out clips."""


def train(
    task: str,
    made: Made,
    held_out: Made,
    folder: str,
    given: Mapping[str, Any],
    *,
    tests: Sequence[Made] = (),
    tracking: str | None = None,
) -> dict[str, Any]:
    """Train a model on one dataset, watch it on another, write its folder; the card.

    `tests`: datasets that the card tells its results on. `tracking`: MLflow's address, where the
    training becomes one run, however often it is stopped.

    RealEarError for an unknown task or setting, datasets that do not fit, and a folder that holds
    something else. Ctrl-C keeps the last checkpoint.
    """
    lightning = require("lightning.pytorch", "training")
    kind = _kind(task, tests)
    settings = _settings(task, given)
    for name in ("lightning.fabric", "lightning.pytorch"):  # advice, and things for sale
        logging.getLogger(name).setLevel(logging.ERROR)
    lightning.seed_everything(settings.seed, workers=True, verbose=False)
    module, config = kind.make(settings, made)
    if kind.check is not None:
        kind.check(config, held_out)
    inputs = digest(["train", task, asdict(settings), config, made.card.content])
    state = Path(folder) / "training" / inputs[:8]
    with warnings.catch_warnings():
        # Lightning's advice on worker processes, and torch's on what Lightning does.
        warnings.simplefilter("ignore")
        trainer = _trainer(state, settings, kind)
        trainer.loggers += _tracked(state, task, made, settings, config, tracking)
        trainer.fit(
            module,
            _loader(made, settings, kind, learn=True),
            _loader(held_out, settings, kind, learn=False),
            ckpt_path=str(state / "last.ckpt") if (state / "last.ckpt").exists() else None,
            weights_only=True,
        )
    best = trainer.checkpoint_callback
    card = {
        "task": task,
        "settings": asdict(settings),
        "data": {"learnt": _named(made), "held_out": _named(held_out)},
        "steps": trainer.global_step,
        kind.watched: float(best.best_model_score),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }
    _export(Path(folder), Path(best.best_model_path), config)
    if kind.finish is not None:
        card["calibration"] = kind.finish(Path(folder), made, held_out)
    if kind.test is not None and tests:
        measured = [{**_named(made), **kind.test(Path(folder), made)} for made in tests]
        card["tests"] = {each.pop("name"): each for each in measured}
    stores.write_json(f"{folder}/card.json", card)  # last, so that what has one is whole
    return card


def _kind(task: str, tests: Sequence[Made]) -> Trainable:
    if task not in TRAINABLE:
        raise RealEarError(f"train: unknown task {task!r}: {nearest(task, TRAINABLE)}")
    if tests and TRAINABLE[task].test is None:
        can = sorted(name for name, kind in TRAINABLE.items() if kind.test is not None)
        raise RealEarError(
            f"train {task}: expected no dataset to test on, found {tests[0].card.name!r}; only "
            f"{', '.join(can)} tells its results: predict and score with the model"
        )
    return TRAINABLE[task]


def said(card: Mapping[str, Any], folder: str) -> str:
    """What came of a training, in a line, and how to use it."""
    kind = TRAINABLE[card["task"]]
    done = f"{kind.watched} {card[kind.watched]:.2f} after {card['steps']} steps, in {folder}"
    if kind.finish is not None:
        return f"{done}: the model {kind.model} with checkpoint={folder}"
    return f"{done}: realear predict {kind.model} DATASET --set checkpoint={folder}"


def _settings(task: str, given: Mapping[str, Any]) -> Settings:
    """Settings from words of the command line: a network's sizes are told apart by name."""
    module = TRAINABLE[task].sizes
    sizes = dict(importlib.import_module(module).SMALL) if module else {}
    known = {name: value for name, value in asdict(Settings()).items() if name != "network"}
    plain: dict[str, Any] = {}
    for name, value in given.items():
        default = known.get(name, sizes.get(name))
        if default is None:
            raise RealEarError(
                f"train: unknown setting {name!r}: {nearest(name, {**known, **sizes})}"
            )
        if isinstance(default, str):
            plain[name] = str(value)
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise RealEarError(
                f"train: {name}: expected a number such as {default}, found {value!r}"
            )
        if isinstance(default, int) and not isinstance(value, int):
            raise RealEarError(f"train: {name}: expected a whole number, found {value!r}")
        (sizes if name in sizes else plain)[name] = value
    return Settings(**plain, network=sizes)


def _trainer(state: Path, settings: Settings, kind: Trainable) -> Any:
    from lightning import Trainer
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    from models.training.progress import Bar

    best = ModelCheckpoint(
        state, "best", monitor=kind.watched, mode=kind.better, save_last=True,
        enable_version_counter=False,
    )  # fmt: skip
    stop = EarlyStopping(kind.watched, mode=kind.better, patience=settings.patience)
    return Trainer(
        max_steps=settings.steps,
        val_check_interval=settings.check_every,
        check_val_every_n_epoch=None,
        gradient_clip_val=5.0,
        precision=kind.precision,  # type: ignore[arg-type]
        callbacks=[best, stop, Bar(kind.watched)],
        enable_progress_bar=False,
        logger=CSVLogger(state, name="", version=""),
        log_every_n_steps=min(50, settings.check_every),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        accelerator="auto",
        devices=1,
    )


def _tracked(
    state: Path,
    task: str,
    made: Made,
    settings: Settings,
    config: Mapping[str, Any],
    tracking: str | None,
) -> list[Any]:
    """MLflow's logger, which goes on with the run that a stopped training began."""
    if tracking is None:
        return []
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported
    import mlflow.tracking  # noqa: F401  # sets its loggers up, so before their levels
    from lightning.pytorch.loggers import MLFlowLogger

    for name in ("alembic", "mlflow", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    known = state / RUN
    run = known.read_text(encoding="utf-8") if known.exists() else None
    logger = MLFlowLogger(
        EXPERIMENT, f"{task} on {made.card.name}", tracking, {"folder": str(state.parent.parent)},
        run_id=run,
    )  # fmt: skip
    if run is None:
        logger.log_hyperparams({"task": task, **asdict(settings), **config, "data": _named(made)})
        stores.write_bytes(str(known), str(logger.run_id).encode())
    return [logger]


def _loader(made: Made, settings: Settings, kind: Trainable, *, learn: bool) -> Any:
    """Batches from a dataset's shards, through webdataset: endless and shuffled to learn from."""
    import webdataset as wds

    for shard in made.card.shards:
        sidecars.check_size(made.folder, shard.stem)
    tars = [f"{made.folder}/{shard.stem}.tar" for shard in made.card.shards]
    rng = random.Random(settings.seed) if learn else None
    # Shards drawn again and again, by the seed and the number of loaders alone; held-out clips come
    # once each, in order.
    shards = (
        wds.ResampledShards(tars, seed=settings.seed, deterministic=True)
        if learn
        else wds.SimpleShardList(tars)
    )
    order = [wds.shuffle(SHUFFLED, rng=random.Random(settings.seed))] if learn else []
    clips = wds.DataPipeline(
        shards,
        wds.tarfile_to_samples(),
        *order,
        wds.map(lambda sample: kind.clip(sample, settings, rng)),
        wds.select(_is_there),
        wds.batched(settings.batch, collation_fn=kind.collate),
    )
    loaders = settings.loaders if learn else 0
    return wds.WebLoader(
        clips, batch_size=None, num_workers=loaders, persistent_workers=loaders > 0
    )


def _is_there(clip: Any) -> bool:
    return clip is not None


def _export(folder: Path, best: Path, config: Mapping[str, Any]) -> None:
    """Write a model's folder, but for its card."""
    import torch
    from safetensors.torch import save

    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    weights = {
        name.removeprefix("network."): value.contiguous()
        for name, value in state.items()
        if name.startswith("network.")
    }
    stores.write_bytes(f"{folder}/model.safetensors", save(weights))
    stores.write_json(f"{folder}/config.json", config)


def _named(made: Made) -> dict[str, Any]:
    card = made.card
    return {
        "name": card.name,
        "content": card.content,
        "clips": card.clips,
        "hours": round(card.seconds / 3600, 3),
    }


# Separation


def _separator(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    from models.training.separation import SeparationTraining

    rates, counts = _of_index(made, "sample_rate"), _of_index(made, "sources")
    if len(rates) != 1 or len(counts) != 1 or min(counts) < 2:
        raise RealEarError(
            f"train separation: expected a dataset of one sample rate and one number of sources, 2 "
            f"or more, found {sorted(rates)} Hz and {sorted(counts)} sources in {made.card.name!r}"
        )
    network = {"num_sources": counts.pop(), **settings.network}
    config = {"architecture": "ConvTasNet", "sample_rate": rates.pop(), "network": network}
    return SeparationTraining(network, settings.learning_rate, settings.steps), config


def _mixture(
    sample: Mapping[str, bytes], settings: Settings, rng: random.Random | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """A stretch of a mixture and its sources; None where a source is silent in it."""
    import torch

    names = [name for name in sample if SOURCE.fullmatch(name)]
    names = ["flac", *sorted(names, key=lambda name: (len(name), name))]  # s2 before s10
    _, rate = audio.read_signal(sample["flac"])
    sounds = np.stack([_mono(sample[name]) for name in names])
    size = round(settings.seconds * rate)
    if sounds.shape[1] < size:
        sounds = np.pad(sounds, ((0, 0), (0, size - sounds.shape[1])))
    start = rng.randrange(sounds.shape[1] - size + 1) if rng else 0
    stretch = sounds[:, start : start + size].astype(np.float32)
    if (np.square(stretch).mean(axis=1) < FAINTEST).any():
        return None
    return torch.from_numpy(stretch[0]), torch.from_numpy(stretch[1:])


def _mono(data: bytes) -> audio.Signal:
    signal, _ = audio.read_signal(data)
    return signal if signal.ndim == 1 else signal.mean(axis=1)


def _stacked(clips: list[Any]) -> tuple[torch.Tensor, ...]:
    import torch

    return tuple(torch.stack(column) for column in zip(*clips, strict=True))


# Recognition


def _recogniser(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    from models.training.recognition import LETTERS, RecognitionTraining

    if None in _of_index(made, "text"):
        raise RealEarError(
            f"train recognition: expected a text of every clip of {made.card.name!r}, found clips "
            "without: prepare them with their transcripts"
        )
    config = {
        "architecture": "DeepSpeech",
        "sample_rate": 16_000,
        "network": {**settings.network, "n_class": len(LETTERS)},
        "labels": list(LETTERS),
    }
    module = RecognitionTraining(dict(settings.network), settings.learning_rate, settings.steps)
    return module, config


def _utterance(
    sample: Mapping[str, bytes], settings: Settings, rng: random.Random | None
) -> tuple[torch.Tensor, str] | None:
    """A whole utterance at 16 kHz and its text; None where either is empty."""
    import torch

    del rng, settings
    _, rate = audio.read_signal(sample["flac"])
    mono = _mono(sample["flac"])
    text = sample.get("txt", b"").decode()
    if not text.strip() or len(mono) < rate // 10:
        return None
    return torch.from_numpy(audio.resample(mono, rate, 16_000).astype(np.float32)), text


def _listed(clips: list[Any]) -> list[Any]:
    return list(clips)


def _of_index(made: Made, column: str) -> set[Any]:
    return set(read_table(f"{made.folder}/{INDEX}")[column].to_pylist())


TRAINABLE: dict[str, Trainable] = {
    "separation": Trainable(
        *(_separator, _mixture, _stacked, "valid_si_snri", "max", "trained-separator"),
        sizes="models.training.separation",
    ),
    "recognition": Trainable(
        *(_recogniser, _utterance, _listed, "valid_loss", "min", "trained-recogniser"),
        sizes="models.training.recognition",
    ),
    "quality": Trainable(
        *(
            quality_training.spectral,
            quality_training.stretch,
            _stacked,
            "valid_mae",
            "min",
            "trained-quality",
        ),
        sizes="models.training.quality",
        finish=quality_training.calibrated,
        precision="bf16-mixed",  # half as fast again on a CPU
    ),
    "real-m": Trainable(
        *(
            quality_training.published,
            quality_training.stretch,
            _stacked,
            "valid_mae",
            "min",
            "real-m-network",
        ),
        finish=quality_training.calibrated,
    ),
    "clap": Trainable(
        *(pairs.module, pairs.clip, pairs.collate, "valid_loss", "min", "trained-clap"),
        sizes="models.training.clap",
    ),
    "classification": Trainable(
        *(
            class_training.module,
            class_training.clip,
            class_training.collate,
            "valid_accuracy",
            "max",
            "trained-classifier",
        ),
        sizes="models.training.classification",
        test=class_training.accuracy,
        precision="bf16-mixed",
        check=class_training.check,
    ),
    "piq": Trainable(
        *(
            explainer_training.piq,
            class_training.clip,
            class_training.collate,
            "valid_loss",
            "min",
            "trained-piq",
        ),
        sizes="models.training.piq",
    ),
    "l2i": Trainable(
        *(
            explainer_training.l2i,
            class_training.clip,
            class_training.collate,
            "valid_loss",
            "min",
            "trained-l2i",
        ),
        sizes="models.training.l2i",
    ),
}
