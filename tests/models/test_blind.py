"""Judges: the published network as it was published, and none of the faults of its recipe."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import models
from metrics import pit_si_snr
from models import blind_networks as networks
from models.blind import BlindEstimator, PublishedEstimator, others_of

RATE = 8_000
FLAT = {"raw_db": [0.0, 10.0], "corrected_db": [0.0, 10.0], "quantile": 2.0}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def folder(path, network: torch.nn.Module, config: dict, calibration=FLAT):
    """A judge's folder as `realear train` leaves it."""
    path.mkdir()
    save_file(network.state_dict(), path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config))
    card = {} if calibration is None else {"calibration": calibration}
    (path / "card.json").write_text(json.dumps(card))
    return str(path)


def spectral(path, rate: int = RATE, **options) -> BlindEstimator:
    torch.manual_seed(0)
    sizes = {"width": 4, "context": 8}
    network = networks.Spectral(rate, **sizes)
    config = {"architecture": "Spectral", "sample_rate": rate, "network": sizes}
    return models.create(
        "trained-quality", checkpoint=folder(path, network, config, **options), device="cpu"
    )


def published(path) -> PublishedEstimator:
    torch.manual_seed(0)
    config = {"architecture": "Published", "sample_rate": RATE, "network": {}}
    checkpoint = folder(path, networks.Published(), config)
    return models.create("real-m-network", checkpoint=checkpoint, device="cpu")


@pytest.fixture(scope="module", params=[spectral, published], ids=["spectral", "published"])
def judge(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("judge") / "model")


