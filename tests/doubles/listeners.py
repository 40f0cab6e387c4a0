"""Models for tests that classify, embed or judge, named as `listeners:Class`."""

from dataclasses import dataclass

import numpy as np

from models.base import Model

HERTZ = {"Low tone": 300.0, "High_Tone": 3000.0, "middle": 1500.0}


@dataclass(kw_only=True)
class Register(Model):
    """A classifier of tones by their spectral centroid: how near each is to three pitches."""

    task = "classification"
    version = "1"

    def load(self):
        self.labels = tuple(HERTZ)

    def classify(self, signals, *, sample_rate):
        return [
            np.array([-abs(centroid(signal, sample_rate) - at) for at in HERTZ.values()])
            for signal in signals
        ]


@dataclass(kw_only=True)
class Optimist(Model):
    """A judge to whom everything sounds alike."""

    task = "quality"
    version = "1"
    stoi: float = 0.9
    si_sdr: float = 10.0

    def estimate(self, signals, *, sample_rate):
        return [{"stoi": self.stoi, "si_sdr": self.si_sdr} for _ in signals]


@dataclass(kw_only=True)
class Spectrum(Model):
    """Embeds a sound as the shares of its energy in four bands."""

    task = "embedding"
    version = "1"

    def embed_audio(self, signals, *, sample_rate):
        energies = [np.abs(np.fft.rfft(signal)) ** 2 for signal in signals]
        return [np.array([band.sum() for band in np.array_split(e / e.sum(), 4)]) for e in energies]


@dataclass(kw_only=True)
class Pitches(Model):
    """Sounds and words on a quarter of a circle: a sound by its centroid, a text by the Hz that it
    ends in.
    """

    task = "embedding"
    version = "1"

    def embed_audio(self, signals, *, sample_rate):
        return [quarter(centroid(signal, sample_rate)) for signal in signals]

    def embed_text(self, texts):
        return [quarter(float(text.split()[-1])) for text in texts]


def quarter(hertz):
    """A direction by a frequency up to 4,000 Hz."""
    angle = 0.5 * np.pi * hertz / 4_000
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def centroid(signal, sample_rate):
    """The centre of a magnitude spectrum, Hz."""
    magnitudes = np.abs(np.fft.rfft(signal))
    return float(np.average(np.fft.rfftfreq(len(signal), 1 / sample_rate), weights=magnitudes))
