"""Networks of torchaudio: its published bundles, and checkpoints of the same architectures.

A bundle's files lie in torch.hub's cache (`$TORCH_HOME/hub`), and are downloaded into it where they
do not. A checkpoint of one's own is a folder: tensors in one `.safetensors`, `.pt` or `.pth` file,
and a `config.json` such as

    {"architecture": "ConvTasNet", "parameters": {"num_sources": 3}, "sample_rate": 16000}

where `architecture` is a class or function of torchaudio.models and `parameters` are its arguments.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.base import check_choice
from models.neural import OFFLINE, Neural, hash_folder, load_weights

if TYPE_CHECKING:
    import torch

ADDRESS = "https://download.pytorch.org/torchaudio"
CONFIG = "config.json"
TENSORS = (".safetensors", ".pt", ".pth")


@dataclass(kw_only=True)
class Bundled(Neural):
    """Base of adapters to torchaudio: a `bundle`, a `checkpoint`, or both.

    `bundle`: a name in torchaudio.pipelines. `checkpoint`: without a bundle, a folder as this
    module describes; with one, where its files lie instead of the cache: the file of weights, or a
    folder that holds all of them under their own names.
    """

    bundle: str = ""
    checkpoint: str = ""

    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchaudio")
    bundles: ClassVar[tuple[str, ...]] = ()
    """Names in torchaudio.pipelines that this adapter can run."""
    bundle_rate: ClassVar[int] = 16_000
    """Hz of every one of them."""
    architectures: ClassVar[tuple[str, ...]] = ()
    """Names in torchaudio.models that a checkpoint may ask for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bundle:
            check_choice(self, "bundle", self.bundles)
        elif not self.checkpoint:
            raise ValueError(
                f"{type(self).__name__}: expected a checkpoint, found none: say "
                f"checkpoint=FOLDER, tensors with a {CONFIG} beside them"
            )

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz: the bundle's, or what the checkpoint's configuration says."""
        if self.bundle:
            return self.bundle_rate
        rate = self.config.get("sample_rate")
        if not isinstance(rate, int) or rate < 1000:
            raise ValueError(
                f"{self._folder / CONFIG}: expected sample_rate in Hz, such as 16000, found "
                f"{rate!r}: say at what rate the network was trained"
            )
        return rate

    @property
    def weights(self) -> str | None:
        """sha256 over the files of the bundle, or over every file of the checkpoint."""
        if not self.bundle:
            return hash_folder(self._folder)
        digests = "\n".join(hash_folder(self._file(key)) for key in self._keys(self._source()))
        return hashlib.sha256(digests.encode()).hexdigest()

    @functools.cached_property
    def config(self) -> Mapping[str, Any]:
        """A checkpoint's configuration; ValueError where it is none."""
        path = self._folder / CONFIG
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path}: expected a JSON object with architecture and parameters, found "
                f"{type(error).__name__}: {error}"
            ) from error
        named = isinstance(found, dict) and found.get("architecture") in self.architectures
        if not named or not isinstance(found.get("parameters", {}), dict):
            raise ValueError(
                f"{path}: expected an object whose architecture is one of "
                f"{', '.join(self.architectures)} and whose parameters are an object, "
                f"found {found!s:.200}"
            )
        return dict(found)

    def filled(self) -> torch.nn.Module:
        """The network with its weights; ValueError where they are another's."""
        if self.bundle:
            bundle = self._source()
            network, path = self._of_bundle(bundle), self._file(self._keys(bundle)[0])
        else:
            network, path = self._of_config(), tensors_in(self._folder)
        state = self._trimmed(load_weights(path), network)
        try:
            network.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            text = " ".join(str(error).split())[:300]
            raise ValueError(
                f"{path}: expected the tensors of {type(network).__name__}, found others: {text}"
            ) from error
        return network

    def _keys(self, bundle: Any) -> tuple[str, ...]:
        """The bundle's files as torchaudio names them, the weights first."""
        raise NotImplementedError

    def _of_bundle(self, bundle: Any) -> torch.nn.Module:
        """The bundle's network without its weights."""
        raise NotImplementedError

    def _trimmed(
        self, state: dict[str, torch.Tensor], network: torch.nn.Module
    ) -> dict[str, torch.Tensor]:
        """The tensors that the network takes, of those that the file holds."""
        del network
        return state

    def _of_config(self) -> torch.nn.Module:
        import torchaudio

        name = self.config["architecture"]
        try:
            made: torch.nn.Module = getattr(torchaudio.models, name)(
                **self.config.get("parameters", {})
            )
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            raise ValueError(
                f"{self._folder / CONFIG}: expected the arguments of torchaudio.models.{name}, "
                f"found {type(error).__name__}: {error}"
            ) from error
        return made

    @property
    def _folder(self) -> Path:
        folder = Path(self.checkpoint)
        if not folder.is_dir():
            raise ValueError(
                f"checkpoint {self.checkpoint!r}: expected a folder with {CONFIG} and a file of "
                "tensors, found none: say where it is"
            )
        return folder

    def _source(self) -> Any:
        import torchaudio.pipelines

        return getattr(torchaudio.pipelines, self.bundle)

    def _file(self, key: str) -> Path:
        """One of the bundle's files on this machine."""
        path, name = Path(self.checkpoint), Path(key).name
        if not self.checkpoint or (path.is_file() and Path(key).suffix not in TENSORS):
            return fetched(f"{ADDRESS}/{key}", hub_folder() / self._cached_in(key) / name)
        found = path / name if path.is_dir() else path
        if not found.is_file():
            raise ValueError(
                f"checkpoint {self.checkpoint!r}: expected the file {name} of {self.bundle}, found "
                f"none: it is at {ADDRESS}/{key}"
            )
        return found

    def _cached_in(self, key: str) -> str:
        """Where in torch.hub's cache torchaudio itself would keep a file."""
        return f"torchaudio/{Path(key).parent}"


def check_rate_of(model: Bundled, sample_rate: int) -> None:
    """ValueError unless the rate is the network's own."""
    if sample_rate != model.sample_rate:
        raise ValueError(
            f"{type(model).__name__}: expected {model.sample_rate} Hz, got {sample_rate}; "
            "resample first"
        )


def hub_folder() -> Path:
    """torch.hub's cache, found as torch does, without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub"


def fetched(address: str, path: Path) -> Path:
    """`path`, downloaded from `address` unless it is there; ValueError saying where to put it."""
    if path.is_file():
        return path
    problem = "this machine is told to stay offline"
    if all(os.environ.get(name, "0") in ("", "0") for name in OFFLINE):
        import torch

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), progress=False)
            return path
        except OSError as error:  # urllib's are of this kind, too
            problem = f"{address} gave {type(error).__name__}: {error}"
    raise ValueError(
        f"expected the file {path}, found none, and {problem}: download {address} where there is "
        "a network and put it there, or say checkpoint=FILE"
    )


def tensors_in(folder: Path) -> Path:
    """The one file of tensors in a folder; ValueError where there are none or several."""
    found = sorted(path for path in folder.iterdir() if path.suffix in TENSORS)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"{folder}: expected one file of tensors ({', '.join(TENSORS)}), found {names}"
        )
    return found[0]
