"""The Emformer transducer, tiny, with word pieces that SentencePiece learns here."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import models

sentencepiece = pytest.importorskip("sentencepiece")

FEATURES = {"n_fft": 400, "hop_length": 160, "n_mels": 20}
SMALL = {
    "input_dim": 20,
    "encoding_dim": 16,
    "segment_length": 8,
    "right_context_length": 4,
    "time_reduction_input_dim": 8,
    "time_reduction_stride": 4,
    "transformer_num_heads": 2,
    "transformer_ffn_dim": 16,
    "transformer_num_layers": 2,
    "transformer_dropout": 0.1,
    "transformer_activation": "gelu",
    "transformer_left_context_length": 8,
    "transformer_max_memory_size": 0,
    "transformer_weight_init_scale_strategy": "depthwise",
    "transformer_tanh_on_mem": True,
    "symbol_embedding_dim": 16,
    "num_lstm_layers": 1,
    "lstm_layer_norm": True,
    "lstm_layer_norm_epsilon": 1e-3,
    "lstm_dropout": 0.3,
}
TEXT = ["the cold wind blew over the hill", "ten green bottles stood on a wall", "close the door"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("emformer"))


def save(folder: Path) -> Path:
    """A tiny transducer of random weights, its word pieces and statistics."""
    import torch
    import torchaudio

    folder.mkdir(exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT), model_prefix=str(folder / "tokens"), vocab_size=40,
        model_type="bpe", minloglevel=2,
    )  # fmt: skip
    (folder / "tokens.vocab").unlink()
    statistics = {"mean": [12.0] * 20, "invstddev": [0.3] * 20}
    (folder / "global_stats.json").write_text(json.dumps(statistics))
    parameters = SMALL | {"num_symbols": 41}
    torch.manual_seed(3)
    network = torchaudio.models.emformer_rnnt_model(**parameters)
    with torch.no_grad():
        network.joiner.linear.weight *= 4
        network.joiner.linear.bias[-1] += 4  # the blank, or it would never stop writing
    torch.save(network.state_dict(), folder / "weights.pt")
    config = {"architecture": "emformer_rnnt_model", "parameters": parameters,
              "sample_rate": 16_000, "features": FEATURES}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def made(folder: Path, **parameters):
    return models.create(
        "torchaudio-emformer", checkpoint=str(folder), device="cpu", **{"beam": 3, **parameters}
    )


def signals(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [
        (rng.normal(0, 0.1, size) * np.sin(np.arange(size) / 2_000)).astype(np.float32)
        for size in sizes
    ]


def test_clips_of_any_length_are_answered_as_if_alone(checkpoint):
    model = made(checkpoint)
    clips = [*signals(8_000, 1, 0, 3_001, 8_000), np.zeros(3_000, np.float32)]
    found = model.transcribe(clips)
    assert found == [model.transcribe([clip])[0] for clip in clips]
    assert found == model.transcribe(clips[::-1])[::-1]
    assert found[2] == ""
    assert len(found[0]) > 1
    assert found[0] != found[3]


def test_features_search_and_words_are_the_bundles(checkpoint, tmp_path, monkeypatch):
    """The bundle's own pipeline over the same files, in the cache where it looks for them."""
    import shutil

    import torch
    import torchaudio

    bundle = torchaudio.pipelines.EMFORMER_RNNT_BASE_LIBRISPEECH
    wide = SMALL | {"input_dim": 80, "num_symbols": 41}
    monkeypatch.setattr(
        bundle, "_rnnt_factory_func", lambda: torchaudio.models.emformer_rnnt_model(**wide)
    )
    monkeypatch.setattr(bundle, "_blank", 40)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "torchaudio"
    for key in (bundle._rnnt_path, bundle._global_stats_path, bundle._sp_model_path):
        (cache / key).parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    network = bundle._rnnt_factory_func()
    with torch.no_grad():
        network.joiner.linear.weight *= 4
        network.joiner.linear.bias[-1] += 4
    torch.save(network.state_dict(), cache / bundle._rnnt_path)
    statistics = {"mean": [12.0] * 80, "invstddev": [0.3] * 80}
    (cache / bundle._global_stats_path).write_text(json.dumps(statistics))
    shutil.copy(checkpoint / "tokens.model", cache / bundle._sp_model_path)

    [clip] = signals(8_000)
    with torch.inference_mode():
        features, length = bundle.get_feature_extractor()(torch.from_numpy(clip))
        tokens = bundle.get_decoder()(features, length, 4)[0][0]
    expected = bundle.get_token_processor()(tokens)
    model = models.create("torchaudio-emformer-rnnt", device="cpu", beam=4)
    assert model.transcribe([clip]) == [" ".join(expected.split())]
    assert expected
    mine, _ = model._features(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))
    torch.testing.assert_close(mine[0], features)


def test_a_beam_wider_than_the_symbols_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"a beam of at most 40, .* found 90: say beam=10"):
        made(checkpoint, beam=90).load()
    with pytest.raises(ValueError, match="beam to be a whole number from 1 to 100, got 0"):
        made(checkpoint, beam=0)


def test_missing_files_are_told(checkpoint, tmp_path):
    import shutil

    shutil.copytree(checkpoint, tmp_path / "copy")
    (tmp_path / "copy" / "tokens.model").unlink()
    with pytest.raises(ValueError, match=r"tokens\.model: expected a file beside the tensors"):
        made(tmp_path / "copy").load()


def test_it_runs_to_a_score(realear, tmp_path, checkpoint):
    for number, clip in enumerate(signals(5_000, 3_000)):
        soundfile.write(tmp_path / f"{number}.wav", clip, 16_000)
    (tmp_path / "text.tsv").write_text("0\tthe door\n1\tclose\n")
    work = ["--out", tmp_path / "work", "--workers", 1]
    ended = realear("prepare", tmp_path, "--name", "said", "--audio", "*.wav", "--text",
                    "text.tsv", *work[:2])  # fmt: skip
    assert ended.code == 0, ended.text
    ended = realear("score", "--dataset", "said", "--model", "torchaudio-emformer", "--set",
                    f"checkpoint={checkpoint}", "--set", "beam=2", "--metric", "wer",
                    *work)  # fmt: skip
    assert ended.code == 0, ended.text
    assert "torchaudio-emformer" in ended.text
