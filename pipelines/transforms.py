"""All Beam wiring: parts in, sidecars out. Audio never crosses a shuffle, only references do."""

from __future__ import annotations

import logging
import pydoc
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines import (
    clusters,
    engines,
    guard,
    lanes,
    objects,
    progress,
    stores,
    whereabouts,
    witnesses,
)
from pipelines.engines import Engine
from pipelines.lanes import Group, Lane
from pipelines.records import Joint, LostWork, Part, RealEarError
from pipelines.shards import sidecars
from pipelines.witnesses import Witness

if TYPE_CHECKING:  # models and metrics take a quarter of a second that preparing can do without
    from pipelines.predict import Handling

Work = Callable[[Part], None]

# Seconds of audio below which this process does the work itself: starting two workers costs as
# much processor time as most models need for it.
LITTLE = 120.0

ATTEMPTS = 3  # a job elsewhere may lose workers or hosts; what is done by then is not done again
PAUSE = 5.0  # seconds before the next
_RAISED_BY_WORK = "Error received from SDK harness"  # how engines begin what our own code raised
_RAISED = re.compile(r"^(pipelines\.[\w.]+): ", re.MULTILINE)  # an exception's name, in a traceback
_WHERE = re.compile(r" \[while running '.*", re.DOTALL)  # what Beam adds to a message


