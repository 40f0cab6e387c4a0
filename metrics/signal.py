"""SI-SNR, SI-SDR, SNR, their improvements and the permutation of sources.

With the target t = (<e, s> / |s|^2) s of an estimate e and a reference s, SI-SDR is
10 log10(|t|^2 / |e - t|^2) dB; SI-SNR first takes the mean from both signals (Le Roux et al. 2019,
arXiv 1811.02508). SNR takes the reference as it is for the target: 10 log10(|s|^2 / |e - s|^2), so
that level errors count. A perfect estimate would be infinite and an orthogonal one minus infinity:
all are cut to ±100 dB, and the cut is flagged.

Numpy arrays and torch tensors are taken alike, and everything is summed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, FailedPrediction, Metric, Signal, SignalItem, UndefinedMetric
from metrics.checks import (
    as_real,
    as_signal,
    check_estimate,
    check_reference,
    check_sources,
    is_tensor,
)

CAP_DB = 100.0
BRUTE_FORCE_SOURCES = 3  # 3! = 6 orders; above, the Hungarian algorithm finds the same optimum
# A constant loses its mean but for rounding; what is left below this share of its peak is silence.
_ROUNDING = 1e-14
_CONSTANT = "the signal is constant: nothing is left without its mean"
# Energies are told from inner products only where nothing cancels: noise above -50 dB, and half
# of the energy left without the mean. Elsewhere the noise itself is formed and summed.
_LEAST_NOISE = 1e-5
_LEAST_VARIANCE = 0.5
_LEAST_ENERGY, _MOST_ENERGY = 1e-200, 1e200  # squares neither underflow nor overflow
_BLOCK = 9_000  # samples: from 10,000 OpenBLAS splits a sum over threads, which takes longer
_ONES = np.ones(_BLOCK)

Ratios = NDArray[np.float64]


def si_snr(reference: ArrayLike, estimate: ArrayLike) -> float | Ratios | Any:
    """SI-SNR in dB, within ±100, higher is better; the mean of both signals is removed.

    Shapes `(..., time)`; leading axes broadcast. Two plain signals give a float, batches an array,
    torch tensors a tensor of the reference's type and device (without a gradient). Raises
    UndefinedMetric for a silent (or constant), empty or non-finite reference, FailedPrediction for
    such an estimate or another length; in a batch one such signal is enough.
    """
    return _like(reference, estimate, _cap(_ratio_db(reference, estimate, centre=True)))


def si_sdr(reference: ArrayLike, estimate: ArrayLike) -> float | Ratios | Any:
    """SI-SDR in dB, within ±100, higher is better: as `si_snr`, with the means left in."""
    return _like(reference, estimate, _cap(_ratio_db(reference, estimate)))


def snr(reference: ArrayLike, estimate: ArrayLike) -> float | Ratios | Any:
    """SNR in dB, within ±100, higher is better: as `si_sdr`, with the reference unscaled.

    The estimate's level counts: half the reference scores 6 dB. A silent estimate would score 0 dB;
    it is FailedPrediction here as everywhere.
    """
    return _like(reference, estimate, _cap(_ratio_db(reference, estimate, project=False)))


def pit_si_snr(references: ArrayLike, estimates: ArrayLike) -> tuple[float, tuple[int, ...]]:
    """The best mean SI-SNR over sources (dB) and its permutation, found exactly.

    Both are `(sources, time)`. `permutation[i]` is the estimate that belongs to reference `i`, so
    `estimates[list(permutation)]` is in the references' order. Ties go to the earlier order.
    Raises FailedPrediction("wrong_sources") for another number of estimates, UndefinedMetric for no
    references, and what `si_snr` raises.
    """
    wanted, found = as_real(references, "references"), as_real(estimates, "estimates")
    check_pair_shapes(wanted, found)
    ratios = _cap(_ratio_db(wanted[:, None, :], found[None, :, :], centre=True))
    order = best_permutation(ratios)
    return _mean([float(ratios[row, column]) for row, column in enumerate(order)]), order


def best_permutation(values: Ratios) -> tuple[int, ...]:
    """The column for each row of a matrix `(sources, sources)` that makes the sum largest."""
    if len(values) > BRUTE_FORCE_SOURCES:
        from scipy.optimize import linear_sum_assignment

        return tuple(int(column) for column in linear_sum_assignment(values, maximize=True)[1])
    rows = values.tolist()

    def total(order: tuple[int, ...]) -> float:
        return float(sum(row[column] for row, column in zip(rows, order, strict=True)))

    return max(permutations(range(len(rows))), key=total)


def score_si_snr(item: SignalItem) -> ClipScore:
    """SI-SNR of a clip: the mean over its sources."""
    return ratio_score(_item_ratios(item, centre=True))


def score_si_sdr(item: SignalItem) -> ClipScore:
    """SI-SDR of a clip: the mean over its sources."""
    return ratio_score(_item_ratios(item))


def score_snr(item: SignalItem) -> ClipScore:
    """SNR of a clip: the mean over its sources."""
    return ratio_score(_item_ratios(item, project=False))


def score_si_snri(item: SignalItem) -> ClipScore:
    """SI-SNR improvement of a clip: SI-SNR minus that of the mixture taken as every estimate."""
    return _improvement(item, centre=True)


def score_si_sdri(item: SignalItem) -> ClipScore:
    """SI-SDR improvement of a clip: SI-SDR minus that of the mixture taken as every estimate."""
    return _improvement(item)


def score_snri(item: SignalItem) -> ClipScore:
    """SNR improvement of a clip: SNR minus that of the mixture taken as every estimate."""
    return _improvement(item, project=False)


def clip_score(values: Sequence[float], *, capped: bool = False) -> ClipScore:
    """The mean over a clip's sources, the parts kept where there are several."""
    detail: dict[str, object] = {"sources": list(values)} if len(values) > 1 else {}
    if capped:
        detail["capped"] = True
    return ClipScore(_mean(values), 1.0, detail)


