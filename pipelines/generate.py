"""Generate: a recipe becomes a plan, a row a clip; the rows are rendered into shards.

recipe: {kind: readings, of: [dataset…]}   # its transcripts, read aloud; or `texts`, or
                                           # `sentences: n` of our own
recipe: {kind: scenes, of: [dataset…]}     # its clips in rooms, in noise, on top of each other
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.recipes import readings, scenes
from pipelines.recipes.base import Rendered
from pipelines.recipes.espeak import Speaker, SpeechError
from pipelines.recipes.sentences import SENTENCES
from pipelines.records import Failure, Part, RealEarError, digest
from pipelines.schema import nearest, validate
from pipelines.shards.datasets import Clip, RandomReader, Row, printable
from pipelines.shards.packing import NOWHERE, Sample, in_order, pack, place

if TYPE_CHECKING:
    from pipelines.config import DatasetConfig
    from pipelines.make import Made

VERSION = "3"  # bump when the same rows would render otherwise
RECIPES = {
    "readings": "texts read aloud by espeak-ng in many voices",
    "scenes": "clips of single talkers in rooms, in noise, on top of each other",
}


@dataclass(frozen=True)
class Rendering:
    """What the work on one shard needs: rows, the corpus's name, and where the sources lie."""

    kind: str
    corpus: str
    rows: tuple[Any, ...]  # recipes.readings.Reading or recipes.scenes.Scene
    folders: tuple[str, ...] = ()


def plan(
    name: str,
    target: str,
    config: DatasetConfig,
    others: dict[str, Made],
    homes: Mapping[str, str] = NOWHERE,
) -> tuple[list[Part], tuple[str, ...]]:
    """Parts of a generated dataset, and notes for its card; RealEarError for a wrong recipe.

    `homes`: the shards of clips that stand already.
    """
    kind, recipe = check(name, config)
    of = [others[other] for other in config.needs]
    where = f"datasets.{name}.recipe"
    sources: dict[str, Row] = {}
    try:
        if kind == "readings":
            rows = _plan_readings(recipe, of)
        else:
            rows, sources = _plan_scenes(recipe, of, where)
    except ValueError as error:
        raise RealEarError(f"{where}: {error}") from error
    if config.limit is not None and rows:
        rows = in_order(rows)[: config.limit]
    folders = tuple(made.folder for made in of)
    parts = []
    for shard, members in place(name, rows, config.cutting, homes, _size):
        facts = [_facts(row, sources) for row in members]
        payload = Rendering(kind, name, tuple(members), folders if kind == "scenes" else ())
        inputs = digest(["generate", VERSION, name, facts])
        seconds = sum(_seconds(row) for row in members)
        parts.append(Part(target, shard, inputs, len(members), seconds, payload))
    return parts, _notes(kind, of)


def check(name: str, config: DatasetConfig) -> tuple[str, Any]:
    """A recipe's kind and its options, checked before the datasets that it is made of are there."""
    settings = dict(config.recipe or {})
    kind = str(settings.pop("kind", ""))
    settings.pop("of", None)
    where = f"datasets.{name}.recipe"
    if kind not in RECIPES:
        raise RealEarError(f"{where}: unknown kind {kind!r}: {nearest(kind, RECIPES)}")
    if kind == "scenes":
        if not config.needs:
            raise RealEarError(
                f"{where}: expected `of`, the datasets whose clips to use, found none"
            )
        return kind, validate(scenes.Scenes, settings, where)
    if "sentences" in settings:
        try:
            settings["texts"] = _own_sentences(settings.pop("sentences"), settings)
        except ValueError as error:
            raise RealEarError(f"{where}: {error}") from error
    return kind, validate(readings.Readings, settings, where)


def _plan_readings(recipe: readings.Readings, of: Sequence[Made]) -> list[Any]:
    """Who reads what: the distinct transcripts of other datasets, given texts, or our sentences."""
    if not of:
        return list(readings.plan(recipe))
    # Ids from the text itself: a transcript that joins later renames none of the others.
    texts = {f"text-{digest(text)[:10]}": text for text in _transcripts(of) if _sayable(text)}
    return list(readings.plan(recipe, sorted(texts.items())))


def _transcripts(of: Sequence[Made]) -> set[str]:
    """The distinct transcripts of some datasets."""
    rows = [row for made in of for row in RandomReader(made.folder).rows.values()]
    return {row.text for row in rows if row.text is not None}


