"""CTC decoding against the sum over every path there is, language models, n-best lists."""

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from models import language
from models.decoding import (
    Beam,
    BeamSearch,
    Hypothesis,
    Vocabulary,
    ctc_log_probability,
    greedy,
    rescore,
)

TOKENS = ("-", "|", "A", "B", "<s>")
LETTERS = Vocabulary(TOKENS, blank=0, unwritten=frozenset({4}))
ALL = 50_000  # hypotheses: more than there are, so that nothing is lost

# log10 probabilities and back-offs, apart by tabs; words in lower case, the network's in upper.
WORDS = r"""
\data\
ngram 1=6
ngram 2=4

\1-grams:
-1.0	<unk>
-99	<s>	-0.3
-1.0	</s>
-0.8	ab	-0.2
-0.9	ba	-0.2
-1.2	a	-0.1

\2-grams:
-0.1	<s> ab
-0.5	ab ba
-0.2	ab </s>
-0.4	ba </s>

\end\
"""
SPELLING = r"""
\data\
ngram 1=6
ngram 2=1

\1-grams:
-2.0	<unk>
-99	<s>	0
-0.5	</s>
-0.5	|	0
-0.5	A	0
-0.5	B	0

\2-grams:
-3.0	A B

\end\
"""


@pytest.fixture
def arpa(tmp_path):
    """`arpa(text)`: a file's path."""

    def write(text: str, name: str = "model.arpa") -> str:
        path = tmp_path / name
        path.write_text(text.lstrip())
        return str(path)

    return write


def random_answer(frames: int, seed: int = 0) -> np.ndarray:
    """(frames, tokens) of log-probabilities, of nothing in particular."""
    return np.log(np.random.default_rng(seed).dirichlet(np.full(len(TOKENS), 0.7), frames))


def collapsed(path) -> tuple[int, ...]:
    return tuple(column for column, _ in itertools.groupby(path) if column != 0)


def sums_by(answer: np.ndarray, name) -> dict:
    """Probability of all paths without <s>, by what `name` calls their labels."""
    found: dict = defaultdict(float)
    for path in itertools.product(range(4), repeat=len(answer)):
        score = sum(frame[column] for frame, column in zip(answer, path, strict=True))
        found[name(collapsed(path))] += math.exp(score)
    return found


def text_of(labels) -> str:
    return LETTERS.text(TOKENS[label] for label in labels)


# One text


@pytest.mark.parametrize("frames", [0, 1, 3, 5])
def test_a_labellings_probability_is_the_sum_over_its_paths(frames):
    answer = random_answer(frames)
    for labels, expected in sums_by(answer, lambda labels: labels).items():
        assert ctc_log_probability(answer, labels, 0) == pytest.approx(math.log(expected))
    assert ctc_log_probability(answer, [2] * (frames + 1), 0) == -math.inf
    assert ctc_log_probability(random_answer(4), [2, 2, 2], 0) == -math.inf  # no room for blanks


def test_a_labellings_probability_is_torchs():
    import torch

    frames = 40
    answer = random_answer(frames, seed=2)
    labels = [2, 2, 3, 1, 2, 3, 3]
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(answer)[:, None], torch.tensor([labels]), [frames], [7], reduction="sum"
    )
    assert ctc_log_probability(answer, labels, 0) == pytest.approx(-loss.item())


def test_greedy_merges_repeats_then_drops_blanks():
    path = [1, 2, 2, 0, 2, 4, 3, 1, 1, 0, 1, 2, 1]
    answer = np.eye(len(TOKENS))[path]
    assert greedy(answer, LETTERS) == "AAB A"
    assert greedy(np.zeros((0, 5)), LETTERS) == ""
    small = Vocabulary(TOKENS, 0, delimiter=None, lower=True)
    assert greedy(answer, small) == "|aa<s>b||a|"


# Beam search


@pytest.mark.parametrize("frames", [1, 3, 5, 6])
def test_a_wide_beam_finds_every_text_with_the_sum_over_its_paths(frames):
    answer = random_answer(frames, seed=frames)
    found = Beam(LETTERS, BeamSearch(beam=ALL, word_score=0.3)).hypotheses(answer)
    expected = {
        text: math.log(sum_) + 0.3 * len(text.split())
        for text, sum_ in sums_by(answer, text_of).items()
    }
    assert {text: score for score, text in found} == pytest.approx(expected, abs=1e-5)
    assert (np.diff([score for score, _ in found]) <= 0).all()


