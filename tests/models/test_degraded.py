"""Separators to learn judging from: as bad as they are meant to be, the same for the same clip."""

import numpy as np
import pytest

import models
from metrics import pit_si_snr

RATE = 8_000
ORACLES = ("leaky-ratio-mask", "leaky-binary-mask", "crosstalk", "spoilt")


def talkers(seed: int, samples: int = 8_000) -> np.ndarray:
    """Two gated, coloured noises, which a spectrum keeps apart in part."""
    random = np.random.default_rng(seed)
    noise = np.cumsum(random.standard_normal((2, samples)), axis=1)
    noise[1] = np.diff(noise[1], prepend=0)
    gates = np.abs(np.sin(np.arange(samples) / np.array([[700.0], [1_100.0]])))
    signals = (noise - noise.mean(axis=1, keepdims=True)) * gates
    return 0.2 * signals / np.abs(signals).max(axis=1, keepdims=True)


def parted(name: str, truth: np.ndarray, **parameters) -> np.ndarray:
    model = models.create(name, **parameters)
    given = {"references": [truth]} if model.role == "oracle" else {}
    mixture = truth.sum(axis=0).astype(np.float32)
    return model.separate([mixture], sample_rate=RATE, sources=len(truth), **given)[0]


@pytest.mark.parametrize("name", ORACLES)
def test_qualities_differ_from_clip_to_clip_and_not_from_call_to_call(name):
    clips = [talkers(seed) for seed in range(12)]
    found = [pit_si_snr(clip, parted(name, clip))[0] for clip in clips]
    assert np.ptp(found) > 3
    np.testing.assert_array_equal(parted(name, clips[0]), parted(name, clips[0]))


def test_a_mask_that_does_not_leak_is_the_ideal_one():
    flawless = {"leakage": 0, "error_db": 0, "holes": 0}
    truth = talkers(0)
    for name, ideal in (("leaky-ratio-mask", "oracle-irm"), ("leaky-binary-mask", "oracle-ibm")):
        np.testing.assert_allclose(parted(name, truth, **flawless), parted(ideal, truth), atol=1e-6)


def test_the_more_leaks_the_worse():
    truth = talkers(1)
    options = {"error_db": 0, "holes": 0}
    found = [
        pit_si_snr(truth, parted("leaky-ratio-mask", truth, leakage=leakage, **options))[0]
        for leakage in (0.0, 0.5, 1.0)
    ]
    assert found == sorted(found, reverse=True)


def test_noise_on_its_weights_makes_a_separator_another():
    truth = talkers(2)
    exact = parted("small-conv-tasnet", truth)
    np.testing.assert_array_equal(parted("rough-conv-tasnet", truth, noise=0), exact)
    rough = parted("rough-conv-tasnet", truth)
    assert not np.allclose(rough, exact, atol=1e-2)
    np.testing.assert_array_equal(parted("rough-conv-tasnet", truth), rough)


def test_an_enhancer_keeps_and_leaves_what_sums_to_the_mixture():
    truth = talkers(3)
    first, second, third = parted("gated-mixture", np.concatenate([truth, 0 * truth[:1]]))
    np.testing.assert_allclose(first + second, truth.sum(axis=0), atol=1e-6)
    np.testing.assert_array_equal(first, third)
    with pytest.raises(ValueError, match="an enhancer that needs no truth, got 'nmf'"):
        models.create("gated-mixture", enhancer="nmf")
