"""How good a separation is where nobody has the true sources: blind estimates of its SI-SNR.

A judge hears a mixture and what a separator made of it, and says for each estimate what its SI-SNR
would be against the source that nobody has, how sure that is, and whether it ever learnt from
anything like it. `docs/blind.md` says how far to trust which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models import calibration as calibrations
from models.base import Signal, check_rate
from models.neural import load_weights
from models.own import Trained

if TYPE_CHECKING:
    import torch

SILENT = 1e-6  # deviation, -120 dBFS: below it a signal is silent or constant
UNKNOWN = float("nan")

Pair = tuple[int, int]  # number of a clip, and of a source in it
Heard = tuple[Signal, Signal, Signal]
"""A mixture, an estimate, and what else the separator made of the mixture; see `others_of`."""


def others_of(mixture: NDArray[Any], estimates: NDArray[Any]) -> NDArray[Any]:
    """The sum of other sources' estimates, (sources, time), each as loud as explains the mixture
    best: (time,), zeros where there are none or all are silent.
    """
    energies = np.einsum("st,st->s", estimates, estimates)
    alike = estimates @ mixture
    gains = np.divide(alike, energies, out=np.zeros_like(alike), where=energies > 0)
    return np.asarray(gains @ estimates, dtype=mixture.dtype)


@dataclass(kw_only=True)
class Judge(Trained):
    """Base of both: which pairs can be judged, batches of them, the calibration."""

    task: ClassVar[str] = "quality"
    version: ClassVar[str] = "1"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    judges: ClassVar[bool] = True
    hears_others: ClassVar[bool] = False
    padding = "exact"
    fewest: ClassVar[int]
    """Samples below which nothing can be said."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read: calibrations.Calibration | None = None

    @cached_property
    def calibration(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        """The card's calibration, from the folder; None where it was never calibrated."""
        try:
            card = json.loads((self.folder / "card.json").read_bytes())
        except (OSError, ValueError):
            return None
        found = card.get("calibration")
        return found if isinstance(found, dict) else None

    def warm_up(self) -> None:
        """Judge a second of noise, so that no clip is charged for what is set up then."""
        rate = self.sample_rate or 8_000
        noise = np.random.default_rng(0).normal(0, 0.1, (2, rate)).astype(np.float32)
        self.judge([noise[0]], [noise[1:]], sample_rate=rate)

    def judge(
        self, mixtures: Sequence[Signal], estimates: Sequence[Signal], *, sample_rate: int
    ) -> list[dict[str, list[float]]]:
        """See `models.base`. ValueError for another rate than the network's, and for estimates that
        are not (sources, time), as long as their mixture.
        """
        self.load()
        if check_rate(sample_rate) != self.sample_rate:
            raise ValueError(
                f"{type(self).__name__}: expected signals at {self.sample_rate} Hz, got "
                f"{sample_rate} Hz; resample them first"
            )
        calibrated = self.calibrated()
        clips = [_checked(*clip) for clip in zip(mixtures, estimates, strict=True)]
        pairs = self._judgeable(clips)
        found: dict[str, Any] = {}
        if pairs:
            heard = [_heard(*clips[n], s) for n, s in pairs]
            alone = np.array([not others.any() for *_, others in heard])
            found = calibrated.judgements(self.guess(heard), alone)
        names = calibrated.names
        answers = [{name: [UNKNOWN] * len(clip[1]) for name in names} for clip in clips]
        for name in found:
            for (number, source), value in zip(pairs, found[name], strict=True):
                answers[number][name][source] = float(value)
        return answers

    def guess(self, heard: Sequence[Heard]) -> calibrations.Guesses:
        """Raw guesses of estimates, of one length with what they come with, sounding and long
        enough.
        """
        self.load()
        order = sorted(range(len(heard)), key=lambda number: len(heard[number][0]))
        rows: list[Any] = [None] * len(heard)
        for batch in self._batches(order, [len(mixture) for mixture, *_ in heard]):
            found = self._guessed([heard[number] for number in batch])
            for number, row in zip(batch, found, strict=True):
                rows[number] = row
        return self._gathered(np.array(rows, dtype=np.float64))

    def _batches(self, order: Sequence[int], lengths: Sequence[int]) -> Iterator[list[int]]:
        """Numbers of clips, the shortest first, as many as `batch_seconds` hold."""
        most = self.batch_seconds * (self.sample_rate or 8_000)
        batch: list[int] = []
        for number in order:
            if batch and (len(batch) + 1) * lengths[number] > most:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _guessed(self, heard: Sequence[Heard]) -> Any:
        import torch

        lengths = [len(mixture) for mixture, *_ in heard]
        sounds = np.zeros((3, len(heard), max(lengths)), np.float32)
        for number, signals in enumerate(heard):
            for rows, signal in zip(sounds, signals, strict=True):
                rows[number, : len(signal)] = signal
        placed = torch.from_numpy(sounds).to(self.device)
        with torch.inference_mode(), self._autocast():
            told = self._told(placed, torch.tensor(lengths, device=self.device))
        return told.float().cpu().numpy()

    def _told(self, sounds: torch.Tensor, lengths: torch.Tensor) -> Any:
        """(batch, figures): what the network says of (3, batch, time) signals, the dB first."""
        raise NotImplementedError

    def _gathered(self, rows: Any) -> calibrations.Guesses:
        """The figures of all pairs, (n, figures), by their names."""
        raise NotImplementedError

    def _build(self) -> Any:
        from models.blind_networks import built

        return self._filled(built(self._config()))

    def calibrated(self) -> calibrations.Calibration:
        """ValueError where the folder holds none."""
        if self._read is None:
            path, values = self.folder / "calibration.safetensors", self.calibration
            if values is None:
                raise ValueError(
                    f"{self.folder}: expected a calibration in card.json, found none: train again"
                )
            arrays = load_weights(path) if path.exists() else {}
            numbers = {name: array.numpy() for name, array in arrays.items()}
            self._read = calibrations.read(values, numbers)
        return self._read

    @property
    def network(self) -> Any:
        """The network itself; None before it is loaded."""
        return self._network

    def _judgeable(self, clips: Sequence[tuple[Signal, Signal]]) -> list[Pair]:
        return [
            (number, source)
            for number, (mixture, parted) in enumerate(clips)
            if len(mixture) >= self.fewest and np.std(mixture) >= SILENT
            for source, estimate in enumerate(parted)
            if np.std(estimate) >= SILENT
        ]


@dataclass(kw_only=True)
class BlindEstimator(Judge):
    """Our own estimator: how much of an estimate is error, cell by cell of its spectrum.

    For any number of sources, each judged beside all the others, whatever their order; at the rate
    it was trained at. See `models.blind_networks.Spectral` and `models.calibration`.
    """

    version = "2"
    architecture = "Spectral"
    hears_others = True
    fewest = 800

    def _told(self, sounds: torch.Tensor, lengths: torch.Tensor) -> Any:
        import torch

        found = self._network(*sounds, lengths)
        figures = torch.stack([found.si_snr, torch.exp(found.log_scale)], dim=1)
        return torch.cat([figures, found.statistics, found.pooled], dim=1)

    def _gathered(self, rows: Any) -> calibrations.Guesses:
        return calibrations.Guesses(rows[:, 0], rows[:, 1], rows[:, 2:])


@dataclass(kw_only=True)
class PublishedEstimator(Judge):
    """REAL-M's network, trained here: Subakan et al., arXiv 2110.10812. It says 0 to 10 dB."""

    architecture = "Published"
    fewest = 65

    def _told(self, sounds: torch.Tensor, lengths: torch.Tensor) -> Any:
        mixtures, estimates, _ = sounds
        return self._network(mixtures, estimates, lengths)[:, None]

    def _gathered(self, rows: Any) -> calibrations.Guesses:
        return calibrations.Guesses(rows[:, 0])


def _heard(mixture: Signal, estimates: Signal, source: int) -> Heard:
    others = np.delete(estimates, source, axis=0)
    return mixture, estimates[source], others_of(mixture, others)


def _checked(mixture: Signal, estimates: Signal) -> tuple[Signal, Signal]:
    heard, parted = np.asarray(mixture, np.float32), np.asarray(estimates, np.float32)
    if heard.ndim != 1 or parted.ndim != 2 or parted.shape[1] != len(heard):
        raise ValueError(
            f"expected a mixture (time,) and estimates (sources, time) of one length, got "
            f"{heard.shape} and {parted.shape}"
        )
    return heard, parted
