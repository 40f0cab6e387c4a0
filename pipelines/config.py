"""What a user may write into a suite or a recipe file, and the checks that need no data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ByteSize, Field, StringConstraints, model_validator

from pipelines import audio, schema, tasks
from pipelines.records import DOMAINS, Domain, RealEarError, digest
from pipelines.rules import TIES, InclusionConfig, Slice, Ties
from pipelines.schema import NAME, Config, nearest
from pipelines.shards.packing import Cutting

Name = Annotated[str, StringConstraints(pattern=NAME)]
Share = Annotated[float, Field(ge=0, le=1)]


def _storable(rate: int) -> int:
    if not audio.storable(rate):
        raise ValueError(f"expected a multiple of 10 Hz above {audio.COARSE} Hz")
    return rate


Rate = Annotated[
    int, Field(ge=audio.RATES[0], le=audio.RATES[1]), AfterValidator(_storable)
]  # Hz, that FLAC can hold


class DatasetConfig(Config):
    """A dataset: recordings (`corpus`), generated (`recipe`) or prepared before (`path`)."""

    domain: Domain
    corpus: dict[str, Any] | None = None
    recipe: dict[str, Any] | None = None
    path: str | None = None
    licence: str = "unknown"
    language: str = ""
    redistribute: bool = False
    tolerate: Share = 0.0  # share of clips that may be refused
    sample_rate: Rate | None = None  # Hz; None: as recorded
    channels: Literal["mono", "keep"] | Annotated[int, Field(ge=0)] = "mono"  # or one, from 0
    format: Literal["flac", "flac16", "flac24", "original"] = "flac"  # flac: as many bits as came
    check: Literal["samples", "headers"] = "samples"  # headers: keep originals without decoding
    follow_links: bool = False  # links may lead out of the corpus's folder
    shards: Annotated[int, Field(ge=1)] | None = None
    shard_clips: Annotated[int, Field(ge=1)] | None = None  # the most clips in a shard
    shard_bytes: Annotated[ByteSize, Field(ge=1)] | None = None  # about, such as 500 MB
    limit: Annotated[int, Field(ge=1)] | None = None  # take this many clips, chosen by key hash

    @model_validator(mode="after")
    def _one_origin(self) -> DatasetConfig:
        given = [name for name in ("corpus", "recipe", "path") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of corpus, recipe, path, found {given or 'none'}")
        sizes = [n for n in ("shards", "shard_clips", "shard_bytes") if getattr(self, n)]
        if len(sizes) > 1:
            raise ValueError(f"expected one of shards, shard_clips, shard_bytes, found {sizes}")
        if self.check == "headers" and self.format != "original":
            raise ValueError("check: headers keeps files as they are, so it needs format: original")
        for place, of in _named(self.recipe or {}, "recipe"):
            one, several = isinstance(of, str), isinstance(of, list | tuple)
            if not one and not (several and all(isinstance(name, str) for name in of)):
                raise ValueError(f"{place}: expected the names of datasets, found {of!r}")
        return self

    @property
    def cutting(self) -> Cutting:
        """How large shards are to be."""
        return Cutting(self.shards, self.shard_clips, self.shard_bytes and int(self.shard_bytes))

    @property
    def own(self) -> tuple[str, ...]:
        """The datasets whose clips a recipe is about: those of its own `of`."""
        of = (self.recipe or {}).get("of", ())
        return (of,) if isinstance(of, str) else tuple(of)

    @property
    def needs(self) -> tuple[str, ...]:
        """Datasets that must be made before this one, each once, in the order of the recipe."""
        named = [of for _, of in _named(self.recipe or {}, "recipe")]
        listed = [(of,) if isinstance(of, str) else tuple(of) for of in named]
        return tuple(dict.fromkeys(name for names in listed for name in names))


def _named(recipe: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Every `of` of a recipe with its place: its own first, then those of its parts."""
    if "of" in recipe:
        yield f"{place}.of", recipe["of"]
    for name, part in recipe.items():
        if isinstance(part, Mapping):
            yield from _named(part, f"{place}.{name}")


class ModelConfig(Config):
    """A model under a name of the user's own, with parameters."""

    model: str
    parameters: dict[str, Any] = {}


class ComparisonConfig(Config):
    """One board: a task, its models, the datasets of each domain, the metrics (the first ranks)."""

    task: str
    title: str = ""
    models: Annotated[list[str], Field(min_length=1)]
    metrics: dict[str, dict[str, Any] | None] = {}
    synthetic: list[str] = []
    simulated: list[str] = []
    real: list[str] = []
    sample_rate: int | None = None  # Hz at which signals are compared; None: the lowest of all
    slices: list[Slice] = []  # built-in names, or mappings of name, column, edges or values, unit
    include: InclusionConfig = InclusionConfig()
    ties: Ties = TIES  # the level of the intervals that make ties, or none
    prompts: list[str] = []  # of zero-shot: prompt sets by name or path, a row each
    vocabularies: dict[str, str] = {}  # of zero-shot: dataset to vocabulary; its own classes else
    probe: bool = False  # of zero-shot: a linear probe beside them, a row
    classifiers: list[str] = []  # of explanation: whose classes each of the models explains, a row

    @model_validator(mode="after")
    def _slices_once(self) -> ComparisonConfig:
        names = [rule.name for rule in self.slices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"slices: expected each name once, found {twice} more than once")
        return self

    def datasets(self) -> list[tuple[Domain, str]]:
        """(domain, dataset) of every dataset named."""
        return [(domain, name) for domain in DOMAINS for name in getattr(self, domain)]

    def wanted(self) -> dict[str, dict[str, Any]]:
        """Metric name to parameters, in order; the task's own where none is named.

        RealEarError for a task that no clip is scored by.
        """
        if not tasks.get(self.task).metrics:
            raise RealEarError(
                f"task {self.task!r}: expected one that clips are scored by, found one without "
                "clip-wise metrics: `realear predict` stores its answers"
            )
        if not self.metrics:
            return {name: {} for name in tasks.get(self.task).metrics}
        return {name: dict(parameters or {}) for name, parameters in self.metrics.items()}