def _sayable(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _notes(kind: str, of: Sequence[Made]) -> tuple[str, ...]:
    """What a reader of the card should know."""
    if kind != "readings" or not of:
        return ()
    silent = sum(not _sayable(text) for text in _transcripts(of))
    return (f"{silent} transcripts without a word to say were left out",) if silent else ()


def _own_sentences(count: Any, settings: dict[str, Any]) -> list[str]:
    """The first sentences of our own; ValueError for more than there are, or beside `texts`."""
    if "texts" in settings:
        raise ValueError("expected one of texts, sentences, found both")
    if not isinstance(count, int) or not 1 <= count <= len(SENTENCES):
        raise ValueError(f"sentences: expected 1 to {len(SENTENCES)}, found {count!r}")
    return list(SENTENCES[:count])


def _plan_scenes(
    recipe: scenes.Scenes, of: Sequence[Made], where: str
) -> tuple[list[Any], dict[str, Row]]:
    """Who is heard with whom, where and in what noise."""
    rows: dict[str, Row] = {}
    for made in of:
        more = RandomReader(made.folder).rows
        if twice := sorted(rows.keys() & more.keys()):
            raise RealEarError(
                f"{where}: expected each clip in one dataset of `of`, found {twice[0]!r} in two: "
                "prepare one of them from its parent folder, so that keys differ"
            )
        rows |= more
    clips = [
        scenes.SourceClip(row.key, row.speaker or row.cluster, row.seconds, row.text)
        for row in rows.values()
    ]
    return scenes.plan(recipe, clips), rows


def _facts(row: Any, sources: dict[str, Row]) -> list[object]:
    """What decides a clip: its row and the content of the clips that it names."""
    keys = row.source_keys if isinstance(row, scenes.Scene) else ()
    return [row.model_dump(mode="json"), [sources[key].content for key in keys]]


def _seconds(row: Any) -> float:
    """How long a clip will be, roughly."""
    if isinstance(row, scenes.Scene):
        return row.seconds
    return 60.0 * len(row.text.split()) / float(row.words_per_minute)


def _size(row: Any) -> int:
    """How many bytes a clip will take, roughly: FLAC halves 16 bits a sample."""
    return round(_seconds(row) * float(row.sample_rate))


def make_shard(part: Part) -> None:
    """Render one shard (the work function of this step)."""
    job: Rendering = part.payload
    pack(part, _read(job) if job.kind == "readings" else _staged(job))


def _read(job: Rendering) -> Iterator[Sample | Failure]:
    with Speaker() as speaker:
        for row in job.rows:
            try:
                rendered = readings.render(row, speaker)
            except (ValueError, SpeechError) as error:
                yield Failure(row.key, "generate", "unspeakable", printable(str(error)))
                continue
            yield Sample(
                key=row.key,
                sounds=rendered.sounds,
                sample_rate=rendered.sample_rate,
                cluster=f"{job.corpus}/{row.voice}",
                pair=row.key,
                speaker=row.voice,
                text=row.text,
                labels={"voice": row.voice, "words_per_minute": str(row.words_per_minute)},
                provenance={"row": row.model_dump(mode="json")},
            )


def _staged(job: Rendering) -> Iterator[Sample | Failure]:
    stage = _Stage(job.folders)
    for row in job.rows:
        try:
            rendered = scenes.render(row, stage.signals_at(row.sample_rate))
        except ValueError as error:
            yield Failure(row.key, "generate", "unusable_source", printable(str(error)))
            continue
        yield _scene_sample(row, rendered, [stage.clip(talker.key).row for talker in row.talkers])
    stage.close()


class _Stage:
    """The clips that scenes are made of, from however many datasets."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._readers = [RandomReader(folder) for folder in folders]

    def clip(self, key: str) -> Clip:
        """The clip of that key, whichever dataset holds it."""
        return next(reader for reader in self._readers if key in reader)[key]

    def signals_at(self, sample_rate: int) -> scenes.Read:
        """A function from a clip's key to its signal at a rate in Hz."""
        return lambda key: self.clip(key).signal(sample_rate=sample_rate)

    def close(self) -> None:
        """Close the shards that were read from."""
        for reader in self._readers:
            reader.close()


def _scene_sample(row: scenes.Scene, rendered: Rendered, talkers: Sequence[Row]) -> Sample:
    alone = talkers[0] if len(talkers) == 1 else None
    return Sample(
        key=row.key,
        sounds=rendered.sounds,
        sample_rate=rendered.sample_rate,
        # A mixture belongs to all of its talkers; with one talker a scene is that talker's clip.
        cluster="+".join(sorted(talker.cluster for talker in talkers)),
        pair=(alone.pair or alone.key) if alone else row.key,
        speaker="+".join(talker.speaker or "" for talker in talkers) or None,
        text=row.text,
        labels={**_labels(row), **rendered.labels},
        provenance={"row": row.model_dump(mode="json")},
    )


def _labels(row: scenes.Scene) -> dict[str, str]:
    """What slices are cut by: noise, SNR, room."""
    labels = {"talkers": str(len(row.talkers))}
    if row.noise is not None:
        labels |= {"noise": row.noise.kind, "snr_db": str(row.noise.snr_db)}
    if row.talkers[0].room is not None:
        labels["t60_s"] = str(row.talkers[0].room.t60_s)
    return labels
