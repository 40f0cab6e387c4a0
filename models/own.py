"""Small models of our own: what `realear train` writes, and the one that comes with RealEar."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.adapters.pooling import (
    check_rate_of,
    cropped,
    mean_over_windows,
    refuse_empty,
    windows,
)
from models.base import Signal, Vector, check_choice, check_rate, check_sources
from models.explaining import Explainable, Heard
from models.neural import Neural, hash_folder, load_weights

SHIPPED = Path(__file__).parent / "weights"
WEIGHTS = "model.safetensors"
AT_ONCE = 32  # windows that are heard together
TINY = 1e-12  # the least length that a vector is divided by
CROPS = ("mean", "centre")  # over a long clip's windows: the mean of all, or the middle one


@dataclass(kw_only=True)
class Trained(Neural):
    """A folder of `realear train`: `checkpoint` is its path, or the name of one in models/weights.

    Raises ValueError where the folder holds another kind of model, or none.
    """

    checkpoint: str

    architecture = ""
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchaudio")

    def __post_init__(self) -> None:
        super().__post_init__()
        with contextlib.suppress(ValueError):  # told when it is named, hashed or loaded
            self.sample_rate = self._config().get("sample_rate", self.sample_rate)

    @property
    def folder(self) -> Path:
        """Where the weights lie."""
        shipped = SHIPPED / self.checkpoint
        return shipped if "/" not in self.checkpoint and shipped.is_dir() else Path(self.checkpoint)

    @property
    def weights(self) -> str | None:
        """sha256 over weights and configuration."""
        self._config()
        return hash_folder(self.folder)

    @property
    def checked(self) -> Path:
        """The folder; ValueError where it holds no such model."""
        self._config()
        return self.folder

    def _config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        try:
            config = dict(json.loads(path.read_bytes()))
            found = config["architecture"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"expected a folder that `realear train` wrote, found no {path}: say its path"
            ) from error
        if found != self.architecture:
            raise ValueError(f"{path}: expected a {self.architecture}, found a {found}")
        return config

    def _filled(self, network: Any) -> Any:
        """The network with the folder's weights in it."""
        try:
            network.load_state_dict(load_weights(self.folder / WEIGHTS))
        except RuntimeError as error:
            raise ValueError(f"{self.folder}: weights that do not fit: {error}") from error
        return network


