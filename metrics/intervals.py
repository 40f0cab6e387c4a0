"""How sure one may be: 95 % intervals that know that clips of one speaker resemble each other.

Whole clusters (speakers, sessions) are resampled by a Poisson bootstrap, with weights that depend
on nothing but the cluster id and the replicate, so that every model is judged under the same
weights and no sharding, order or subset changes them. The interval is the *expanded* percentile
one: quantiles at Φ(±t(0.975, ν) √k); one dataset of G clusters has ν = G - 1, k = G / (G - 1).

Everything that a board shows is a sum of ratios with coefficients: a dataset's value, a domain's
(the unweighted mean over its datasets), a gap (one domain minus another), a paired difference of
two models. So there is one engine, `combine_all`, over `Term`s, and thin names for the uses. It
draws one weight matrix for all models and slices that it is given at once.

What is no ratio (Pearson, Spearman, mAP, EER) is computed anew under every row of weights, with the
same quantiles; from 3 to 5 clusters its t interval stands on the jackknife over clusters.

For several datasets, with z the linearised contribution of a cluster: k is the ratio of the
variance with each dataset's G / (G - 1) to the one without, and ν is Welch and Satterthwaite's,
both of which are the above for one. Datasets that share clusters count as one part with the fewest
degrees of freedom among them. If any dataset has under 3 clusters there is no interval; if any has
under 6, it is value ± t(0.975, ν) √variance.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metrics.tally import Tally

REPLICATES = 1000
LEVEL = 0.95
FEWEST_CLUSTERS = 3  # below, no interval
BOOTSTRAP_CLUSTERS = 6  # from here the bootstrap holds its level; below, t
_BLOCK = 250  # replicates multiplied at a time
_EXACT_FLOATS = 2.0**53

# ⌊P(Poisson(1) ≤ k) · 2^64⌋ for k = 0…19: a weight counts those that a raw integer reaches.
_THRESHOLDS = np.array(
    [
        0x5E2D58D8B3BCDF1A,
        0xBC5AB1B16779BE35,
        0xEB715E1DC1582DC2,
        0xFB23979734A252F1,
        0xFF1025F59174DC3D,
        0xFFD90F3BA4055E19,
        0xFFFA8B71FC72C913,
        0xFFFF540C0914B3C9,
        0xFFFFED1F4AA8F120,
        0xFFFFFE216E641462,
        0xFFFFFFD4D85D3183,
        0xFFFFFFFC6DA262B4,
        0xFFFFFFFFBA12D178,
        0xFFFFFFFFFB07C64C,
        0xFFFFFFFFFFAB8EA5,
        0xFFFFFFFFFFFABE22,
        0xFFFFFFFFFFFFB11A,
        0xFFFFFFFFFFFFFBA1,
        0xFFFFFFFFFFFFFFC5,
        0xFFFFFFFFFFFFFFFD,
    ],
    dtype=np.uint64,
)

Key = tuple[str, str]  # salt, cluster id: what is resampled as one
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval in the metric's own scale, how it was made, and over how many clusters."""

    low: float
    high: float
    method: str  # "bootstrap" or "t"
    clusters: int


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; both None where something that it needs was not scored.

    Differences carry `above_zero`, the probability (0 to 1) that the true one is positive, by the
    same distribution as the interval: beyond 0.975 or under 0.025 the interval excludes 0. None
    where there is no interval.
    """

    value: float | None
    interval: Interval | None
    above_zero: float | None = None


@dataclass(frozen=True)
class Term:
    """One dataset's share in a combination: `coefficient` times the tally's value.

    Terms of one `salt` are resampled together where their cluster ids agree, those of different
    salts independently.
    """

    coefficient: float
    tally: Tally
    salt: str = ""


def weights(
    clusters: Sequence[str], replicates: int = REPLICATES, *, salt: str = ""
) -> NDArray[np.uint8]:
    """Poisson(1) weights `(replicates, clusters)`, each fixed by salt, id and replicate alone.

    Fewer replicates are the first rows of more. The raw integers are Philox's, keyed by SHA-256 of
    the salt and the id, whose stream numpy keeps stable.
    """
    columns = [_column(cluster, replicates, salt) for cluster in clusters]
    return np.stack(columns, axis=1) if columns else np.zeros((replicates, 0), np.uint8)


@lru_cache(maxsize=1 << 14)
def _column(cluster: str, replicates: int, salt: str) -> NDArray[np.uint8]:
    digest = hashlib.sha256(f"{len(salt)}:{salt}{cluster}".encode()).digest()
    raw = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(replicates)
    column = np.searchsorted(_THRESHOLDS, raw, side="right").astype(np.uint8)
    column.flags.writeable = False
    return column


class Statistic(Protocol):
    """What is no ratio but can be computed anew under weights: `Moments`, `Ranks`."""

    @property
    def clusters(self) -> tuple[str, ...]:
        """The sorted ids that `under` takes a column of weights for."""

    @property
    def value(self) -> float | None:
        """The number itself; None where it is not defined."""

    def under(self, weights: NDArray[np.integer]) -> Floats:
        """The number under each row of `weights (replicates, clusters)`; NaN where undefined."""


def interval(tally: Tally | Statistic, *, replicates: int = REPLICATES) -> Interval | None:
    """The interval of one tally's value; None under 3 clusters or without a value."""
    if isinstance(tally, Tally):
        return combine([Term(1.0, tally)], replicates=replicates).interval
    return _statistic_interval(tally, replicates)


