"""REAL-M's estimator, its published architecture a few channels wide."""

import numpy as np
import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

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
    return RealMEstimator(checkpoint=str(folder), device="cpu")


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
