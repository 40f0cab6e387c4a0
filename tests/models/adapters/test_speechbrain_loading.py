"""What a checkpoint of speechbrain may not do: run code, reach other files, leave traces."""

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import models
from models.adapters import speechbrain_tags
from models.adapters.speechbrain_loading import SpeechBrain
from models.adapters.speechbrain_quality import RealMEstimator

HARMLESS = """
seed: 3
__set_seed: !apply:torch.manual_seed [!ref <seed>]
snrmin: 0
snrmax: 10
sample_rate: 11025
pretrained_path: somebody/elses-repository
shape: (3, 4)
encoder: !new:torch.nn.Conv1d {in_channels: 2, out_channels: 2, kernel_size: 4}
encoder_out: !new:torch.nn.Sequential [!new:torch.nn.Linear [4, 1], !new:torch.nn.Sigmoid {}]
stat_pooling: !new:speechbrain.nnet.pooling.StatisticsPooling
modules: {encoder: !ref <encoder>, encoder_out: !ref <encoder_out>}
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
  loadables: {encoder: !ref <encoder>, encoder_out: !ref <encoder_out>}
  paths: {encoder: !ref <pretrained_path>/front.ckpt}
"""


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A checkpoint whose hyperparameters name another repository, as published ones do."""
    place = tmp_path / "a checkpoint"
    place.mkdir()
    (place / "hyperparams.yaml").write_text(HARMLESS)
    torch.manual_seed(1)
    torch.save(torch.nn.Conv1d(2, 2, 4).state_dict(), place / "front.ckpt")
    layers = torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Sigmoid())
    torch.save(layers.state_dict(), place / "encoder_out.ckpt")
    return place


@pytest.fixture
def mark(tmp_path) -> Path:
    """What code in a checkpoint would make, if it ran."""
    return tmp_path / "it-ran"


def load(folder: Path) -> RealMEstimator:
    model = RealMEstimator(checkpoint=str(folder), separator="mixture", device="cpu")
    model.load()
    return model


def files(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_paths_are_led_into_the_folder_and_nothing_is_written(folder, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = files(tmp_path)
    model = load(folder)
    assert files(tmp_path) == before
    assert model.sample_rate == 11_025
    stored = torch.load(folder / "front.ckpt", weights_only=True)
    torch.testing.assert_close(model._network.mods.encoder.weight, stored["weight"])
    found = model.estimate_si_snr(
        np.arange(99.0) % 7, np.ones((1, 99)) * (np.arange(99) % 3), 11_025
    )
    assert 0 < found[0] < 10


def test_files_named_as_the_library_collects_them_are_found(folder):
    (folder / "front.ckpt").rename(folder / "encoder.ckpt")
    load(folder)
    (folder / "encoder.ckpt").unlink()
    with pytest.raises(ValueError, match=r"expected the file 'front\.ckpt' in the folder"):
        load(folder)


TAGS = {
    "a call": "!apply:os.system ['mkdir MARK']",
    "an object": "!new:subprocess.Popen [['mkdir', 'MARK']]",
    "a name": "!name:os.system",
    "a module": "!module:os",
    "python's own": "!!python/object/apply:os.system ['mkdir MARK']",
    "a tuple": "(!!python/object/apply:os.system ['mkdir MARK'])",
    "a quoted tuple": "!tuple \"(!!python/object/apply:os.system ['mkdir MARK'])\"",
    "in resolving": "!applyref:os.system ['mkdir MARK']",
    "through a listed module": "!name:speechbrain.nnet.CNN.torch.load",
    "what a module imported": "!name:speechbrain.processing.features.gaussian_statistics.os",
    "another file": "!include:../other.yaml",
    "an unlisted part": "!name:speechbrain.utils.superpowers.run_shell",
    "a missing part": "!new:speechbrain.nnet.CNN.NoSuchThing",
    "an attribute": "!ref <encoder.weight>",
    "a rescorer": "!new:speechbrain.decoders.scorer.HuggingFaceLMRescorer {model_name: gpt2}",
    "a rescorer elsewhere": "!new:speechbrain.decoders.HuggingFaceLMRescorer {model_name: gpt2}",
}


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
def test_hyperparameters_that_call_other_code_do_not_run_it(folder, mark, tag):
    (folder.parent / "other.yaml").write_text(f"a: !apply:os.mkdir ['{mark}']")
    text = HARMLESS + f"\nextra: {tag}\n".replace("MARK", str(mark))
    (folder / "hyperparams.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"expected (hyperparameters that name only|names that)"):
        load(folder)
    assert not mark.exists()


def test_the_tags_that_are_refused_would_have_run(folder, mark):
    """The library itself runs such a file: were it to stop, the check above would prove nothing."""
    from hyperpyyaml import load_hyperpyyaml

    load_hyperpyyaml(io.StringIO(f"a: (!!python/object/apply:os.mkdir ['{mark}'],)"))
    assert mark.exists()


def test_included_files_are_checked_too(folder, mark):
    (folder / "hyperparams.yaml").write_text(HARMLESS + "\nmore: !include:more.yaml\n")
    (folder / "more.yaml").write_text("shape: (1, 2)")
    load(folder)
    for text in ("a: !applyref:os.mkdir ['{}']", "a: !apply:os.mkdir ['{}']"):
        (folder / "more.yaml").write_text(text.format(mark))
        with pytest.raises(ValueError, match="expected hyperparameters that name only"):
            load(folder)
    assert not mark.exists()


def test_directives_and_code_beside_a_checkpoint_are_refused(folder):
    (folder / "hyperparams.yaml").write_text("%TAG ! !apply:\n---" + HARMLESS)
    with pytest.raises(ValueError, match="found a YAML directive"):
        load(folder)
    (folder / "hyperparams.yaml").write_text(HARMLESS)
    (folder / "custom.py").write_text("")
    with pytest.raises(ValueError, match=r"found beside them custom\.py"):
        load(folder)


@pytest.mark.parametrize("forced", [False, True], ids=["as it is", "unpickling allowed"])
@pytest.mark.parametrize(
    "save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2))]
)
def test_a_pickle_in_the_weights_is_not_run(folder, mark, monkeypatch, forced, save):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    save({"weight": Bomb(mark)}, folder / "front.ckpt")
    with pytest.raises(ValueError, match="of tensors alone, found UnpicklingError"):
        load(folder)
    assert not mark.exists()
    assert os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD") == ("1" if forced else None)
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_broken_checkpoints_are_named(folder):
    for text, message in {
        "a: [1": "expected YAML",
        "a: !ref <b>": "expected references that resolve",
        "a: !PLACEHOLDER": "expected references that resolve",
        "a: 1": "expected a checkpoint of speechbrain's SNREstimator",
        "- 1": "expected a checkpoint of speechbrain's SNREstimator",
        "": "expected a checkpoint of speechbrain's SNREstimator",
    }.items():
        (folder / "hyperparams.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            load(folder)
    (folder / "hyperparams.yaml").unlink()
    with pytest.raises(ValueError, match=r"expected a checkpoint with hyperparams\.yaml"):
        load(folder)


def test_weights_tell_checkpoints_apart_without_loading_one(folder):
    model = RealMEstimator(checkpoint=str(folder), separator="mixture", device="cpu")
    before = model.weights
    assert (
        before == RealMEstimator(checkpoint=str(folder), separator="mixture", device="cpu").weights
    )
    (folder / "front.ckpt").write_bytes(b"other")
    assert model.weights != before


def test_every_entry_is_an_adapter_that_costs_no_library(monkeypatch):
    from models.entries.speechbrain import ENTRIES

    for name, entry in ENTRIES.items():
        made = models.create(name, **({} if entry.parameters else {"checkpoint": "some/where"}))
        assert isinstance(made, SpeechBrain)
        assert made.padding == "none"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="hf download speechbrain/sepformer-wsj02mix"):
        models.create("sepformer-wsj02mix").load()


def test_every_module_of_the_list_is_there():
    for name in speechbrain_tags.MODULES:
        __import__(name)
