"""SI-SNR, SI-SDR, SI-SNRi, the permutation of sources (Le Roux et al. 2019, arXiv 1811.02508).

With the target t = (<e, s> / |s|^2) s of an estimate e and a reference s, the ratio is
10 log10(|t|^2 / |e - t|^2) dB. SI-SNR first takes the mean from both signals; SI-SDR does not.
A perfect estimate would be infinite and an orthogonal one minus infinity: both are cut to ±100 dB,
and the cut is flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, FailedPrediction, Signal, SignalItem, UndefinedMetric
from metrics.checks import as_signal, check_estimate, check_reference, check_sources

CAP_DB = 100.0
BRUTE_FORCE_SOURCES = 3  # 3! = 6 orders; above, the Hungarian algorithm finds the same optimum
# A constant loses its mean but for rounding; what is left below this share of its peak is silence.
_ROUNDING = 1e-14
_CONSTANT = "the signal is constant: nothing is left without its mean"

Ratios = NDArray[np.float64]


def si_snr(reference: ArrayLike, estimate: ArrayLike) -> float | Ratios:
    """SI-SNR in dB, within ±100, higher is better; the mean of both signals is removed.

    Shapes `(..., time)`; leading axes broadcast. Two plain signals give a float, batches an array.
    Raises UndefinedMetric for a silent (or constant), empty or non-finite reference,
    FailedPrediction for such an estimate or another length; in a batch one such signal is enough.
    """
    return _plain(_cap(_ratio_db(reference, estimate, centre=True)))


def si_sdr(reference: ArrayLike, estimate: ArrayLike) -> float | Ratios:
    """SI-SDR in dB, within ±100, higher is better: as `si_snr`, with the means left in."""
    return _plain(_cap(_ratio_db(reference, estimate, centre=False)))


def pit_si_snr(references: ArrayLike, estimates: ArrayLike) -> tuple[float, tuple[int, ...]]:
    """The best mean SI-SNR over sources (dB) and its permutation, found exactly.

    Both are `(sources, time)`. `permutation[i]` is the estimate that belongs to reference `i`, so
    `estimates[list(permutation)]` is in the references' order. Ties go to the earlier order.
    Raises FailedPrediction("wrong_sources") for another number of estimates, UndefinedMetric for no
    references, and what `si_snr` raises.
    """
    wanted, found = as_signal(references, "references"), as_signal(estimates, "estimates")
    _check_pit_shapes(wanted, found)
    ratios = _cap(_ratio_db(wanted[:, None, :], found[None, :, :], centre=True))
    order = best_permutation(ratios)
    return _mean([float(ratios[row, column]) for row, column in enumerate(order)]), order


def best_permutation(values: Ratios) -> tuple[int, ...]:
    """The column for each row of a matrix `(sources, sources)` that makes the sum largest."""
    if len(values) > BRUTE_FORCE_SOURCES:
        from scipy.optimize import linear_sum_assignment

        return tuple(int(column) for column in linear_sum_assignment(values, maximize=True)[1])
    rows = range(len(values))
    return max(permutations(rows), key=lambda order: sum(values[row, order[row]] for row in rows))


def score_si_snr(item: SignalItem) -> ClipScore:
    """SI-SNR of a clip: the mean over its sources."""
    return _score(_item_ratios(item, centre=True))


def score_si_sdr(item: SignalItem) -> ClipScore:
    """SI-SDR of a clip: the mean over its sources."""
    return _score(_item_ratios(item, centre=False))


def score_si_snri(item: SignalItem) -> ClipScore:
    """SI-SNR improvement of a clip: SI-SNR minus that of the mixture taken as every estimate."""
    check_sources(item)
    _check_mixture(item)
    after = _item_ratios(item, centre=True)
    before = [float(_ratio_db(source, item.mixture, centre=True)) for source in item.references]
    gains = [_cap_one(a) - _cap_one(b) for a, b in zip(after, before, strict=True)]
    return clip_score(gains, capped=any(abs(value) > CAP_DB for value in [*after, *before]))


def clip_score(values: Sequence[float], *, capped: bool = False) -> ClipScore:
    """The mean over a clip's sources, the parts kept where there are several."""
    detail: dict[str, object] = {"sources": list(values)} if len(values) > 1 else {}
    if capped:
        detail["capped"] = True
    return ClipScore(_mean(values), 1.0, detail)


