"""Engines: where a pipeline runs. Local by default, or whatever Beam's own options name.

What the command line does not know goes to Beam's `PipelineOptions`; what Beam does not know either
is an error, where Beam alone would only warn.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import forkserver, objects, worker
from pipelines.records import RealEarError
from pipelines.schema import nearest

LOCAL = "local"
# Beam takes its runners' names in any case, with or without the word runner at the end.
LOCAL_NAMES = ("local", "fnapi", "direct", "bundlebaseddirect", "switchingdirect")
REFUSED = {
    "dask": "it is silently wrong in Beam 2.77: only the last sink runs",
    "ray": "it is no longer kept up",
}
# What RealEar decides by itself for the local runner: Beam's flag, and what to do instead.
DECIDED = {
    "--direct_num_workers": "say --workers",
    "--direct_running_mode": "leave it out: one worker runs in this process, more in their own",
}
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PRA_NUM_THREADS")
PACKAGES = ("leaderboards", "metrics", "models", "pipelines")


@dataclass(frozen=True)
class Engine:
    """A runner, how many local workers, and Beam arguments passed on as they came.

    `automatic`: nobody asked for so many workers, so a little work may do with one. `timeout`:
    seconds that a clip may take on a local worker, 0 for any.
    """

    runner: str = "local"
    workers: int = 1
    arguments: tuple[str, ...] = ()
    automatic: bool = False
    timeout: float = 0.0

    @property
    def is_local(self) -> bool:
        """Whether Beam's in-process runner does the work."""
        return self.runner == LOCAL


def engine(runner: str = "local", workers: int = 0, arguments: Sequence[str] = ()) -> Engine:
    """An engine after checking every word of it; `workers=0`: one a core, fewer for little work."""
    found = runner_name(runner)
    if "multi_threading" in " ".join(arguments):
        raise RealEarError(
            "Beam's multi_threading mode drops elements in silence (Beam 2.77): "
            "leave it out; RealEar uses processes"
        )
    _refuse_unknown(arguments)
    objects.configure(arguments)
    if found == LOCAL:
        _refuse_decided(arguments)
    cores = len(os.sched_getaffinity(0))
    return Engine(found, workers or cores, tuple(arguments), automatic=not workers)


def runner_name(name: str) -> str:
    """`local`, or a runner's name as Beam knows it; RealEarError for one that cannot be had."""
    plain = name.rpartition(".")[2].lower().removesuffix("runner")
    if plain in REFUSED:
        raise RealEarError(f"--runner {name} is not offered: {REFUSED[plain]}")
    if plain in LOCAL_NAMES:
        return LOCAL
    if "." in name:  # a class of somebody's own, by its full name
        return name
    from apache_beam.options.pipeline_options import StandardOptions

    known = {known.lower().removesuffix("runner"): known for known in _offered(StandardOptions)}
    if plain not in known:
        raise RealEarError(f"unknown runner {name!r}: {nearest(name, [LOCAL, *known.values()])}")
    return known[plain]


def _offered(standard: Any) -> list[str]:
    return [name for name in standard.KNOWN_RUNNER_NAMES if "Direct" not in name]


def options(chosen: Engine) -> Any:
    """Beam's `PipelineOptions` for an engine."""
    from apache_beam.options.pipeline_options import (
        DirectOptions,
        PipelineOptions,
        StandardOptions,
    )

    found = PipelineOptions(list(chosen.arguments))
    if chosen.is_local:
        found.view_as(DirectOptions).direct_num_workers = chosen.workers
    else:
        found.view_as(StandardOptions).runner = chosen.runner
    return found


def runner(chosen: Engine, modules: Iterable[str] = ()) -> Any:
    """The runner to hand to `beam.Pipeline`: None where the options name it.

    Local: Beam's FnApiRunner by its class (the name DirectRunner would download another runner),
    in this process for one worker, else with worker processes of our own, which need `modules`.
    """
    if not chosen.is_local:
        return None
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    if chosen.workers == 1:
        return FnApiRunner()
    # Beam 2.77 flushes its buffers from a second thread without a lock, and loses elements.
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
    # It logs what it then raises, and the ends of its own connections, as errors.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    command = forkserver.command(environment(), modules)
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


def begin(chosen: Engine) -> None:
    """Have what worker processes need imported while this one goes on, where it knows of them.

    RealEarError where a cluster, or anything on the way to it, is not as it should be.
    """
    if not chosen.is_local:
        from pipelines import clusters  # a command on this machine alone needs none of it

        clusters.check(chosen)
    elif chosen.workers > 1 and not chosen.automatic:
        forkserver.start(environment())


def environment() -> dict[str, str]:
    """Our environment, and so the workers', with what they need in it."""
    # Workers start by `python -m`: a folder `models` where the user stands would win.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ[worker.LAUNCHER] = str(os.getpid())
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    return dict(os.environ)


def _subclasses(cls: Any) -> Iterator[Any]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


def _refuse_unknown(arguments: Sequence[str]) -> None:
    """Beam only logs `Discarding unparseable args` for a misspelt flag."""
    if not arguments:
        return
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    parser = _BeamArgumentParser(allow_abbrev=False, add_help=False)
    for cls in dict.fromkeys(_subclasses(PipelineOptions)):
        if "_add_argparse_args" in vars(cls):
            cls._add_argparse_args(parser)
    try:
        _, unknown = parser.parse_known_args(list(arguments))
    except (SystemExit, argparse.ArgumentError) as error:
        raise RealEarError(f"Beam does not accept {' '.join(arguments)}") from error
    if unknown and not unknown[0].startswith("-"):
        raise RealEarError(f"unexpected argument {unknown[0]!r}: see the command's --help")
    if unknown:
        flags = [name for action in parser._actions for name in action.option_strings]
        remedy = nearest(unknown[0].split("=")[0], flags + list(REALEAR_FLAGS))
        raise RealEarError(f"unknown option {unknown[0]!r}: {remedy}")


def _refuse_decided(arguments: Sequence[str]) -> None:
    """An option that would be overridden in silence is an error."""
    for word in arguments:
        flag = word.partition("=")[0]
        if flag in DECIDED:
            raise RealEarError(f"{flag} is not for the local runner: {DECIDED[flag]}")


REALEAR_FLAGS = (
    "--out",
    "--workers",
    "--timeout",
    "--runner",
    "--real",
    "--tolerate",
    "--shards",
    "--help",
)


def check_packages() -> None:
    """Refuse to run if a folder of the user's hides one of our four packages."""
    import pipelines

    ours = Path(pipelines.__file__).resolve().parent.parent
    for name in PACKAGES:
        found = Path(importlib.import_module(name).__file__ or "").resolve().parent
        if found != ours / name:
            raise RealEarError(
                f"package {name!r}: expected {ours / name}, found {found}: start the command from "
                "another folder, or set PYTHONSAFEPATH=1"
            )