def domain(tallies: Sequence[Tally], *, replicates: int = REPLICATES) -> Estimate:
    """The unweighted mean over a domain's datasets, a tally each; None unless all have a value."""
    return combine(mean_terms(tallies), replicates=replicates)


def difference(
    side_a: Sequence[Tally],
    side_b: Sequence[Tally],
    *,
    paired: bool = False,
    replicates: int = REPLICATES,
) -> Estimate:
    """The domain value of `side_a` minus that of `side_b`.

    The sides are resampled independently, even where cluster ids agree. `paired` resamples them
    together: both must then be clustered by the same ids (ValueError where none agree).
    """
    if paired and not _ids(side_a) & _ids(side_b):
        raise ValueError(
            "paired: expected cluster ids on both sides, found none in common; cluster them alike"
        )
    salt_a, salt_b = ("", "") if paired else ("a", "b")
    terms = [*mean_terms(side_a, salt=salt_a), *mean_terms(side_b, -1.0, salt=salt_b)]
    return combine(terms, replicates=replicates, signed=True)


def gap(
    synthetic: Sequence[Tally],
    real: Sequence[Tally],
    *,
    higher_is_better: bool,
    paired: bool = False,
    replicates: int = REPLICATES,
) -> Estimate:
    """How much worse real life is: positive means worse there, whichever way the metric points.

    `paired` only where the clips of both sides carry shared pair ids, and cluster ids made from
    them.
    """
    sides = (synthetic, real) if higher_is_better else (real, synthetic)
    return difference(*sides, paired=paired, replicates=replicates)


def compare(
    model_a: Sequence[Tally], model_b: Sequence[Tally], *, replicates: int = REPLICATES
) -> Estimate:
    """Model a minus model b over the same datasets and clips, under the same weights.

    The tallies correspond one to one and must cover the clips that both models scored, no others
    (`tally.common`); ValueError where clusters or their numbers of clips differ. `better` and
    `tied` read the answer.
    """
    pairs = list(zip(model_a, model_b, strict=True))
    for a, b in pairs:
        if a.clusters != b.clusters or not np.array_equal(a.clips, b.clips):
            raise ValueError(
                f"expected the same clips on both sides, found {a.scored} and {b.scored}; "
                "keep those that both models scored"
            )
    terms = [*mean_terms(model_a), *mean_terms(model_b, -1.0)]
    return combine(terms, replicates=replicates, signed=True)


def better(comparison: Estimate, *, higher_is_better: bool) -> float | None:
    """The probability that model a of a `compare` is the better one; None without an interval."""
    above = comparison.above_zero
    return above if higher_is_better or above is None else 1.0 - above


def tied(comparison: Estimate) -> bool | None:
    """Whether two models are a statistical tie: their interval holds 0; None without one."""
    found = comparison.interval
    return None if found is None else found.low <= 0.0 <= found.high


def combine(
    terms: Sequence[Term], *, replicates: int = REPLICATES, signed: bool = False
) -> Estimate:
    """The sum of coefficient times value over the terms; None if any term has no value.

    `signed` adds the probability that it is above 0.
    """
    return combine_all([terms], replicates=replicates, signed=signed)[0]


def combine_all(
    combinations: Sequence[Sequence[Term]], *, replicates: int = REPLICATES, signed: bool = False
) -> list[Estimate]:
    """Many combinations (all models and slices of a board), under one weight matrix for each salt.

    Equal to `combine` of each, to the last bit.
    """
    drawn = iter(
        replicate_all([terms for terms in combinations if _resampled(terms)], replicates=replicates)
    )
    return [
        _estimate(terms, next(drawn) if _resampled(terms) else None, signed=signed)
        for terms in combinations
    ]


