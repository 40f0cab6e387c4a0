"""What explainers of a trained classifier are trained on: its own kind of clips, in batches of its
training, and for L2I a dictionary of their spectra.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import class_training
from pipelines.make import Made
from pipelines.records import RealEarError
from pipelines.shards.datasets import INDEX, RandomReader, read_rows

if TYPE_CHECKING:
    import torch
    from lightning import LightningModule
    from numpy.typing import NDArray

    from models.own import TrainedClassifier
    from pipelines.training import Settings

SPECTRA = 6_000  # that a dictionary is learnt from
A_CLIP = 16  # of each clip


def piq(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    """The training of PIQ and `config.json`."""
    from models import piq as networks
    from models.training.piq import PiqTraining

    classifier = _classifier(settings, made, "piq")
    network, weights = _parted(settings, networks.SMALL)
    shape = {**classifier.layers, **network}
    rates = settings.learning_rate, settings.steps
    training = PiqTraining(classifier, networks.Piq(**shape), weights, *rates)
    return training, _config("Piq", classifier, shape)


def l2i(settings: Settings, made: Made) -> tuple[LightningModule, dict[str, Any]]:
    """The training of L2I and `config.json`; the dictionary is learnt here."""
    from models import l2i as networks
    from models.training.l2i import L2iTraining

    classifier = _classifier(settings, made, "l2i")
    network, weights = _parted(settings, networks.SMALL)
    shape = {**classifier.layers, **network}
    rates = settings.learning_rate, settings.steps
    made_of = networks.L2i(**shape)
    made_of.dictionary.copy_(_dictionary(made, network["components"], settings.seed))
    training = L2iTraining(classifier, made_of, weights, *rates)
    config = _config("L2i", classifier, shape) | {"threshold": weights["threshold"]}
    return training, config


def _classifier(settings: Settings, made: Made, task: str) -> TrainedClassifier:
    """What is to be explained, loaded; RealEarError where it is none, or of other classes."""
    from models.own import TrainedClassifier

    model = TrainedClassifier(checkpoint=settings.classifier)
    try:
        model.load()
    except (ValueError, OSError) as error:
        raise RealEarError(f"train {task}: classifier: {error}") from error
    unknown = sorted(set(class_training.classes_of(made)) - set(model.labels))
    if unknown:
        raise RealEarError(
            f"train {task}: expected classes that {settings.classifier} knows, found "
            f"{', '.join(unknown)} in {made.card.name!r}"
        )
    return model


def _parted(settings: Settings, sizes: dict[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What can be set by name, as the network's sizes and the weights of its loss."""
    given = settings.network
    rest = {name: value for name, value in given.items() if name not in sizes}
    return {name: given[name] for name in sizes}, rest


def _config(architecture: str, classifier: TrainedClassifier, shape: Any) -> dict[str, Any]:
    explained = {"checkpoint": classifier.checkpoint, "weights": classifier.weights}
    return {
        "architecture": architecture,
        "sample_rate": class_training.RATE,
        "classifier": explained,
        "network": shape,
    }


def _dictionary(made: Made, components: int, seed: int) -> torch.Tensor:
    import torch

    from models.l2i import dictionary

    found = dictionary(_columns(made, seed), components, seed)
    return torch.from_numpy(found.astype(np.float32))


def _columns(made: Made, seed: int) -> NDArray[np.float64]:
    """(frequencies, SPECTRA) log-spectra, some frames of clips drawn by the seed."""
    import torch

    from models.explaining import stft
    from models.masking import loudness

    rng = np.random.default_rng(seed)
    rows = read_rows(f"{made.folder}/{INDEX}")
    drawn = rng.permutation(len(rows))[: SPECTRA // A_CLIP]
    found, transform = [], stft(class_training.RATE)
    with closing(RandomReader(made.folder)) as reader:
        for place in sorted(drawn.tolist()):
            signal = reader[rows[place].key].signal(sample_rate=class_training.RATE)
            frames = np.abs(transform.forward(signal))
            chosen = rng.permutation(len(frames))[:A_CLIP]
            found.append(loudness(torch.from_numpy(frames[chosen])).numpy())
    return np.concatenate(found).T