def _score(ratios: Sequence[float]) -> ClipScore:
    values = [_cap_one(ratio) for ratio in ratios]
    return clip_score(values, capped=any(abs(ratio) > CAP_DB for ratio in ratios))


def _item_ratios(item: SignalItem, *, centre: bool) -> list[float]:
    """The uncapped ratio of every source, each computed as the direct call would be."""
    check_sources(item)
    pairs = zip(item.references, item.estimates, strict=True)
    return [float(_ratio_db(reference, estimate, centre=centre)) for reference, estimate in pairs]


def _ratio_db(reference: ArrayLike, estimate: ArrayLike, *, centre: bool) -> Ratios:
    """The ratio before capping, over the last axis; may be infinite either way."""
    wanted, found = as_signal(reference, "reference"), as_signal(estimate, "estimate")
    check_reference(wanted, "reference")
    source, constant = _levelled(wanted, centre=centre)
    if constant:
        raise UndefinedMetric("silent_reference", _CONSTANT)
    check_estimate(found, wanted)
    guess, constant = _levelled(found, centre=centre)
    if constant:
        raise FailedPrediction("silent_estimate", _CONSTANT)
    target = _dot(guess, source) / _dot(source, source) * source
    noise = guess - target
    with np.errstate(divide="ignore"):
        decibels = 10 * (np.log10(_dot(target, target)) - np.log10(_dot(noise, noise)))
    return np.asarray(decibels[..., 0])


def _levelled(signal: Signal, *, centre: bool) -> tuple[Signal, bool]:
    """`signal` with its peak at 0.5..1, less its mean if asked; whether any had nothing but a mean.

    Levelling is by a power of two, so it is exact, and squares neither underflow nor overflow.
    """
    exponent = np.frexp(np.abs(signal).max(axis=-1, keepdims=True))[1]
    level = np.asarray(np.ldexp(signal, -exponent))
    if not centre:
        return level, False
    level = level - level.mean(axis=-1, keepdims=True)
    residue = np.abs(level).max(axis=-1)
    return level, bool((residue <= _ROUNDING * np.sqrt(signal.shape[-1])).any())


def _dot(a: Signal, b: Signal) -> Signal:
    return np.asarray(np.sum(a * b, axis=-1, keepdims=True))


def _check_mixture(item: SignalItem) -> None:
    """The mixture is an input: whatever is wrong with it leaves the clip undefined."""
    if item.mixture.shape != item.references.shape[1:]:
        shapes = (
            f"expected {item.references.shape[1:]} like the references, found {item.mixture.shape}"
        )
        raise UndefinedMetric("wrong_length_mixture", shapes)
    check_reference(item.mixture, "mixture")
    if _levelled(item.mixture, centre=True)[1]:
        raise UndefinedMetric("silent_mixture", _CONSTANT)


def _check_pit_shapes(references: Signal, estimates: Signal) -> None:
    if references.ndim != 2 or estimates.ndim != 2:
        shapes = f"found {references.shape} and {estimates.shape}"
        raise ValueError(
            f"expected (sources, time) on both sides, {shapes}; score clips one by one"
        )
    if not len(references):
        raise UndefinedMetric("no_references", "there is no reference to assign an estimate to")
    if len(references) != len(estimates):
        raise FailedPrediction(
            "wrong_sources", f"expected {len(references)} sources, found {len(estimates)}"
        )


def _cap(ratios: Ratios) -> Ratios:
    return np.clip(ratios, -CAP_DB, CAP_DB)


def _cap_one(ratio: float) -> float:
    return min(max(ratio, -CAP_DB), CAP_DB)


def _plain(ratios: Ratios) -> float | Ratios:
    return float(ratios) if ratios.ndim == 0 else ratios


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