def ratio_score(ratios: Sequence[float], before: Sequence[float] = ()) -> ClipScore:
    """The score of uncapped ratios (dB), less those `before` where given; every one is capped."""
    capped = any(abs(ratio) > CAP_DB for ratio in (*ratios, *before))
    values = [cap_db(ratio) for ratio in ratios]
    if before:
        values = [value - cap_db(ratio) for value, ratio in zip(values, before, strict=True)]
    return clip_score(values, capped=capped)


def cap_db(ratio: float) -> float:
    """`ratio` cut to ±100 dB."""
    return min(max(ratio, -CAP_DB), CAP_DB)


def check_mixture(item: SignalItem, *, centre: bool = False) -> None:
    """UndefinedMetric for whatever is wrong with the mixture: it is an input.

    `centre`: without its mean something must be left.
    """
    if item.mixture.shape != item.references.shape[1:]:
        shapes = (
            f"expected {item.references.shape[1:]} like the references, found {item.mixture.shape}"
        )
        raise UndefinedMetric("wrong_length_mixture", shapes)
    check_reference(item.mixture, "mixture")
    if centre and _constant(item.mixture):
        raise UndefinedMetric("silent_mixture", _CONSTANT)


def check_pair_shapes(references: NDArray[Any], estimates: NDArray[Any]) -> None:
    """Raise unless both are `(sources, time)` with as many sources, at least one."""
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


def levelled(signal: Signal, like: Signal | None = None) -> Signal:
    """`signal` with the peak of `like` (by default its own) at 0.5..1, over the last axis.

    By a power of two, so it is exact, and squares neither underflow nor overflow.
    """
    peak = np.abs(signal if like is None else like).max(axis=-1, keepdims=True)
    return np.asarray(np.ldexp(signal, -np.frexp(peak)[1]))


def _improvement(item: SignalItem, *, centre: bool = False, project: bool = True) -> ClipScore:
    check_sources(item)
    check_mixture(item, centre=centre)
    after = _item_ratios(item, centre=centre, project=project)
    before = [
        float(_ratio_db(source, item.mixture, centre=centre, project=project))
        for source in item.references
    ]
    return ratio_score(after, before)


