"""From log-probabilities to words: CTC greedily or by beam search, n-best lists rescored.

CTC: Graves et al., "Connectionist temporal classification", ICML 2006. A path names a token for
every frame; its text is what remains when repeats are merged and blanks dropped.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models import language
from models.base import Signal, check_choice, check_number
from models.neural import Neural, require

if TYPE_CHECKING:
    import torch

IMPOSSIBLE = -1e4  # a log-probability that no path recovers from, and that adds up without overflow
THRESHOLD = 50.0  # nats behind the best at which a hypothesis is dropped


@dataclass(frozen=True)
class Vocabulary:
    """What the columns of a network's answer stand for."""

    tokens: tuple[str, ...]
    blank: int
    delimiter: str | None = "|"
    """The token between words; None where the network writes none."""
    unwritten: frozenset[int] = field(default_factory=frozenset)
    """Columns that are never text, such as <s>; the blank need not be named."""
    lower: bool = False
    """Whether what it writes is put into lower case."""

    def text(self, tokens: Iterable[str]) -> str:
        """Tokens as words with one blank between them, none at the ends."""
        letters = (" " if token == self.delimiter else token for token in tokens)
        found = " ".join("".join(letters).split())
        return found.lower() if self.lower else found


def greedy(log_probabilities: ArrayLike, vocabulary: Vocabulary) -> str:
    """Text of the best path through (frames, tokens); "" for no frames."""
    best = np.asarray(log_probabilities).reshape(-1, len(vocabulary.tokens)).argmax(axis=1)
    merged = [int(column) for column, _ in itertools.groupby(best)]
    dropped = vocabulary.unwritten | {vocabulary.blank}
    return vocabulary.text(vocabulary.tokens[n] for n in merged if n not in dropped)


def ctc_log_probability(log_probabilities: ArrayLike, labels: Sequence[int], blank: int) -> float:
    """Log-probability (natural) of columns given (frames, tokens): the sum over all its paths.

    -inf where there are too few frames for it.
    """
    scores: NDArray[np.float64] = np.asarray(log_probabilities, dtype=np.float64)
    states = [blank, *(state for label in labels for state in (label, blank))]
    skips = [n >= 2 and state != blank and state != states[n - 2] for n, state in enumerate(states)]
    forward = np.full(len(states), -np.inf)
    forward[0] = 0.0  # before the first frame
    for frame in scores:
        moved = np.concatenate([[-np.inf], forward[:-1]])
        jumped = np.concatenate([[-np.inf, -np.inf], forward])[: len(states)]
        jumped = np.where(skips, jumped, -np.inf)
        forward = np.logaddexp(np.logaddexp(forward, moved), jumped) + frame[states]
    return float(np.logaddexp.reduce(forward[-2:]))


@dataclass(frozen=True)
class Hypothesis:
    """A text and its natural log-probabilities; what a term of weight 0 says is never read."""

    text: str
    attention: float
    """By the encoder-decoder."""
    ctc: float = 0.0
    """By its CTC head, as `ctc_log_probability` gives it."""
    language: float = 0.0
    """By a language model."""


def rescore(
    hypotheses: Iterable[Hypothesis], *, attention_weight: float, lm_weight: float = 0.0
) -> list[tuple[float, Hypothesis]]:
    """(score, hypothesis), best first, where λ is `attention_weight` and γ `lm_weight`:

    λ ln p_attention + (1 − λ) ln p_CTC + γ ln p_LM

    Watanabe et al., "Hybrid CTC/attention architecture for end-to-end speech recognition", 2017,
    which calls 1 − λ by λ. Equal scores keep their order. No hypotheses, no answer; ValueError for
    λ outside 0…1, a negative γ, or a score that is not a number.
    """
    if not 0.0 <= attention_weight <= 1.0 or not 0.0 <= lm_weight < math.inf:
        raise ValueError(
            "expected attention_weight from 0 to 1 and lm_weight of 0 or more, "
            f"got {attention_weight} and {lm_weight}"
        )
    weights = (attention_weight, 1.0 - attention_weight, lm_weight)
    scored = []
    for hypothesis in hypotheses:
        terms = zip(
            weights, (hypothesis.attention, hypothesis.ctc, hypothesis.language), strict=True
        )
        score = sum(weight * term for weight, term in terms if weight)
        if math.isnan(score):
            raise ValueError(f"expected log-probabilities, got {hypothesis}")
        scored.append((score, hypothesis))
    return sorted(scored, key=lambda pair: -pair[0])


@dataclass(frozen=True)
class BeamSearch:
    """How to search: how many hypotheses a frame leaves, and what is added to CTC's scores."""

    beam: int = 50
    language_model: str | None = None
    lexicon: str | None = None
    lm_weight: float = 0.0
    word_score: float = 0.0


