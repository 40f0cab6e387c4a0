"""Models that compute in torch: on which device, how exactly, from which checkpoint, in batches.

An adapter derives from `Neural`, loads its network in `_build` and answers a batch in `_compute`;
lengths, padding, devices, empty and very short clips are seen to here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from models.base import Model, Signal, check_choice, check_signal

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("float32", "bfloat16", "float16")
BATCH_SECONDS = {"cpu": 40.0, "cuda": 400.0}  # of audio in a call, padding included
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
UNREAD = (".h5", ".msgpack", ".onnx", ".ot", ".md")  # what torch does not read

Answer = TypeVar("Answer")


@dataclass(kw_only=True)
class Neural(Model):
    """Base of adapters to networks in torch.

    `device`: "cpu", "cuda", or "auto", which is the GPU where this machine has one. `precision`:
    what autocast computes in; float32 leaves it off. Both are part of the fingerprint. In 16
    bits an answer is rounded, and differently so with other neighbours in a batch.
    """

    device: str = "auto"
    precision: str = "float32"

    shortest = 1
    """Samples that the network needs; shorter clips are filled with zeros up to it."""

    def __post_init__(self) -> None:
        check_choice(self, "device", DEVICES)
        check_choice(self, "precision", PRECISIONS)
        if self.device == "auto":
            self.device = "cuda" if gpus() else "cpu"
        self._network: Any = None

    @property
    def batch_seconds(self) -> float:
        """Seconds of audio that one call should hold at most."""
        return BATCH_SECONDS[self.device]

    @property
    def size(self) -> int | None:
        """How many numbers the network learnt; None before it is loaded."""
        if not hasattr(self._network, "parameters"):
            return None
        return sum(int(each.numel()) for each in self._network.parameters())

    def load(self) -> None:
        """Build the network and move it to the device; ValueError where that cannot be done."""
        if self._network is not None:
            return
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"{type(self).__name__}: expected a GPU that torch can use, found none: "
                "say device=cpu, or install torch for this machine's driver"
            )
        torch.backends.cudnn.benchmark = False  # it would choose algorithms by the clock
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False  # on by default: 10 bits where float32 is asked for
        torch.backends.cuda.matmul.allow_tf32 = False
        network = self._build()
        self._network = network.to(self.device).eval() if hasattr(network, "to") else network

    def warm_up(self) -> None:
        """Compute once, so that the first clip is not charged for what is set up then."""
        self.load()
        second = np.zeros(self.sample_rate or 16_000, np.float32)
        second[::100] = 0.1
        self._batched([second], lambda batch, lengths: [None] * len(self._compute(batch, lengths)))

    def _build(self) -> Any:
        """The network, with its weights, on the CPU."""
        raise NotImplementedError

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> Sequence[Any]:
        """An answer a clip: `batch` is (clips, time) float32 on the device, zeros behind a clip's
        end, `lengths` (clips,) int64. Called in inference mode and under autocast.
        """
        raise NotImplementedError

    def _answers(
        self, signals: Sequence[Signal], empty: Callable[[Signal], Answer]
    ) -> list[Answer]:
        """`_compute`'s answer to every clip in turn, `empty`'s to those without a sample."""
        self.load()
        clips = [check_signal(signal).astype(np.float32) for signal in signals]
        answers: list[Any] = [empty(clip) if not len(clip) else None for clip in clips]
        for group in self._groups(clips):
            found = self._batched([clips[n] for n in group], self._compute)
            for number, answer in zip(group, found, strict=True):
                answers[number] = answer
        return answers

    def _groups(self, clips: Sequence[Signal]) -> list[list[int]]:
        """Numbers of clips that may share a batch: all of them, or those of one length."""
        groups: dict[int, list[int]] = {}
        for number, clip in enumerate(clips):
            if len(clip):
                size = 0 if self.padding == "exact" else max(len(clip), self.shortest)
                groups.setdefault(size, []).append(number)
        return list(groups.values())

    def _batched(
        self,
        clips: Sequence[Signal],
        compute: Callable[[torch.Tensor, torch.Tensor], Sequence[Answer]],
    ) -> Sequence[Answer]:
        import torch

        lengths = [max(len(clip), self.shortest) for clip in clips]
        batch = np.zeros((len(clips), max(lengths)), np.float32)
        for row, clip in zip(batch, clips, strict=True):
            row[: len(clip)] = clip
        with torch.inference_mode(), self._autocast():
            return compute(
                torch.from_numpy(batch).to(self.device),
                torch.tensor(lengths, device=self.device),
            )

    @contextlib.contextmanager
    def _autocast(self) -> Iterator[None]:
        import torch

        if self.precision == "float32":
            yield
            return
        with torch.autocast(self.device, getattr(torch, self.precision)):
            yield


@dataclass(kw_only=True)
class Pretrained(Neural):
    """A network from a checkpoint: a local folder, or a repository of the Hugging Face hub.

    `revision`: the repository's commit, tag or branch; None takes the default branch. Whatever it
    is called, the files themselves are hashed into the fingerprint.
    """

    checkpoint: str
    revision: str | None = None

    @property
    def folder(self) -> Path:
        """The checkpoint's folder on this machine, fetched from the hub unless it is there.

        ValueError where it cannot be had, with what to download and how.
        """
        return _fetched(self.checkpoint, self.revision)

    @property
    def weights(self) -> str | None:
        """sha256 over every file of the checkpoint."""
        return hash_folder(self.folder)


def require(module: str, extra: str) -> Any:
    """Import a library that comes with an extra; ValueError saying which, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"expected the library {module.partition('.')[0]}, found none ({error}): "
            f"pip install 'realear[{extra}]'"
        ) from error


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from `.safetensors`, or from torch's own format without running its pickle.

    ValueError for a file that holds anything but tensors, or none at all.
    """
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: dict[str, torch.Tensor] = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format has its own family of them
        text = f"{type(error).__name__}: {error}"[:300]
        raise ValueError(f"{path}: expected tensors alone, found {text}") from error
    return found


def hash_folder(folder: Path) -> str:
    """sha256 over names and bytes of the files below a folder, or of one file; nothing hidden and
    nothing that torch does not read, such as words for people.
    """
    files = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    hashed = hashlib.sha256()
    for path in files:
        within = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in within.parts)  # such as a download's notes
        if path.is_file() and path.suffix not in UNREAD and not hidden:
            stat = path.stat()
            name = within.as_posix() if path != folder else ""
            hashed.update(f"{name}\0{_hash_file(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return hashed.hexdigest()


@lru_cache(maxsize=1024)
def _hash_file(path: Path, size: int, changed: int) -> str:
    del size, changed  # what tells one state of the file from another
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched(checkpoint: str, revision: str | None) -> Path:
    local = Path(checkpoint)
    if local.exists():
        return local
    hub = require("huggingface_hub", "transformers")
    wanted = {"revision": revision, "ignore_patterns": [*map("*{}".format, UNREAD), ".git*"]}
    try:
        return Path(hub.snapshot_download(checkpoint, local_files_only=True, **wanted))
    except Exception as absent:
        if any(os.environ.get(name, "0") not in ("", "0") for name in OFFLINE):
            raise ValueError(_absent(checkpoint, revision, absent)) from absent
    try:
        return Path(hub.snapshot_download(checkpoint, **wanted))
    except Exception as error:
        raise ValueError(_absent(checkpoint, revision, error)) from error


def _absent(checkpoint: str, revision: str | None, error: Exception) -> str:
    at = f" --revision {revision}" if revision else ""
    return (
        f"checkpoint {checkpoint!r}: expected a folder, or a repository in the hub's cache, found "
        f"neither, and the hub gave {type(error).__name__}: run `hf download {checkpoint}{at}` "
        "where there is a network, copy the folder that it names, and say checkpoint=FOLDER"
    )


@lru_cache(maxsize=1)
def gpus() -> int:
    """How many NVIDIA devices there are: asked of the system, for torch takes seconds to import."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
