from itertools import pairwise
from math import exp, factorial

import numpy as np
import pytest
from scipy import stats

from metrics import (
    Interval,
    Tally,
    Term,
    better,
    combine,
    combine_all,
    compare,
    difference,
    domain,
    gap,
    interval,
    replicate_all,
    replicate_values,
    tied,
    weights,
)


def tally(seed: int, speakers: int, *, clips: int = 10, shift: float = 0.0, name="s") -> Tally:
    """Clips of `speakers` with a share of 0.3 of their variance between speakers."""
    rng = np.random.default_rng(seed)
    between, within = 0.3**0.5, 0.7**0.5
    values = (
        shift
        + between * rng.normal(size=(speakers, 1))
        + within * rng.normal(size=(speakers, clips))
    )
    ids = np.repeat([f"corpus/{name}{speaker}" for speaker in range(speakers)], clips)
    return Tally.from_arrays(ids, values.ravel(), np.ones(values.size))


def cluster_means(one: Tally) -> np.ndarray:
    return one.numerators / one.denominators


def test_weights_are_poisson():
    drawn = weights([f"cluster{index}" for index in range(400)])
    assert drawn.shape == (1000, 400)
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.var() == pytest.approx(1, abs=0.01)
    for count in range(5):
        expected = exp(-1) / factorial(count)
        assert (drawn == count).mean() == pytest.approx(expected, abs=0.003)
    correlation = np.corrcoef(drawn[:, :40].T) - np.eye(40)
    assert np.abs(correlation).max() < 0.16


def test_thresholds_are_the_distribution_function():
    from metrics.intervals import _THRESHOLDS

    steps = [int(high) - int(low) for low, high in pairwise([0, *_THRESHOLDS.tolist()])]
    expected = [exp(-1) / factorial(count) for count in range(20)]
    assert [step / 2**64 for step in steps] == pytest.approx(expected, rel=1e-12, abs=2.0**-63)


def test_weights_depend_on_cluster_and_replicate_alone():
    ids = [f"corpus/{index}" for index in range(12)]
    drawn = weights(ids)
    assert np.array_equal(weights(ids[::-1]), drawn[:, ::-1])
    assert np.array_equal(weights(ids[3:5]), drawn[:, 3:5])
    assert np.array_equal(weights(ids, 100), drawn[:100])
    assert not np.array_equal(weights(ids, salt="real"), drawn)
    assert not np.array_equal(weights(["ab"], salt="c"), weights(["b"], salt="ca"))
    assert weights([], 7).shape == (7, 0)


def test_weights_never_change():
    # Golden; generator: these very calls, when the weights were defined. Other weights would move
    # every interval that was ever published.
    first, second = weights(["corpus/ann", "corpus/bob"], 12).T.tolist()
    assert first == [0, 1, 0, 0, 0, 3, 1, 1, 2, 1, 0, 0]
    assert second == [1, 1, 3, 0, 0, 1, 2, 1, 0, 0, 2, 1]


def test_bootstrap_is_the_expanded_percentile_interval():
    one = tally(0, 9)
    means = [
        sum(w * n for w, n in zip(row, one.numerators.tolist(), strict=True))
        / sum(w * d for w, d in zip(row, one.denominators.tolist(), strict=True))
        for row in weights(one.clusters).tolist()
        if any(row)
    ]
    tail = stats.norm.cdf(-stats.t.ppf(0.975, 8) * (9 / 8) ** 0.5)
    found = interval(one)
    assert found is not None
    assert (found.method, found.clusters) == ("bootstrap", 9)
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [tail, 1 - tail]))


@pytest.mark.parametrize("speakers", [3, 4, 5])
def test_few_clusters_take_the_t_interval_of_their_means(speakers):
    # Equal numbers of clips: the linearised interval is the plain t interval of the cluster means.
    one = tally(1, speakers)
    means = cluster_means(one)
    expected = stats.t.interval(0.95, speakers - 1, means.mean(), stats.sem(means))
    found = interval(one)
    assert found is not None
    assert (found.method, found.clusters) == ("t", speakers)
    assert (found.low, found.high) == pytest.approx(expected)


def test_no_interval_under_three_clusters_or_without_a_value():
    assert interval(tally(2, 2)) is None
    assert interval(Tally.zero()) is None
    wordless = Tally.from_arrays(["a", "b", "c", "d"], [1.0] * 4, [0.0] * 4)
    assert interval(wordless) is None


