"""Media: short excerpts of a board's worst and median clips, with their pictures, for its page.

Sounds leave a dataset only where its card says `redistribute` or the user says `--with-audio`.
Files are named by what they are made of, so that models share what they all heard, a second run
encodes nothing anew, and any order gives the same files.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from leaderboards import details, words
from leaderboards.details import Detail, Pick
from leaderboards.examples import Example, Media, Place, Sound
from metrics.text import NORMALISERS
from pipelines import audio, explanation_pictures, pictures, stores, tasks
from pipelines.audio import BadAudio
from pipelines.records import Failure
from pipelines.score import Answers
from pipelines.shards.datasets import Clip, RandomReader
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from pipelines.publish import Cell

VERSION = "1"  # raise it when the same sound would be cut or encoded otherwise
LONGEST = 15.0  # seconds of an excerpt, from the start
STEREO = 2  # channels: more are mixed into one
MOST_CLIPS, MOST_BYTES = 2_000, 300_000_000
MOST_SOURCES = 4  # references, and estimates, of one clip
OPEN = 32  # prediction shards that are open at a time

FORBIDDEN = (
    "No sound: the dataset’s card does not say that its clips may be handed on. With --with-audio "
    "they come into a page for your own use."
)
OTHER_METRIC = "No sound: of each comparison, the clips that its first metric chooses are heard."
LEFT_OUT = "No sound: left out to keep the page small."


@dataclass
class _Desk:
    """What is open while excerpts are cut, and the bytes of every file that was asked for."""

    workspace: Workspace
    folder: Path
    readers: dict[str, RandomReader] = field(default_factory=dict)
    shards: OrderedDict[tuple[str, str], Answers] = field(default_factory=OrderedDict)
    spent: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> _Desk:
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self.readers.values():
            reader.close()
        for answers in self.shards.values():
            answers.close()

    def reader(self, folder: str) -> RandomReader:
        if folder not in self.readers:
            self.readers[folder] = RandomReader(folder, trust=True)
        return self.readers[folder]

    def answers(self, folder: str, stem: str) -> Answers:
        """A prediction shard; those that were read last stay open."""
        if (folder, stem) not in self.shards:
            self.shards[folder, stem] = Answers(folder, stem)
        self.shards.move_to_end((folder, stem))
        if len(self.shards) > OPEN:
            self.shards.popitem(last=False)[1].close()
        return self.shards[folder, stem]

    def file(self, name: str, make: Callable[[], bytes]) -> str:
        """A file of the page, made unless it is there: its address."""
        path = self.folder / "media" / name
        if not path.is_file():
            stores.write_bytes(str(path), make())
        self.spent[name] = path.stat().st_size
        return f"media/{name}"


def collect(
    found: Mapping[Place, Detail],
    cells: Sequence[Cell],
    workspace: Workspace,
    folder: Path,
    *,
    with_audio: bool,
    most_clips: int = MOST_CLIPS,
    most_bytes: int = MOST_BYTES,
) -> Media:
    """Cut, draw and write what there is to hear of a board into `media/` of a page's folder.

    Worst and median clips come first, then the second worst of every cell, then the third, until
    there are `most_clips`, or the next would bring them over `most_bytes`. DamagedShard where a
    shard is not as its sidecar says.
    """
    known = {(c.comparison, c.handling.fingerprint, c.made.card.name): c for c in cells}
    allowed = {place: with_audio or cell.made.card.redistribute for place, cell in known.items()}
    heard = {place: detail for place, detail in found.items() if allowed.get(place)}
    wanted = [(place, pick) for _, place, pick in details.picked(heard)]
    cut: dict[tuple[Place, str], Example] = {}
    with _Desk(workspace, folder) as desk:
        for place, pick in wanted[:most_clips]:
            example = _example(desk, place, known[place], pick)
            if sum(desk.spent.values()) > most_bytes:
                break  # its files are named by no example, so `site.write` removes them
            cut[place, pick.key] = example
    examples = (*cut.values(), *_again(found, known, cut))
    limits = f"{most_clips:,} clips and {most_bytes / 1e6:,.0f} MB"
    return Media(
        examples, _silence(found, known, allowed, examples), _note(len(cut), len(wanted), limits)
    )


def _note(cut: int, wanted: int, limits: str) -> str:
    if not wanted:
        return ""
    told = f"The worst three and the median clip of every value, the first {LONGEST:g} s of each."
    if cut < wanted:
        told += (
            f" To stay within {limits}, {cut:,} of {wanted:,} clips are here: the worst and the "
            "median of each value first, of the best models first."
        )
    return told


def _silence(
    found: Mapping[Place, Detail],
    known: Mapping[Place, Cell],
    allowed: Mapping[Place, bool],
    examples: Sequence[Example],
) -> dict[Place, str]:
    """Why a cell has no sound, for those that have none."""
    full = {(e.comparison, e.fingerprint, e.dataset) for e in examples}
    datasets = {dataset for (_, _, dataset), may in allowed.items() if may}
    silent = {}
    for place in found:
        if place not in full:
            reason = LEFT_OUT if place in known else OTHER_METRIC
            silent[place] = reason if place[2] in datasets else FORBIDDEN
    return silent


def _again(
    found: Mapping[Place, Detail],
    known: Mapping[Place, Cell],
    cut: Mapping[tuple[Place, str], Example],
) -> Iterator[Example]:
    """What was cut for a comparison's first metric, where a further metric picks the same clip."""
    by_clip = {(place[1:], key): example for (place, key), example in cut.items()}
    for place, detail in found.items():
        for pick in detail.picks:
            example = by_clip.get((place[1:], pick.key))
            if place not in known and example is not None:
                yield replace(example, comparison=place[0])


