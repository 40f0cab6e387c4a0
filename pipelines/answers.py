"""Recipes that ask a model: what a user may write of them, and what a planned row says.

The model is created, and so checked, with the recipe; it is not loaded.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

import models
from models.base import Model
from pipelines import predict
from pipelines.recipes.base import Range, Recipe, Row, refuse_twins
from pipelines.records import RealEarError

Confidence = Annotated[float, Field(ge=0, le=1)]
CONFIDENT = "transcribe_with_confidence"
EMBEDS = ("embed_audio", "embed_text")
PLACE = "{}"  # of the class in a template


class Asked(Recipe):
    """Which model.

    Attributes:
        model: a name of the registry, of an entry point, or "module:Class".
        parameters: of the model.
    """

    model: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Of the model as installed here."""
        return models.fingerprint(models.create(self.model, **self.parameters), self.model)

    def check(self, task: str) -> None:
        """ValueError unless it is a model of that task that can be made."""
        try:
            predict.handling(self.model, self.model, task, self.parameters)
        except RealEarError as error:
            raise ValueError(str(error)) from error


class Asking(Asked):
    """A model to be asked."""

    task: ClassVar[str] = ""  # "": any model that offers `methods`
    methods: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.task:
            self.check(self.task)
            return self
        found = models.create(self.model, **self.parameters)
        missing = [name for name in self.methods if not offers(found, name)]
        if missing:
            raise ValueError(
                f"model {self.model!r}: expected one with {' and '.join(self.methods)}, found none "
                f"of {', '.join(missing)} in {type(found).__name__}: name an embedding model"
            )
        return self


def offers(model: Model, method: str) -> bool:
    """Whether a model's own class has a method, not merely the base's refusal of it."""
    found = getattr(type(model), method, None)
    return callable(found) and found is not getattr(Model, method, None)


class Pooled(Asked):
    """A separator of a pool.

    Attributes:
        sources: how many it can part; mixtures of other numbers are not given to it. None: any.
    """

    sources: Annotated[int, Field(ge=2)] | None = None


class Separated(Asking):
    """The estimates of a separator, or of several, for every source of every mixture.

    Attributes:
        pool: separators instead of one `model`.
        each: how many of the pool part each mixture, drawn by its key; None for all.
        reference: what the SI-SNR is measured against: "heard", each talker as in the mixture (s1,
            s2…), or "dry", without the room (s1_dry…), as WHAMR! has it to dereverberate.
        spread_db: [low, high] from which each estimate draws the SI-SNR that it is blended to: with
            the truth where it is worse, with the rest of the mixture where it is better; then each
            source gets the estimate that the best order gives it. None leaves all estimates as the
            separator made them.
        unblended: with spread_db, the share of mixtures and separators left as they are.
        seed: another seed draws anew.
    """

    task = "separation"

    model: str = ""
    pool: tuple[Pooled, ...] = ()
    each: Annotated[int, Field(ge=1)] | None = None
    reference: Literal["heard", "dry"] = "heard"
    spread_db: Range | None = None
    unblended: Annotated[float, Field(ge=0, le=1)] = 0.25
    seed: int = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.model) == bool(self.pool):
            raise ValueError("expected a model or a pool of them: name one of both")
        if self.pool and self.parameters:
            raise ValueError("parameters: expected those of a pool with each of its models")
        for one in self.members:
            one.check(self.task)
        if (self.each or 1) > len(self.members):
            raise ValueError(f"each: expected {len(self.members)} at most, found {self.each}")
        refuse_twins((one.fingerprint for one in self.members), "separator", "name each once")
        return self

    @property
    def members(self) -> tuple[Pooled, ...]:
        """Who parts the mixtures."""
        return self.pool or (Pooled(model=self.model, parameters=self.parameters),)


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
    """One source of a separated mixture.

    Attributes:
        source: counts from 1, as the roles do. reference: see `Separated`.
        wanted_db: what each source's estimate is blended to; () to leave them as they are.
    """

    source: int
    reference: Literal["heard", "dry"] = "heard"
    wanted_db: tuple[float, ...] = ()

    def role(self, source: int) -> str:
        """The role of a source's reference."""
        return f"s{source}_dry" if self.reference == "dry" else f"s{source}"


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
