"""Explainers without training: what a class owes to every cell, found by gradients or by trying.

Every one of them asks how the class's logit depends on a mask m over the clip's spectrogram,
f_c(ISTFT(m · STFT(x))), all cells kept (m = 1) or none (m = 0): what is found is about the clip's
own cells, so that it can be heard. Relevances become masks by one rule, `models.attribution.soft`.
Saliency, integrated gradients and occlusion are captum's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models import explaining
from models.base import Model, Signal, check_number
from models.explainers import drawn_from
from models.explaining import Explainable, Explainer, Mask
from models.neural import require

if TYPE_CHECKING:
    from torch import Tensor

    from models.masking import Batch

Floats = NDArray[np.float64]
MOST_AT_ONCE = 64  # masks of a clip
AT_ONCE = 40.0  # seconds of masked clips heard together, where a classifier asks for less


def soft(relevance: NDArray[Any], area: float) -> Mask:
    """A mask of relevances, those below 0 counting as 0: an `area` of the cells is kept whole, the
    others by how near they come. Where fewer cells are relevant, all of these are kept whole.
    """
    found = np.maximum(np.asarray(relevance, np.float64), 0.0)
    if not found.any():
        return np.zeros(found.shape, np.float32)
    whole = min(found.size, max(1, round(area * found.size)))
    threshold = np.partition(found, found.size - whole, axis=None)[found.size - whole]
    if not threshold:
        return (found > 0).astype(np.float32)
    return np.asarray(np.minimum(1.0, found / threshold), np.float32)


class Asked:
    """A batch of clips whose classifier is asked about masks over them."""

    def __init__(self, classifier: Model, batch: Batch, sample_rate: int) -> None:
        from models.masking import Spectrograms

        self.classifier, self.batch, self.sample_rate = classifier, batch, sample_rate
        self._transform = Spectrograms(sample_rate, batch.samples.device)
        self.spectra = self._transform.forward(batch.samples)

    @property
    def more(self) -> tuple[Tensor, Tensor]:
        """What `logits` takes beside the masks, clip by clip."""
        return self.spectra, self.batch.lengths

    @property
    def opened(self) -> Explainable:
        """The classifier, of those that can be looked into."""
        assert isinstance(self.classifier, Explainable)  # as `check` found
        return self.classifier

    def ones(self) -> Tensor:
        """Masks (clips, frames, frequencies) that keep all."""
        return self.spectra.real.new_ones(self.spectra.shape)

    def parts(self, masks: Tensor, spectra: Tensor, lengths: Tensor) -> Tensor:
        """(clips, time) of what the masks keep."""
        from models.masking import silenced

        kept = self._transform.inverse(spectra * masks, self.batch.samples.shape[1])
        return silenced(kept, lengths)

    def logits(self, masks: Tensor, spectra: Tensor, lengths: Tensor) -> Tensor:
        """(clips, classes) of what the masks keep, by whatever classifier."""
        import torch

        parts = self.parts(masks, spectra, lengths)
        if explaining.opens(self.classifier):
            return self.opened.listen(parts, lengths).logits
        pairs = zip(parts.detach().cpu().numpy(), lengths.tolist(), strict=True)
        clips = [part[:length] for part, length in pairs]
        said = self.classifier.classify(clips, sample_rate=self.sample_rate)
        return torch.from_numpy(np.stack(said).astype(np.float32))

    def alone(self, number: int) -> Asked:
        """One clip of the batch, cut to its length."""
        length = int(self.batch.lengths[number])
        one = slice(number, number + 1)
        batch = type(self.batch)([0], self.batch.samples[one, :length], self.batch.lengths[one])
        return Asked(self.classifier, batch, self.sample_rate)

    def at_once(self) -> int:
        """How many masks of every clip may be asked about together; captum takes as much memory
        even where there are fewer.
        """
        seconds = self.batch.samples.numel() / self.sample_rate
        most = int(max(self.classifier.batch_seconds, AT_ONCE) / seconds)
        return min(MOST_AT_ONCE, max(1, most))


@dataclass(kw_only=True)
class Attribution(Explainer):
    """Base of all. `area`: share of a clip's cells that are kept whole."""

    version = "1"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch")

    alike: ClassVar[bool] = False
    """Whether it goes by the length of the batch, so that only clips of one length share one."""

    area: float = 0.1

    def __post_init__(self) -> None:
        check_number(self, "area", 0.0, 1.0)

    def explain(
        self,
        signals: Sequence[Signal],
        classifier: Model,
        classes: Sequence[int],
        *,
        sample_rate: int,
        **_references: Any,
    ) -> list[Mask]:
        """Relevances of every clip as a mask; see `soft`."""
        from models.masking import batches

        self.check(classifier)
        clips = explaining.checked(signals)
        masks: list[Any] = [None] * len(clips)
        for batch in batches(classifier, clips, sample_rate, alike=self.alike):
            asked = Asked(classifier, batch, sample_rate)
            found = self.relevance(asked, [classes[number] for number in batch.numbers])
            for number, relevance in zip(batch.numbers, found, strict=True):
                frames, _ = explaining.shape(len(clips[number]), sample_rate)
                masks[number] = soft(relevance[:frames], self.area)
        return masks

    def relevance(self, asked: Asked, classes: Sequence[int]) -> Sequence[NDArray[Any]]:
        """(frames, frequencies) of each clip of a batch; frames behind its end do not count."""
        raise NotImplementedError


