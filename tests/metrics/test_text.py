import sys

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import Tally, TextItem, UndefinedMetric, cer, spec, wer
from metrics.text import (
    NORMALISER_LIBRARIES,
    NORMALISERS,
    AlignedWord,
    _whisper_english,
    align,
    basic,
    canonical,
    english,
    score_cer,
    score_wer,
    words,
)

WORDS = st.lists(st.sampled_from(["a", "bee", "sea", "d"]), max_size=6).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6)


def edits(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance by the textbook's table."""
    row = list(range(len(hypothesis) + 1))
    for i, wanted in enumerate(reference, 1):
        last, row[0] = row[0], i
        for j, found in enumerate(hypothesis, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (wanted != found))
    return row[-1]


# Jurafsky & Martin, Speech and Language Processing: 13 words, 6 S + 3 I + 1 D = 76.9 %.
SAID = "i um the phone is i left the portable phone upstairs last night"
HEARD = "i got it to the fullest i love to portable form of stores last night"


def test_wer_matches_textbook_example():
    assert wer([SAID], [HEARD]) == 10 / 13
    assert round(100 * wer([SAID], [HEARD]), 1) == 76.9
    alignment = align(SAID, HEARD)
    assert alignment.errors == 10  # the split ties, the total does not
    assert alignment.reference_words == 13


@given(PAIRS)
def test_pooled_rates_match_the_textbook_table(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    words = sum(len(text.split()) for text in references)
    wrong = sum(edits(r.split(), h.split()) for r, h in pairs)
    if words:
        assert wer(references, hypotheses) == wrong / words
        letters = sum(len(text) for text in references)
        assert cer(references, hypotheses) == sum(edits([*r], [*h]) for r, h in pairs) / letters
    else:
        with pytest.raises(UndefinedMetric, match="empty_reference"):
            wer(references, hypotheses)


@given(PAIRS)
def test_tally_of_clips_is_the_corpus_rate(pairs):
    references, hypotheses = map(list, zip(*pairs, strict=True))
    score = spec("wer").score
    tally = Tally.of((f"speaker{i % 2}", score(TextItem(*pair))) for i, pair in enumerate(pairs))
    if any(references):
        assert tally.value == wer(references, hypotheses) == jiwer.wer(references, hypotheses)
    else:
        assert tally.value is None
    assert tally.scored == len(pairs)


def test_empty_reference_counts_its_insertions():
    clip = spec("wer").score(TextItem("", "two words"))
    assert (clip.numerator, clip.denominator, clip.value) == (2, 0, None)
    assert wer(["", "one"], ["two words", "one"]) == 2.0
    with pytest.raises(UndefinedMetric) as caught:
        wer([""], ["two words"])
    assert caught.value.reason == "empty_reference"


def test_empty_hypothesis_is_all_deletions():
    assert wer("three words here", "") == 1.0
    assert cer("abc", "") == 1.0


def test_perfect_is_zero_and_insertions_pass_one():
    assert wer(["a b"], ["a b"]) == 0.0
    assert wer(["a"], ["a b c"]) == 2.0


def test_a_lone_string_is_one_utterance():
    assert wer("one two", "one too") == wer(["one two"], ["one too"]) == 0.5


def test_unequal_numbers_of_utterances_are_refused():
    with pytest.raises(ValueError, match="each of 2 references, found 1"):
        wer(["a", "b"], ["a"])
    with pytest.raises(UndefinedMetric):
        wer([], [])


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("Hello,  World!", "hello world"),
        ("Don\u2019t 'quote' the dogs' bowls", "don't quote the dogs bowls"),
        ("ﬁne\u00a0Ｗｉｄｅ", "fine wide"),
        ("well-known e.g. rock'n'roll", "wellknown eg rock'n'roll"),
        ("$5 + 1_000", "$5 + 1000"),
        ("É e\u0301 ¿Qué?", "é é qué"),
        (" \t\n", ""),
        ("", ""),
    ],
)
def test_basic_normaliser(raw, normal):
    assert basic(raw) == normal


@given(st.text(max_size=40))
def test_basic_normaliser_is_idempotent(text):
    assert basic(basic(text)) == basic(text)


def test_normaliser_is_an_argument():
    assert wer("Hello, world", "hello world") == 0.5
    assert wer("Hello, world", "hello world", normaliser="basic") == 0.0
    item = TextItem("Hello, world", "hello world")
    assert spec("cer", normaliser="basic").score(item).value == 0.0
    with pytest.raises(ValueError, match="normaliser: expected one of"):
        wer("a", "a", normaliser="whisper")


