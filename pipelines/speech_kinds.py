"""Kinds of recipe that make a clip of a text or of another clip: readings, and views of clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.kinds import Figures, Kind, Rendering, Sources, Stage
from pipelines.recipes import augment, base, readings
from pipelines.recipes.espeak import Speaker
from pipelines.recipes.sentences import SENTENCES
from pipelines.records import digest
from pipelines.shards.packing import Sample


class Readings(Kind[readings.Readings, readings.Reading]):
    """Texts: given ones, sentences of our own, or the distinct transcripts of datasets."""

    options = readings.Readings
    row = readings.Reading
    libraries = ("espeakng-loader", "soxr")
    needs_datasets = False
    refusal = "unspeakable"

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """`sentences: n` stands for so many texts of our own."""
        if "sentences" not in given:
            return given
        count = given.pop("sentences")
        if "texts" in given:
            raise ValueError("expected one of texts, sentences, found both")
        if not isinstance(count, int) or not 1 <= count <= len(SENTENCES):
            raise ValueError(f"sentences: expected 1 to {len(SENTENCES)}, found {count!r}")
        return {**given, "texts": list(SENTENCES[:count])}

    def plan(self, recipe: readings.Readings, sources: Sources) -> list[readings.Reading]:
        """Who reads what."""
        if not sources.own:
            return readings.plan(recipe)
        # Ids from the text itself: a transcript that joins later renames none of the others.
        texts = {f"text-{digest(text)[:10]}": text for text in _transcripts(sources)}
        said = {name: text for name, text in texts.items() if _sayable(text)}
        return readings.plan(recipe, sorted(said.items()))

    def seconds(self, row: readings.Reading) -> float:
        """By the number of words."""
        return 60.0 * len(row.text.split()) / float(row.words_per_minute)

    def speakers(self, row: readings.Reading) -> tuple[str, ...]:
        """The voice."""
        return (row.voice,)

    def figures(self, row: readings.Reading) -> Figures:
        """How it is read."""
        return {"Words a minute": float(row.words_per_minute), "Pitch": float(row.pitch)}

    def notes(self, sources: Sources, rows: Sequence[Any]) -> tuple[str, ...]:  # noqa: ARG002
        """What was left out."""
        silent = sum(not _sayable(text) for text in _transcripts(sources))
        return (f"{silent} transcripts without a word to say were left out",) if silent else ()

    @contextmanager
    def renderer(self, job: Rendering) -> Iterator[Callable[[readings.Reading], Sample]]:
        """One espeak-ng process for all rows of a shard."""
        with Speaker() as speaker:
            yield lambda row: _reading_sample(row, readings.render(row, speaker), job.corpus)


def _transcripts(sources: Sources) -> set[str]:
    """The distinct transcripts of the datasets."""
    rows = [row for name in sources.own for row in sources.of([name]).values()]
    return {row.text for row in rows if row.text is not None}


def _sayable(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _reading_sample(row: readings.Reading, rendered: base.Rendered, corpus: str) -> Sample:
    return Sample(
        key=row.key,
        sounds=rendered.sounds,
        sample_rate=rendered.sample_rate,
        cluster=f"{corpus}/{row.voice}",
        pair=row.key,
        speaker=row.voice,
        text=row.text,
        labels={"voice": row.voice, "words_per_minute": str(row.words_per_minute)},
        provenance={"row": row.model_dump(mode="json")},
    )


class Augment(Kind[augment.Augment, augment.View]):
    """One or several changed views of each clip, which share its `pair`."""

    options = augment.Augment
    row = augment.View

    def plan(self, recipe: augment.Augment, sources: Sources) -> list[augment.View]:
        """What becomes of which clip."""
        clips = [
            augment.SourceClip(row.key, row.seconds, row.speaker, row.text, row.labels)
            for row in sources.of(sources.own).values()
        ]
        return augment.plan(recipe, clips)

    def seconds(self, row: augment.View) -> float:
        """As planned."""
        return row.seconds

    def speakers(self, row: augment.View) -> tuple[str, ...]:
        """Who is heard, by the clips' own speakers, in whatever voice."""
        parts = (row.source,) if row.mix is None else (row.source, row.mix.part)
        return tuple(part.speaker for part in parts if part.speaker is not None)

    def figures(self, row: augment.View) -> Figures:
        """What was changed, and by how much."""
        found: Figures = {"Mixed": "no" if row.mix is None else "yes"}
        if row.mix is not None:
            found["Weight of the first clip"] = row.mix.weight
        if row.perturbation is not None:
            found["Speed"] = row.perturbation.speed
            found["Semitones"] = row.perturbation.semitones
        if row.frequency_shift_hz is not None:
            found["Frequency shift, Hz"] = row.frequency_shift_hz
        if row.gain_db is not None:
            found["Gain, dB"] = row.gain_db
        return found

    def sample(self, row: augment.View, stage: Stage) -> Sample:
        """One view."""
        rendered = augment.render(row, stage.signals_at(row.sample_rate))
        sources = [stage.clip(key).row for key in row.source_keys]
        alone = sources[0] if len(sources) == 1 else None
        return Sample(
            key=row.key,
            sounds=rendered.sounds,
            sample_rate=rendered.sample_rate,
            cluster="+".join(sorted(source.cluster for source in sources)),
            pair=(alone.pair or alone.key) if alone else row.key,
            speaker=row.speaker,
            text=row.text,
            labels=rendered.labels,
            provenance={"row": row.model_dump(mode="json")},
        )
