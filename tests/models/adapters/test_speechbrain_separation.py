"""SepFormer and its kin, MetricGAN+: tiny checkpoints of the library's own classes."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml

import models
from metrics import FailedPrediction

RATE = 8_000  # Hz

PRETRAINER = """
modules: {encoder: !ref <encoder>, masknet: !ref <masknet>, decoder: !ref <decoder>}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {encoder: !ref <encoder>, masknet: !ref <masknet>, decoder: !ref <decoder>}
"""
FILTERBANK = """
sample_rate: 8000
num_spks: SOURCES
encoder: !new:speechbrain.lobes.models.dual_path.Encoder {kernel_size: 16, out_channels: 8}
decoder: !new:speechbrain.lobes.models.dual_path.Decoder
  {in_channels: 8, out_channels: 1, kernel_size: 16, stride: 8, bias: false}
"""
TRANSFORMER = """
intra: !new:speechbrain.lobes.models.dual_path.SBTransformerBlock
  {num_layers: 1, d_model: 8, nhead: 2, d_ffn: 16, dropout: 0, use_positional_encoding: true,
   norm_before: true}
"""
RECURRENT = """
intra: !new:speechbrain.lobes.models.dual_path.SBRNNBlock
  {input_size: 8, hidden_channels: 4, num_layers: 1, dropout: 0, bidirectional: true}
"""
DUAL_PATH = """
masknet: !new:speechbrain.lobes.models.dual_path.Dual_Path_Model
  {num_spks: !ref <num_spks>, in_channels: 8, out_channels: 8, num_layers: 1, K: 20,
   intra_model: !ref <intra>, inter_model: !copy <intra>, norm: ln,
   linear_layer_after_inter_intra: false, skip_around_intra: true}
"""
RESOURCE_EFFICIENT = """
block: !new:speechbrain.lobes.models.resepformer.SBTransformerBlock_wnormandskip
  {num_layers: 1, d_model: 8, nhead: 2, d_ffn: 16, dropout: 0, use_positional_encoding: true,
   norm_before: true, use_norm: true, use_skip: true}
masknet: !new:speechbrain.lobes.models.resepformer.ResourceEfficientSeparator
  {input_dim: 8, causal: false, num_spk: !ref <num_spks>, nonlinear: relu, layer: 1, unit: 8,
   segment_size: 20, dropout: 0, mem_type: av, seg_model: !ref <block>, mem_model: !copy <block>}
"""
CONV_TASNET = """
masknet: !new:speechbrain.lobes.models.conv_tasnet.MaskNet
  {N: 8, B: 4, H: 8, P: 3, X: 2, R: 1, C: !ref <num_spks>, norm_type: gLN, causal: false,
   mask_nonlinear: relu}
"""
SEPARATORS = {
    "sepformer": FILTERBANK + TRANSFORMER + DUAL_PATH,
    "dprnn": FILTERBANK + RECURRENT + DUAL_PATH,
    "resepformer": FILTERBANK + RESOURCE_EFFICIENT,
    "conv-tasnet": FILTERBANK + CONV_TASNET,
}
METRICGAN = """
sample_rate: 16000
compute_stft: !new:speechbrain.processing.features.STFT
  {sample_rate: 16000, win_length: 32, hop_length: 16, n_fft: 512,
   window_fn: !name:torch.hamming_window {}}
compute_istft: !new:speechbrain.processing.features.ISTFT
  {sample_rate: 16000, win_length: 32, hop_length: 16, n_fft: 512,
   window_fn: !name:torch.hamming_window {}}
spectral_magnitude: !name:speechbrain.processing.features.spectral_magnitude {power: 0.5}
resynth: !name:speechbrain.processing.signal_processing.resynthesize
  {stft: !ref <compute_stft>, istft: !ref <compute_istft>}
enhance_model: !new:speechbrain.lobes.models.MetricGAN.EnhancementGenerator {num_layers: 1}
modules: {enhance_model: !ref <enhance_model>}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {enhance_model: !ref <enhance_model>}
"""


def saved(folder: Path, text: str) -> Path:
    """A checkpoint of random weights, by the library's own classes."""
    folder.mkdir(parents=True)
    (folder / "hyperparams.yaml").write_text(text)
    torch.manual_seed(7)
    for name, part in load_hyperpyyaml(text)["pretrainer"].loadables.items():
        torch.save(part.state_dict(), folder / f"{name}.ckpt")
    return folder


def separator(folder: Path, name: str, sources: int = 2) -> Path:
    text = SEPARATORS[name].replace("SOURCES", str(sources)) + PRETRAINER
    return saved(folder / f"{name}{sources}", text)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    signal = 0.1 * np.random.default_rng(seed).standard_normal(samples)
    return signal.astype(np.float32)


@pytest.fixture(scope="module", params=SEPARATORS)
def model(request, tmp_path_factory):
    folder = separator(tmp_path_factory.mktemp("models"), request.param)
    made = models.create("speechbrain-sepformer", checkpoint=str(folder), device="cpu")
    made.load()
    return made


def part(model, *signals: np.ndarray) -> list[np.ndarray]:
    return model.separate(signals, sample_rate=RATE, sources=2)


def test_each_answer_has_the_shape_of_its_clip_however_short(model):
    clips = [noise(size) for size in (1_000, 0, 1, 1_003, 399, 1_000)]
    answers = part(model, *clips)
    assert [answer.shape for answer in answers] == [(2, len(clip)) for clip in clips]
    assert all(answer.dtype == np.float32 and np.isfinite(answer).all() for answer in answers)
    assert not part(model, np.zeros(2_000, np.float32))[0].any()


