"""What speech networks say of a clip as a whole, by the transformers library: the mean of a layer
of wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021) or WavLM (Chen et al. 2022), and the
x-vectors of those that were fine-tuned to tell speakers apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from models.adapters import huggingface
from models.adapters.ctc import MASKED, conv_frames, normalised, receptive_field
from models.adapters.pooling import check_rate_of, refuse_empty
from models.base import Signal, Vector, check_number
from models.neural import Pretrained

if TYPE_CHECKING:
    import torch

MOST_LAYERS = 1_000
LEAST_FRAMES = 2  # of which a standard deviation can be taken


@dataclass(kw_only=True)
class Embedder(Pretrained):
    """Base of both: a network on samples, and clips normalised as it was trained."""

    task = "embedding"
    version = "1"
    libraries = ("torch", "transformers")
    sample_rate = 16_000

    kind = ""
    """The library's class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._normalise = True

    def embed_audio(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """(dim,) float32 of each (time,) signal, of no set length; FailedPrediction for one without
        a sample.
        """
        self.load()
        check_rate_of(self, sample_rate)
        return self._answers(signals, refuse_empty)

    def _build(self) -> Any:
        folder = self.folder
        found = huggingface.network(folder, self.kind)
        extractor = huggingface.part(folder, "AutoFeatureExtractor")
        if not hasattr(found.config, "conv_kernel"):
            raise ValueError(
                f"{folder}: expected a network that hears samples, such as wav2vec 2.0, HuBERT or "
                f"WavLM, found {found.config.model_type!r}"
            )
        self.sample_rate = extractor.sampling_rate
        self._normalise = extractor.do_normalize
        return found

    def _heard(self, batch: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return normalised(batch, lengths) if self._normalise else batch


@dataclass(kw_only=True)
class SpeechFeatures(Embedder):
    """The mean over a clip's own frames of one layer of a network that learnt from speech alone.

    `layer`: 0 is what enters the transformer, 1 its first layer's output; -1 is the last one's.
    Speaker and channel are told best from early layers, words from later ones. With layer
    normalisation in the convolutions and an attention mask, clips of any lengths share a batch.
    """

    layer: int = -1

    kind = "AutoModel"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "layer", -MOST_LAYERS, MOST_LAYERS)

    def _build(self) -> Any:
        found = super()._build()
        config = found.config
        layers = config.num_hidden_layers + 1
        if not -layers <= self.layer < layers:
            raise ValueError(
                f"{self.checkpoint}: expected layer to be from {-layers} to {layers - 1}, "
                f"got {self.layer}"
            )
        self.shortest = receptive_field(config.conv_kernel, config.conv_stride)
        layered = getattr(config, "feat_extract_norm", None) == "layer"
        self.padding = "exact" if layered and config.model_type in MASKED else "none"
        return found

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Vector]:
        import torch

        asked: dict[str, Any] = {"output_hidden_states": True}
        if self.padding == "exact":
            mask = torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
            asked["attention_mask"] = mask.long()
        found = self._network(self._heard(batch, lengths), **asked).hidden_states[self.layer]
        config = self._network.config
        frames = [
            conv_frames(size, config.conv_kernel, config.conv_stride) for size in lengths.tolist()
        ]
        pairs = zip(found.float(), frames, strict=True)
        return [clip[:own].mean(dim=0).cpu().numpy() for clip, own in pairs]


@dataclass(kw_only=True)
class SpeakerVectors(Embedder):
    """x-vectors (Snyder et al. 2018) on top of such a network: near each other for one speaker.

    Compared by their cosine. Only clips of one length share a batch.
    """

    kind = "AutoModelForAudioXVector"

    def _build(self) -> Any:
        found = super()._build()
        config = found.config
        context = sum(
            (kernel - 1) * dilation
            for kernel, dilation in zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
        )
        hop = prod(config.conv_stride)
        frames = context + LEAST_FRAMES
        field = receptive_field(config.conv_kernel, config.conv_stride)
        self.shortest = field + (frames - 1) * hop
        return found

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Vector]:
        found = self._network(self._heard(batch, lengths)).embeddings
        return list(found.float().cpu().numpy())
