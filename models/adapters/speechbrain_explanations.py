"""PIQ and L2I by speechbrain, with the classifier that each checkpoint was trained for.

A checkpoint is a folder as speechbrain publishes PIQ-ESC50: one `hyperparams.yaml` with the
classifier (`embedding_model`, `classifier`), the interpreter (`psi`; of L2I also `nmf_decoder` and
`theta`) and the STFT. Here it is two models: what classifies, and what explains it.

Where this departs from the library's `interpret_batch`: the class is the one that is asked about; a
threshold is taken from each clip's own maximum, where the library takes the batch's, so that an
explanation hung on its neighbours; and what is answered is the gain of each cell of the STFT, as
every explainer here does, sampled at the cells that `models.explaining` puts masks on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models import explaining
from models.adapters.pooling import refuse_empty
from models.adapters.speechbrain_loading import SpeechBrain
from models.base import Model, Signal, Vector
from models.explaining import Explainable, Heard, Mask
from models.interpreters import Asking

if TYPE_CHECKING:
    import torch

TINY = 1e-8


@dataclass(kw_only=True)
class _Interpreted(SpeechBrain):
    """Base of both: what a checkpoint's network hears."""

    interface: ClassVar[str] = "interpretability.PIQAudioInterpreter"
    sample_rate = 16_000
    shortest = 8_000  # frames enough for five halvings


@dataclass(kw_only=True)
class SoundClassifier(_Interpreted, Explainable):
    """The classifier of a PIQ or L2I checkpoint; clips of one length share a batch."""

    task: ClassVar[str] = "classification"

    def _build(self) -> Any:
        network = super()._build()
        names = network.hparams.label_encoder.ind2lab
        self.labels = tuple(str(names[place]) for place in sorted(names))
        return network

    def classify(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Vector]:
        """(classes,) float32 logits of each signal; FailedPrediction for one without a sample."""
        self._check_rate(sample_rate)
        return self._answers(signals, refuse_empty)

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Vector]:
        return list(self.listen(batch, lengths).logits.float().cpu().numpy())

    def listen(self, batch: torch.Tensor, lengths: torch.Tensor) -> Heard:
        """Logits, the embedding that they come from, and the map before it is averaged."""
        del lengths  # all are the batch's
        self.load()
        spectra, _, _ = self._network.preprocess(batch)
        hidden, embedding, logits, _ = self._network.classifier_forward(spectra)
        return Heard(logits, embedding, (hidden,))


@dataclass(kw_only=True)
class _Interpreter(_Interpreted, Asking):
    """Base of explainers: their classifier is that of their own checkpoint."""

    def check(self, classifier: Model) -> None:
        """ValueError unless the classifier is of the same checkpoint."""
        super().check(classifier)
        if not isinstance(classifier, SoundClassifier) or classifier.weights != self.weights:
            raise ValueError(
                f"{self.checkpoint}: expected the classifier of this very checkpoint, found "
                f"{getattr(classifier, 'checkpoint', type(classifier).__name__)}: explain "
                "speechbrain-sound-classifier with the same checkpoint"
            )

    def _asked(self, classifier: Any, classes: list[int]) -> Callable[[Any, Any], list[Mask]]:
        """What computes gains (frames, frequencies), at the checkpoint's own STFT."""
        import torch

        del classifier  # it is in the checkpoint

        def compute(batch: torch.Tensor, _: torch.Tensor) -> list[Mask]:
            spectra, _, _ = self._network.preprocess(batch)
            hidden = self._network.classifier_forward(spectra)[0]
            places = torch.tensor(classes, device=batch.device)
            return list(self._gains(hidden, places, spectra).float().cpu().numpy())

        return compute

    def _gains(
        self, hidden: torch.Tensor, classes: torch.Tensor, spectra: torch.Tensor
    ) -> torch.Tensor:
        raise NotImplementedError

    def _on_grid(self, gains: NDArray[np.float32], samples: int) -> Mask:
        """A mask of the clip, by linear interpolation; 0 behind the last frame that was told."""
        rate = self.sample_rate or 0
        frames, bins = explaining.shape(samples, rate)
        ours = explaining.stft(rate)
        hop = self._network.mods.compute_stft.hop_length
        first = ours.window_samples // 2 - (ours.window_samples - ours.hop_samples)
        times = (np.arange(frames) * ours.hop_samples + first).clip(0) / hop
        pitches = np.linspace(0, gains.shape[1] - 1, bins)
        found = _lerp(_lerp(gains, times, axis=0), pitches, axis=1)
        found[times > gains.shape[0]] = 0
        return np.ascontiguousarray(found.clip(0, 1), dtype=np.float32)


