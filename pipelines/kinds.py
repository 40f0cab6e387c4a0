"""Kinds of recipe, joined to datasets: recipes themselves know no shards and no files.

A kind knows its options, how to plan from the datasets that it is made of, how to make a planned
row into a sample, and what there is to say of a row. To add one: a module in `recipes/`, a class on
`Kind` (`speech_kinds`, `mixture_kinds`), a line in KINDS, a test.
"""

from __future__ import annotations

import importlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pipelines import stores
from pipelines.audio import Signal
from pipelines.recipes import base
from pipelines.schema import nearest
from pipelines.shards import sidecars
from pipelines.shards.datasets import CARD, Clip, RandomReader, Row
from pipelines.shards.packing import Sample

if TYPE_CHECKING:
    from pipelines.make import Made

Options = TypeVar("Options", bound=base.Recipe)
Planned = TypeVar("Planned", bound=base.Row)
HELD = 1 << 25  # samples of sources that are kept while a shard is rendered: 256 MB
Figures = dict[str, float | str | tuple[float, ...]]


class Sources:
    """The datasets that a recipe is made of, while it is planned: no audio is read.

    Args:
        made: every dataset that the recipe names, by name.
        own: those of its own `of`; the others are of its parts (such as its noise).
    """

    def __init__(self, made: Mapping[str, Made], own: Sequence[str]) -> None:
        self.made = made
        self.own = tuple(own)
        self._read: dict[str, dict[str, Row]] = {}

    def of(self, names: Sequence[str]) -> dict[str, Row]:
        """The clips of some of the datasets by key; ValueError for a key that stands in two."""
        rows: dict[str, Row] = {}
        for name in names:
            more = self._rows(name)
            if twice := sorted(rows.keys() & more.keys()):
                raise ValueError(
                    f"expected each clip in one dataset of `of`, found {twice[0]!r} in two: "
                    "prepare one of them from its parent folder, so that keys differ"
                )
            rows |= more
        return rows

    def _rows(self, name: str) -> dict[str, Row]:
        """The clips of one dataset by key; its index is read once."""
        if name not in self._read:
            self._read[name] = RandomReader(self.made[name].folder).rows
        return self._read[name]

    @cached_property
    def rows(self) -> dict[str, Row]:
        """The clips of all datasets by key; ValueError for a key that stands in two."""
        return self.of(tuple(self.made))


class _Shelf:
    """A dataset as a worker knows it: its index, and which shards it has compared already."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._compared: set[str] = set()
        self.reader = RandomReader(folder, trust=True)

    def clip(self, key: str) -> Clip:
        """The clip of that key; DamagedShard where the bytes of its shard have changed."""
        stem = self.reader.row(key).shard
        if stem not in self._compared:
            sidecars.check(self._folder, stem)
            self._compared.add(stem)
        return self.reader[key]


class _Signals:
    """The signals that were used last, HELD samples of them at most, by key and rate in Hz."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], Signal] = {}
        self._samples = 0

    def take(self, key: str, sample_rate: int, read: Callable[[], Signal]) -> Signal:
        """One of them, read unless it is held."""
        name = (key, sample_rate)
        found = self._held.pop(name, None)
        if found is None:
            found = read()
            found.setflags(write=False)
            self._samples += found.size
        self._held[name] = found  # the last one used goes last
        while self._samples > HELD and len(self._held) > 1:
            self._samples -= self._held.pop(next(iter(self._held))).size
        return found


class _Shelves(threading.local):
    """The datasets that this thread's last part was made of: the next one is of the same, too."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Shelf] = {}
        self.signals = _Signals()

    def take(self, folders: Sequence[str]) -> list[_Shelf]:
        """The shelves of these folders; one that was made anew since is looked at anew."""
        wanted = [(folder, stores.sha256(f"{folder}/{CARD}")) for folder in folders]
        if self._known.keys() != set(wanted):
            self._known = {key: self._known.get(key) or _Shelf(key[0]) for key in wanted}
            self.signals = _Signals()  # a key may now be another clip's
        return [self._known[key] for key in wanted]


_SHELVES = _Shelves()


class Stage:
    """The clips that a shard is made of, from however many datasets, while it is rendered.

    Signals are kept, from one shard to the next: a noise of minutes is in many short mixtures.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._shelves = _SHELVES.take(folders)
        self._signals = _SHELVES.signals
        self._clips: dict[str, Clip] = {}

    def clip(self, key: str) -> Clip:
        """The clip of that key, whichever dataset holds it."""
        if key not in self._clips:
            shelf = next(shelf for shelf in self._shelves if key in shelf.reader)
            self._clips[key] = shelf.clip(key)
        return self._clips[key]

    def signal(self, key: str, sample_rate: int) -> Signal:
        """A clip's signal, (time,) float64, at a rate in Hz; not to be written to."""
        read = partial(self.clip(key).signal, sample_rate=sample_rate)
        return self._signals.take(key, sample_rate, read)

    def signals_at(self, sample_rate: int) -> Callable[[str], Signal]:
        """A function from a clip's key to its signal at a rate in Hz."""
        return lambda key: self.signal(key, sample_rate)

    def close(self) -> None:
        """Close the shards that were read from."""
        for shelf in self._shelves:
            shelf.reader.close()


