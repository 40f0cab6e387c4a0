"""The example on real mixtures, limited: meetings whose sources nobody has, judged by guesses."""

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from ruamel.yaml import YAML

import models
from leaderboards import export, terminal
from pipelines import evaluate
from pipelines.config import parse_suite
from pipelines.engines import Engine
from pipelines.schema import expand
from pipelines.workspace import Workspace

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "real-mixtures.yaml"
LIMITS = {"pairs": 5, "pairs-in-rooms": 2}
ESTIMATOR = "blind-si-snr"


def limited() -> dict:
    suite = YAML(typ="safe").load(EXAMPLE.read_text(encoding="utf-8"))
    for name, clips in LIMITS.items():
        suite["datasets"][name]["recipe"]["clips"] = clips
    suite["datasets"]["talkers"]["recipe"] |= {"sentences": 3}
    return expand(suite)


@pytest.fixture(scope="module")
def evaluated_mixtures(once, recordings) -> Path:
    """The example's workspace, with its board as CSV and as text; drawing the page is left out."""

    def make(folder: Path) -> None:
        suite = parse_suite(limited(), "real-mixtures")
        found = evaluate.evaluate(suite, Workspace(str(folder)), Engine(workers=1))
        assert found.over_tolerance() == []
        (folder / "board.csv").write_text(export.to_csv(found.board))
        with (folder / "said.txt").open("w") as file:
            terminal.show(found.board, file=file, width=120)

    return once("real-mixtures", make)


def lines(folder: Path, **wanted: str) -> list[dict[str, str]]:
    text = (folder / "board.csv").read_text()
    found = csv.DictReader(io.StringIO(text))
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def sounds(folder: Path, kind: str, suffix: str) -> dict[str, dict[str, np.ndarray]]:
    """Every sound of the tars in a folder, by key and member."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(folder.glob(f"{kind}/*.tar")):
        with tarfile.open(path) as tar:
            for name in tar.getnames():
                key, _, member = name.partition(".")
                if member.endswith(suffix):
                    signal, rate = soundfile.read(io.BytesIO(tar.extractfile(name).read()))
                    assert rate == 8_000
                    found.setdefault(key, {})[member] = signal.astype(np.float32)
    return found


def test_every_overlap_is_judged_though_nobody_has_its_sources(evaluated_mixtures):
    for model in ("mixture", "nmf", "small-conv-tasnet"):
        [line] = lines(evaluated_mixtures, comparison="meetings", model=model, dataset="overlaps",
                       quantity="real")  # fmt: skip
        assert (line["scored"], line["undefined"], line["failed"]) == ("9", "0", "0")
        [gap] = lines(evaluated_mixtures, comparison="meetings", model=model, quantity="gap")
        [near] = lines(evaluated_mixtures, comparison="meetings", model=model, dataset="pairs",
                       quantity="synthetic")  # fmt: skip
        expected = float(near["value"]) - float(line["value"])
        assert float(gap["value"]) == pytest.approx(expected, abs=1e-6)
    assert not lines(evaluated_mixtures, comparison="meetings", quantity="mae", dataset="overlaps")


def test_guesses_equal_a_direct_call_of_the_estimator(evaluated_mixtures):
    judge = models.create(ESTIMATOR)
    heard = sounds(evaluated_mixtures, "datasets/overlaps", "flac")
    answers = sounds(evaluated_mixtures, "predictions/small-conv-tasnet-????????/overlaps", "wav")
    places = evaluated_mixtures.glob("scores/small-conv-tasnet-*+*/overlaps/*/*.parquet")
    rows = {row["key"]: row for path in places for row in pq.read_table(path).to_pylist()}
    assert len(rows) == len(heard) == len(answers) == 9
    for key, row in rows.items():
        estimates = np.stack([answers[key]["s1.wav"], answers[key]["s2.wav"]])
        [expected] = judge.judge([heard[key]["flac"]], [estimates], sample_rate=8_000)
        assert row["value"] == pytest.approx(np.mean(expected["si_snr"]), abs=1e-3)
        detail = json.loads(row["detail"])
        assert detail["outside"] == pytest.approx(expected["outside"], abs=1e-3)


def test_the_estimator_is_checked_on_real_voices_too(evaluated_mixtures):
    found = lines(evaluated_mixtures, comparison="checked", quantity="mae", dataset="mixtures")
    assert {row["model"] for row in found} == {
        "", "mixture", "nmf", "small-conv-tasnet", "oracle-irm"
    }  # fmt: skip
    assert {row["scored"] for row in found if row["model"]} == {"5"}
    [tau] = lines(evaluated_mixtures, comparison="checked", quantity="true_tau", domain="synthetic")
    assert tau["scored"] == "4"
    said = " ".join((evaluated_mixtures / "said.txt").read_text().split())
    assert f"Blind SI-SNR is a guess by {ESTIMATOR}: off by" in said
    assert f"Where it was calibrated, {ESTIMATOR} is off by" in said
    models_there = {row["model"] for row in lines(evaluated_mixtures, comparison="meetings",
                                                  quantity="gap")}  # fmt: skip
    assert models_there == {"mixture", "nmf", "small-conv-tasnet"}  # the oracle has no truth there
