"""Recipes that ask a model: what a user may write of them, and what a planned row says.

The model is created, and so checked, with the recipe; it is not loaded.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

import models
from models.base import Model
from pipelines import predict
from pipelines.recipes.base import Recipe, Row
from pipelines.records import RealEarError

Confidence = Annotated[float, Field(ge=0, le=1)]
CONFIDENT = "transcribe_with_confidence"
EMBEDS = ("embed_audio", "embed_text")
PLACE = "{}"  # of the class in a template


class Asking(Recipe):
    """A model to be asked.

    Attributes:
        model: a name of the registry, of an entry point, or "module:Class".
        parameters: of the model.
    """

    task: ClassVar[str] = ""  # "": any model that offers `methods`
    methods: ClassVar[tuple[str, ...]] = ()

    model: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.task:
            try:
                predict.handling(self.model, self.model, self.task, self.parameters)
            except RealEarError as error:
                raise ValueError(str(error)) from error
            return self
        found = models.create(self.model, **self.parameters)
        missing = [name for name in self.methods if not offers(found, name)]
        if missing:
            raise ValueError(
                f"model {self.model!r}: expected one with {' and '.join(self.methods)}, found none "
                f"of {', '.join(missing)} in {type(found).__name__}: name an embedding model"
            )
        return self

    @cached_property
    def fingerprint(self) -> str:
        """Of the model as installed here."""
        return models.fingerprint(models.create(self.model, **self.parameters), self.model)


def offers(model: Model, method: str) -> bool:
    """Whether a model's own class has a method, not merely the base's refusal of it."""
    found = getattr(type(model), method, None)
    return callable(found) and found is not getattr(Model, method, None)


class Separated(Asking):
    """The estimates of a separator for every source of every mixture."""

    task = "separation"


class Transcribed(Asking):
    """What a recogniser understands of every clip.

    Attributes:
        keep_text: keep the clip's own text, as the label `original_text`.
        least_confidence: refuse (as `unsure`) clips whose text is less certain, by the measure of
            the model (see its `transcribe_with_confidence`), or of which nothing was understood.
    """

    task = "recognition"

    keep_text: bool = False
    least_confidence: Confidence | None = None

    @model_validator(mode="after")
    def _confident(self) -> Self:
        if self.least_confidence is not None and not offers(
            models.create(self.model, **self.parameters), CONFIDENT
        ):
            raise ValueError(
                f"least_confidence: expected a model with {CONFIDENT}, which {self.model!r} has "
                "not: leave it out"
            )
        return self


class Labelled(Asking):
    """The class of every clip, by a model that embeds sounds and texts in one space.

    Attributes:
        classes: to choose from. template: the prompt of a class, with {} in its place.
        temperature: what cosine similarities are divided by before the softmax.
        least_confidence: refuse (as `unsure`) clips whose class is less probable.
    """

    methods = EMBEDS

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    template: str = "the sound of {}"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    least_confidence: Confidence | None = None

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if len(set(self.classes)) < len(self.classes) or not all(map(str.strip, self.classes)):
            raise ValueError(f"classes: expected different names, found {list(self.classes)}")
        if PLACE not in self.template:
            raise ValueError(
                f"template: expected {PLACE} where the class goes, found {self.template!r}"
            )
        return self


class Answer(Row):
    """A question to a model about one clip.

    Attributes:
        key: of what is made. clip: key of the source. sample_rate: Hz, the source's.
        seconds: the source's length. speaker: the source's.
        model, parameters, fingerprint: who is to answer.
    """

    key: str
    clip: str
    sample_rate: int
    seconds: float
    speaker: str | None
    model: str
    parameters: dict[str, Any]
    fingerprint: str

    @property
    def source_keys(self) -> tuple[str, ...]:
        """The clip."""
        return (self.clip,)


class Estimate(Answer):
    """One source of a separated mixture; `source` counts from 1, as the roles do."""

    source: int


class Transcript(Answer):
    """A clip to be transcribed."""

    keep_text: bool
    least_confidence: float | None


class Labelling(Answer):
    """A clip to be labelled."""

    classes: tuple[str, ...]
    template: str
    temperature: float
    least_confidence: float | None

    @property
    def prompts(self) -> tuple[str, ...]:
        """What is embedded for the classes, in their order."""
        return tuple(self.template.replace(PLACE, name) for name in self.classes)