class Datasets(Config):
    """A recipe file: datasets to prepare and to generate, nothing to compare."""

    name: Name | None = None
    title: str = ""
    datasets: Annotated[dict[Name, DatasetConfig], Field(min_length=1)]


class Suite(Datasets):
    """An evaluation: datasets, models, and the comparisons that make its boards."""

    name: Name
    tolerate: Share = 0.0  # share of clips that a model may fail on and still be ranked
    models: dict[Name, ModelConfig] = {}
    comparisons: Annotated[dict[Name, ComparisonConfig], Field(min_length=1)]

    def model(self, name: str) -> ModelConfig:
        """What a comparison's model name stands for: defined in the suite, or a registry's."""
        return self.models.get(name) or ModelConfig(model=name)

    @property
    def digest(self) -> str:
        """Hash of everything that the suite says."""
        return digest(self.model_dump(mode="json"))


def parse_suite(value: Any, where: str) -> Suite:
    """A checked suite; RealEarError naming what is wrong and the nearest right word."""
    suite = schema.validate(Suite, value, where)
    _check_needs(suite, where)
    for name, comparison in suite.comparisons.items():
        _check_comparison(suite, comparison, f"{where}: comparisons.{name}")
    return suite


def parse_datasets(value: Any, where: str) -> Datasets:
    """The datasets of a suite, or of a recipe file, which has no comparisons: checked alike."""
    of_suites = Suite.model_fields.keys() - Datasets.model_fields.keys()
    if isinstance(value, Mapping) and of_suites & value.keys():
        return parse_suite(value, where)
    found = schema.validate(Datasets, value, where)
    _check_needs(found, where)
    return found


def parse_name(name: str) -> str:
    """A dataset's name, checked; RealEarError with the rule."""
    if not re.fullmatch(NAME, name):
        raise RealEarError(f"expected a name of up to 64 letters, digits, _ and -, found {name!r}")
    return name


def load_suite(path: str) -> Suite:
    """Read and check a suite file."""
    return parse_suite(schema.load_yaml(path), path)


def load_datasets(path: str) -> Datasets:
    """Read and check a suite or a recipe file."""
    return parse_datasets(schema.load_yaml(path), path)


def _check_needs(found: Datasets, where: str) -> None:
    for name, dataset in found.datasets.items():
        _known(dataset.needs, found.datasets, f"{where}: datasets.{name}.recipe.of")


def _known(names: Any, known: Mapping[str, Any], where: str) -> None:
    for name in names:
        if name not in known:
            raise RealEarError(f"{where}: unknown dataset {name!r}: {nearest(name, known)}")


def _check_comparison(suite: Suite, comparison: ComparisonConfig, where: str) -> None:
    if comparison.task not in tasks.TASKS:
        remedy = nearest(comparison.task, tasks.TASKS)
        raise RealEarError(f"{where}: unknown task {comparison.task!r}: {remedy}")
    listed = comparison.datasets()
    if not listed:
        raise RealEarError(f"{where}: expected datasets under synthetic, simulated or real")
    _check_words(comparison, where)
    _check_classifiers(comparison, where)
    for domain, name in listed:
        _known([name], suite.datasets, where)
        if suite.datasets[name].domain != domain:
            raise RealEarError(
                f"{where}: dataset {name!r} is {suite.datasets[name].domain}, "
                f"but listed under {domain}"
            )


def _check_words(comparison: ComparisonConfig, where: str) -> None:
    """What only zero-shot comparisons say, and must."""
    _known(comparison.vocabularies, {name: None for _, name in comparison.datasets()}, where)
    given = [n for n in ("prompts", "vocabularies", "probe") if getattr(comparison, n)]
    if comparison.task == "zero-shot":
        if not comparison.prompts and not comparison.probe:
            raise RealEarError(f"{where}: expected prompts, or probe: true, found neither")
    elif given:
        raise RealEarError(
            f"{where}: {given[0]} is for the task zero-shot, found {comparison.task}"
        )


def _check_classifiers(comparison: ComparisonConfig, where: str) -> None:
    """What only comparisons of explainers say, and must."""
    needed = comparison.task == "explanation"
    if needed != bool(comparison.classifiers):
        remedy = "name whose classes to explain" if needed else "it is for the task explanation"
        found = comparison.classifiers or "none"
        raise RealEarError(f"{where}: classifiers: found {found}: {remedy}")


def making_order(suite: Datasets, only: Sequence[str] | None = None) -> list[str]:
    """Datasets (`only` some, with what they need) so that each comes after those it is made of.

    RealEarError on a circle or an unknown name.
    """
    _known(only or (), suite.datasets, "datasets")
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise RealEarError(f"datasets are made of each other: {' → '.join((*above, name))}")
        if name not in order:
            for other in suite.datasets[name].needs:
                visit(other, (*above, name))
            order.append(name)

    for name in only or suite.datasets:
        visit(name, ())
    return order
