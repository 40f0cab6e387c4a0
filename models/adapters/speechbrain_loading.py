"""Checkpoints of speechbrain: loaded by its own classes, with no code but the library's.

Three things are made sure of before `from_hparams` is called. Hyperparameters name only parts of
networks (`speechbrain_tags`). Every file to be loaded lies in the checkpoint's folder, whichever
repository they name; the one exception is a wav2vec 2.0, HuBERT or WavLM of the hub on which a
recogniser is built, whose files are fetched as checkpoints are and hashed into the fingerprint.
`torch.load` reads tensors alone, whatever its caller asks for. Nothing is written
into the checkpoint's folder or where the command was started.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from models.adapters.speechbrain_tags import (
    check_names,
    check_sources,
    check_tags,
    is_inside,
    refuse,
)
from models.base import check_rate
from models.neural import Pretrained, hash_folder, require

HYPERPARAMETERS = "hyperparams.yaml"
PRETRAINER = "!new:speechbrain.utils.parameter_transfer.Pretrainer"
HUGGING_FACE = "speechbrain.integrations.huggingface."
MOVED = {
    "speechbrain.lobes.models.huggingface_transformers.": HUGGING_FACE,
    "speechbrain.lobes.models.huggingface_wav2vec.HuggingFaceWav2Vec2": (
        f"{HUGGING_FACE}wav2vec2.Wav2Vec2"
    ),
}  # names of versions 0.5 and 1.0, which many published checkpoints still use
FILES = ("kenlm_model_path", "lm_path")  # keys of n-gram models
OPTIONS = {
    "source", "save_path", "output_norm", "freeze", "freeze_feature_extractor",
    "apply_spec_augment", "output_all_hiddens",
}  # fmt: skip
"""What a checkpoint may say of a network of the hub; anything else would reach transformers."""
RUN_OPTIONS = dict.fromkeys(
    ("compile", "data_parallel_backend", "distributed_launch", "jit"), False
)  # which hyperparameters could switch on
OLD_NAME = "`gradient_checkpointing_disable` is deprecated"  # speechbrain's word to transformers
TENSORS_ONLY = {
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": None,
}


@dataclass(kw_only=True)
class SpeechBrain(Pretrained):
    """Base of adapters to one of speechbrain's inference classes.

    The sample rate is the checkpoint's. Before it is loaded it is what its hyperparameters or, of
    a repository, its name tell, such as sepformer-whamr16k; else the kind's usual one.
    """

    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("HyperPyYAML", "speechbrain", "torch", "torchaudio")
    interface: ClassVar[str]
    """"module.Class" below `speechbrain.inference`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sample_rate = _told_rate(self.checkpoint) or self.sample_rate

    @property
    def weights(self) -> str | None:
        """sha256 over the files of the checkpoint and of the networks of the hub that it names."""
        own = hash_folder(self.folder)
        others = [hash_folder(folder) for folder in _prepared(self.folder).hub]
        return hashlib.sha256(" ".join([own, *others]).encode()).hexdigest() if others else own

    def _build(self) -> Any:
        module, _, name = self.interface.partition(".")
        interface = getattr(require(f"speechbrain.inference.{module}", "speechbrain"), name)
        network = from_folder(interface, self.folder, self.device)
        self.sample_rate = _sample_rate(network.hparams) or self.sample_rate
        return network

    def _check_rate(self, sample_rate: int) -> None:
        """ValueError unless the signals come at the rate that the network was trained at."""
        self.load()
        if check_rate(sample_rate) != self.sample_rate:
            raise ValueError(
                f"{type(self).__name__}: expected signals at {self.sample_rate} Hz, got "
                f"{sample_rate} Hz; resample them first"
            )


@dataclass(frozen=True)
class Prepared:
    """Hyperparameters that are safe to load: their text, and folders outside the checkpoint's."""

    text: str
    names: tuple[str, ...]  # of what it makes
    hub: tuple[Path, ...]


def is_built_on_hub(folder: Path) -> bool:
    """Whether a checkpoint makes a network of the transformers library."""
    return any(name.startswith(HUGGING_FACE) for name in _prepared(folder).names)


def from_folder(interface: Any, folder: Path, device: str) -> Any:
    """A network of speechbrain from a checkpoint's folder, for inference, on a device.

    ValueError where the checkpoint is not safe, not complete or not what `interface` takes.
    """
    fetching = require("speechbrain.utils.fetching", "speechbrain")
    place = "cuda:0" if device == "cuda" else device
    with tempfile.TemporaryDirectory() as spare:
        prepared = _prepared(folder, save_path=spare)
        if any(name.startswith(HUGGING_FACE) for name in prepared.names):
            require("transformers", "speechbrain,transformers")
        check_names(prepared.names, folder / HYPERPARAMETERS)
        (Path(spare) / HYPERPARAMETERS).write_text(prepared.text, encoding="utf-8")
        try:
            with _environment(TENSORS_ONLY), warnings.catch_warnings():
                warnings.filterwarnings("ignore", OLD_NAME, FutureWarning)
                network = interface.from_hparams(
                    source=str(folder),
                    savedir=spare,
                    run_opts={"device": place} | RUN_OPTIONS,
                    fetch_config=fetching.FetchConfig(allow_network=False),
                )
        except Exception as error:  # a checkpoint can be wrong in as many ways as there are layers
            text = f"{type(error).__name__}: {error}"[:400]
            raise ValueError(
                f"{folder}: expected a checkpoint of speechbrain's {interface.__name__}, "
                f"of tensors alone, found {text}"
            ) from error
    _settle(network, place)
    return network


