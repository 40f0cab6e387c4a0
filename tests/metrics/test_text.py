import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics import Tally, TextItem, UndefinedMetric, cer, spec, wer
from metrics.text import basic

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


def test_wer_matches_textbook_example():
    # Jurafsky & Martin, Speech and Language Processing: 13 words, 6 S + 3 I + 1 D = 76.9 %.
    reference = "i *** ** um the phone is i left the portable phone upstairs last night"
    hypothesis = "i got it to the fullest i love to portable form of stores last night"
    reference = reference.replace("*** ** ", "")
    assert wer([reference], [hypothesis]) == 10 / 13


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
