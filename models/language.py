"""n-gram language models in ARPA's text format or KenLM's binary one, and lexicons to spell them.

KenLM: Heafield, "KenLM: faster and smaller language model queries", WMT 2011. A language model is
one of words, or one of letters that knows the word delimiter as a letter.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.neural import hash_folder, require

MARKS = ("<s>", "</s>", "<unk>")  # of an n-gram's vocabulary, in any case
Lexicon = Mapping[str, Sequence[tuple[str, ...]]]
"""Words, each with its spellings in tokens of a network."""


def opened(path: str) -> Any:
    """KenLM's model of a file; ValueError where it cannot read it."""
    kenlm = require("kenlm", "language-models")
    config = kenlm.Config()
    config.show_progress = False
    try:
        with quiet():
            return kenlm.Model(path, config)
    except OSError as error:
        raise ValueError(
            f"language model {path}: expected n-grams as ARPA text or KenLM binary, "
            f"found {' '.join(str(error).split())[:300]}"
        ) from error


def scorer(path: str) -> Callable[[str], float]:
    """The function that gives ln p of a text (words apart by blanks, its end included)."""
    model = opened(path)
    return lambda text: float(model.score(text, bos=True, eos=True)) * math.log(10)


def knows(path: str, word: str) -> bool:
    """Whether a word (or a letter) is in a language model's vocabulary."""
    return word in (set(words(path)) if is_arpa(path) else opened(path))


def is_arpa(path: str) -> bool:
    """Whether a file is ARPA text, whose words can be listed."""
    with Path(path).open("rb") as file:
        return file.read(1024).lstrip().startswith(b"\\data\\")


def words(path: str) -> Iterator[str]:
    """The vocabulary of an ARPA file in its order, without marks such as <s>."""
    with Path(path).open(encoding="utf-8") as file:
        inside = False
        for line in file:
            if line.startswith("\\"):
                if inside:
                    return
                inside = line.startswith("\\1-grams:")
            elif inside and line.strip():
                word = line.split()[1]
                if word.lower() not in MARKS:
                    yield word


def spelled(path: str, letters: Iterable[str], delimiter: str) -> Lexicon:
    """The words of an ARPA file by their letters and a delimiter, in the case the letters come in.

    Words with a letter that is not among them are left out: no network of these letters writes
    them. ValueError where that is most words, or where the file is not ARPA text.
    """
    if not is_arpa(path):
        raise ValueError(
            f"language model {path}: expected {delimiter!r} among its letters, or ARPA text, whose "
            "words can be listed, found a binary of words: give lexicon= too"
        )
    known = set(letters)
    listed = list(words(path))
    found = {}
    for word in listed:
        for form in (word, word.upper(), word.lower()):
            if known.issuperset(form):
                found[word] = [(*form, delimiter)]
                break
    if 2 * len(found) < len(listed) or not found:
        raise ValueError(
            f"language model {path}: expected words in the letters {' '.join(sorted(known))}, "
            f"found {len(listed) - len(found)} of {len(listed)} in others: choose one that fits"
        )
    return found


def read_lexicon(path: str, letters: Iterable[str]) -> Lexicon:
    """A lexicon file, a line a word: the word, then its letters, then the delimiter.

    ValueError for a line without letters or with one that the network does not know.
    """
    known = set(letters)
    found: dict[str, list[tuple[str, ...]]] = {}
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            word, *spelling = line.split() or [""]
            if not word:
                continue
            unknown = [letter for letter in spelling if letter not in known]
            if unknown or not spelling:
                raise ValueError(
                    f"lexicon {path}, line {number}: expected a word and its letters, of "
                    f"{' '.join(sorted(known))}, found {line.strip()!r}"
                )
            found.setdefault(word, []).append(tuple(spelling))
    return found


def lines(entries: Lexicon | Iterable[str]) -> str:
    """A lexicon as a file has it, or letters, one a line."""
    if not isinstance(entries, Mapping):
        return "".join(f"{letter}\n" for letter in entries)
    pairs = ((word, spelling) for word, spellings in entries.items() for spelling in spellings)
    return "".join(f"{word} {' '.join(spelling)}\n" for word, spelling in pairs)


def hash_files(paths: Iterable[str | None], other: str | None) -> str | None:
    """sha256 over files and another hash; that hash itself where no file is given.

    ValueError for a file that is not there.
    """
    given = [Path(path) for path in paths if path is not None]
    for path in given:
        if not path.is_file():
            raise ValueError(f"expected a file at {path}, found none: check the path")
    if not given:
        return other
    hashes = [other or "", *(hash_folder(path) for path in given)]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what KenLM tells the terminal about every ARPA file that it reads."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