def run(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> int:
    """Do the parts that are not done yet; say how many there were to do.

    `work` is an importable function of a part, a Joint of such, or what a model needs to be asked
    about one. When this returns, every part's result is in place and made from the inputs that the
    part names; else LostWork. An error on a worker ends the run; what is finished by then stays.
    While another command works in the same folders it waits, and then does what is left to do.
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
        result = _finished(label, todo, work, engine)
    if lost := _missing(todo):
        raise LostWork(
            f"{label}: expected {len(todo)} results, {len(lost)} are missing though the runner "
            f"reports success, e.g. {lost[0]}: run the same command again"
        )
    if result is not None and not callable(work):
        from pipelines.inference import told  # it has been imported for the work itself

        progress.say(told(result))
    return len(todo)


def submit(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> None:
    """Hand in a job for the parts that are not done yet, and do not wait for it."""
    todo = [part for part in parts if not sidecars.is_current(part)]
    if todo:
        _pipeline(label, _singly(todo, work), work, engine).run()


def _finished(label: str, todo: Sequence[Part], work: Work | Handling, engine: Engine) -> Any:
    """The result of a pipeline that has done the parts; None where nobody knows what it counted."""
    if engine.is_local:
        return _locally(label, todo, work, engine)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _job(label, todo, work, engine)
        except Exception as error:
            if isinstance(error, RealEarError) or _RAISED_BY_WORK in str(error):
                raise
            todo = [part for part in todo if not sidecars.is_current(part)]
            if not todo:
                return None
            said = f"{label}: the job failed ({_cause(error)})"
            if attempt == ATTEMPTS:
                raise LostWork(
                    f"{said} {ATTEMPTS} times, {len(todo)} results are missing: finished shards "
                    "are kept, the same command goes on from there"
                ) from error
            progress.say(f"{said}: once more, {len(todo)} shards are left")
            time.sleep(PAUSE)
    return None


def _locally(label: str, todo: Sequence[Part], work: Work | Handling, engine: Engine) -> Any:
    """The result of a job in this process, or in workers that share it out among themselves."""
    engine = _fitting(todo, work, engine)
    with lanes.laid(_lanes(todo, work, engine.workers)) as laid:
        result = _pipeline(label, laid, work, engine).run()
        result.wait_until_finish()
    return result


def _lanes(todo: Sequence[Part], work: Work | Handling, workers: int) -> list[list[Group]]:
    """One lane of parts a worker."""
    groups = _groups(todo, work)
    costs = [sum(part.seconds for part in group) for group in groups]
    return [[groups[at] for at in lane] for lane in lanes.by_cost(costs, workers)]


def _singly(todo: Sequence[Part], work: Work | Handling) -> list[bytes]:
    """What goes together, each by itself: the order is the engine's."""
    return [lanes.packed([group]) for group in _groups(todo, work)]


def _groups(parts: Sequence[Part], work: Work | Handling) -> list[Group]:
    return work.groups(parts) if isinstance(work, Joint) else [(part,) for part in parts]


def _job(label: str, todo: Sequence[Part], work: Work | Handling, engine: Engine) -> Any:
    """The result of a job elsewhere; one that we stop waiting for is cancelled."""
    engine = clusters.connected(engine)
    with witnesses.laid(todo) as witness, _told_once():
        result = _pipeline(label, _singly(todo, work), work, engine, witness).run()
        try:
            result.wait_until_finish()
        except BaseException:
            with suppress(Exception):
                result.cancel()
            raise
    return result


@contextmanager
def _told_once() -> Iterator[None]:
    """Beam logs what a job elsewhere says, and raises it, too."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


def _cause(error: Exception) -> str:
    """The innermost cause in an engine's text, in a line."""
    text = str(error).rpartition(" failed in state FAILED: ")[2]
    lines = [line.strip() for line in text.splitlines()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return [type(error).__name__, *lines[:1], *causes][-1][:200]


def _missing(todo: Sequence[Part]) -> list[str]:
    """Parts that were to be done and are not there; a store that lags is asked for a while."""
    missing = [part for part in todo if not sidecars.is_current(part)]
    end = time.monotonic() + objects.LAG
    while any(stores.is_url(part.folder) for part in missing) and time.monotonic() < end:
        time.sleep(objects.PAUSE)
        missing = [part for part in missing if not sidecars.is_current(part)]
    return [part.id for part in missing]


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


def _fitting(todo: Sequence[Part], work: Work | Handling, engine: Engine) -> Engine:
    """The local engine with as many workers as there is work; a little is not worth any."""
    little = engine.automatic and sum(part.seconds for part in todo) < LITTLE
    most = min(engine.workers, len(todo))
    if not callable(work) and work.device == "cuda":
        from models import neural

        most = min(most, max(1, neural.gpus()))  # a model a GPU, not a model a core
    return replace(engine, workers=1 if little else most)


def _pipeline(
    label: str,
    given: Sequence[Lane] | Sequence[bytes],
    work: Work | Handling,
    engine: Engine,
    witness: Witness | None = None,
) -> Any:
    """The pipeline that does the parts of lanes, or packed ones."""
    runner = engines.runner(engine, _modules(work))
    root = beam.Pipeline(runner=runner, options=engines.options(engine))
    _ = root | label >> DoParts(given, work, witness)
    return root


def _modules(work: Work | Handling) -> list[str]:
    """What workers are to import before they are forked: no model of somebody's own."""
    if callable(work):
        function = work.work if isinstance(work, Joint) else work
        return [name for name in [function.__module__] if name.startswith("pipelines.")]
    torch = ["torch"] if "torch" in work.create().libraries else []
    return ["pipelines.inference", *torch]


class DoParts(beam.PTransform):
    """Spread parts over the workers and do each of them once."""

    def __init__(
        self,
        given: Sequence[Lane] | Sequence[bytes],
        work: Work | Handling,
        witness: Witness | None = None,
    ) -> None:
        super().__init__()
        self._given = given
        self._work = work
        self._witness = witness

    def expand(self, root: Any) -> Any:
        """From what is given to the ids of what was done."""
        parts = (
            root
            | "List what there is to do" >> beam.Create(list(self._given))
            | "Take it" >> beam.FlatMap(_taken)
        )
        if self._witness is not None:
            parts = parts | "What is to be done" >> beam.FlatMap(_admitted, self._witness)
        if not callable(self._work):
            from pipelines.inference import ask  # brings in what no other step needs

            return parts | "Singly" >> beam.FlatMap(list) | "Ask the model" >> ask(self._work)
        return parts | "Do parts" >> beam.Map(_do, self._work)


def _taken(given: Lane | bytes) -> Iterable[Group]:
    return lanes.taken(given) if isinstance(given, Lane) else lanes.unpacked(given)


def _admitted(group: Group, witness: Witness) -> list[Group]:
    left = [part for part in group for _ in witnesses.admit(part, witness)]
    return [tuple(left)] if left else []


def _do(group: Group, work: Work) -> str:
    """Do parts that go together, and count them."""
    whereabouts.shard(group[0].stem)
    with one_thread():
        if isinstance(work, Joint):
            work.work(group)
        else:
            work(*group)
    whereabouts.shard("")
    for part in group:
        count(part)
    return group[0].id


def count(part: Part) -> None:
    """Count a finished part in Beam's own metrics."""
    Metrics.counter("realear", "shards").inc()
    Metrics.counter("realear", "clips").inc(part.clips)


_ALONE = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """One part at a time, and one thread in every numeric library: results must not depend on a
    machine's cores, nor on an engine that hands a process several bundles at once.
    """
    from threadpoolctl import threadpool_limits

    with _ALONE, threadpool_limits(1):
        yield