def test_an_answer_does_not_depend_on_the_batch(model):
    clips = [noise(size, seed) for seed, size in enumerate((800, 500, 800, 501))]
    together, alone = part(model, *clips), [part(model, clip)[0] for clip in clips]
    for both, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(both, one, atol=1e-4 * np.abs(one).max())
    assert np.array_equal(part(model, clips[0])[0], alone[0])


def test_it_is_the_librarys_own_answer(model):
    from speechbrain.inference.separation import SepformerSeparation

    assert isinstance(model._network, SepformerSeparation)
    clip = noise(1_600)
    with torch.inference_mode():
        expected = model._network.separate_batch(torch.from_numpy(clip[None]))[0].T.numpy()
    np.testing.assert_array_equal(part(model, clip)[0], expected)
    assert not np.allclose(expected[0], expected[1])


def test_another_number_of_sources_or_rate_is_refused(tmp_path):
    made = models.create(
        "speechbrain-sepformer", checkpoint=str(separator(tmp_path, "sepformer", 3))
    )
    assert made.separate([noise(500)], sample_rate=RATE, sources=3)[0].shape == (3, 500)
    with pytest.raises(FailedPrediction, match="expected 2 sources, this checkpoint parts into 3"):
        made.separate([noise(500)], sample_rate=RATE, sources=2)
    with pytest.raises(ValueError, match="signals at 8000 Hz, got 16000 Hz"):
        made.separate([noise(500)], sample_rate=16_000, sources=3)


@pytest.fixture(scope="module")
def metricgan(tmp_path_factory):
    folder = saved(tmp_path_factory.mktemp("models") / "metricgan", METRICGAN)
    return models.create("speechbrain-spectral-mask", checkpoint=str(folder), device="cpu")


def test_a_mask_keeps_lengths_and_does_not_depend_on_the_batch(metricgan):
    clips = [noise(size, seed) for seed, size in enumerate((4_000, 0, 4_000, 1, 2_500))]
    found = metricgan.enhance(clips, sample_rate=16_000)
    assert [answer.shape for answer in found] == [clip.shape for clip in clips]
    for both, clip in zip(found, clips, strict=True):
        [one] = metricgan.enhance([clip], sample_rate=16_000)
        np.testing.assert_allclose(both, one, atol=1e-4)
    assert np.abs(found[0]).max() == pytest.approx(1, abs=1e-3)  # the library's own scaling
    [silent] = metricgan.enhance([np.zeros(3_000, np.float32)], sample_rate=16_000)
    assert not silent.any()


def test_an_enhancer_gives_the_first_signal_of_a_separator(tmp_path):
    folder = str(separator(tmp_path, "sepformer", 1))
    enhancer = models.create("speechbrain-sepformer-enhancer", checkpoint=folder)
    parted = models.create("speechbrain-sepformer", checkpoint=folder)
    clips = [noise(900), noise(0), noise(1, 2), noise(900, 3), np.zeros(500, np.float32)]
    found = enhancer.enhance(clips, sample_rate=RATE)
    for clip, answer in zip(clips, found, strict=True):
        assert answer.shape == clip.shape
        [alone] = enhancer.enhance([clip], sample_rate=RATE)
        np.testing.assert_allclose(answer, alone, atol=1e-4)
        [expected] = parted.separate([clip], sample_rate=RATE, sources=1)
        np.testing.assert_array_equal(alone, expected[0])


def mixtures(folder: Path) -> Path:
    """Three noisy mixtures of two voices, as a manifest names their parts."""
    folder.mkdir()
    rows = []
    for number, seconds in enumerate((0.5, 0.5, 0.8)):
        voices = [noise(round(RATE * seconds), seed) for seed in (number, 50 + number)]
        names = [f"s{place}_{number}.wav" for place in (1, 2)]
        for name, voice in zip(names, voices, strict=True):
            soundfile.write(folder / name, voice, RATE, subtype="PCM_16")
        soundfile.write(folder / f"mix{number}.wav", sum(voices), RATE, subtype="PCM_16")
        row = {"key": f"pair{number}", "path": f"mix{number}.wav", "sources": names}
        rows.append(json.dumps({**row, "clean": names[0]}))
    (folder / "pairs.jsonl").write_text("\n".join(rows))
    return folder / "pairs.jsonl"


def test_from_a_corpus_to_a_score(realear, tmp_path, metricgan):
    out = ("--out", tmp_path / "out", "--workers", 1)
    prepared = realear("prepare", mixtures(tmp_path / "wavs"), "--name", "pairs", *out)
    assert prepared.code == 0, prepared.text

    def score(name: str, checkpoint: str | Path, metric: str):
        asked = ("--dataset", "pairs", "--model", name, "--metric", metric)
        return realear("score", *asked, "--set", f"checkpoint={checkpoint}", *out)

    for name, checkpoint in {
        "speechbrain-sepformer": separator(tmp_path, "sepformer"),
        "speechbrain-sepformer-enhancer": separator(tmp_path, "dprnn", 1),
        "speechbrain-spectral-mask": metricgan.checkpoint,
    }.items():
        ended = score(name, checkpoint, "si_snr")
        assert ended.code == 0, ended.text
        rows = [row for path in (tmp_path / "out/scores").glob(f"{name}-*/pairs/*/*.parquet")
                for row in pq.read_table(path).to_pylist()]  # fmt: skip
        assert [row["end"] for row in rows] == ["scored"] * 3
    ended = score("speechbrain-sepformer", separator(tmp_path, "sepformer", 3), "si_snr")
    assert (ended.code, "wrong_sources" in ended.text) == (3, True), ended.text
