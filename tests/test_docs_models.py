"""docs/models.md: its worked example is executed, to a score; what it says of tasks is compared."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

import models
from pipelines import tasks

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/models.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("## A model of your own")[2]
RATE = 16_000


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    lines = [line for block in blocks("console", text) for line in block.splitlines()]
    return [line[2:].strip() for line in lines if line.startswith("$ ")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: noisy recordings with their clean signals, and the files of the page."""
    rng = np.random.default_rng(0)
    for number in range(3):
        clean = 0.3 * np.sin(0.03 * (number + 1) * np.arange(RATE))
        for kind, signal in {"clean": clean, "noisy": clean + 0.1 * rng.normal(size=RATE)}.items():
            (tmp_path / f"recordings/{kind}").mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / f"recordings/{kind}/{number}.wav", signal, RATE)
    for block in blocks("python", EXAMPLE) + blocks("toml", EXAMPLE):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_runs_to_a_score_and_does_better_than_nothing(desk, realear, monkeypatch):
    for command in commands(EXAMPLE):
        rest = command.removeprefix("PYTHONPATH=. ")
        with monkeypatch.context() as patch:
            if command != rest or (desk / "our_models.egg-info").exists():
                patch.syspath_prepend(str(desk))
            run(rest, realear)
            sys.modules.pop("our_filter", None)
    found = si_snr_of_models(desk)
    assert sorted(found) == ["noisy", "our-filter", "our_filter-Filter"]
    assert found["our-filter"] == found["our_filter-Filter"] > found["noisy"] + 5


def run(command: str, realear) -> None:
    """One of the page's commands, in the current folder."""
    program, *words = shlex.split(command)
    if program == "realear":
        ended = realear(*words)
        assert ended.code == 0, f"{command}\n{ended.text}"
    elif program == "python":
        runpy.run_path(*words)
    else:
        assert command == "pip install ."
        # Its metadata where the file lies: what pip does with -e, and needs nothing from elsewhere.
        setup = [sys.executable, "-c", "import setuptools; setuptools.setup()", "egg_info"]
        subprocess.run(setup, check=True, capture_output=True)


def si_snr_of_models(desk: Path) -> dict[str, float]:
    """The mean SI-SNR (dB) of every model that was scored, by its name."""
    found: dict[str, list[float]] = {}
    for table in (desk / "realear/scores").glob("*/ours/si_snr-*/*.parquet"):
        model = table.parts[-4].rpartition("-")[0]
        found.setdefault(model, []).extend(pq.read_table(table)["value"].to_pylist())
    return {model: float(np.mean(values)) for model, values in found.items()}


def test_a_retrained_model_is_another_one(desk, monkeypatch):
    runpy.run_path("train.py")
    monkeypatch.syspath_prepend(str(desk))
    prints = set()
    for data in (Path("filter.pt").read_bytes(), b"other weights"):
        Path("filter.pt").write_bytes(data)
        made = models.create("our_filter:Filter", checkpoint="filter.pt", device="cpu")
        prints.add(models.fingerprint(made, "our_filter:Filter"))
    assert len(prints) == 2
    with pytest.raises(ValueError, match="expected a value for checkpoint, got none"):
        models.create("our_filter:Filter")
    sys.modules.pop("our_filter", None)


def test_the_table_of_tasks_is_the_codes():
    rows = {
        row[1].strip(): row
        for row in (line.split("|") for line in PAGE.splitlines())
        if len(row) == 7 and row[1].strip() in tasks.TASKS
    }
    assert set(rows) == set(tasks.TASKS)
    for name, (_, _, method, _, _, scored, _) in rows.items():
        task = tasks.get(name)
        assert f"`{task.method}(" in method
        assert tuple(re.findall(r"`(\w+)`", scored)) == task.metrics


def test_every_model_it_names_has_that_name():
    named = re.findall(r"(?:predict|--model) ([\w-]+)(?= )", PAGE)
    assert {"whisper-tiny", "transformers-classifier", "transformers-features"} <= set(named)
    assert set(named) - {"our_filter", "our-filter"} <= set(models.MODELS)
