import warnings

import fast_bss_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from metrics import FailedPrediction, SignalItem, UndefinedMetric, spec
from metrics.bss import TAPS, bss_eval

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mir_eval.separation as mir_eval


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of several test workers that wait for each other take ten times as long."""
    with threadpool_limits(1):
        yield


def mixed(seed: int, sources: int = 2, time: int = 4000, noise: float = 0.1):
    """Estimates as filtered references that leak into each other, in a shuffled order."""
    rng = np.random.default_rng(seed)
    references = rng.normal(size=(sources, time))
    leak = 0.2 * rng.normal(size=(sources, sources)) + np.eye(sources)
    estimates = np.stack([np.convolve(x, [1, 0.5, -0.3])[:time] for x in leak @ references])
    estimates += noise * rng.normal(size=estimates.shape)
    return references, estimates[rng.permutation(sources)]


def peer(references, estimates, *, permute: bool = True):
    """mir_eval, which is deprecated and says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return mir_eval.bss_eval_sources(references, estimates, compute_permutation=permute)


def item(references, estimates, mixture=None) -> SignalItem:
    heard = references.sum(axis=0) if mixture is None else mixture
    return SignalItem(references, estimates, heard, 8000, tuple(range(len(estimates))))


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_equals_mir_eval(sources):
    references, estimates = mixed(sources, sources)
    expected, found = peer(references, estimates), bss_eval(references, estimates)
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8, rtol=0)
    assert found.permutation == tuple(expected[3].tolist())


def test_golden_values():
    # Generator: mir_eval 0.8.2, bss_eval_sources(*mixed(2)).
    found = bss_eval(*mixed(2))
    np.testing.assert_allclose(found.sdr, [17.616899798, 8.727277482], atol=1e-6)
    np.testing.assert_allclose(found.sir, [18.871628061, 9.029034165], atol=1e-6)
    np.testing.assert_allclose(found.sar, [23.677468993, 20.970288955], atol=1e-6)


def test_equals_fast_bss_eval():
    references, estimates = mixed(5)
    expected = fast_bss_eval.bss_eval_sources(references, estimates)
    found = bss_eval(references, estimates)
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=0)
    assert found.permutation == tuple(np.asarray(expected[3]).tolist())


@pytest.mark.parametrize("offset", [0.1, 1e-4])
def test_equals_mir_eval_on_real_mixtures(mixtures, offset):
    for clip in mixtures[:2]:
        references = clip.references
        estimates = references[::-1] + offset * clip.mixture
        expected, found = peer(references, estimates), bss_eval(references, estimates)
        for ours, theirs in zip(found[:3], expected[:3], strict=True):
            np.testing.assert_allclose(ours, np.clip(theirs, -100, 100), atol=1e-6, rtol=0)
        assert found.permutation == (1, 0)


def test_given_permutation_is_kept():
    references, estimates = mixed(4)
    best = bss_eval(references, estimates)
    for order in ((0, 1), (1, 0)):
        found = bss_eval(references, estimates, order)
        expected = peer(references, estimates[list(order)], permute=False)
        np.testing.assert_allclose(found.sdr, expected[0], atol=1e-8)
        np.testing.assert_allclose(found.sir, expected[1], atol=1e-8)
        assert found.permutation == order
    assert best.sir.mean() >= found.sir.mean()
    with pytest.raises(ValueError, match=r"each of 0 to 1 once, found \[0, 0\]"):
        bss_eval(references, estimates, (0, 0))


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(1e-250, 1e250), st.integers(1, 32))
def test_scale_and_short_filters_do_not_matter(seed, gain, taps):
    references, estimates = mixed(seed, time=600)
    expected = bss_eval(references, estimates, taps=taps)
    found = bss_eval(references, gain * estimates, taps=taps)
    np.testing.assert_allclose(found.sdr, expected.sdr, atol=1e-9)
    delayed = np.pad(references, ((0, 0), (taps - 1, 0)))[:, : references.shape[1]]
    alike = bss_eval(references, delayed, (0, 1), taps=taps)
    assert (alike.sdr > 10).all()  # a delay within the filter costs only the cut end


def test_perfect_is_capped():
    references, _ = mixed(1)
    found = bss_eval(references, references[::-1])
    assert found.permutation == (1, 0)
    assert found.sdr.tolist() == found.sir.tolist() == found.sar.tolist() == [100.0, 100.0]
    score = spec("sdr").score(item(references, references))
    assert (score.value, score.capped) == (100.0, True)


def test_one_source_has_nothing_to_interfere():
    references, estimates = mixed(3, 1)
    found = bss_eval(references, estimates)
    assert found.sir.tolist() == [np.inf]
    assert found.sdr == pytest.approx(found.sar, abs=1e-12)
    with pytest.raises(UndefinedMetric, match="single_source"):
        spec("sir").score(item(references, estimates))
    assert spec("sdr").score(item(references, estimates)).value == found.sdr[0]


def test_equal_references_have_a_least_norm_solution():
    references, estimates = mixed(6)
    twice = np.stack([references[0], references[0]])
    found = bss_eval(twice, estimates, (0, 1), taps=64)
    alone = bss_eval(references[:1], estimates[:1], taps=64)
    assert found.sdr[0] == pytest.approx(alone.sdr[0], abs=1e-6)
    tone = np.sin(0.1 * np.arange(4000))
    assert np.isfinite(bss_eval(tone[None], tone[None] + estimates[:1]).sdr).all()


def test_faults_are_told_apart():
    references, estimates = mixed(7)
    silent = references * [[1.0], [0.0]]
    cases = [
        (silent, estimates, UndefinedMetric, "silent_reference"),
        (np.nan * references, estimates, UndefinedMetric, "not_finite_reference"),
        (references[:0], estimates[:0], UndefinedMetric, "no_references"),
        (references[:, :900], estimates[:, :900], UndefinedMetric, "too_short"),
        (references, silent, FailedPrediction, "silent_estimate"),
        (references, estimates * np.inf, FailedPrediction, "not_finite"),
        (references, estimates[:1], FailedPrediction, "wrong_sources"),
        (references, estimates[:, 1:], FailedPrediction, "wrong_length"),
    ]
    for wanted, found, kind, reason in cases:
        with pytest.raises(kind) as caught:
            bss_eval(wanted, found)
        assert caught.value.reason == reason
    with pytest.raises(UndefinedMetric, match="silent_mixture"):
        spec("sdri").score(item(references, estimates, np.zeros(4000)))


def test_clips_take_the_items_permutation():
    references, estimates = mixed(8)
    criteria = bss_eval(references, estimates, (0, 1))
    mixture = references.sum(axis=0)
    signals = item(references, estimates, mixture)
    for name, parts in zip(("sdr", "sir", "sar"), criteria[:3], strict=True):
        score = spec(name).score(signals)
        assert score.detail["sources"] == pytest.approx(parts.tolist(), abs=1e-12)
        assert score.value == pytest.approx(parts.mean(), abs=1e-12)
    before = bss_eval(references, np.stack([mixture, mixture]), (0, 1)).sdr
    gain = spec("sdri").score(signals)
    assert gain.detail["sources"] == pytest.approx((criteria.sdr - before).tolist(), abs=1e-9)
    assert spec("sdri").score(item(references, np.stack([mixture] * 2), mixture)).value == 0.0


def test_taps_are_a_parameter():
    references, estimates = mixed(9)
    assert spec("sdr").parameters["taps"] == TAPS == 512
    short = spec("sdr", taps=1).score(item(references, estimates))
    assert short.value < spec("sdr").score(item(references, estimates)).value
    assert spec("sdr", taps=1).hash != spec("sdr").hash
