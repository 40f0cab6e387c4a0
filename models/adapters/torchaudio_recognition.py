"""torchaudio's CTC recognisers: wav2vec 2.0 and HuBERT with letters on top, DeepSpeech, Wav2Letter.

A checkpoint's `config.json` (see `torchaudio_bundles`) also says `labels`, blank first, "|" or
a space between words; `normalize_waveform` where a wav2vec 2.0 was trained on clips of mean 0 and
variance 1; and `features` where a network hears a transform of torchaudio instead of samples:

    {"transform": "MFCC", "parameters": {"sample_rate": 16000, "n_mfcc": 13}}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.adapters.torchaudio_bundles import CONFIG, Bundled
from models.decoding import ByCTC, Vocabulary

if TYPE_CHECKING:
    import torch

TRANSFORMS = ("MFCC", "MelSpectrogram", "Spectrogram", "LFCC")


@dataclass(kw_only=True)
class Recogniser(ByCTC, Bundled):
    """Base of the three: scores of labels frame by frame, and what becomes of them."""

    version = "1"

    def _build(self) -> Any:
        network = self.filled()
        self._write_with(self._labels())
        self._prepare(network)
        return network

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> list[str]:
        scores, frames = self._scores(batch, lengths)
        known = len(self._vocabulary.tokens) if self._vocabulary else 0
        if scores.shape[-1] != known:
            raise ValueError(
                f"{type(self).__name__}: expected a label for each of {scores.shape[-1]} classes, "
                f"found {known} labels: list them in {CONFIG}, blank first"
            )
        return self._written(scores, frames.tolist())

    def _prepare(self, network: torch.nn.Module) -> None:
        """Learn from the network what it needs: how long a clip, padded or not."""
        raise NotImplementedError

    def _scores(
        self, batch: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(clips, frames, labels) scores, and how many frames of each clip are its own."""
        raise NotImplementedError

    def _labels(self) -> Vocabulary:
        labels: Any = self._source().get_labels() if self.bundle else self.config.get("labels")
        listed = isinstance(labels, list | tuple) and len(labels) > 1
        if not listed or not all(isinstance(label, str) for label in labels):
            raise ValueError(
                f"{self._folder / CONFIG}: expected labels, a list of texts, blank first, "
                f"found {labels!r:.100}"
            )
        delimiter = next((sign for sign in ("|", " ") if sign in labels), None)
        return Vocabulary(tuple(labels), blank=0, delimiter=delimiter)


