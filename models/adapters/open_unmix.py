"""Open-Unmix: music into stems, a stem out of music, speech out of noise.

Stöter, Uhlich, Liutkus & Mitsufuji, "Open-Unmix – a reference implementation for music source
separation", JOSS 4(41), 2019. Published weights lie in torch.hub's cache (`$TORCH_HOME/hub`), and
are downloaded into it where they do not. A checkpoint of one's own is a folder as the library's
training leaves it: `separator.json`, and `{target}.json` beside `{target}.pth` for each target.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.adapters.torchaudio_bundles import fetched, hub_folder
from models.adapters.torchaudio_separation import check_count
from models.arrays import check_channels
from models.base import Signal, check_choice, check_number, check_signal
from models.neural import Neural, hash_folder, load_weights, require

if TYPE_CHECKING:
    import torch

EXTRA = "open-unmix"
SEPARATOR = "separator.json"
RESIDUAL = "residual"
HASHED = r"[-_][0-9a-f]{8}\.pth"  # behind a target's name


@dataclass(frozen=True)
class Published:
    """Weights that the library's authors have published, one file a target."""

    rate: int
    record: int  # of zenodo.org
    files: tuple[str, ...]


BUNDLES: Mapping[str, Published] = {
    "umx": Published(
        44_100,
        3370486,
        ("vocals-c8df74a5.pth", "drums-5a48008b.pth", "bass-646024d3.pth", "other-f8e132cc.pth"),
    ),
    "umxhq": Published(
        44_100,
        3370489,
        ("vocals-b62c91ce.pth", "drums-9619578f.pth", "bass-8d85a5bd.pth", "other-b52fbbf7.pth"),
    ),
    "umxl": Published(
        44_100,
        5069601,
        ("vocals-bccbd9aa.pth", "drums-69e0ebd4.pth", "bass-2ca1ce51.pth", "other-c8c5b3e6.pth"),
    ),
    "umxse": Published(16_000, 3786908, ("speech_f5e0d9f9.pth", "noise_04a6fc2d.pth")),
}


@dataclass(kw_only=True)
class OpenUnmix(Neural):
    """Base of both adapters: a `bundle` of the library, or a folder of one's own as `checkpoint`;
    with both, the folder where the bundle's files lie.

    `iterations` of expectation maximisation refine the estimates by Wiener filters, in stretches
    of 300 frames; 0 leaves the mixture's phase. `residual`: what the targets leave of the mixture
    is one more signal, the last. Recurrent layers hear a clip from both ends, so padding is not
    exact; each clip is computed by itself.
    """

    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("openunmix", "torch", "torchaudio")

    bundle: str = ""
    checkpoint: str = ""
    iterations: int = 1
    residual: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "iterations", 0, 100)
        check_choice(self, "residual", (False, True))
        if self.bundle:
            check_choice(self, "bundle", tuple(BUNDLES))
        elif not self.checkpoint:
            raise ValueError(
                f"{type(self).__name__}: expected a checkpoint, found none: say "
                f"checkpoint=FOLDER, with {SEPARATOR} and a .json and .pth for each target"
            )

    @property
    def sample_rate(self) -> int:  # type: ignore[override]
        """Hz: the bundle's, or what the checkpoint's separator says."""
        return BUNDLES[self.bundle].rate if self.bundle else round(self._settings["sample_rate"])

    @property
    def weights(self) -> str | None:
        """sha256 over the files of the bundle, or over every file of the checkpoint."""
        if not self.bundle:
            return hash_folder(self._folder)
        digests = "\n".join(hash_folder(path) for path in self._files().values())
        return hashlib.sha256(digests.encode()).hexdigest()

    def warm_up(self) -> None:
        """Compute a second, so that the first clip is not charged for what is set up then."""
        self.load()
        self._parted(np.sin(np.arange(self.sample_rate) / 20.0)[None])

    def _build(self) -> Any:
        library = require("openunmix", EXTRA)
        states = {target: load_weights(path) for target, path in self._files().items()}
        if self.bundle:
            made = getattr(library, self.bundle)
            network = made(pretrained=False, niter=self.iterations, residual=self.residual)
        else:
            network = self._separator(states)
        for target, state in states.items():
            _fill(network.target_models[target], state, self._files()[target])
        self._targets = [*network.target_models, *([RESIDUAL] if self.residual else [])]
        if len(self._targets) == 1 and self.iterations:
            raise ValueError(
                f"{self.checkpoint}: expected two targets or more to refine, found "
                f"{self._targets[0]} alone: say residual=true or iterations=0"
            )
        self.shortest = network.stft.n_fft // 2 + 1  # what its reflection needs
        return network

    def _separator(self, states: Mapping[str, Mapping[str, torch.Tensor]]) -> Any:
        """The separator that a folder describes, not yet filled."""
        library = require("openunmix.model", EXTRA)
        parts = {target: self._target(target, state) for target, state in states.items()}
        settings = self._settings
        return library.Separator(
            target_models=parts,
            niter=self.iterations,
            residual=self.residual,
            sample_rate=settings["sample_rate"],
            n_fft=settings["nfft"],
            n_hop=settings["nhop"],
            nb_channels=settings["nb_channels"],
        )

    def _target(self, target: str, state: Mapping[str, torch.Tensor]) -> Any:
        """One target's network as its training's arguments say, not yet filled."""
        path = self._folder / f"{target}.json"
        try:
            said = _object(path)["args"]
            return require("openunmix.model", EXTRA).OpenUnmix(
                nb_bins=self._settings["nfft"] // 2 + 1,
                nb_channels=self._settings["nb_channels"],
                hidden_size=said["hidden_size"],
                unidirectional=said.get("unidirectional", False),
                max_bin=len(state["input_mean"]),
            )
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(
                f"{path}: expected args with hidden_size, and a network's tensors beside them, "
                f"found {type(error).__name__}: {error}"
            ) from error

    def _parted(self, mixture: NDArray[np.floating]) -> Signal:
        """(targets, time) of (channels, time): each target's mean over its channels."""
        import torch

        samples = mixture.shape[-1]
        if not samples:
            return np.zeros((len(self._targets), 0), np.float32)
        wanted = 1 if self._network.complexnorm.mono else 2
        mono = mixture.mean(axis=0, keepdims=True)
        heard = mixture if len(mixture) == wanted else np.repeat(mono, wanted, axis=0)
        padded = np.pad(heard, ((0, 0), (0, max(0, self.shortest - samples))))
        signal = torch.from_numpy(padded.astype(np.float32)).to(self.device)
        with torch.inference_mode(), self._autocast():
            found = self._network(signal[None])[0].mean(dim=1)[:, :samples]
        return np.ascontiguousarray(found.float().cpu().numpy())

    @functools.cached_property
    def _settings(self) -> Mapping[str, Any]:
        """A folder's separator.json; ValueError where it does not say what it has to."""
        path = self._folder / SEPARATOR
        found = _object(path)
        wanted = ("sample_rate", "nfft", "nhop", "nb_channels")
        if not all(isinstance(found.get(name), int | float) for name in wanted):
            raise ValueError(
                f"{path}: expected numbers for {', '.join(wanted)}, found {found!s:.200}"
            )
        if found["nb_channels"] not in (1, 2):
            raise ValueError(f"{path}: expected 1 or 2 nb_channels, found {found['nb_channels']}")
        return found

    @property
    def _folder(self) -> Path:
        folder = Path(self.checkpoint)
        if not folder.is_dir():
            raise ValueError(
                f"checkpoint {self.checkpoint!r}: expected a folder with {SEPARATOR}, found none: "
                "say where it is"
            )
        return folder

    def _files(self) -> dict[str, Path]:
        """The file of tensors of each target on this machine."""
        if self.bundle:
            return {
                re.sub(HASHED, "", name): self._file(name) for name in BUNDLES[self.bundle].files
            }
        targets = {path.stem for path in self._folder.glob("*.json")} - {Path(SEPARATOR).stem}
        found = {target: _one(self._folder, target) for target in sorted(targets)}
        if not found:
            raise ValueError(
                f"{self._folder}: expected a .json and .pth for each target, found no target"
            )
        return found

    def _file(self, name: str) -> Path:
        address = f"https://zenodo.org/records/{BUNDLES[self.bundle].record}/files/{name}"
        if not self.checkpoint:
            return fetched(address, hub_folder() / "checkpoints" / name)
        if not (path := self._folder / name).is_file():
            raise ValueError(
                f"checkpoint {self.checkpoint!r}: expected the file {name} of {self.bundle}, found "
                f"none: it is at {address}"
            )
        return path


