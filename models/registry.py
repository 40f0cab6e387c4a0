"""Which models there are, how to make one, and what tells its outputs from another's.

A name is one of `MODELS`, an entry point of the group `realear.models` (a third party's model, no
fork needed), or "module:Class". To add one here: a class on `models.base.Model`, a line in one of
the tables of `models.entries`, a test.
"""

import dataclasses
import difflib
import functools
import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from models.base import Model
from models.entries import ModelEntry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "realear.models"


TABLES = (  # modules of models.entries
    *("classical", "torchaudio", "transformers", "transformers_sounds", "speechbrain"),
    *("open_unmix", "judging", "sounds", "explaining"),
)


def _collected() -> dict[str, ModelEntry]:
    """Every table's lines; a name that two tables claim is a mistake of ours."""
    found: dict[str, ModelEntry] = {}
    for name in TABLES:
        entries = importlib.import_module(f"models.entries.{name}").ENTRIES
        assert not found.keys() & entries.keys(), f"names given twice, in {name}"
        found |= entries
    return found


MODELS = _collected()


def create(name: str, **parameters: Any) -> Model:
    """Make the model `name` with these parameters over the entry's over the class's defaults.

    Costs no heavy import (`load()` does). Raises ValueError for an unknown name (with the nearest),
    an unknown, missing or refused parameter, and a "module:Class" that is not a model.
    """
    cls, preset = _resolve(name)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in parameters:
        if key not in fields:
            raise ValueError(_unknown(f"parameter of model {name!r}", key, fields))
    given = {**preset, **parameters}
    missing = [key for key, field in fields.items() if key not in given and _required(field)]
    if missing:
        raise ValueError(
            f"model {name!r}: expected a value for {', '.join(missing)}, got none; "
            f"give {missing[0]}= in the suite or the call"
        )
    return cls(**given)


def model_class(name: str) -> type[Model]:
    """The class behind a name, for its `task`, `role` and docstring; ValueError as in `create`."""
    return _resolve(name)[0]


def names() -> list[str]:
    """Every name that `create` knows without a colon: the registry's, then the entry points'."""
    return [*MODELS, *sorted(set(_entry_points()) - MODELS.keys())]


def record(model: Model, name: str) -> dict[str, Any]:
    """Everything that may change the model's outputs, as JSON: what `fingerprint` hashes.

    `name` is the one given to `create`. Raises ValueError when a library it names is not installed.
    """
    return {
        "id": name,
        "version": model.version,
        "parameters": model.parameters,
        "weights": model.weights,
        "device": model.device,
        "precision": model.precision,
        "libraries": {library: _library_version(library, name) for library in model.libraries},
    }


def fingerprint(model: Model, name: str) -> str:
    """8 hex digits of the sha256 of `record(model, name)` as canonical JSON."""
    text = json.dumps(record(model, name), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _resolve(name: str) -> tuple[type[Model], Mapping[str, Any]]:
    """The class and the entry's own parameters."""
    if entry := MODELS.get(name):
        return _import(entry.cls), entry.parameters
    if ":" in name:
        return _import(name), {}
    if entry_point := _entry_points().get(name):
        return _checked(_loaded(entry_point), name), {}
    raise ValueError(_unknown("model", name, names()))


def _import(path: str) -> type[Model]:
    module, _, attribute = path.partition(":")
    try:
        found = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"expected {path!r} to name a class as 'module:Class', "
            f"got {type(error).__name__}: {error}; "
            "check the spelling and that the module is installed here and on the workers"
        ) from error
    return _checked(found, path)


def _loaded(entry_point: "EntryPoint") -> object:
    try:
        return entry_point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"expected the entry point {entry_point.name!r} ({entry_point.value}) to load, "
            f"got {type(error).__name__}: {error}; reinstall the package that offers it"
        ) from error


def _checked(found: object, name: str) -> type[Model]:
    if (
        isinstance(found, type)
        and issubclass(found, Model)
        and hasattr(found, "__dataclass_fields__")
    ):
        return found
    raise ValueError(
        f"expected {name!r} to be a dataclass on models.base.Model, got {found!r}; "
        "derive the class from Model and decorate it with @dataclass"
    )


def _entry_points() -> dict[str, "EntryPoint"]:
    from importlib import metadata  # 20 ms that `import models` need not pay

    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


@functools.cache
def _library_version(library: str, name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError as error:
        raise ValueError(
            f"model {name!r}: expected the library {library!r}, which is not installed; "
            f"run pip install {library}"
        ) from error


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _unknown(kind: str, got: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(got, known, n=3, cutoff=0.5)
    expected = f"did you mean {' or '.join(near)}?" if near else "none comes near."
    listed = ", ".join(known) or "none, it takes no parameters"
    return f"unknown {kind}: {got!r}; {expected} Known: {listed}"
