"""All Beam wiring: parts in, sidecars out. Audio never crosses a shuffle, only references do."""

from __future__ import annotations

import logging
import pydoc
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import groupby
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
from pipelines.records import Joint, LostWork, Part, RealEarError, Step
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
    return run_all(label, [Step(label, parts, work)], engine)


def run_all(label: str, steps: Sequence[Step], engine: Engine) -> int:
    """Do several steps that need nothing of one another, and share no folder, as `run` does one.

    A local worker goes on from its part of one step to the next, and waits for nobody. Elsewhere,
    and where they need different devices, steps are done one after another.
    """
    together = groupby(steps, lambda step: _device(step.work)) if engine.is_local else None
    apart = [list(of) for _, of in together] if together else [[step] for step in steps]
    done = 0
    for of in apart:
        folders = {part.folder for step in of for part in step.parts}
        with stores.alone(*folders, waiting=progress.wait):
            done += _run(label if len(of) > 1 else of[0].label, of, engine)
    return done


def _device(work: Work | Handling) -> str:
    return "cpu" if callable(work) else work.device


def _run(label: str, steps: Sequence[Step], engine: Engine) -> int:
    todo = [_left(step) for step in steps]
    for part in _parts(todo):  # Without its sidecar a shard does not exist: progress counts them.
        stores.remove(sidecars.path(part.folder, part.stem))
    for folder in {part.folder for part in _parts(steps)}:  # also what a kill left after the last
        stores.sweep(folder)
    for step, left in zip(steps, todo, strict=True):
        if not left.parts:
            progress.note(step.label, step.parts)
    watched = [
        (step.label, step.parts, left.parts)
        for step, left in zip(steps, todo, strict=True)
        if left.parts
    ]
    if not watched:
        return 0
    todo = [step for step in todo if step.parts]
    with progress.watch(watched), guard.workers(label, engine.timeout), _plain_errors():
        result = _finished(label, todo, engine)
    for step in todo:
        if lost := _missing(step.parts):
            raise LostWork(
                f"{step.label}: expected {len(step.parts)} results, {len(lost)} are missing though "
                f"the runner reports success, e.g. {lost[0]}: run the same command again"
            )
    if result is not None:
        _tell(todo, result)
    return len(_parts(todo))


def _left(step: Step) -> Step:
    """What is not done yet of a step."""
    return replace(step, parts=[part for part in step.parts if not sidecars.is_current(part)])


def _parts(steps: Sequence[Step]) -> list[Part]:
    return [part for step in steps for part in step.parts]


def _tell(steps: Sequence[Step], result: Any) -> None:
    """What came of the models that were asked."""
    asked = [step.work.model for step in steps if not callable(step.work)]
    for model in asked:
        from pipelines.inference import told  # it has been imported for the work itself

        if said := told(result, model):
            progress.say(f"{model}: {said}" if len(asked) > 1 else said)


def submit(label: str, parts: Sequence[Part], work: Work | Handling, engine: Engine) -> None:
    """Hand in a job for the parts that are not done yet, and do not wait for it."""
    todo = [part for part in parts if not sidecars.is_current(part)]
    if todo:
        step = Step(label, todo, work)
        _pipeline(label, _singly(step), [step], engine).run()


def _finished(label: str, steps: Sequence[Step], engine: Engine) -> Any:
    """The result of a pipeline that has done the steps; None where nobody knows what it counted."""
    if engine.is_local:
        return _locally(label, steps, engine)
    (step,) = steps
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _job(label, step, engine)
        except Exception as error:
            if isinstance(error, RealEarError) or _RAISED_BY_WORK in str(error):
                raise
            step = _left(step)
            if not step.parts:
                return None
            said = f"{label}: the job failed ({_cause(error)})"
            if attempt == ATTEMPTS:
                raise LostWork(
                    f"{said} {ATTEMPTS} times, {len(step.parts)} results are missing: finished "
                    "shards are kept, the same command goes on from there"
                ) from error
            progress.say(f"{said}: once more, {len(step.parts)} shards are left")
            time.sleep(PAUSE)
    return None


def _locally(label: str, steps: Sequence[Step], engine: Engine) -> Any:
    """The result of a job in this process, or in workers that share it out among themselves."""
    engine = _fitting(_parts(steps), _device(steps[0].work), engine)
    with lanes.laid(_lanes(steps, engine.workers)) as laid:
        result = _pipeline(label, laid, steps, engine).run()
        result.wait_until_finish()
    return result


