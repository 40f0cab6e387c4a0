"""PIQ and L2I: codebooks, dictionaries, masks, and the explainers that folders become."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import models
from metrics import FailedPrediction
from models import explaining
from models.classifier import HOP, RATE, Classifier, frames_of
from models.explaining import Explainer
from models.interpreters import TrainedL2i, TrainedPiq
from models.l2i import L2i, dictionary
from models.masking import Spectrograms, loudness
from models.own import TrainedClassifier
from models.piq import Codebook, Piq
from models.refining import Clips
from models.sampling import Sampler, halved
from models.training.l2i import L2iTraining
from models.training.masking import WEIGHTS
from models.training.piq import PiqTraining
from pipelines.recipes import sounds

SIZES = {"mels": 12, "width": 3, "depth": 3, "dim": 8}
SHAPE = {"classes": 3, "mels": 12, "channels": [3, 6, 12]}
PIQ, L2I = {"codes": 4, "dim": 6}, {"components": 5, "dim": 7}


def saved(folder: Path, network: torch.nn.Module, config: dict) -> Path:
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"sample_rate": RATE, **config}))
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> TrainedClassifier:
    torch.manual_seed(0)
    config = {"architecture": "Classifier", "labels": ["a", "b", "c"], "network": SIZES}
    network = Classifier(classes=3, **SIZES)
    folder = saved(tmp_path_factory.mktemp("explained") / "c", network, config)
    model = TrainedClassifier(checkpoint=str(folder), device="cpu")
    model.load()
    return model


def config_of(classifier: TrainedClassifier, architecture: str, network: dict) -> dict:
    explained = {"checkpoint": "c", "weights": classifier.weights}
    config = {"architecture": architecture, "classifier": explained, "network": network}
    return config | ({"threshold": 0.1} if architecture == "L2i" else {})


@pytest.fixture(scope="module", params=["Piq", "L2i"])
def explainer(request, classifier, tmp_path_factory) -> Explainer:
    torch.manual_seed(1)
    cls, made, sizes = {"Piq": (TrainedPiq, Piq, PIQ), "L2i": (TrainedL2i, L2i, L2I)}[request.param]
    config = config_of(classifier, request.param, {**SHAPE, **sizes})
    folder = saved(tmp_path_factory.mktemp("explainer") / "e", made(**SHAPE, **sizes), config)
    return cls(checkpoint=str(folder), device="cpu")


def noise(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def test_masks_are_of_the_clip_and_its_class_alone(explainer, classifier):
    clips = noise(1, 127, 16_000, 129, 5 * HOP, 9_999)
    classes = [0, 1, 2, 0, 1, 2]
    together = explainer.explain(clips, classifier, classes, sample_rate=RATE)
    backwards = explainer.explain(clips[::-1], classifier, classes[::-1], sample_rate=RATE)[::-1]
    for clip, chosen, mask, again in zip(clips, classes, together, backwards, strict=True):
        [alone] = explainer.explain([clip], classifier, [chosen], sample_rate=RATE)
        assert mask.shape == explaining.shape(len(clip), RATE)
        assert mask.dtype == np.float32
        assert mask.min() >= 0
        assert mask.max() <= 1
        np.testing.assert_allclose(mask, alone, atol=1e-5)
        np.testing.assert_allclose(again, alone, atol=1e-5)
        explaining.rounded(mask)


@pytest.mark.parametrize("name", ["piq", "l2i"])
def test_refined_masks_are_smaller_and_still_explain(name):
    """Each clip's by itself, whoever else is asked about, and nothing of the network changes."""
    recipe = sounds.Sounds(
        classes=("siren", "church_bells", "engine"), each=1, seconds=(0.4, 0.7), seed=5
    )
    clips = [np.float32(sounds.render(row).sounds["audio"] / 32_768) for row in sounds.plan(recipe)]
    classifier, plain, better = (
        models.create("sound-cnn", device="cpu"),
        models.create(name, device="cpu", refined=0),
        models.create(name, device="cpu", refined=30, slack=0.7),
    )
    classifier.load()
    classes = [int(np.argmax(x)) for x in classifier.classify(clips, sample_rate=RATE)]
    before = plain.explain(clips, classifier, classes, sample_rate=RATE)
    after = better.explain(clips, classifier, classes, sample_rate=RATE)
    backwards = better.explain(clips[::-1], classifier, classes[::-1], sample_rate=RATE)[::-1]
    for clip, said, old, new, again in zip(clips, classes, before, after, backwards, strict=True):
        np.testing.assert_array_equal(again, new)
        asked = Clips(
            torch.from_numpy(clip)[None],
            torch.tensor([len(clip)]),
            torch.tensor([said]),
            classifier.listen,
            Spectrograms(RATE),
        )
        with torch.no_grad():
            [nats] = asked.costs(torch.from_numpy(new)[None])[0].tolist()
            allowed = asked.improbable().item() + 0.7
        assert new.mean() < 0.7 * old.mean()
        assert nats < allowed + 1e-3
    weights = plain._network.state_dict()
    for part, value in better._network.state_dict().items():
        torch.testing.assert_close(value, weights[part], msg="only what is said is refined")


