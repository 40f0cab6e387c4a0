"""Classification: logits and names in a shard, matched by name with the dataset's classes."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from metrics import FailedPrediction, UndefinedMetric
from pipelines import batches, tasks
from pipelines.records import Failure
from pipelines.shards.datasets import RandomReader

pytestmark = pytest.mark.usefixtures("doubles")

TASK = tasks.get("classification")
TONES = {"low-tone_1": 310, "low-tone_2": 400, "high-tone_1": 2_900, "MIDDLE_1": 3_100}  # Hz
UNKNOWN = "whistle_1"


def tone(hertz: float, samples: int = 8_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / 8_000)


@pytest.fixture
def made(corpora):
    for name, hertz in {**TONES, UNKNOWN: 1_000}.items():
        corpora.wav(f"{name}.wav", tone(hertz))
    return corpora.prepare("tones", audio="{class}_{take}.wav")


@pytest.fixture
def clips(made):
    reader = RandomReader(made.folder)
    yield {key: reader[key] for key in reader.rows}
    reader.close()


class Fake:
    """A classifier that gives a fixed answer."""

    padding, batch_seconds, array, sample_rate, role = "none", 0.0, False, None, "model"
    padded_to = 0.0

    def __init__(self, logits, labels=("dog", "rain", "wind")) -> None:
        self.logits, self.labels = logits, labels

    def classify(self, signals, *, sample_rate):
        return [self.logits for _ in signals]


def ask(model, clips) -> dict[str, bytes] | Failure:
    return batches.ask(TASK, model, [next(iter(clips.values()))])[0]


def stored(labels, logits) -> dict[str, bytes]:
    [answer] = [TASK.stored(None, (labels, logits))]
    return answer


def test_an_answer_is_read_without_its_neighbours_and_is_the_same_bytes_twice(clips):
    answer = ask(Fake([0.5, -1, 2]), clips)
    assert sorted(answer) == sorted(TASK.members(next(iter(clips.values())).row))
    logits = np.load(io.BytesIO(answer["npy"]), allow_pickle=False)
    assert logits.dtype == np.float32
    assert logits.tolist() == [0.5, -1, 2]
    assert json.loads(answer["json"]) == {"labels": ["dog", "rain", "wind"]}
    assert ask(Fake(np.array([0.5, -1, 2], ">f8")), clips) == answer


@pytest.mark.parametrize(
    ("logits", "labels", "reason"),
    [
        ([1, np.nan, 0], "abc", "not_finite"),
        ([1, 2], "abc", "wrong_classes"),
        ([[1, 2, 3]], "abc", "wrong_shape"),
        ([], "", "wrong_shape"),
        ([1, 2, 3], "aba", "wrong_labels"),
        ([1, 2, 3], (1, 2, 3), "wrong_labels"),
        ("words", "abc", "error"),
    ],
)
def test_an_answer_that_is_none_costs_its_clip(clips, logits, labels, reason):
    found = ask(Fake(logits, tuple(labels)), clips)
    assert isinstance(found, Failure)
    assert found.reason == reason


LABELS = ("Dog", "Crying baby", "Air_Conditioner", "rain", "Rain", "yes")


@pytest.mark.parametrize(
    ("truth", "place"),
    [("dog", 0), ("crying_baby", 1), ("air conditioner", 2), ("air-conditioner", 2), ("Rain", 4),
     ("rain", 3), ("_yes_", 5)],
)  # fmt: skip
def test_classes_are_matched_by_name(corpora, truth, place):
    item = item_of(corpora, {"class": truth}, stored(LABELS, np.arange(6.0)))
    assert item.label == place
    assert item.scores.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"class": "cat"}, "unknown_label"),
        ({"class": "do g"}, "unknown_label"),
        ({"class": "RAIN"}, "unknown_label"),  # may be either
        ({"fold": "1"}, "no_reference"),
        ({"class": ""}, "no_reference"),
    ],
)
def test_a_class_that_the_model_does_not_know_is_undefined(corpora, labels, reason):
    with pytest.raises(UndefinedMetric) as caught:
        item_of(corpora, labels, stored(LABELS, np.arange(6.0)))
    assert caught.value.reason == reason


def test_another_corpuss_word_for_a_class_is_understood(corpora):
    item = item_of(corpora, {"label": "dog"}, stored(LABELS, np.arange(6.0)))
    assert item.label == 0
    both = {"label": "dog", "class": "yes"}
    assert item_of(corpora, both, stored(LABELS, np.arange(6.0))).label == 5


GOOD = stored(("dog", "cat"), [1.0, 2.0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"npy": None}, "missing"),
        ({"json": None}, "missing"),
        ({"npy": b"?"}, "undecodable"),
        ({"json": b"?"}, "undecodable"),
        ({"json": b"[]"}, "undecodable"),
        ({"json": b"{}"}, "wrong_classes"),
        ({"json": b'{"labels":["dog"]}'}, "wrong_classes"),
    ],
)
def test_a_stored_answer_that_cannot_be_read_failed(corpora, change, reason):
    answer = {name: data for name, data in {**GOOD, **change}.items() if data is not None}
    with pytest.raises(FailedPrediction) as caught:
        item_of(corpora, {"class": "dog"}, answer)
    assert caught.value.reason == reason


def test_a_pickle_in_the_place_of_logits_is_not_opened(corpora, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(), None], object), allow_pickle=True)
    with pytest.raises(FailedPrediction, match="undecodable"):
        item_of(corpora, {"class": "dog"}, {**GOOD, "npy": buffer.getvalue()})
    assert not (tmp_path / "sprung").exists()


def item_of(corpora, labels, answer):
    """What a metric would see of a clip with these labels."""
    from types import SimpleNamespace

    return TASK.item(SimpleNamespace(row=SimpleNamespace(labels=labels)), answer, None)


def test_a_classifier_is_scored_from_the_command_line(corpora, made, realear):
    out = corpora.workspace.root
    ended = realear("score", "--dataset", "tones", "--model", "listeners:Register",
                    "--metric", "top_1", "--out", out, "--workers", 1)  # fmt: skip
    assert ended.code == 0, ended.text
    assert "Classification on tones" in ended.text
    assert rows(out, "top_1") == {
        "low-tone_1": ("scored", 1.0, None),
        "low-tone_2": ("scored", 1.0, None),
        "high-tone_1": ("scored", 1.0, None),
        "MIDDLE_1": ("scored", 0.0, None),
        UNKNOWN: ("undefined", None, "unknown_label"),
    }
    assert any("listeners-Register" in x and "75.0" in x for x in ended.text.splitlines())
    [shard, *_] = sorted(Path(out).glob("predictions/listeners-Register-*/tones/*.tar"))
    with tarfile.open(shard) as tar:
        suffixes = {name.partition(".")[2] for name in tar.getnames()}
    assert suffixes == {"npy", "json"}
    again = realear("score", "--dataset", "tones", "--model", "listeners:Register", "--out", out,
                    "--workers", 1)  # fmt: skip
    assert again.code == 0, again.text
    assert {reason for _, _, reason in rows(out, "top_5").values()} >= {"too_few_classes"}


def rows(out: str, metric: str) -> dict[str, tuple]:
    tables = Path(out).glob(f"scores/*/tones/{metric}-*/*.parquet")
    listed = [row for table in tables for row in pq.read_table(table).to_pylist()]
    return {row["key"]: (row["end"], row["value"], row["reason"]) for row in listed}
