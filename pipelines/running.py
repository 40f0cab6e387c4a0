"""Running a step's parts; Beam, a second to import, only comes in where there are any to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines import progress, stores
from pipelines.engines import Engine
from pipelines.records import Part
from pipelines.shards import sidecars

if TYPE_CHECKING:
    from pipelines.predict import Handling
    from pipelines.transforms import Work


def run(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> int:
    """Do the parts that are not done yet, as `transforms.run` does; how many there were to do."""
    if not all(sidecars.is_current(part) for part in parts):
        from pipelines import transforms

        return transforms.run(label, parts, work, engine)
    for folder in {part.folder for part in parts}:  # what a kill left after the last part
        stores.sweep(folder)
    progress.note(label, parts)
    return 0
