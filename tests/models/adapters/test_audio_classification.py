"""Classifiers of transformers, on tiny checkpoints that the library itself writes here."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import models
from metrics import FailedPrediction
from models.adapters import pooling
from models.adapters.audio_classification import AudioClassifier
from models.explained import Pair

RATE = 16_000
LABELS = ("Dog", "Rain", "_silence_")
WINDOWS = {"ast": 400 + 63 * 160, "whisper": RATE}  # samples
SPEECH = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
EXACT = ("ast", "whisper", *(f"{family}-layer" for family in SPEECH))


def save(folder: Path, kind: str) -> Path:
    """A classifier with random weights and its feature extractor."""
    import torch
    import transformers

    torch.manual_seed(0)
    network, extractor = _network(transformers, kind)
    network.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def _network(library, kind: str):
    named = {"id2label": dict(enumerate(LABELS)), "label2id": {n: i for i, n in enumerate(LABELS)}}
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "initializer_range": 0.5, **named}
    if kind == "ast":
        config = library.ASTConfig(
            hidden_size=16, intermediate_size=32, max_length=64, num_mel_bins=32, **small
        )
        extractor = library.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
        return library.ASTForAudioClassification(config), extractor
    if kind == "whisper":
        config = library.WhisperConfig(
            d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=16,
            max_source_positions=50, vocab_size=20, init_std=0.5, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1, suppress_tokens=None,
            begin_suppress_tokens=None, classifier_proj_size=8, **named,
        )  # fmt: skip
        extractor = library.WhisperFeatureExtractor(feature_size=16, chunk_length=1, dither=0.1)
        return library.WhisperForAudioClassification(config), extractor
    family, norm = kind.split("-")
    config = getattr(library, f"{SPEECH[family]}Config")(
        hidden_size=16, intermediate_size=32, conv_dim=(8, 8, 8), conv_kernel=(10, 3, 2),
        conv_stride=(5, 2, 2), feat_extract_norm=norm, do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, classifier_proj_size=8,
        use_weighted_layer_sum=True, **small,
    )  # fmt: skip
    extractor = library.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    return getattr(library, f"{SPEECH[family]}ForSequenceClassification")(config), extractor


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`made(kind)`: a loaded model on a checkpoint that is written once."""
    root, found = tmp_path_factory.mktemp("checkpoints"), {}

    def get(kind: str) -> AudioClassifier:
        if kind not in found:
            checkpoint = str(save(root / kind, kind))
            found[kind] = AudioClassifier(checkpoint=checkpoint, device="cpu")
            found[kind].load()
        return found[kind]

    return get


def noise(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0.05, 0.1, size).astype(np.float32) for size in sizes]


def alone(model: AudioClassifier, clip: np.ndarray) -> np.ndarray:
    [logits] = model.classify([clip], sample_rate=RATE)
    return logits


@pytest.mark.parametrize("kind", EXACT)
def test_a_clips_logits_do_not_hang_on_its_neighbours(made, kind):
    model = made(kind)
    assert model.padding == "exact"
    clips = [*noise(30_000, 1, 16_000, 301, 9_999), np.zeros(5_000, np.float32)]
    together = model.classify(clips, sample_rate=RATE)
    for clip, logits in zip(clips, together, strict=True):
        assert (logits.shape, logits.dtype) == ((len(LABELS),), np.float32)
        assert np.isfinite(logits).all()
        np.testing.assert_allclose(logits, alone(model, clip), atol=1e-4)
    assert np.ptp(np.stack(together), axis=0).max() > 0.01  # it does listen


def test_with_group_norm_only_equal_lengths_share_a_batch(made):
    model = made("wav2vec2-group")
    assert model.padding == "none"
    clips = noise(8_000, 3_000, 8_000, 1)
    together = model.classify(clips, sample_rate=RATE)
    for clip, logits in zip(clips, together, strict=True):
        np.testing.assert_allclose(logits, alone(model, clip), atol=1e-5)


@pytest.mark.parametrize("kind", ["ast", "whisper", "wav2vec2-layer", "hubert-group"])
def test_logits_are_those_of_the_librarys_own_way(made, kind):
    import torch
    import transformers

    model = made(kind)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(model.checkpoint, dither=0.0)
    network = transformers.AutoModelForAudioClassification.from_pretrained(model.checkpoint).eval()
    [clip] = noise(7_000)
    with torch.inference_mode():
        heard = extractor(clip, sampling_rate=RATE, return_tensors="pt")
        wanted = network(**heard).logits[0].numpy()
    np.testing.assert_allclose(alone(model, clip), wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["wav2vec2-layer", "hubert-group", "wavlm-layer"])
def test_networks_on_samples_can_be_looked_into(made, kind):
    model, clips = made(kind), noise(8_000, 5_000)
    assert model.gradients
    for by in ("saliency", "grad-cam"):
        pair = Pair(model, models.create(by))
        pair.load()
        for clip, found in zip(clips, pair.explain(clips, sample_rate=RATE), strict=True):
            np.testing.assert_allclose(found.logits[0], alone(model, clip), atol=1e-4)
            assert found.mask.max() == 255
            [other] = pair.explain([clip], sample_rate=RATE)
            np.testing.assert_allclose(found.embeddings, other.embeddings, atol=1e-3)


