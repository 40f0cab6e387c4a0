"""Configuration: YAML or command-line words in, frozen validated objects out, or one clear error.

Unknown keys are refused with the nearest known ones; a key that stands twice is refused; names in
`$VARIABLES` are filled in from the environment.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipelines.records import RealEarError

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"  # what a dataset, suite or comparison may be called
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")  # not $5, which is a price


class Config(BaseModel):
    """Base of everything that a user writes: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=BaseModel)


def nearest(name: str, known: Iterable[str]) -> str:
    """A remedy: the nearest known names, or all of them if none is near."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(word) for word in close) + "?"
    return "known: " + ", ".join(known) if known else "none is known"


def load_yaml(path: str) -> Any:
    """Read a YAML 1.2 file as plain values; RealEarError with line and column if it is not one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RealEarError(f"expected a YAML file at {path}, found nothing there") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RealEarError(f"expected a readable UTF-8 YAML file at {path}: {error}") from error
    try:
        return expand(YAML(typ="safe", pure=True).load(text), path)
    except YAMLError as error:
        raise RealEarError(f"{path} is not valid YAML: {error}") from error


def expand(value: Any, path: str = "") -> Any:
    """Fill `$NAME` and `${NAME}` in every text; RealEarError where the variable is not set."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _variable(found[1] or found[2], path), value)
    if isinstance(value, Mapping):
        return {key: expand(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, path) for item in value]
    return value


def _variable(name: str, path: str) -> str:
    if name not in os.environ:
        raise RealEarError(
            f"{path}: expected the environment variable {name}, found it unset: "
            f"set it first, as in `export {name}=/your/folder`"
        )
    return os.environ[name]


def validate(model: type[C], value: Any, where: str) -> C:
    """Build a configuration object; RealEarError naming every wrong key and its remedy."""
    if not isinstance(value, Mapping):
        raise RealEarError(f"{where}: expected a mapping of keys, found {type(value).__name__}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [_explain(model, item) for item in error.errors()]
        raise RealEarError(f"{where}:\n" + "\n".join(f"  {line}" for line in lines)) from error


def _explain(model: type[BaseModel], item: Any) -> str:
    """One line for one validation error: where, what was found, what to do."""
    place = ".".join(str(step) for step in item["loc"]) or "(top)"
    if item["type"] == "extra_forbidden":
        known = _fields_at(model, item["loc"][:-1])
        return f"unknown key {place!r}: {nearest(str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"missing key {place!r}"
    found = "" if isinstance(item["input"], Mapping) else f" (found {item['input']!r})"
    return f"{place}: {item['msg']}{found}"


def _fields_at(model: type[BaseModel], place: tuple[Any, ...]) -> list[str]:
    """The keys that the model would accept at a place, looking through dicts, lists and unions."""
    models = [model]
    for step in place:
        nested: list[type[BaseModel]] = []
        for found in models:
            if step in found.model_fields:
                nested += _models_in(found.model_fields[step].annotation)
        models = nested or models
    return [name for found in models for name in found.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every configuration class that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]
