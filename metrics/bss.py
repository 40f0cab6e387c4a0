"""SDR, SIR and SAR of BSS-eval v3 (Vincent, Gribonval, Févotte 2006; version 3 for sources).

An estimate is split by two orthogonal projections, on the 512 delayed versions (0 to 511 samples)
of its own reference, P e, and of all references, Q e: P e is the target, Q e - P e interference,
e - Q e artefact. In energy ratios, with signals lengthened by 511 zeros,

    SDR = |P e|^2 / |e - P e|^2    SIR = |P e|^2 / |Q e - P e|^2    SAR = |Q e|^2 / |e - Q e|^2

The normal equations come from correlations by FFT and are solved by Cholesky; the energies are
summed over the spectra of the components themselves, so that nothing cancels. All in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import ClipScore, Metric, Signal, SignalItem, UndefinedMetric
from metrics.checks import as_signal, check_estimate, check_reference, check_sources
from metrics.signal import (
    CAP_DB,
    best_permutation,
    check_mixture,
    check_pair_shapes,
    levelled,
    ratio_score,
    signal_sheet,
)

TAPS = 512  # of BSS-eval

Spectrum = NDArray[np.complex128]


class Criteria(NamedTuple):
    """SDR, SIR and SAR in dB, `(sources,)` each in the references' order, and the permutation."""

    sdr: Signal
    sir: Signal
    sar: Signal
    permutation: tuple[int, ...]


def bss_eval(
    references: ArrayLike,
    estimates: ArrayLike,
    permutation: Sequence[int] | None = None,
    *,
    taps: int = TAPS,
) -> Criteria:
    """SDR, SIR and SAR of separated sources in dB within ±100, higher is better.

    Both are `(sources, time)`. `permutation[i]` is the estimate that belongs to reference `i`;
    without it the one with the highest mean SIR is found, exactly, as BSS-eval does. Of one source
    nothing interferes: its SIR is infinite. Raises UndefinedMetric for a silent, empty or
    non-finite reference, for fewer samples than sources times taps ("too_short": everything could
    be projected), FailedPrediction for such an estimate, another length or number of sources, and
    ValueError for what is no permutation.
    """
    wanted, found = as_signal(references, "references"), as_signal(estimates, "estimates")
    check_pair_shapes(wanted, found)
    check_reference(wanted, "reference")
    check_estimate(found, wanted)
    span = _span(wanted, taps)
    spectra = span.spectra(found)
    if permutation is not None:
        order = _checked_order(permutation, len(wanted))
        parts = np.array([_criteria(span, spectra[k], [j])[0] for j, k in enumerate(order)])
        return _capped(parts, order)
    table = np.array([_criteria(span, spectrum, range(len(wanted))) for spectrum in spectra])
    order = best_permutation(_cap(table[:, :, 1].T))
    return _capped(table[list(order), range(len(order))], order)


def score_sdr(item: SignalItem, *, taps: int = TAPS) -> ClipScore:
    """SDR of a clip: the mean over its sources, in the item's permutation."""
    return ratio_score(_item_criteria(item, taps)[:, 0].tolist())


def score_sir(item: SignalItem, *, taps: int = TAPS) -> ClipScore:
    """SIR of a clip: the mean over its sources; undefined for one source."""
    if len(item.references) == 1:
        raise UndefinedMetric("single_source", "of one source nothing interferes: SIR is infinite")
    return ratio_score(_item_criteria(item, taps)[:, 1].tolist())


def score_sar(item: SignalItem, *, taps: int = TAPS) -> ClipScore:
    """SAR of a clip: the mean over its sources, in the item's permutation."""
    return ratio_score(_item_criteria(item, taps)[:, 2].tolist())


def score_sdri(item: SignalItem, *, taps: int = TAPS) -> ClipScore:
    """SDR improvement of a clip: SDR minus that of the mixture taken as every estimate."""
    check_sources(item)
    check_mixture(item)
    after = _item_sdr(item, item.estimates, taps)
    before = _item_sdr(item, np.broadcast_to(item.mixture, item.references.shape), taps)
    return ratio_score(after, before)


def score_siri(item: SignalItem, *, taps: int = TAPS) -> ClipScore:
    """SIR improvement of a clip: SIR minus the mixture's; undefined for one source."""
    if len(item.references) == 1:
        raise UndefinedMetric("single_source", "of one source nothing interferes: SIR is infinite")
    return _improvement(item, 1, taps)


