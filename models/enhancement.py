"""Enhancers: noisy speech in, the speech with less noise out; any rate from 1 kHz, any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Model, Signal, check_choice, check_number, check_rate, check_signal
from models.spectra import STFT

TINY = 1e-30  # a power far under any sound's; keeps silence out of a division


@dataclass(kw_only=True)
class Noisy(Model):
    """The floor to beat: the noisy signal as it came."""

    task = "enhancement"
    version = "1"
    role = "baseline"

    def enhance(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """A copy of each (time,) signal."""
        check_rate(sample_rate)
        return [check_signal(signal).astype(np.float32) for signal in signals]


@dataclass(kw_only=True)
class WienerFilter(Model):
    """Wiener filter whose a-priori SNR is estimated decision-directed, over a tracked noise floor.

    A-priori SNR: Ephraim & Malah, "Speech enhancement using a minimum mean-square error
    short-time spectral amplitude estimator", IEEE Trans. ASSP 32(6), 1984; gain SNR / (1 + SNR):
    Scalart & Filho, ICASSP 1996. Noise: Gerkmann & Hendriks, "Unbiased MMSE-based noise power
    estimation with low complexity and low tracking delay", IEEE Trans. ASLP 20(4), 2012, begun from
    the mean of the clip's first 0.1 s. The defaults are the literature's, none fitted to a
    recording. A clip shorter than about 0.1 s is all noise to it, and comes back quieter.
    """

    task = "enhancement"
    version = "1"
    libraries = ("numpy",)
    precision = "float64"

    window_seconds: float = 0.032
    smoothing: float = 0.98
    """Weight of the frame before in the a-priori SNR: higher is smoother, less musical noise."""
    snr_floor_db: float = -15.0
    """Least a-priori SNR (Cappé, 1994): what stays of the noise masks its unevenness."""

    def __post_init__(self) -> None:
        check_number(self, "window_seconds", 0.004, 0.5)
        check_number(self, "smoothing", 0.0, 0.999)
        check_number(self, "snr_floor_db", -60.0, 0.0)

    def enhance(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """Each (time,) signal filtered, float32 of its own length."""
        stft = STFT.of_seconds(self.window_seconds, sample_rate=check_rate(sample_rate))
        return [self._filter(check_signal(signal), stft, sample_rate) for signal in signals]

    def _filter(self, signal: NDArray[np.float64], stft: STFT, sample_rate: int) -> Signal:
        spectrogram = stft.forward(signal)
        power = np.abs(spectrogram) ** 2
        lead_frames = max(1, round(LEAD_SECONDS * sample_rate / stft.hop_samples))
        noise = track_noise(power, first=stft.overlap - 1, lead_frames=lead_frames)
        gains = self._gains(power, noise)
        return stft.inverse(spectrogram * gains, signal.size).astype(np.float32)

    def _gains(self, power: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gain of every (frame, frequency), from the floor's to below 1."""
        floor = 10 ** (self.snr_floor_db / 10)
        posterior = power / noise
        instant = np.maximum(posterior - 1, 0)
        gains = np.empty_like(power)
        before = np.ones(power.shape[1])  # SNR of the last frame's answer; 1 before the first
        for frame, rise in enumerate(instant):
            prior = np.maximum(self.smoothing * before + (1 - self.smoothing) * rise, floor)
            gains[frame] = prior / (1 + prior)
            before = gains[frame] ** 2 * posterior[frame]
        return gains


LEAD_SECONDS = 0.1  # start of a clip that the first noise estimate is made from
PRESENT_SNR = 10**1.5  # a-priori SNR of speech where it is present: 15 dB
PRESENCE_SMOOTHING = 0.9
PRESENCE_LIMIT = 0.99  # above it the floor would stand still for ever
NOISE_SMOOTHING = 0.8
NOISE_LEAST = 1e-10  # of the clip's mean power: digital silence is not a noise floor


