"""Word and character error rates: (S + D + I) / N, pooled over utterances.

Counts are exact edit distances, by rapidfuzz over lists of words; the alignment for a report is
jiwer's. The pooling is ours, because jiwer alone answers a count where a rate belongs once the
reference is empty: an empty reference adds its insertions and no words.
Alignments tie: several splits into substitutions, deletions and insertions have the same total, so
totals may be compared between tools and the splits may not.
Text is scored after a named normaliser; what "the same normaliser" means is its versioned name and
the versions of the libraries that it stands on (`NORMALISER_LIBRARIES`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import jiwer
from rapidfuzz.distance import Levenshtein

from metrics.base import ClipScore, Metric, TextItem, UndefinedMetric

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'"})
_NOT_A_WORD = re.compile(r"[^\w\s]|_")
_SPACES = re.compile(r"\s\s+")


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


def english(text: str) -> str:
    """English as Whisper's paper normalises it (Radford et al. 2022, appendix C).

    Lower case, no fillers, brackets or diacritics, contractions and British spellings unified,
    numbers as digits; by the library whisper-normalizer, whose version belongs to the number.
    """
    normalised: str = _whisper_english()(text)
    return normalised.strip()


@cache
def _whisper_english() -> Callable[[str], str]:
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise ImportError(
            "normaliser 'english-1' needs the package whisper-normalizer, which is not installed; "
            "pip install 'realear[recognition]'"
        ) from error
    normaliser: Callable[[str], str] = EnglishTextNormalizer()
    return normaliser


# The versioned name stands in every row; the plain one means its newest version.
NORMALISERS: dict[str, Callable[[str], str]] = {
    "none": none,
    "basic-1": basic,
    "english-1": english,
}
NEWEST = {"basic": "basic-1", "english": "english-1"}
# Distributions whose version changes what a normaliser makes of a text: they join the spec.
NORMALISER_LIBRARIES: dict[str, tuple[str, ...]] = {
    "none": (),
    "basic-1": (),
    "english-1": ("whisper-normalizer",),
}


def normaliser_name(name: str) -> str:
    """The versioned name of a normaliser; ValueError for an unknown one."""
    versioned = NEWEST.get(name, name)
    if versioned not in NORMALISERS:
        raise ValueError(f"normaliser: expected one of {[*NORMALISERS, *NEWEST]}, found {name!r}")
    return versioned


def words(text: str) -> list[str]:
    """The words that single spaces separate, exactly as jiwer cuts them; a lone tab joins words."""
    if text.isprintable():  # the space is then the only white space
        return text.split()
    return [word for word in _SPACES.sub(" ", text).strip().split(" ") if word]


def wer(
    references: str | Sequence[str], hypotheses: str | Sequence[str], *, normaliser: str = "none"
) -> float:
    """Word error rate as a fraction (0 is perfect, may pass 1), summed over utterances first.

    Words are what single spaces separate, as in jiwer. Raises ValueError for unequal numbers of
    utterances and UndefinedMetric("empty_reference") where the references hold no word at all.
    """
    return _rate(*_counts(words, references, hypotheses, normaliser=normaliser))


def cer(
    references: str | Sequence[str], hypotheses: str | Sequence[str], *, normaliser: str = "none"
) -> float:
    """Character error rate as a fraction, like `wer`; spaces between words are characters too."""
    return _rate(*_counts(str.strip, references, hypotheses, normaliser=normaliser))


def score_wer(item: TextItem, *, normaliser: str = "none") -> ClipScore:
    """Edits over reference words of one utterance; over 0 for an empty reference.

    `detail` splits the edits into "substitutions", "deletions" and "insertions" as one of the
    best alignments has them (jiwer's).
    """
    return _score(words, item, normaliser=normaliser)


def score_cer(item: TextItem, *, normaliser: str = "none") -> ClipScore:
    """Edits over reference characters of one utterance, like `score_wer`."""
    return _score(str.strip, item, normaliser=normaliser)


@dataclass(frozen=True)
class AlignedWord:
    """One place of an alignment; a deletion has no hypothesis, an insertion no reference."""

    kind: Literal["hit", "substitution", "deletion", "insertion"]
    reference: str | None
    hypothesis: str | None


@dataclass(frozen=True)
class Alignment:
    """Reference and hypothesis word by word, in reading order, with the totals of its kinds.

    It is one of the alignments with the fewest errors; others may split the same total otherwise.
    """

    words: tuple[AlignedWord, ...]

    @property
    def hits(self) -> int:
        """Words that are the same on both sides."""
        return self._of("hit")

    @property
    def substitutions(self) -> int:
        """Reference words that another word stands for (S)."""
        return self._of("substitution")

    @property
    def deletions(self) -> int:
        """Reference words that are missing (D)."""
        return self._of("deletion")

    @property
    def insertions(self) -> int:
        """Words too many in the hypothesis (I)."""
        return self._of("insertion")

    @property
    def errors(self) -> int:
        """S + D + I, the same for every best alignment."""
        return len(self.words) - self.hits

    @property
    def reference_words(self) -> int:
        """N = hits + S + D."""
        return len(self.words) - self.insertions

    def _of(self, kind: str) -> int:
        return sum(word.kind == kind for word in self.words)


def align(reference: str, hypothesis: str, *, normaliser: str = "none") -> Alignment:
    """The word alignment of one utterance, by jiwer; two empty texts have no places."""
    normal = NORMALISERS[normaliser_name(normaliser)]
    found = jiwer.process_words(normal(reference), normal(hypothesis))
    said, heard = found.references[0], found.hypotheses[0]
    return Alignment(
        tuple(
            place
            for chunk in found.alignments[0]
            for place in _places(
                chunk.type,
                said[chunk.ref_start_idx : chunk.ref_end_idx],
                heard[chunk.hyp_start_idx : chunk.hyp_end_idx],
            )
        )
    )


def _places(kind: str, said: list[str], heard: list[str]) -> list[AlignedWord]:
    if kind == "delete":
        return [AlignedWord("deletion", word, None) for word in said]
    if kind == "insert":
        return [AlignedWord("insertion", None, word) for word in heard]
    same: Literal["hit", "substitution"] = "hit" if kind == "equal" else "substitution"
    return [AlignedWord(same, *pair) for pair in zip(said, heard, strict=True)]


Units = Callable[[str], Sequence[str]]  # a text as the words or characters that are compared


def _counts(
    units: Units,
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
    edits = length = 0
    distance = Levenshtein.distance
    for reference, hypothesis in zip(wanted, found, strict=True):
        said = units(normal(reference))
        edits += distance(said, units(normal(hypothesis)))
        length += len(said)
    return edits, length


def _score(units: Units, item: TextItem, *, normaliser: str) -> ClipScore:
    normal = NORMALISERS[normaliser_name(normaliser)]
    said, heard = units(normal(item.reference)), units(normal(item.hypothesis))
    kinds = Counter(edit.tag for edit in Levenshtein.editops(said, heard))
    split = {
        "substitutions": kinds["replace"],
        "deletions": kinds["delete"],
        "insertions": kinds["insert"],
    }
    return ClipScore(kinds.total(), len(said), split)


def _utterances(texts: str | Sequence[str]) -> list[str]:
    # A lone string is one utterance: as a sequence it would be scored letter by letter.
    found = [texts] if isinstance(texts, str) else list(texts)
    for text in found:
        if not isinstance(text, str):
            raise TypeError(f"expected utterances as strings, found {type(text).__name__}")
    return found


def _rate(edits: int, units: int) -> float:
    if not units:
        raise UndefinedMetric(
            "empty_reference", f"the references hold nothing to divide {edits} edits by"
        )
    return edits / units


def canonical(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `score_wer` and `score_cer` with the normaliser's versioned name."""
    return {**parameters, "normaliser": normaliser_name(parameters["normaliser"])}


def _sheet(name: str, title: str, summary: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        unit="%",
        scale=100.0,
        higher_is_better=False,
        version="1",
        pooled=True,
        item="text",
        function=f"metrics.text:score_{name}",
        parameters={"normaliser": "none"},
        canonical="metrics.text:canonical",
        libraries=("rapidfuzz",),
        summary=summary,
        needs=("reference text",),
        failure_policy="always scored: an empty reference adds its insertions and no units, "
        "an empty hypothesis is all deletions",
        source="Jurafsky & Martin, Speech and Language Processing; counts equal to jiwer's",
    )


SHEETS: tuple[Metric, ...] = (
    _sheet("wer", "WER", "word errors over reference words, pooled"),
    _sheet("cer", "CER", "character errors over reference characters, pooled"),
)
