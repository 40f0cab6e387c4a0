"""Estimates spoilt at random, in torch, for judges to learn from more separators than there are.

Everything is (batch, time) float32, stays on its device and draws from torch's generator there.
What is done to an estimate happens to a share of the batch, each clip by an amount of its own.
Nothing here cuts a band off: a separator that does is what a judge must find strange.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SIZE, HOP = 512, 128  # of the transform in which masks are applied, in samples
SIZES = (32, 64, 128, 256, 512, 1024)  # of those in which a mask is told anew: as a network in
# the time domain does it, or as one over spectra
WANTED_DB = (-9.0, 28.0)  # from which the SI-SNR of a blended estimate is drawn
TINY = 1e-12


def coloured(signals: list[Tensor], share: float = 0.5, most_db: float = 10.0) -> list[Tensor]:
    """Signals, all of a clip through one smooth random response: other voices, other microphones.

    A filter of all alike leaves an estimate's sources and errors what they are.
    """
    chosen = some(signals[0], share)
    time = signals[0].shape[1]
    found = [one.clone() for one in signals]
    if not len(chosen):  # nothing has no spectrum
        return found
    response = _response(signals[0][chosen], time // 2 + 1, most_db)
    for one in found:
        one[chosen] = torch.fft.irfft(torch.fft.rfft(one[chosen]) * response, n=time)
    return found


def remasked(mixtures: Tensor, references: Tensor) -> Tensor:
    """Estimates by a mask on the mixture that knows its sources in part: blurred, or by a few
    spectra each; too soft or too hard, off by a smooth error, mixed up for a while.
    """
    if not len(mixtures):
        return mixtures
    size = SIZES[int(torch.randint(len(SIZES), ()))]
    window = torch.hann_window(size, device=mixtures.device)
    mixture, wanted = (
        torch.stft(one, size, size // 4, window=window, return_complex=True)
        for one in (mixtures, references)
    )
    told = [_told(one.abs().square()) for one in (wanted, mixture - wanted)]
    ratio = torch.log(told[0] + TINY) - torch.log(told[1] + TINY)
    hardness = torch.exp(_uniform(mixtures, -1.2, 1.6))[:, None]
    off = _uniform(mixtures, 0, 2.5)[:, None] * _smooth(ratio) + _uniform(mixtures, -1, 1)[:, None]
    mask = torch.sigmoid(hardness * _mixed_up(ratio, _uniform(mixtures, -0.3, 0.25)) + off)
    return torch.istft(mask * mixture, size, size // 4, window=window, length=mixtures.shape[1])


def spoilt(mixtures: Tensor, estimates: Tensor, references: Tensor) -> Tensor:
    """Estimates with crosstalk, the wrong source for a while, wrong masks, colour, clipping, few
    bits, hiss, tails and gaps.
    """
    found = estimates.clone()
    for share, with_rest in ((0.3, _with_crosstalk), (0.08, _taken_for_another)):
        chosen = some(found, share)
        found[chosen] = with_rest(found[chosen], mixtures[chosen] - references[chosen])
    for share, way in WAYS:
        chosen = some(found, share)
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
    gain_db = (now_db - _uniform(estimates, *WANTED_DB)).clamp(max=12.0)
    gain_db = torch.where(_uniform(estimates, 0, 1) < share, gain_db, 0.0)
    return target + 10 ** (gain_db / 20) * error


def some(clips: Tensor, share: float) -> Tensor:
    """Numbers of the clips that something happens to: each one with this probability."""
    return torch.nonzero(torch.rand(len(clips), device=clips.device) < share)[:, 0]


def _uniform(clips: Tensor, low: float, high: float) -> Tensor:
    """(batch, 1), a number a clip."""
    return low + (high - low) * torch.rand(len(clips), 1, device=clips.device)


def _rms(signals: Tensor) -> Tensor:
    return signals.square().mean(1, keepdim=True).sqrt()


def _between(knots: Tensor, size: int) -> Tensor:
    """(batch, knots) drawn out to (batch, size), straight from one to the next."""
    return functional.interpolate(knots[:, None], size, mode="linear", align_corners=True)[:, 0]


def _gain(gain_db: Tensor) -> Tensor:
    return torch.exp(gain_db * (math.log(10) / 20))


def _response(clips: Tensor, bins: int, most_db: float) -> Tensor:
    knots = most_db * (2 * torch.rand(len(clips), 7, device=clips.device) - 1)
    return _gain(_between(knots * _uniform(clips, 0, 1), bins))


def _told(power: Tensor) -> Tensor:
    """What is known of (batch, bins, frames) energies: half are blurred, half in a few spectra."""
    half = len(power) // 2
    return torch.cat([_blurred(power[:half]), _in_few_spectra(power[half:])])


def _blurred(power: Tensor) -> Tensor:
    size = [2 * int(n) + 1 for n in torch.randint(0, 5, (2,))]
    around = [n // 2 for n in size]
    return functional.avg_pool2d(
        power[:, None], size, 1, around, count_include_pad=False
    )[:, 0]  # fmt: skip


def _in_few_spectra(power: Tensor) -> Tensor:
    """Each frame as the likest of a few of the clip's own, as loud as it was."""
    batch, bins, frames = power.shape
    count = int(torch.randint(2, 17, ()))
    drawn = torch.randint(frames, (batch, 1, count), device=power.device).expand(-1, bins, -1)
    atoms = power.gather(2, drawn) + TINY
    atoms = atoms / atoms.sum(1, keepdim=True)
    alike = torch.einsum("bft,bfk->bkt", power.sqrt(), atoms.sqrt())
    best = alike.argmax(1)[:, None].expand(-1, bins, -1)
    return atoms.gather(2, best) * power.sum(1, keepdim=True)


