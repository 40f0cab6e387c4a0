"""REAL-M's blind estimator: the SI-SNR of separated signals without the true ones.

Subakan et al., "REAL-M: Towards speech separation on real mixtures" (arXiv 2110.10812). Its
published inference repeats the mixtures of a batch in another order than their estimates, divides
by a deviation of zero for silence and adds noise in its pooling; none of this is done here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.adapters.speechbrain_loading import SpeechBrain
from models.base import Model, Signal, check_number

if TYPE_CHECKING:
    import torch

FEWEST = 65  # samples that leave two frames, the least that have a deviation
SILENT = 1e-8  # deviation under which a signal is digital silence or constant


@dataclass(kw_only=True)
class RealMEstimator(SpeechBrain):
    """How well a separator does on a mixture, as SI-SNR in dB, without the true sources.

    `separator` is a model's name, `separator_parameters` what it is asked with, `sources` how many
    talkers it is to part; with "" it has none, and judges estimates that others made. The published
    network, at 8 kHz, was trained on two talkers and answers from 0 to 10 dB; the share of answers
    at either end belongs beside their mean. Nothing in a clip is the truth of this value: it is
    stored, not scored.
    """

    task: ClassVar[str] = "quality"
    interface: ClassVar[str] = "metrics.SNREstimator"
    sample_rate = 8_000
    judges = True

    separator: str = "sepformer-whamr"
    separator_parameters: Mapping[str, Any] = field(default_factory=dict)
    sources: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "sources", 1, 100)
        self._separator = self._made() if self.separator else None

    @property
    def weights(self) -> str | None:
        """sha256 over the checkpoint's and the separator's fingerprint: both make the answer."""
        from models.registry import fingerprint

        if self._separator is None:
            return super().weights
        both = f"{super().weights} {fingerprint(self._separator, self.separator)}"
        return hashlib.sha256(both.encode()).hexdigest()

    def load(self) -> None:
        """Load the network and the separator; ValueError where they hear different rates."""
        super().load()
        if self._separator is None:
            return
        self._separator.load()
        if self._separator.sample_rate not in (None, self.sample_rate):
            raise ValueError(
                f"{type(self).__name__}: expected a separator at {self.sample_rate} Hz, found "
                f"{self.separator} at {self._separator.sample_rate} Hz: choose another"
            )

    def warm_up(self) -> None:
        """Compute a second, so that the first clip is not charged for what is set up then."""
        self.load()
        rate = self.sample_rate or 8_000
        second = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
        if self._separator is None:
            self.judge([second], [second[None]], sample_rate=rate)
        else:
            self.estimate([second], sample_rate=rate)

    def estimate(self, signals: Sequence[Signal], *, sample_rate: int) -> list[dict[str, float]]:
        """{"si_snr": dB} of each (time,) mixture: the mean over its estimates; NaN where one is
        silent, or too little is heard. TypeError where it has no separator.
        """
        self._check_rate(sample_rate)
        if self._separator is None:
            self._refuse("estimate")
        parted = self._separator.separate(signals, sample_rate=sample_rate, sources=self.sources)
        found = (
            self.estimate_si_snr(mixture, estimates, sample_rate)
            for mixture, estimates in zip(signals, parted, strict=True)
        )
        return [{"si_snr": float(np.mean(values))} for values in found]

    def judge(
        self, mixtures: Sequence[Signal], estimates: Sequence[Signal], *, sample_rate: int
    ) -> list[dict[str, list[float]]]:
        """{"si_snr": dB a source} of each clip: see `models.base` and `estimate_si_snr`."""
        return [
            {"si_snr": self.estimate_si_snr(mixture, parted, sample_rate).astype(float).tolist()}
            for mixture, parted in zip(mixtures, estimates, strict=True)
        ]

    def _made(self) -> Model:
        """The separator, not loaded; ValueError unless it parts one channel by what it hears."""
        from models.registry import create, model_class

        kind = model_class(self.separator)
        if kind.task != "separation" or kind.array or kind.role == "oracle":
            raise ValueError(
                f"{type(self).__name__}: expected a separator of one channel that needs no truth, "
                f"got {self.separator!r}; choose one that `realear list models` has"
            )
        settings = dict(self.separator_parameters)
        if "device" in kind.__dataclass_fields__:  # type: ignore[attr-defined]
            settings = {"device": self.device, "precision": self.precision, **settings}
        return create(self.separator, **settings)

    def estimate_si_snr(
        self, mixture: Signal, estimates: Signal, sample_rate: int
    ) -> NDArray[np.float32]:
        """(sources,) dB of `estimates`, (sources, time), of `mixture`, (time,).

        NaN where an estimate is silent or constant, everywhere where the mixture is or under
        65 samples are heard. ValueError for other shapes or another rate than the network's.
        """
        self._check_rate(sample_rate)
        heard, parted = np.asarray(mixture), np.asarray(estimates)
        if heard.ndim != 1 or parted.ndim != 2 or parted.shape[1] != len(heard):
            raise ValueError(
                f"expected a mixture (time,) and estimates (sources, time) of one length, got "
                f"{heard.shape} and {parted.shape}"
            )
        answer = np.full(len(parted), np.nan, np.float32)
        if len(heard) < FEWEST or np.std(heard) < SILENT:
            return answer
        clear = np.flatnonzero(np.std(parted, axis=1) >= SILENT)
        for number in clear:  # one by one: an answer depends on no other estimate
            pair = np.stack([parted[number], heard]).astype(np.float32)
            [answer[number]] = self._batched([pair.ravel()], self._estimated)
        return answer

    def _estimated(self, batch: torch.Tensor, lengths: torch.Tensor) -> list[float]:
        """The dB of one estimate, which stands before its mixture in one row."""
        del lengths
        pair = batch.reshape(1, 2, -1)
        network = self._network
        scaling = getattr(network.hparams, "separation_norm_type", None)
        if scaling == "stnorm":
            pair = (pair - pair.mean(-1, keepdim=True)) / pair.std(-1, keepdim=True)
        elif scaling == "max":
            pair = pair / pair.amax(-1, keepdim=True)
        frames = network.mods.encoder(pair).transpose(1, 2)
        share = network.mods.encoder_out(network.hparams.stat_pooling(frames))
        return [float(network.gettrue_snrrange(share.float().squeeze()))]
