"""Tuning a recogniser: the grid, the best point, and what a second run has left to do."""

from pathlib import Path

import numpy as np
import pytest

import metrics
import models
from pipelines import tune
from pipelines.config import DatasetConfig
from pipelines.make import make
from pipelines.records import RealEarError
from pipelines.shards.datasets import RandomReader

READINGS = {
    "kind": "readings",
    "texts": ["one two three", "seven eight", "the cold wind blew all night"],
    "voices": ["en-us+f2"],
}


@pytest.fixture
def said(corpora):
    """Three texts, read by a voice."""
    config = DatasetConfig(domain="synthetic", recipe=READINGS, shards=1)
    return make("said", config, corpora.workspace, corpora.engine, {})


def grid(*ranges: str) -> list[dict]:
    return tune.points(ranges)


def test_a_grid_is_every_combination_in_order():
    assert grid("a=1,2", "b=x", "c=0.5,true") == [
        {"a": 1, "b": "x", "c": 0.5},
        {"a": 1, "b": "x", "c": True},
        {"a": 2, "b": "x", "c": 0.5},
        {"a": 2, "b": "x", "c": True},
    ]
    assert grid('a=["x,y", null]') == [{"a": "x,y"}, {"a": None}]
    assert grid("a=1,2,1") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ((), "expected a parameter with two values or more, found none"),
        (("a=1", "b=2"), "expected a parameter with two values or more, found none"),
        (("a=1,1",), "expected a parameter with two values or more, found none"),
        (("a",), "expected name=value,value,…, found 'a'"),
        (("=1,2",), "expected name=value,value,…, found '=1,2'"),
        (("a=1,2", "a=3"), "expected a once, with all its values, found it twice"),
    ],
)
def test_a_wrong_range_is_told(ranges, message):
    with pytest.raises(RealEarError) as caught:
        grid(*ranges)
    assert message in str(caught.value)


def test_words_to_paste_give_the_same_parameters_again():
    given = {"lm_weight": 1.25, "path": "my words.txt", "beam": 5, "fallback": True, "x": None}
    words = tune.Point(given, metrics.Tally.zero()).words
    assert words == (
        "--set lm_weight=1.25 --set 'path=my words.txt' --set beam=5 --set fallback=true "
        "--set x=null"
    )


RANGES = ["max_hmms_per_frame=40,400,2000", "beam=1e-48"]


def test_the_best_point_has_the_fewest_errors_over_all_words(corpora, said, capsys):
    best = tune.tune("pocketsphinx", "said", RANGES, corpora.workspace, corpora.engine,
                     metric="wer:normaliser=basic")  # fmt: skip
    told = capsys.readouterr().out
    reader = RandomReader(said.folder)
    truth = [row.text for row in reader.rows.values()]
    heard = [reader[key].signal(sample_rate=16_000).astype(np.float32) for key in reader.rows]
    reader.close()
    expected = {}
    for most in (40, 400, 2_000):
        model = models.create("pocketsphinx", max_hmms_per_frame=most)
        expected[most] = metrics.wer(truth, model.transcribe(heard), normaliser="basic")
    assert len(set(expected.values())) > 1
    assert best.tally.value == pytest.approx(min(expected.values()))
    assert expected[best.parameters["max_hmms_per_frame"]] == best.tally.value
    assert all(f"{value:.2%}" in told for value in expected.values())
    assert "wer: normaliser=basic" in told
    assert f"Best: {best.words}" in told
    assert (
        best.words == f"--set max_hmms_per_frame={min(expected, key=expected.get)} --set beam=1e-48"
    )


def test_a_second_run_asks_only_for_what_is_new(corpora, said, stamps, monkeypatch):
    def run(*ranges):
        return tune.tune("pocketsphinx", "said", ranges, corpora.workspace, corpora.engine)

    work = Path(corpora.workspace.root)
    first = run("max_hmms_per_frame=40,60")
    before = stamps(work)
    assert run("max_hmms_per_frame=40,60").parameters == first.parameters
    assert stamps(work) == before
    run("max_hmms_per_frame=60,40,80")
    after = stamps(work)
    assert {name: after[name] for name in before} == before
    chains = {name.split("/")[1] for name in after.keys() - before.keys()}
    assert len(chains) == 1


def point(errors: int, failed: int) -> tune.Point:
    """One with so many errors in ten words, and clips without an answer."""
    scored = metrics.Tally.from_arrays(["a"], [errors], [10])
    return tune.Point({}, scored + metrics.Tally(failed={"error": failed} if failed else {}))


def test_a_point_that_fails_on_more_clips_does_not_win():
    careless, careful, worse = point(0, 2), point(3, 0), point(4, 0)
    assert min([careless, careful, worse], key=lambda one: one.order) is careful


@pytest.mark.parametrize(
    ("model", "ranges", "message"),
    [
        ("pocketsphnx", "beam=1,2", "did you mean pocketsphinx"),
        ("pocketsphinx", "baem=1,2", "unknown parameter of model 'pocketsphinx': 'baem'; did you"),
        ("pocketsphinx", "beam=0.1,2", "expected beam to be a number from 1e-300 to 1, got 2"),
        ("wiener", "smoothing=0.9,0.98", "expected one for the task 'recognition', found one for"),
    ],
)
def test_a_wrong_point_is_told_before_any_work(corpora, model, ranges, message):
    with pytest.raises(RealEarError) as caught:
        tune.tune(model, "said", [ranges], corpora.workspace, corpora.engine)
    assert message in str(caught.value)
    assert not Path(corpora.workspace.root).exists()


def test_only_an_error_rate_is_made_smaller(corpora):
    for metric, message in (("stoi", "expected an error rate of words"), ("wre", "wer")):
        with pytest.raises(RealEarError, match=message):
            tune.tune("pocketsphinx", "said", RANGES, corpora.workspace, corpora.engine,
                      metric=metric)  # fmt: skip


def test_nothing_to_score_is_told(corpora):
    corpora.wav("a.wav")
    corpora.prepare("noises", audio="*")
    with pytest.raises(RealEarError, match="expected clips of 'noises' with a transcript and an"):
        tune.tune("pocketsphinx", "noises", ["max_hmms_per_frame=40,50"], corpora.workspace,
                  corpora.engine)  # fmt: skip
