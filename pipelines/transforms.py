"""All Beam wiring: parts in, sidecars out. Audio never crosses a shuffle, only references do."""

from __future__ import annotations

import pickle
import pydoc
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines import engines, guard, progress, stores, whereabouts
from pipelines.engines import Engine
from pipelines.records import LostWork, Part, RealEarError
from pipelines.shards import sidecars

if TYPE_CHECKING:  # models and metrics take a quarter of a second that preparing can do without
    from pipelines.predict import Handling

Work = Callable[[Part], None]

# Seconds of audio below which this process does the work itself: starting two workers costs as
# much processor time as most models need for it.
LITTLE = 120.0

_RAISED = re.compile(r"^(pipelines\.[\w.]+): ", re.MULTILINE)  # an exception's name, in a traceback
_WHERE = re.compile(r" \[while running '.*", re.DOTALL)  # what Beam adds to a message


def run(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> int:
    """Do the parts that are not done yet; say how many there were to do.

    `work` is an importable function of a part, or what a model needs to be asked about one. When
    this returns, every part's result is in place and made from the inputs that the part names;
    else LostWork. An error on a worker ends the run; what is finished by then stays. While another
    command works in the same folders it waits, and then does what is left to do.
    """
    folders = {part.folder for part in parts}
    with stores.alone(*folders, waiting=progress.wait):
        return _run(label, parts, work, engine)


def _run(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> int:
    todo = [part for part in parts if not sidecars.is_current(part)]
    for part in todo:  # Without its sidecar a shard does not exist: progress counts them.
        stores.remove(sidecars.path(part.folder, part.stem))
    for folder in {part.folder for part in parts}:  # also what a kill left after the last part
        stores.sweep(folder)
    if not todo:
        progress.note(label, parts)
        return 0
    watching = progress.watch(label, parts, todo)
    with watching, guard.workers(label, engine.timeout), _plain_errors():
        result = _pipeline(label, todo, work, engine).run()
        result.wait_until_finish()
    lost = [part.id for part in todo if not sidecars.is_current(part)]
    if lost:
        raise LostWork(
            f"{label}: expected {len(todo)} results, {len(lost)} are missing though the runner "
            f"reports success, e.g. {lost[0]}: run the same command again"
        )
    if not callable(work):
        from pipelines.inference import told  # it has been imported for the work itself

        progress.say(told(result))
    return len(todo)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Beam hands a worker's exception on as text; a mistake to mend becomes one again.

    Everything else goes on as it is: it says where on the worker it happened.
    """
    try:
        yield
    except Exception as error:
        text = str(error) if not isinstance(error, RealEarError) else f"{_name(error)}: {error}"
        if (raised := _mendable(text)) is None:
            raise
        raise raised from error


def _name(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _mendable(text: str) -> RealEarError | None:
    """The last RealEarError that a traceback's text ends with."""
    for found in reversed(list(_RAISED.finditer(text))):
        kind = pydoc.locate(found[1])
        if isinstance(kind, type) and issubclass(kind, RealEarError):
            return kind(_WHERE.sub("", text[found.end() :]).strip())
    return None


def _pipeline(label: str, todo: Sequence[Part], work: Work | Handling, engine: Engine) -> Any:
    """The pipeline that does these parts; a little work is not worth worker processes."""
    if engine.is_local:
        little = engine.automatic and sum(part.seconds for part in todo) < LITTLE
        most = min(engine.workers, len(todo))
        if not callable(work) and work.device == "cuda":
            from models import neural

            most = min(most, max(1, neural.gpus()))  # a model a GPU, not a model a core
        engine = replace(engine, workers=1 if little else most)
    runner = engines.runner(engine, _modules(work))
    root = beam.Pipeline(runner=runner, options=engines.options(engine))
    _ = root | label >> DoParts(todo, work, engine)
    return root


def _modules(work: Work | Handling) -> list[str]:
    """What workers are to import before they are forked: ours only, no model of somebody's own."""
    modules = [work.__module__] if callable(work) else ["pipelines.inference"]
    return [name for name in modules if name.startswith("pipelines.")]


class DoParts(beam.PTransform):
    """Spread parts over the workers and do each of them once."""

    def __init__(self, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> None:
        super().__init__()
        self._parts = parts
        self._work = work
        self._engine = engine

    def expand(self, root: Any) -> Any:
        """Local: one lane of parts a worker. Elsewhere the order is the runner's."""
        # Compressed: a million clips' references would else lie in the launcher several times.
        lanes = [zlib.compress(pickle.dumps(lane)) for lane in self._lanes()]
        parts = (
            root
            | "List the lanes" >> beam.Create(lanes)
            | "Parts of a lane" >> beam.FlatMap(_in_order)
        )
        if not callable(self._work):
            from pipelines.inference import ask  # brings torch in, which no other step needs

            return parts | "Ask the model" >> ask(self._work)
        return parts | "Do a part" >> beam.Map(_do, self._work)

    def _lanes(self) -> list[list[Part]]:
        if not self._engine.is_local:
            return [[part] for part in self._parts]
        costs = [part.seconds for part in self._parts]
        packed = engines.lanes(costs, self._engine.workers)
        return [[self._parts[index] for index in lane] for lane in packed]


def _in_order(lane: bytes) -> list[Part]:
    parts: list[Part] = pickle.loads(zlib.decompress(lane))  # our own launcher's, as Beam's are
    return parts


def _do(part: Part, work: Work) -> str:
    """Do a part and count it."""
    whereabouts.shard(part.stem)
    with one_thread():
        work(part)
    whereabouts.shard("")
    count(part)
    return part.id


def count(part: Part) -> None:
    """Count a finished part in Beam's own metrics."""
    Metrics.counter("realear", "shards").inc()
    Metrics.counter("realear", "clips").inc(part.clips)


def one_thread() -> Any:
    """One thread in every numeric library: results must not depend on a machine's cores."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
