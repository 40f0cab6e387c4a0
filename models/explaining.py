"""Explanations: what a classifier offers to be explained, what an explainer owes, how a mask is put
on a sound.

An explainer is asked about clips, a classifier and one of its classes a clip, and answers a mask,
0 to 1, over the cells of a spectrogram: the same STFT for every explainer, `stft`. What the mask
keeps, x_in = ISTFT(mask · STFT(x)), and what it removes, x_out = x - x_in, are sounds again, and
the classifier is asked about both. A mask is rounded to 8 bits first, as it is stored, so that a
stored mask gives the very sounds that were judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.adapters.pooling import refuse_empty
from models.base import Model, Signal, check_rate, check_signal
from models.spectra import OVERLAP, STFT

if TYPE_CHECKING:
    import torch

WINDOW_SECONDS = 0.032  # a window of every explanation's spectrogram; four of them over each sample
LEVELS = 255  # steps of a mask

Mask: TypeAlias = NDArray[np.float32]
"""(frames, frequencies) float32, 0 (removed) to 1 (kept)."""


def stft(sample_rate: int) -> STFT:
    """The transform that masks are meant for: frames of 32 ms, every 8 ms, 0 Hz to half the rate.

    Zeros behind a clip change nothing of its own frames, of which it has `frames(samples)`.
    """
    return STFT.of_seconds(WINDOW_SECONDS, sample_rate=check_rate(sample_rate), overlap=OVERLAP)


def shape(samples: int, sample_rate: int) -> tuple[int, int]:
    """(frames, frequencies) of the mask of a clip."""
    found = stft(sample_rate)
    return found.frames(samples), found.window_samples // 2 + 1


def checked(signals: Sequence[Signal]) -> list[Signal]:
    """The clips, (time,) float32; ValueError for another shape, FailedPrediction("empty") for one
    without a sample, of which no mask would say anything.
    """
    clips = [check_signal(signal).astype(np.float32) for signal in signals]
    for clip in clips:
        if not len(clip):
            refuse_empty(clip)
    return clips


def rounded(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """A mask in the steps that it is stored in; ValueError for one outside 0 to 1, or of NaN."""
    found = np.asarray(mask, dtype=np.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError("expected a mask from 0 to 1, found values outside, or NaN")
    return np.round(LEVELS * found).astype(np.uint8)


def kept(signal: Signal, mask: NDArray[np.uint8], sample_rate: int) -> Signal:
    """x_in of one clip, (time,) float32, by a rounded mask; ValueError for one of another shape."""
    wanted = shape(len(signal), sample_rate)
    if mask.shape != wanted:
        raise ValueError(f"expected a mask of {wanted} frames and frequencies, found {mask.shape}")
    transform = stft(sample_rate)
    spectrum = transform.forward(np.asarray(signal, np.float64)) * (mask / LEVELS)
    return transform.inverse(spectrum, len(signal)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Heard:
    """What a classifier makes of a batch of clips.

    `logits` (clips, classes). `embedding` (clips, dim): what the last layer decides by. `hidden`:
    outputs of hidden layers, the first to the last before time is averaged away, each (clips,
    channels, frames) or (clips, channels, frames, bands); frames and bands divide the batch's whole
    duration and the layer's whole range of frequencies evenly (see `Explainable.frequencies`).
    """

    logits: torch.Tensor
    embedding: torch.Tensor
    hidden: tuple[torch.Tensor, ...] = ()


class Explainable:
    """A classifier in torch that says more than logits. Every classifier can be explained by those
    explainers that only ask `classify`; this is for those that look inside.
    """

    gradients: bool = True
    """Whether gradients flow from everything in `Heard` back to the samples."""

    def listen(self, batch: torch.Tensor, lengths: torch.Tensor) -> Heard:
        """What it makes of (clips, time) float32 at its own rate, on its own device, zeros behind a
        clip's end; `lengths` (clips,) int64. Clips of unlike lengths only where `padding` is
        "exact". The same logits as `classify`; no inference mode: the caller says what is recorded.
        """
        raise NotImplementedError

    def frequencies(self, bands: int) -> NDArray[np.float64]:
        """Hz in the middle of each of so many bands of a hidden layer, the lowest first.

        By default they divide 0 Hz to half the rate evenly; a classifier on mel bands says so here.
        """
        rate = self.sample_rate or 0  # type: ignore[attr-defined]
        return (np.arange(bands) + 0.5) / bands * rate / 2


def opens(classifier: Model) -> bool:
    """Whether a classifier can be looked into, with gradients."""
    return isinstance(classifier, Explainable) and classifier.gradients


class Explainer(Model):
    """Base of explainers, dataclasses all.

    Of a batch of clips it answers one mask a clip, which depends on the clip, the class and the
    classifier alone: not on its neighbours, order, or earlier calls; what is drawn is drawn from
    the clip. It never changes the classifier.
    """

    task: ClassVar[str] = "explanation"
    inside: ClassVar[bool] = False
    """Whether it needs an `Explainable` classifier, with gradients."""

    def explain(
        self,
        signals: Sequence[Signal],
        classifier: Model,
        classes: Sequence[int],
        *,
        sample_rate: int,
        **_references: Any,
    ) -> list[Mask]:
        """A mask for each (time,) signal, of `shape(len(signal), sample_rate)`.

        `classifier` is loaded, and `sample_rate` its own; `classes` are places in its `labels`, one
        a clip. An oracle (`role = "oracle"`) is handed `references=`, too: (2, time) a clip, the
        true source of the class and the rest. Raises ValueError for a classifier that it cannot
        explain, such as another than it was trained for.
        """
        raise NotImplementedError

    def check(self, classifier: Model) -> None:
        """ValueError for a classifier that this one cannot explain; told before any work.

        Called on models that are not loaded; `classifier.weights` tells one from another.
        """
        if self.inside and not opens(classifier):
            raise ValueError(
                f"{type(self).__name__}: expected a classifier whose gradients can be asked for, "
                f"found {type(classifier).__name__}: explain it by occlusion or lime"
            )
