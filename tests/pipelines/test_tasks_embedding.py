"""Embedding: a vector a clip in a shard, and a clear word where somebody wants it scored."""

import io

import numpy as np
import pytest

from pipelines import batches, predict, tasks
from pipelines.batches import Failure
from pipelines.score import Answers
from pipelines.shards.datasets import RandomReader

pytestmark = pytest.mark.usefixtures("doubles")

TASK = tasks.get("embedding")
COUNT = 5


@pytest.fixture
def made(corpora):
    for number in range(COUNT):
        corpora.wav(f"{number}.wav", seed=number)
    return corpora.prepare("set", audio="*")


def test_every_clip_has_its_vector_in_the_shard(corpora, made, realear):
    out = corpora.workspace.root
    ended = realear("predict", "listeners:Spectrum", "set", "--out", out, "--workers", 1)
    assert ended.code == 0, ended.text
    asked = predict.handling("listeners-Spectrum", "listeners:Spectrum", "embedding", {})
    model, reader, found = asked.create(), RandomReader(made.folder), {}
    for shard in made.card.shards:
        answers = Answers(corpora.workspace.predictions(asked.chain, "set"), shard.stem)
        found |= {k: answers.of(k) for k, row in reader.rows.items() if row.shard == shard.stem}
        answers.close()
    assert sorted(found) == [str(number) for number in range(COUNT)]
    for key, answer in found.items():
        assert tuple(answer) == TASK.members(reader.row(key))
        heard = reader[key].signal().astype(np.float32)
        [wanted] = model.embed_audio([heard], sample_rate=8_000)
        vector = np.load(io.BytesIO(answer["npy"]), allow_pickle=False)
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, wanted.astype(np.float32))
    reader.close()


@pytest.mark.parametrize("metric", [[], ["--metric", "top_1"]])
def test_whoever_wants_it_scored_is_told_before_any_work(corpora, made, realear, metric):
    out = corpora.workspace.root
    ended = realear("score", "--dataset", "set", "--model", "listeners:Spectrum", *metric,
                    "--out", out)  # fmt: skip
    assert ended.code == 2
    said = " ".join(ended.text.split())
    assert "task 'embedding': expected one that clips are scored by, found one without" in said
    assert "`realear predict` stores its answers" in said
    assert not (corpora.folder.parent / "work/predictions").exists()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [([1, np.inf], "not_finite"), ([[1, 2]], "wrong_shape"), ([], "wrong_shape"),
     (1, "wrong_shape"), (None, "wrong_shape")],
)  # fmt: skip
def test_what_is_no_vector_costs_its_clip(made, answer, reason):
    class Fake:
        padding, batch_seconds, array, sample_rate = "none", 0.0, False, None
        padded_to = 0.0

        def embed_audio(self, signals, *, sample_rate):
            return [answer for _ in signals]

    reader = RandomReader(made.folder)
    [found] = batches.ask(TASK, Fake(), [reader["0"]])
    reader.close()
    assert isinstance(found, Failure)
    assert found.reason == reason


def test_no_clip_is_scored_by_itself(made):
    assert TASK.metrics == ()
    reader = RandomReader(made.folder)
    assert not any(TASK.applies(row) for row in reader.rows.values())
    reader.close()