def test_equal_clips_have_an_interval_of_no_width():
    for clusters in (4, 8):
        same = Tally.from_arrays(
            [f"s{i}" for i in range(clusters)], [0.5] * clusters, [1.0] * clusters
        )
        found = interval(same)
        assert found is not None
        assert (found.low, found.high) == (0.5, 0.5)


def test_domain_is_the_unweighted_mean_of_datasets():
    small, large = tally(3, 6, shift=2.0), tally(4, 30, shift=8.0, name="t")
    found = domain([small, large])
    assert found.value == pytest.approx((small.value + large.value) / 2)
    assert found.interval is not None
    assert found.interval.clusters == 36
    assert domain([large]).interval == interval(large)


def test_domain_has_no_value_unless_all_its_datasets_have():
    assert domain([tally(3, 8), Tally.zero()]).value is None
    assert domain([]).value is None
    assert domain([]).interval is None


def test_the_smallest_dataset_decides_the_method():
    many, few, two = tally(5, 20), tally(6, 4, name="t"), tally(7, 2, name="u")
    mixed = domain([many, few]).interval
    assert mixed is not None
    assert mixed.method == "t"
    alone = domain([many, two])
    assert alone.value is not None
    assert alone.interval is None
    assert difference([many], [two]).interval is None


def test_small_sides_follow_welch():
    # Equal numbers of clips: Welch's t interval of the cluster means, as scipy has it.
    a, b = tally(8, 5), tally(9, 4, shift=1.0, name="t")
    welch = stats.ttest_ind(cluster_means(a), cluster_means(b), equal_var=False)
    expected = welch.confidence_interval(0.95)
    found = difference([a], [b])
    assert found.interval is not None
    assert found.interval.method == "t"
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))


def test_gap_is_positive_where_real_life_is_worse():
    synthetic, real = tally(10, 8, shift=0.0), tally(11, 8, shift=5.0)
    errors = gap([synthetic], [real], higher_is_better=False)
    quality = gap([synthetic], [real], higher_is_better=True)
    assert errors.value == real.value - synthetic.value > 0
    assert quality.value == -errors.value
    assert errors.interval is not None
    assert errors.interval.low < errors.value < errors.interval.high
    assert errors.interval.low > 0


def test_sides_are_resampled_apart_unless_paired():
    one = tally(12, 10)
    apart, paired = difference([one], [one]), difference([one], [one], paired=True)
    assert apart.value == paired.value == 0
    assert apart.interval is not None
    assert paired.interval is not None
    assert apart.interval.high > 0.2 > 0 == paired.interval.high
    assert (apart.interval.clusters, paired.interval.clusters) == (20, 10)
    with pytest.raises(ValueError, match="paired: expected cluster ids on both sides"):
        difference([one], [tally(13, 10, name="t")], paired=True)


def test_few_pairs_follow_the_paired_t_test():
    a = tally(14, 5)
    b = Tally.from_arrays(a.clusters, cluster_means(tally(15, 5)) + cluster_means(a), np.ones(5))
    a = Tally.from_arrays(a.clusters, cluster_means(a), np.ones(5))
    expected = stats.ttest_rel(cluster_means(a), cluster_means(b)).confidence_interval(0.95)
    found = compare([a], [b]).interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert compare([a], [b]) == difference([a], [b], paired=True)


def test_models_are_compared_on_the_same_clips():
    a = tally(16, 8)
    better = Tally.from_arrays(a.clusters, cluster_means(a) + 0.1, np.ones(8))
    a = Tally.from_arrays(a.clusters, cluster_means(a), np.ones(8))
    found = compare([better], [a])
    assert found.value == pytest.approx(0.1, abs=1e-6)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((0.1, 0.1), abs=1e-6)
    with pytest.raises(ValueError, match="same clips on both sides, found 8 and 7"):
        compare([a], [Tally.from_arrays(a.clusters[1:], np.ones(7), np.ones(7))])
    with pytest.raises(ValueError, match="zip"):
        compare([a, a], [a])


def test_shared_speakers_are_not_counted_twice():
    # The same speakers' clips in two datasets of a domain: the mean is as uncertain as one of them.
    one = tally(17, 12)
    twice = domain([one, one])
    assert twice.interval is not None
    assert interval(one) == twice.interval
    few = tally(18, 4)
    assert domain([few, few]).interval == interval(few)