@dataclass(kw_only=True)
class TrainedSeparator(Trained):
    """A Conv-TasNet (Luo & Mesgarani, TASLP 2019), by torchaudio, trained here.

    Its estimates have any level and either polarity, which SI-SNR does not ask for: they are
    brought to the level at which they explain the mixture best (least squares), the same way up as
    it. Its global layer norm hears padding, so only clips of one length are computed together.
    """

    task = "separation"
    version = "2"
    architecture = "ConvTasNet"
    shortest = 160

    def _build(self) -> Any:
        from torchaudio.models import ConvTasNet

        config = self._config()
        self._sources = config["network"]["num_sources"]
        return self._filled(ConvTasNet(**config["network"]))

    def _compute(self, batch: Any, _lengths: Any) -> Sequence[Signal]:
        estimates = self._network(batch[:, None]).float().cpu().numpy()
        mixtures = batch.float().cpu().numpy()
        return [_levelled(*pair) for pair in zip(mixtures, estimates, strict=True)]

    def separate(
        self, mixtures: Sequence[Signal], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) estimates of each (time,) mixture; ValueError for another rate or number
        of sources than it was trained on.
        """
        self.load()
        if (check_rate(sample_rate), check_sources(sources)) != (self.sample_rate, self._sources):
            raise ValueError(
                f"{self.checkpoint} parts {self._sources} sources at {self.sample_rate} Hz, got "
                f"{sources} at {sample_rate} Hz; train one for these"
            )
        found = self._answers(mixtures, empty=lambda _: np.zeros((sources, 0), np.float32))
        return [
            np.ascontiguousarray(estimates[:, : len(mixture)])
            for estimates, mixture in zip(found, mixtures, strict=True)
        ]


def _levelled(mixture: Signal, estimates: Signal) -> Signal:
    """Estimates, each times what makes their sum come closest to the mixture, none of them against
    it: two that are next to alike get gains of either sign, which say nothing about polarity.
    """
    parts, whole = estimates.astype(np.float64), mixture.astype(np.float64)
    gains, *_ = np.linalg.lstsq(parts.T, whole, rcond=None)
    return np.asarray(np.copysign(gains, parts @ whole)[:, None] * estimates, np.float32)


@dataclass(kw_only=True)
class TrainedRecogniser(Trained):
    """A small Deep Speech (Hannun et al., 2014), by torchaudio, trained here by CTC on letters."""

    task = "recognition"
    version = "1"
    architecture = "DeepSpeech"
    sample_rate = 16_000
    shortest = 800

    def _build(self) -> Any:
        from torchaudio.models import DeepSpeech

        from models.training.spectra import Spectra

        config = self._config()
        self._labels = config["labels"]
        self._spectra = Spectra(config["network"]["n_feature"]).to(self.device)
        return self._filled(DeepSpeech(**config["network"]))

    def _compute(self, batch: Any, _lengths: Any) -> Sequence[str]:
        scores = self._network(self._spectra(batch)[:, None])
        return [self._spelt(best) for best in scores.argmax(-1).tolist()]

    def _spelt(self, best: Sequence[int]) -> str:
        """The best letter of every frame, repetitions and blanks left out."""
        kept = [a for a, b in zip(best, [0, *best], strict=False) if a and a != b]
        return " ".join("".join(self._labels[letter] for letter in kept).replace("|", " ").split())

    def transcribe(self, signals: Sequence[Signal]) -> list[str]:
        """Words in capitals; "" where none are heard."""
        return self._answers(signals, empty=lambda _: "")


@dataclass(kw_only=True)
class TrainedClap(Trained):
    """A small CLAP, see `models.clap`, trained here; embeddings have length 1.

    It hears windows of two seconds; a shorter clip is filled with zeros. Of a longer one `crop`
    says what counts: "mean" over all its windows, or the one in its "centre". Nothing is drawn.
    """

    task = "embedding"
    version = "1"
    architecture = "Clap"
    sample_rate = 16_000
    padding = "exact"

    crop: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "crop", CROPS)

    def _build(self) -> Any:
        from models.clap import Clap

        return self._filled(Clap(**self._config()["network"]))

    def embed_audio(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """(dim,) float32 of each (time,) signal; FailedPrediction for one without a sample."""
        self.load()
        check_rate_of(self, sample_rate)
        return self._answers(signals, refuse_empty)

    def _compute(self, batch: Any, lengths: Any) -> Sequence[Vector]:
        from models.clap import WINDOW

        pairs = zip(batch.cpu().numpy(), lengths.tolist(), strict=True)
        clips = [cropped(row[:size], WINDOW, self.crop) for row, size in pairs]
        means = mean_over_windows(clips, WINDOW, AT_ONCE, self._of_windows)
        return [mean / max(float(np.linalg.norm(mean)), TINY) for mean in means]

    def hear(self, batch: Any, lengths: Any) -> Any:
        """(clips, dim) of (clips, time), zeros from their `lengths` on; gradients flow."""
        import torch

        from models.clap import WINDOW

        self.load()
        clips = [row[:size] for row, size in zip(batch, lengths.tolist(), strict=True)]
        cut = [windows(cropped(clip, WINDOW, self.crop), WINDOW) for clip in clips]
        filled = [
            torch.nn.functional.pad(part, (0, WINDOW - len(part)))
            for parts in cut
            for part in parts
        ]
        found = self._network.sounds(torch.stack(filled)).split([len(parts) for parts in cut])
        means = torch.stack([part.mean(0) for part in found])
        return torch.nn.functional.normalize(means, dim=1)

    def _of_windows(self, clips: list[Signal]) -> NDArray[np.float32]:
        import torch

        from models.clap import WINDOW

        filled = np.zeros((len(clips), WINDOW), np.float32)
        for row, clip in zip(filled, clips, strict=True):
            row[: len(clip)] = clip
        found: NDArray[np.float32] = (
            self._network.sounds(torch.from_numpy(filled).to(self.device)).float().cpu().numpy()
        )
        return found

    def embed_text(self, texts: Sequence[str]) -> list[Vector]:
        """(dim,) float32 of each text, in the space of the sounds; no texts, no vectors."""
        import torch

        self.load()
        if not len(texts):
            return []
        with torch.inference_mode(), self._autocast():
            return list(self._network.texts([str(text) for text in texts]).float().cpu().numpy())


@dataclass(kw_only=True)
class TrainedClassifier(Trained, Explainable):
    """A small CNN, see `models.classifier`, trained here; it hears a whole clip, of any length.

    It can be looked into: `listen` gives its layers, with gradients.
    """

    task = "classification"
    version = "1"
    architecture = "Classifier"
    sample_rate = 16_000
    padding = "exact"

    def _build(self) -> Any:
        from models.classifier import Classifier

        config = self._config()
        self.labels = tuple(config["labels"])
        network = self._filled(Classifier(classes=len(self.labels), **config["network"]))
        return network.requires_grad_(False)  # what is asked for are gradients at the samples

    def classify(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """(classes,) float32 logits of each (time,) signal, in the order of `labels`;
        FailedPrediction for one without a sample.
        """
        self.load()
        check_rate_of(self, sample_rate)
        return self._answers(signals, refuse_empty)

    def _compute(self, batch: Any, lengths: Any) -> Sequence[Vector]:
        return list(self._network(batch, lengths).logits.float().cpu().numpy())

    def listen(self, batch: Any, lengths: Any) -> Heard:
        """Logits, the embedding that they are linear in, (clips, dim), and what each block gives;
        see `models.explaining`.
        """
        self.load()
        found: Heard = self._network(batch, lengths)
        return found

    @property
    def layers(self) -> dict[str, Any]:
        """How many classes it tells apart, how many mel bands it hears, how many channels each
        hidden layer has; ValueError where it is none.
        """
        config = self._config()
        width, depth = config["network"]["width"], config["network"]["depth"]
        channels = [width * 2**turn for turn in range(depth)]
        return {
            "classes": len(config["labels"]),
            "mels": config["network"]["mels"],
            "channels": channels,
        }

    def frequencies(self, bands: int) -> NDArray[np.float64]:
        """Hz in the middle of each of so many bands: they divide the mel scale evenly."""
        from models.classifier import band_centres

        return band_centres(bands)
