"""Separators that hear every microphone, (channels, time), and nothing of what was trained.

Both find an unmixing whose outputs are as independent as can be, and bring each output to what the
first channel hears of it, so that no filter of the room is guessed (minimal distortion principle:
Matsuoka & Nakashima, ICA 2001). Sources come loudest first. A clip of fewer channels than sources
is a failure, "too_few_channels"; of one that is too short, or whose channels hold fewer independent
signals than sources, each source is an equal share of the first channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Model, Signal, check_choice, check_number, check_rate, check_sources
from models.spectra import STFT, Spectrogram

DEPENDENT = 1e-10  # of the largest eigenvalue of the covariance: below it a direction holds nothing


def check_channels(signal: NDArray[Any]) -> NDArray[np.float64]:
    """A float64 copy of one clip, (channels, time); ValueError for any other shape."""
    if np.ndim(signal) != 2 or not len(signal):
        raise ValueError(
            f"expected one clip shaped (channels, time), got shape {np.shape(signal)}; "
            "pass a list of clips with all their channels"
        )
    return np.array(signal, dtype=np.float64)


@dataclass(kw_only=True)
class ArraySeparator(Model):
    """Base of both: what every clip goes through before and after the unmixing."""

    task = "separation"
    array = True
    precision = "float64"

    def separate(
        self, mixtures: Sequence[NDArray[np.float32]], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) estimates of each (channels, time) mixture, as its first channel hears
        them; on one thread, for equal bits.
        """
        from threadpoolctl import threadpool_limits

        self.load()
        count, rate = check_sources(sources), check_rate(sample_rate)
        with threadpool_limits(1):
            return [self._separate(check_channels(mix), rate, count) for mix in mixtures]

    def _separate(self, mixture: NDArray[np.float64], sample_rate: int, sources: int) -> Signal:
        if len(mixture) < sources:
            detail = f"{sources} sources need as many channels, found {len(mixture)}"
            raise _failed("too_few_channels", detail)
        if sources == 1 or independent(mixture) < sources:
            found = np.tile(mixture[0] / sources, (sources, 1))
        else:
            found = self._unmix(mixture, sample_rate, sources)
        loudest_first = np.argsort(-(found**2).sum(axis=1), kind="stable")
        return found[loudest_first].astype(np.float32)

    def _unmix(
        self, mixture: NDArray[np.float64], sample_rate: int, sources: int
    ) -> NDArray[np.float64]:
        """(sources, time) of (channels, time), as the first channel hears them."""
        raise NotImplementedError


def independent(mixture: NDArray[np.float64]) -> int:
    """How many directions of (channels, time) hold a signal at all; 0 for none and for silence."""
    if mixture.shape[1] < 2:
        return 0
    values = np.linalg.eigvalsh(np.cov(mixture))
    return int((values > DEPENDENT * values[-1]).sum()) if values[-1] > 0 else 0


def _failed(reason: str, detail: str) -> Exception:
    from metrics import FailedPrediction  # 20 ms that naming a model need not pay

    return FailedPrediction(reason, detail)


@dataclass(kw_only=True)
class FastICA(ArraySeparator):
    """Independent component analysis of the samples: for mixtures without delays.

    Hyvärinen, "Fast and robust fixed-point algorithms for independent component analysis", IEEE
    Trans. Neural Networks 10(3), 1999, by scikit-learn: symmetric, from a start that never changes.
    A room delays and reverberates, and there `auxiva` is the one to ask. Of more channels than
    sources it takes the principal components. What has not settled after `iterations` is answered
    as it stands.
    """

    version = "1"
    libraries = ("numpy", "scikit-learn", "scipy")

    iterations: int = 1000
    contrast: str = "logcosh"
    """"logcosh", "exp" or "cube": what stands for non-Gaussianity."""

    def __post_init__(self) -> None:
        check_number(self, "iterations", 1, 100_000)
        check_choice(self, "contrast", ("logcosh", "exp", "cube"))

    def load(self) -> None:
        """Import scikit-learn (a second)."""
        import sklearn.decomposition  # noqa: F401

    def _unmix(
        self, mixture: NDArray[np.float64], sample_rate: int, sources: int
    ) -> NDArray[np.float64]:
        import warnings

        from sklearn.decomposition import FastICA as Analysis
        from sklearn.exceptions import ConvergenceWarning

        del sample_rate
        analysis = Analysis(
            sources,
            fun=self.contrast,
            max_iter=self.iterations,
            whiten="unit-variance",
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as the class says
            analysis.fit(mixture.T / np.abs(mixture).max())
        # Each output times its weight in channel 0; a constant goes where the unmixing puts it.
        return np.asarray(analysis.mixing_[0][:, None] * (analysis.components_ @ mixture))


@dataclass(kw_only=True)
class AuxIVA(ArraySeparator):
    """Independent vector analysis of the spectra: for rooms, talkers that stand still.

    Ono, "Stable and fast update rules for independent vector analysis based on auxiliary function
    technique", WASPAA 2011; with more channels than sources, OverIVA: Scheibler & Ono, WASPAA 2019.
    By pyroomacoustics, whose outputs are fitted to the first channel band by band, by least squares
    (`projection_back`). A window should be about as long as the room rings.
    """

    version = "1"
    libraries = ("numpy", "pyroomacoustics")

    iterations: int = 30
    window_seconds: float = 0.256
    source: str = "laplace"
    """What a talker's frames are taken for: "laplace", or "gauss" of varying variance, which parts
    better where it settles, and where it does not is a failure, "no_unmixing"."""

    def __post_init__(self) -> None:
        check_number(self, "iterations", 1, 10_000)
        check_number(self, "window_seconds", 0.004, 2.0)
        check_choice(self, "source", ("laplace", "gauss"))

    def load(self) -> None:
        """Import pyroomacoustics (a second)."""
        import pyroomacoustics  # noqa: F401

    def _unmix(
        self, mixture: NDArray[np.float64], sample_rate: int, sources: int
    ) -> NDArray[np.float64]:
        from pyroomacoustics.bss import projection_back

        stft = STFT.of_seconds(self.window_seconds, sample_rate=sample_rate, overlap=OVERLAP)
        channels, samples = mixture.shape
        if stft.frames(samples) < max(LEAST_FRAMES, 2 * channels):
            return np.tile(mixture[0] / sources, (sources, 1))
        dither = np.random.default_rng(0).standard_normal(mixture.shape)
        learnt = stft.forward(mixture / np.abs(mixture).max() + DITHER * dither)
        spectra = stft.forward(mixture)
        found = np.einsum("fsc,ctf->tfs", self._filters(learnt, sources), spectra)
        found *= projection_back(found, spectra[0]).conj()
        return stft.inverse(found.transpose(2, 0, 1), samples)

    def _filters(self, spectra: Spectrogram, sources: int) -> Spectrogram:
        """(frequencies, sources, channels) of (channels, frames, frequencies)."""
        from pyroomacoustics.bss import auxiva

        try:
            with np.errstate(all="ignore"):  # seen below
                _, filters = auxiva(
                    spectra.transpose(1, 2, 0),
                    n_src=sources,
                    n_iter=self.iterations,
                    model=self.source,
                    return_filters=True,
                )
        except np.linalg.LinAlgError as error:
            raise _failed("no_unmixing", str(error)) from error
        if not np.isfinite(filters).all():
            raise _failed("no_unmixing", "the filters grew without bounds")
        return np.asarray(filters)


OVERLAP = 4  # windows over each sample
LEAST_FRAMES = 8  # from which something can be learnt
DITHER = 1e-6  # of the peak, under any recording's own noise: no band is then without a solution