def _lerp(values: NDArray[Any], places: NDArray[np.float64], *, axis: int) -> NDArray[Any]:
    """Values at places between their numbers along an axis; the last goes on."""
    places = places.clip(0, values.shape[axis] - 1)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (places - low).reshape([-1 if turn == axis else 1 for turn in range(values.ndim)])
    found: NDArray[Any] = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return found


@dataclass(kw_only=True)
class PiqInterpreter(_Interpreter):
    """PIQ (Paissan et al., arXiv 2303.12659) by speechbrain, such as speechbrain/PIQ-ESC50."""

    def _gains(
        self, hidden: torch.Tensor, classes: torch.Tensor, spectra: torch.Tensor
    ) -> torch.Tensor:
        """(clips, frames, frequencies): what the library keeps of each cell, as a magnitude."""
        import torch

        hparams = self._network.hparams
        found = self._network.mods.psi
        told = found(hidden, classes)[0] if hparams.use_vq else found.decoder(hidden)
        told = told.squeeze(1)[:, : spectra.shape[1], : spectra.shape[2]]
        if hparams.use_mask_output:
            masks = torch.sigmoid(told)
        else:
            told = torch.nn.functional.softplus(told)
            highest = told.amax((1, 2), keepdim=True)
            masks = (told > highest * hparams.mask_th).float()
        heard = spectra[:, : masks.shape[1], : masks.shape[2]]
        ratio = torch.expm1(masks * heard) / torch.expm1(heard).clamp(min=TINY)
        return torch.where(heard > TINY, ratio, masks) ** (0.5 / hparams.spec_mag_power)


@dataclass(kw_only=True)
class L2iInterpreter(_Interpreter):
    """L2I (Parekh et al., arXiv 2202.11479) by speechbrain: `PsiOptimized`, `Theta` and
    `NMFDecoderAudio`; components whose relevance is above `relevance_th` are kept.

    `Theta` weighs so many frames as it was made for: a shorter clip's are filled with zeros.
    FailedPrediction for a longer one.
    """

    def _gains(
        self, hidden: torch.Tensor, classes: torch.Tensor, spectra: torch.Tensor
    ) -> torch.Tensor:
        """(clips, frames, frequencies): the share of the components kept in all."""
        mods, hparams = self._network.mods, self._network.hparams
        del spectra
        strengths = mods.psi(hidden)[0].squeeze(1).transpose(1, 2)  # (clips, components, frames)
        pooled = mods.theta.hard_att(self._filled_up(strengths)).squeeze(2)
        spoken = pooled * mods.theta.classifier[0].weight[classes]
        relevance = spoken / spoken.abs().amax(1, keepdim=True).clamp(min=TINY)
        gates = (relevance > hparams.relevance_th).float()[:, :, None]
        kept, every = (mods.nmf_decoder(each) for each in (strengths * gates, strengths))
        return (kept / every.clamp(min=TINY)).transpose(1, 2)

    def _filled_up(self, strengths: torch.Tensor) -> torch.Tensor:
        import torch

        from metrics import FailedPrediction

        frames = self._network.mods.theta.hard_att.in_features
        if strengths.shape[2] > frames:
            raise FailedPrediction(
                "too_long", f"expected {frames} frames at most, found {strengths.shape[2]}"
            )
        return torch.nn.functional.pad(strengths, (0, frames - strengths.shape[2]))
