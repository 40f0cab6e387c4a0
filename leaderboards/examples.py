"""Clips to listen to and read on the page: players, and words aligned word by word."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jiwer

from leaderboards import words
from leaderboards.records import DOMAINS, Section

MOST = 4  # examples of one comparison: a page with more is heavy and nobody listens
FORMATS = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg"}
SYNC = 0xFFE0  # the eleven bits that a bare MP3 frame begins with

Word = tuple[str, str, str]  # kind ("equal", "substitute", "delete", "insert"), said, heard


@dataclass(frozen=True)
class Example:
    """A clip that shows what a score means.

    `audio` holds (label, bytes of a WAV, FLAC, Ogg or MP3 file) pairs, such as what the model heard
    and what it answered; `reference` and `hypothesis` are texts as the metric compared them, so
    that the marked words are those it counted. `score` is the raw value of the clip, None where it
    has none. `kind` says in a word why the clip was chosen, such as "typical" or "worst".
    `comparison` names the comparison to stand in; '' stands in each that has dataset and model.
    """

    title: str
    model: str
    dataset: str
    key: str
    kind: str = ""
    audio: tuple[tuple[str, bytes], ...] = ()
    reference: str | None = None
    hypothesis: str | None = None
    score: float | None = None
    comparison: str = ""

    def __post_init__(self) -> None:
        """Refuse audio that no browser would play."""
        for label, sound in self.audio:
            media_type(sound, f"example {self.key!r}, {label!r}")


def plays(sound: bytes) -> bool:
    """Whether browsers know the format of a file."""
    return _format(sound) is not None


def media_type(sound: bytes, whose: str) -> str:
    """What a browser calls a file's format; ValueError, naming whose it is, for what none plays."""
    known = _format(sound)
    if known is None:
        raise ValueError(
            f"{whose}: expected the bytes of a WAV, FLAC, Ogg or MP3 file, found {sound[:4]!r}; "
            "encode it with soundfile first"
        )
    return known


def _format(sound: bytes) -> str | None:
    if int.from_bytes(sound[:2]) & SYNC == SYNC:
        return "audio/mpeg"
    return next((name for start, name in FORMATS.items() if sound.startswith(start)), None)


def source(sound: bytes) -> str:
    """A file's bytes as the address that a player in the page plays them from."""
    kind = media_type(sound, "a clip")
    return f"data:{kind};base64,{base64.b64encode(sound).decode('ascii')}"


def shown(section: Section, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """The section's first `MOST` examples, ready for the page."""
    return [_shown(section, example) for example in examples if _belongs(section, example)][:MOST]


def align(reference: str, hypothesis: str) -> list[Word]:
    """The two texts as one row of words, each equal, substituted, deleted or inserted."""
    said, heard = reference.split(), hypothesis.split()
    if not said or not heard:
        return [("delete", word, "") for word in said] + [("insert", "", word) for word in heard]
    chunks = jiwer.process_words(" ".join(said), " ".join(heard)).alignments[0]
    row: list[Word] = []
    for chunk in chunks:
        left = said[chunk.ref_start_idx : chunk.ref_end_idx]
        right = heard[chunk.hyp_start_idx : chunk.hyp_end_idx]
        size = max(len(left), len(right))
        left, right = left or [""] * size, right or [""] * size
        row += [(chunk.type, one, other) for one, other in zip(left, right, strict=True)]
    return row


def _belongs(section: Section, example: Example) -> bool:
    if example.comparison:
        return example.comparison == section.comparison.name
    datasets = [name for domain in DOMAINS for name in section.comparison.datasets(domain)]
    return example.dataset in datasets and example.model in [row.model for row in section.rows]


def _shown(section: Section, example: Example) -> dict[str, Any]:
    score = words.amount(section.measure, example.score) if example.score is not None else ""
    line = (example.kind, example.model, example.dataset, example.key, score)
    texts = example.reference is not None and example.hypothesis is not None
    return {
        "title": example.title,
        "line": " · ".join(part for part in line if part),
        "audio": [(label, source(sound)) for label, sound in example.audio],
        "words": align(example.reference or "", example.hypothesis or "") if texts else [],
    }
