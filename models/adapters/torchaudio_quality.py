"""torchaudio's SQUIM: what STOI, PESQ and SI-SDR would be, guessed without the clean signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.adapters.torchaudio_bundles import Bundled, check_rate_of
from models.base import Signal

if TYPE_CHECKING:
    import torch

NAMES = ("stoi", "pesq", "si_sdr")  # in the order of the network's branches
UNKNOWN = dict.fromkeys(NAMES, float("nan"))


@dataclass(kw_only=True)
class SquimObjective(Bundled):
    """SQUIM's objective network: STOI 0…1, wide-band PESQ 1…4.6, SI-SDR in dB.

    Kumar et al., "TorchAudio-Squim: reference-less speech quality and intelligibility measures in
    TorchAudio", ICASSP 2023. It divides by the clip's level, so of digital silence, as of no sample
    at all, every value is NaN. Level and normalisation take the whole length, which padding would
    change, so only clips of one length share a batch.
    """

    task = "quality"
    version = "1"
    bundles = ("SQUIM_OBJECTIVE",)
    architectures = ("squim_objective_model", "squim_objective_base")

    def estimate(self, signals: Sequence[Signal], *, sample_rate: int) -> list[dict[str, float]]:
        """{"stoi": …, "pesq": …, "si_sdr": …} of each (time,) signal."""
        check_rate_of(self, sample_rate)
        return self._answers(signals, empty=lambda _: dict(UNKNOWN))

    def _build(self) -> Any:
        network = self.filled()
        self.shortest = int(network.encoder.conv1d.kernel_size[0])
        return network

    def _compute(self, batch: torch.Tensor, lengths: torch.Tensor) -> list[dict[str, float]]:
        del lengths  # all alike
        values = [branch.float().cpu().tolist() for branch in self._network(batch)]
        return [dict(zip(NAMES, clip, strict=True)) for clip in zip(*values, strict=True)]

    def _keys(self, bundle: Any) -> tuple[str, ...]:
        return (f"models/{bundle._path}",)

    def _of_bundle(self, bundle: Any) -> torch.nn.Module:
        import torchaudio

        del bundle
        made: torch.nn.Module = torchaudio.models.squim_objective_base()
        return made
