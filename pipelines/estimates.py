"""Estimates: how many bytes a clip will take in a shard, from headers and a few encoded clips."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from pipelines import audio
from pipelines.audio import BadAudio, Header
from pipelines.originals import Originals, path_of
from pipelines.records import Entry, Sound
from pipelines.shards.packing import in_order
from pipelines.treatment import Treatment, sounds, store

LEARN_FROM = 24  # clips that are encoded to learn how well this corpus compresses
OVERHEAD = 2_048  # bytes of headers, padding and JSON, about, a clip


def sizes(
    entries: Sequence[Entry], treatment: Treatment, originals: Originals
) -> Callable[[Entry], int]:
    """A function from a clip to the bytes that it will take, within 20 % over a shard.

    A clip that cannot be read takes nothing: it will be a failure.
    """
    raw = _Raw(treatment, originals)
    ratio = 1.0
    learnt = plain = 0.0
    for entry in in_order(entry for entry in entries if entry.fault is None)[:LEARN_FROM]:
        try:
            stored, _ = store(treatment, originals, entry)
        except BadAudio:
            continue
        learnt += sum(len(found.data) for found in stored.values())
        plain += raw.size(entry)
    if plain:
        ratio = learnt / plain
    return lambda entry: round(raw.size(entry) * ratio) + OVERHEAD


class _Raw:
    """How large clips are: their files' bytes where those are kept, else 16 bits a sample."""

    def __init__(self, treatment: Treatment, originals: Originals) -> None:
        self._treatment = treatment
        self._originals = originals
        self._headers: dict[Sound, Header | None] = {}

    def size(self, entry: Entry) -> float:
        """Bytes of all sounds of a clip; 0 for what cannot be read."""
        if entry.fault is not None:
            return 0.0
        return sum(self._of(entry, sound) for sound in sounds(entry).values())

    def _of(self, entry: Entry, sound: Sound) -> float:
        if self._treatment.format == "original" and entry.start is None and entry.end is None:
            return float(self._originals.stamp(sound)[0] or 0)
        found = self._header(sound)
        if found is None:
            return 0.0
        seconds = found.frames / found.sample_rate
        if entry.end is not None:
            seconds = min(entry.end, seconds)
        channels = found.channels if self._treatment.channels == "keep" else 1
        rate = self._treatment.sample_rate or found.sample_rate
        return 2.0 * rate * channels * max(seconds - (entry.start or 0.0), 0.0)

    def _header(self, sound: Sound) -> Header | None:
        """What a file says of itself; asked once, since many clips may lie in one recording."""
        if sound not in self._headers:
            try:
                opened = self._originals.open(sound) if path_of(sound) else b""
                with io.BytesIO(opened) if isinstance(opened, bytes) else opened as stream:
                    self._headers[sound] = audio.header(stream)
            except BadAudio:
                self._headers[sound] = None
        return self._headers[sound]
