"""torchaudio's separators: Conv-TasNet for talkers, Hybrid Demucs for the stems of music."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.adapters.torchaudio_bundles import Bundled, check_rate_of
from models.arrays import check_channels
from models.base import Signal, check_number, check_sources

if TYPE_CHECKING:
    import torch


@dataclass(kw_only=True)
class ConvTasNet(Bundled):
    """Conv-TasNet by torchaudio: as many sources as the checkpoint has, at its own level.

    Luo & Mesgarani, "Conv-TasNet: surpassing ideal time-frequency magnitude masking for speech
    separation", IEEE/ACM TASLP 27(8), 2019, the non-causal one. It normalises over a clip's whole
    length, which padding would change, so only clips of one length share a batch. Trained on
    SI-SNR, it is free in the scale of what it answers. A clip with another number of sources is a
    failure, "wrong_sources".
    """

    task = "separation"
    version = "1"
    bundles = ("CONVTASNET_BASE_LIBRI2MIX",)
    bundle_rate = 8_000
    architectures = ("ConvTasNet", "conv_tasnet_base")

    def separate(
        self, mixtures: Sequence[Signal], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) estimates of each (time,) mixture."""
        check_rate_of(self, sample_rate)
        self.load()
        check_count(self._network.num_sources, sources)
        found = self._answers(mixtures, empty=lambda _: np.zeros((sources, 0), np.float32))
        return [answer[:, : len(mix)] for answer, mix in zip(found, mixtures, strict=True)]

    def _build(self) -> Any:
        return self.filled()

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Signal]:
        del lengths  # all alike
        return list(self._network(batch[:, None]).float().cpu().numpy())

    def _keys(self, bundle: Any) -> tuple[str, ...]:
        return (bundle._model_path,)

    def _of_bundle(self, bundle: Any) -> torch.nn.Module:
        made: torch.nn.Module = bundle._model_factory_func()
        return made


@dataclass(kw_only=True)
class HybridDemucs(Bundled):
    """Hybrid Demucs by torchaudio: music into stems, each the mean of its channels.

    Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021. It
    hears as many channels as it was trained on: a clip with another number is mixed down and
    repeated. A clip is brought to mean 0 and variance 1 by its mono sum, cut into segments that
    overlap, and put together again under triangular weights, as the author's own program does. Each
    segment is computed by itself, for its length matters to normalisation; a clip of another number
    of stems is a failure, "wrong_sources".
    """

    task = "separation"
    version = "1"
    array = True
    bundles = ("HDEMUCS_HIGH_MUSDB", "HDEMUCS_HIGH_MUSDB_PLUS")
    bundle_rate = 44_100
    architectures = ("HDemucs", "hdemucs_low", "hdemucs_medium", "hdemucs_high")

    segment_seconds: float = 10.0
    overlap: float = 0.25
    """Share of a segment that the next one has, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "segment_seconds", 0.5, 600.0)
        check_number(self, "overlap", 0.0, 0.5)

    def separate(
        self, mixtures: Sequence[NDArray[np.float32]], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) estimates of each (channels, time) mixture."""
        check_rate_of(self, sample_rate)
        self.load()
        check_count(len(self._network.sources), sources)
        return [self._separate(check_channels(mix)) for mix in mixtures]

    def warm_up(self) -> None:
        """Compute a second, so that the first clip is not charged for what is set up then."""
        self.load()
        self._separate(np.tile(np.sin(np.arange(self.sample_rate) / 20.0), (2, 1)))

    def _build(self) -> Any:
        network = self.filled()
        self.shortest = int(network.nfft)
        return network

    def _separate(self, mixture: NDArray[np.float64]) -> Signal:
        import torch

        samples = mixture.shape[-1]
        stems = len(self._network.sources)
        if not samples:
            return np.zeros((stems, 0), np.float32)
        mono = mixture.mean(axis=0)
        mean, deviation = mono.mean(), mono.std() + TINY
        wanted = self._network.audio_channels
        heard = mixture if len(mixture) == wanted else np.tile(mono, (wanted, 1))
        signal = torch.from_numpy(((heard - mean) / deviation).astype(np.float32))
        with torch.inference_mode(), self._autocast():
            found = self._put_together(signal.to(self.device))
        return np.asarray(found.cpu().numpy() * deviation + mean, dtype=np.float32)

    def _put_together(self, signal: torch.Tensor) -> torch.Tensor:
        """(stems, time) of (channels, time), segment by segment."""
        import torch

        samples = signal.shape[-1]
        length = round(self.segment_seconds * self.sample_rate)
        whole = torch.zeros(len(self._network.sources), samples, device=self.device)
        total = torch.zeros(samples, device=self.device)
        step = round(length * (1 - self.overlap))
        for start in range(0, max(1, samples - (length - step)), step):  # until the end is covered
            segment = signal[:, start : start + length]
            size = segment.shape[-1]
            padded = torch.nn.functional.pad(segment, (0, max(0, self.shortest - size)))
            found = self._network(padded[None])[0].mean(dim=1)[:, :size].float()
            weight = _triangle(length, self.device)[:size]
            whole[:, start : start + size] += found * weight
            total[start : start + size] += weight
        return whole / total

    def _keys(self, bundle: Any) -> tuple[str, ...]:
        return (bundle._model_path,)

    def _of_bundle(self, bundle: Any) -> torch.nn.Module:
        made: torch.nn.Module = bundle._model_factory_func()
        return made


TINY = 1e-8  # of a deviation: silence stays silence


def _triangle(length: int, device: str) -> torch.Tensor:
    """Weights of a segment's samples: highest in the middle, above 0 at the ends."""
    import torch

    rise = torch.arange(1, length + 1, device=device)
    return torch.minimum(rise, rise.flip(0)) / length


def check_count(known: int, asked: int) -> None:
    """FailedPrediction unless a network has as many sources as it is asked for."""
    from metrics import FailedPrediction  # 20 ms that naming a model need not pay

    if check_sources(asked) != known:
        detail = f"the network parts {known} sources, the clip has {asked}"
        raise FailedPrediction("wrong_sources", detail)
