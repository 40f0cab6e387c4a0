"""Kinds of recipe for models of sounds and words: made sounds, and clips with captions.

recipe: {kind: sounds, each: 100}                                  # with captions of their own
recipe: {kind: captioned, of: [a, b], templates: ["someone says {text}"]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipelines.kinds import Figures, Kind, Rendering, Sources, Stage
from pipelines.model_kinds import kept
from pipelines.prompts import spoken
from pipelines.recipes import base, sounds
from pipelines.shards.datasets import Clip, Row
from pipelines.shards.packing import Sample
from pipelines.tasks.classification import truth

CAPTION = "caption"  # the label that a clip's caption stands under
_PLACE = re.compile(r"\{(\w+)\}")


class Sounds(Kind[sounds.Sounds, sounds.Sound]):
    """Tones, noises, bells, engines: made, with captions."""

    options = sounds.Sounds
    row = sounds.Sound
    needs_datasets = False
    refusal = "silent"

    def plan(self, recipe: sounds.Sounds, sources: Sources) -> list[sounds.Sound]:
        """Which sounds, and what is drawn for each."""
        if sources.own:
            raise ValueError("expected no `of`: sounds are made of nothing")
        return sounds.plan(recipe)

    def seconds(self, row: sounds.Sound) -> float:
        """As planned."""
        return row.seconds

    def speakers(self, row: sounds.Sound) -> tuple[str, ...]:  # noqa: ARG002
        """Nobody."""
        return ()

    def figures(self, row: sounds.Sound) -> Figures:
        """What it is."""
        return {"Class": row.name, **({} if row.snr_db is None else {"SNR, dB": row.snr_db})}

    @contextmanager
    def renderer(self, job: Rendering) -> Iterator[Callable[[sounds.Sound], Sample]]:
        """Every sound by itself, and a cluster of its own: nothing is shared but the class."""
        yield lambda row: _sound_sample(row, job.corpus)


def _sound_sample(row: sounds.Sound, corpus: str) -> Sample:
    rendered = sounds.render(row)
    return Sample(
        key=row.key,
        sounds=rendered.sounds,
        sample_rate=rendered.sample_rate,
        cluster=f"{corpus}/{row.key}",
        pair=row.key,
        labels=rendered.labels,
        provenance={"row": row.model_dump(mode="json")},
    )


def _with_places(templates: tuple[str, ...]) -> tuple[str, ...]:
    for template in templates:
        unknown = sorted(set(_PLACE.findall(template)) - {"label", "text"})
        if unknown or not template.strip():
            raise ValueError(f"expected words with {{label}} or {{text}}, found {template!r}")
    return templates


class Captioned(base.Recipe):
    """Clips of several datasets with a caption each.

    Attributes:
        templates: one is drawn for each clip; {label} is its class, {text} its transcript.
        own: whether a clip that has a caption keeps it; else it gets another, as of a pseudo-label.
        class_is: "text" makes the transcript the class, as of readings of single words.
        seed: another seed draws other templates.
    """

    templates: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_with_places)]
    own: bool = True
    class_is: Literal["class", "text"] = "class"
    seed: int = 0


class Captioning(base.Row):
    """A clip that gets a caption; `sample_rate` in Hz and `seconds` are the clip's."""

    key: str
    caption: str
    name: str | None = None  # of the class, where it is not the clip's own
    sample_rate: int
    seconds: float
    speaker: str | None

    @property
    def source_keys(self) -> tuple[str, ...]:
        """The clip."""
        return (self.key,)


class CaptionedClips(Kind[Captioned, Captioning]):
    """The clips of datasets, put together, each with words for what is heard."""

    options = Captioned
    row = Captioning
    keeps_sounds = True

    def plan(self, recipe: Captioned, sources: Sources) -> list[Captioning]:
        """A row a clip that something can be said of."""
        said = [(row, _said(recipe, row)) for row in sources.of(sources.own).values()]
        return [
            Captioning(
                key=row.key,
                caption=caption,
                name=row.text if recipe.class_is == "text" else None,
                sample_rate=row.sample_rate,
                seconds=row.seconds,
                speaker=row.speaker,
            )
            for row, caption in said
            if caption is not None
        ]

    def notes(self, sources: Sources, rows: Sequence[Any]) -> tuple[str, ...]:
        """What was left out."""
        silent = len(sources.of(sources.own)) - len(rows)
        return (f"{silent} clips that no template fits were left out",) if silent else ()

    def seconds(self, row: Captioning) -> float:
        """As long as the clip."""
        return row.seconds

    def speakers(self, row: Captioning) -> tuple[str, ...]:
        """The clip's own."""
        return () if row.speaker is None else (row.speaker,)

    def figures(self, row: Captioning) -> Figures:
        """How long the caption is."""
        return {"Words of the caption": float(len(row.caption.split()))}

    def sample(self, row: Captioning, stage: Stage) -> Sample:
        """The clip, byte for byte, with its caption."""
        more = {} if row.name is None else {"class": row.name}
        record = row.model_dump(mode="json")
        return captioned(stage.clip(row.key), row.key, row.caption, record, **more)


def _said(recipe: Captioned, row: Row) -> str | None:
    """The caption of a clip; None where no template finds its words."""
    if recipe.own and row.labels.get(CAPTION):
        return row.labels[CAPTION]
    name = truth(row)
    words = {"label": name and spoken([name])[name], "text": row.text and row.text.strip()}
    fitting = [t for t in recipe.templates if all(words[n] for n in _PLACE.findall(t))]
    if not fitting:
        return None
    drawn = fitting[int(base.generator(recipe.seed, "caption", row.key).integers(len(fitting)))]
    return _PLACE.sub(lambda found: str(words[found[1]]), drawn)


def captioned(clip: Clip, key: str, caption: str, row: Mapping[str, Any], **more: str) -> Sample:
    """A clip again, under a caption."""
    own = clip.row
    return Sample(
        key=key,
        sounds={role: kept(clip, role) for role in own.sounds},
        sample_rate=own.sample_rate,
        cluster=own.cluster,
        pair=own.pair or own.key,
        speaker=own.speaker,
        session=own.session,
        text=own.text,
        labels={**own.labels, CAPTION: caption, **more},
        provenance={"row": dict(row)},
    )
