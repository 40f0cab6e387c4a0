"""The one way of putting a mask on a sound: numpy and torch alike, alone and in a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import explaining
from models.base import Model
from models.explaining import Explainable, Explainer
from models.masking import Spectrograms

RATE = 8_000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def mask_of(samples: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed).random(explaining.shape(samples, RATE))
    return explaining.rounded(random)


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(0, 2000))
def test_all_kept_is_the_clip_and_nothing_kept_is_silence(samples):
    signal, full = noise(samples), np.full(explaining.shape(samples, RATE), 255, np.uint8)
    np.testing.assert_allclose(explaining.kept(signal, full, RATE), signal, atol=1e-7)
    assert not explaining.kept(signal, 0 * full, RATE).any()


def test_parts_of_two_masks_that_share_every_cell_add_up():
    signal, mask = noise(3000), mask_of(3000)
    parts = explaining.kept(signal, mask, RATE) + explaining.kept(signal, 255 - mask, RATE)
    np.testing.assert_allclose(parts, signal, atol=1e-7)


def test_a_mask_on_one_tone_of_two_keeps_that_tone():
    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (500, 3000))
    mask = np.zeros(explaining.shape(RATE, RATE), np.uint8)
    mask[:, : mask.shape[1] // 2] = 255  # up to 2 kHz
    found = explaining.kept(low + high, mask, RATE)
    inner = slice(400, -400)
    np.testing.assert_allclose(found[inner], low[inner], atol=2e-3)


def test_torch_agrees_with_numpy_and_zeros_behind_a_clip_change_nothing():
    clips = [noise(size, size) for size in (2500, 1201, 64)]
    masks = [mask_of(len(clip), len(clip)) for clip in clips]
    batch = np.zeros((3, 2500), np.float32)
    padded = np.zeros((3, *explaining.shape(2500, RATE)), np.float32)
    for row, filled, clip, mask in zip(batch, padded, clips, masks, strict=True):
        row[: len(clip)] = clip
        filled[: len(mask)] = mask / 255
        filled[len(mask) :] = 0.5  # frames that no clip of this length has
    found = Spectrograms(RATE).masked(torch.from_numpy(batch), torch.from_numpy(padded)).numpy()
    for row, clip, mask in zip(found, clips, masks, strict=True):
        np.testing.assert_allclose(row[: len(clip)], explaining.kept(clip, mask, RATE), atol=1e-6)


def test_gradients_flow_to_the_mask():
    batch = torch.from_numpy(noise(1000))[None]
    mask = torch.ones(1, *explaining.shape(1000, RATE), requires_grad=True)
    Spectrograms(RATE).masked(batch, mask).square().sum().backward()
    assert mask.grad.shape == mask.shape
    assert mask.grad.abs().sum() > 0


@pytest.mark.parametrize("wrong", [1.01, -0.01, np.nan])
def test_a_mask_outside_its_range_is_refused(wrong):
    with pytest.raises(ValueError, match="expected a mask from 0 to 1"):
        explaining.rounded(np.array([[0.5, wrong]]))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected a mask of \(\d+, 129\) frames .* \(3, 4\)"):
        explaining.kept(noise(100), np.zeros((3, 4), np.uint8), RATE)


def test_who_looks_inside_refuses_a_classifier_that_cannot_be():
    class Inside(Explainer):
        inside = True

    class Closed(Model):
        pass

    class Hard(Explainable, Model):
        gradients = False

    class Open(Explainable, Model):
        pass

    Inside().check(Open())
    Explainer().check(Closed())
    for closed in (Closed(), Hard()):
        with pytest.raises(ValueError, match="expected a classifier whose gradients can be asked"):
            Inside().check(closed)


def test_bands_divide_the_range_evenly_unless_said_otherwise():
    class Open(Explainable, Model):
        sample_rate = RATE

    np.testing.assert_allclose(Open().frequencies(4), [500, 1500, 2500, 3500])
