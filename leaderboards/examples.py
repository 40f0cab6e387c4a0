"""Clips to listen to and read on the page: sounds, their pictures, and words aligned."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

import jiwer

FORMATS = {b"RIFF": "audio/wav", b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"ID3": "audio/mpeg"}
SYNC = 0xFFE0  # the eleven bits that a bare MP3 frame begins with

Word = tuple[str, str, str]  # kind ("equal", "substitute", "delete", "insert"), said, heard
Place = tuple[str, str, str]  # comparison, model fingerprint, dataset


@dataclass(frozen=True)
class Sound:
    """A sound of a clip: what it is, its file and its picture's, as the page names them (relative
    to its folder). `note` says what was done to it, such as "the first 15 s of 31 s".
    """

    label: str
    file: str
    picture: str = ""
    note: str = ""


@dataclass(frozen=True)
class Example:
    """What there is to hear and to read of one clip in one cell of a board.

    `reference` and `hypothesis` are texts as the metric compared them, so that the marked words are
    those it counted. `told` is what else is to be known of it, in a sentence.
    """

    comparison: str
    fingerprint: str
    dataset: str
    key: str
    sounds: tuple[Sound, ...] = ()
    reference: str | None = None
    hypothesis: str | None = None
    told: str = ""

    def words(self) -> list[Word]:
        """The texts aligned word by word; empty without both."""
        if self.reference is None or self.hypothesis is None:
            return []
        return align(self.reference, self.hypothesis)


@dataclass(frozen=True)
class Media:
    """All that a board can be heard and seen by.

    `silence` says for a cell without any example why there is none; `note` what was left out of the
    whole page, '' where nothing was.
    """

    examples: tuple[Example, ...] = ()
    silence: Mapping[Place, str] = field(default_factory=dict)
    note: str = ""


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
