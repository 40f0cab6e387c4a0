"""A CLAP with words for classes is a classifier, and can be explained like one."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.explained import Pair

sys.path.insert(0, str(Path(__file__).parents[1] / "doubles"))

CLASSES = ("siren", "rain", "dog")
RATE = 16_000


@pytest.fixture(scope="module")
def head():
    made = models.create("zero-shot-head", model="small-clap", classes=list(CLASSES))
    made.load()
    return made


def clips(*seconds: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, round(one * RATE)).astype(np.float32) for one in seconds]


def test_logits_are_cosines_over_the_temperature(head):
    clap = models.create("small-clap")
    sounds = np.stack(clap.embed_audio(clips(1.0, 2.5), sample_rate=RATE))
    words = np.stack(clap.embed_text([f"the sound of {name}" for name in CLASSES]))
    found = np.stack(head.classify(clips(1.0, 2.5), sample_rate=RATE))
    np.testing.assert_allclose(found, sounds @ words.T / 0.01, atol=1e-3)
    assert head.labels == CLASSES
    assert head.sample_rate == RATE


def test_templates_are_averaged():
    several = models.create(
        "zero-shot-head", model="small-clap", classes=list(CLASSES), templates=["{}", "a {} sound"]
    )
    several.load()
    clap = models.create("small-clap")
    [sound] = clap.embed_audio(clips(1.0), sample_rate=RATE)
    words = np.stack(
        clap.embed_text([t.replace("{}", n) for t in ("{}", "a {} sound") for n in CLASSES])
    )
    means = words.reshape(2, 3, -1).mean(0)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    [found] = several.classify(clips(1.0), sample_rate=RATE)
    np.testing.assert_allclose(found, means @ sound / 0.01, atol=1e-3)


def test_what_explainers_hear_is_what_it_says_and_gradients_flow(head):
    made = clips(0.7, 2.5, 4.3)
    batch = torch.zeros(3, len(made[2]))
    for row, clip in zip(batch, made, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    batch.requires_grad_()
    heard = head.listen(batch, torch.tensor([len(clip) for clip in made]))
    wanted = np.stack(head.classify(made, sample_rate=RATE))
    np.testing.assert_allclose(heard.logits.detach().numpy(), wanted, atol=1e-2)
    heard.logits[:, 0].sum().backward()
    assert (batch.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("by", ["saliency", "occlusion"])
def test_it_is_explained(head, by):
    pair = Pair(head, models.create(by))
    pair.load()
    for found in pair.explain(clips(0.5, 1.1), sample_rate=RATE):
        assert found.labels == CLASSES
        assert found.mask.max() == 255
        assert found.embeddings.shape == (2, 128)


def test_another_model_of_words_is_explained_from_outside():
    made = models.create(
        "zero-shot-head", model="listeners:Pitches", classes=["100", "3900"], templates=["at {}"]
    )
    with pytest.raises(ValueError, match="explain it by occlusion or lime"):
        Pair(made, models.create("saliency")).load()
    made.sample_rate = 8_000
    pair = Pair(made, models.create("occlusion"))
    pair.load()
    tone = np.sin(2 * np.pi * 500 * np.arange(4_000) / 8_000).astype(np.float32)
    [found] = pair.explain([tone], sample_rate=8_000)
    assert found.labels[found.said] == "100"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ["dog", "dog"]}, "two different classes"),
        ({"classes": ["dog"]}, "two different classes"),
        ({"templates": ["the sound"]}, "expected templates with {}"),
        ({"model": "wiener"}, "embeds sounds and texts, got 'wiener'"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_what_it_cannot_be(change, said):
    with pytest.raises(ValueError, match=said):
        models.create("zero-shot-head", **{"model": "small-clap", "classes": ["a", "b"], **change})


def test_the_fingerprint_covers_the_model():
    one, other = (
        models.create(
            "zero-shot-head", model="small-clap", classes=["a", "b"], parameters_of={"crop": crop}
        )
        for crop in ("mean", "centre")
    )
    assert models.fingerprint(one, "zero-shot-head") != models.fingerprint(other, "zero-shot-head")
