"""Recognisers: tiny CRDNN, Transformer, Conformer and wav2vec 2.0, of the library's own classes."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml

import models

RATE = 16_000  # Hz
PIECES = 20
WORDS = ["TEN GREEN BOTTLES", "A COLD WIND BLEW", "PLEASE CLOSE THE DOOR", "THE END"]

COMMON = """
sample_rate: 16000
blank_index: 0
bos_index: 1
eos_index: 2
pretrained_path: somebody/asr-tiny
tokenizer: !new:sentencepiece.SentencePieceProcessor
compute_features: !new:speechbrain.lobes.features.Fbank {sample_rate: 16000, n_mels: 8}
log_softmax: !new:speechbrain.nnet.activations.Softmax {apply_log: true}
"""
CRDNN = """
enc: !new:speechbrain.lobes.models.CRDNN.CRDNN
  input_shape: [null, null, 8]
  activation: !name:torch.nn.LeakyReLU
  cnn_blocks: 1
  cnn_channels: (2,)
  cnn_kernelsize: (3, 3)
  inter_layer_pooling_size: (2,)
  time_pooling: true
  time_pooling_size: 4
  rnn_class: !name:speechbrain.nnet.RNN.LSTM
  rnn_layers: 1
  rnn_neurons: 6
  dnn_blocks: 1
  dnn_neurons: 6
  dropout: 0.0
emb: !new:speechbrain.nnet.embedding.Embedding {num_embeddings: 20, embedding_dim: 4}
dec: !new:speechbrain.nnet.RNN.AttentionalRNNDecoder
  {enc_dim: 6, input_size: 4, rnn_type: gru, attn_type: location, hidden_size: 6, attn_dim: 4,
   num_layers: 1, scaling: 1.0, channels: 2, kernel_size: 5, re_init: true, dropout: 0.0}
ctc_lin: !new:speechbrain.nnet.linear.Linear {input_size: 6, n_neurons: 20}
seq_lin: !new:speechbrain.nnet.linear.Linear {input_size: 6, n_neurons: 20}
lm_model: !new:speechbrain.lobes.models.RNNLM.RNNLM
  {output_neurons: 20, embedding_dim: 4, dropout: 0.0, rnn_layers: 1, rnn_neurons: 6, dnn_blocks: 1,
   dnn_neurons: 4, return_hidden: true}
normalize: !new:speechbrain.processing.features.InputNormalization {norm_type: sentence}
asr_model: !new:torch.nn.ModuleList
  - [!ref <enc>, !ref <emb>, !ref <dec>, !ref <ctc_lin>, !ref <seq_lin>]
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
  input_shape: [null, null, 8]
  compute_features: !ref <compute_features>
  normalize: !ref <normalize>
  model: !ref <enc>
ctc_scorer: !new:speechbrain.decoders.scorer.CTCScorer
  {eos_index: !ref <eos_index>, blank_index: !ref <blank_index>, ctc_fc: !ref <ctc_lin>}
lm_scorer: !new:speechbrain.decoders.scorer.RNNLMScorer
  {language_model: !ref <lm_model>, temperature: 1.2}
scorer: !new:speechbrain.decoders.scorer.ScorerBuilder
  full_scorers: [!ref <lm_scorer>, !ref <ctc_scorer>]
  weights: {rnnlm: 0.5, ctc: 0.4}
decoder: !new:speechbrain.decoders.S2SRNNBeamSearcher
  {embedding: !ref <emb>, decoder: !ref <dec>, linear: !ref <seq_lin>, bos_index: !ref <bos_index>,
   eos_index: !ref <eos_index>, min_decode_ratio: 0.0, max_decode_ratio: 1.0, beam_size: 3,
   eos_threshold: 1.5, using_max_attn_shift: true, max_attn_shift: 240, temperature: 1.25,
   scorer: !ref <scorer>}
modules: {encoder: !ref <encoder>, decoder: !ref <decoder>, lm_model: !ref <lm_model>}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {lm: !ref <lm_model>, tokenizer: !ref <tokenizer>, asr: !ref <asr_model>}
  paths:
    lm: !ref <pretrained_path>/lm.ckpt
    tokenizer: !ref <pretrained_path>/tokenizer.ckpt
    asr: !ref <pretrained_path>/asr.ckpt
"""
TRANSFORMER = """
transformer_beam_search: true
cnn: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
  {input_shape: [8, 8, 8], num_blocks: 2, num_layers_per_block: 1, out_channels: [4, 2],
   kernel_sizes: [3, 3], strides: [2, 2], residuals: [false, false]}
transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
  {input_size: 4, tgt_vocab: 20, d_model: 8, nhead: 2, num_encoder_layers: 1, num_decoder_layers: 1,
   d_ffn: 16, dropout: 0.1, activation: !name:torch.nn.GELU {}, encoder_module: MODULE,
   attention_type: ATTENTION, normalize_before: true, causal: false, kernel_size: 3}
lm_model: !new:speechbrain.lobes.models.transformer.TransformerLM.TransformerLM
  {vocab: 20, d_model: 8, nhead: 2, num_encoder_layers: 1, num_decoder_layers: 0, d_ffn: 16,
   dropout: 0.0, activation: !name:torch.nn.GELU {}, normalize_before: false}
ctc_lin: !new:speechbrain.nnet.linear.Linear {input_size: 8, n_neurons: 20}
seq_lin: !new:speechbrain.nnet.linear.Linear {input_size: 8, n_neurons: 20}
normalizer: !new:speechbrain.processing.features.InputNormalization {norm_type: global}
asr_model: !new:torch.nn.ModuleList
  - [!ref <cnn>, !ref <transformer>, !ref <seq_lin>, !ref <ctc_lin>]
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
  input_shape: [null, null, 8]
  compute_features: !ref <compute_features>
  normalize: !ref <normalizer>
  cnn: !ref <cnn>
lm_scorer: !new:speechbrain.decoders.scorer.TransformerLMScorer
  {language_model: !ref <lm_model>, temperature: 1.15}
ctc_scorer: !new:speechbrain.decoders.scorer.CTCScorer
  {eos_index: !ref <eos_index>, blank_index: !ref <blank_index>, ctc_fc: !ref <ctc_lin>}
scorer: !new:speechbrain.decoders.scorer.ScorerBuilder
  full_scorers: [!ref <lm_scorer>, !ref <ctc_scorer>]
  weights: {transformerlm: 0.6, ctc: 0.4}
decoder: !new:speechbrain.decoders.S2STransformerBeamSearcher
  {modules: [!ref <transformer>, !ref <seq_lin>], bos_index: !ref <bos_index>,
   eos_index: !ref <eos_index>, min_decode_ratio: 0.0, max_decode_ratio: 1.0, beam_size: 3,
   temperature: 1.15, using_eos_threshold: false, length_normalization: true, scorer: !ref <scorer>}
modules:
  encoder: !ref <encoder>
  transformer: !ref <transformer>
  decoder: !ref <decoder>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables:
    {normalizer: !ref <normalizer>, asr: !ref <asr_model>, lm: !ref <lm_model>,
     tokenizer: !ref <tokenizer>}
"""
WAV2VEC2 = """
wav2vec2_hub: facebook/wav2vec2-tiny
wav2vec2: !new:speechbrain.lobes.models.huggingface_transformers.wav2vec2.Wav2Vec2
  {source: !ref <wav2vec2_hub>, output_norm: true, freeze: false, save_path: somewhere}
ctc_lin: !new:speechbrain.nnet.linear.Linear {input_size: 8, n_neurons: 20}
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
  wav2vec2: !ref <wav2vec2>
  ctc_lin: !ref <ctc_lin>
  log_softmax: !ref <log_softmax>
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode {blank_id: !ref <blank_index>}
modules: {encoder: !ref <encoder>}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {wav2vec2: !ref <wav2vec2>, ctc_lin: !ref <ctc_lin>, tokenizer: !ref <tokenizer>}
"""
ARCHITECTURES = {
    "crdnn": CRDNN,
    "transformer": TRANSFORMER.replace("MODULE", "transformer").replace("ATTENTION", "regularMHA"),
    "conformer": TRANSFORMER.replace("MODULE", "conformer").replace("ATTENTION", "RelPosMHAXL"),
    "wav2vec2": WAV2VEC2,
}


def tokenizer() -> bytes:
    """A sentencepiece model of a few pieces, 0 to 2 of them special."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 9), model_writer=model, vocab_size=PIECES, model_type="char",
        unk_id=0, bos_id=1, eos_id=2, minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def wav2vec2(folder: Path) -> None:
    """A tiny network of the hub, with the features that its words for the library name."""
    import transformers

    config = transformers.Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=[8] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True,
    )  # fmt: skip
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)


