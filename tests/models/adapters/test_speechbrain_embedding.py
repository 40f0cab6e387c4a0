"""Speaker embeddings: tiny ECAPA-TDNN and x-vectors of the library's own classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

import models
from metrics import FailedPrediction

RATE = 16_000  # Hz

FEATURES = """
compute_features: !new:speechbrain.lobes.features.Fbank {n_mels: 8}
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
  {norm_type: sentence, std_norm: false}
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
  {norm_type: global, std_norm: false}
modules:
  compute_features: !ref <compute_features>
  mean_var_norm: !ref <mean_var_norm>
  embedding_model: !ref <embedding_model>
  mean_var_norm_emb: !ref <mean_var_norm_emb>
  classifier: !new:torch.nn.Identity
pretrained_path: somebody/spkrec-tiny
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {embedding_model: !ref <embedding_model>}
  paths: {embedding_model: !ref <pretrained_path>/embedding_model.ckpt}
"""
ECAPA = """
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
  {input_size: 8, channels: [8, 8, 8, 8, 24], kernel_sizes: [5, 3, 3, 3, 1],
   dilations: [1, 2, 3, 4, 1], attention_channels: 4, res2net_scale: 2, se_channels: 4,
   lin_neurons: 6}
"""
XVECTOR = """
embedding_model: !new:speechbrain.lobes.models.Xvector.Xvector
  {in_channels: 8, activation: !name:torch.nn.LeakyReLU {}, tdnn_blocks: 5,
   tdnn_channels: [8, 8, 8, 8, 12], tdnn_kernel_sizes: [5, 3, 3, 1, 1],
   tdnn_dilations: [1, 2, 3, 1, 1], lin_neurons: 6}
"""


@pytest.fixture(scope="module", params=[ECAPA, XVECTOR], ids=["ecapa", "x-vector"])
def model(request, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("speakers")
    text = request.param + FEATURES
    (folder / "hyperparams.yaml").write_text(text)
    torch.manual_seed(7)
    network = load_hyperpyyaml(text)["embedding_model"]
    torch.save(network.state_dict(), folder / "embedding_model.ckpt")
    return models.create("speechbrain-speaker-embedding", checkpoint=str(folder), device="cpu")


def noise(samples: int, seed: int = 0) -> np.ndarray:
    signal = 0.1 * np.random.default_rng(seed).standard_normal(samples)
    return signal.astype(np.float32)


def test_an_embedding_does_not_depend_on_the_batch_or_on_chance(model):
    clips = [noise(size, seed) for seed, size in enumerate((8_000, 1, 8_000, 4_001, 8_000))]
    together = model.embed_audio(clips, sample_rate=RATE)
    for vector, clip in zip(together, clips, strict=True):
        assert (vector.shape, vector.dtype) == ((6,), np.float32)
        torch.manual_seed(len(clip))  # x-vectors pool with noise in the library
        [alone] = model.embed_audio([clip], sample_rate=RATE)
        np.testing.assert_allclose(vector, alone, atol=1e-4)
    assert not np.allclose(together[0], together[2], atol=1e-3)
    again = model.embed_audio(clips, sample_rate=RATE)
    assert [vector.tobytes() for vector in again] == [vector.tobytes() for vector in together]


def test_it_is_the_librarys_own_answer(model):
    clip = noise(8_000)
    with torch.inference_mode():
        expected = model._network.encode_batch(torch.from_numpy(clip[None]))[0, 0].numpy()
    np.testing.assert_array_equal(model.embed_audio([clip], sample_rate=RATE)[0], expected)


def test_silence_has_a_vector_and_nothing_has_none(model):
    [silent] = model.embed_audio([np.zeros(4_000, np.float32)], sample_rate=RATE)
    assert np.isfinite(silent).all()
    with pytest.raises(FailedPrediction, match="expected a clip with samples"):
        model.embed_audio([np.zeros(0, np.float32)], sample_rate=RATE)
    with pytest.raises(ValueError, match="signals at 16000 Hz, got 8000 Hz"):
        model.embed_audio([noise(100)], sample_rate=8_000)


def test_predictions_of_a_dataset(realear, tmp_path, model):
    import soundfile

    (tmp_path / "wavs").mkdir()
    for number in range(3):
        soundfile.write(tmp_path / f"wavs/clip{number}.wav", noise(8_000, number), RATE)
    out = ("--out", tmp_path / "out", "--workers", 1)
    assert realear("prepare", tmp_path / "wavs", "--name", "clips", *out).code == 0
    checkpoint = ("--set", f"checkpoint={model.checkpoint}")
    ended = realear("predict", "speechbrain-speaker-embedding", "clips", *checkpoint, *out)
    assert ended.code == 0, ended.text
    [card] = (tmp_path / "out/predictions").glob("*/clips/run.json")
    assert any(card.parent.glob("*.tar"))