def _prepared(folder: Path, save_path: str = "") -> Prepared:
    """The checkpoint's hyperparameters, resolved, with every path led into its folder; checked
    before a reference is resolved, and after.
    """
    path = folder / HYPERPARAMETERS
    if not path.is_file():
        raise ValueError(f"{folder}: expected a checkpoint with {HYPERPARAMETERS}, found none")
    if code := sorted(folder.glob("*.py")):
        refuse(path, f"beside them {code[0].name}")
    check_sources(path, folder)
    yaml = require("ruamel.yaml", "speechbrain").YAML()
    yaml.width = 1 << 20  # a path is not to be folded
    try:
        with path.open(encoding="utf-8") as file:
            text = require("hyperpyyaml", "speechbrain").resolve_references(file).getvalue()
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected references that resolve, found {error}") from error
    for old, new in MOVED.items():
        text = text.replace(old, new)
    tree = yaml.load(text)
    hub = tuple(_led_home(tree, folder, save_path))
    written = io.StringIO()
    yaml.dump(tree, written)
    return Prepared(written.getvalue(), check_tags(written.getvalue(), path), hub)


def _led_home(tree: Any, folder: Path, save_path: str) -> Iterator[Path]:
    """Give every path of a tree of hyperparameters a file of the folder; folders of the hub's
    networks that it needs besides.
    """
    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, dict | list):
            continue
        seen.add(id(node))
        waiting += node.values() if isinstance(node, dict) else node
        if not isinstance(node, dict):
            continue
        tag = str(getattr(getattr(node, "tag", None), "value", "") or "")
        if tag == PRETRAINER:
            _lead_pretrainer(node, folder)
        for key in FILES:
            if isinstance(node.get(key), str):
                node[key] = _file(folder, node[key])
        if tag.startswith(f"!new:{HUGGING_FACE}"):
            if unknown := sorted(map(str, node.keys() - OPTIONS)):
                refuse(folder / HYPERPARAMETERS, f"{unknown[0]} of {tag}")
            source = _hugging_face(folder, str(node.get("source", "")))
            node |= {"source": str(source), "save_path": save_path, "trust_remote_code": False}
            if not source.is_relative_to(folder):
                yield source


def _lead_pretrainer(node: Any, folder: Path) -> None:
    """Name a file of the folder for everything that is to be loaded."""
    paths, conditions = node.get("paths") or {}, node.get("conditions") or {}
    found = {}
    for name in node.get("loadables") or {}:
        wanted = str(paths.get(name, f"{name}.ckpt"))
        collected = folder / f"{name}.ckpt"  # as the library itself saves them
        if not (folder / Path(wanted).name).is_file() and is_inside(collected, folder):
            wanted = collected.name
        if (folder / Path(wanted).name).is_file() or name not in conditions:
            found[name] = _file(folder, wanted)
    node["paths"] = found


def _file(folder: Path, wanted: str) -> str:
    """The file of a folder that has the last name of a path, which may be a repository's."""
    path = folder / Path(wanted).name
    if not is_inside(path, folder):
        raise ValueError(
            f"{folder}: expected the file {path.name!r} in the folder, for the checkpoint's "
            f"hyperparameters name {wanted!r}, found none: put it there"
        )
    return str(path.absolute())


def _hugging_face(folder: Path, source: str) -> Path:
    """A network of the hub: a folder in the checkpoint's, or fetched as any checkpoint is."""
    name = Path(source).name
    for local in (folder / name, folder / f"models--{source.replace('/', '--')}"):
        if name and ".." not in local.parts and local.is_dir():
            return local
    if Path(source).exists() or source.count("/") != 1 or source.startswith((".", "/")):
        raise ValueError(
            f"{folder}: expected the source {source!r} to be a folder in it or a repository of "
            "the hub, found neither: put the network's folder into the checkpoint's"
        )
    return Pretrained(checkpoint=source).folder


def _settle(network: Any, device: str) -> None:
    """Take what the interface leaves in training mode, on the CPU or at random.

    Modules named only among the hyperparameters, such as a language model, are not the
    interface's own. Statistics pooling (x-vectors, REAL-M) adds noise below 1e-4, even at
    inference; it is left out, for one clip has one answer.
    """
    from torch import nn, zeros

    parts = [part for part in vars(network.hparams).values() if isinstance(part, nn.Module)]
    for part in [network, *parts]:
        part.to(device).eval()
        for module in part.modules():
            if hasattr(module, "_get_gauss_noise"):
                module._get_gauss_noise = lambda shape, device: zeros(shape, device=device)


def _told_rate(checkpoint: str) -> int | None:
    """Hz that a folder's hyperparameters state or a name holds, without a library; None where
    neither does.
    """
    path = Path(checkpoint) / HYPERPARAMETERS
    if path.is_file():
        text = path.read_text(encoding="utf-8", errors="replace")
        stated = re.search(r"^sample_rate:\s*(\d{4,6})\s*(?:#.*)?$", text, re.MULTILINE)
        return int(stated[1]) if stated else None
    named = re.search(r"(?<!\d)(8|16|24|48)k(?![a-z])", Path(checkpoint).name)
    return int(named[1]) * 1000 if named else None


def _sample_rate(hparams: Any) -> int | None:
    """Hz that the hyperparameters speak of; None where they do not."""
    normaliser = getattr(hparams, "audio_normalizer", None)
    found = getattr(hparams, "sample_rate", None) or getattr(normaliser, "sample_rate", None)
    return int(found) if found else None


@contextlib.contextmanager
def _environment(values: dict[str, str | None]) -> Iterator[None]:
    """Environment variables as told, None for unset, and as they were afterwards."""
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
