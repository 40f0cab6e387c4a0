"""Pooled WER against jiwer in one run, counts compared first: part of `make bench`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import jiwer
import numpy as np

from metrics.text import wer

UTTERANCES = 100_000
ROUNDS = 3  # alternating, the median counts: jiwer takes seconds a round


def corpus(utterances: int, seed: int = 2) -> tuple[list[str], list[str]]:
    """Said and heard: 5 to 29 words of a Zipf vocabulary of 20,000, 18 % of them edited."""
    random = np.random.default_rng(seed)
    vocabulary = np.array([f"w{n}" for n in range(20_000)])
    lengths = random.integers(5, 30, utterances)
    share = 1 / np.arange(1, len(vocabulary) + 1)
    share /= share.sum()
    said, other = (random.choice(vocabulary, lengths.sum(), p=share) for _ in range(2))
    fate = random.random(lengths.sum())  # substituted, deleted, followed by an insertion, kept
    heard = np.where(fate < 0.1, other, said).astype(object)
    heard[(fate >= 0.1) & (fate < 0.14)] = ""
    inserted = (fate >= 0.14) & (fate < 0.18)
    heard[inserted] = heard[inserted] + " " + other[inserted]
    cuts = np.cumsum(lengths)[:-1]
    return _joined(said, cuts), _joined(heard, cuts)


def _joined(words: np.ndarray, cuts: np.ndarray) -> list[str]:
    return [" ".join(word for word in part if word) for part in np.split(words, cuts)]


def measure(utterances: int = UTTERANCES, rounds: int = ROUNDS) -> float:
    """Median time of jiwer over that of `metrics.wer`; an error unless both say the same."""
    said, heard = corpus(utterances)
    found: dict[str, float] = {}
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, function in (("ours", wer), ("theirs", jiwer.wer)):
            found[name], seconds = _timed(function, said, heard)
            times[name].append(seconds)
    if found["ours"] != found["theirs"]:
        raise AssertionError(f"expected jiwer's WER {found['theirs']}, found {found['ours']}")
    return statistics.median(times["theirs"]) / statistics.median(times["ours"])


def _timed(
    function: Callable[[list[str], list[str]], float], said: list[str], heard: list[str]
) -> tuple[float, float]:
    started = time.perf_counter()
    value = function(said, heard)
    return value, time.perf_counter() - started


def main() -> None:
    """The ratio, a line."""
    print(f"{f'WER, pooled, {UTTERANCES:,} utterances':<46} {measure():6.2f} × jiwer")


if __name__ == "__main__":
    main()