def replicate_values(terms: Sequence[Term], *, replicates: int = REPLICATES) -> Floats:
    """The combination under each replicate's weights `(replicates,)`; NaN over denominator 0."""
    return replicate_all([terms], replicates=replicates)[0]


def replicate_all(
    combinations: Sequence[Sequence[Term]], *, replicates: int = REPLICATES
) -> list[Floats]:
    """`replicate_values` of many combinations, with every tally's ratios computed once."""
    ratios = _all_ratios([term for terms in combinations for term in terms], replicates)
    answers = []
    for terms in combinations:
        total = np.zeros(replicates)
        for term in terms:
            total += term.coefficient * ratios[term.salt, id(term.tally)]
        answers.append(total)
    return answers


def _all_ratios(terms: Sequence[Term], replicates: int) -> dict[tuple[str, int], Floats]:
    by_salt: dict[str, dict[int, Tally]] = defaultdict(dict)
    for term in terms:
        by_salt[term.salt][id(term.tally)] = term.tally
    return {
        (salt, key): row
        for salt, tallies in by_salt.items()
        for key, row in zip(tallies, _ratios([*tallies.values()], salt, replicates), strict=True)
    }


def _ratios(tallies: Sequence[Tally], salt: str, replicates: int) -> Floats:
    """Each tally's value under each replicate `(tallies, replicates)`; NaN over denominator 0."""
    ids = sorted({cluster for tally in tallies for cluster in tally.clusters})
    place = {cluster: index for index, cluster in enumerate(ids)}
    table = np.zeros((2, len(ids), len(tallies)), np.int64)
    for column, tally in enumerate(tallies):
        rows = [place[cluster] for cluster in tally.clusters]
        table[:, rows, column] = tally.numerators, tally.denominators
    drawn = weights(ids, replicates, salt=salt)
    above, below = (_product(drawn, side).T for side in table)
    answer = np.full(above.shape, np.nan)
    np.divide(above, below, out=answer, where=below != 0)
    return answer


def _product(drawn: NDArray[np.uint8], sums: NDArray[np.int64]) -> NDArray[Any]:
    """`drawn @ sums` exactly, a block of replicates at a time: wide numbers take 8 times the bytes.

    In float64 (whose products BLAS speeds up) where every sum stays within 53 bits, else in int64.
    """
    largest = np.abs(sums.astype(np.float64)).sum(axis=0).max(initial=0.0)
    kind = np.float64 if largest * drawn.max(initial=0) < _EXACT_FLOATS else np.int64
    wide = sums.astype(kind)
    starts = range(0, len(drawn), _BLOCK)
    return np.concatenate([drawn[start : start + _BLOCK].astype(kind) @ wide for start in starts])


def _estimate(terms: Sequence[Term], drawn: Floats | None, *, signed: bool) -> Estimate:
    values = [term.tally.value for term in terms]
    known = [value for value in values if value is not None]
    if not terms or len(known) < len(terms):
        return Estimate(None, None)
    value = sum(term.coefficient * part for term, part in zip(terms, known, strict=True))
    if _fewest(terms) < FEWEST_CLUSTERS:
        return Estimate(value, None)
    variance, inflation, freedom = _linearised(terms)
    count = len({(term.salt, cluster) for term in terms for cluster in term.tally.clusters})
    found = _t_interval(value, variance, freedom, count)
    sure = _t_above_zero(value, variance, freedom)
    if drawn is not None:
        drawn = drawn[~np.isnan(drawn)]
        found = _expanded(drawn, inflation, freedom, count)
        sure = _drawn_above_zero(drawn, inflation, freedom, sure)
    return Estimate(value, found, sure if signed else None)


def _fewest(terms: Sequence[Term]) -> int:
    return min((len(term.tally.clusters) for term in terms), default=0)


def _resampled(terms: Sequence[Term]) -> bool:
    return _fewest(terms) >= BOOTSTRAP_CLUSTERS and all(
        term.tally.value is not None for term in terms
    )


def _t_interval(value: float, variance: float, freedom: float, count: int) -> Interval:
    margin = _t_quantile(freedom) * variance**0.5
    return Interval(value - margin, value + margin, "t", count)


def expanded(drawn: Floats, clusters: int) -> Interval:
    """The expanded percentile interval of replicates over one set of clusters, NaN taken out."""
    return _expanded(drawn, clusters / (clusters - 1), clusters - 1, clusters)


