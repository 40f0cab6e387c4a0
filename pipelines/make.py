"""Make: bring a suite's datasets into being, by preparing recordings or generating clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from pipelines import corpora, prepare, progress, running, stores
from pipelines.config import DatasetConfig
from pipelines.engines import Engine
from pipelines.records import Part, RealEarError, ToleranceExceeded, digest
from pipelines.shards import datasets
from pipelines.shards.datasets import About, Card
from pipelines.shards.packing import in_order
from pipelines.treatment import Treatment
from pipelines.workspace import Workspace

if TYPE_CHECKING:  # drawing a plan takes the boards' words, which preparing can do without
    from pipelines import plans

# What of a dataset's configuration decides what is in it.
DECIDES = {"corpus", "recipe", "sample_rate", "channels", "format", "check", "limit"}


@dataclass(frozen=True)
class Made:
    """A dataset that is ready: its card and the folder that it lies in."""

    card: Card
    folder: str


@dataclass(frozen=True)
class Plan:
    """What is to be done for a dataset: parts, their work function, what the card will state."""

    parts: list[Part]
    work: Callable[[Part], None]
    about: About
    decided: plans.Plan | None = None  # of what is generated


def check(name: str, config: DatasetConfig) -> None:
    """RealEarError for whatever is wrong about a dataset and shows before anything is made."""
    if config.recipe is not None:
        from pipelines import generate  # recipes bring scipy.signal, which is a second to import

        generate.check(name, config)
    elif config.corpus is not None:
        corpora.create(dict(config.corpus), f"datasets.{name}.corpus")
    elif config.path is not None:
        _check_domain(name, config, datasets.read_card(config.path))


def make(
    name: str,
    config: DatasetConfig,
    workspace: Workspace,
    engine: Engine,
    others: dict[str, Made],
    *,
    repack: bool = False,
) -> Made:
    """Make a dataset unless it is there, made of the same; ToleranceExceeded if too much failed.

    Clips that are there stay in their shards, new ones open new shards; `repack` cuts all anew.
    """
    folder = config.path or workspace.dataset(name)
    if config.path:
        made = Made(datasets.read_card(folder), folder)
        _check_domain(name, config, made.card)
        return made
    cutting = asdict(config.cutting)
    homes = {} if repack else datasets.homes(folder, cutting)
    planned = _plan(name, config, folder, others, homes)
    label = f"{'Generate' if config.recipe is not None else 'Prepare'} {name}"
    card = _finish(label, folder, planned, engine)
    check_tolerance(card, config.tolerate, folder)
    return Made(card, folder)


def _plan(
    name: str,
    config: DatasetConfig,
    folder: str,
    others: dict[str, Made],
    homes: Mapping[str, str],
) -> Plan:
    if config.recipe is not None:
        from pipelines import generate

        decided = generate.decide(name, config, folder, others, homes)
        return _generating(decided, folder, others)
    corpus = corpora.create(dict(config.corpus or {}), f"datasets.{name}.corpus")
    entries = corpus.entries()
    if config.limit is not None:
        entries = in_order(entries)[: config.limit]
    treatment = Treatment(
        config.sample_rate, config.channels, config.format, config.check, config.follow_links
    )
    job = prepare.Preparing(corpus.folder, corpus.title, tuple(entries), treatment)
    parts = prepare.plan(name, folder, job, config.cutting, homes)
    if not parts:
        raise RealEarError(f"dataset {name!r}: expected recordings, found none in {corpus.folder}")
    about = _about(name, config, prepare.notes(entries))
    # What the reader of a certain corpus knows stands where the user says nothing else.
    if config.licence == "unknown":
        about = replace(about, licence=corpus.licence)
    return Plan(
        parts, prepare.make_shard, replace(about, language=about.language or corpus.language)
    )


def _generating(decided: plans.Plan, folder: str, others: Mapping[str, Made]) -> Plan:
    from pipelines import generate

    about = _about(decided.name, decided.config, decided.notes)
    parts = generate.parts(decided, folder, others)
    return Plan(parts, generate.make_shard, about, decided)


def plan_only(
    name: str, config: DatasetConfig, workspace: Workspace, others: Mapping[str, Made]
) -> plans.Plan:
    """Decide every clip of a generated dataset and write its plan; nothing is rendered."""
    from pipelines import generate, plans

    folder = workspace.dataset(name)
    found = generate.plan(name, config, others, datasets.homes(folder, asdict(config.cutting)))
    inputs = digest([part.inputs for part in generate.parts(found, folder, others)])
    plans.write(folder, found, inputs=inputs, rendered=False)
    return found


def replay(
    decided: plans.Plan, workspace: Workspace, engine: Engine, others: Mapping[str, Made]
) -> Made:
    """Make what a plan says, once more; RealEarError where a source clip is not as it was."""
    from pipelines import generate

    decided = generate.again(decided, others)
    folder = workspace.dataset(decided.name)
    card = _finish(f"Generate {decided.name}", folder, _generating(decided, folder, others), engine)
    check_tolerance(card, decided.config.tolerate, folder)
    return Made(card, folder)


def _about(name: str, config: DatasetConfig, notes: tuple[str, ...]) -> About:
    made_by = config.model_dump(mode="json", include=DECIDES)
    # Where the recordings lay says nothing about what they are, and differs between machines.
    if made_by["corpus"]:
        made_by["corpus"].pop("folder", None)
    return About(
        name=name,
        domain=config.domain,
        made_by=made_by,
        cutting=asdict(config.cutting),
        licence=config.licence,
        language=config.language,
        redistribute=config.redistribute,
        notes=notes,
    )


def _finish(label: str, folder: str, planned: Plan, engine: Engine) -> Card:
    """Do what is missing, then write index, failures and card, unless they stand already."""
    with stores.alone(folder, waiting=progress.wait):
        return _made(label, folder, planned, engine)


def _made(label: str, folder: str, planned: Plan, engine: Engine) -> Card:
    inputs = digest([repr(planned.about), [part.inputs for part in planned.parts]])
    done = running.run(label, planned.parts, planned.work, engine)
    if planned.decided is not None:
        from pipelines import plans

        rows = digest([part.inputs for part in planned.parts])
        plans.write(folder, planned.decided, inputs=rows, rendered=bool(done))
    if not done:
        try:
            card = datasets.read_card(folder)
        except RealEarError:
            card = None
        if card is not None and card.inputs == inputs and datasets.is_whole(folder):
            return card
    return datasets.finish(folder, planned.about, [part.stem for part in planned.parts], inputs)


def check_tolerance(card: Card, tolerate: float, folder: str) -> None:
    """ToleranceExceeded if more of the clips were refused than the user said may be."""
    listed = card.clips + card.failed
    if card.failed > tolerate * listed + 1e-9:  # 29 of 100 are within 0.29, in floats too
        reasons = ", ".join(f"{count} {reason}" for reason, count in card.refused.items())
        raise ToleranceExceeded(
            f"dataset {card.name!r}: {card.failed} of {listed} clips failed ({reasons}), "
            f"tolerated are {tolerate:.1%}: {folder}/{datasets.FAILURES} names each of them; mend "
            f"them, or allow them with `tolerate: {math.ceil(100 * card.failed / listed) / 100}`"
        )
    if not card.clips:
        raise ToleranceExceeded(f"dataset {card.name!r}: not one of {listed} clips could be used")


def _check_domain(name: str, config: DatasetConfig, card: Card) -> None:
    if card.domain != config.domain:
        raise RealEarError(
            f"dataset {name!r}: expected domain {config.domain}, its card says {card.domain}"
        )
