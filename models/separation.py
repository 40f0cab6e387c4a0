"""Separators: a mixture in, its sources out; any rate from 1 kHz, any length.

`nmf` masks the spectrogram of the mixture and keeps its phase.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import (
    Model,
    Signal,
    check_number,
    check_rate,
    check_signal,
    check_sources,
)
from models.spectra import OVERLAP, STFT, TINY


@dataclass(kw_only=True)
class Mixture(Model):
    """The floor to beat, the zero of SI-SNRi: the mixture as every estimate."""

    task = "separation"
    version = "1"
    role = "baseline"

    def separate(
        self, mixtures: Sequence[Signal], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) copies of each (time,) mixture."""
        check_rate(sample_rate)
        count = check_sources(sources)
        return [np.tile(check_signal(mix).astype(np.float32), (count, 1)) for mix in mixtures]


@dataclass(kw_only=True)
class BlindNMF(Model):
    """Non-negative matrix factorisation of the magnitudes, its components grouped by timbre.

    Factors by multiplicative updates on the Kullback-Leibler divergence from a deterministic start
    (Lee & Seung, 2001; NNDSVDa: Boutsidis & Gallopoulos, 2008). Nothing is trained, so which
    component belongs to whom is guessed: components are laid along the main axis of their mel
    spectra (after Spiertz & Gnann, DAFx 2009) and cut into groups of about equal energy. Masks are
    generalised Wiener masks (Liutkus & Badeau, ICASSP 2015, with magnitudes that add), so the
    estimates sum to the mixture. It parts sources of unlike timbre; two talkers it hardly parts at
    all. Sources come loudest first. A clip too short for a component a source is shared equally.
    """

    task = "separation"
    version = "1"
    libraries = ("numpy", "scikit-learn", "scipy")
    precision = "float64"

    components_per_source: int = 4
    iterations: int = 100
    window_seconds: float = 0.064

    def __post_init__(self) -> None:
        check_number(self, "components_per_source", 1, 64)
        check_number(self, "iterations", 1, 10_000)
        check_number(self, "window_seconds", 0.004, 0.5)

    def load(self) -> None:
        """Import scikit-learn (a second)."""
        import sklearn.decomposition  # noqa: F401

    def separate(
        self, mixtures: Sequence[Signal], *, sample_rate: int, sources: int
    ) -> list[Signal]:
        """(sources, time) estimates of each (time,) mixture; on one thread, for equal bits."""
        from threadpoolctl import threadpool_limits

        self.load()
        count, rate = check_sources(sources), check_rate(sample_rate)
        with threadpool_limits(1):
            return [self._separate(check_signal(mix), rate, count) for mix in mixtures]

    def _separate(self, mixture: NDArray[np.float64], sample_rate: int, sources: int) -> Signal:
        stft = STFT.of_seconds(self.window_seconds, sample_rate=sample_rate, overlap=OVERLAP)
        spectrogram = stft.forward(mixture)
        magnitudes = np.abs(spectrogram)
        components = min(self.components_per_source * sources, *magnitudes.shape)
        if sources == 1 or components < sources or not magnitudes.any():
            return np.tile((mixture / sources).astype(np.float32), (sources, 1))
        activations, spectra = self._factorise(magnitudes, components)
        groups = _group(activations, spectra, sample_rate=sample_rate, sources=sources)
        parts = np.stack([activations[:, group] @ spectra[group] for group in groups])
        estimates = stft.inverse(_shares(parts) * spectrogram, mixture.size)
        return estimates.astype(np.float32)

    def _factorise(
        self, magnitudes: NDArray[np.float64], components: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Activations (frames, components) and spectra (components, frequencies)."""
        from sklearn.decomposition import NMF

        nmf = NMF(
            components,
            init="nndsvda",
            solver="mu",
            beta_loss="kullback-leibler",
            max_iter=self.iterations,
            tol=0,  # always all the iterations: no threshold for rounding to fall either side of
            random_state=0,  # of the randomised SVD that begins it
        )
        # A start that does not depend on how loud the clip is.
        scale = magnitudes.max()
        activations = nmf.fit_transform(magnitudes / scale)
        return activations * scale, nmf.components_


def _group(
    activations: NDArray[np.float64],
    spectra: NDArray[np.float64],
    *,
    sample_rate: int,
    sources: int,
) -> list[NDArray[np.intp]]:
    """Indices of the components of every source, loudest source first; none is empty."""
    energy = activations.sum(axis=0) * spectra.sum(axis=1)
    timbre = _mel_levels(spectra, sample_rate)
    centred = timbre - np.average(timbre, axis=0, weights=energy + TINY)
    axis = np.linalg.svd(centred * np.sqrt(energy)[:, None], full_matrices=False)[2][0]
    order = np.argsort(centred @ axis, kind="stable")
    cumulative = np.cumsum(energy[order])
    cuts: list[int] = []
    for source in range(1, sources):
        nearest = np.abs(cumulative - cumulative[-1] * source / sources).argmin() + 1
        earliest, latest = cuts[-1] + 1 if cuts else 1, len(order) - (sources - source)
        cuts.append(int(np.clip(nearest, earliest, latest)))
    groups = np.split(order, cuts)
    return sorted(groups, key=lambda group: -float(energy[group].sum()))


MEL_BANDS = 20
MEL_DEPTH = 1e-3  # of a component's sum: what lies 60 dB below shapes no timbre


def _mel_levels(spectra: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Log level of each component in bands of equal width in mel, (components, bands)."""
    frequencies = np.linspace(0, sample_rate / 2, spectra.shape[1])
    mel = np.log1p(frequencies / 700)
    starts = np.unique(np.searchsorted(mel, np.linspace(0, mel[-1], MEL_BANDS, endpoint=False)))
    bands = np.add.reduceat(spectra, starts, axis=1)
    shares = bands / np.maximum(bands.sum(axis=1, keepdims=True), TINY)
    return np.asarray(np.log(shares + MEL_DEPTH))


def _shares(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """`parts` over their sum, along the first axis; equal shares where all are silent."""
    lifted = parts + (1e-9 * parts.max() + TINY)
    return np.asarray(lifted / lifted.sum(axis=0))