def _example(desk: _Desk, place: Place, cell: Cell, pick: Pick) -> Example:
    clip = desk.reader(cell.made.folder)[pick.key]
    folder = desk.workspace.predictions(cell.handling.chain, cell.made.card.name)
    answer = desk.answers(folder, clip.row.shard).of(pick.key)
    given = {} if isinstance(answer, Failure) else answer
    task = tasks.get(cell.handling.task)
    mask = explanation_pictures.mask(given) if task.name == "explanation" else None
    labels = _heard(clip, given) if mask is None else explanation_pictures.heard(clip, given)
    sounds = [
        _sound(desk, label, data, mask if not at else None)
        for at, (label, data) in enumerate(labels)
    ]
    said, heard = _texts(cell, clip.row.text, given)
    told = "" if mask is None else explanation_pictures.told(clip.row, given)
    kept = tuple(sound for sound in sounds if sound is not None)
    return Example(*place, pick.key, kept, said, heard, told)


def _heard(clip: Clip, given: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """What the model heard, the truth, and the answer, each with its name."""
    yield "What the model heard", clip.read()
    roles = [role for role in sorted(clip.row.sounds) if re.fullmatch(r"clean|s\d+", role)]
    for role in roles[:MOST_SOURCES]:
        yield f"Reference {role}", clip.read(role)
    answers = sorted(name for name in given if name.endswith(".wav"))
    for name in answers[:MOST_SOURCES]:
        yield f"Estimate {name.removesuffix('.wav')}", given[name]


def _sound(desk: _Desk, label: str, data: bytes, mask: pictures.Mask | None = None) -> Sound | None:
    """A sound's excerpt and picture, with a mask over it where there is one; None for what cannot
    be decoded.
    """
    try:
        told = audio.header(data)
        seconds = told.frames / told.sample_rate
        cut = seconds > LONGEST
        recording = audio.decode(data, 0.0, LONGEST) if cut else audio.decode(data)
    except BadAudio:
        return None
    pcm = audio.pick(recording, "mono" if recording.channels > STEREO else "keep")
    samples, loss = _fitted(audio.to_float(pcm))
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    rate = recording.sample_rate
    name = _named(data)
    drawn = name if mask is None else _named(data + mask.values.tobytes())
    notes = (f"first {LONGEST:g} s of {words.duration(seconds)}" if cut else "", loss)
    return Sound(
        label=label,
        file=desk.file(f"{name}.flac", lambda: audio.encode_flac(samples, rate).data),
        picture=desk.file(f"{drawn}.png", lambda: pictures.picture(mono, rate, mask)),
        note=", ".join(note for note in notes if note),
    )


def _named(data: bytes) -> str:
    return blake3(f"{VERSION} {pictures.VERSION}\n".encode() + data).hexdigest()[:24]


def _fitted(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """The samples, made quieter where they would not fit into 16 bits, and by how much in words."""
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    if peak <= 1.0:
        return samples, ""
    return samples / peak, f"{20 * np.log10(peak):.1f} dB quieter, to fit"


def _texts(
    cell: Cell, text: str | None, answer: Mapping[str, bytes]
) -> tuple[str | None, str | None]:
    """Reference and hypothesis as the metric compared them; None where it is not about text."""
    if tasks.get(cell.handling.task).name != "recognition" or text is None:
        return None, None
    normalise = NORMALISERS[str(cell.specs[0].parameters["normaliser"])]
    return normalise(text), normalise(answer.get("txt", b"").decode())
