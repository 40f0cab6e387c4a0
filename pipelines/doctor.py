"""The doctor: what is installed, which device, which runners, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from pipelines import clusters, fetching, progress
from pipelines.records import RealEarError

OK, MISSING, NOTE = "[green]✓[/green]", "[red]✗[/red]", "[dim]·[/dim]"
Line = tuple[str, str, str]


def show() -> bool:
    """Print the findings; True if everything that RealEar needs is there."""
    lines = [*_machine(), *_libraries(), *_voices(), *_runners()]
    table = Table(box=None, show_header=False, pad_edge=False)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    missing = sum(line[0] == MISSING for line in lines)
    Console().print(
        "everything that RealEar needs is here" if not missing else f"{missing} things are missing"
    )
    return not missing


def _machine() -> Iterator[Line]:
    supported = sys.version_info >= (3, 11)
    remedy = "" if supported else ": RealEar needs 3.11 or later"
    yield (OK if supported else MISSING), "Python", platform.python_version() + remedy
    yield NOTE, "processor", f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores to use"
    yield NOTE, "device", _device()
    free = shutil.disk_usage(".").free / 1e9
    yield (OK if free > 1 else MISSING), "disk", f"{free:.0f} GB free here"


def _device() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"cpu (torch does not load: {error})"
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    return "cpu (no GPU that torch can use)"


def _libraries() -> Iterator[Line]:
    for requirement in importlib.metadata.requires("realear") or ():
        if "extra ==" in requirement:
            continue
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        name = found[0] if found else requirement
        try:
            yield OK, name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield MISSING, name, f"not installed: pip install -c constraints.txt '{requirement}'"


def _voices() -> Iterator[Line]:
    from pipelines.recipes.espeak import Speaker, SpeechError

    try:
        with Speaker() as speaker:
            spoken = len(speaker.say("ready", voice="en-us"))
        yield OK, "speech synthesis", f"espeak-ng says a word in {spoken} samples"
    except (SpeechError, OSError, ValueError) as error:
        yield MISSING, "speech synthesis", f"{error}: pip install --force-reinstall espeakng-loader"


def _runners() -> Iterator[Line]:
    yield OK, "local runner", "Beam's FnApiRunner, one process a core"
    try:
        yield OK, "Java", clusters.java()
    except RealEarError as error:
        yield NOTE, "Java", f"only Flink and Spark need it: {error}"
    for name, engine in clusters.ENGINES.items():
        yield NOTE, name, _job_server(engine)
    yield (
        NOTE,
        "DataflowRunner",
        "--runner DataflowRunner with Beam's own options (docs/clusters.md)",
    )


def _job_server(engine: str) -> str:
    found = sorted(path.name for path in fetching.cache().glob(f"beam-runners-{engine}-*.jar"))
    return ", ".join(found) or f"no job server: realear doctor --fetch {engine}"


def fetch(engine: str, line: str, beam: str) -> None:
    """Get what an engine needs, and say where it lies."""
    progress.console.print(f"fetching {engine} …")
    for path in fetching.fetch(engine, line, beam):
        progress.console.print(f"  {path}", soft_wrap=True)