def _smooth(like: Tensor) -> Tensor:
    """Noise of deviation 1 over (batch, bins, frames) that differs every few bins and frames."""
    coarse = [int(n) for n in torch.randint(1, 6, (2,))]
    size = [max(2, math.ceil(n / by)) for n, by in zip(like.shape[1:], coarse, strict=True)]
    noise = torch.randn(len(like), 1, *size, device=like.device)
    return functional.interpolate(noise, like.shape[1:])[:, 0]


def _mixed_up(ratio: Tensor, share: Tensor) -> Tensor:
    """Logarithms of the sources' ratio, upside down in a `share` of (batch, bins, frames) time."""
    gates = _gates(share, ratio.shape[2])
    return torch.where(gates[:, None], -ratio, ratio)


def _gates(share: Tensor, size: int) -> Tensor:
    """(batch, size): whether something is so now; it changes from one stretch to the next."""
    pieces = min(int(torch.randint(4, 16, ())), size)
    gates = torch.rand(len(share), pieces, device=share.device) < share
    return functional.interpolate(gates[:, None].float(), size)[:, 0] > 0.5


def _with_crosstalk(found: Tensor, rest: Tensor) -> Tensor:
    """What else is heard, half of it coloured, at a level that drifts in every other clip."""
    if not len(found):
        return found
    rest = coloured([rest])[0]
    level = _gain(_uniform(found, -40, 3)) * _rms(found) / (_rms(rest) + TINY)
    drifts = _uniform(found, 0, 1) < 0.5
    knots = 21 * torch.rand(len(found), 7, device=found.device) - 15
    return found + level * _gain(_between(torch.where(drifts, knots, 0.0), found.shape[1])) * rest


def _taken_for_another(found: Tensor, rest: Tensor) -> Tensor:
    """What else is heard in the estimate's place, for a while: a permutation that jumps."""
    if not len(found):
        return found
    gates = _gates(_uniform(found, 0, 0.5), found.shape[1] // HOP).float()
    swap = _between(gates, found.shape[1])
    return (1 - swap) * found + swap * rest


def _masked(found: Tensor) -> Tensor:
    """Spectra times a random mask: smooth errors in dB, and holes that are heard as music."""
    window = torch.hann_window(SIZE, device=found.device)
    spectrum = torch.stft(found, SIZE, HOP, window=window, return_complex=True)
    mask = _gain(_uniform(found, 0, 12)[:, None] * _smooth(spectrum))
    drawn = torch.rand(spectrum.shape, device=found.device)
    kept = torch.where(drawn < _uniform(found, -0.4, 0.5)[:, None], 0.0, mask)
    return torch.istft(kept * spectrum, SIZE, HOP, window=window, length=found.shape[1])


def _filtered(found: Tensor) -> Tensor:
    return coloured([found], 1.0, 14.0)[0]


def _clipped(found: Tensor) -> Tensor:
    limit = found.abs().amax(1, keepdim=True) * _uniform(found, 0.03, 0.6)
    return found.clamp(-limit, limit)


def _in_few_bits(found: Tensor) -> Tensor:
    step = found.abs().amax(1, keepdim=True) * 2 ** -_uniform(found, 1.5, 7) + TINY
    return torch.round(found / step) * step


def _coarse(found: Tensor) -> Tensor:
    """Every bin in steps of its band's level, as a codec of few bits has it."""
    window = torch.hann_window(SIZE // 2, device=found.device)
    spectrum = torch.stft(found, SIZE // 2, HOP, window=window, return_complex=True)
    level = spectrum.abs().square().mean(2, keepdim=True).sqrt()
    step = level * _uniform(found, 0.2, 3)[:, None] + TINY
    parts = (torch.round(part / step) * step for part in (spectrum.real, spectrum.imag))
    return torch.istft(
        torch.complex(*parts), SIZE // 2, HOP, window=window, length=found.shape[1]
    )  # fmt: skip


def _with_hiss(found: Tensor) -> Tensor:
    return found + _gain(_uniform(found, -35, 0)) * _rms(found) * torch.randn_like(found)


def _reverberant(found: Tensor) -> Tensor:
    time = found.shape[1]
    size = time // 8
    places = torch.arange(1, size + 1, device=found.device) / size
    noise = torch.randn(len(found), size, device=found.device)
    tail = noise * torch.exp(-3 * math.log(10) * places / _uniform(found, 0.2, 1.5))
    tail = tail / tail.norm(dim=1, keepdim=True) * _gain(_uniform(found, -20, 3))
    spectra = torch.fft.rfft(found, n=time + size) * torch.fft.rfft(tail, n=time + size)
    return found + torch.fft.irfft(spectra, n=time + size)[:, :time]


def _interrupted(found: Tensor) -> Tensor:
    pieces = int(torch.randint(20, 120, ()))
    quiet = _gain(_uniform(found, -40, 0))
    lost = torch.rand(len(found), pieces, device=found.device) < _uniform(found, 0, 0.4)
    gains = torch.where(lost, quiet, 1.0)
    return found * functional.interpolate(gains[:, None], found.shape[1])[:, 0]


WAYS: tuple[tuple[float, Callable[[Tensor], Tensor]], ...] = (
    (0.35, _masked),
    (0.15, _filtered),
    (0.08, _clipped),
    (0.08, _in_few_bits),
    (0.06, _coarse),
    (0.12, _with_hiss),
    (0.1, _reverberant),
    (0.12, _interrupted),
)
"""What happens to an estimate, in this order, and to how many of them."""
