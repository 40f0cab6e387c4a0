"""Prompts: how classes are put into words, as named files that are hashed by what they say.

A prompt set is a YAML file of templates, each with {label} once; a vocabulary is one of classes and
how each is said. Those beside this file go by their names, anybody's own by their paths:

    templates: ["this is a sound of {label}"]

    classes: {dog: dog, clock_tick: clock ticking}     # or a list; then _ and - become spaces
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from pipelines import schema
from pipelines.records import RealEarError, digest
from pipelines.schema import NAME, Config, nearest

SHIPPED = Path(__file__).parent
PLACE = "{label}"
VERSION = "1"  # bump when the same files would be put into other words

Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class TemplatesFile(Config):
    """A prompt set as its file has it; `title` says what it is for."""

    title: str = ""
    templates: Annotated[list[Said], Field(min_length=1)]

    @field_validator("templates")
    @classmethod
    def _each_with_a_place(cls, templates: list[str]) -> list[str]:
        for template in templates:
            if template.count(PLACE) != 1:
                raise ValueError(f"expected {PLACE} once in every template, found {template!r}")
        if len(set(templates)) < len(templates):
            raise ValueError("expected every template once, found one twice")
        return templates


class VocabularyFile(Config):
    """A vocabulary as its file has it."""

    title: str = ""
    classes: dict[Said, Said]

    @field_validator("classes", mode="before")
    @classmethod
    def _as_they_are_called(cls, classes: Any) -> Any:
        return spoken(map(str, classes)) if isinstance(classes, list) else classes

    @field_validator("classes")
    @classmethod
    def _told_apart(cls, classes: dict[str, str]) -> dict[str, str]:
        if len(classes) < 2 or len(set(classes.values())) < len(classes):
            raise ValueError("expected two classes or more, each said in words of its own")
        return classes


@dataclass(frozen=True)
class PromptSet:
    """Templates, and what stands in them: classes by dataset, where a vocabulary is declared for
    it. `hash` covers everything that it says, not what it is called.
    """

    name: str
    templates: tuple[str, ...]
    vocabularies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """8 hex digits of SHA-256."""
        said = {name: dict(classes) for name, classes in self.vocabularies.items()}
        return digest(["prompts", VERSION, list(self.templates), said])[:8]

    def record(self) -> dict[str, Any]:
        """Everything that it says, as JSON."""
        return {
            "name": self.name,
            "hash": self.hash,
            "templates": list(self.templates),
            "vocabularies": {name: dict(said) for name, said in self.vocabularies.items()},
        }

    def texts(self, classes: Mapping[str, str]) -> list[list[str]]:
        """The prompts of some classes: a list a template, in the order of the classes."""
        return [
            [template.replace(PLACE, words) for words in classes.values()]
            for template in self.templates
        ]


def load(name: str, vocabularies: Mapping[str, str] | None = None) -> PromptSet:
    """A prompt set by its name here or its path, with vocabularies by dataset; RealEarError for one
    that is not there, or not in order.
    """
    path = _path(name, SHIPPED, "prompt set")
    found = schema.validate(TemplatesFile, schema.load_yaml(str(path)), str(path))
    said = {dataset: vocabulary(of) for dataset, of in (vocabularies or {}).items()}
    return PromptSet(path.stem, tuple(found.templates), said)


def vocabulary(name: str) -> dict[str, str]:
    """Classes and how they are said, by a vocabulary's name here or its path."""
    path = _path(name, SHIPPED / "vocabularies", "vocabulary")
    return schema.validate(VocabularyFile, schema.load_yaml(str(path)), str(path)).classes


def spoken(classes: Iterable[str]) -> dict[str, str]:
    """Classes said as they are called, with spaces for _ and -."""
    return {name: " ".join(re.split(r"[\s_-]+", name)).strip() for name in classes}


def names(folder: Path = SHIPPED) -> list[str]:
    """What comes with RealEar."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _path(name: str, folder: Path, what: str) -> Path:
    if name in names(folder):
        return folder / f"{name}.yaml"
    path = Path(name)
    if not path.is_file():
        raise RealEarError(
            f"expected a {what} or a YAML file, found none called {name!r}: "
            f"{nearest(name, names(folder))}"
        )
    if not re.fullmatch(NAME, path.stem):
        raise RealEarError(
            f"{path}: expected a file's name of up to 64 letters, digits, _ and -, found "
            f"{path.stem!r}: it names rows and folders"
        )
    return path
