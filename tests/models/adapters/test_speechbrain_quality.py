"""REAL-M's estimator, its published architecture a few channels wide."""

import json
import tarfile

import numpy as np
import pytest
import soundfile
import torch
from hyperpyyaml import load_hyperpyyaml

import models
from models.adapters.speechbrain_quality import RealMEstimator

RATE = 8_000  # Hz

CONVOLUTION = """
  conv{n}: !new:speechbrain.nnet.CNN.Conv1d
    {{in_channels: {inputs}, out_channels: 4, kernel_size: 4, stride: {stride},
     skip_transpose: true, padding: valid}}
  relu{n}: !new:torch.nn.ReLU
"""
ESTIMATOR = """
snrmin: 0
snrmax: 10
separation_norm_type: stnorm
encoder: !new:speechbrain.nnet.containers.Sequential
  input_shape: [null, 2, null]
CONVOLUTIONS
stat_pooling: !new:speechbrain.nnet.pooling.StatisticsPooling
encoder_out: !new:speechbrain.nnet.containers.Sequential
  input_shape: [null, 8]
  layer1: !new:speechbrain.nnet.linear.Linear {input_size: 8, n_neurons: 8}
  relu: !new:torch.nn.ReLU
  layer2: !new:speechbrain.nnet.linear.Linear {input_size: 8, n_neurons: 1}
  sigm: !new:torch.nn.Sigmoid
modules: {encoder: !ref <encoder>, encoder_out: !ref <encoder_out>}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {encoder: !ref <encoder>, encoder_out: !ref <encoder_out>}
""".replace(
    "CONVOLUTIONS",
    "".join(CONVOLUTION.format(n=n, inputs=4 if n else 2, stride=2 if n else 1) for n in range(5)),
)


@pytest.fixture(scope="module")
def estimator(tmp_path_factory) -> RealMEstimator:
    folder = tmp_path_factory.mktemp("estimator")
    (folder / "hyperparams.yaml").write_text(ESTIMATOR)
    torch.manual_seed(3)
    for name, part in load_hyperpyyaml(ESTIMATOR)["pretrainer"].loadables.items():
        torch.save(part.state_dict(), folder / f"{name}.ckpt")
    return RealMEstimator(checkpoint=str(folder), separator="mixture", device="cpu")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_it_is_the_published_inference_without_its_noise(estimator):
    mixture, estimates = noise(2_000), noise(2, 2_000, seed=1)
    found = estimator.estimate_si_snr(mixture, estimates, RATE)
    assert (found.shape, found.dtype) == ((2,), np.float32)
    with torch.inference_mode():  # one mixture and two sources: the only case it has right
        expected = estimator._network.estimate_batch(
            torch.from_numpy(mixture[None]), torch.from_numpy(estimates.T[None].copy())
        )
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert ((found >= 0) & (found <= 10)).all()


def test_an_estimates_answer_depends_on_no_other_on_no_level_and_on_no_chance(estimator):
    mixture, estimates = noise(2_000), noise(3, 2_000, seed=1)
    found = estimator.estimate_si_snr(mixture, estimates, RATE)
    assert len(set(found.tolist())) == 3
    torch.manual_seed(99)
    backwards = estimator.estimate_si_snr(mixture, estimates[::-1], RATE)
    np.testing.assert_array_equal(backwards[::-1], found)
    louder = estimator.estimate_si_snr(mixture, 5 * estimates + 1, RATE)
    np.testing.assert_allclose(louder, found, atol=1e-3)


def test_what_cannot_be_said_is_nan(estimator):
    mixture = noise(2_000)
    estimates = np.stack([noise(2_000, seed=1), np.zeros(2_000, np.float32)])
    found = estimator.estimate_si_snr(mixture, estimates, RATE)
    assert np.isnan(found).tolist() == [False, True]
    assert np.isnan(estimator.estimate_si_snr(0 * mixture, estimates, RATE)).all()
    assert np.isnan(estimator.estimate_si_snr(mixture[:64], estimates[:, :64], RATE)).all()
    shortest = estimator.estimate_si_snr(mixture[:65], estimates[:, :65], RATE)
    assert np.isfinite(shortest[0])
    assert estimator.estimate_si_snr(mixture, np.zeros((0, 2_000)), RATE).shape == (0,)


def test_wrong_shapes_and_rates_are_refused(estimator):
    with pytest.raises(ValueError, match=r"of one length, got \(2000,\) and \(2, 1999\)"):
        estimator.estimate_si_snr(noise(2_000), noise(2, 1_999), RATE)
    with pytest.raises(ValueError, match="signals at 8000 Hz, got 16000 Hz"):
        estimator.estimate_si_snr(noise(2_000), noise(2, 2_000), 16_000)


