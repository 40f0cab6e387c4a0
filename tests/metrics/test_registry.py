import json
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from metrics import (
    METRICS,
    BlindItem,
    ClassItem,
    EstimateItem,
    ExplanationItem,
    FailedPrediction,
    LogitsItem,
    Parts,
    RankItem,
    SignalItem,
    TextItem,
    UndefinedMetric,
    spec,
)
from metrics.__main__ import page
from metrics.registry import FAMILIES

ROOT = Path(__file__).parents[2]
ITEMS = {
    "text": TextItem("a b", "a c"),
    "signal": SignalItem(*np.random.default_rng(0).normal(size=(2, 1, 16_000)), np.ones(1), 8000),
    "class": ClassItem(0, np.linspace(1, 0, 8)),
    "logits": LogitsItem(*np.eye(3)),
    "explanation": ExplanationItem(*np.eye(3), np.eye(4), Parts(*np.eye(8)[:5] + np.eye(8)[3:])),
    "estimate": EstimateItem(*np.random.default_rng(0).normal(size=(2, 16_000)), 16_000, {}),
    "blind": BlindItem({"si_snr": (3.0, 5.0)}),
    "ranks": RankItem(1, 2, 30, 30),
}
PLAN = (
    *("wer", "cer", "si_snr", "si_snri", "si_sdr", "si_sdri", "snr", "snri", "sdr", "sir", "sar"),
    *("pesq", "stoi", "estoi", "top_1", "top_5", "faithfulness", "faithfulness_logit"),
    *("input_fidelity", "average_increase", "average_drop", "average_gain"),
)
HEAVY = ("torch", "scipy", "pyarrow", "sklearn", "pesq", "pystoi", "meeteval", "soxr")


def test_the_metrics_of_the_plan_are_there():
    assert {*METRICS} >= {*PLAN}


def test_the_metrics_are_the_families_sheets():
    sheets = [sheet for name in FAMILIES for sheet in import_module(f"metrics.{name}").SHEETS]
    assert len({sheet.name for sheet in sheets}) == len(sheets)
    assert [*METRICS.values()] == sheets


def test_the_page_is_the_sheets():
    """If this fails: `python -m metrics > docs/metrics.md`."""
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == page()
    for name, metric in METRICS.items():
        assert f"## {name}\n" in page()
        assert metric.failure_policy in page()
    printed = subprocess.run(
        [sys.executable, "-m", "metrics"], cwd=ROOT, capture_output=True, check=True
    )
    assert printed.stdout.decode() == page()


def test_importing_metrics_loads_no_heavy_library():
    """Whoever wants one number waits for that one alone."""
    code = f"import sys, metrics; print([name for name in {HEAVY} if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert printed.stdout.strip() == "[]"


@pytest.mark.parametrize("name", METRICS)
def test_every_entry_is_whole(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.title
    assert metric.summary
    assert metric.needs
    assert metric.failure_policy
    assert metric.source
    assert metric.unit in {"dB", "%", "MOS", "logit", "nat", ""}
    assert metric.scale == 1 or (metric.scale, metric.unit) == (100, "%")
    module, _, function = metric.function.partition(":")
    assert callable(getattr(import_module(module), function))
    json.dumps(spec(name).record())


def test_record_and_hash_name_what_the_number_depends_on():
    record = spec("pesq", sample_rate=16_000).record()
    assert record["parameters"].items() >= {"sample_rate": 16_000, "mode": None}.items()
    assert {*record["libraries"]} == {"pesq", "soxr"}
    metric = METRICS["pesq"]
    assert (record["name"], record["version"], record["unit"]) == ("pesq", metric.version, "MOS")
    assert (record["higher_is_better"], record["pooled"]) == (True, False)
    assert record["needs"] == [*metric.needs]
    assert record["failure_policy"] == metric.failure_policy
    assert json.loads(json.dumps(record)) == record
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
    before = spec("estoi").hash
    monkeypatch.setattr("metrics.registry.installed_version", lambda name: "99")
    assert spec("estoi").hash != before


@pytest.mark.parametrize(
    "change",
    [{"version": "0"}, {"unit": "x"}, {"higher_is_better": False}, {"pooled": True},
     {"needs": ("a moon",)}, {"failure_policy": "none"}],
)  # fmt: skip
def test_hash_changes_with_the_definition(change):
    made = spec("stoi")
    assert replace(made, metric=replace(made.metric, **change)).hash != made.hash
    words = replace(made.metric, title="S", summary="s", source="s")
    assert replace(made, metric=words).hash == made.hash


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("si_sn", {}, "unknown metric 'si_sn'; did you mean 'si_snr'"),
        ("zzzz", {}, "unknown metric 'zzzz'; known: a2t_map10, "),
        ("wer", {"normalizer": "x"}, "unknown parameter of wer 'normalizer'; did you mean 'norm"),
        ("wer", {"normaliser": "x"}, "normaliser: expected one of"),
        ("stoi", {"mode": "nb"}, "unknown parameter of stoi 'mode'"),
        ("stoi", {"sample_rate": 0}, "sample_rate: expected Hz as a positive int"),
        ("stoi", {"sample_rate": 8000.0}, "found 8000.0"),
        ("sdr", {"taps": 0}, "taps: expected a positive int, found 0"),
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
    with pytest.raises(TypeError, match="top_1: expected a ClassItem, found LogitsItem"):
        spec("top_1").score(ITEMS["logits"])
    with pytest.raises(TypeError, match="faithfulness: expected a LogitsItem, found ClassItem"):
        spec("faithfulness").score(ITEMS["class"])


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


def test_a_normalisers_library_is_part_of_the_spec() -> None:
    english = spec("wer", normaliser="english")
    assert set(english.record()["libraries"]) == {"rapidfuzz", "whisper-normalizer"}
    assert "whisper-normalizer" not in spec("wer", normaliser="basic").record()["libraries"]


def test_a_missing_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("metrics.registry.installed_version", missing)
    with pytest.raises(ValueError, match=r"expected the library .* pip install"):
        spec("wer", normaliser="english").record()
