"""Separators: masks that sum, an oracle that leads, a factorisation that parts unlike timbres."""

from itertools import permutations

import numpy as np
import pytest
import soundfile

from models import create


def si_snr(reference, estimate) -> float:
    reference, estimate = (np.float64(x) - np.mean(x) for x in (reference, estimate))
    target = reference * (reference @ estimate) / (reference @ reference)
    return float(10 * np.log10(target @ target / ((estimate - target) @ (estimate - target))))


def improvement(references, estimates, mixture) -> float:
    """SI-SNRi in dB, best permutation."""
    orders = permutations(range(len(references)))
    best = max(
        np.mean([si_snr(r, estimates[i]) for r, i in zip(references, order, strict=True)])
        for order in orders
    )
    return float(best - np.mean([si_snr(r, mixture) for r in references]))


@pytest.fixture(scope="module")
def unlike(speech_like):
    """A low voice and a high whistle that come and go on their own, (2, time) at 8 kHz."""
    low = speech_like(2.0, sample_rate=8000, seed=1, pitch=110)
    time = np.arange(low.size) / 8000
    high = 0.2 * np.sin(2 * np.pi * 2900 * time) * (np.sin(2 * np.pi * 1.3 * time) > 0)
    return np.stack([low, high]).astype(np.float32)


@pytest.mark.parametrize("sources", [1, 2, 3, 5])
@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_blind_estimates_sum_to_the_mixture(unlike, sources, sample_rate):
    mixture = unlike.sum(axis=0)
    (found,) = create("nmf").separate([mixture], sample_rate=sample_rate, sources=sources)
    assert found.shape == (sources, mixture.size)
    np.testing.assert_allclose(found.sum(axis=0), mixture, atol=1e-6)
    assert found.any(axis=1).all()


def test_the_baseline_improves_nothing(unlike):
    mixture = unlike.sum(axis=0)
    (found,) = create("mixture").separate([mixture], sample_rate=8000, sources=2)
    assert np.array_equal(found, [mixture, mixture])
    assert improvement(unlike, found, mixture) == 0


def test_the_oracle_leads_and_nmf_parts_unlike_timbres(unlike):
    mixture = unlike.sum(axis=0)
    (blind,) = create("nmf").separate([mixture], sample_rate=8000, sources=2)
    (ideal,) = create("oracle-irm").separate(
        [mixture], sample_rate=8000, sources=2, references=[unlike]
    )
    assert improvement(unlike, ideal, mixture) > improvement(unlike, blind, mixture) > 3


def test_loudest_first_at_any_level(unlike):
    mixture = unlike.sum(axis=0)
    model = create("nmf")
    (plain,) = model.separate([mixture], sample_rate=8000, sources=2)
    (quiet,) = model.separate([mixture / 1024], sample_rate=8000, sources=2)
    np.testing.assert_allclose(quiet * 1024, plain, atol=1e-5)
    energy = (plain.astype(float) ** 2).sum(axis=1)
    assert energy[0] > energy[1]


def test_the_oracle_keeps_the_order_and_takes_noise_out(unlike):
    noise = 0.02 * np.random.default_rng(3).standard_normal(unlike.shape[1]).astype(np.float32)
    mixture = unlike.sum(axis=0) + noise
    model = create("oracle-irm")
    arguments = {"sample_rate": 8000, "sources": 2}
    (found,) = model.separate([mixture], references=[unlike], **arguments)
    (turned,) = model.separate([mixture], references=[unlike[::-1]], **arguments)
    np.testing.assert_allclose(turned, found[::-1], atol=1e-6)
    assert all(si_snr(r, e) > si_snr(r, mixture) + 3 for r, e in zip(unlike, found, strict=True))
    left = mixture - found.sum(axis=0)
    assert np.corrcoef(left, noise)[0, 1] > 0.5


def test_the_oracle_without_noise_sums_to_the_mixture(unlike):
    mixture = unlike.sum(axis=0, dtype=np.float32)
    for exponent in (1, 2):
        (found,) = create("oracle-irm", exponent=exponent).separate(
            [mixture], sample_rate=8000, sources=2, references=[unlike]
        )
        np.testing.assert_allclose(found.sum(axis=0), mixture, atol=1e-3)


def test_wrong_references_are_refused(unlike):
    mixture = unlike.sum(axis=0)
    model = create("oracle-irm")
    with pytest.raises(
        ValueError, match=r"each of the 1 mixtures, got 0; give one \(sources, time"
    ):
        model.separate([mixture], sample_rate=8000, sources=2, references=[])
    with pytest.raises(ValueError, match=r"shaped \(2, 16000\), got \(1, 16000\); give one row"):
        model.separate([mixture], sample_rate=8000, sources=2, references=[unlike[:1]])


@pytest.mark.parametrize("name", ["mixture", "nmf"])
def test_no_sources_is_refused(name, unlike):
    with pytest.raises(ValueError, match="expected 1 source or more, got 0; say how many"):
        create(name).separate([unlike[0]], sample_rate=8000, sources=0)


def test_only_an_oracle_takes_references(unlike):
    with pytest.raises(TypeError, match="references"):
        create("nmf").separate([unlike[0]], sample_rate=8000, sources=2, references=[unlike])


def test_more_sources_than_the_clip_has_frames():
    (found,) = create("nmf").separate([np.ones(3, np.float32)], sample_rate=8000, sources=9)
    np.testing.assert_allclose(found, np.full((9, 3), 1 / 9), rtol=1e-6)


def test_the_oracle_on_real_talkers(recordings):
    folder = recordings / "two-speaker-mixtures"
    name = sorted(path.name for path in (folder / "mix").iterdir())[0]
    mixture, *truth = (
        soundfile.read(folder / part / name, dtype="float32")[0] for part in ("mix", "s1", "s2")
    )
    references = np.stack(truth)
    (found,) = create("oracle-irm").separate(
        [mixture], sample_rate=8000, sources=2, references=[references]
    )
    assert 8 < improvement(references, found, mixture) < 15


def test_conv_tasnets_estimates_are_the_same_way_up_as_their_mixture(unlike):
    """SI-SNR, by which it learns, does not ask for it; whoever subtracts or blends them does."""
    mixture = unlike.sum(axis=0).astype(np.float32)
    [estimates] = create("small-conv-tasnet", device="cpu").separate(
        [mixture], sample_rate=8_000, sources=2
    )
    assert (estimates @ mixture > 0).all()
