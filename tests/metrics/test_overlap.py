import sys
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.base import UndefinedMetric
from metrics.overlap import cp_wer, orc_wer, score_cp_wer, score_orc_wer

WORDS = st.lists(st.sampled_from("abc"), max_size=4).map(" ".join)
SPEAKERS = st.lists(WORDS, max_size=3)


def edits(reference, hypothesis):
    """Levenshtein distance by the textbook's table."""
    row = list(range(len(hypothesis) + 1))
    for i, wanted in enumerate(reference, 1):
        last, row[0] = row[0], i
        for j, found in enumerate(hypothesis, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (wanted != found))
    return row[-1]


def named(texts):
    return {f"s{n}": text for n, text in enumerate(texts)}


@given(SPEAKERS, SPEAKERS)
def test_cp_wer_is_the_best_of_all_permutations(said, heard):
    size = max(len(said), len(heard))
    a, b = ([*texts, *[""] * (size - len(texts))] for texts in (said, heard))
    best = min(
        sum(edits(x.split(), y.split()) for x, y in zip(a, order, strict=True))
        for order in permutations(b)
    )
    found = score_cp_wer(named(said), named(heard))
    assert found.numerator == best
    assert found.denominator == sum(len(text.split()) for text in said)
    split = [found.detail[kind] for kind in ("substitutions", "deletions", "insertions")]
    assert sum(split) == best


@given(SPEAKERS, SPEAKERS)
def test_orc_wer_is_the_best_of_all_assignments(said, heard):
    def cost(streams):
        joined = [
            " ".join(text for text, stream in zip(said, streams, strict=True) if stream == n)
            for n in range(len(heard))
        ]
        return sum(edits(x.split(), y.split()) for x, y in zip(joined, heard, strict=True))

    words = sum(len(text.split()) for text in said)
    best = min(map(cost, product(range(len(heard)), repeat=len(said)))) if heard else words
    found = score_orc_wer(said, named(heard))
    assert (found.numerator, found.denominator) == (best, words)
    assert len(found.detail["assignment"]) == len(said)


def test_golden_values_of_meeteval():
    # The examples of meeteval's documentation.
    assert cp_wer({"A": "a b", "B": "c d"}, {"x": "a b", "y": "c d", "z": "e f"}) == 0.5
    assert cp_wer({"A": "a", "B": "b", "C": "c d"}, {"x": "a", "y": "b"}) == 0.5
    assert cp_wer({"A": "a b"}, {"x": "z", "y": "a e f"}) == 1.5
    assert orc_wer(["a b", "c d", "e f"], {"x": "a b c d e f"}) == 0.0
    assert orc_wer(["a b", "c d", "e f"], {"x": "a b", "y": "c d e f"}) == 0.0
    assert orc_wer(["a", "c d", "e"], {"x": "a c", "y": "d e"}) == 0.5


def test_who_is_named_how_does_not_matter():
    said = {"anna": ["hello there", "yes"], "ben": "good morning"}
    found = score_cp_wer(said, {"1": "good morning", "2": "hello there yes"})
    assert found.value == 0.0
    assert sorted(found.detail["assignment"]) == [["anna", "2"], ["ben", "1"]]
    missed = score_cp_wer(said, {"1": "good morning"})
    assert (missed.numerator, missed.detail["missed_speakers"]) == (3, 1)
    assert ["anna", None] in missed.detail["assignment"]


def test_a_confused_speaker_costs_cp_wer_and_not_orc_wer():
    said = {"anna": ["hello there", "yes"], "ben": ["good morning"]}
    heard = {"1": "hello there good morning", "2": "yes"}
    assert cp_wer(said, heard) > 0
    assert orc_wer(["hello there", "good morning", "yes"], heard) == 0.0


def test_normalisers_and_lone_texts():
    assert cp_wer({"a": "Hello, you!"}, {"b": "hello you"}) == 1.0
    assert cp_wer({"a": "Hello, you!"}, {"b": "hello you"}, normaliser="basic") == 0.0
    assert orc_wer(["Hello, you!"], {"b": ["hello", "you"]}, normaliser="basic") == 0.0


def test_empty_references_count_their_insertions():
    for found in (
        score_cp_wer({"a": ""}, {"b": "two words"}),
        score_cp_wer({}, {"b": "two words"}),
        score_orc_wer([""], {"b": "two words"}),
        score_orc_wer([], {"b": "two words"}),
    ):
        assert (found.numerator, found.denominator, found.value) == (2, 0, None)
    for call in (lambda: cp_wer({}, {"b": "two words"}), lambda: orc_wer([], {"b": "two words"})):
        with pytest.raises(UndefinedMetric, match="empty_reference"):
            call()


def test_empty_hypotheses_are_all_deletions():
    assert cp_wer({"a": "x y", "b": "z"}, {}) == orc_wer(["x y", "z"], {}) == 1.0
    assert cp_wer({"a": "x y", "b": "z"}, {"c": ""}) == orc_wer(["x y", "z"], {"c": ""}) == 1.0


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="expected a mapping from speaker"):
        cp_wer(["a"], {"b": "a"})
    with pytest.raises(TypeError, match="in the order in which they begin, found dict"):
        orc_wer({"a": ["x"]}, {"b": "x"})
    with pytest.raises(ValueError, match="at most 10 streams, found 11"):
        orc_wer(["a"], named("a" * 11))
    with pytest.raises(ValueError, match="normaliser: expected one of"):
        cp_wer({"a": "x"}, {"b": "x"}, normaliser="whisper")


def test_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "meeteval", None)
    for call in (lambda: cp_wer({"a": "x"}, {"b": "x"}), lambda: orc_wer(["x"], {"b": "x"})):
        with pytest.raises(ImportError, match=r"pip install 'realear\[overlap\]'"):
            call()
