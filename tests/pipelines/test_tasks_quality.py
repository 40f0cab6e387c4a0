"""Quality: guesses in a shard, compared with the true metric of noisy against clean."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import metrics
from metrics import FailedPrediction, UndefinedMetric
from pipelines import batches, tasks
from pipelines.records import Failure
from pipelines.shards.datasets import RandomReader

pytestmark = pytest.mark.usefixtures("doubles")

TASK = tasks.get("quality")
RATE = 16_000


def voice(seed: int, seconds: float = 1.5, rate: int = RATE) -> np.ndarray:
    """Noise that comes and goes like syllables, (time,) in 16 bits."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(size=time.size)
    return np.round(4_000 * noise * np.maximum(np.sin(15 * time), 0.02)).clip(-3e4, 3e4) / 32_768


@pytest.fixture
def made(corpora):
    for number in range(3):
        clean = voice(number)
        corpora.wav(f"clean/{number}.wav", clean, rate=RATE)
        corpora.wav(f"noisy/{number}.wav", clean + 0.3 * voice(number + 9), rate=RATE)
    return corpora.prepare("noisy", audio="noisy/{n}.wav", clean="clean/{n}.wav")


@pytest.fixture
def clip(made):
    reader = RandomReader(made.folder)
    yield reader["noisy/0"] if "noisy/0" in reader else reader[next(iter(reader.rows))]
    reader.close()


class Fake:
    """A judge that gives a fixed answer."""

    padding, batch_seconds, array, sample_rate, role = "none", 0.0, False, None, "model"
    padded_to = 0.0

    def __init__(self, answer) -> None:
        self.answer = answer

    def estimate(self, signals, *, sample_rate):
        return [self.answer for _ in signals]


def test_guesses_are_stored_as_canonical_json(clip):
    [answer] = batches.ask(TASK, Fake({"stoi": np.float32(0.5), "pesq": 2}), [clip])
    assert answer == {"json": b'{"pesq":2.0,"stoi":0.5}'}
    assert tuple(answer) == TASK.members(clip.row)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"stoi": float("nan")}, "not_finite"),
        ({}, "wrong_shape"),
        ([0.9], "wrong_shape"),
        ({"stoi": "good"}, "error"),
    ],
)
def test_what_is_no_guess_costs_its_clip(clip, answer, reason):
    [found] = batches.ask(TASK, Fake(answer), [clip])
    assert isinstance(found, Failure)
    assert found.reason == reason


def test_a_metric_sees_the_clip_as_it_was_heard(clip):
    item = TASK.item(clip, {"json": b'{"stoi":0.5}'}, RATE)
    np.testing.assert_array_equal(item.reference, clip.signal("clean"))
    np.testing.assert_array_equal(item.heard, clip.signal())
    assert item.sample_rate == RATE
    assert item.estimates == {"stoi": 0.5}


def test_nothing_is_brought_up_to_be_measured(clip):
    with pytest.raises(UndefinedMetric, match="recorded at 16000 Hz, to be measured at 48000 Hz"):
        TASK.item(clip, {"json": b"{}"}, 48_000)
    lower = TASK.item(clip, {"json": b"{}"}, 8_000)
    assert lower.reference.shape == lower.heard.shape == (clip.signal().size // 2,)


@pytest.mark.parametrize("answer", [{}, {"json": b"?"}, {"json": b"[]"}, {"json": b'{"a":"b"}'}])
def test_a_stored_answer_that_cannot_be_read_failed(clip, answer):
    with pytest.raises(FailedPrediction):
        TASK.item(clip, answer, RATE)


def test_a_judge_is_scored_from_the_command_line(corpora, made, realear):
    out = corpora.workspace.root
    ended = realear("score", "--dataset", "noisy", "--model", "listeners:Optimist",
                    "--metric", "stoi_error", "--metric", "si_sdr_error",
                    "--out", out, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    assert "Quality on noisy" in ended.text
    reader = RandomReader(made.folder)
    for name, guess in (("stoi", 0.9), ("si_sdr", 10.0)):
        found = rows(out, f"{name}_error")
        assert sorted(found) == sorted(reader.rows)
        for key, row in found.items():
            clean, heard = reader[key].signal("clean"), reader[key].signal()
            arguments = (clean, heard, RATE) if name == "stoi" else (clean, heard)
            truth = float(getattr(metrics, name)(*arguments))
            assert row["value"] == pytest.approx(abs(guess - truth))
            assert json.loads(row["detail"]) == pytest.approx({"estimate": guess, "truth": truth})
    reader.close()


def test_what_a_judge_does_not_say_is_its_failure(corpora, made, realear):
    out = corpora.workspace.root
    ended = realear("score", "--dataset", "noisy", "--model", "listeners:Optimist",
                    "--metric", "pesq_error", "--out", out, "--workers", 1)  # fmt: skip
    assert ended.code == 3
    assert {row["reason"] for row in rows(out, "pesq_error").values()} == {"not_estimated"}


def rows(out: str, metric: str) -> dict[str, dict]:
    tables = Path(out).glob(f"scores/*/noisy/{metric}-*/*.parquet")
    return {row["key"]: row for table in tables for row in pq.read_table(table).to_pylist()}