def _item_ratios(item: SignalItem, *, centre: bool = False, project: bool = True) -> list[float]:
    """The uncapped ratio of every source, each computed as the direct call would be."""
    check_sources(item)
    return [
        float(_ratio_db(reference, estimate, centre=centre, project=project))
        for reference, estimate in zip(item.references, item.estimates, strict=True)
    ]


def _ratio_db(
    reference: ArrayLike, estimate: ArrayLike, *, centre: bool = False, project: bool = True
) -> Ratios:
    """The ratio before capping, over the last axis; may be infinite either way.

    Sums of products settle whatever is plain. The rest (silence, NaN, next to no noise, a large
    mean, extreme levels) is checked, raised, or computed from the residual.
    """
    wanted, found = as_real(reference, "reference"), as_real(estimate, "estimate")
    if wanted.shape[-1] != found.shape[-1] or not wanted.shape[-1]:
        _check(wanted, found, centre=centre)
    ratios, plain = _by_products(wanted, found, centre=centre, project=project)
    if plain.all():
        return ratios
    wanted, found = as_signal(wanted, "reference"), as_signal(found, "estimate")
    _check(wanted, found, centre=centre)
    shape = (*ratios.shape, wanted.shape[-1])
    pairs = [np.broadcast_to(signal, shape)[~plain] for signal in (wanted, found)]
    ratios[~plain] = _by_residual(*pairs, centre=centre, project=project)
    return ratios


def _by_products(
    reference: NDArray[Any], estimate: NDArray[Any], *, centre: bool, project: bool
) -> tuple[Ratios, NDArray[np.bool_]]:
    """The ratio from inner products alone, and where it may be trusted."""
    with np.errstate(all="ignore"):
        whole_s, whole_e, es, *sums = _products(reference, estimate, sums=centre)
        ss, ee, plain = whole_s, whole_e, _moderate(whole_s) & _moderate(whole_e)
        if centre:
            mean_s, mean_e = sums[0] / reference.shape[-1], sums[1] / reference.shape[-1]
            ss, ee, es = ss - sums[0] * mean_s, ee - sums[1] * mean_e, es - sums[0] * mean_e
            plain = plain & (ss > _LEAST_VARIANCE * whole_s) & (ee > _LEAST_VARIANCE * whole_e)
        target = es * es / ss if project else ss
        noise = ee - target if project else ss - 2 * es + ee
        plain = plain & (noise > _LEAST_NOISE * (ee if project else np.maximum(ss, ee)))
        return np.asarray(10 * np.log10(target / noise)), np.asarray(plain)


def _moderate(energy: Ratios) -> NDArray[np.bool_]:
    return np.asarray((energy > _LEAST_ENERGY) & (energy < _MOST_ENERGY))


def _products(a: NDArray[Any], b: NDArray[Any], *, sums: bool) -> list[Ratios]:
    """<a, a>, <b, b>, <a, b> and, if asked, the sums of a and of b, over the last axis."""
    total = _block_products(a[..., :_BLOCK], b[..., :_BLOCK], sums=sums)
    for start in range(_BLOCK, a.shape[-1], _BLOCK):
        block = slice(start, start + _BLOCK)
        more = _block_products(a[..., block], b[..., block], sums=sums)
        # Sums of plain signals are scalars, which += would not change in the list.
        total = [part + addend for part, addend in zip(total, more, strict=True)]
    return total


def _block_products(a: NDArray[Any], b: NDArray[Any], *, sums: bool) -> list[Ratios]:
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    found = [np.vecdot(a, a), np.vecdot(b, b), np.vecdot(a, b)]
    if sums:
        ones = _ONES[: a.shape[-1]]
        found += [np.vecdot(a, ones), np.vecdot(b, ones)]
    return found


