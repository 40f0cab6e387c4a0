"""The small CLAP: its towers, its loss, and the model that a folder becomes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metrics import FailedPrediction
from models.clap import RATE, WINDOW, Clap, features
from models.own import TrainedClap
from models.training.clap import ClapTraining, contrast, pairs

SIZES = {"mels": 16, "width": 2, "depth": 3, "dim": 8, "buckets": 64, "letters": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("clap")
    save_file(Clap(**SIZES).state_dict(), made / "model.safetensors")
    (made / "config.json").write_text(json.dumps({"architecture": "Clap", "network": SIZES}))
    return made


@pytest.fixture(scope="module")
def model(folder) -> TrainedClap:
    return TrainedClap(checkpoint=str(folder), device="cpu")


def noise(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, size).astype(np.float32) for size in sizes]


def alone(model: TrainedClap, clip: np.ndarray) -> np.ndarray:
    [vector] = model.embed_audio([clip], sample_rate=RATE)
    return vector


def test_a_clips_embedding_does_not_hang_on_its_neighbours(model):
    clips = [*noise(1, 300, WINDOW, 2 * WINDOW + 999, 9_000), np.zeros(500, np.float32)]
    together = model.embed_audio(clips, sample_rate=RATE)
    for clip, vector in zip(clips, together, strict=True):
        assert (vector.shape, vector.dtype) == ((8,), np.float32)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(vector, alone(model, clip), atol=1e-5)
    assert np.ptp(np.stack(together), axis=0).max() > 1e-3


def test_of_a_long_clip_all_windows_or_the_middle_one_are_heard(model, folder):
    [clip] = noise(3 * WINDOW)
    parts = [alone(model, clip[at * WINDOW : (at + 1) * WINDOW]) for at in range(3)]
    mean = np.mean(parts, axis=0)
    np.testing.assert_allclose(alone(model, clip), mean / np.linalg.norm(mean), atol=1e-5)
    middle = TrainedClap(checkpoint=str(folder), device="cpu", crop="centre")
    np.testing.assert_allclose(alone(middle, clip), parts[1], atol=1e-5)
    with pytest.raises(ValueError, match="crop to be 'mean' or 'centre'"):
        TrainedClap(checkpoint=str(folder), crop="random")


def test_how_loud_a_clip_is_says_nothing(model):
    [clip] = noise(20_000)
    np.testing.assert_allclose(alone(model, clip), alone(model, 0.1 * clip), atol=1e-4)


def test_words_are_hashed_whatever_their_case_and_mean_the_same_alone(model):
    found = model.embed_text(["The sound of rain!", "rain", "the sound of RAIN", ""])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(model.embed_text(["rain"])[0], found[1], atol=1e-6)
    assert model.embed_text([]) == []
    assert features("rain", 10**9) == features("Rain.", 10**9)
    assert len(features("rain", 64)) == 5  # the word, <ra, rai, ain, in>
    assert features("…", 64) == [0]


def test_an_empty_clip_and_another_rate_are_refused(model):
    with pytest.raises(FailedPrediction, match="empty"):
        model.embed_audio([np.zeros(0, np.float32)], sample_rate=RATE)
    with pytest.raises(ValueError, match="expected signals at 16000 Hz, got 8000 Hz"):
        model.embed_audio(noise(10), sample_rate=8_000)


def test_without_equal_captions_the_loss_is_claps_own():
    torch.manual_seed(1)
    similarity = torch.randn(6, 6)
    own = torch.arange(6)
    cross = torch.nn.functional.cross_entropy
    wanted = (cross(similarity, own) + cross(similarity.T, own)) / 2
    torch.testing.assert_close(contrast(similarity, torch.eye(6)), wanted)
    assert pairs(["a", "b", "a"]).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def test_a_teacher_that_is_sure_of_other_pairs_turns_the_targets_round():
    torch.manual_seed(2)
    teacher = Clap(**SIZES).eval()
    sounds, captions = torch.randn(4, WINDOW) * 0.1, ["a", "b", "c", "d"]
    plain = ClapTraining(dict(SIZES), 1e-3, 10, start=teacher.state_dict())
    soft = ClapTraining(
        dict(SIZES), 1e-3, 10, start=teacher.state_dict(), teacher=teacher, soft=1.0
    )
    with torch.no_grad():
        said = (teacher.scale.exp() * teacher.texts(captions) @ teacher.sounds(sounds).T).softmax(1)
        torch.testing.assert_close(soft._targets(sounds, captions), said)
        torch.testing.assert_close(plain._targets(sounds, captions), torch.eye(4))
    assert not any("_teacher" in name for name in soft.state_dict())
