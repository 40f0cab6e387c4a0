"""Clips that need no recording, and the folder of real ones, named by `REALEAR_RECORDINGS`."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def recordings() -> Path:
    folder = os.environ.get("REALEAR_RECORDINGS")
    if not folder:
        pytest.skip("REALEAR_RECORDINGS is not set")
    return Path(folder)


def babble(seconds: float, *, sample_rate: int, seed: int, pitch: float = 120.0) -> np.ndarray:
    """Speech-like: harmonics of a wavering pitch in syllables with pauses between, peak 0.5."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(5 * time))) / sample_rate
    tops = range(1, int(min(3500, sample_rate / 2) / pitch))
    voice = sum(rng.uniform(0.2, 1) / top * np.sin(top * phase) for top in tops)
    syllables = np.maximum(np.sin(2 * np.pi * 2.5 * time - 1.5), 0)
    signal = voice * syllables
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


@pytest.fixture(scope="session")
def speech_like():
    return babble