def test_combine_adds_up_and_replicates_follow():
    a, b = tally(19, 7), tally(20, 9, name="t")
    terms = [Term(0.5, a), Term(-2.0, b, "other")]
    assert combine(terms).value == pytest.approx(0.5 * a.value - 2 * b.value)
    drawn = replicate_values(terms, replicates=50)
    expected = 0.5 * replicate_values([Term(1.0, a)], replicates=50)
    expected -= 2 * replicate_values([Term(1.0, b, "other")], replicates=50)
    assert drawn == pytest.approx(expected, nan_ok=True)
    assert combine([]).value is None


@pytest.mark.parametrize("speakers", [4, 6, 20])
def test_intervals_cover_what_they_say(speakers):
    """Nominally 95 %: 400 draws of speakers with an intra-class correlation of 0.3."""
    covered = 0
    for seed in range(400):
        found = interval(tally(1000 + seed, speakers))
        assert isinstance(found, Interval)
        covered += found.low <= 0.0 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def paired_tallies(seed: int, speakers: int, *, clips: int = 1, lead: float = 0.3):
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"corpus/s{speaker}" for speaker in range(speakers)], clips)
    shared = rng.normal(size=len(ids))
    sides = [shared + shift + rng.normal(size=len(ids)) for shift in (lead, 0.0)]
    return [Tally.from_arrays(ids, side, np.ones(len(ids))) for side in sides]


def test_one_matrix_for_all_models_and_slices_changes_nothing():
    """Models, slices with some of the clusters, datasets that share speakers, gaps: to the bit."""
    models = [tally(seed, 12, shift=seed) for seed in range(5)]
    slices = [tally(seed, 12 - seed, clips=3) for seed in range(5)]
    real = [tally(30 + seed, 9, name="t") for seed in range(5)]
    small, wordless = tally(50, 4), Tally.from_arrays(["a"] * 3, [1.0] * 3, [0.0] * 3)
    combinations = [
        *([Term(1.0, one)] for one in [*models, *slices, small, wordless]),
        *([Term(0.5, a), Term(0.5, b)] for a, b in zip(models, real, strict=True)),
        *([Term(1.0, a, "a"), Term(-1.0, b, "b")] for a, b in zip(models, real, strict=True)),
        [],
    ]
    together = combine_all(combinations, signed=True)
    assert together == [combine(terms, signed=True) for terms in combinations]
    rows = replicate_all(combinations, replicates=100)
    for row, terms in zip(rows, combinations, strict=True):
        alone = replicate_values(terms, replicates=100)
        assert np.array_equal(row, alone, equal_nan=True)
        expected = np.zeros(100)
        for term in terms:
            drawn = weights(term.tally.clusters, 100, salt=term.salt).tolist()
            above, below = (
                np.array([sum(w * n for w, n in zip(r, side.tolist(), strict=True)) for r in drawn])
                for side in (term.tally.numerators, term.tally.denominators)
            )
            ratio = np.divide(above, below, out=np.full(100, np.nan), where=below != 0)
            expected += term.coefficient * ratio
        assert np.array_equal(row, expected, equal_nan=True)


def test_large_and_small_sums_are_multiplied_alike():
    """Beyond 53 bits products are integers, below floats: one and the same where both can."""
    from metrics.intervals import _product

    rng = np.random.default_rng(0)
    drawn = weights([f"s{i}" for i in range(9)])
    for bits in (20, 40, 56):
        sums = rng.integers(-(2**bits), 2**bits, (9, 4))
        found = _product(drawn, sums)
        assert found.dtype == (np.int64 if bits == 56 else np.float64)
        assert np.array_equal(found, drawn.astype(np.int64) @ sums)


@pytest.mark.parametrize("speakers", [4, 8, 30])
def test_probability_and_interval_say_the_same(speakers):
    """Beyond 0.975 (or under 0.025) just where the interval leaves 0 out, but for its grain."""
    for seed in range(60):
        a, b = paired_tallies(seed, speakers, lead=0.8)
        found = compare([a], [b])
        sure, low, high = found.above_zero, found.interval.low, found.interval.high
        assert 0.0 <= sure <= 1.0
        if not 0.965 < sure < 0.985:
            assert (low > 0) == (sure > 0.975)
        if not 0.015 < sure < 0.035:
            assert (high < 0) == (sure < 0.025)
        assert tied(found) == (low <= 0 <= high)
        assert better(found, higher_is_better=True) == sure
        assert better(found, higher_is_better=False) == 1 - sure
        turned = compare([b], [a]).above_zero
        assert turned == pytest.approx(1 - sure, abs=0.002)


