"""What a speechbrain checkpoint's hyperparameters may name, decided before the library sees them.

A hyperparams.yaml is a program: `!new:`, `!name:`, `!apply:` and `!module:` import and call
whatever they name, `!!python/…` does the same, `!applyref:` calls while references are resolved,
and a scalar in parentheses is parsed again by a loader that runs code. Here the text is only
parsed, and refused unless all that it names is a part of a network.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from models.neural import require

MODULES = (
    "speechbrain.dataio.encoder",
    "speechbrain.decoders",
    "speechbrain.integrations.huggingface.hubert",
    "speechbrain.integrations.huggingface.wav2vec2",
    "speechbrain.integrations.huggingface.wavlm",
    "speechbrain.lobes.features",
    *(
        f"speechbrain.lobes.models.{name}"
        for name in (
            "CRDNN", "ContextNet", "ECAPA_TDNN", "ESPnetVGG", "EnhanceResnet", "L2I", "MetricGAN",
            "PIQ", "RNNLM", "ResNet", "VanillaNN", "Xvector", "conv_tasnet", "convolution",
            "dual_path", "resepformer", "transformer",
        )
    ),
    "speechbrain.nnet",
    "speechbrain.processing.features",
    "speechbrain.processing.signal_processing",
    "torch.nn",
    "torch.optim",
    "torchaudio.transforms",
)  # fmt: skip
"""Modules whose classes may be made, and whose functions may be handed on, by a checkpoint."""

NAMES = (
    "sentencepiece.SentencePieceProcessor",
    "speechbrain.dataio.preprocess.AudioNormalizer",
    "speechbrain.utils.parameter_transfer.Pretrainer",
    "torch.hamming_window",
    "torch.hann_window",
)
"""Single classes and functions of other modules that may be made or handed on."""

CALLS = (
    "numpy.random.seed",
    "random.seed",
    "speechbrain.utils.seed_everything",
    "torch.cuda.manual_seed_all",
    "torch.device",
    "torch.manual_seed",
)
"""All that `!apply:` may call."""

ELSEWHERE = ("speechbrain.decoders.scorer.HuggingFaceLMRescorer",)  # fetches another model

PLAIN = tuple(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp")
)


def check_sources(path: Path, folder: Path) -> None:
    """Raise ValueError unless a file of hyperparameters, and what it includes, can be resolved
    without a call and without leaving the checkpoint's folder.
    """
    waiting, seen = [path], set()
    while waiting:
        current = waiting.pop()
        seen.add(current.resolve())
        for node in _nodes(current.read_text(encoding="utf-8"), current):
            if node.tag.startswith("!applyref:"):
                refuse(current, node.tag)
            if node.tag.startswith("!include:"):
                included = current.parent / node.tag.removeprefix("!include:")
                if not is_inside(included, folder):
                    refuse(current, f"{node.tag}, which is no file of its folder")
                if included.resolve() not in seen:
                    waiting.append(included)


def check_tags(text: str, path: Path) -> tuple[str, ...]:
    """The names that resolved hyperparameters make or hand on; nothing is imported for it.

    ValueError unless every tag is on the lists above.
    """
    names = []
    for node in _nodes(text, path):
        kind, _, name = node.tag.partition(":")
        if node.tag == "!tuple" or (isinstance(node.value, str) and node.value[:1] == "("):
            if "!" in node.value:  # parsed once more, with tags that may call anything
                refuse(path, f"a tag inside {node.value!r:.60}")
        elif kind == "!apply":
            if name not in CALLS:
                refuse(path, node.tag)
        elif kind in ("!new", "!name"):
            if name not in NAMES and not _listed(name.rpartition(".")[0]):
                refuse(path, node.tag)
            names.append(name)
        elif node.tag not in PLAIN:
            refuse(path, node.tag)
    return tuple(names)


def check_names(names: Iterable[str], path: Path) -> None:
    """Raise ValueError unless each name is a direct attribute of a listed module that was written
    in a listed module: what a module has imported (`os`, `torch.load`…) is not reached through it.
    """
    for name in names:
        if name in NAMES:
            continue
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected names that this version of speechbrain has, found {name} "
                f"({error}): the checkpoint may be of another version, or not safe"
            ) from error
        home = getattr(found, "__module__", None) or ""
        if not _listed(home) or f"{home}.{getattr(found, '__qualname__', '')}" in ELSEWHERE:
            refuse(path, name)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path leads to a file below a folder, by its name: links may point anywhere, as they
    do in the hub's cache.
    """
    return ".." not in path.parts and path.is_relative_to(folder) and path.is_file()


def refuse(path: Path, found: str) -> None:
    """Raise the ValueError of this module."""
    raise ValueError(
        f"{path}: expected hyperparameters that name only parts of networks, classes of "
        f"speechbrain, torch.nn and torchaudio.transforms, found {found}: "
        "a checkpoint that brings or calls other code is not loaded"
    )


def _listed(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in MODULES)


def _nodes(text: str, path: Path) -> Iterator[Any]:
    """Every node of a YAML text, each once; nothing is made of them."""
    yaml = require("ruamel.yaml", "speechbrain")
    if any(line.startswith("%") for line in text.splitlines()):  # could give tags other names
        refuse(path, "a YAML directive")
    try:
        root = yaml.Loader(io.StringIO(text)).get_single_node()
    except yaml.error.YAMLError as error:
        raise ValueError(f"{path}: expected YAML, found {error}") from error
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