def test_equals_jiwer_on_real_transcripts(sentences):
    rng = np.random.default_rng(0)
    hypotheses = [" ".join(rng.permutation(text.split())[1:]) for text in sentences]
    assert wer(sentences, hypotheses) == jiwer.wer(sentences, hypotheses)
    assert cer(sentences, hypotheses) == jiwer.cer(sentences, hypotheses)
    items = [TextItem(*pair) for pair in zip(sentences, hypotheses, strict=True)]
    for name, theirs in (("wer", jiwer.wer), ("cer", jiwer.cer)):
        clips = [spec(name).score(item) for item in items]
        assert [c.value for c in clips] == [theirs(i.reference, i.hypothesis) for i in items]
        pooled = Tally.of(("reader", clip) for clip in clips).value
        assert pooled == theirs(sentences, hypotheses)


SPACES = st.text(st.sampled_from("ab \t\n\u00a0\u2028\x1c\u00ad"), max_size=12)
ANY_PAIRS = st.lists(st.tuples(SPACES, SPACES) | st.tuples(st.text(), st.text()), min_size=1)


@given(SPACES | st.text())
def test_words_are_cut_as_jiwer_cuts_them(text):
    assert words(text) == jiwer.wer_default([text])[0]


@given(ANY_PAIRS)
def test_counts_are_those_of_jiwer_whatever_the_spaces(pairs):
    for score, process in (
        (score_wer, jiwer.process_words),
        (score_cer, jiwer.process_characters),
    ):
        for pair in pairs:
            ours, theirs = score(TextItem(*pair)), process(*pair)
            assert ours.detail == {
                "substitutions": theirs.substitutions,
                "deletions": theirs.deletions,
                "insertions": theirs.insertions,
            }
            assert ours.numerator == sum(ours.detail.values())
            assert ours.denominator == theirs.hits + theirs.substitutions + theirs.deletions


def test_a_corpus_has_the_counts_of_jiwer():
    random = np.random.default_rng(4)
    vocabulary = np.array([f"w{n}" for n in range(300)])
    said = [" ".join(random.choice(vocabulary, random.integers(0, 90))) for _ in range(300)]
    heard = [" ".join(w for w in text.split() if random.random() > 0.2) + " w7" for text in said]
    assert wer(said, heard) == jiwer.wer(said, heard)
    assert cer(said, heard) == jiwer.cer(said, heard)


def test_rates_are_pooled_and_no_mean_of_means():
    said, heard = ["one", "one two three four five six seven eight nine"], ["two"] * 2
    mean_of_means = (wer(said[0], heard[0]) + wer(said[1], heard[1])) / 2
    assert wer(said, heard) == 9 / 10
    assert wer(said, heard) != mean_of_means


@given(WORDS, WORDS)
def test_alignment_holds_both_texts_and_the_fewest_errors(reference, hypothesis):
    found = align(reference, hypothesis)
    assert [w.reference for w in found.words if w.reference is not None] == reference.split()
    assert [w.hypothesis for w in found.words if w.hypothesis is not None] == hypothesis.split()
    assert all((w.kind == "hit") == (w.reference == w.hypothesis) for w in found.words)
    assert found.errors == edits(reference.split(), hypothesis.split())
    assert found.errors == found.substitutions + found.deletions + found.insertions
    assert found.reference_words == len(reference.split())
    score = score_wer(TextItem(reference, hypothesis))
    assert score.detail == {
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
    }


def test_alignment_by_hand():
    assert align("the Cat sat", "the cat sat down", normaliser="basic").words == (
        AlignedWord("hit", "the", "the"),
        AlignedWord("hit", "cat", "cat"),
        AlignedWord("hit", "sat", "sat"),
        AlignedWord("insertion", None, "down"),
    )
    assert [w.kind for w in align("a b c", "x c").words].count("hit") == 1
    assert align("", "").words == ()
    assert align("", "two words").insertions == 2
    assert align("two words", "").deletions == 2


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("Mr. Brown's colour isn't twenty-one, uh!", "mister brown is color is not 21"),
        ("it's $20 million", "it is $20000000"),
        ("[noise] hello (laughs)", "hello"),
        ("three hundred and forty two", "342"),
        ("café naïve", "cafe naive"),
        (" \t\n", ""),
        ("", ""),
    ],
)
def test_english_normaliser(raw, normal):
    assert english(raw) == normal


def test_english_normaliser_forgives_spelling_and_numbers():
    pair = "Colour number twenty one isn't here.", "color number 21 is not here"
    assert wer(*pair, normaliser="english") == 0.0
    assert wer(*pair, normaliser="basic") > 0.5


def test_english_normaliser_without_its_library(monkeypatch):
    _whisper_english.cache_clear()
    monkeypatch.setitem(sys.modules, "whisper_normalizer.english", None)
    with pytest.raises(ImportError, match=r"pip install 'realear\[recognition\]'"):
        english("hello")
    _whisper_english.cache_clear()


def test_every_normaliser_says_its_libraries():
    assert NORMALISER_LIBRARIES.keys() == NORMALISERS.keys()
    assert NORMALISER_LIBRARIES["english-1"] == ("whisper-normalizer",)
    assert canonical({"normaliser": "english"}) == {"normaliser": "english-1"}


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match="expected utterances as strings, found NoneType"):
        wer(["a", None], ["a", "b"])