class Beam:
    """Beam search over CTC's paths by flashlight (Kahn et al., ICML 2022), through torchaudio.

    A text's score is ln Σ p(path) over its paths that stay in the beam, + `lm_weight` × log10 of
    the language model's probability, + `word_score` a word: flashlight's own units, so that
    published weights hold. With a lexicon, only its words are written.
    """

    def __init__(self, vocabulary: Vocabulary, search: BeamSearch) -> None:
        if vocabulary.delimiter not in vocabulary.tokens:
            raise ValueError(
                f"decoder 'beam': expected a token between words, found none in "
                f"{' '.join(vocabulary.tokens)}; say decoder=greedy"
            )
        self._vocabulary = vocabulary
        self._columns = [n for n in range(len(vocabulary.tokens)) if n not in vocabulary.unwritten]
        self._delimiter = vocabulary.tokens.index(vocabulary.delimiter)
        self._search = search
        self._lexicon = _lexicon(vocabulary, search)
        self._decoder = self._made()

    def _made(self) -> Any:
        require("flashlight.lib.text.decoder", "language-models")
        from torchaudio.models.decoder import ctc_decoder

        search, tokens = self._search, self._vocabulary.tokens
        written = [tokens[n] for n in self._columns]
        with tempfile.TemporaryDirectory() as folder, language.quiet():
            file = Path(folder) / "entries.txt"
            file.write_text(language.lines(self._lexicon or written), encoding="utf-8")
            free = self._lexicon is None
            return ctc_decoder(
                lexicon=None if free else str(file),
                tokens=written,
                lm=search.language_model,
                # Left to itself, torchaudio 2.11 numbers letters in another order here than above.
                lm_dict=str(file) if free else None,
                nbest=search.beam,
                beam_size=search.beam,
                beam_threshold=THRESHOLD,
                lm_weight=search.lm_weight,
                word_score=search.word_score,  # which it counts with a lexicon alone
                log_add=True,
                blank_token=tokens[self._vocabulary.blank],
                sil_token=tokens[self._delimiter],
            )

    def hypotheses(self, log_probabilities: ArrayLike) -> list[tuple[float, str]]:
        """(score, text) of (frames, tokens), best first, no text twice; [(0.0, "")] for no frames.

        Never empty, and at most as many as the beam is wide.
        """
        import torch

        given = torch.as_tensor(log_probabilities, dtype=torch.float32, device="cpu")
        if not len(given):
            return [(0.0, "")]
        if self._lexicon is not None:  # the end of a clip ends its last word
            closing = torch.full_like(given[:1], IMPOSSIBLE)
            closing[:, self._delimiter] = 0.0
            given = torch.cat([given, closing])
        found: dict[str, float] = {}
        for path in self._decoder(given[None, :, self._columns].contiguous())[0]:
            text, score = self._read(path)
            found[text] = float(np.logaddexp(found.get(text, -np.inf), score))
        return sorted(((score, text) for text, score in found.items()), key=lambda pair: -pair[0])

    def _read(self, path: Any) -> tuple[str, float]:
        if self._lexicon is not None:
            return " ".join(path.words), path.score
        text = self._vocabulary.text(self._decoder.idxs_to_tokens(path.tokens))
        return text, path.score + self._search.word_score * len(text.split())


def _lexicon(vocabulary: Vocabulary, search: BeamSearch) -> language.Lexicon | None:
    """The words that may be written: the lexicon's, or the language model's if it is one of words.

    None where anything may be.
    """
    delimiter = str(vocabulary.delimiter)
    silent = {vocabulary.blank, *vocabulary.unwritten}
    letters = [token for n, token in enumerate(vocabulary.tokens) if n not in silent]
    if search.lexicon is not None:
        return language.read_lexicon(search.lexicon, letters)
    if search.language_model is None or language.knows(search.language_model, delimiter):
        return None
    return language.spelled(search.language_model, letters, delimiter)


@dataclass(kw_only=True)
class ByCTC(Neural):
    """Base of recognisers that answer with CTC's log-probabilities: how they become words.

    `decoder`: "greedy" or "beam", whose width is `beam`. `language_model`: n-grams as ARPA text or
    KenLM binary, of words, or of letters with the word delimiter among them. `lexicon`: a line a
    word, then its letters and the delimiter; only these words are then written. An ARPA file of
    words needs none: its words are spelled by their letters. `lm_weight` is by log10, `word_score`
    a word, as flashlight has them. The files are hashed into the fingerprint.
    """

    task = "recognition"

    decoder: str = "greedy"
    beam: int = 50
    language_model: str | None = None
    lexicon: str | None = None
    lm_weight: float = 2.0
    word_score: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "decoder", ("greedy", "beam"))
        check_number(self, "beam", 1, 10_000)
        check_number(self, "lm_weight", 0, 100)
        check_number(self, "word_score", -100, 100)
        for name in ("language_model", "lexicon"):
            path = getattr(self, name)
            if path is not None and not (isinstance(path, str) and self.decoder == "beam"):
                raise ValueError(
                    f"{type(self).__name__}: expected {name} to be a file's path, with "
                    f"decoder=beam, got {path!r} with decoder={self.decoder}"
                )
        self._vocabulary: Vocabulary | None = None
        self._beam: Beam | None = None

    @property
    def weights(self) -> str | None:
        """sha256 of the network's weights, the language model and the lexicon."""
        return language.hash_files((self.language_model, self.lexicon), super().weights)

    def transcribe(self, signals: Sequence[Signal]) -> list[str]:
        """Words of each (time,) signal at the network's rate; "" for none."""
        return self._answers(signals, empty=lambda _: "")

    def _write_with(self, vocabulary: Vocabulary) -> None:
        """Make the decoder: to be called by `_build`. ValueError where a file does not fit."""
        self._vocabulary = vocabulary
        if self.decoder == "beam":
            search = BeamSearch(
                self.beam, self.language_model, self.lexicon, self.lm_weight, self.word_score
            )
            self._beam = Beam(vocabulary, search)

    def _written(self, logits: torch.Tensor, frames: Iterable[int]) -> list[str]:
        """Texts of (clips, frames, tokens), of which so many frames a clip are its own."""
        assert self._vocabulary is not None, "_build must call _write_with"
        answers = logits.float().log_softmax(-1).cpu()
        own = [answer[:count] for answer, count in zip(answers, frames, strict=True)]
        if self._beam is not None:
            return [self._beam.hypotheses(answer)[0][1] for answer in own]
        return [greedy(answer, self._vocabulary) for answer in own]