def test_another_class_has_another_mask(explainer, classifier):
    clips = noise(8_000) * 3
    one, two, three = explainer.explain(clips, classifier, [0, 1, 2], sample_rate=RATE)
    assert np.abs(one - two).max() > 1e-3
    assert np.abs(one - three).max() > 1e-3


def test_only_its_own_classifier_is_explained(explainer, classifier, tmp_path):
    config = {"architecture": "Classifier", "labels": ["a", "b", "c"], "network": SIZES}
    other = saved(tmp_path / "other", Classifier(classes=3, **SIZES), config)
    explainer.check(classifier)
    stranger = TrainedClassifier(checkpoint=str(other), device="cpu")
    with pytest.raises(ValueError, match="expected the classifier c that it was trained for"):
        explainer.check(stranger)
    with pytest.raises(FailedPrediction, match="empty"):
        explainer.explain([np.zeros(0, np.float32)], classifier, [0], sample_rate=RATE)


def test_weights_in_a_pickle_are_refused(explainer, classifier, tmp_path):
    """As much as a file of code that calls itself weights."""
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_bytes((explainer.folder / "config.json").read_bytes())
    torch.save({"all": classifier}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="expected tensors alone"):
        type(explainer)(checkpoint=str(folder), device="cpu").load()


def test_a_place_gets_the_nearest_word_of_its_clips_own_class():
    torch.manual_seed(2)
    book = Codebook(classes=3, codes=4, dim=5)
    encoded, classes = torch.randn(2, 5, 3, 7), torch.tensor([2, 0])
    words = book(encoded, classes)
    for clip, own in enumerate(classes):
        for band in range(3):
            for frame in range(7):
                place = encoded[clip, :, band, frame]
                distances = [(place - word).square().sum().item() for word in book.words[own]]
                nearest = book.words[own][int(np.argmin(distances))]
                torch.testing.assert_close(words[clip, :, band, frame], nearest)
    words.sum().backward()
    assert not book.words.grad[1].any(), "no clip is of class 1: its words learn nothing"
    assert book.words.grad[2].any()


def test_piq_keeps_louder_cells_first(classifier):
    """Of one place: the mask grows with how loud a cell is, all else being the same."""
    torch.manual_seed(4)
    network = Piq(**SHAPE, **PIQ).eval()
    sounds, lengths = torch.from_numpy(noise(4_000)[0][None]), torch.tensor([4_000])
    hidden = classifier.listen(sounds, lengths).hidden
    shape = (1, *explaining.shape(4_000, RATE))
    with torch.no_grad():
        masks = [
            network(hidden, lengths, torch.tensor([1]), torch.full(shape, level)).masks
            for level in (0.0, 2.0, 4.0, 8.0)
        ]
    for quieter, louder in pairwise(masks):
        assert (louder > quieter).all()


def test_a_dictionary_finds_what_spectra_are_made_of():
    rng = np.random.default_rng(3)
    parts = np.zeros((30, 3))
    for part in range(3):
        parts[10 * part + np.arange(6), part] = rng.uniform(0.5, 1, 6)
    columns = parts @ rng.gamma(0.5, 1, (3, 400))
    found = dictionary(columns, 3, seed=0)
    assert found.shape == (30, 3)
    assert found.min() >= 0
    np.testing.assert_allclose(found.max(axis=0), 1)
    strengths, *_ = np.linalg.lstsq(found, columns, rcond=None)
    assert np.square(found @ strengths - columns).sum() < 1e-3 * np.square(columns).sum()
    np.testing.assert_array_equal(found, dictionary(columns, 3, seed=0))


def test_what_is_kept_is_the_share_of_components_where_a_clip_is_loud_enough():
    network = L2i(**SHAPE, **L2I)
    activations = torch.rand(1, 5, 9)
    gates = torch.tensor([[1.0, 0, 0, 1, 0]])
    found, told = (each[0].numpy() for each in network.share(activations, gates))
    atoms, strengths = network.dictionary.numpy(), activations[0].numpy()
    kept = sum(np.outer(strengths[k], atoms[:, k]) for k in (0, 3))
    total = sum(np.outer(strengths[k], atoms[:, k]) for k in range(5))
    np.testing.assert_allclose(found, kept / total, atol=1e-4)
    np.testing.assert_allclose(told, total, rtol=1e-4)
    loud, silent = torch.full((1, 9, 257), 1e3), torch.zeros(1, 9, 257)
    with torch.no_grad():
        network.steep.fill_(3.0)
        network.least.fill_(5.0)
        of = network.least[[1]]
        np.testing.assert_allclose(network.masks(activations, gates, loud, of)[0], found, atol=1e-5)
        assert network.masks(activations, gates, silent, of).max() < 1e-5
        assert not network.masks(activations, torch.zeros(1, 5), loud, of).any()


