"""Names, parameters and fingerprints."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

import pytest

import models.registry as registry
from models import MODELS, Model, create, fingerprint, record


@dataclass(kw_only=True)
class Louder(Model):
    """A third party's enhancer with a parameter that has no default."""

    task = "enhancement"
    version = "1"

    gain: float
    steps: int = 1

    def enhance(self, signals, *, sample_rate):
        return [signal * self.gain for signal in signals]


class NotADataclass(Model):
    """Lacks @dataclass."""


THIRD_PARTY = f"{__name__}:Louder"


@pytest.fixture
def here(monkeypatch):
    """This module under its own name, for "module:Class" (importlib mode does not put it there)."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())


def _this_module():
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


@pytest.fixture
def entry_points(monkeypatch):
    """Pretend that packages offering these entry points are installed."""

    def offer(**values):
        points = [metadata.EntryPoint(k, v, registry.ENTRY_POINTS) for k, v in values.items()]
        monkeypatch.setattr(metadata, "entry_points", lambda *, group: points)

    return offer


def test_every_name_makes_a_model():
    for name, entry in MODELS.items():
        given = {"checkpoint": "folder"} if entry.needs == "a checkpoint" else {}
        made = create(name, **given)
        assert isinstance(made, Model)
        assert entry.summary
        assert entry.licence
        assert entry.source
        assert made.parameters.items() >= dict(entry.parameters).items()


def test_a_parameter_goes_before_the_entry_and_the_entry_before_the_class():
    assert create("pocketsphinx-narrow").max_hmms_per_frame == 300
    assert create("pocketsphinx-narrow", max_hmms_per_frame=500).max_hmms_per_frame == 500
    assert create("pocketsphinx").max_hmms_per_frame == 30000


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(ValueError, match="unknown model: 'weiner'; did you mean wiener"):
        create("weiner")
    with pytest.raises(
        ValueError, match=r"unknown model: 'qqqq'; none comes near. Known: pocketsphinx, "
    ):
        create("qqqq")


def test_unknown_parameters_come_with_the_nearest():
    with pytest.raises(
        ValueError, match="parameter of model 'wiener': 'smooting'; did you mean smoothing"
    ):
        create("wiener", smooting=0.5)
    with pytest.raises(
        ValueError, match=r"'gain'; none comes near. Known: none, it takes no parameters"
    ):
        create("noisy", gain=2)
    with pytest.raises(ValueError, match="'_decoder'"):
        create("pocketsphinx", _decoder=None)


@pytest.mark.parametrize(
    ("name", "parameter", "value", "text"),
    [
        (
            "pocketsphinx",
            "beam",
            2.0,
            "beam to be a number from 1e-300 to 1, got 2.0; leave it out",
        ),
        ("pocketsphinx", "max_hmms_per_frame", 3.5, "a whole number from -1 to 1e.06, got 3.5"),
        ("nmf", "components_per_source", 0, "whole number from 1 to 64, got 0; .* default, 4"),
        ("nmf", "iterations", True, "got True"),
        ("nmf", "window_seconds", float("nan"), "got nan"),
        ("oracle-irm", "exponent", 3, "exponent to be 1 or 2, got 3"),
        ("oracle-irm", "window_seconds", 64, "a number from 0.004 to 0.5, got 64"),
        ("wiener", "smoothing", 1.0, "from 0 to 0.999, got 1.0; .* default, 0.98"),
        ("wiener", "snr_floor_db", "low", "got 'low'"),
        ("wiener", "window_seconds", 0, "from 0.004 to 0.5, got 0"),
        ("spectral-gating", "stationary", 1, "False or True, got 1"),
        ("spectral-gating", "reduction", -0.1, "from 0 to 1, got -0.1"),
        ("spectral-gating", "time_constant_seconds", None, "got None"),
        ("spectral-gating", "window_seconds", 1.0, "from 0.008 to 0.19, got 1.0"),
    ],
)
def test_a_wrong_parameter_fails_at_construction(name, parameter, value, text):
    with pytest.raises(ValueError, match=text):
        create(name, **{parameter: value})


def test_module_and_class_as_a_name(here):
    assert create(THIRD_PARTY, gain=2).parameters == {"gain": 2, "steps": 1}
    with pytest.raises(ValueError, match=r"expected a value for gain, got none; give gain="):
        create(THIRD_PARTY)


@pytest.mark.parametrize(
    "path", ["no_such_module:Class", "models.base:NoSuch", "models.base:", ":Model"]
)
def test_a_path_to_nothing(path):
    with pytest.raises(
        ValueError, match=r"to name a class as 'module:Class', got .*; check the sp"
    ):
        create(path)


def test_what_is_not_a_model_is_refused(here):
    for path in ("json:JSONDecoder", "json:dumps", f"{__name__}:NotADataclass"):
        with pytest.raises(ValueError, match=r"a dataclass on models.base.Model, got .*; derive"):
            create(path)


def test_entry_points_are_names_and_never_hide_ours(here, entry_points):
    entry_points(louder=THIRD_PARTY, wiener=THIRD_PARTY, broken="no_such_module:X")
    assert create("louder", gain=3.0).gain == 3.0
    assert type(create("wiener")).__name__ == "WienerFilter"
    assert registry.names() == [*MODELS, "broken", "louder"]
    with pytest.raises(ValueError, match="'loudest'; did you mean louder"):
        create("loudest")
    with pytest.raises(ValueError, match=r"entry point 'broken' .* to load, got .*; reinstall"):
        create("broken")


def test_the_record_is_json_and_says_what_may_change_outputs():
    found = record(create("spectral-gating"), "spectral-gating")
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "id": "spectral-gating",
        "version": "1",
        "parameters": {
            "stationary": False,
            "reduction": 1.0,
            "time_constant_seconds": 2.0,
            "window_seconds": 0.064,
        },
        "weights": None,
        "device": "cpu",
        "precision": "float64",
        "libraries": {lib: metadata.version(lib) for lib in ("noisereduce", "numpy", "scipy")},
    }


def test_fingerprints_are_short_stable_and_all_different():
    names = [name for name, entry in MODELS.items() if not entry.needs]
    found = {name: fingerprint(create(name), name) for name in names}
    assert found == {name: fingerprint(create(name), name) for name in names}
    assert len(set(found.values())) == len(names)
    assert all(len(text) == 8 and int(text, 16) >= 0 for text in found.values())


def test_loading_and_using_a_model_leaves_its_fingerprint():
    model = create("pocketsphinx-narrow")
    before = fingerprint(model, "pocketsphinx-narrow")
    model.load()
    assert fingerprint(model, "pocketsphinx-narrow") == before


def test_a_fingerprint_follows_parameter_version_name_and_library(monkeypatch):
    def of(name="wiener", label="wiener", **parameters):
        return fingerprint(create(name, **parameters), label)

    plain = of()
    assert of(smoothing=0.98) == plain
    assert of(smoothing=0.9) != plain
    assert of(label="mine") != plain
    with monkeypatch.context() as patch:
        patch.setattr("models.enhancement.WienerFilter.version", "2")
        assert of() != plain
    with monkeypatch.context() as patch:
        patch.setattr("models.registry._library_version", lambda library, name: "0.0.1")
        assert of() != plain
    for attribute, value in (("device", "cuda"), ("precision", "float16")):
        with monkeypatch.context() as patch:
            patch.setattr(f"models.enhancement.WienerFilter.{attribute}", value)
            assert of() != plain
    assert of() == plain


def test_a_whole_number_in_a_float_parameter_is_the_same_model():
    names = [fingerprint(create("wiener", snr_floor_db=v), "wiener") for v in (-10, -10.0)]
    assert names[0] == names[1]


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr("models.enhancement.WienerFilter.libraries", ("no-such-library",))
    with pytest.raises(
        ValueError, match="'no-such-library', which is not installed; run pip install"
    ):
        record(create("wiener"), "wiener")


def test_importing_models_and_making_each_imports_nothing_heavy():
    heavy = {"torch", "sklearn", "scipy", "pocketsphinx", "noisereduce", "importlib.metadata"}
    light = subprocess.run(
        [
            sys.executable,
            "-c",
            "import numpy, sys; old = set(sys.modules); import models;"
            "any_ = {'checkpoint': 'folder'}; "
            "[models.create(n, **(any_ if e.needs == 'a checkpoint' else {}))"
            " for n, e in models.MODELS.items()]; print(*(set(sys.modules) - old))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "models" in light
    assert not heavy & set(light)
