"""Explainers on a classifier whose reasons are known: which third of the spectrum is loud."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "doubles"))
from explained import RATE, Bands, Closed

from metrics import FailedPrediction
from models import attribution, create, explainers, explaining
from models.explained import Pair
from models.masking import batches

INSIDE = ("saliency", "integrated-gradients", "grad-cam")
OUTSIDE = ("occlusion", "lime")
BASELINES = ("random-mask", "random-blocks", "energy-mask")
HERTZ = (600.0, 2000.0, 3500.0)  # within each third of 0 to 4,000 Hz


def tones(loud: int, seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    """Three tones, one of them 12 dB above the others, over a faint noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    levels = [0.4 if place == loud else 0.1 for place in range(3)]
    wave = sum(a * np.sin(2 * np.pi * f * time) for a, f in zip(levels, HERTZ, strict=True))
    return (wave + np.random.default_rng(seed).normal(0, 1e-3, len(time))).astype(np.float32)


def third(mask: np.ndarray, place: int) -> float:
    """The share of a mask that lies in a third of the spectrum."""
    parts = np.array_split(mask[:, :-1], 3, axis=1)
    return float(parts[place].sum() / mask.sum())


@pytest.mark.parametrize("name", [*INSIDE, *OUTSIDE])
def test_they_point_at_the_third_that_made_the_class(name):
    pair = Pair(Bands(), create(name))
    pair.load()
    for loud in range(3):
        [found] = pair.explain([tones(loud)], sample_rate=RATE)
        assert found.said == loud
        # One layer of one channel: Grad-CAM cannot tell classes apart, but loud from faint.
        assert third(found.mask, loud) > (0.45 if name == "grad-cam" else 0.65)
        assert found.logits[1, loud] > found.logits[2, loud] + 1


@pytest.mark.parametrize("name", [*INSIDE, *OUTSIDE, *BASELINES])
def test_a_clip_is_explained_alike_whoever_stands_beside_it(name):
    pair = Pair(Bands(), create(name))
    pair.load()
    clips = [tones(0), tones(1, 0.31, 1), tones(2, 0.77, 2)]
    together = pair.explain(clips, sample_rate=RATE)
    again = pair.explain(clips[::-1], sample_rate=RATE)[::-1]
    for clip, one, other in zip(clips, together, again, strict=True):
        [alone] = pair.explain([clip], sample_rate=RATE)
        for found in (one, other):
            assert found.mask.shape == explaining.shape(len(clip), RATE)
            difference = np.abs(found.mask.astype(int) - alone.mask.astype(int))
            assert difference.max() <= 1  # a step of 255, by rounding
            np.testing.assert_allclose(found.logits, alone.logits, atol=2e-2)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_classifier_that_nobody_looks_into_is_explained_from_outside(name):
    clip = tones(1)
    found = []
    for classifier in (Bands(), Closed()):
        pair = Pair(classifier, create(name))
        pair.load()
        found += pair.explain([clip], sample_rate=RATE)
    np.testing.assert_allclose(found[0].mask, found[1].mask, atol=1)
    assert found[0].embeddings.shape == (2, 3)
    assert found[1].embeddings.shape == (2, 0)


@pytest.mark.parametrize("name", INSIDE)
def test_who_looks_inside_says_what_else_would_do(name):
    pair = Pair(Closed(), create(name))
    with pytest.raises(ValueError, match="explain it by occlusion or lime"):
        pair.load()


def test_the_parts_are_the_clip_and_the_logits_are_theirs():
    pair = Pair(Bands(), create("integrated-gradients"))
    pair.load()
    clip = tones(2)
    [found] = pair.explain([clip], sample_rate=RATE)
    np.testing.assert_allclose(found.kept + found.removed, clip, atol=1e-6)
    np.testing.assert_array_equal(found.kept, explaining.kept(clip, found.mask, RATE))
    wanted = Bands().classify([clip, found.kept, found.removed], sample_rate=RATE)
    np.testing.assert_allclose(found.logits, np.stack(wanted), atol=1e-4)


def test_integrated_gradients_are_complete():
    """They sum to f(x) - f(silence) (Sundararajan et al. 2017), which saliency's do not."""
    [batch] = batches(Bands(), [tones(0)], RATE)
    asked = attribution.Asked(Bands(), batch, RATE)
    found = create("integrated-gradients", steps=64).relevance(asked, [0])[0]
    ones = asked.ones()
    full, none = (asked.logits(mask, *asked.more)[0, 0].item() for mask in (ones, 0 * ones))
    assert found.sum() == pytest.approx(full - none, rel=0.02)
    assert abs(create("saliency").relevance(asked, [0])[0].sum() - (full - none)) > 1


def test_grad_cam_is_captums():
    """On a layer and a head: LayerGradCam's own sum over channels, before it is scaled up."""
    from captum.attr import LayerGradCam

    torch.manual_seed(0)
    layer, head = torch.nn.Conv2d(1, 5, 3), torch.nn.Linear(5 * 6 * 8, 4)

    def logits(images):
        return head(torch.relu(layer(images)).flatten(1))

    images = torch.randn(3, 1, 8, 10)
    wanted = LayerGradCam(logits, layer).attribute(
        images, target=torch.tensor([0, 3, 1]), relu_attributions=True
    )
    hidden = layer(images)
    chosen = head(torch.relu(hidden).flatten(1))[[0, 1, 2], [0, 3, 1]].sum()
    [slopes] = torch.autograd.grad(chosen, hidden)
    found = attribution.grad_cam(hidden.detach().numpy(), slopes.numpy())
    np.testing.assert_allclose(found, wanted.detach().numpy()[:, 0], atol=1e-5)