def clips() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Clips of unlike lengths, of one, two and three sources."""
    sizes = ((9_000, 2), (4_001, 3), (1_200, 1), (9_000, 2))
    mixtures = [noise(size, seed=n) for n, (size, _) in enumerate(sizes)]
    return mixtures, [noise(count, size, seed=9 + n) for n, (size, count) in enumerate(sizes)]


def test_the_published_network_has_as_many_parameters_as_was_published():
    network = networks.Published()
    assert sum(weights.numel() for weights in network.parameters()) == 329_857
    assert [layer.stride[0] for layer in network.convolutions] == [1, 2, 2, 2, 2]
    grown = 1 + sum((network.KERNEL - 1) * apart for apart in (1, 1, 2, 4, 8))
    assert grown / RATE == pytest.approx(6.1e-3, abs=0.1e-3)  # seconds that a frame hears of


def test_the_published_network_is_the_plain_formula(tmp_path):
    judge = published(tmp_path / "model")
    judge.load()
    mixture, estimate = torch.from_numpy(noise(2, 3_000).astype(np.float64))
    network = networks.Published().double()
    network.load_state_dict(judge.network.state_dict())
    found = torch.stack([(x - x.mean()) / x.std() for x in (estimate, mixture)])[None]
    for number, layer in enumerate(network.convolutions):
        found = layer(torch.relu(found) if number else found)
    pooled = torch.cat([found.mean(2), found.std(2)], dim=1)
    expected = 10 * torch.sigmoid(network.out(torch.relu(network.hidden(pooled))))
    [told] = judge.judge(
        [mixture.float().numpy()], [estimate.float().numpy()[None]], sample_rate=RATE
    )
    assert told["si_snr"] == [pytest.approx(float(expected.detach()), abs=1e-4)]
    assert told["lower"] == [pytest.approx(told["si_snr"][0] - 2)]


def test_ours_is_small(tmp_path):
    from models.training.quality import SMALL

    for rate in (8_000, 16_000):
        network = networks.Spectral(rate, **SMALL)
        assert sum(weights.numel() for weights in network.parameters()) < 300_000
    with pytest.raises(ValueError, match="expected 8000 or 16000 Hz, got 11025"):
        networks.Spectral(11_025)


def test_a_clips_answer_depends_on_no_neighbour_order_or_padding(judge):
    mixtures, estimates = clips()
    together = judge.judge(mixtures, estimates, sample_rate=RATE)
    backwards = judge.judge(mixtures[::-1], estimates[::-1], sample_rate=RATE)[::-1]
    for number, (one, other) in enumerate(zip(together, backwards, strict=True)):
        [alone] = judge.judge([mixtures[number]], [estimates[number]], sample_rate=RATE)
        for name, values in one.items():
            assert len(values) == len(estimates[number])
            np.testing.assert_allclose(values, other[name], atol=1e-4)
            np.testing.assert_allclose(values, alone[name], atol=1e-4)


def test_an_estimate_is_judged_beside_the_others_whatever_their_order(tmp_path):
    judge = spectral(tmp_path / "model")
    mixture, estimates = noise(6_000), noise(3, 6_000, seed=1)
    [found] = judge.judge([mixture], [estimates], sample_rate=RATE)
    [turned] = judge.judge([mixture], [estimates[[0, 2, 1]]], sample_rate=RATE)
    assert found["si_snr"][0] == pytest.approx(turned["si_snr"][0], abs=1e-4)
    [louder] = judge.judge([mixture], [estimates * [[1], [-5], [0.2]]], sample_rate=RATE)
    np.testing.assert_allclose(found["si_snr"], louder["si_snr"], atol=1e-3)
    [alone] = judge.judge([mixture], [estimates[:1]], sample_rate=RATE)
    assert found["si_snr"][0] != pytest.approx(alone["si_snr"][0], abs=1e-4)


def test_the_others_are_each_as_loud_as_explains_the_mixture_best():
    one, two = noise(2, 4_000).astype(np.float64)
    mixture = one + two
    best = [np.linalg.lstsq(each[:, None], mixture, rcond=None)[0][0] for each in (one, two)]
    found = others_of(mixture, np.stack([3 * one, -0.1 * two]))
    np.testing.assert_allclose(found, best[0] * one + best[1] * two)
    for nothing in (np.zeros((0, 4_000)), np.zeros((2, 4_000))):
        np.testing.assert_array_equal(others_of(mixture, nothing), np.zeros(4_000))


def test_sources_are_judged_in_any_order_and_against_their_own_mixture(judge):
    mixtures, estimates = clips()
    [both] = judge.judge(mixtures[:1], estimates[:1], sample_rate=RATE)
    [swapped] = judge.judge(mixtures[:1], [estimates[0][::-1]], sample_rate=RATE)
    np.testing.assert_allclose(both["si_snr"], swapped["si_snr"][::-1], atol=1e-4)
    crossed = judge.judge(mixtures[::-3], [estimates[0], estimates[3]], sample_rate=RATE)
    straight = judge.judge(mixtures[::3], [estimates[0], estimates[3]], sample_rate=RATE)
    assert crossed[0]["si_snr"] != pytest.approx(straight[0]["si_snr"], abs=1e-6)


def test_the_same_again_whatever_chance_says(judge):
    mixtures, estimates = clips()
    first = judge.judge(mixtures, estimates, sample_rate=RATE)
    torch.manual_seed(99)
    assert judge.judge(mixtures, estimates, sample_rate=RATE) == first


def test_level_does_not_matter(judge):
    mixtures, estimates = clips()
    first = judge.judge(mixtures, estimates, sample_rate=RATE)
    louder = judge.judge(
        [3 * one for one in mixtures], [0.05 * one for one in estimates], sample_rate=RATE
    )
    for one, other in zip(first, louder, strict=True):
        np.testing.assert_allclose(one["si_snr"], other["si_snr"], atol=1e-2)


def test_what_cannot_be_judged_is_nan_and_costs_its_neighbours_nothing(judge):
    mixtures, estimates = clips()
    estimates[0][1] = 0
    estimates[1][2] = 0.25  # constant
    mixtures[3] = 0 * mixtures[3]
    found = judge.judge(
        [*mixtures, noise(64), np.zeros(0, np.float32)],
        [*estimates, noise(2, 64), np.zeros((2, 0), np.float32)],
        sample_rate=RATE,
    )
    expected = [[0, 1], [0, 0, 1], [0], [1, 1], [1, 1], [1, 1]]
    for values, missing in zip(found, expected, strict=True):
        for each in values.values():
            assert np.isnan(each).tolist() == [bool(one) for one in missing]
    [nothing] = judge.judge([noise(64)], [noise(2, 64)], sample_rate=RATE)
    assert np.isnan(nothing["si_snr"]).all()
    assert judge.judge([], [], sample_rate=RATE) == []
    [none] = judge.judge([noise(4_000)], [np.zeros((0, 4_000), np.float32)], sample_rate=RATE)
    assert none["si_snr"] == []


def test_wrong_shapes_and_rates_are_refused(judge):
    with pytest.raises(ValueError, match=r"of one length, got \(2000,\) and \(2, 1999\)"):
        judge.judge([noise(2_000)], [noise(2, 1_999)], sample_rate=RATE)
    with pytest.raises(ValueError, match="signals at 8000 Hz, got 16000 Hz"):
        judge.judge([noise(2_000)], [noise(2, 2_000)], sample_rate=16_000)


def test_an_uncalibrated_folder_is_told(tmp_path):
    judge = spectral(tmp_path / "raw", calibration=None)
    assert judge.calibration is None
    with pytest.raises(ValueError, match=r"expected a calibration in card\.json, found none"):
        judge.judge([noise(2_000)], [noise(2, 2_000)], sample_rate=RATE)


def test_the_calibration_is_known_before_the_weights_are_loaded(tmp_path):
    judge = spectral(tmp_path / "model")
    assert judge.calibration == FLAT
    assert judge.size is None


def test_a_network_adds_up_the_shares_of_its_cells():
    """By hand: of two cells, energies 3 and 1, shares of error ¼ and ½."""
    shares = torch.logit(torch.tensor([[[0.25, 0.5]]]))
    found = networks._summed(shares, torch.tensor([[[3.0, 1.0]]]))
    assert float(found) == pytest.approx(10 * np.log10((3 * 0.75 + 0.5) / (3 * 0.25 + 0.5)))


def test_cells_keep_all_energy():
    power = torch.rand(2, 7, 128)
    assert networks.cells(power).shape == (2, 16, 4)
    torch.testing.assert_close(networks.cells(power).sum((1, 2)), power.sum((1, 2)))


def test_the_target_is_that_of_the_best_order_not_of_the_first_best_pair():
    """Greedy would give source 1 its best estimate, and source 2 what is left."""
    random = np.random.default_rng(0)
    first, second, other = random.standard_normal((3, 4_000))
    references = np.stack([first, second])
    estimates = np.stack([first + second, first + 0.7 * other])
    mean, order = pit_si_snr(references, estimates)
    greedy, left = ((0, 1), (1, 0))
    from metrics import si_snr

    def total(choice: tuple[int, int]) -> float:
        return float(np.mean(si_snr(references, estimates[list(choice)])))

    assert tuple(order) == max((greedy, left), key=total)
    assert mean == pytest.approx(max(total(greedy), total(left)))


def test_an_estimate_by_itself_is_judged_by_the_calibration_without_the_others(tmp_path):
    alone = {"raw_db": [0.0, 10.0], "corrected_db": [1.0, 11.0], "quantile": 5.0}
    judge = spectral(tmp_path / "model", calibration={**FLAT, "alone": alone})
    mixture, estimates = noise(6_000), noise(2, 6_000, seed=1)
    plain = spectral(tmp_path / "plain")
    for heard, more in ((estimates, 0.0), (estimates[:1], 1.0)):
        [found] = judge.judge([mixture], [heard], sample_rate=RATE)
        [raw] = plain.judge([mixture], [heard], sample_rate=RATE)
        np.testing.assert_allclose(found["si_snr"], np.add(raw["si_snr"], more), atol=1e-5)
