"""Error rates where speakers overlap: cpWER and ORC-WER, by meeteval (the extra `overlap`).

Both count word errors of one recording under the kindest assignment and are pooled over recordings
like WER: sum `ClipScore.numerator` and `.denominator`, then divide. Words are what white space
separates after the named normaliser.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metrics.base import ClipScore, UndefinedMetric
from metrics.text import NORMALISERS, normaliser_name

Texts = Mapping[str, str | Sequence[str]]  # speaker or channel -> its text or its utterances

STREAMS = 10  # more hypothesis streams than this make ORC-WER's search explode


def cp_wer(references: Texts, hypotheses: Texts, *, normaliser: str = "none") -> float:
    """Concatenated minimum-permutation WER of one recording, a fraction (may pass 1).

    Each speaker's utterances are joined in the order given and every reference speaker is paired
    with at most one hypothesis speaker so that the errors are fewest (Watanabe et al. 2020,
    CHiME-6); speakers without partner are deleted or inserted. Names need not match.
    UndefinedMetric("empty_reference") where no reference speaker said a word.
    """
    return _rate(score_cp_wer(references, hypotheses, normaliser=normaliser))


def orc_wer(references: Sequence[str], hypotheses: Texts, *, normaliser: str = "none") -> float:
    """Optimal reference combination WER of one recording, a fraction (may pass 1).

    `references` are all speakers' utterances in the order in which they begin; each is assigned as
    a whole to the hypothesis stream where the errors are fewest (Sklyar et al. 2022). Speaker
    confusions cost nothing. ValueError for more than 10 streams; raises otherwise as `cp_wer`.
    """
    return _rate(score_orc_wer(references, hypotheses, normaliser=normaliser))


def score_cp_wer(references: Texts, hypotheses: Texts, *, normaliser: str = "none") -> ClipScore:
    """Edits over reference words as `cp_wer` counts them; over 0 without reference words.

    `detail`: "substitutions", "deletions", "insertions", "missed_speakers", "false_speakers" and
    "assignment", pairs of (reference speaker, hypothesis speaker), null where one has no partner.
    """
    said, heard = _joined(references, normaliser), _joined(hypotheses, normaliser)
    found = _meeteval().cp_word_error_rate(said, heard, reference_sort=False, hypothesis_sort=False)
    speakers = {
        "missed_speakers": found.missed_speaker,
        "false_speakers": found.falarm_speaker,
        "assignment": [list(pair) for pair in found.assignment],
    }
    return ClipScore(found.errors, found.length, {**_split(found), **speakers})


def score_orc_wer(
    references: Sequence[str], hypotheses: Texts, *, normaliser: str = "none"
) -> ClipScore:
    """Edits over reference words as `orc_wer` counts them; over 0 without reference words.

    `detail`: "substitutions", "deletions", "insertions" and "assignment", the stream of each
    utterance (null where there is no stream at all).
    """
    if isinstance(references, str | Mapping):
        raise TypeError(
            "references: expected the utterances of all speakers in the order in which they begin, "
            f"found {type(references).__name__}"
        )
    normal = NORMALISERS[normaliser_name(normaliser)]
    said, heard = [normal(text) for text in references], _joined(hypotheses, normaliser)
    if len(heard) > STREAMS:
        raise ValueError(f"hypotheses: expected at most {STREAMS} streams, found {len(heard)}")
    if not any(text.split() for text in said) or not heard:
        return _one_sided(said, heard)
    found = _meeteval().orc_word_error_rate(
        said, heard, reference_sort=False, hypothesis_sort=False
    )
    detail = {**_split(found), "assignment": list(found.assignment)}
    return ClipScore(found.errors, found.length, detail)


def _one_sided(said: list[str], heard: dict[str, str]) -> ClipScore:
    """No words to assign, or no stream to assign them to: meeteval asserts that there are."""
    words = sum(len(text.split()) for text in said)
    inserted = sum(len(text.split()) for text in heard.values())
    stream = min(heard, default=None)
    detail = {"substitutions": 0, "deletions": words, "insertions": inserted}
    return ClipScore(words + inserted, words, {**detail, "assignment": [stream for _ in said]})


def _joined(texts: Texts, normaliser: str) -> dict[str, str]:
    if not isinstance(texts, Mapping):
        raise TypeError(
            f"expected a mapping from speaker to text or utterances, found {type(texts).__name__}"
        )
    normal: Callable[[str], str] = NORMALISERS[normaliser_name(normaliser)]
    return {
        speaker: normal(said) if isinstance(said, str) else " ".join(map(normal, said))
        for speaker, said in texts.items()
    }


def _split(found: Any) -> dict[str, int]:
    return {
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
    }


def _rate(score: ClipScore) -> float:
    if score.value is None:
        raise UndefinedMetric(
            "empty_reference",
            f"the references hold nothing to divide {score.numerator:.0f} edits by",
        )
    return score.value


def _meeteval() -> Any:
    try:
        from meeteval import wer
    except ImportError as error:
        raise ImportError(
            "cpWER and ORC-WER need the package meeteval, which is not installed; "
            "pip install 'realear[overlap]'"
        ) from error
    return wer