def test_probability_of_few_pairs_is_the_paired_t_tests():
    a, b = paired_tallies(3, 5)
    expected = stats.ttest_rel(cluster_means(a), cluster_means(b), alternative="less").pvalue
    assert compare([a], [b]).above_zero == pytest.approx(expected, abs=1e-9)


def test_probability_is_uniform_where_models_are_equal():
    sure = [compare(*([x] for x in paired_tallies(s, 20, lead=0.0))).above_zero for s in range(400)]
    assert stats.kstest(sure, "uniform").pvalue > 0.01


def test_equal_and_always_better_models_leave_no_doubt():
    for speakers in (4, 9):
        same = tally(1, speakers)
        ahead = Tally.from_arrays(same.clusters, cluster_means(same) + 1, np.ones(speakers))
        level = Tally.from_arrays(same.clusters, cluster_means(same), np.ones(speakers))
        assert compare([same], [same]).above_zero == 0.5
        assert compare([ahead], [level]).above_zero > 0.99
    two = tally(1, 2)
    unknown = compare([two], [two])
    assert (unknown.above_zero, tied(unknown)) == (None, None)
    assert better(unknown, higher_is_better=False) is None
    assert interval(same) is not None
    assert domain([same]).above_zero is None


# Coverage: 1,500 simulated data sets each, nominally 95 %; the standard error is 0.6 points.
RUNS = 1500
CLIPS = 30
ICC = 0.3  # share of the variance that lies between speakers


def draw_means(rng, run: int, speakers: int) -> tuple[list[str], np.ndarray, np.ndarray, float]:
    """Clip scores around 0, a share ICC of their variance between speakers."""
    between = ICC**0.5 * rng.normal(size=(speakers, 1))
    values = between + (1 - ICC) ** 0.5 * rng.normal(size=(speakers, CLIPS))
    return _ids(run, speakers, [CLIPS] * speakers), values.ravel(), np.ones(values.size), 0.0


def draw_wer(rng, run: int, speakers: int) -> tuple[list[str], np.ndarray, np.ndarray, float]:
    """Edits over words: a speaker's own rate (skewed, mean 10 %), 10 to 50 clips, 1 to 25 words."""
    clips = rng.integers(10, 51, speakers)
    rates = np.repeat(rng.beta(2.0, 18.0, speakers), clips)
    words = rng.integers(1, 26, clips.sum())
    own = rng.beta(rates * 20, (1 - rates) * 20)
    return _ids(run, speakers, clips), rng.binomial(words, own), words, 0.1


def _ids(run: int, speakers: int, clips) -> list[str]:
    # New ids, and with them new weights, in every run.
    return np.repeat([f"{run}/{speaker}" for speaker in range(speakers)], clips).tolist()


def coverage(draw, speakers: int, *, by_clip: bool = False) -> float:
    rng, covered = np.random.default_rng([speakers, by_clip]), 0
    for run in range(RUNS):
        ids, above, below, truth = draw(rng, run, speakers)
        ids = [f"{name}/{row}" for row, name in enumerate(ids)] if by_clip else ids
        found = interval(Tally.from_arrays(ids, above, below))
        covered += found.low <= truth <= found.high
    return covered / RUNS


@pytest.mark.slow
@pytest.mark.parametrize("speakers", [20, 50, 100])
@pytest.mark.parametrize("draw", [draw_means, draw_wer])
def test_coverage_from_twenty_clusters(draw, speakers, capsys):
    found = coverage(draw, speakers)
    report(capsys, f"{draw.__name__}, {speakers} clusters: {found:.1%}")
    assert 0.93 <= found <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("speakers", [3, 6, 10])
@pytest.mark.parametrize("draw", [draw_means, draw_wer])
def test_coverage_of_few_clusters_is_reported(draw, speakers, capsys):
    found = coverage(draw, speakers)
    report(capsys, f"{draw.__name__}, {speakers} clusters: {found:.1%}")
    assert 0.85 <= found <= 1.0


@pytest.mark.slow
def test_intervals_over_clips_would_be_far_too_narrow(capsys):
    found = coverage(draw_means, 20, by_clip=True)
    report(capsys, f"20 speakers x 30 clips, resampled by clip: {found:.1%}")
    assert found < 0.6


def report(capsys, line: str) -> None:
    with capsys.disabled():
        print(f"\ncoverage of a nominal 95 %, {line}", flush=True)