@dataclass(kw_only=True)
class ByCaptum(Attribution):
    """Base of what captum computes (Kokhlikyan et al., arXiv 2009.07896)."""

    libraries: ClassVar[tuple[str, ...]] = (*Attribution.libraries, "captum")

    def load(self) -> None:
        """ValueError saying what to install, where captum is missing."""
        require("captum.attr", "explain")

    def relevance(self, asked: Asked, classes: Sequence[int]) -> Sequence[NDArray[Any]]:
        """By captum, on the classifier's own device."""
        import torch

        wanted = torch.tensor(classes, device=asked.spectra.device)
        masks = asked.ones()
        found = self.by(require("captum.attr", "explain"), asked, masks, wanted)
        values: NDArray[Any] = found.detach().cpu().numpy()
        return list(values)

    def by(self, captum: Any, asked: Asked, masks: Tensor, classes: Tensor) -> Tensor:
        """Attributions of all cells, (clips, frames, frequencies)."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Saliency(ByCaptum):
    """|∂f_c / ∂m| at m = 1: Simonyan, Vedaldi & Zisserman, 2014, here gradient × input of the
    spectrogram, since m multiplies it.
    """

    inside = True

    def by(self, captum: Any, asked: Asked, masks: Tensor, classes: Tensor) -> Tensor:
        """One gradient."""
        masks.requires_grad_()
        return captum.Saliency(asked.logits).attribute(
            masks, target=classes, additional_forward_args=asked.more
        )


@dataclass(kw_only=True)
class IntegratedGradients(ByCaptum):
    """∫ ∂f_c / ∂m along m from 0 (silence) to 1: Sundararajan, Taly & Yan, 2017. Cells that speak
    against the class count as 0.
    """

    inside = True

    steps: int = 32
    """Of the integral, by Gauss and Legendre."""

    def __post_init__(self) -> None:
        check_number(self, "steps", 2, 1000)
        super().__post_init__()

    def by(self, captum: Any, asked: Asked, masks: Tensor, classes: Tensor) -> Tensor:
        """A gradient a step, the clips of a batch together."""
        return captum.IntegratedGradients(asked.logits).attribute(
            masks,
            baselines=0.0,
            target=classes,
            additional_forward_args=asked.more,
            n_steps=self.steps,
            internal_batch_size=len(masks),
        )


@dataclass(kw_only=True)
class Occlusion(ByCaptum):
    """What the logit loses when a window of the spectrogram is silenced: Zeiler & Fergus, 2014.

    Windows of `seconds` × `hertz`, every half of their size; for every classifier.
    """

    alike = True

    seconds: float = 0.25
    hertz: float = 1000.0

    def __post_init__(self) -> None:
        _check_cells(self)
        super().__post_init__()

    def by(self, captum: Any, asked: Asked, masks: Tensor, classes: Tensor) -> Tensor:
        """A mask a window."""
        import torch

        window = tuple(
            min(size, whole)
            for size, whole in zip(_cells(self, asked.sample_rate), masks.shape[1:], strict=True)
        )
        with torch.no_grad():
            return captum.Occlusion(asked.logits).attribute(
                masks,
                sliding_window_shapes=window,
                strides=tuple(max(1, size // 2) for size in window),
                baselines=0.0,
                target=classes,
                additional_forward_args=asked.more,
                perturbations_per_eval=asked.at_once(),
            )


@dataclass(kw_only=True)
class GradCAM(Attribution):
    """Where a hidden layer's channels that speak for the class are active: Selvaraju et al., 2017.

    The last hidden layer, its channels weighted by the mean of ∂f_c over it, brought to the cells
    by linear interpolation in time and in Hz. Of a layer without bands all frequencies of a frame
    are alike.
    """

    inside = True
    alike = True

    def relevance(self, asked: Asked, classes: Sequence[int]) -> Sequence[NDArray[Any]]:
        """One gradient."""
        import torch

        samples = asked.batch.samples.detach().clone().requires_grad_()
        heard = asked.opened.listen(samples, asked.batch.lengths)
        if not heard.hidden:
            raise ValueError(
                f"grad-cam: expected hidden layers of {type(asked.classifier).__name__}, found "
                "none: explain it by saliency or occlusion"
            )
        chosen = heard.logits[torch.arange(len(classes)), torch.tensor(classes)].sum()
        layer = heard.hidden[-1]
        [slopes] = torch.autograd.grad(chosen, layer)
        found = grad_cam(layer.detach().cpu().numpy(), slopes.cpu().numpy())
        return [self._spread(one, asked) for one in found]

    def _spread(self, found: Floats, asked: Asked) -> Floats:
        """(frames, bands) of a layer to (frames, frequencies) of the mask."""
        rate, samples = asked.sample_rate, asked.batch.samples.shape[1]
        transform = explaining.stft(rate)
        frames, bins = explaining.shape(samples, rate)
        lead = transform.window_samples / 2 - transform.hop_samples  # of the middle of frame 0
        middles = np.arange(frames) * transform.hop_samples - lead
        times = (np.arange(len(found)) + 0.5) / len(found) * samples
        hertz = np.linspace(0, rate / 2, bins)
        bands = asked.opened.frequencies(found.shape[1])
        rows = np.stack([np.interp(hertz, bands, row) for row in found])
        return np.stack([np.interp(middles, times, column) for column in rows.T], axis=1)


def grad_cam(layer: NDArray[Any], slopes: NDArray[Any]) -> Floats:
    """max(0, Σ_k mean(slopes_k) · layer_k) of (clips, channels, frames[, bands]): (clips, frames,
    bands), 1 band where there are none.
    """
    space = tuple(range(2, layer.ndim))
    weights = slopes.mean(axis=space, keepdims=True, dtype=np.float64)
    found = np.maximum((weights * layer).sum(axis=1), 0.0)
    return np.asarray(found if found.ndim == 3 else found[..., None])


@dataclass(kw_only=True)
class Lime(Attribution):
    """A linear model of f_c over which segments of the spectrogram are kept, fitted around the
    clip: Ribeiro, Singh & Guestrin, 2016; Mishra, Sturm & Dixon, 2017 (SLIME, segments of time,
    frequency or both).

    Segments of `seconds` × `hertz`; `masks` of them, each segment kept or silenced by a fair coin,
    weighted by exp(-(1 - √(share kept))² / width²), ridge regression. For every classifier.
    """

    seconds: float = 0.25
    hertz: float = 1000.0
    masks: int = 256
    width: float = 0.25
    ridge: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_cells(self)
        check_number(self, "masks", 8, 100_000)
        check_number(self, "width", 0.001, 1000.0)
        check_number(self, "ridge", 0.0, 1e6)
        check_number(self, "seed", 0, 2**31)
        super().__post_init__()

    def relevance(self, asked: Asked, classes: Sequence[int]) -> Sequence[NDArray[Any]]:
        """Clip by clip, many masks together."""
        alone = (asked.alone(number) for number in range(len(classes)))
        return [self._of_clip(each, said) for each, said in zip(alone, classes, strict=True)]

    def _of_clip(self, asked: Asked, said: int) -> Floats:
        high, wide = _cells(self, asked.sample_rate)
        frames, bins = asked.spectra.shape[1:]
        cells = np.ix_(np.arange(frames) // high, np.arange(bins) // wide)
        shape = -(-frames // high), -(-bins // wide)
        draw = drawn_from(asked.batch.samples[0].cpu().numpy(), "lime", self.seed)
        kept = draw.random((self.masks, shape[0] * shape[1])) < 0.5
        kept[0] = True  # the clip itself
        logits = self._logits(asked, [mask.reshape(shape)[cells] for mask in kept])
        found = fitted(kept, logits[:, said], width=self.width, ridge=self.ridge)
        return np.asarray(found.reshape(shape)[cells])

    def _logits(self, asked: Asked, masks: Sequence[NDArray[np.bool_]]) -> Floats:
        """(masks, classes) of one clip."""
        import torch

        found, most = [], asked.at_once()
        with torch.no_grad():
            for at in range(0, len(masks), most):
                chosen = torch.from_numpy(np.stack(masks[at : at + most])).to(asked.spectra.device)
                more = (each.expand(len(chosen), *each.shape[1:]) for each in asked.more)
                found.append(asked.logits(chosen, *more))
        return np.asarray(torch.cat(found).float().cpu().numpy(), np.float64)


def fitted(kept: NDArray[np.bool_], values: Floats, *, width: float, ridge: float) -> Floats:
    """(segments,) of a ridge regression of (masks,) values on (masks, segments), with an intercept
    that is not shrunk; masks count as `Lime` says.
    """
    share = kept.mean(axis=1)
    weights = np.exp(-((1 - np.sqrt(share)) ** 2) / width**2)
    design: Floats = kept - np.average(kept, axis=0, weights=weights)
    centred = values - np.average(values, weights=weights)
    left = design.T @ (weights[:, None] * design) + ridge * np.eye(kept.shape[1])
    return np.asarray(np.linalg.lstsq(left, design.T @ (weights * centred), rcond=None)[0])


def _check_cells(model: Explainer) -> None:
    check_number(model, "seconds", 0.001, 3600.0)
    check_number(model, "hertz", 1.0, 1e6)


def _cells(model: Occlusion | Lime, sample_rate: int) -> tuple[int, int]:
    """Frames and frequencies of a window or segment."""
    transform = explaining.stft(sample_rate)
    frames = round(model.seconds * sample_rate / transform.hop_samples)
    return max(1, frames), max(1, round(model.hertz * transform.window_samples / sample_rate))