def score_sari(item: SignalItem, *, taps: int = TAPS) -> ClipScore:
    """SAR improvement of a clip: SAR minus the mixture's.

    A mixture without noise has no artefacts, so this is mostly a loss: up to 100 dB, the cap.
    """
    return _improvement(item, 2, taps)


def _improvement(item: SignalItem, criterion: int, taps: int) -> ClipScore:
    """One of SDR, SIR, SAR (0, 1, 2) minus that of the mixture taken as every estimate."""
    check_sources(item)
    check_mixture(item)
    heard = np.broadcast_to(item.mixture, item.references.shape)
    after = _item_criteria(item, taps)[:, criterion]
    before = _item_criteria(replace(item, estimates=heard), taps)[:, criterion]
    return ratio_score(after.tolist(), before.tolist())


def _item_criteria(item: SignalItem, taps: int) -> Signal:
    """Uncapped SDR, SIR, SAR `(sources, 3)` of an item."""
    span = _item_span(item, item.estimates, taps)
    spectra = span.spectra(item.estimates)
    return np.array([_criteria(span, spectrum, [j])[0] for j, spectrum in enumerate(spectra)])


def _item_sdr(item: SignalItem, estimates: Signal, taps: int) -> list[float]:
    """Uncapped SDR of every source: it takes no other source, so nothing is solved for all."""
    span = _item_span(item, estimates, taps)
    values = []
    for j, spectrum in enumerate(span.spectra(estimates)):
        target = span.project(spectrum, [j])
        values.append(_db(span.energy(target), span.energy(spectrum - target)))
    return values


def _item_span(item: SignalItem, estimates: Signal, taps: int) -> _Span:
    check_sources(item)
    check_reference(item.references, "reference")
    check_estimate(estimates, item.references)
    return _span(item.references, taps)


@dataclass(eq=False)
class _Span:
    """The delayed versions of all references, and the solved systems that were asked for."""

    references: Spectrum  # (sources, bins), of signals lengthened by zeros to `length`
    length: int
    taps: int
    correlations: Signal  # (sources, sources, 2 taps - 1): <s_i(t - a), s_j(t - b)> at a - b

    def __post_init__(self) -> None:
        self._factors: dict[tuple[int, ...], Any] = {}

    def spectra(self, signals: Signal) -> Spectrum:
        """The spectra of levelled signals `(sources, time)`: the criteria are free of scale."""
        from scipy.fft import rfft

        return np.asarray(rfft(levelled(signals), self.length, axis=-1))

    def project(self, estimate: Spectrum, sources: Sequence[int]) -> Spectrum:
        """The spectrum of an estimate's projection on the delays of these sources."""
        from scipy.fft import irfft, rfft

        chosen = self.references[list(sources)]
        products = irfft(chosen.conj() * estimate, self.length, axis=-1)[:, : self.taps]
        filters = self._solve(tuple(sources), products.ravel())
        spectra = rfft(filters.reshape(len(chosen), self.taps), self.length, axis=-1)
        return np.asarray(np.einsum("sf,sf->f", spectra, chosen))

    def energy(self, spectrum: Spectrum) -> float:
        """The energy in time of a one-sided spectrum, by Parseval."""
        power = spectrum.real**2 + spectrum.imag**2
        ends = power[0] + (power[-1] if self.length % 2 == 0 else 0.0)
        return float(2 * power.sum() - ends) / self.length

    def _solve(self, sources: tuple[int, ...], right: Signal) -> Signal:
        """The filters; those of least norm where the delays are not independent."""
        from scipy.linalg import cho_solve, lstsq

        if sources not in self._factors:
            self._factors[sources] = self._factor(sources)
        if self._factors[sources] is None:
            return np.asarray(lstsq(self._gram(sources), right, check_finite=False)[0])
        return np.asarray(cho_solve(self._factors[sources], right, check_finite=False))

    def _factor(self, sources: tuple[int, ...]) -> Any:
        from scipy.linalg import LinAlgError, cho_factor

        try:
            # Symmetric, so its transpose is itself: in LAPACK's order, and factorised in place.
            gram = self._gram(sources).T
            return cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return None

    def _gram(self, sources: tuple[int, ...]) -> Signal:
        """Inner products of all delays: blocks `(i, j)` of taps x taps, each constant along a - b.

        Block `[a, b]` is the correlation at b - a, read from the stored lags by a strided view.
        """
        taps, count = self.taps, len(sources)
        gram = np.empty((count, taps, count, taps))
        for row, i in enumerate(sources):
            for column, j in enumerate(sources):
                lags = np.lib.stride_tricks.sliding_window_view(self.correlations[i, j], taps)
                gram[row, :, column, :] = lags[::-1]
        return gram.reshape(count * taps, count * taps)


