"""Tiny corpora, and how to prepare them without a worker process."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import clusters, fetching, make
from pipelines.config import DatasetConfig
from pipelines.engines import Engine
from pipelines.records import RealEarError
from pipelines.workspace import Workspace

RATE = 8_000  # Hz


@pytest.fixture(scope="session")
def recordings() -> Path:
    folder = os.environ.get("REALEAR_RECORDINGS")
    if not folder:
        pytest.skip("REALEAR_RECORDINGS is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def flink_parts() -> None:
    """Java, Flink and Beam's job server for it; what needs them is skipped where one is missing."""
    try:
        clusters.java()
    except RealEarError as error:
        pytest.skip(f"no Flink: {error}")
    if fetching.server("flink", fetching.FLINK) is None or not fetching.distribution().is_dir():
        pytest.skip("no Flink: its parts are not in the cache: realear doctor --fetch flink")


@pytest.fixture(scope="session")
def flink(flink_parts) -> Iterator[str]:
    """A session cluster with two task slots: its address."""
    port, rpc = clusters.free_ports(2)
    words = [sys.executable, "-m", "pipelines.cli", "cluster", "--slots", "2", "--port", str(port)]
    words += ["--set", f"jobmanager.rpc.port={rpc}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert f"127.0.0.1:{port}, 2 task slots" in said, said
        yield f"127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def noise(samples: int = 800, *, seed: int = 0) -> np.ndarray:
    """(time,) float64, white, well below full scale; 16 bits hold it exactly."""
    return np.random.default_rng(seed).integers(-12_000, 12_000, samples) / 32_768


def write_wav(path: Path, signal: np.ndarray | None = None, *, rate: int = RATE,
              subtype: str = "PCM_16", seed: int = 0) -> Path:  # fmt: skip
    """A file in the format of its suffix; noise where no signal is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise(seed=seed) if signal is None else signal, rate, subtype=subtype)
    return path


def wav_of_length(promised: int, signal: np.ndarray) -> bytes:
    """A 16-bit mono WAV whose header promises that many bytes of data."""
    pcm = np.rint(signal * 32_768).astype("<i2").tobytes()
    header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", min(promised + 36, 0xFFFFFFFF), b"WAVE",
                         b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)  # fmt: skip
    return header + struct.pack("<4sI", b"data", promised) + pcm


class Corpora:
    """Makes recordings in a folder and prepares them in a workspace."""

    noise = staticmethod(noise)
    wav_of_length = staticmethod(wav_of_length)

    def __init__(self, root: Path) -> None:
        self.folder = root / "corpus"
        self.folder.mkdir()
        self.workspace = Workspace(str(root / "work"))
        self.engine = Engine(workers=1)

    def wav(self, name: str, signal: np.ndarray | None = None, **options) -> Path:
        return write_wav(self.folder / name, signal, **options)

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def prepare(self, dataset: str = "set", *, config: dict | None = None, **corpus) -> make.Made:
        """Prepare with the reader `files`, or with a manifest if `file` is given."""
        if "file" in corpus:
            corpus = {"reader": "manifest", **corpus}
        corpus = {"folder": str(self.folder), **corpus}
        checked = DatasetConfig(
            **{"domain": "real", "tolerate": 1, "corpus": corpus} | (config or {})
        )
        return make.make(dataset, checked, self.workspace, self.engine, {})


@pytest.fixture
def corpora(tmp_path: Path) -> Corpora:
    return Corpora(tmp_path)
