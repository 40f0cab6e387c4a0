import json
import pickle
from importlib import import_module

import numpy as np
import pytest

from metrics import METRICS, FailedPrediction, SignalItem, TextItem, UndefinedMetric, spec

ITEMS = {
    "text": TextItem("a b", "a c"),
    "signal": SignalItem(*np.random.default_rng(0).normal(size=(2, 1, 16_000)), np.ones(1), 8000),
}


def test_the_metrics_of_the_plan_are_there():
    assert {*METRICS} >= {"wer", "cer", "si_snr", "si_snri", "si_sdr", "pesq", "stoi", "estoi"}


@pytest.mark.parametrize("name", METRICS)
def test_every_entry_is_whole(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.title
    assert metric.summary
    assert metric.unit in {"dB", "%", "MOS", ""}
    assert (metric.scale == 100) == (metric.unit == "%")
    module, _, function = metric.function.partition(":")
    assert callable(getattr(import_module(module), function))
    json.dumps(spec(name).record())


def test_record_and_hash_name_what_the_number_depends_on():
    record = spec("pesq", sample_rate=16_000).record()
    assert record["parameters"] == {"sample_rate": 16_000, "mode": None}
    assert {*record["libraries"]} == {"pesq", "soxr"}
    hashes = [
        spec("wer").hash,
        spec("cer").hash,
        spec("wer", normaliser="basic").hash,
        spec("pesq").hash,
        spec("pesq", sample_rate=8000).hash,
        spec("pesq", sample_rate=16_000, mode="nb").hash,
    ]
    assert len({*hashes}) == len(hashes)
    assert all(len(text) == 12 and int(text, 16) >= 0 for text in hashes)


def test_a_normaliser_is_recorded_with_its_version():
    assert spec("wer", normaliser="basic").record()["parameters"] == {"normaliser": "basic-1"}
    assert spec("wer", normaliser="basic").hash == spec("wer", normaliser="basic-1").hash


def test_hash_changes_with_a_library(monkeypatch):
    before = spec("stoi").hash
    monkeypatch.setattr("metrics.registry.installed_version", lambda name: "99")
    assert spec("stoi").hash != before


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("si_sn", {}, "unknown metric 'si_sn'; did you mean 'si_snr'"),
        ("zzz", {}, "unknown metric 'zzz'; known: cer, estoi"),
        ("wer", {"normalizer": "x"}, "unknown parameter of wer 'normalizer'; did you mean 'norm"),
        ("wer", {"normaliser": "x"}, "normaliser: expected one of"),
        ("stoi", {"mode": "nb"}, "unknown parameter of stoi 'mode'"),
        ("stoi", {"sample_rate": 0}, "sample_rate: expected Hz as a positive int"),
        ("stoi", {"sample_rate": 8000.0}, "found 8000.0"),
        ("pesq", {"mode": "swb"}, "expected mode 'nb', 'wb' or None"),
        ("pesq", {"mode": "wb", "sample_rate": 8000}, "'wb' needs 16000 Hz"),
        ("pesq", {"sample_rate": 4000}, "expected 8000 Hz or more, found 4000"),
    ],
)
def test_specs_are_checked_when_they_are_made(name, parameters, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        spec(name, **parameters)


def test_items_must_be_of_the_metrics_kind_and_rate():
    with pytest.raises(TypeError, match="wer: expected a TextItem, found SignalItem"):
        spec("wer").score(ITEMS["signal"])
    with pytest.raises(ValueError, match="expected signals at 16000 Hz, found 8000 Hz"):
        spec("si_snr", sample_rate=16_000).score(ITEMS["signal"])
    assert spec("si_snr", sample_rate=8000).score(ITEMS["signal"]).value is not None


def test_specs_and_ends_survive_pickling():
    made = spec("pesq", sample_rate=8000)
    assert pickle.loads(pickle.dumps(made)) == made
    for kind in (UndefinedMetric, FailedPrediction):
        again = pickle.loads(pickle.dumps(kind("too_short", "0.1 s")))
        assert (again.reason, again.detail, str(again)) == (
            "too_short",
            "0.1 s",
            "too_short: 0.1 s",
        )
        assert str(kind("silent")) == "silent"