def test_networks_on_windows_are_explained_from_outside(made):
    model, [clip] = made("ast"), noise(6_000)
    unloaded = AudioClassifier(checkpoint=model.checkpoint, device="cpu")
    with pytest.raises(ValueError, match="explain it by occlusion or lime"):
        models.create("saliency").check(unloaded)
    pair = Pair(model, models.create("occlusion", seconds=0.2, hertz=4_000.0))
    pair.load()
    [found] = pair.explain([clip], sample_rate=RATE)
    np.testing.assert_allclose(found.logits[1], alone(model, found.kept), atol=1e-5)
    assert found.mask.max() == 255


@pytest.mark.parametrize("kind", WINDOWS)
def test_of_a_long_clip_every_sample_is_heard(made, kind):
    model, window = made(kind), WINDOWS[kind]
    [clip] = noise(2 * window + window // 3)
    parts = [clip[:window], clip[window : 2 * window], clip[-window:]]
    wanted = np.mean([alone(model, part) for part in parts], axis=0)
    np.testing.assert_allclose(alone(model, clip), wanted, atol=1e-5)
    np.testing.assert_array_equal(alone(model, clip), alone(model, clip))
    changed = clip.copy()
    changed[-window // 4 :] *= 3
    assert not np.allclose(alone(model, clip), alone(model, changed), atol=1e-3)


@pytest.mark.parametrize(("size", "starts"), [(1, [0]), (10, [0]), (11, [0, 1]), (20, [0, 10]),
                                              (25, [0, 10, 15])])  # fmt: skip
def test_windows_end_with_the_clip(size, starts):
    clip = np.arange(size, dtype=np.float32)
    found = pooling.windows(clip, 10)
    assert [int(part[0]) for part in found] == starts
    assert {len(part) for part in found} == {min(size, 10)}
    assert found[-1][-1] == clip[-1]


def test_labels_are_the_checkpoints_in_the_order_of_the_logits(made):
    assert AudioClassifier(checkpoint="x", device="cpu").labels == ()
    for kind in ("ast", "wav2vec2-layer"):
        assert made(kind).labels == LABELS


def test_a_clip_without_a_sample_has_no_class(made):
    with pytest.raises(FailedPrediction, match="empty: expected a clip with samples"):
        made("ast").classify([*noise(10, 0)], sample_rate=RATE)
    assert made("ast").classify([], sample_rate=RATE) == []


def test_another_rate_is_refused(made):
    with pytest.raises(ValueError, match="expected signals at 16000 Hz, got 8000 Hz; resample"):
        made("ast").classify(noise(10), sample_rate=8_000)


def test_a_checkpoint_without_a_trained_head_is_refused(tmp_path):
    import transformers

    network, extractor = _network(transformers, "ast")
    network.audio_spectrogram_transformer.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    model = AudioClassifier(checkpoint=str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match=r"expected weights for all of ASTForAudioClass.*trained"):
        model.load()


def test_a_network_that_hears_neither_samples_nor_windows_is_refused(tmp_path):
    import transformers

    config = transformers.Wav2Vec2BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        feature_projection_input_dim=32, classifier_proj_size=8,
    )  # fmt: skip
    transformers.Wav2Vec2BertForSequenceClassification(config).save_pretrained(tmp_path)
    transformers.SeamlessM4TFeatureExtractor(feature_size=16).save_pretrained(tmp_path)
    model = AudioClassifier(checkpoint=str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match="hears samples, or spectra of a fixed length, found"):
        model.load()


def test_names_stand_for_classifiers_of_this_kind():
    named = [name for name, entry in models.MODELS.items() if entry.cls.endswith("AudioClassifier")]
    assert {"ast-audioset", "ast-speech-commands", "wav2vec2-superb-ks"} <= set(named)
    for name in named:
        entry = models.MODELS[name]
        assert entry.extra == "transformers"
        given = {} if entry.needs != "a checkpoint" else {"checkpoint": entry.needs}
        assert models.create(name, device="cpu", **given).checkpoint == entry.needs


def test_from_a_folder_of_sounds_to_a_score(made, realear, tmp_path):
    """The command's own path: prepare, ask, store, match names, score."""
    truths = {}
    clips = noise(9_000, 20_000, 5_000)
    for number, clip in enumerate(clips):
        stored = np.round(clip * 32_768) / 32_768
        logits = alone(made("ast"), stored.astype(np.float32))
        truths[f"{LABELS[int(logits.argmax())].lower()}-{number}"] = stored
    truths["whistle-3"] = clips[0]
    (tmp_path / "sounds").mkdir()
    for name, clip in truths.items():
        soundfile.write(tmp_path / f"sounds/{name}.wav", clip, RATE, subtype="PCM_16")
    out = tmp_path / "work"
    ended = realear("prepare", tmp_path / "sounds", "--name", "sounds", "--audio",
                    "{class}-{n}.wav", "--out", out, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    checkpoint = made("ast").checkpoint
    ended = realear("score", "--dataset", "sounds", "--model", "ast-audioset", "--metric", "top_1",
                    "--set", f"checkpoint={checkpoint}", "--set", "device=cpu", "--out", out,
                    "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    [table] = out.glob("scores/ast-audioset-*/sounds/top_1-*/*.parquet")
    found = {row["key"]: (row["end"], row["value"]) for row in pq.read_table(table).to_pylist()}
    scored = {key: end for key, end in found.items() if not key.startswith("whistle")}
    assert len(scored) == 3
    assert set(scored.values()) == {("scored", 1.0)}
    assert found["whistle-3"] == ("undefined", None)