@dataclass(kw_only=True)
class OpenUnmixSeparation(OpenUnmix):
    """Music into its stems, in the checkpoint's order, at their own levels.

    A clip with another number of channels than the network's is mixed down and repeated; one with
    another number of stems is a failure, "wrong_sources".
    """

    task = "separation"
    array = True

    def separate(
        self, mixtures: Sequence[NDArray[np.float32]], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) estimates of each (channels, time) mixture."""
        _check_rate(self, sample_rate)
        self.load()
        check_count(len(self._targets), sources)
        return [self._parted(check_channels(mixture)) for mixture in mixtures]


@dataclass(kw_only=True)
class OpenUnmixEnhancement(OpenUnmix):
    """One target alone: speech out of noise, or the singer out of a song. Hears one channel."""

    task = "enhancement"

    target: str = "speech"
    """Which of the checkpoint's."""

    def enhance(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """The target in each (time,) signal, at its own level."""
        _check_rate(self, sample_rate)
        self.load()
        number = self._targets.index(self.target)
        return [self._parted(check_signal(signal)[None])[number].copy() for signal in signals]

    def _build(self) -> Any:
        network = super()._build()
        if self.target not in self._targets:
            raise ValueError(
                f"{type(self).__name__}: expected a target of {', '.join(self._targets)}, found "
                f"{self.target!r}: say target={self._targets[0]}"
            )
        return network


def _check_rate(model: OpenUnmix, sample_rate: int) -> None:
    if sample_rate != model.sample_rate:
        raise ValueError(
            f"{type(model).__name__}: expected {model.sample_rate} Hz, got {sample_rate}; "
            "resample first"
        )


def _object(path: Path) -> dict[str, Any]:
    """A file's JSON object; ValueError where it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a JSON object as Open-Unmix's training writes it, found "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a JSON object, found {found!s:.100}")
    return found


def _one(folder: Path, target: str) -> Path:
    """A target's file of tensors: of its name, or with a part of its hash behind it."""
    if (plain := folder / f"{target}.pth").is_file():
        return plain
    hashed = re.compile(re.escape(target) + HASHED)
    found = sorted(path.name for path in folder.iterdir() if hashed.fullmatch(path.name))
    if len(found) != 1:
        raise ValueError(
            f"{folder}: expected one file {target}.pth, found {', '.join(found) or 'none'}"
        )
    return folder / found[0]


def _fill(network: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Give a network its tensors; older files hold some more, such as a window."""
    try:
        absent = network.load_state_dict(state, strict=False).missing_keys
    except (RuntimeError, TypeError, AttributeError) as error:
        absent = [" ".join(str(error).split())[:300]]
    lacking = [name for name in absent if not name.endswith("num_batches_tracked")]
    if lacking:
        raise ValueError(
            f"{path}: expected the tensors of {type(network).__name__}, found others: "
            f"{', '.join(lacking[:5])}"
        )
