"""Running a step's parts; Beam, a second to import, only comes in where there are any to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines import lean, progress, stores
from pipelines.engines import Engine
from pipelines.records import Part, Step
from pipelines.shards import sidecars

if TYPE_CHECKING:
    from pipelines.predict import Handling
    from pipelines.transforms import Work

LIGHT = 5.0  # seconds that parts say they cost


def run(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> int:
    """Do the parts that are not done yet, as `transforms.run` does; how many there were to do."""
    return run_all(label, [Step(label, parts, work)], engine)


def run_all(label: str, steps: Sequence[Step], engine: Engine) -> int:
    """Do several steps that need nothing of one another, as `transforms.run_all` does."""
    parts = [part for step in steps for part in step.parts]
    if not all(sidecars.is_current(part) for part in parts):
        with lean.absent("pandas", "pymongo"):  # which Beam looks for and nobody here uses
            from pipelines import transforms

        return transforms.run_all(label, steps, engine)
    for folder in {part.folder for part in parts}:  # what a kill left after the last part
        stores.sweep(folder)
    for step in steps:
        progress.note(step.label, step.parts)
    return 0


def lightly(label: str, parts: Sequence[Part], work: Work, engine: Engine) -> None:
    """Do light parts, such as arithmetic on stored answers, once each: those of LIGHT together in
    this process, without Beam, whose start alone would cost more; others as `run` does.
    """
    once = list({part.id: part for part in parts}.values())
    todo = [part for part in once if not sidecars.is_current(part)]
    if not engine.is_local or sum(part.seconds for part in todo) > LIGHT or not todo:
        if once:
            run(label, once, work, engine)
        return
    from threadpoolctl import threadpool_limits

    with stores.alone(*{part.folder for part in todo}, waiting=progress.wait):
        todo = [part for part in todo if not sidecars.is_current(part)]  # what another has left
        for part in todo:
            stores.remove(sidecars.path(part.folder, part.stem))
        with progress.watch([(label, once, todo)]), threadpool_limits(1):
            for part in todo:
                work(part)
