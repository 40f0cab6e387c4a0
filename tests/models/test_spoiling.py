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
            *quality.varied((mixtures, mixtures.clone(), references), 0.5),
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
    estimates = mixtures.clone()
    kept = [one.clone() for one in (mixtures, estimates, references)]
    quality.varied((mixtures, estimates, references), 1.0)
    for one, before in zip((mixtures, estimates, references), kept, strict=True):
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
