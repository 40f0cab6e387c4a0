"""Spoiling: any batch, even an empty one, stays one; masks told anew part; blends are as drawn."""

import pytest
import torch
from torch import Tensor

from models.training import quality, spoiling
from models.training.separation import si_snr

RATE, SECONDS = 8_000, 0.75


def tones(batch: int, low: float, high: float) -> Tensor:
    """(batch, time): tones that come and go, one a clip."""
    time = torch.arange(round(SECONDS * RATE)) / RATE
    pitch = low + (high - low) * torch.rand(batch, 1)
    swell = (1 + torch.sin(2 * torch.pi * (2 + 3 * torch.rand(batch, 1)) * time)) / 2
    return 0.1 * swell * torch.sin(2 * torch.pi * pitch * time)


@pytest.mark.parametrize("batch", [0, 1, 2, 7])
def test_any_batch_stays_one(batch: int) -> None:
    torch.manual_seed(batch)
    references = tones(batch, 200, 900)
    mixtures = references + tones(batch, 1_200, 3_000)
    for _ in range(20):
        for found in (
            spoiling.remasked(mixtures, references),
            spoiling.spoilt(mixtures, mixtures, references),
            *quality.varied((mixtures, mixtures.clone(), references, mixtures.clone()), 0.5),
        ):
            assert found.shape == mixtures.shape
            assert torch.isfinite(found).all()


def test_masks_told_anew_part_the_sources_more_or_less() -> None:
    torch.manual_seed(0)
    references = tones(64, 200, 900)
    mixtures = references + tones(64, 1_200, 3_000)
    found = si_snr(references, spoiling.remasked(mixtures, references))
    assert found.median() > si_snr(references, mixtures).median() + 3
    assert found.std() > 3  # of every quality, which is what they are for


def test_what_is_given_is_left_alone() -> None:
    torch.manual_seed(0)
    references = tones(8, 200, 900)
    mixtures = references + tones(8, 1_200, 3_000)
    batch = (mixtures, mixtures.clone(), references, mixtures - references)
    kept = [one.clone() for one in batch]
    quality.varied(batch, 1.0)
    for one, before in zip(batch, kept, strict=True):
        assert torch.equal(one, before)


def test_blends_are_as_good_as_was_drawn() -> None:
    torch.manual_seed(0)
    references = tones(200, 200, 900)
    estimates = references + 0.3 * tones(200, 1_200, 3_000)
    found = si_snr(references, spoiling.blended(estimates, references, share=1.0))
    low, high = spoiling.WANTED_DB
    before = si_snr(references, estimates)
    assert (found > torch.minimum(before, torch.tensor(low)) - 12.1).all()
    assert (found < torch.maximum(before, torch.tensor(high)) + 0.1).all()
    assert found.std() > 5


def test_an_estimate_that_is_nearer_to_the_others_is_out_of_order_unless_it_is_alone():
    torch.manual_seed(3)
    first, second = torch.randn(2, 4_000)
    mixtures = (first + second).expand(3, -1)
    estimates = torch.stack([first + 0.3 * second, 0.3 * first + second, 0.3 * first + second])
    others = torch.stack([0.3 * first + second, first + 0.2 * second, 0 * first])
    batch = (mixtures, estimates, first.expand(3, -1), others)
    assert quality.in_order(batch).tolist() == [True, False, True]


def test_what_is_out_of_order_teaches_nothing():
    torch.manual_seed(4)
    module = quality.QualityTraining(8_000, {"width": 4, "context": 8}, 1e-3, 10).eval()
    first, second, third = 0.1 * torch.randn(3, 8_000)
    known = (first + second, first + 0.3 * second, first, second + 0.1 * third)
    crossed = (first + second, 0.2 * first + second, first, first + 0.1 * third)
    alone = module.loss(tuple(one[None] for one in known))
    both = module.loss(tuple(torch.stack(pair) for pair in zip(known, crossed, strict=True)))
    torch.testing.assert_close(both, alone, atol=1e-4, rtol=1e-4)


def test_some_estimates_are_varied_to_be_alone():
    torch.manual_seed(5)
    sounds = 0.1 * torch.randn(4, 64, 4_000)
    found = quality.varied(
        (sounds[0] + sounds[1], sounds[0] + 0.1 * sounds[2], sounds[0], sounds[1])
    )
    alone = (~found[3].any(1)).float().mean()
    assert 0.02 < alone < 0.4