def _expanded(drawn: Floats, inflation: float, freedom: float, count: int) -> Interval:
    tail = _normal_probability(-_t_quantile(freedom) * inflation**0.5)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(low), float(high), "bootstrap", count)


def _t_above_zero(value: float, variance: float, freedom: float) -> float:
    if variance == 0.0:
        return 0.5 * (1.0 + float(np.sign(value)))
    return _t_probability(value / variance**0.5, freedom)


def _drawn_above_zero(drawn: Floats, inflation: float, freedom: float, by_t: float) -> float:
    """The replicates' share above 0, its normal score shrunk as the quantiles were expanded.

    Where they all lie on one side their number caps what they can tell: `by_t` may be surer.
    """
    above = np.count_nonzero(drawn > 0) + 0.5 * np.count_nonzero(drawn == 0)
    share = (above + 0.5) / (len(drawn) + 1)
    sure = _t_probability(_normal_quantile(float(share)) / inflation**0.5, freedom)
    if above == len(drawn):
        return max(sure, by_t)
    return min(sure, by_t) if above == 0 else sure


def _statistic_interval(tally: Statistic, replicates: int) -> Interval | None:
    count, value = len(tally.clusters), tally.value
    if count < FEWEST_CLUSTERS or value is None:
        return None
    if count < BOOTSTRAP_CLUSTERS:
        left_out = tally.under(np.ones((count, count), np.int64) - np.eye(count, dtype=np.int64))
        if np.isnan(left_out).any():
            return None
        apart = left_out - left_out.mean()
        return _t_interval(value, float((apart**2).sum() * (count - 1) / count), count - 1, count)
    drawn = tally.under(weights(tally.clusters, replicates))
    return expanded(drawn[~np.isnan(drawn)], count)


def _linearised(terms: Sequence[Term]) -> tuple[float, float, float]:
    """(variance, its ratio to the bootstrap's, degrees of freedom) of a combination."""
    variances, plain, freedoms = [], 0.0, []
    for part in _parts(terms):
        unbiased, biased = _sum_by_cluster(part, _unbiased), _sum_by_cluster(part, _biased)
        variances.append(sum(z * z for z in unbiased.values()))
        plain += sum(z * z for z in biased.values())
        freedoms.append(min(len(term.tally.clusters) for term in part) - 1)
    variance = sum(variances)
    if variance == 0.0 or plain == 0.0:
        return 0.0, 1.0, float(min(freedoms))
    freedom = variance**2 / sum(v * v / f for v, f in zip(variances, freedoms, strict=True))
    return variance, variance / plain, freedom


def _biased(term: Term) -> Floats:
    """What each cluster adds, to first order: coefficient (n - R d) / D; the sum is 0."""
    above, below = (
        term.tally.numerators.astype(np.float64),
        term.tally.denominators.astype(np.float64),
    )
    ratio = above.sum() / below.sum()
    return np.asarray(term.coefficient * (above - ratio * below) / below.sum())


def _unbiased(term: Term) -> Floats:
    count = len(term.tally.clusters)
    return np.asarray(_biased(term) * (count / (count - 1)) ** 0.5)


def _sum_by_cluster(terms: Sequence[Term], linearise: Callable[[Term], Floats]) -> dict[Key, float]:
    sums: dict[Key, float] = defaultdict(float)
    for term in terms:
        for cluster, z in zip(term.tally.clusters, linearise(term).tolist(), strict=True):
            sums[term.salt, cluster] += z
    return sums


def _parts(terms: Sequence[Term]) -> list[list[Term]]:
    """The terms in groups that share no cluster with one another."""
    groups: list[tuple[set[Key], list[Term]]] = []
    for term in terms:
        keys, members = {(term.salt, cluster) for cluster in term.tally.clusters}, [term]
        apart = []
        for other_keys, others in groups:
            if keys & other_keys:
                keys, members = keys | other_keys, [*others, *members]
            else:
                apart.append((other_keys, others))
        groups = [*apart, (keys, members)]
    return [members for _, members in groups]


def mean_terms(tallies: Sequence[Tally], sign: float = 1.0, *, salt: str = "") -> list[Term]:
    """The terms whose combination is the unweighted mean of the tallies' values, times `sign`."""
    # An empty side has no value: the zero tally says so.
    return [Term(sign / max(len(tallies), 1), tally, salt) for tally in tallies or [Tally.zero()]]


def _ids(tallies: Sequence[Tally]) -> set[str]:
    return {cluster for tally in tallies for cluster in tally.clusters}


def _t_quantile(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _t_probability(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, t))


def _normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def _normal_probability(z: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(z))
