"""Estimates spoilt at random, in torch, for judges to learn from more separators than there are.

Everything is (batch, time) float32 and draws from torch's global generator. What is done to an
estimate happens to a share of the batch, each clip by an amount of its own. Nothing here cuts a
band off: a separator that does is what a judge must find strange.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SIZE, HOP = 512, 128  # of the transform in which masks are applied, in samples
WANTED_DB = (-9.0, 28.0)  # from which the SI-SNR of a blended estimate is drawn
TINY = 1e-12


def coloured(signals: list[Tensor], share: float = 0.5, most_db: float = 10.0) -> list[Tensor]:
    """Signals, all of a clip through one smooth random response: other voices, other microphones.

    A filter of all alike leaves an estimate's sources and errors what they are.
    """
    chosen = _some(len(signals[0]), share)
    time = signals[0].shape[1]
    response = _response(len(chosen), time // 2 + 1, most_db)
    found = [one.clone() for one in signals]
    for one in found:
        one[chosen] = torch.fft.irfft(torch.fft.rfft(one[chosen]) * response, n=time)
    return found


def spoilt(mixtures: Tensor, estimates: Tensor, references: Tensor) -> Tensor:
    """Estimates with crosstalk, wrong masks, colour, clipping, few bits, hiss, tails and gaps."""
    found = estimates.clone()
    chosen = _some(len(found), 0.3)
    rest = mixtures[chosen] - references[chosen]
    found[chosen] = _with_crosstalk(found[chosen], rest)
    for share, way in WAYS:
        chosen = _some(len(found), share)
        if len(chosen):
            found[chosen] = way(found[chosen])
    return found


def blended(estimates: Tensor, references: Tensor, share: float = 0.65) -> Tensor:
    """Estimates, a share of them with their own errors made as faint, or as loud by up to 12 dB,
    as their drawn SI-SNR has it.
    """
    references = references - references.mean(1, keepdim=True)
    estimates = estimates - estimates.mean(1, keepdim=True)
    energy = references.square().sum(1, keepdim=True) + TINY
    target = (estimates * references).sum(1, keepdim=True) / energy * references
    error = estimates - target
    powers = target.square().sum(1, keepdim=True), error.square().sum(1, keepdim=True)
    now_db = 10 * torch.log10((powers[0] + TINY) / (powers[1] + TINY))
    gain_db = (now_db - _uniform(len(estimates), *WANTED_DB)).clamp(max=12.0)
    gain_db = torch.where(torch.rand(len(estimates), 1) < share, gain_db, 0.0)
    return target + 10 ** (gain_db / 20) * error


def _some(batch: int, share: float) -> Tensor:
    """Numbers of the clips that something happens to."""
    return torch.nonzero(torch.rand(batch) < share)[:, 0]


def _uniform(batch: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(batch, 1)


def _rms(signals: Tensor) -> Tensor:
    return signals.square().mean(1, keepdim=True).sqrt()


def _between(knots: Tensor, size: int) -> Tensor:
    """(batch, knots) drawn out to (batch, size), straight from one to the next."""
    return functional.interpolate(knots[:, None], size, mode="linear", align_corners=True)[:, 0]


def _gain(gain_db: Tensor) -> Tensor:
    return torch.tensor(10.0) ** (gain_db / 20)


def _response(batch: int, bins: int, most_db: float) -> Tensor:
    knots = most_db * (2 * torch.rand(batch, 7) - 1) * torch.rand(batch, 1)
    return _gain(_between(knots, bins)) if batch else torch.ones(0, bins)


def _with_crosstalk(found: Tensor, rest: Tensor) -> Tensor:
    """What else is heard, at a level that drifts in every other clip."""
    batch, time = found.shape
    if not batch:
        return found
    level = _gain(_uniform(batch, -40, 3)) * _rms(found) / (_rms(rest) + TINY)
    drifts = torch.rand(batch, 1) < 0.5
    knots = torch.where(drifts, 21 * torch.rand(batch, 7) - 15, torch.zeros(batch, 7))
    return found + level * _gain(_between(knots, time)) * rest


def _masked(found: Tensor) -> Tensor:
    """Spectra times a random mask: smooth errors in dB, and holes that are heard as music."""
    batch, time = found.shape
    window = torch.hann_window(SIZE)
    spectrum = torch.stft(found, SIZE, HOP, window=window, return_complex=True)
    coarse = [int(n) for n in torch.randint(1, 6, (2,))]
    size = [max(2, math.ceil(n / by)) for n, by in zip(spectrum.shape[1:], coarse, strict=True)]
    noise = functional.interpolate(torch.randn(batch, 1, *size), spectrum.shape[1:])[:, 0]
    mask = _gain(_uniform(batch, 0, 12)[:, None] * noise)
    holes = torch.rand(spectrum.shape) < _uniform(batch, -0.4, 0.5)[:, None]
    kept = torch.where(holes, 0.0, mask)
    return torch.istft(kept * spectrum, SIZE, HOP, window=window, length=time)


def _filtered(found: Tensor) -> Tensor:
    return coloured([found], 1.0, 14.0)[0]


def _clipped(found: Tensor) -> Tensor:
    limit = found.abs().amax(1, keepdim=True) * _uniform(len(found), 0.03, 0.6)
    return found.clamp(-limit, limit)


def _in_few_bits(found: Tensor) -> Tensor:
    step = found.abs().amax(1, keepdim=True) * 2 ** -_uniform(len(found), 1.5, 7) + TINY
    return torch.round(found / step) * step


def _with_hiss(found: Tensor) -> Tensor:
    return found + _gain(_uniform(len(found), -35, 0)) * _rms(found) * torch.randn_like(found)


def _reverberant(found: Tensor) -> Tensor:
    batch, time = found.shape
    size = time // 8
    places = torch.arange(1, size + 1) / size
    tail = torch.randn(batch, size) * 10 ** (-3 * places / _uniform(batch, 0.2, 1.5))
    tail = tail / tail.norm(dim=1, keepdim=True) * _gain(_uniform(batch, -20, 3))
    spectra = torch.fft.rfft(found, n=time + size) * torch.fft.rfft(tail, n=time + size)
    return found + torch.fft.irfft(spectra, n=time + size)[:, :time]


def _interrupted(found: Tensor) -> Tensor:
    batch, time = found.shape
    pieces = int(torch.randint(20, 120, ()))
    quiet = _gain(_uniform(batch, -40, 0))
    gains = torch.where(torch.rand(batch, pieces) < _uniform(batch, 0, 0.4), quiet, 1.0)
    return found * functional.interpolate(gains[:, None], time)[:, 0]


WAYS: tuple[tuple[float, Callable[[Tensor], Tensor]], ...] = (
    (0.35, _masked),
    (0.15, _filtered),
    (0.08, _clipped),
    (0.08, _in_few_bits),
    (0.12, _with_hiss),
    (0.1, _reverberant),
    (0.12, _interrupted),
)
"""What happens to an estimate, in this order, and to how many of them."""
