"""Two networks that hear a mixture and an estimate and say the estimate's SI-SNR, in torch.

`Spectral` is ours, `Published` that of REAL-M. Both take (batch, time) float32 signals with zeros
behind their ends and `lengths`, (batch,) int64, in samples; neither knows who else is in the batch,
how loud anything is, or which way up. Ours hears what the separator made of the other sources, too,
which says whose voice an estimate is meant to be; zeros where it made nothing of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW_SECONDS, HOP_SECONDS = 0.032, 0.016
DEPTH_DB = 60.0  # below a signal's own level nothing is heard
BANDS = 16  # of frequency in which the share of error is told
STATISTICS = 8  # bands of the statistics that tell known from unknown
TINY = 1e-10


@dataclass(frozen=True)
class Spectra:
    """A batch in time and frequency.

    Attributes:
        mixture, estimate, others: (batch, frames, bins) complex; bins are even in number: the
            constant is left out. Each clip's mixture has a mean power of 1 a bin; estimate and
            others are brought to the gain at which each explains the mixture best (least squares).
        heard: (batch, frames) 1 where a frame holds samples of the clip, else 0.
    """

    mixture: Tensor
    estimate: Tensor
    others: Tensor
    heard: Tensor


class Analysis(nn.Module):
    """Signals into spectra of 32 ms every 16 ms, at any rate."""

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.hop = round(HOP_SECONDS * sample_rate)
        self.size = 2 * self.hop
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames that hold a sample of clips of these lengths."""
        return (lengths + self.hop - 1) // self.hop + 1

    def transform(self, signals: Tensor) -> Tensor:
        """(batch, time) to (batch, frames, bins), complex."""
        count = int(self.frames(torch.tensor(signals.shape[-1])))
        end = (count + 1) * self.hop - self.hop - signals.shape[-1]
        padded = functional.pad(signals, (self.hop, end))
        framed = padded.unfold(-1, self.size, self.hop) * self.window
        return torch.fft.rfft(framed, dim=-1)[..., 1:]

    def heard(self, lengths: Tensor, frames: int) -> Tensor:
        """(batch, frames): 1 within a clip, 0 behind it."""
        places = torch.arange(frames, device=lengths.device)
        return (places < self.frames(lengths)[:, None]).float()

    def forward(
        self, mixtures: Tensor, estimates: Tensor, others: Tensor, lengths: Tensor
    ) -> Spectra:
        """See `Spectra`."""
        mixture, estimate, rest = map(self.transform, (mixtures, estimates, others))
        heard = self.heard(lengths, mixture.shape[1])
        bins = heard.sum(1) * mixture.shape[2]
        level = torch.sqrt(power(mixture).sum((1, 2)) / bins + TINY)
        mixture = mixture / level[:, None, None]
        return Spectra(mixture, _fitted(mixture, estimate), _fitted(mixture, rest), heard)


def _fitted(mixture: Tensor, part: Tensor) -> Tensor:
    """A part at the gain at which it explains the mixture best."""
    energy = power(part).sum((1, 2), keepdim=True)
    return product(part, mixture).sum((1, 2), keepdim=True) / (energy + TINY) * part


def power(spectrum: Tensor) -> Tensor:
    """Squared magnitude: without the root that `abs` takes, several times as fast."""
    return spectrum.real.square() + spectrum.imag.square()


def product(first: Tensor, second: Tensor) -> Tensor:
    """Real part of one spectrum's conjugate times another."""
    return first.real * second.real + first.imag * second.imag


def decibels(energy: Tensor) -> Tensor:
    """In dB, from `DEPTH_DB` below 1."""
    return 10 * torch.log10(energy + 10 ** (-DEPTH_DB / 10))


MAPS = 11


