"""Real recordings for the metric tests, read once a session from the folder REALEAR_RECORDINGS."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from hypothesis import settings

settings.register_profile("metrics", derandomize=True, database=None, deadline=None)
settings.load_profile("metrics")


class Recording(NamedTuple):
    references: np.ndarray  # (sources, time) float64
    mixture: np.ndarray  # (time,) float64
    sample_rate: int  # Hz


def recordings_folder() -> Path:
    folder = os.environ.get("REALEAR_RECORDINGS")
    if not folder:
        pytest.skip("REALEAR_RECORDINGS is not set")
    return Path(folder)


def read(folder: Path, name: str, mixture: str, *sources: str) -> Recording:
    parts = [soundfile.read(folder / source / name)[0] for source in sources]
    heard, rate = soundfile.read(folder / mixture / name)
    return Recording(np.stack(parts), heard, rate)


@pytest.fixture(scope="session")
def mixtures() -> list[Recording]:
    """Five noisy mixtures of two readers, 8 kHz."""
    folder = recordings_folder() / "two-speaker-mixtures"
    names = sorted(path.name for path in (folder / "mix").iterdir())
    assert len(names) == 5
    return [read(folder, name, "mix", "s1", "s2") for name in names]


@pytest.fixture(scope="session")
def noisy_speech() -> list[Recording]:
    """Four noisy sentences with their clean signal, 16 kHz."""
    folder = recordings_folder() / "voicebank-demand"
    names = sorted(path.name for path in (folder / "noisy").iterdir())
    assert len(names) == 4
    return [read(folder, name, "noisy", "clean") for name in names]


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Twelve Harvard sentences as their readers' transcripts have them."""
    lines = (recordings_folder() / "read-sentences" / "transcripts.tsv").read_text().splitlines()
    return [line.split("\t")[1] for line in lines]
