"""The experiments behind docs/blind.md: their test sets are what their tables say."""

from pathlib import Path

import numpy as np
import pytest

from models import calibration

EXAMPLES = Path(__file__).parents[2] / "examples/training"


@pytest.fixture
def experiments(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import blind_experiments

    return blind_experiments


@pytest.fixture
def data(experiments):
    random = np.random.default_rng(0)
    sounds = (3_000 * random.standard_normal((60, 4, 20_000))).astype(np.int16)
    names = np.array(["a", "b", "c"] * 20)
    lengths = np.full(60, 16_000)
    truth = np.concatenate([np.linspace(-4, 19, 40), np.full(10, 3.0), np.full(10, 30.0)])
    return experiments.Data(sounds, lengths, truth, names, names, names)


def test_stratified_is_as_many_in_each_five_decibels_and_none_beyond(data):
    chosen = data.truth[data.stratified()]
    bins = [calibration.bin_of(value) for value in chosen]
    counts = {name: bins.count(name) for name in set(bins)}
    assert len(counts) == 5
    assert len(set(counts.values())) == 1
    assert chosen.max() < 20


def test_left_out_is_left_out(data):
    assert set(data.without(["a"]).separators) == {"b", "c"}
    some = data.of(["b"])
    np.testing.assert_array_equal(some.sounds[3], data.sounds[10])
    assert len(some.sounds) == len(some) == 20


def test_an_estimate_by_itself_has_no_others(experiments, data):
    alone = experiments.by_itself(data)
    assert not alone.sounds[:, 3].any()
    np.testing.assert_array_equal(alone.sounds[:, :3], data.sounds[:, :3])


def test_a_frequency_split_parts_the_spectrum_and_knows_its_truth(experiments, data):
    cut = experiments.split_by_frequency(data)
    mixture, estimate, reference, others = cut.sounds[0, :, :16_000].astype(float)
    np.testing.assert_allclose(estimate + others, mixture, atol=2)
    assert abs(np.corrcoef(estimate, mixture - estimate)[0, 1]) < 0.1
    from metrics import si_snr

    assert cut.truth[0] == pytest.approx(float(si_snr(reference, estimate)))
    np.testing.assert_array_equal(data.sounds[0, 0], cut.sounds[0, 0])


def test_columns_of_a_table_are_those_of_its_head(experiments, data):
    found = dict.fromkeys(("si_snr", "lower", "upper"), data.truth + 0.1)
    assert len(experiments.row("x", found, data)) == len(experiments.HEAD)