def maps(spectra: Spectra) -> Tensor:
    """(batch, 11, bins, frames): levels of mixture, estimate and others, of what the estimate, the
    others and both leave of the mixture; how far phases agree: of estimate and others with the
    mixture, with each other, and of the estimate with what the others leave; the frequency.
    """
    mixture, estimate, others = spectra.mixture, spectra.estimate, spectra.others
    left, own = mixture - estimate, mixture - others
    mixed, parted, rest, besides = map(power, (mixture, estimate, others, own))
    loud = parted.sum((1, 2)) / (spectra.heard.sum(1) * mixture.shape[2])
    levels = [
        mixed,
        parted / (loud + TINY)[:, None, None],
        rest,
        power(left),
        besides,
        power(left - others),
    ]
    agreements = [
        product(estimate, mixture) / torch.sqrt(mixed * parted + 1e-12),
        product(others, mixture) / torch.sqrt(mixed * rest + 1e-12),
        product(estimate, others) / torch.sqrt(parted * rest + 1e-12),
        product(estimate, own) / torch.sqrt(parted * besides + 1e-12),
    ]
    place = torch.linspace(-1, 1, mixture.shape[2], device=mixture.device).expand_as(mixed)
    found = torch.stack(
        [*(0.05 * (decibels(level) + 20) for level in levels), *agreements, place], dim=1
    )
    return (found * spectra.heard[:, None, :, None]).transpose(2, 3)


RATIOS = 6


def ratios(spectra: Spectra) -> Tensor:
    """(batch, 6) how alike whole signals are, in dB / 10: the share of one that another explains
    over the share that it does not. Estimate and mixture; estimate and what the others leave of the
    mixture, which is its SI-SNR if they are perfect; estimate and others; others and mixture;
    others and what the estimate leaves; the mixture and both together.
    """
    mixture, estimate, others = spectra.mixture, spectra.estimate, spectra.others
    left, own = mixture - estimate, mixture - others
    explained = power(left - others).sum((1, 2)) / (power(mixture).sum((1, 2)) + TINY)
    alike = [
        _alike(estimate, mixture),
        _alike(estimate, own),
        _alike(estimate, others),
        _alike(others, mixture),
        _alike(others, left),
        (1 - explained).clamp(0, 1),
    ]
    return 0.1 * _ratio(torch.stack(alike, dim=1))


def _alike(first: Tensor, second: Tensor) -> Tensor:
    """(batch,) the share, 0 to 1, of one signal's energy that another explains."""
    energies = power(first).sum((1, 2)) * power(second).sum((1, 2))
    return (product(first, second).sum((1, 2)).square() / (energies + TINY)).clamp(0, 1)


@dataclass(frozen=True)
class Judgement:
    """What `Spectral` says of a batch.

    Attributes:
        si_snr: (batch,) dB.
        log_scale: (batch,) logarithm of the mean distance from the truth, in dB, that it expects.
        shares: (batch, bands, frames) logits of the share of error in the estimate's energy.
        energy: (batch, bands, frames) the estimate's energy there.
        pooled: (batch, features) what the pair sounds like.
        statistics: (batch, features) plain figures of the pair; see `statistics`.
    """

    si_snr: Tensor
    log_scale: Tensor
    shares: Tensor
    energy: Tensor
    pooled: Tensor
    statistics: Tensor


