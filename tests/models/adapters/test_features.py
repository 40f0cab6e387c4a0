"""Features of speech networks of transformers, on tiny checkpoints that the library writes here."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import models
from metrics import FailedPrediction
from models.adapters.features import Embedder, SpeakerVectors, SpeechFeatures
from pipelines.score import Answers

RATE = 16_000
FAMILIES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
KERNELS, STRIDES, WIDTH, LAYERS = (10, 3, 2), (5, 2, 2), 16, 2


def save(folder: Path, family: str, norm: str, head: str = "Model") -> Path:
    """A network with random weights and its feature extractor."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{FAMILIES[family]}Config")(
        hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=LAYERS, num_attention_heads=2,
        conv_dim=(8, 8, 8), conv_kernel=KERNELS, conv_stride=STRIDES, feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer", num_conv_pos_embeddings=16, initializer_range=0.5,
        num_conv_pos_embedding_groups=2, tdnn_dim=(12, 12, 20), tdnn_kernel=(5, 3, 1),
        tdnn_dilation=(1, 2, 1), xvector_output_dim=6,
    )  # fmt: skip
    getattr(transformers, f"{FAMILIES[family]}{head}")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer").save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """`checkpoint(family, norm, head)`: a folder, written once."""
    root, made = tmp_path_factory.mktemp("checkpoints"), {}

    def get(family: str, norm: str = "layer", head: str = "Model") -> str:
        if (family, norm, head) not in made:
            folder = root / f"{family}-{norm}-{head}"
            made[family, norm, head] = str(save(folder, family, norm, head))
        return made[family, norm, head]

    return get


def features(folder: str, **parameters) -> SpeechFeatures:
    return SpeechFeatures(checkpoint=folder, device="cpu", **parameters)


def noise(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0.05, 0.1, size).astype(np.float32) for size in sizes]


def alone(model: Embedder, clip: np.ndarray) -> np.ndarray:
    [vector] = model.embed_audio([clip], sample_rate=RATE)
    return vector


@pytest.mark.parametrize("family", FAMILIES)
def test_with_layer_norm_an_embedding_is_of_the_clips_own_frames(checkpoint, family):
    model = features(checkpoint(family))
    model.load()
    assert model.padding == "exact"
    clips = [*noise(16_000, 1, 4_001, 300, 9_999), np.zeros(5_000, np.float32)]
    together = model.embed_audio(clips, sample_rate=RATE)
    for clip, vector in zip(clips, together, strict=True):
        assert (vector.shape, vector.dtype) == ((WIDTH,), np.float32)
        np.testing.assert_allclose(vector, alone(model, clip), atol=1e-4)
    assert np.ptp(np.stack(together), axis=0).max() > 0.01  # it does listen


@pytest.mark.parametrize("family", FAMILIES)
def test_with_group_norm_only_equal_lengths_share_a_batch(checkpoint, family):
    model = features(checkpoint(family, "group"))
    model.load()
    assert model.padding == "none"
    clips = noise(8_000, 3_000, 8_000, 1)
    for clip, vector in zip(clips, model.embed_audio(clips, sample_rate=RATE), strict=True):
        np.testing.assert_allclose(vector, alone(model, clip), atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, -1])
def test_a_layer_is_the_mean_of_the_librarys_frames(checkpoint, layer):
    import torch
    import transformers

    folder = checkpoint("hubert")
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    [clip] = noise(7_000)
    with torch.inference_mode():
        heard = extractor(clip, sampling_rate=RATE, return_tensors="pt")
        found = network(**heard, output_hidden_states=True).hidden_states[layer][0]
    assert len(found) == network._get_feat_extract_output_lengths(7_000)
    wanted = found.mean(dim=0).numpy()
    np.testing.assert_allclose(alone(features(folder, layer=layer), clip), wanted, atol=1e-5)


def test_a_layer_that_is_not_there_is_refused(checkpoint):
    with pytest.raises(ValueError, match="expected layer to be from -3 to 2, got 3"):
        features(checkpoint("hubert"), layer=LAYERS + 1).load()
    with pytest.raises(ValueError, match="layer to be a whole number"):
        features("x", layer=1.5)


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm"])
def test_speaker_vectors_are_the_librarys_for_any_length(checkpoint, family):
    import torch
    import transformers

    folder = checkpoint(family, "group", "ForXVector")
    model = SpeakerVectors(checkpoint=folder, device="cpu")
    model.load()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    network = transformers.AutoModelForAudioXVector.from_pretrained(folder).eval()
    clips = [*noise(8_000, 3_000, 8_000, 1), np.zeros(500, np.float32)]
    found = model.embed_audio(clips, sample_rate=RATE)
    with torch.inference_mode():
        heard = extractor(clips[1], sampling_rate=RATE, return_tensors="pt")
        wanted = network(**heard).embeddings[0].numpy()
    np.testing.assert_allclose(found[1], wanted, atol=1e-4)
    assert all(np.isfinite(vector).all() and vector.shape == (6,) for vector in found)
    for clip, vector in zip(clips, found, strict=True):
        np.testing.assert_allclose(vector, alone(model, clip), atol=1e-4)
    one_frame_too_few = torch.zeros(1, model.shortest - 1)
    with torch.inference_mode(), pytest.warns(UserWarning, match="degrees of freedom"):
        assert network(one_frame_too_few).embeddings.isnan().any()


def test_what_cannot_be_embedded_is_refused(checkpoint, tmp_path):
    import transformers

    model = features(checkpoint("wavlm"))
    with pytest.raises(FailedPrediction, match="empty"):
        model.embed_audio(noise(10, 0), sample_rate=RATE)
    with pytest.raises(ValueError, match="expected signals at 16000 Hz, got 8000 Hz"):
        model.embed_audio(noise(10), sample_rate=8_000)
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, max_length=32, num_mel_bins=16
    )
    transformers.ASTModel(config).save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor(max_length=32, num_mel_bins=16).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="expected a network that hears samples, such as wav2vec"):
        features(str(tmp_path)).load()


def test_a_checkpoint_that_is_not_here_is_told_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="run `hf download microsoft/wavlm-base` where there is"):
        models.create("wavlm-base", device="cpu").load()


def test_from_a_folder_of_sounds_to_predictions(checkpoint, realear, tmp_path):
    """The command's own path; what it stores is what the model says of the stored clip."""
    folder = checkpoint("wavlm")
    (tmp_path / "sounds").mkdir()
    clips = noise(9_000, 20_000, 1_000)
    for number, clip in enumerate(clips):
        soundfile.write(tmp_path / f"sounds/{number}.wav", clip, RATE, subtype="PCM_16")
    out = tmp_path / "work"
    ended = realear("prepare", tmp_path / "sounds", "--name", "sounds", "--shards", 1,
                    "--out", out, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    ended = realear("predict", "wavlm-base", "sounds", "--set", f"checkpoint={folder}", "--set",
                    "layer=1", "--set", "device=cpu", "--out", out, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    [predictions] = out.glob("predictions/wavlm-base-*/sounds")
    answers, model = Answers(str(predictions), "sounds-000000"), features(folder, layer=1)
    for number in range(len(clips)):
        stored, _ = soundfile.read(tmp_path / f"sounds/{number}.wav", dtype="float32")
        found = np.frombuffer(answers.of(str(number))["npy"][-4 * WIDTH :], "<f4")
        np.testing.assert_allclose(found, alone(model, stored), atol=1e-4)
    answers.close()


def test_speaker_vectors_from_a_folder_of_sounds(checkpoint, realear, tmp_path):
    for number, clip in enumerate(noise(9_000, 4_000)):
        soundfile.write(tmp_path / f"{number}.wav", clip, RATE, subtype="PCM_16")
    out = ("--out", tmp_path / "work", "--workers", 1)
    assert realear("prepare", tmp_path, "--name", "sounds", "--shards", 1, *out).code == 0
    folder = checkpoint("wavlm", "group", "ForXVector")
    asked = ("--set", f"checkpoint={folder}", "--set", "device=cpu")
    ended = realear("predict", "wavlm-base-sv", "sounds", *asked, *out)
    assert ended.code == 0, ended.text
    [predictions] = (tmp_path / "work").glob("predictions/wavlm-base-sv-*/sounds")
    answers, model = Answers(str(predictions), "sounds-000000"), SpeakerVectors(checkpoint=folder)
    for number in range(2):
        stored, _ = soundfile.read(tmp_path / f"{number}.wav", dtype="float32")
        found = np.frombuffer(answers.of(str(number))["npy"][-4 * 6 :], "<f4")
        np.testing.assert_allclose(found, alone(model, stored), atol=1e-4)
    answers.close()