def track_noise(power: NDArray[np.float64], *, first: int, lead_frames: int) -> NDArray[np.float64]:
    """Noise power of every (frame, frequency) by speech presence probability, always above 0.

    `power` (frames, frequencies) is |STFT|²; the estimate begins from the mean of `lead_frames`
    frames from `first` on (those before lie partly in padding). Constants: Gerkmann & Hendriks,
    for a hop of 16 ms. In pure noise the rule settles about 1 dB under the true power.
    """
    least = NOISE_LEAST * power.mean() + TINY
    lead = power[first : first + lead_frames]
    floor = np.maximum(lead.mean(axis=0) if lead.size else power.mean(axis=0), least)
    smoothed = np.zeros(power.shape[1])
    noise = np.empty_like(power)
    slope = PRESENT_SNR / (1 + PRESENT_SNR)
    for frame, now in enumerate(power):
        presence = 1 / (1 + (1 + PRESENT_SNR) * np.exp(-slope * np.minimum(now / floor, 500)))
        smoothed = PRESENCE_SMOOTHING * smoothed + (1 - PRESENCE_SMOOTHING) * presence
        presence = np.where(
            smoothed > PRESENCE_LIMIT, np.minimum(presence, PRESENCE_LIMIT), presence
        )
        update = (1 - presence) * now + presence * floor
        floor = np.maximum(NOISE_SMOOTHING * floor + (1 - NOISE_SMOOTHING) * update, least)
        noise[frame] = floor
    return noise


@dataclass(kw_only=True)
class SpectralGating(Model):
    """Spectral gating by the noisereduce library: a bin near its band's running mean is closed.

    Sainburg, Thielk & Gentner, PLOS Computational Biology 16(10), 2020. The defaults are the
    library's at 16 kHz; the window is in seconds here, so that other rates get the same. A clip
    shorter than a window is filled up with silence for the filter, and cut again. The library takes
    much of steady speech for background, so speech, too, comes back quieter.
    """

    task = "enhancement"
    version = "1"
    libraries = ("noisereduce", "numpy", "scipy")
    precision = "float64"

    stationary: bool = False
    """One threshold for the whole clip, in place of a running one."""
    reduction: float = 1.0
    """Share of the gated sound that is taken away: 0 nothing, 1 all."""
    time_constant_seconds: float = 2.0
    """Of the running mean."""
    window_seconds: float = 0.064

    def __post_init__(self) -> None:
        check_choice(self, "stationary", (False, True))
        check_number(self, "reduction", 0.0, 1.0)
        check_number(self, "time_constant_seconds", 0.05, 60.0)
        # The library's mask smoothing, 500 Hz by 50 ms, must cover a bin and a hop.
        check_number(self, "window_seconds", 0.008, 0.19)

    def load(self) -> None:
        """Import noisereduce (and torch with it: 2 s, 450 MB)."""
        import noisereduce  # noqa: F401

    def enhance(self, signals: Sequence[Signal], *, sample_rate: int) -> list[Signal]:
        """Each (time,) signal gated, float32 of its own length; silence stays silence."""
        self.load()
        rate = check_rate(sample_rate)
        return [self._gate(check_signal(signal), rate) for signal in signals]

    def _gate(self, signal: NDArray[np.float64], sample_rate: int) -> Signal:
        if not signal.any():
            return np.zeros(signal.size, np.float32)  # the library would divide 0 by 0
        window = 4 * round(self.window_seconds * sample_rate / 4)
        filled = np.pad(signal, (0, max(0, window - signal.size)))
        return _reduce_noise(filled, sample_rate, self._options(window))[: signal.size]

    def _options(self, window_samples: int) -> dict[str, Any]:
        return {
            "stationary": self.stationary,
            "prop_decrease": self.reduction,
            "time_constant_s": self.time_constant_seconds,
            "n_fft": window_samples,
        }


def _reduce_noise(signal: NDArray[np.float64], sample_rate: int, options: dict[str, Any]) -> Signal:
    import noisereduce

    gated = noisereduce.reduce_noise(y=signal, sr=sample_rate, n_jobs=1, **options)
    return np.asarray(gated, dtype=np.float32)