@pytest.mark.parametrize("frames", [1, 3, 5, 6])
def test_a_language_model_of_words_is_added_to_each_text(arpa, frames):
    path, answer = arpa(WORDS), random_answer(frames, seed=10 + frames)
    scored = language.scorer(path)
    search = BeamSearch(ALL, path, lm_weight=1.5, word_score=-0.4)
    found = Beam(LETTERS, search).hypotheses(answer)
    expected = {
        text.lower(): math.log(sum_)
        + 1.5 * scored(text.lower()) / math.log(10)
        - 0.4 * len(text.split())
        for text, sum_ in sums_by(answer, text_of).items()
        if {"AB", "BA", "A"}.issuperset(text.split())
    }
    assert {text: score for score, text in found} == pytest.approx(expected, abs=1e-5)


def test_a_lexicon_allows_its_words_alone(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("two A B |\n\nhalf A |\ntwo B B |\n")
    answer = random_answer(6, seed=4)
    spoken = {"AB": "two", "A": "half", "BB": "two"}
    expected: dict[str, float] = defaultdict(float)
    for text, sum_ in sums_by(answer, text_of).items():
        if spoken.keys() >= set(text.split()):
            expected[" ".join(spoken[word] for word in text.split())] += sum_
    found = Beam(LETTERS, BeamSearch(ALL, lexicon=str(words))).hypotheses(answer)
    logs = {text: math.log(sum_) for text, sum_ in expected.items()}
    assert {text: score for score, text in found} == pytest.approx(logs, abs=1e-5)


def said(*frames: dict[str, float]) -> np.ndarray:
    """An answer with these probabilities of letters, and next to none of others."""
    rows = [[frame.get(token, 1e-6) for token in TOKENS] for frame in frames]
    return np.log(np.array(rows) / np.sum(rows, axis=1, keepdims=True))


# "BA" is heard a little better than "AB", which the n-grams expect at the beginning: by 0.1 against
# 0.3 + 0.9 in log10, and 0.2 against 0.4 at the end.
HEARD = said({"B": 0.6, "A": 0.4}, {"A": 0.6, "B": 0.4}, {"|": 1.0})


def test_a_language_model_changes_the_winner(arpa):
    heard = {text: score for score, text in Beam(LETTERS, BeamSearch()).hypotheses(HEARD)}
    behind = heard["BA"] - heard["AB"]  # nats: 2 ln 1.5
    assert behind == pytest.approx(2 * math.log(1.5), abs=1e-3)
    ahead = (-0.1 - 0.2) - (-0.3 - 0.9 - 0.4)  # log10
    turn, path = behind / ahead, arpa(WORDS)
    for weight, winner in ((0.0, "ba"), (0.9 * turn, "ba"), (1.1 * turn, "ab"), (5.0, "ab")):
        search = BeamSearch(language_model=path, lm_weight=weight)
        assert Beam(LETTERS, search).hypotheses(HEARD)[0][1] == winner


def test_a_language_model_of_letters_needs_no_lexicon(arpa):
    heard = said({"A": 1.0}, {"B": 0.6, "A": 1e-6, "-": 0.4}, {"|": 1.0})
    assert Beam(LETTERS, BeamSearch()).hypotheses(heard)[0][1] == "AB"
    search = BeamSearch(language_model=arpa(SPELLING), lm_weight=1.0)
    found = {text: score for score, text in Beam(LETTERS, search).hypotheses(heard)}
    assert max(found, key=found.__getitem__) == "A"
    assert found["A"] == pytest.approx(math.log(0.4) - 1.5, abs=1e-3)
    assert found["AB"] == pytest.approx(math.log(0.6) - 4.5, abs=1e-3)


def test_words_count_with_word_score():
    heard = said({"A": 1.0}, {"|": 0.4, "-": 0.6}, {"B": 1.0})
    for bonus, winner in ((0.0, "AB"), (1.0, "A B"), (-1.0, "AB")):
        assert Beam(LETTERS, BeamSearch(word_score=bonus)).hypotheses(heard)[0][1] == winner


def test_no_frames_no_words(arpa):
    for search in (BeamSearch(), BeamSearch(language_model=arpa(WORDS), lm_weight=1.0)):
        assert Beam(LETTERS, search).hypotheses(np.zeros((0, 5))) == [(0.0, "")]


def test_a_beam_of_one_is_narrower_than_a_beam_of_all():
    answer = random_answer(12, seed=8)
    narrow = Beam(LETTERS, BeamSearch(beam=1)).hypotheses(answer)
    wide = Beam(LETTERS, BeamSearch(beam=500)).hypotheses(answer)
    assert len(narrow) == 1
    assert 1 < len(wide) <= 500
    assert wide[0][0] > narrow[0][0]


def test_what_does_not_fit_is_said(arpa, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("ab A B |\nac A C |\n")
    with pytest.raises(ValueError, match=r"words.txt, line 2: expected .* A B \|, found 'ac A C"):
        Beam(LETTERS, BeamSearch(lexicon=str(words)))
    russian = arpa(WORDS.replace("ab", "да").replace("ba", "ад"))
    with pytest.raises(ValueError, match=r"expected words in the letters A B \|, found 2 of 3 in"):
        Beam(LETTERS, BeamSearch(language_model=russian))
    with pytest.raises(ValueError, match="expected n-grams as ARPA text or KenLM binary"):
        Beam(LETTERS, BeamSearch(language_model=str(words)))
    with pytest.raises(ValueError, match="expected a token between words, found none in"):
        Beam(Vocabulary(("-", "A"), 0), BeamSearch())


def test_files_are_hashed_one_by_one(arpa):
    one, two = arpa(WORDS, "one"), arpa(WORDS + "\n", "two")
    found = [
        language.hash_files(given, other)
        for given in ((one, None), (None, one), (two, None), (one, two), (two, one))
        for other in ("weights", None)
    ]
    assert len(set(found)) == 8  # where the file stands does not matter
    assert language.hash_files((None, None), "weights") == "weights"


def test_ln_p_of_a_text(arpa):
    score = language.scorer(arpa(WORDS))
    assert score("ab ba") == pytest.approx(math.log(10) * (-0.1 - 0.5 - 0.4))
    assert score("ba ab") == pytest.approx(math.log(10) * (-0.3 - 0.9 - 0.2 - 0.8 - 0.2))
    assert score("") == pytest.approx(math.log(10) * (-0.3 - 1.0))


def test_kenlm_says_nothing_on_the_terminal(arpa, capfd):
    path = arpa(WORDS)
    language.scorer(path)
    Beam(LETTERS, BeamSearch(language_model=path))
    assert capfd.readouterr() == ("", "")


# n-best lists

LISTED = [
    Hypothesis("attention's", attention=-1.0, ctc=-9.0, language=-6.0),
    Hypothesis("CTC's", attention=-4.0, ctc=-2.0, language=-6.0),
    Hypothesis("the language model's", attention=-5.0, ctc=-5.0, language=-1.0),
]


@pytest.mark.parametrize(
    ("attention_weight", "lm_weight", "winner", "score"),
    [
        (1.0, 0.0, "attention's", -1.0),
        (0.0, 0.0, "CTC's", -2.0),
        (0.5, 0.0, "CTC's", -3.0),
        (0.7, 0.0, "CTC's", -0.7 * 4 - 0.3 * 2),
        (0.9, 0.0, "attention's", -0.9 - 0.1 * 9),
        (0.5, 1.0, "the language model's", -6.0),
    ],
)
def test_scores_are_added_by_their_weights(attention_weight, lm_weight, winner, score):
    found = rescore(LISTED, attention_weight=attention_weight, lm_weight=lm_weight)
    assert (found[0][1].text, found[0][0]) == (winner, pytest.approx(score))
    assert {hypothesis for _, hypothesis in found} == set(LISTED)
    assert [value for value, _ in found] == sorted((value for value, _ in found), reverse=True)


def test_an_impossible_text_comes_last_and_only_where_it_counts():
    impossible = Hypothesis("no path", attention=-0.5, ctc=-math.inf)
    assert rescore([impossible, *LISTED], attention_weight=0.9)[-1][1] is impossible
    assert rescore([impossible, *LISTED], attention_weight=1.0)[0][1] is impossible


def test_equals_keep_their_order_and_nothing_stays_nothing():
    twins = [Hypothesis("first", -1.0), Hypothesis("second", -1.0)]
    assert [hypothesis for _, hypothesis in rescore(twins, attention_weight=1.0)] == twins
    assert rescore([], attention_weight=0.3) == []


def test_wrong_weights_and_scores_are_refused():
    for weights in ({"attention_weight": 1.1}, {"attention_weight": 0.5, "lm_weight": -1.0}):
        with pytest.raises(ValueError, match="expected attention_weight from 0 to 1 and lm_weight"):
            rescore(LISTED, **weights)
    with pytest.raises(ValueError, match="expected log-probabilities"):
        rescore([Hypothesis("odd", math.nan)], attention_weight=0.5)


def test_words_of_an_arpa_file_are_listed(arpa):
    path = arpa(WORDS)
    assert list(language.words(path)) == ["ab", "ba", "a"]
    assert language.is_arpa(path)
    assert not language.is_arpa(__file__)
    assert language.knows(arpa(SPELLING, "letters"), "|")
    assert not language.knows(path, "|")
    assert Path(path).exists()