def _lanes(steps: Sequence[Step], workers: int) -> list[list[list[Group]]]:
    """Of each step one lane of parts a worker."""
    found: list[list[list[Group]]] = []
    loads = [0.0] * workers
    for step in steps:
        groups = _groups(step)
        costs = [sum(part.seconds for part in group) for group in groups]
        least_first = sorted(range(workers), key=loads.__getitem__)
        found.append([[] for _ in range(workers)])
        for worker, places in zip(least_first, lanes.by_cost(costs, workers), strict=False):
            found[-1][worker] = [groups[at] for at in places]
            loads[worker] += sum(costs[at] for at in places)
    return found


def _singly(step: Step) -> list[bytes]:
    """What goes together, each by itself: the order is the engine's."""
    return [lanes.packed([group]) for group in _groups(step)]


def _groups(step: Step) -> list[Group]:
    if isinstance(step.work, Joint):
        return step.work.groups(step.parts)
    return [(part,) for part in step.parts]


def _job(label: str, step: Step, engine: Engine) -> Any:
    """The result of a job elsewhere; one that we stop waiting for is cancelled."""
    engine = clusters.connected(engine)
    with witnesses.laid(step.parts) as witness, _told_once():
        result = _pipeline(label, _singly(step), [step], engine, witness).run()
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


def _fitting(todo: Sequence[Part], device: str, engine: Engine) -> Engine:
    """The local engine with as many workers as there is work; a little is not worth any."""
    little = engine.automatic and sum(part.seconds for part in todo) < LITTLE
    most = min(engine.workers, len(todo))
    if device == "cuda":
        from models import neural

        most = min(most, max(1, neural.gpus()))  # a model a GPU, not a model a core
    return replace(engine, workers=1 if little else most)


def _pipeline(
    label: str,
    given: Sequence[Lane] | Sequence[bytes],
    steps: Sequence[Step],
    engine: Engine,
    witness: Witness | None = None,
) -> Any:
    """The pipeline that does the parts of lanes, or packed ones."""
    modules = dict.fromkeys(name for step in steps for name in _modules(step.work))
    root = beam.Pipeline(runner=engines.runner(engine, modules), options=engines.options(engine))
    _ = root | label >> DoParts(given, steps, witness)
    return root


def _modules(work: Work | Handling) -> list[str]:
    """What workers are to import before they are forked: no model of somebody's own."""
    if callable(work):
        function = work.work if isinstance(work, Joint) else work
        return [name for name in [function.__module__] if name.startswith("pipelines.")]
    torch = ["torch"] if "torch" in work.create().libraries else []
    return ["pipelines.inference", *torch]


class DoParts(beam.PTransform):
    """Spread the parts of steps over the workers and do each of them once."""

    def __init__(
        self,
        given: Sequence[Lane] | Sequence[bytes],
        steps: Sequence[Step],
        witness: Witness | None = None,
    ) -> None:
        super().__init__()
        self._given = given
        self._steps = steps
        self._witness = witness

    def expand(self, root: Any) -> Any:
        """From what is given to the ids of what was done, step by step."""
        groups = (
            root
            | "List what there is to do" >> beam.Create(list(self._given))
            | "Take it" >> beam.FlatMap(_taken)
        )
        if self._witness is not None:
            groups = groups | "What is to be done" >> beam.FlatMap(_admitted, self._witness)
        if len(self._steps) == 1:
            return groups | _Do(self._steps[0].work)
        of = {part.folder: n for n, step in enumerate(self._steps) for part in step.parts}
        branches = groups | "Step by step" >> beam.Partition(_step, len(self._steps), of)
        return tuple(
            branch | f"{n}. {step.label}" >> _Do(step.work)
            for n, (step, branch) in enumerate(zip(self._steps, branches, strict=True), start=1)
        )


class _Do(beam.PTransform):
    """Do groups of parts of one step."""

    def __init__(self, work: Work | Handling) -> None:
        super().__init__()
        self._work = work

    def expand(self, groups: Any) -> Any:
        if not callable(self._work):
            from pipelines.inference import ask  # brings in what no other step needs

            return groups | "Ask the model" >> ask(self._work)
        return groups | "Do parts" >> beam.Map(_do, self._work)


def _step(group: Group, steps: int, of: Mapping[str, int]) -> int:
    """Which step a group belongs to: each has folders of its own."""
    del steps
    return of[group[0].folder]


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