@dataclass(kw_only=True)
class Wav2Vec2(Recogniser):
    """wav2vec 2.0, HuBERT or WavLM with a layer of letters on top.

    Baevski et al., "wav2vec 2.0", NeurIPS 2020; Hsu et al., "HuBERT", IEEE/ACM TASLP 29, 2021; Chen
    et al., "WavLM", IEEE JSTSP 16(6), 2022. Where every convolution has its own layer norm (the
    large ones), padding is masked out exactly; the base ones normalise over a clip's whole length,
    and WavLM has no mask, so there only clips of one length share a batch.
    """

    bundles = (
        "WAV2VEC2_ASR_BASE_10M",
        "WAV2VEC2_ASR_BASE_100H",
        "WAV2VEC2_ASR_BASE_960H",
        "WAV2VEC2_ASR_LARGE_10M",
        "WAV2VEC2_ASR_LARGE_100H",
        "WAV2VEC2_ASR_LARGE_960H",
        "WAV2VEC2_ASR_LARGE_LV60K_10M",
        "WAV2VEC2_ASR_LARGE_LV60K_100H",
        "WAV2VEC2_ASR_LARGE_LV60K_960H",
        "HUBERT_ASR_LARGE",
        "HUBERT_ASR_XLARGE",
        "VOXPOPULI_ASR_BASE_10K_DE",
        "VOXPOPULI_ASR_BASE_10K_EN",
        "VOXPOPULI_ASR_BASE_10K_ES",
        "VOXPOPULI_ASR_BASE_10K_FR",
        "VOXPOPULI_ASR_BASE_10K_IT",
    )
    architectures = (
        "wav2vec2_model",
        "wav2vec2_base",
        "wav2vec2_large",
        "wav2vec2_large_lv60k",
        "hubert_base",
        "hubert_large",
        "hubert_xlarge",
        "wavlm_model",
        "wavlm_base",
        "wavlm_large",
    )

    def _keys(self, bundle: Any) -> tuple[str, ...]:
        return (f"models/{bundle._path}",)

    def _cached_in(self, key: str) -> str:
        del key
        return "checkpoints"

    def _of_bundle(self, bundle: Any) -> torch.nn.Module:
        import torchaudio

        made: torch.nn.Module = torchaudio.models.wav2vec2_model(**bundle._params)
        return made

    def _trimmed(
        self, state: dict[str, torch.Tensor], network: torch.nn.Module
    ) -> dict[str, torch.Tensor]:
        """Without the rows of fairseq's files for classes that were never trained."""
        names = [name for name in ("aux.weight", "aux.bias") if name in state]
        if not self.bundle or all(len(state[name]) == len(network.aux.bias) for name in names):
            return state
        unused = self._source()._remove_aux_axis
        kept = [row for row in range(len(state["aux.bias"])) if row not in unused]
        return {**state, **{name: state[name][kept] for name in names}}

    def _prepare(self, network: torch.nn.Module) -> None:
        import torch

        layers = network.feature_extractor.conv_layers
        self.shortest = 1
        for layer in reversed(layers):
            self.shortest = (self.shortest - 1) * layer.stride + layer.kernel_size
        masked = not self.config["architecture"].startswith("wavlm") if not self.bundle else True
        by_length = isinstance(layers[0].layer_norm, torch.nn.GroupNorm)
        self.padding = "exact" if masked and not by_length else "none"
        self._normalised = (
            self._source()._normalize_waveform
            if self.bundle
            else self.config.get("normalize_waveform") is True
        )

    def _scores(
        self, batch: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        if self._normalised:  # clip by clip: torchaudio's own wrapper would take the whole batch
            batch = batch.clone()
            for row, length in zip(batch, lengths.tolist(), strict=True):
                row[:length] = torch.nn.functional.layer_norm(row[:length], (length,))
        if self.padding == "exact":
            scores, frames = self._network(batch, lengths)
            return scores, frames
        scores, _ = self._network(batch)
        return scores, torch.full_like(lengths, scores.shape[1])


@dataclass(kw_only=True)
class Featured(Recogniser):
    """Base of recognisers that may hear a transform of torchaudio instead of samples."""

    def _prepare(self, network: torch.nn.Module) -> None:
        del network
        self.shortest = self.sample_rate // 10
        self._transform = self._made_transform()
        if self._transform is not None:
            self._transform = self._transform.to(self.device)

    def _made_transform(self) -> Any:
        import torchaudio

        features = self.config.get("features")
        if features is None:
            return None
        name = features.get("transform") if isinstance(features, dict) else None
        if name not in TRANSFORMS:
            raise ValueError(
                f"{self._folder / CONFIG}: expected features with a transform of "
                f"{', '.join(TRANSFORMS)}, found {features!r:.100}"
            )
        try:
            return getattr(torchaudio.transforms, name)(**features.get("parameters", {}))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self._folder / CONFIG}: expected the arguments of "
                f"torchaudio.transforms.{name}, found {type(error).__name__}: {error}"
            ) from error


@dataclass(kw_only=True)
class DeepSpeech(Featured):
    """Deep Speech by torchaudio: dense layers and one recurrent layer, both ways in time.

    Hannun et al., "Deep Speech: scaling up end-to-end speech recognition", 2014. It needs a
    checkpoint with `features`. The recurrence runs over padding, so only clips of one length share
    a batch.
    """

    architectures = ("DeepSpeech",)

    def _made_transform(self) -> Any:
        made = super()._made_transform()
        if made is None:
            raise ValueError(
                f"{self._folder / CONFIG}: expected features, found none: say which transform "
                "the network was trained on"
            )
        return made

    def _scores(
        self, batch: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        features = self._transform(batch).transpose(1, 2)  # (clips, frames, features)
        scores = self._network(features[:, None])
        return scores, torch.full_like(lengths, scores.shape[1])


@dataclass(kw_only=True)
class Wav2Letter(Featured):
    """Wav2Letter by torchaudio: convolutions over samples or over features.

    Collobert, Puhrsch & Synnaeve, "Wav2Letter: an end-to-end ConvNet-based speech recognition
    system", 2016. Biases sound behind a clip's end, so only clips of one length share a batch.
    """

    architectures = ("Wav2Letter",)

    def _scores(
        self, batch: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        heard = batch[:, None] if self._transform is None else self._transform(batch)
        scores = self._network(heard).transpose(1, 2)
        return scores, torch.full_like(lengths, scores.shape[1])