def _by_residual(reference: Signal, estimate: Signal, *, centre: bool, project: bool) -> Ratios:
    """The ratio with target and noise formed sample by sample, exact to the last bits."""
    with np.errstate(divide="ignore", over="ignore"):
        source = levelled(reference)
        guess = levelled(estimate) if project else levelled(estimate, like=reference)
        if centre:
            source, guess = _without_mean(source), _without_mean(guess)
        target = _energy(guess, source) / _energy(source, source) * source if project else source
        noise = guess - target
        decibels = 10 * (np.log10(_energy(target, target)) - np.log10(_energy(noise, noise)))
    return np.asarray(decibels[..., 0])


def _check(reference: NDArray[Any], estimate: NDArray[Any], *, centre: bool) -> None:
    """Raise for signals that have no ratio: the reference's faults first."""
    check_reference(reference, "reference")
    if centre and _constant(reference):
        raise UndefinedMetric("silent_reference", _CONSTANT)
    check_estimate(estimate, reference)
    if centre and _constant(estimate):
        raise FailedPrediction("silent_estimate", _CONSTANT)


def _constant(signal: Signal) -> bool:
    """Whether any signal has nothing but a mean."""
    residue = np.abs(_without_mean(levelled(signal))).max(axis=-1)
    return bool((residue <= _ROUNDING * np.sqrt(signal.shape[-1])).any())


def _without_mean(signal: Signal) -> Signal:
    return np.asarray(signal - signal.mean(axis=-1, keepdims=True))


def _energy(a: Signal, b: Signal) -> Signal:
    return np.asarray(np.sum(a * b, axis=-1, keepdims=True))


def _cap(ratios: Ratios) -> Ratios:
    # numpy.clip takes longer than a whole inner product here.
    return np.minimum(np.maximum(ratios, -CAP_DB), CAP_DB)


def _like(reference: Any, estimate: Any, ratios: Ratios) -> Any:
    """`ratios` as what came in: a tensor for tensors, a float for two plain signals."""
    for values in (reference, estimate):
        if is_tensor(values):
            like = values if values.is_floating_point() else values.double()
            return like.new_tensor(ratios)
    return float(ratios) if ratios.ndim == 0 else ratios


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_FAILURES = (
    "undefined: silent, empty or non-finite reference; failed: silent, non-finite or unequally "
    "long estimate, another number of sources"
)
_ROUX = "Le Roux et al. 2019, arXiv 1811.02508"


def signal_sheet(name: str, title: str, summary: str, **fields: Any) -> Metric:
    """The data sheet of a mean over clips that compares signals at a declared `sample_rate`."""
    sheet: dict[str, Any] = {
        "higher_is_better": True,
        "version": "1",
        "needs": ("reference signals",),
        "failure_policy": _FAILURES,
        "function": f"metrics.signal:score_{name}",
        **fields,
        "parameters": {"sample_rate": None, **fields.get("parameters", {})},
    }
    return Metric(name=name, title=title, summary=summary, pooled=False, item="signal", **sheet)


def _ratio(name: str, title: str, summary: str, *, source: str = _ROUX) -> Metric:
    return signal_sheet(name, title, summary, unit="dB", source=source)


def _gain(name: str, title: str, summary: str, *, source: str = _ROUX) -> Metric:
    policy = f"{_FAILURES}; undefined: such a mixture"
    return signal_sheet(
        name, title, summary, unit="dB", source=source, failure_policy=policy,
        needs=("reference signals", "mixture"),
    )  # fmt: skip


_PLAIN = "the plain signal-to-noise ratio"

SHEETS: tuple[Metric, ...] = (
    _ratio("si_snr", "SI-SNR", "scale-invariant SNR without the means"),
    _gain("si_snri", "SI-SNRi", "SI-SNR minus that of the mixture"),
    _ratio("si_sdr", "SI-SDR", "scale-invariant SDR, means left in"),
    _gain("si_sdri", "SI-SDRi", "SI-SDR minus that of the mixture"),
    _ratio("snr", "SNR", "energy of the reference over that of the error", source=_PLAIN),
    _gain("snri", "SNRi", "SNR minus that of the mixture", source=_PLAIN),
)