@dataclass(frozen=True)
class Rendering:
    """What the work on one shard needs: rows, the dataset's name, and where the sources lie."""

    kind: str
    corpus: str
    rows: tuple[Any, ...]
    folders: tuple[str, ...] = ()


class Kind(ABC, Generic[Options, Planned]):
    """One kind of recipe: its classes, and what to do with their instances."""

    options: type[Options]
    row: type[Planned]
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions whose version decides samples
    needs_datasets: ClassVar[bool] = True
    keeps_sounds: ClassVar[bool] = False  # what was real recordings still is, under other labels
    # Whether planning takes longer than reading a plan, and stands on nothing but the recipe, the
    # clips' index rows, and code of ours that is neither a model nor its weights.
    costly: ClassVar[bool] = False
    refusal: ClassVar[str] = "unusable_source"  # the reason of a row that cannot be rendered

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """The recipe's keys as its options have them; ValueError for what they cannot say."""
        return given

    def stated(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The recipe without what differs between machines and says nothing of the clips."""
        return recipe

    @abstractmethod
    def plan(self, recipe: Options, sources: Sources) -> list[Planned]:
        """All rows, or ValueError saying why there can be none."""

    @abstractmethod
    def seconds(self, row: Planned) -> float:
        """How long a clip will be, roughly."""

    @abstractmethod
    def speakers(self, row: Planned) -> tuple[str, ...]:
        """Who is heard."""

    @abstractmethod
    def figures(self, row: Planned) -> Figures:
        """What a summary counts: numbers (one or several a clip) and words, by title."""

    def source_keys(self, row: Planned) -> tuple[str, ...]:
        """The source clips that rendering reads."""
        return tuple(getattr(row, "source_keys", ()))

    def notes(
        self,
        sources: Sources,  # noqa: ARG002
        rows: Sequence[Planned],  # noqa: ARG002
    ) -> tuple[str, ...]:
        """What a reader of the card should know of rows made of these sources."""
        return ()

    @contextmanager
    def renderer(self, job: Rendering) -> Iterator[Callable[[Planned], Sample]]:
        """A function from a row to its sample, for the length of a shard.

        It raises ValueError (or SpeechError) where the row's sources do not allow it.
        """
        stage = Stage(job.folders)
        try:
            yield lambda row: self.sample(row, stage)
        finally:
            stage.close()

    def sample(self, row: Planned, stage: Stage) -> Sample:
        """Render a row that is made of datasets."""
        raise NotImplementedError


@dataclass(frozen=True)
class KindEntry:
    """A line of the registry; the class is imported when first asked for."""

    cls: str  # "module:Class"
    summary: str


KINDS: dict[str, KindEntry] = {
    "readings": KindEntry(
        "pipelines.speech_kinds:Readings", "texts read aloud by espeak-ng in many voices"
    ),
    "scenes": KindEntry(
        "pipelines.mixture_kinds:Scenes",
        "clips of single talkers in rooms, in noise, on top of each other",
    ),
    "augment": KindEntry(
        "pipelines.speech_kinds:Augment",
        "changed views of clips: perturbed, cropped, mixed, masked, over a channel",
    ),
    "covered": KindEntry(
        "pipelines.mixture_kinds:CoveredClips",
        "clips under white noise, speech or another class, with both parts beside the mixture",
    ),
    "librimix": KindEntry(
        "pipelines.mixture_kinds:LibriMix",
        "Libri2Mix and Libri3Mix from their own tables, sample for sample",
    ),
    "separated": KindEntry(
        "pipelines.model_kinds:SeparatedClips",
        "a separator's estimates with their true SI-SNR, source by source",
    ),
    "transcribed": KindEntry(
        "pipelines.model_kinds:TranscribedClips", "clips with what a recogniser understood of them"
    ),
    "sounds": KindEntry(
        "pipelines.sound_kinds:Sounds",
        "tones, noises, bells, engines, made from a few numbers, with captions",
    ),
    "captioned": KindEntry(
        "pipelines.sound_kinds:CaptionedClips", "clips of datasets with words for what is heard"
    ),
    "labelled": KindEntry(
        "pipelines.model_kinds:LabelledClips",
        "clips with the class that an embedding model finds nearest",
    ),
}


def get(name: str) -> Kind[Any, Any]:
    """The kind of that name; ValueError with the nearest names where there is none."""
    if name not in KINDS:
        raise ValueError(f"unknown kind {name!r}: {nearest(name, KINDS)}")
    module, _, attribute = KINDS[name].cls.partition(":")
    kind: Kind[Any, Any] = getattr(importlib.import_module(module), attribute)()
    return kind