def test_a_mixtures_value_is_the_mean_over_what_its_separator_gave(estimator):
    model = RealMEstimator(
        checkpoint=estimator.checkpoint, separator="nmf", sources=3, device="cpu"
    )
    clips = [noise(2_000), noise(1_500, seed=2), noise(2_000, seed=3)]
    found = model.estimate(clips, sample_rate=RATE)
    for clip, values in zip(clips, found, strict=True):
        assert values == model.estimate([clip], sample_rate=RATE)[0]
        [parted] = models.create("nmf").separate([clip], sample_rate=RATE, sources=3)
        expected = estimator.estimate_si_snr(clip, parted, RATE).mean()
        assert values == {"si_snr": pytest.approx(expected)}
    for nothing in (np.zeros(0, np.float32), np.zeros(900, np.float32)):
        [values] = model.estimate([nothing], sample_rate=RATE)
        assert np.isnan(values["si_snr"])


def test_the_separator_is_a_part_of_the_fingerprint_and_checked_at_once(estimator):
    def made(name: str, **parameters) -> RealMEstimator:
        return RealMEstimator(
            checkpoint=estimator.checkpoint, separator=name, device="cpu", **parameters
        )

    settings = {"separator_parameters": {"components_per_source": 7}}
    weights = {made("nmf").weights, made("mixture").weights, made("nmf", **settings).weights}
    assert len(weights) == 3
    for wrong in ("noisy", "oracle-irm", "auxiva"):
        with pytest.raises(ValueError, match=f"expected a separator of one .*, got '{wrong}'"):
            made(wrong)
    with pytest.raises(ValueError, match="unknown model: 'mixtures'; did you mean mixture"):
        made("mixtures")


def test_without_a_separator_it_judges_what_others_made(estimator):
    judge = RealMEstimator(checkpoint=estimator.checkpoint, separator="", device="cpu")
    assert judge.judges
    assert judge.calibration is None
    assert judge.weights != estimator.weights
    judge.warm_up()
    clips = [(noise(2_000), noise(3, 2_000, seed=1)), (noise(900, seed=2), noise(1, 900, seed=3))]
    found = judge.judge(*zip(*clips, strict=True), sample_rate=RATE)
    for (mixture, estimates), values in zip(clips, found, strict=True):
        expected = estimator.estimate_si_snr(mixture, estimates, RATE)
        assert values == {"si_snr": expected.tolist()}
    [silent] = judge.judge([noise(900)], [np.zeros((2, 900), np.float32)], sample_rate=RATE)
    assert np.isnan(silent["si_snr"]).all()
    assert len(silent["si_snr"]) == 2
    with pytest.raises(TypeError, match=r"expected a model with estimate\(\)"):
        judge.estimate([noise(900)], sample_rate=RATE)


def test_from_mixtures_to_predictions(realear, tmp_path, estimator):
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * noise(4_000, seed=number), RATE)
    out = ("--out", tmp_path / "out", "--workers", 1)
    assert realear("prepare", tmp_path, "--name", "mixtures", *out).code == 0
    options = {"checkpoint": estimator.checkpoint, "separator": "nmf"}
    settings = [word for pair in options.items() for word in ("--set", "=".join(pair))]
    ended = realear("predict", "real-m-sisnr-estimator", "mixtures", *settings, *out)
    assert ended.code == 0, ended.text
    [shard] = (tmp_path / "out/predictions").glob("*/mixtures/*.tar")
    with tarfile.open(shard) as tar:
        values = [json.load(tar.extractfile(name)) for name in tar.getnames()]
    assert len(values) == 3
    assert all(0 <= value["si_snr"] <= 10 for value in values)


def test_a_separator_is_scored_by_it_where_nobody_has_the_sources(realear, tmp_path, estimator):
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * noise(4_000, seed=number), RATE)
    out = ("--out", tmp_path / "out", "--workers", 1)
    assert realear("prepare", tmp_path, "--name", "mixtures", *out).code == 0
    given = json.dumps({"checkpoint": estimator.checkpoint, "device": "cpu"})
    metric = f"blind_si_snr:estimator=real-m-sisnr-judge:parameters={given}"
    ended = realear("score", "--dataset", "mixtures", "--model", "nmf", "--metric", metric, *out)
    assert ended.code == 0, ended.text
    [shard] = (tmp_path / "out/predictions").glob("nmf-*+real-m-sisnr-judge-*/mixtures/*.tar")
    [answers] = (tmp_path / "out/predictions").glob("nmf-????????/mixtures/*.tar")
    with tarfile.open(shard) as told, tarfile.open(answers) as parted:
        for name in told.getnames():
            key = name.partition(".")[0]
            estimates = [
                soundfile.read(parted.extractfile(f"{key}.s{n}.wav"))[0].astype(np.float32)
                for n in (1, 2)
            ]
            heard = (0.1 * noise(4_000, seed=int(key))).astype(np.float64)
            heard = np.round(heard * 32_768) / 32_768  # as 16 bits keep it
            found = json.load(told.extractfile(name))["si_snr"]
            expected = estimator.estimate_si_snr(heard, np.stack(estimates), RATE)
            np.testing.assert_allclose(found, expected, atol=1e-3)