def test_lime_finds_the_weights_of_a_linear_model():
    random = np.random.default_rng(0)
    weights = random.normal(size=12)
    kept = random.random((400, 12)) < 0.5
    found = attribution.fitted(kept, kept @ weights + 3.0, width=0.25, ridge=1e-6)
    np.testing.assert_allclose(found, weights, atol=1e-4)


def test_lime_is_captums_regression():
    """The same masks, weights and penalty given to scikit-learn, as captum's Lime does."""
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(1)
    kept, values = random.random((60, 7)) < 0.5, random.normal(size=60)
    share = kept.mean(axis=1)
    weights = np.exp(-((1 - np.sqrt(share)) ** 2) / 0.25**2)
    wanted = Ridge(alpha=2.0).fit(kept, values, sample_weight=weights).coef_
    found = attribution.fitted(kept, values, width=0.25, ridge=2.0)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("area", [0.0, 0.1, 0.5, 1.0])
def test_an_area_of_the_cells_is_kept_whole(area):
    relevance = np.random.default_rng(0).normal(size=(20, 30))
    mask = attribution.soft(relevance, area)
    whole = np.count_nonzero(mask == 1)
    positive = np.count_nonzero(relevance > 0)
    assert whole == min(max(1, round(area * 600)), positive)
    assert not mask[relevance <= 0].any()
    order = np.argsort(relevance, axis=None)
    assert (np.diff(mask.ravel()[order]) >= 0).all()


def test_no_relevance_is_a_mask_of_zeros():
    assert not attribution.soft(-np.ones((3, 4)), 0.5).any()


@pytest.mark.parametrize("name", BASELINES)
def test_chance_keeps_as_much_as_the_explainer_it_is_like(name):
    clips = [tones(0), tones(2, 0.3)]
    of = {"like": "integrated-gradients", "like_parameters": {"steps": 8}}
    pair, other = Pair(Bands(), create(name, **of)), create("integrated-gradients", steps=8)
    real = Pair(Bands(), other)
    for each in (pair, real):
        each.load()
    for found, wanted in zip(
        pair.explain(clips, sample_rate=RATE), real.explain(clips, sample_rate=RATE), strict=True
    ):
        np.testing.assert_array_equal(
            np.sort(found.mask, axis=None), np.sort(wanted.mask, axis=None)
        )
        assert not np.array_equal(found.mask, wanted.mask)


def test_chance_by_an_area():
    for name in BASELINES:
        [mask] = create(name, area=0.2).explain([tones(0)], Bands(), [0], sample_rate=RATE)
        assert mask.mean() == pytest.approx(0.2, abs=1 / mask.size)
        assert set(np.unique(mask)) == {0.0, 1.0}


def test_the_loudest_cells_are_the_energy_masks():
    clip = tones(1)
    [mask] = create("energy-mask", area=0.05).explain([clip], Bands(), [0], sample_rate=RATE)
    loud = np.abs(explaining.stft(RATE).forward(clip.astype(np.float64)))
    assert loud[mask == 1].min() >= loud[mask == 0].max()


def test_blocks_are_drawn_as_blocks():
    found = create("random-blocks", area=0.5, seconds=0.08, hertz=500.0)
    [mask] = found.explain([tones(0)], Bands(), [0], sample_rate=RATE)
    cells = mask[:60, :128].reshape(6, 10, 8, 16).mean(axis=(1, 3))
    assert np.isin(cells, (0.0, 1.0)).mean() > 0.95  # one block at most is cut


def test_chance_is_drawn_from_the_clip_and_its_seed():
    clip = tones(0)
    one, again, other = (
        create("random-mask", seed=seed).explain([clip], Bands(), [0], sample_rate=RATE)[0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_fingerprint_of_chance_covers_whom_it_is_like():
    plain, like = create("random-mask"), create("random-mask", like="lime")
    other = create("random-mask", like="lime", like_parameters={"masks": 300})
    assert plain.weights is None
    assert len({like.weights, other.weights}) == 2


@pytest.mark.parametrize("like", ["oracle-mask", "wiener"])
def test_chance_is_like_an_explainer_alone(like):
    with pytest.raises(ValueError, match="expected like= to name an explainer"):
        create("random-mask", like=like)


def test_the_oracle_keeps_the_source():
    quiet, loud = tones(0), tones(2)
    oracle = create("oracle-mask")
    both = np.stack([quiet, loud])
    [mask] = oracle.explain([quiet + loud], Bands(), [0], sample_rate=RATE, references=[both])
    kept = explaining.kept(quiet + loud, explaining.rounded(mask), RATE)
    error = 10 * np.log10(np.sum(quiet**2) / np.sum((kept - quiet) ** 2))
    assert error > 10  # dB; 0 for the mixture
    with pytest.raises(ValueError, match=r"expected references shaped \(2, 4000\)"):
        oracle.explain([quiet], Bands(), [0], sample_rate=RATE, references=[both[:, :5]])


def test_an_empty_clip_fails_and_a_silent_one_is_explained():
    pair = Pair(Bands(), create("saliency"))
    pair.load()
    with pytest.raises(FailedPrediction, match="empty"):
        pair.explain([np.zeros(0, np.float32)], sample_rate=RATE)
    [found] = pair.explain([np.zeros(800, np.float32)], sample_rate=RATE)
    assert not found.kept.any()


def test_the_generator_is_the_clips():
    assert explainers.drawn_from(tones(0)).random() == explainers.drawn_from(tones(0)).random()
