"""Treatment: what is done to the recordings of one clip. Decode, check, mix, resample, encode, or
keep their bytes as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines import audio
from pipelines.audio import BadAudio, Coded, Encoded, Recording
from pipelines.originals import Originals, path_of
from pipelines.records import Entry, Sound
from pipelines.shards.datasets import HEARD

LARGEST = 1 << 30  # bytes of a file that is passed through as it is


@dataclass(frozen=True)
class Treatment:
    """What is done to every recording."""

    sample_rate: int | None = None  # Hz; None keeps each recording's own
    channels: Literal["mono", "keep"] | int = "mono"  # a number takes that one, from 0
    format: Literal["flac", "flac16", "flac24", "original"] = "flac"
    check: Literal["samples", "headers"] = "samples"
    follow_links: bool = False


def sounds(entry: Entry) -> dict[str, Sound]:
    """Every sound of a clip, by role."""
    found: dict[str, Sound] = {HEARD: entry.audio}
    found |= {f"s{n}": sound for n, sound in enumerate(entry.sources, 1)}
    if entry.clean:
        found["clean"] = entry.clean
    if entry.noise:
        found["noise"] = entry.noise
    return found


@dataclass(frozen=True)
class Begun:
    """The sounds of a clip on their way into a shard, by role; their rate in Hz."""

    sounds: Mapping[str, Coded | Encoded]
    sample_rate: int

    @property
    def samples(self) -> int:
        """How many samples are held until it is done."""
        return sum(sound.pcm.size for sound in self.sounds.values() if isinstance(sound, Coded))

    def done(self) -> dict[str, Encoded]:
        """Every sound as it will be stored."""
        return {
            role: sound.listened(measured=role == HEARD) if isinstance(sound, Coded) else sound
            for role, sound in self.sounds.items()
        }


def store(
    treatment: Treatment, originals: Originals, entry: Entry
) -> tuple[dict[str, Encoded], int]:
    """Every sound of a clip as it will be stored, by role, and their rate in Hz; else BadAudio."""
    begun = begin(treatment, originals, entry)
    return begun.done(), begun.sample_rate


def begin(treatment: Treatment, originals: Originals, entry: Entry) -> Begun:
    """Read, check and encode a clip's sounds; what is known of them comes with `Begun.done`.

    BadAudio where the recording or one of its references cannot be used.
    """
    if treatment.format == "original" and treatment.check == "headers":
        unheard = {
            role: _unheard(treatment, originals, entry, s) for role, s in sounds(entry).items()
        }
        kept = {role: found for role, found in unheard.items() if found is not None}
        if len(kept) == len(unheard):
            rates = {role: rate for role, (_, rate) in kept.items()}
            _check_alike(rates, {role: found.frames for role, (found, _) in kept.items()})
            return Begun({role: found for role, (found, _) in kept.items()}, rates[HEARD])
    found = _decode_all(treatment, originals, entry)
    recordings = {role: recording for role, (recording, _) in found.items()}
    _check_alike(
        {role: recording.sample_rate for role, recording in recordings.items()},
        {role: len(recording.pcm) for role, recording in recordings.items()},
    )
    rate = treatment.sample_rate or recordings[HEARD].sample_rate
    bits = _bits(treatment, recordings)
    stored: dict[str, Coded | Encoded] = {}
    for role, (recording, data) in found.items():
        if data is not None and _fits(treatment, entry, recording.sample_rate, recording.channels):
            stored[role] = audio.keep(data, recording)
        else:
            # The channel is the recording's; a reference of one channel is the truth of it.
            one = entry.channel is not None and (role == HEARD or recording.channels > 1)
            channels = entry.channel if one and entry.channel is not None else treatment.channels
            signal = audio.pick(recording, channels)
            resampled = audio.resample_pcm(signal, recording.sample_rate, rate)
            stored[role] = audio.code(resampled, rate, bits)
        if role == HEARD and not stored[role].heard:
            raise BadAudio("silent", f"every sample is zero at {bits} bits")
    return Begun(stored, rate)


def _decode_all(
    treatment: Treatment, originals: Originals, entry: Entry
) -> dict[str, tuple[Recording, bytes | None]]:
    """Every sound of a clip; BadAudio("too_long") if they are more than one may be in all."""
    found: dict[str, tuple[Recording, bytes | None]] = {}
    samples = 0
    for role, sound in sounds(entry).items():
        found[role] = _decode(originals, sound, entry, keep=treatment.format == "original")
        samples += found[role][0].pcm.size
        if samples > audio.MOST:
            detail = f"expected at most {audio.MOST} samples in recording and references together"
            raise BadAudio("too_long", f"{detail}: cut it into stretches")
    return found


def _bits(treatment: Treatment, recordings: Mapping[str, Recording]) -> int:
    if treatment.format in ("flac16", "flac24"):
        return int(treatment.format[4:])
    return max(recording.bits for recording in recordings.values())


def _fits(treatment: Treatment, entry: Entry, rate: int, channels: int) -> bool:
    """Whether a file's own bytes can stand for the clip."""
    whole = entry.start is None and entry.end is None and entry.channel is None
    right = channels == 1 if treatment.channels in ("mono", 0) else treatment.channels == "keep"
    return whole and right and treatment.sample_rate in (None, rate)


def _unheard(
    treatment: Treatment, originals: Originals, entry: Entry, sound: Sound
) -> tuple[Encoded, int] | None:
    """A file's own bytes by its header alone, and its rate; None where they do not fit."""
    data = _bytes(originals, sound)
    found = audio.header(data)
    fits = _fits(treatment, entry, found.sample_rate, found.channels)
    if not fits or found.suffix is None or not 0 < found.frames < audio.UNKNOWN:
        return None
    return audio.keep_unheard(data, found), found.sample_rate


def _bytes(originals: Originals, sound: Sound) -> bytes:
    opened = originals.open(sound)
    if isinstance(opened, bytes):
        return opened
    with opened:
        data = opened.read(LARGEST + 1)
    if len(data) > LARGEST:
        detail = f"{path_of(sound)}: expected at most {LARGEST} bytes to pass through, found more"
        raise BadAudio("too_long", detail)
    return data


def _decode(
    originals: Originals, sound: Sound, entry: Entry, *, keep: bool
) -> tuple[Recording, bytes | None]:
    """A recording, or the entry's stretch of it; with its bytes if they are to be kept."""
    stretch = (entry.start, entry.end)
    if keep and stretch == (None, None):
        data = _bytes(originals, sound)
        recording = audio.decode(data)
        kept = data if recording.suffix is not None else None
    else:
        opened, kept = originals.open(sound), None
        if isinstance(opened, bytes):
            recording = audio.decode(opened, *stretch)
        else:
            with opened:
                recording = audio.decode(opened, *stretch)
    if recording.pcm.dtype == np.float64 and not np.isfinite(recording.pcm).all():
        raise BadAudio("not_finite", f"{path_of(sound)} holds NaN or infinite samples")
    return recording, kept


def _check_alike(rates: Mapping[str, int], lengths: Mapping[str, int]) -> None:
    """References must be as long as what is heard, sample for sample, at the same rate."""
    for role, rate in rates.items():
        if rate != rates[HEARD]:
            detail = f"{role}: expected {rates[HEARD]} Hz, found {rate} Hz"
            raise BadAudio("source_sample_rate", detail)
        if lengths[role] != lengths[HEARD]:
            detail = f"{role}: expected {lengths[HEARD]} samples, found {lengths[role]}"
            raise BadAudio("source_length", detail)