def _span(references: Signal, taps: int) -> _Span:
    from scipy.fft import irfft, next_fast_len, rfft

    sources, time = references.shape
    if time < sources * taps:
        raise UndefinedMetric(
            "too_short",
            f"expected at least {sources} times {taps} samples, found {time}; use fewer taps",
        )
    length = next_fast_len(time + taps - 1, real=True)
    spectra = np.asarray(rfft(levelled(references), length, axis=-1))
    products = irfft(spectra[:, None] * spectra[None].conj(), length, axis=-1)
    lags = np.concatenate([products[..., length - taps + 1 :], products[..., :taps]], axis=-1)
    return _Span(spectra, length, taps, lags)


def _criteria(
    span: _Span, estimate: Spectrum, targets: Sequence[int]
) -> list[tuple[float, float, float]]:
    """Uncapped SDR, SIR, SAR of one estimate, with each of `targets` taken as its reference."""
    alone = len(span.references) == 1
    everything = span.project(estimate, range(len(span.references)))
    whole, artefacts = span.energy(everything), span.energy(estimate - everything)
    found = []
    for j in targets:
        target = everything if alone else span.project(estimate, [j])
        kept = span.energy(target)
        sir = np.inf if alone else _db(kept, span.energy(everything - target))
        found.append((_db(kept, span.energy(estimate - target)), sir, _db(whole, artefacts)))
    return found


def _db(above: float, below: float) -> float:
    with np.errstate(divide="ignore"):
        return float(10 * (np.log10(above) - np.log10(below)))


def _capped(criteria: Signal, order: tuple[int, ...]) -> Criteria:
    sdr, sir, sar = criteria.T
    return Criteria(_cap(sdr), sir if len(order) == 1 else _cap(sir), _cap(sar), order)


def _cap(ratios: Signal) -> Signal:
    return np.asarray(np.clip(ratios, -CAP_DB, CAP_DB))


def _checked_order(permutation: Sequence[int], sources: int) -> tuple[int, ...]:
    order = tuple(int(place) for place in permutation)
    if sorted(order) != list(range(sources)):
        raise ValueError(
            f"permutation: expected each of 0 to {sources - 1} once, found {list(order)}"
        )
    return order


_SOURCE = "Vincent, Gribonval, Févotte 2006, BSS-eval v3"
_FAILURES = (
    "undefined: silent, empty, non-finite or too short reference; failed: silent, non-finite or "
    "unequally long estimate, another number of sources"
)


def _sheet(name: str, title: str, summary: str, **fields: Any) -> Metric:
    return signal_sheet(
        name, title, summary, unit="dB", function=f"metrics.bss:score_{name}", source=_SOURCE,
        parameters={"taps": TAPS}, **{"failure_policy": _FAILURES, **fields},
    )  # fmt: skip


_WITH_MIXTURE: dict[str, Any] = {"needs": ("reference signals", "mixture")}

SHEETS: tuple[Metric, ...] = (
    _sheet("sdr", "SDR", "target over everything else, a filter of 512 taps allowed"),
    _sheet(
        "sir", "SIR", "target over the other sources, a filter of 512 taps allowed",
        failure_policy=f"{_FAILURES}; undefined: a single source",
    ),
    _sheet("sar", "SAR", "what comes from the sources over artefacts"),
    _sheet(
        "sdri", "SDRi", "SDR minus that of the mixture", **_WITH_MIXTURE,
        failure_policy=f"{_FAILURES}; undefined: silent or non-finite mixture",
    ),
    _sheet(
        "siri", "SIRi", "SIR minus that of the mixture", **_WITH_MIXTURE,
        failure_policy=f"{_FAILURES}; undefined: silent or non-finite mixture, a single source",
    ),
    _sheet(
        "sari", "SARi", "SAR minus that of the mixture", **_WITH_MIXTURE,
        failure_policy=f"{_FAILURES}; undefined: silent or non-finite mixture",
    ),
)  # fmt: skip
