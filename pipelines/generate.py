"""Generate: a recipe becomes a plan, a row of it a clip; the rows are rendered into shards.

recipe: {kind: readings, of: [dataset…]}   # its transcripts, read aloud; or `texts`, or
                                           # `sentences: n` of our own
recipe: {kind: scenes, of: [dataset…]}     # its clips in rooms, in noise, on top of each other
recipe: {kind: augment, of: [dataset…]}    # changed views of its clips
recipe: {kind: librimix, of: [dataset…], metadata: libri2mix_test-clean.csv}
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines import kinds, plans, stores, versions, whereabouts
from pipelines.config import DatasetConfig
from pipelines.kinds import KINDS, Kind, Rendering, Sources
from pipelines.plans import Plan
from pipelines.recipes.base import Recipe
from pipelines.recipes.espeak import SpeechError
from pipelines.records import Failure, Part, RealEarError, digest
from pipelines.schema import validate
from pipelines.shards.datasets import INDEX, printable
from pipelines.shards.packing import NOWHERE, Sample, in_order, pack, place

if TYPE_CHECKING:
    from pipelines.make import Made

VERSION = "6"  # bump when the same rows would render otherwise
RECIPES = {name: entry.summary for name, entry in KINDS.items()}


def check(name: str, config: DatasetConfig) -> tuple[Kind[Any, Any], Recipe]:
    """A recipe's kind and its options, checked before the datasets that it is made of are there."""
    settings = dict(config.recipe or {})
    where = f"datasets.{name}.recipe"
    try:
        kind = kinds.get(str(settings.pop("kind", "")))
        if not settings.pop("of", None) and kind.needs_datasets:
            raise ValueError("expected `of`, the datasets whose clips to use, found none")
        if config.domain == "real" and not kind.keeps_sounds:
            raise ValueError("what a recipe makes is synthetic or simulated, never real")
        settings = kind.settings(settings)
    except ValueError as error:
        raise RealEarError(f"{where}: {error}") from error
    return kind, validate(kind.options, settings, where)


def decide(
    name: str,
    config: DatasetConfig,
    folder: str,
    others: Mapping[str, Made],
    homes: Mapping[str, str] = NOWHERE,
) -> Plan:
    """As `plan`; taken from the dataset's folder where planning is costly and would say the same.

    A seal that another recipe, source, library or version of our code would have given otherwise
    does not fit, nor does that of a plan which was changed by hand.
    """
    kind, _ = check(name, config)
    found = plans.standing(folder) if kind.costly and homes else None
    if found is None or _places(found) != homes or not _follows(found, kind, name, config, others):
        return plan(name, config, others, homes)
    return replace(found, libraries=plans.libraries(kind))


def _follows(
    found: Plan,
    kind: Kind[Any, Any],
    name: str,
    config: DatasetConfig,
    others: Mapping[str, Made],
) -> bool:
    """Whether a plan says what was decided from just these, by this version."""
    origin = _origin(kind, name, config, others)
    return found.version == VERSION and found.seal == _seal(found, kind, origin)


def _places(found: Plan) -> dict[str, str]:
    """The shard of every clip by key."""
    return {row.key: stem for stem, rows in found.shards.items() for row in rows}


def _origin(
    kind: Kind[Any, Any], name: str, config: DatasetConfig, others: Mapping[str, Made]
) -> list[object]:
    """All that a costly kind's plan follows from but `homes`, which its shards tell."""
    made_of = [others[other] for other in config.needs]
    return [
        [versions.code("pipelines", "metrics"), platform.python_version(), plans.libraries(kind)],
        [name, config.model_dump(mode="json")],
        [[made.card, stores.sha256(f"{made.folder}/{INDEX}")] for made in made_of],
    ]


def _seal(found: Plan, kind: Kind[Any, Any], origin: list[object]) -> str:
    """Digest of what a plan was decided from and of what it says, libraries apart."""
    shards = [[stem, _inputs(found, kind, rows)] for stem, rows in found.shards.items()]
    stated = plans.stated(found, digest(shards)).model_dump(
        mode="json", exclude={"libraries", "seal"}
    )
    return digest([origin, stated])


