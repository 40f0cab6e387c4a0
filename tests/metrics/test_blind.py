"""Blind values: the mean of an estimator's guesses, and what is kept of them."""

import pytest

from metrics import METRICS, BlindItem, FailedPrediction, UndefinedMetric, spec

BLIND = [name for name, metric in METRICS.items() if metric.item == "blind"]


@pytest.mark.parametrize("name", BLIND)
def test_what_a_blind_metric_guesses_is_a_metric_that_reads_like_it(name):
    blind, truth = METRICS[name], METRICS[METRICS[name].truth]
    assert name == f"blind_{truth.name}"
    assert (blind.unit, blind.higher_is_better, blind.scale) == (
        truth.unit, truth.higher_is_better, truth.scale,
    )  # fmt: skip
    assert (blind.pooled, truth.item) == (False, "signal")


def test_a_clip_is_the_mean_and_keeps_its_parts():
    guesses = {"si_snr": (3.0, 6.0), "lower": (1.0, 2.0), "upper": (4.0, 9.0), "outside": (0, 1)}
    found = spec("blind_si_snr").score(BlindItem(guesses))
    assert (found.value, found.capped) == (4.5, False)
    assert found.detail == {
        "sources": [3.0, 6.0], "lower": [1.0, 2.0], "upper": [4.0, 9.0], "outside": [0, 1]
    }  # fmt: skip
    assert spec("blind_si_snr").score(BlindItem({"si_snr": (7.5,)})).detail == {}


def test_what_was_not_guessed_is_told():
    with pytest.raises(FailedPrediction, match="not_estimated: expected a guess of stoi, found si"):
        spec("blind_stoi").score(BlindItem({"si_snr": (3.0,), "lower": (1.0,)}))
    with pytest.raises(UndefinedMetric, match="too_short"):
        spec("blind_stoi").score(BlindItem({"stoi": (0.9,)}, "too_short"))


def test_the_estimator_and_its_fingerprint_are_part_of_the_spec():
    hashes = {
        spec("blind_si_snr", **given).hash
        for given in (
            {}, {"estimator": "other"}, {"fingerprint": "0123abcd"}, {"parameters": {"gain": 1.0}},
        )
    }  # fmt: skip
    assert len(hashes) == 4
    assert spec("blind_si_snr").parameters["estimator"] == "blind-si-snr"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"estimator": ""}, "estimator: expected the name of a model"),
        ({"estimator": 3}, "estimator: expected a text"),
        ({"fingerprint": None}, "fingerprint: expected a text"),
        ({"parameters": [1]}, "parameters: expected the estimator's, name by name"),
        ({"estimater": "x"}, "did you mean 'estimator'"),
    ],
)
def test_wrong_parameters_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        spec("blind_si_snr", **given)
