"""The small classifier: what it hears, what can be asked of it, and the model a folder becomes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metrics import FailedPrediction
from models.classifier import HOP, RATE, Classifier, band_centres
from models.own import TrainedClassifier
from models.training.classification import GAIN_DB, SNR_DB, ClassificationTraining, mixed, numbers

SIZES = {"mels": 12, "width": 3, "depth": 3, "dim": 8}
LABELS = ["hum", "rain", "siren"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("classifier")
    save_file(Classifier(classes=3, **SIZES).state_dict(), made / "model.safetensors")
    config = {"architecture": "Classifier", "sample_rate": RATE, "labels": LABELS, "network": SIZES}
    (made / "config.json").write_text(json.dumps(config))
    return made


@pytest.fixture(scope="module")
def model(folder) -> TrainedClassifier:
    return TrainedClassifier(checkpoint=str(folder), device="cpu")


def noise(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def batch(*clips: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    filled = np.zeros((len(clips), max(map(len, clips))), np.float32)
    for row, clip in zip(filled, clips, strict=True):
        row[: len(clip)] = clip
    return torch.from_numpy(filled), torch.tensor([len(clip) for clip in clips])


def test_neighbours_and_padding_change_nothing(model):
    clips = noise(1, 300, HOP, HOP + 1, 5 * HOP - 1, 16_000, 9_999)
    together = model.classify(clips, sample_rate=RATE)
    backwards = model.classify(clips[::-1], sample_rate=RATE)[::-1]
    for clip, logits, again in zip(clips, together, backwards, strict=True):
        [alone] = model.classify([clip], sample_rate=RATE)
        np.testing.assert_allclose(logits, alone, atol=1e-5)
        np.testing.assert_allclose(again, alone, atol=1e-5)
    assert np.ptp(np.stack(together), axis=0).max() > 1e-3


def test_layers_are_those_of_the_clip_alone(model):
    one, two = noise(7 * HOP + 11, 16_000)
    both = model.listen(*batch(one, two))
    alone = model.listen(*batch(one))
    for layer, own in zip(both.hidden, alone.hidden, strict=True):
        frames = own.shape[2]
        torch.testing.assert_close(layer[:1, :, :frames], own, atol=1e-5, rtol=1e-4)
        assert not layer[0, :, frames:].any()
    channels = [layer.shape[1] for layer in both.hidden]
    assert channels == model.layers["channels"] == [3, 6, 12]
    assert [layer.shape[3] for layer in both.hidden] == [6, 3, 2]


def test_logits_are_linear_in_the_embedding_and_those_of_classify(model):
    clips = noise(5_000, 12_000)
    heard = model.listen(*batch(*clips))
    head = model._network.head
    torch.testing.assert_close(heard.embedding @ head.weight.T + head.bias, heard.logits)
    for row, logits in zip(heard.logits, model.classify(clips, sample_rate=RATE), strict=True):
        np.testing.assert_allclose(row.detach().numpy(), logits, atol=1e-5)


def test_gradients_reach_the_samples_and_no_weight(model):
    sounds, lengths = batch(*noise(4_000))
    sounds.requires_grad_()
    model.listen(sounds, lengths).logits[0, 1].backward()
    assert torch.isfinite(sounds.grad).all()
    assert sounds.grad.abs().sum() > 0
    assert all(each.grad is None for each in model._network.parameters())


def test_what_gets_quiet_fades_from_what_is_heard(model):
    [clip] = noise(8_000)
    spectra = model._network.spectra
    loud, faint, none = (
        spectra(*batch((gain * clip).astype(np.float32))).mean() for gain in (1, 1e-3, 0)
    )
    assert 0.3 < loud < 2
    assert faint < 0.02 * loud
    assert none == 0


def test_bands_lie_on_the_mel_scale():
    centres = band_centres(48)
    assert (np.diff(np.diff(centres)) > 0).all()  # ever wider apart
    assert 50 < centres[0] < 100
    assert 7_500 < centres[-1] < 8_000
    # 50 and 8,000 Hz are 77.8 and 2,840 mel; their middle, 1,458.9, is 700 (10^0.5622 - 1) Hz.
    np.testing.assert_allclose(band_centres(1), [1_854.4], atol=0.5)


def test_a_signal_without_a_sample_or_at_another_rate_is_refused(model):
    with pytest.raises(FailedPrediction, match="empty"):
        model.classify([np.zeros(0, np.float32)], sample_rate=RATE)
    with pytest.raises(ValueError, match="expected signals at 16000 Hz, got 8000"):
        model.classify(noise(100), sample_rate=8_000)


def test_mixing_keeps_lengths_levels_and_ratios():
    torch.manual_seed(1)
    sounds, lengths = batch(*noise(4_000, 8_000, 8_000, 6_000, *[8_000] * 60))
    own, heard = mixed(sounds, lengths)
    behind = heard - own
    gains = 10 * torch.log10(own.square().sum(1) / sounds.square().sum(1))
    assert gains.abs().max() < GAIN_DB + 1e-3
    assert np.ptp(gains.numpy()) > GAIN_DB
    assert not heard[0, 4_000:].any()
    some = behind.square().sum(1) > 0
    assert 0.25 < some.float().mean() < 0.75
    snr = 10 * torch.log10((own.square().sum(1) / behind.square().sum(1))[some])
    assert snr.min() > SNR_DB[0] - 1e-3
    assert snr.max() < SNR_DB[1] + 1e-3


def test_classes_are_told_by_name():
    assert numbers(["siren", "hum"], LABELS).tolist() == [2, 0]
    with pytest.raises(ValueError, match="expected classes of hum, rain, siren, found snow"):
        numbers(["snow"], LABELS)


def test_a_tone_and_noise_are_told_apart_after_a_few_steps():
    torch.manual_seed(0)
    training = ClassificationTraining(["noise", "tone"], SIZES, 1e-2, 40)
    training.log = lambda *_, **__: None
    hertz = torch.linspace(300, 3_000, 16)[:, None]
    time = torch.arange(4_000) / RATE
    tones = 0.1 * torch.sin(2 * torch.pi * hertz * time)
    sounds = torch.cat([tones, 0.1 * torch.randn(16, 4_000)])
    one = (sounds, torch.full((32,), 4_000), ["tone"] * 16 + ["noise"] * 16)
    [optimizer], _ = training.configure_optimizers()
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        losses.append(training.training_step(one, 0))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
