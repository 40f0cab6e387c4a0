"""Classifiers of sound by the transformers library: AST (Gong et al. 2021), wav2vec 2.0, HuBERT and
WavLM with a classifying head (SUPERB, Yang et al. 2021), Whisper's encoder.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.adapters import huggingface
from models.adapters.ctc import MASKED, normalised, receptive_field
from models.adapters.pooling import check_rate_of, mean_over_windows, refuse_empty
from models.base import Signal, Vector
from models.explaining import Explainable, Heard
from models.neural import Pretrained

if TYPE_CHECKING:
    import torch

FRAME, HOP = 0.025, 0.010  # seconds; of the spectra that AST hears, as Kaldi makes them


@dataclass(kw_only=True)
class AudioClassifier(Explainable, Pretrained):
    """A checkpoint that tells classes apart, whatever its architecture; `labels` are its own words.

    Networks on samples hear a clip as a whole. Those on spectra of a fixed length (AST, Whisper)
    hear windows of it; the logits of a long clip are the mean of its windows'. The first can be
    looked into by explainers; to the others the library's spectra are closed for gradients.
    """

    task = "classification"
    version = "1"
    libraries = ("torch", "torchaudio", "transformers")
    sample_rate = 16_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._extractor: Any = None
        self._window = 0  # samples; 0: the network hears a clip as a whole

    def classify(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """(classes,) float32 logits of each (time,) signal, in the order of `labels`.

        FailedPrediction for a signal without a sample.
        """
        self.load()
        check_rate_of(self, sample_rate)
        return self._answers(signals, refuse_empty)

    @property
    def gradients(self) -> bool:  # type: ignore[override]
        """Whether it hears samples, by its checkpoint's own words; before it is loaded, too."""
        try:
            said = json.loads((self.folder / "preprocessor_config.json").read_bytes())
        except (OSError, ValueError):
            return False
        return "num_mel_bins" not in said and "n_fft" not in said

    def listen(self, batch: torch.Tensor, lengths: torch.Tensor) -> Heard:
        """Logits, the mean of the last layer over time, and all layers, as `models.explaining` has
        them.
        """
        import torch

        self.load()
        layers: list[torch.Tensor] = []
        with _shown(self._network.base_model.encoder.layers, layers):
            found = self._of_samples(batch, lengths)
        frames = self._network._get_feat_extract_output_lengths(lengths)
        places = torch.arange(layers[-1].shape[2], device=batch.device)
        inside = (places < frames[:, None]).to(layers[-1].dtype)
        means = (layers[-1] * inside[:, None]).sum(2) / inside.sum(1, keepdim=True)
        return Heard(found.logits, means, tuple(layers))

    def _build(self) -> Any:
        folder = self.folder
        found = huggingface.network(folder, "AutoModelForAudioClassification")
        self._extractor = extractor = huggingface.part(folder, "AutoFeatureExtractor")
        self.sample_rate = extractor.sampling_rate
        config = found.config
        self.labels = tuple(str(config.id2label[number]) for number in range(config.num_labels))
        if hasattr(config, "conv_kernel"):
            self.shortest = receptive_field(config.conv_kernel, config.conv_stride)
            layered = getattr(config, "feat_extract_norm", None) == "layer"
            self.padding = "exact" if layered and config.model_type in MASKED else "none"
            return found
        self._window, self.shortest = _window(extractor)
        if not self._window:
            raise ValueError(
                f"{folder}: expected a network that hears samples, or spectra of a fixed length, "
                f"found {config.model_type!r}"
            )
        self.padding = "exact"
        return found

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Vector]:
        if not self._window:
            return list(self._of_samples(batch, lengths).logits.float().cpu().numpy())
        pairs = zip(batch.cpu().numpy(), lengths.tolist(), strict=True)
        at_once = max(1, int(self.batch_seconds * (self.sample_rate or 1)) // self._window)
        clips = [row[:size] for row, size in pairs]
        return mean_over_windows(clips, self._window, at_once, self._of_windows)

    def _of_samples(self, batch: torch.Tensor, lengths: torch.Tensor) -> Any:
        """What the library says of clips as a whole."""
        import torch

        heard = normalised(batch, lengths) if self._extractor.do_normalize else batch
        if self.padding != "exact":  # all of one length
            return self._network(heard)
        mask = torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
        return self._network(heard, attention_mask=mask.long())

    def _of_windows(self, clips: list[Signal]) -> NDArray[np.float32]:
        """(windows, classes) logits; what is shorter than a window is filled by the library."""
        import torch

        with torch.autocast(self.device, enabled=False):  # half a float is too coarse for a log
            spectra = self._extractor(clips, sampling_rate=self.sample_rate, return_tensors="pt")
        name = self._extractor.model_input_names[0]
        found = self._network(**{name: spectra[name].to(self.device)})
        logits: NDArray[np.float32] = found.logits.float().cpu().numpy()
        return logits


@contextlib.contextmanager
def _shown(modules: Iterable[Any], layers: list[torch.Tensor]) -> Iterator[None]:
    """While it lasts, what each layer answers, (clips, frames, channels), is added to `layers` as
    (clips, channels, frames), and goes on from there, so that gradients are known at it.
    """

    def shown(forward: Callable[..., Any]) -> Callable[..., Any]:
        def show(*args: Any, **options: Any) -> Any:
            answer = forward(*args, **options)
            first, *more = answer if isinstance(answer, tuple) else (answer,)
            layers.append(first.transpose(1, 2))
            through = layers[-1].transpose(1, 2)
            return (through, *more) if isinstance(answer, tuple) else through

        return show

    kept = list(modules)
    for module in kept:  # not by hooks: the library records what comes before them
        module.forward = shown(module.forward)
    try:
        yield
    finally:
        for module in kept:
            del module.forward  # the class's own again


def _window(extractor: Any) -> tuple[int, int]:
    """How many samples an extractor of spectra takes, at most and at least; 0 for one that sets no
    length.
    """
    if hasattr(extractor, "n_samples"):  # Whisper's
        extractor.dither = 0.0  # noise would make two answers to one clip differ
        return int(extractor.n_samples), 1
    if hasattr(extractor, "num_mel_bins") and hasattr(extractor, "max_length"):  # AST's
        frame, hop = (int(seconds * extractor.sampling_rate) for seconds in (FRAME, HOP))
        return frame + (extractor.max_length - 1) * hop, frame
    return 0, 1
