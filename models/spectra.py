"""The short-time Fourier transform and its exact inverse, for signals of any length.

Square-root Hann windows on both sides (weighted overlap-add: Griffin & Lim, 1984). With a hop that
divides the window, the squared windows sum to a constant; the signal is padded so that every sample
lies under the full sum, so a spectrogram put back unchanged is the signal.
"""

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Spectrogram: TypeAlias = NDArray[np.complex128]
"""(frames, frequencies), complex128."""

OVERLAP = 4  # windows over each sample: a mask that jumps between frames is heard less
TINY = 1e-30  # a magnitude far under any sound's; keeps silence out of a division


@dataclass(frozen=True)
class STFT:
    """A transform with `overlap` (2 or more) windows over every sample.

    `window_samples` must be a multiple of `overlap`; the hop is their quotient. ValueError if not.
    """

    window_samples: int
    overlap: int = 2

    def __post_init__(self) -> None:
        if self.overlap < 2 or self.window_samples < 1 or self.window_samples % self.overlap:
            raise ValueError(
                f"expected an overlap of 2 or more and a window of a multiple of it, got overlap "
                f"{self.overlap} and {self.window_samples} samples; use STFT.of_seconds"
            )

    @classmethod
    def of_seconds(cls, window_seconds: float, *, sample_rate: int, overlap: int = 2) -> Self:
        """The nearest window that `overlap` divides, at least one sample a hop."""
        hops = max(1, round(window_seconds * sample_rate / overlap))
        return cls(hops * overlap, overlap)

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        return self.window_samples // self.overlap

    @property
    def window(self) -> NDArray[np.float64]:
        """Periodic square-root Hann, (window_samples,), scaled for the squares to overlap to 1."""
        phase = np.pi * np.arange(self.window_samples) / self.window_samples
        return np.asarray(np.sin(phase) * np.sqrt(2 / self.overlap))

    def frames(self, samples: int) -> int:
        """Frames of a signal of `samples`; `overlap - 1` for none."""
        return -(-samples // self.hop_samples) + self.overlap - 1

    def forward(self, signal: NDArray[Any]) -> Spectrogram:
        """(..., time) to (..., frames, frequencies); `overlap - 1` frames begin in the padding."""
        lead = self.window_samples - self.hop_samples
        length = (self.frames(signal.shape[-1]) - 1) * self.hop_samples + self.window_samples
        padded = np.zeros((*signal.shape[:-1], length))
        padded[..., lead : lead + signal.shape[-1]] = signal
        view = np.lib.stride_tricks.sliding_window_view(padded, self.window_samples, axis=-1)
        return np.fft.rfft(view[..., :: self.hop_samples, :] * self.window, axis=-1)

    def inverse(self, spectrogram: Spectrogram, samples: int) -> NDArray[np.float64]:
        """(..., frames, frequencies) to (..., samples) float64, where `forward` had `samples`."""
        pieces = np.fft.irfft(spectrogram, n=self.window_samples, axis=-1) * self.window
        hop, frames = self.hop_samples, spectrogram.shape[-2]
        blocks = np.zeros((*spectrogram.shape[:-2], frames + self.overlap - 1, hop))
        for turn in range(self.overlap):
            blocks[..., turn : turn + frames, :] += pieces[..., turn * hop : (turn + 1) * hop]
        lead = self.window_samples - hop
        return blocks.reshape(*spectrogram.shape[:-2], -1)[..., lead : lead + samples]