def saved(folder: Path, name: str) -> Path:
    """A checkpoint of random weights, by the library's own classes."""
    text = COMMON + ARCHITECTURES[name]
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(text)
    (folder / "tokenizer.ckpt").write_bytes(tokenizer())
    torch.manual_seed(5)
    if name == "wav2vec2":
        wav2vec2(folder / "wav2vec2-tiny")
        text = text.replace("facebook/", f"{folder}/").replace("freeze: false", "freeze: true")
        text = text.replace("lobes.models.huggingface_transformers", "integrations.huggingface")
    for part_name, part in load_hyperpyyaml(text)["pretrainer"].loadables.items():
        if part_name == "normalizer":
            part(0.3 * torch.randn(1, 50, 8) - 9, torch.ones(1))
            part._save(folder / "normalizer.ckpt")
        elif part_name != "tokenizer":
            torch.save(part.state_dict(), folder / f"{part_name}.ckpt")
    return folder


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    folder = saved(tmp_path_factory.mktemp("asr") / request.param, request.param)
    name = "speechbrain-ctc" if request.param == "wav2vec2" else "speechbrain-encoder-decoder"
    made = models.create(name, checkpoint=str(folder), device="cpu")
    made.load()
    return made


def noise(samples: int, seed: int = 0) -> np.ndarray:
    signal = 0.1 * np.random.default_rng(seed).standard_normal(samples)
    return signal.astype(np.float32)


def test_a_transcript_does_not_depend_on_the_batch(model):
    sizes = (4_000, 1, 4_000, 0)
    clips = [noise(size, seed) for seed, size in enumerate(sizes)]
    together = model.transcribe(clips)
    assert together == [model.transcribe([clip])[0] for clip in clips]
    assert together == model.transcribe(clips[::-1])[::-1]
    assert together[3] == ""
    assert any(together)
    assert isinstance(model.transcribe([np.zeros(4_000, np.float32)])[0], str)


def test_it_is_the_librarys_own_answer(model):
    clip = noise(8_000)
    with torch.inference_mode():
        [expected], _ = model._network.transcribe_batch(torch.from_numpy(clip[None]), torch.ones(1))
    assert model.transcribe([clip]) == [str(expected)]


def test_every_part_is_in_evaluation_mode_and_has_its_weights(model):
    network, folder = model._network, Path(model.checkpoint)
    parts = [part for part in vars(network.hparams).values() if isinstance(part, torch.nn.Module)]
    assert parts
    assert not any(module.training for part in [network, *parts] for module in part.modules())
    name, key = ("wav2vec2", "wav2vec2") if hasattr(network.hparams, "wav2vec2") else (
        "lm", "lm_model")  # fmt: skip
    stored = torch.load(folder / f"{name}.ckpt", weights_only=True)
    for tensor, found in zip(
        stored.values(), getattr(network.hparams, key).state_dict().values(), strict=True
    ):
        torch.testing.assert_close(found, tensor)


def test_a_network_of_the_hub_that_is_not_there_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = saved(tmp_path / "checkpoint", "wav2vec2")
    before = models.create("speechbrain-ctc", checkpoint=str(folder)).weights
    (folder / "wav2vec2-tiny").rename(tmp_path / "wav2vec2-tiny")
    made = models.create("speechbrain-ctc", checkpoint=str(folder))
    with pytest.raises(ValueError, match="run `hf download facebook/wav2vec2-tiny`"):
        made.load()
    monkeypatch.setattr("models.neural._fetched", lambda *_: tmp_path / "wav2vec2-tiny")
    monkeypatch.setattr(type(made), "folder", folder)
    assert made.weights != before  # the other repository's files count, wherever they lie
    text = (folder / "hyperparams.yaml").read_text()
    (folder / "hyperparams.yaml").write_text(text.replace("facebook/", f"{tmp_path}/"))
    with pytest.raises(ValueError, match="to be a folder in it or a repository of the hub"):
        made.load()
    (folder / "hyperparams.yaml").write_text(text.replace("freeze:", "attn_implementation:"))
    with pytest.raises(ValueError, match="found attn_implementation of !new:speechbrain"):
        made.load()


def test_from_a_corpus_to_a_score(realear, tmp_path):
    rows = []
    for number, seconds in enumerate((0.5, 0.5, 0.8)):
        soundfile.write(tmp_path / f"{number}.wav", noise(round(RATE * seconds), number), RATE)
        rows.append(json.dumps({"key": f"c{number}", "path": f"{number}.wav", "text": "the end"}))
    (tmp_path / "said.jsonl").write_text("\n".join(rows))
    out = ("--out", tmp_path / "out", "--workers", 1)
    assert realear("prepare", tmp_path / "said.jsonl", "--name", "said", *out).code == 0
    for name, architecture in {
        "speechbrain-encoder-decoder": "crdnn",
        "speechbrain-ctc": "wav2vec2",
    }.items():
        checkpoint = f"checkpoint={saved(tmp_path / architecture, architecture)}"
        asked = ("--dataset", "said", "--model", name, "--set", checkpoint, "--metric", "wer")
        ended = realear("score", *asked, *out)
        assert ended.code == 0, ended.text
        assert "Recognition on said" in ended.text