def test_how_loud_a_cell_must_be_is_learnt_for_each_class_and_component():
    """Two components side by side: what one asks for matters where it sounds, to its class."""
    network = L2i(**SHAPE, **{**L2I, "components": 2})
    apart = torch.zeros(257, 2)
    apart[:100, 0], apart[100:, 1] = 1.0, 1.0
    activations, gates = torch.ones(1, 2, 3), torch.ones(1, 2)
    heard = torch.full((1, 3, 257), 4.0)

    def mask(of: int) -> torch.Tensor:
        return network.masks(activations, gates, heard, network.least[[of]])[0]

    with torch.no_grad():
        network.dictionary.copy_(apart)
        before = [mask(of) for of in (0, 1)]
        network.least[1, 1] += 2.0
        after = [mask(of) for of in (0, 1)]
    torch.testing.assert_close(before[0], after[0])
    torch.testing.assert_close(before[1][:, :100], after[1][:, :100])
    assert (after[1][:, 100:] < before[1][:, 100:]).all()


def test_relevance_is_what_a_component_adds_to_the_logit_of_the_class():
    network = L2i(**SHAPE, **L2I)
    pooled = torch.rand(2, 5)
    found = network.relevance(pooled, torch.tensor([1, 2]))
    for row, strengths, own in zip(found, pooled, (1, 2), strict=True):
        added = (strengths * network.head.weight[own]).detach().numpy()
        np.testing.assert_allclose(row.detach().numpy(), added / np.abs(added).max(), atol=1e-4)


def test_a_place_in_time_and_frequency_stays_where_it_is():
    """A ramp over time, and a band: read at the masks' cells by their own times and frequencies."""
    sampler, lengths = Sampler(48), torch.tensor([12_000])
    frames = frames_of(lengths)
    ramp = (torch.arange(int(frames)) * HOP).float()[None, None].expand(1, 48, -1)
    found = sampler(ramp, frames, lengths)[0]
    stft = explaining.stft(RATE)
    middle = np.arange(len(found)) * stft.hop_samples - 3 * stft.hop_samples + 256
    inside = (middle >= 0) & (middle <= (int(frames) - 1) * HOP)
    np.testing.assert_allclose(found[inside, 40], middle[inside], atol=0.5)
    assert len(found) == explaining.shape(12_000, RATE)[0]
    band = torch.zeros(1, 48, int(frames))
    band[:, 20] = 1
    hertz = np.arange(257) * RATE / 512
    weights = sampler(band, frames, lengths)[0, 0].numpy()
    assert abs(np.average(hertz, weights=weights) - explaining_centre(20)) < 40


def explaining_centre(band: int) -> float:
    mel = 77.75 + (band + 0.5) / 48 * (2840.02 - 77.75)
    return 700 * (10 ** (mel / 2595) - 1)


def test_sizes_are_halved_upwards():
    assert [halved(13, turns) for turns in range(4)] == [13, 7, 4, 2]
    assert halved(torch.tensor([4, 5])).tolist() == [2, 3]


@pytest.mark.parametrize("which", ["piq", "l2i"])
def test_a_few_steps_lower_the_loss_and_leave_the_classifier_alone(which, classifier):
    torch.manual_seed(3)
    before = {name: each.clone() for name, each in classifier._network.state_dict().items()}
    weights = {**WEIGHTS, "commitment": 0.25}
    weights |= {"fidelity": 1.0, "reconstruction": 1.0, "sparsity": 0.0, "threshold": 0.1}
    make, network = {
        "piq": (PiqTraining, Piq(**SHAPE, **PIQ)), "l2i": (L2iTraining, L2i(**SHAPE, **L2I))
    }[which]  # fmt: skip
    training = make(classifier, network, weights, 1e-2, 40)
    training.log = training.log_dict = lambda *_, **__: None
    sounds = torch.from_numpy(np.stack(noise(*[6_000] * 6)))
    lengths = torch.tensor([6_000, 6_000, 3_000, 6_000, 6_000, 100])
    sounds *= torch.arange(6_000) < lengths[:, None]
    [optimizer], _ = training.configure_optimizers()
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        found, _, _ = training.loss(training.asked(sounds, sounds, lengths))
        losses.append(found.item())
        found.backward()
        optimizer.step()
    assert min(losses[-3:]) < losses[0]
    training.validation_step((sounds, lengths, ["a"] * 6), 0)
    for name, each in classifier._network.state_dict().items():
        torch.testing.assert_close(each, before[name])


def test_loudness_is_none_for_silence_and_grows_with_the_level():
    found = loudness(torch.tensor([0.0, 0.05, 5.0]))
    np.testing.assert_allclose(found, [0, np.log(2), np.log(101)], rtol=1e-6)


@pytest.mark.parametrize("name", ["piq", "l2i"])
def test_those_that_come_with_realear_are_small_and_explain_the_classifier_that_does(name):
    explainer, explained = models.create(name), models.create("sound-cnn")
    explainer.check(explained)
    assert (explainer.folder / "model.safetensors").stat().st_size < 1_000_000
    assert (explained.folder / "model.safetensors").stat().st_size < 3_000_000
    card = json.loads((explainer.folder / "card.json").read_text())
    assert card["task"] == name
    assert not list(explainer.folder.glob("*.ckpt"))
