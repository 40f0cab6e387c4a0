"""Word and character error rates: (S + D + I) / N, pooled over utterances.

The alignment is jiwer's; the pooling is ours, because jiwer alone answers a count where a rate
belongs once the reference is empty. An empty reference adds its insertions and no words.
Text is scored after a named normaliser; what "the same normaliser" means is its versioned name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import jiwer

from metrics.base import ClipScore, TextItem, UndefinedMetric

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'"})
_NOT_A_WORD = re.compile(r"[^\w\s]|_")


def none(text: str) -> str:
    """The text as it is."""
    return text


def basic(text: str) -> str:
    """Lower case, NFKC, no punctuation but apostrophes inside words, single spaces.

    Punctuation is Unicode's category P: "well-known" becomes "wellknown", "$5" stays. A curly
    apostrophe becomes a straight one. Doing it twice changes nothing.
    """
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    bare = _NOT_A_WORD.sub(_without_punctuation, composed.translate(_APOSTROPHES))
    return " ".join(unicodedata.normalize("NFKC", bare).split())


def _without_punctuation(match: re.Match[str]) -> str:
    mark, text, place = match.group(), match.string, match.start()
    if not unicodedata.category(mark).startswith("P"):
        return mark
    inside = 0 < place < len(text) - 1 and _in_word(text[place - 1]) and _in_word(text[place + 1])
    return mark if mark == "'" and inside else ""


def _in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


# The versioned name stands in every row; the plain one means its newest version.
NORMALISERS: dict[str, Callable[[str], str]] = {"none": none, "basic-1": basic}
NEWEST = {"basic": "basic-1"}


def normaliser_name(name: str) -> str:
    """The versioned name of a normaliser; ValueError for an unknown one."""
    versioned = NEWEST.get(name, name)
    if versioned not in NORMALISERS:
        raise ValueError(f"normaliser: expected one of {[*NORMALISERS, *NEWEST]}, found {name!r}")
    return versioned


def wer(
    references: str | Sequence[str], hypotheses: str | Sequence[str], *, normaliser: str = "none"
) -> float:
    """Word error rate as a fraction (0 is perfect, may pass 1), summed over utterances first.

    Words are what single spaces separate, as in jiwer. Raises ValueError for unequal numbers of
    utterances and UndefinedMetric("empty_reference") where the references hold no word at all.
    """
    return _rate(*_counts(_word_counts, references, hypotheses, normaliser=normaliser))


def cer(
    references: str | Sequence[str], hypotheses: str | Sequence[str], *, normaliser: str = "none"
) -> float:
    """Character error rate as a fraction, like `wer`; spaces between words are characters too."""
    return _rate(*_counts(_character_counts, references, hypotheses, normaliser=normaliser))


def score_wer(item: TextItem, *, normaliser: str = "none") -> ClipScore:
    """Edits over reference words of one utterance; over 0 for an empty reference."""
    edits, units = _counts(_word_counts, item.reference, item.hypothesis, normaliser=normaliser)
    return ClipScore(edits, units)


def score_cer(item: TextItem, *, normaliser: str = "none") -> ClipScore:
    """Edits over reference characters of one utterance; over 0 for an empty reference."""
    edits, units = _counts(
        _character_counts, item.reference, item.hypothesis, normaliser=normaliser
    )
    return ClipScore(edits, units)


Counter = Callable[[list[str], list[str]], tuple[int, int]]


def _counts(
    counter: Counter,
    references: str | Sequence[str],
    hypotheses: str | Sequence[str],
    *,
    normaliser: str,
) -> tuple[int, int]:
    """(edits, reference units) summed over utterances; (0, 0) for none."""
    normal = NORMALISERS[normaliser_name(normaliser)]
    wanted, found = _utterances(references), _utterances(hypotheses)
    if len(wanted) != len(found):
        raise ValueError(
            f"expected a hypothesis for each of {len(wanted)} references, found {len(found)}"
        )
    return (
        counter([normal(text) for text in wanted], [normal(text) for text in found])
        if wanted
        else (0, 0)
    )


def _utterances(texts: str | Sequence[str]) -> list[str]:
    # A lone string is one utterance: as a sequence it would be scored letter by letter.
    return [texts] if isinstance(texts, str) else list(texts)


def _word_counts(references: list[str], hypotheses: list[str]) -> tuple[int, int]:
    return _edits(jiwer.process_words(references, hypotheses))


def _character_counts(references: list[str], hypotheses: list[str]) -> tuple[int, int]:
    return _edits(jiwer.process_characters(references, hypotheses))


def _edits(found: jiwer.WordOutput | jiwer.CharacterOutput) -> tuple[int, int]:
    missed = found.substitutions + found.deletions
    return missed + found.insertions, missed + found.hits


def _rate(edits: int, units: int) -> float:
    if not units:
        raise UndefinedMetric(
            "empty_reference", f"the references hold nothing to divide {edits} edits by"
        )
    return edits / units