def plan(
    name: str, config: DatasetConfig, others: Mapping[str, Made], homes: Mapping[str, str] = NOWHERE
) -> Plan:
    """Every clip of a generated dataset, decided; RealEarError for a wrong recipe.

    `homes`: the shards of clips that stand already.
    """
    kind, recipe = check(name, config)
    of = {other: others[other] for other in config.needs}
    made_up = [other for other, made in of.items() if made.card.domain != "real"]
    if made_up and config.domain == "real":
        raise RealEarError(f"datasets.{name}: expected real recordings, {made_up[0]!r} is not real")
    try:
        sources = Sources(of, config.own)
        rows = kind.plan(recipe, sources)
        known = sources.rows
    except ValueError as error:
        raise RealEarError(f"datasets.{name}.recipe: {error}") from error
    if config.limit is not None and rows:
        rows = in_order(rows)[: config.limit]
    notes = kind.notes(sources, rows)
    used = dict.fromkeys(key for row in rows for key in kind.source_keys(row))
    contents = {key: known[key].content for key in used}
    placed = place(name, rows, config.cutting, homes, lambda row: _size(kind, row))
    decided = Plan(
        name=name,
        kind=str((config.recipe or {})["kind"]),
        version=VERSION,
        config=config.model_copy(update={"recipe": kind.stated(dict(config.recipe or {}))}),
        options=kind.stated(recipe.model_dump(mode="json")),
        shards={stem: tuple(members) for stem, members in placed},
        contents=contents,
        datasets={other: made.card.content for other, made in of.items()},
        libraries=plans.libraries(kind),
        notes=notes,
    )
    if not kind.costly:
        return decided
    return replace(decided, seal=_seal(decided, kind, _origin(kind, name, config, others)))


def again(found: Plan, others: Mapping[str, Made]) -> Plan:
    """A plan to be made once more, with the libraries of today.

    RealEarError where rendering has changed, a dataset that it is made of is not among `others`,
    or one of its source clips is missing or has changed.
    """
    if found.version != VERSION:
        raise RealEarError(
            f"plan of {found.name!r}: expected rendering of version {VERSION}, found "
            f"{found.version}: the same rows would give other samples; generate anew"
        )
    try:
        rows = Sources({name: others[name] for name in found.datasets}, ()).rows
    except ValueError as error:
        raise RealEarError(f"plan of {found.name!r}: {error}") from error
    plans.refuse_changed(found, {key: row.content for key, row in rows.items()})
    return replace(found, libraries=plans.libraries(kinds.get(found.kind)))


def _size(kind: Kind[Any, Any], row: Any) -> int:
    """How many bytes a clip will take, roughly: FLAC halves 16 bits a sample."""
    return round(kind.seconds(row) * float(row.sample_rate))


def parts(found: Plan, target: str, others: Mapping[str, Made]) -> list[Part]:
    """The parts of a planned dataset in the folder `target`, one a shard."""
    kind = kinds.get(found.kind)
    folders = tuple(others[name].folder for name in found.datasets)
    result = []
    for stem, rows in found.shards.items():
        inputs = _inputs(found, kind, rows)
        seconds = sum(kind.seconds(row) for row in rows)
        payload = Rendering(found.kind, found.name, rows, folders)
        result.append(Part(target, stem, inputs, len(rows), seconds, payload))
    return result


def _inputs(found: Plan, kind: Kind[Any, Any], rows: tuple[Any, ...]) -> str:
    """Digest of what decides a shard: its rows and the content of the clips that they name."""
    facts = [
        [row.model_dump(mode="json"), [found.contents[key] for key in kind.source_keys(row)]]
        for row in rows
    ]
    return digest(["generate", found.version, found.name, facts])


def make_shard(part: Part) -> None:
    """Render one shard (the work function of this step)."""
    job: Rendering = part.payload
    kind = kinds.get(job.kind)
    with kind.renderer(job) as render:
        pack(part, _rendered(kind, job.rows, render))


def _rendered(
    kind: Kind[Any, Any], rows: tuple[Any, ...], render: Callable[[Any], Sample]
) -> Iterator[Sample | Failure]:
    for row in rows:
        whereabouts.clips([row.key])
        try:
            yield render(row)
        except (ValueError, SpeechError) as error:
            reason = getattr(error, "reason", kind.refusal)
            yield Failure(row.key, "generate", reason, printable(str(error)))