class Spectral(nn.Module):
    """Tells how much of an estimate is error, band by band and moment by moment, and adds it up.

    Eleven maps in time and frequency go through convolutions over some 400 ms, then, with how alike
    whole signals are, dilated ones over 3 s. From these come the share of error in each cell of 16
    bands and 32 ms; the ratio of the energies that these shares make is the SI-SNR, to which what
    the whole clip sounds like adds a correction. The output has no end in either direction. Nothing
    is divided by a statistic of the batch once it is trained, and cells behind a clip's end count
    for nothing.
    """

    def __init__(self, sample_rate: int, width: int = 24, context: int = 96) -> None:
        super().__init__()
        self.analysis = Analysis(sample_rate)
        bins = self.analysis.hop
        if bins % (8 * BANDS):
            raise ValueError(f"expected 8000 or 16000 Hz, got {sample_rate}: resample first")
        first = (bins // BANDS // 4, 1)  # 2 at 8 kHz, 4 at 16 kHz: then bands are alike in number
        wide = (width, round(1.5 * width), 2 * width, round(2.5 * width))
        self.one = _Layer(MAPS, wide[0], (5, 3), first)
        self.two = _Layer(wide[0], wide[1], (3, 3), (2, 2))
        self.three = _Layer(wide[1], wide[2], (3, 3), (2, 1))
        self.four = _Layer(wide[2], wide[3], (3, 3), (2, 1))
        self.flat = nn.Conv1d(wide[3] * BANDS // 2, context, 1)
        self.whole = nn.Linear(RATIOS, context)
        self.wider = nn.ModuleList(_Wider(context, 2**n) for n in range(4))
        self.near, self.far = nn.Conv2d(wide[2], 1, 1), nn.Conv1d(context, BANDS, 1)
        told = 3 * context + 1 + RATIOS + 4 * STATISTICS
        self.head = nn.Sequential(nn.Linear(told, 64), nn.ReLU(), nn.Linear(64, 2))

    def hidden(self) -> list[nn.Parameter]:
        """The kernels of the convolutions between what is heard and what is told."""
        layers = (self.one, self.two, self.three, self.four, *self.wider)
        return [layer.convolution.weight for layer in layers] + [self.flat.weight]

    def forward(
        self, mixtures: Tensor, estimates: Tensor, others: Tensor, lengths: Tensor
    ) -> Judgement:
        """See `Judgement`."""
        spectra = self.analysis(mixtures, estimates, others, lengths)
        alike = ratios(spectra)
        heard, half = spectra.heard, spectra.heard[:, ::2]
        found = self.three(self.two(self.one(maps(spectra), heard), half), half)
        context = self.flat(self.four(found, half).flatten(1, 2)) + self.whole(alike)[:, :, None]
        context = context * half[:, None]
        for layer in self.wider:
            context = layer(context, half)
        shares = (self.near(found)[:, 0] + self.far(context)).float()
        energy = cells(power(spectra.estimate))
        summed = _summed(shares, energy)
        pooled = _pooled(context.float(), half, energy.sum(1))
        plain = statistics(spectra)
        told = torch.cat([pooled, 0.1 * summed[:, None], alike, plain], dim=1)
        delta, log_scale = self.head(told).float().unbind(1)
        return Judgement(summed + 10 * delta, log_scale, shares, energy, pooled, plain)


class _Layer(nn.Module):
    """A convolution over frequency and time, with nothing behind a clip's end."""

    def __init__(
        self, inputs: int, outputs: int, size: tuple[int, int], stride: tuple[int, int]
    ) -> None:
        super().__init__()
        padding = (size[0] // 2, size[1] // 2)
        self.convolution = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, found: Tensor, heard: Tensor) -> Tensor:
        through: Tensor = functional.relu(self.norm(self.convolution(found)))
        return through * heard[:, None, None].to(through.dtype)


class _Wider(nn.Module):
    """What lies further away in time, added."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            channels, channels, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, context: Tensor, heard: Tensor) -> Tensor:
        more: Tensor = functional.relu(self.norm(self.convolution(context)))
        return (context + more) * heard[:, None].to(more.dtype)


def cells(energy: Tensor) -> Tensor:
    """(batch, frames, bins) summed into (batch, bands, half as many frames)."""
    batch, frames, bins = energy.shape
    even = functional.pad(energy, (0, 0, 0, frames % 2))
    return even.reshape(batch, -1, 2, BANDS, bins // BANDS).sum((2, 4)).transpose(1, 2)


def _summed(shares: Tensor, energy: Tensor) -> Tensor:
    """What is no error over what is, by energy, in dB."""
    error = (energy * torch.sigmoid(shares)).sum((1, 2))
    target = (energy * torch.sigmoid(-shares)).sum((1, 2))
    return 10 * torch.log10((target + TINY) / (error + TINY))


def _ratio(share: Tensor) -> Tensor:
    """A share that is explained over the one that is not, in dB, within ±40."""
    return 10 * torch.log10((share + 1e-4) / (1 - share + 1e-4))


def _pooled(context: Tensor, heard: Tensor, energy: Tensor) -> Tensor:
    """Mean, deviation and mean by energy over the frames of each clip."""
    count = heard.sum(1, keepdim=True)
    mean = (context * heard[:, None]).sum(2) / count
    square = ((context - mean[:, :, None]).square() * heard[:, None]).sum(2) / count
    weight = energy / (energy.sum(1, keepdim=True) + TINY)
    loud = (context * weight[:, None]).sum(2)
    return torch.cat([mean, torch.sqrt(square + 1e-6), loud], dim=1)


def statistics(spectra: Spectra) -> Tensor:
    """(batch, 4 × 8) figures in 8 bands each: the mixture's energy, the estimate's against it, how
    much that varies from frame to frame, and how much of the mixture the estimate explains.
    """
    batch, frames, bins = spectra.mixture.shape

    def banded(values: Tensor) -> Tensor:
        """(batch, frames, bands)."""
        return values.reshape(batch, frames, STATISTICS, bins // STATISTICS).sum(3)

    mixture, estimate = banded(power(spectra.mixture)), banded(power(spectra.estimate))
    alike = banded(product(spectra.estimate, spectra.mixture)).sum(1)
    heard = spectra.heard[:, :, None]
    floor = 1e-4 * bins / STATISTICS
    ratio = torch.log10((estimate + floor) / (mixture + floor))
    weight = mixture.sqrt() * heard
    weight = weight / (weight.sum(1, keepdim=True) + TINY)
    mean = (ratio * weight).sum(1, keepdim=True)
    varies = torch.sqrt(((ratio - mean).square() * weight).sum(1) + 1e-6)
    sums = mixture.sum(1), estimate.sum(1)
    explained = alike.square() / (sums[0] * sums[1] + TINY)
    below = floor * heard.sum(1)
    return torch.cat(
        [
            torch.log10(sums[0] + below) - torch.log10(sums[0].sum(1, keepdim=True) + below),
            torch.log10((sums[1] + below) / (sums[0] + below)),
            varies,
            torch.sqrt(explained.clamp(0, 1)),
        ],
        dim=1,
    )


class Published(nn.Module):
    """REAL-M's network: Subakan et al., arXiv 2110.10812, and its recipe's hyperparameters.

    Estimate and mixture, each less its mean over its deviation, are two channels of five
    convolutions of 128 channels; their mean and deviation over time go through two linear layers
    and a sigmoid, times 10 dB. 329,857 parameters; 49 samples of context. Unlike the published
    code: a deviation of zero divides nothing, no noise is added in the pooling, and frames that
    reach behind a clip's end are not pooled.
    """

    CHANNELS, KERNEL, STRIDES, RANGE_DB = 128, 4, (1, 2, 2, 2, 2), 10.0

    def __init__(self) -> None:
        super().__init__()
        inputs = (2, *[self.CHANNELS] * 4)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, self.CHANNELS, self.KERNEL, stride)
            for size, stride in zip(inputs, self.STRIDES, strict=True)
        )
        self.hidden = nn.Linear(2 * self.CHANNELS, 256)
        self.out = nn.Linear(256, 1)

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames that lie within clips of these lengths."""
        for stride in self.STRIDES:
            lengths = (lengths - self.KERNEL) // stride + 1
        return lengths

    def forward(self, mixtures: Tensor, estimates: Tensor, lengths: Tensor) -> Tensor:
        """(batch,) dB, 0 to 10. Clips hold 65 samples or more."""
        found = torch.stack([_scaled(estimates, lengths), _scaled(mixtures, lengths)], dim=1)
        for number, layer in enumerate(self.convolutions):
            found = layer(functional.relu(found) if number else found)
        frames = self.frames(lengths)
        heard = (torch.arange(found.shape[2], device=found.device) < frames[:, None]).float()
        mean = (found * heard[:, None]).sum(2) / frames[:, None]
        apart = (found - mean[:, :, None]).square() * heard[:, None]
        deviation = torch.sqrt(apart.sum(2) / (frames[:, None] - 1).clamp(1) + TINY)
        hidden = functional.relu(self.hidden(torch.cat([mean, deviation], dim=1)))
        share: Tensor = torch.sigmoid(self.out(hidden))[:, 0]
        return self.RANGE_DB * share


def _scaled(signals: Tensor, lengths: Tensor) -> Tensor:
    """Signals less their mean over their deviation, zero behind their ends."""
    heard = (torch.arange(signals.shape[1], device=signals.device) < lengths[:, None]).float()
    mean = (signals * heard).sum(1, keepdim=True) / lengths[:, None]
    centred = (signals - mean) * heard
    deviation = torch.sqrt(centred.square().sum(1, keepdim=True) / (lengths[:, None] - 1).clamp(1))
    return centred / (deviation + 1e-8)


def built(config: dict[str, Any]) -> nn.Module:
    """The network that a `config.json` names."""
    if config["architecture"] == "Published":
        return Published()
    return Spectral(config["sample_rate"], **config["network"])
