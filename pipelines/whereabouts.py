"""Whereabouts: which clip every local process is at, so that one that hangs has a name.

Before a clip (or a batch of clips) a process notes it in a file of its own, in a folder that the
launcher has made; the launcher looks every second. What takes long is told once a minute has
passed, and again whenever that time has doubled. Only with a limit (`--timeout`) is a process
ended, and the run with it: a model may well need an hour for a recording of three, and nobody else
can tell. Where no launcher looks (on a cluster, whose runner tells of slow work itself) nothing is
noted.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "REALEAR_WHEREABOUTS"  # the variable that names the launcher's folder
PATIENCE = 60.0  # seconds that a clip may take before anything is said of it
LOOK = 1.0  # seconds between two looks
LENGTH = 512  # bytes of a note


class _Here:
    """Where this process is."""

    shard = ""


def shard(name: str) -> None:
    """Note that work on a shard begins, or on something else of that name; "": on nothing."""
    _Here.shard = name
    _note(name, clips=False)


def clips(keys: Sequence[str]) -> None:
    """Note which clips of the shard come next, together."""
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    _note(f"{_Here.shard}, clip {keys[0]:.100}{more}", clips=True)


def _note(place: str, *, clips: bool) -> None:
    if not (folder := os.environ.get(FOLDER)):
        return
    note = json.dumps([time.monotonic(), place[:300], clips]).encode()
    with suppress(OSError):  # the launcher has ended
        handle = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, note.ljust(LENGTH)[:LENGTH], 0)
        finally:
            os.close(handle)


@dataclass(frozen=True)
class Note:
    """What a process was about to do, and when (seconds on the machine's monotonic clock)."""

    process: int
    since: float
    place: str
    clips: bool  # it is at clips, not before or after them


def notes(folder: str) -> Iterator[Note]:
    """What every busy process has noted; a note that is just being written is left out."""
    for path in Path(folder).glob("[0-9]*"):
        with suppress(OSError, ValueError):
            note = Note(int(path.name), *json.loads(path.read_bytes()))
            if note.place:
                yield note


@contextmanager
def watched(
    say: Callable[[str], None], overdue: Callable[[str], None], limit: float = 0.0
) -> Iterator[None]:
    """Look after local processes until the block ends: `say` what takes long.

    `limit`: seconds that a clip, or a batch of them, may take, 0 for any; beyond it `overdue` is
    told why, and the process is ended unless it is this one.
    """
    before, stop = os.environ.get(FOLDER), threading.Event()
    with tempfile.TemporaryDirectory(prefix="realear-whereabouts-") as folder:
        os.environ[FOLDER] = folder
        look = threading.Thread(target=_look, args=(folder, stop, say, overdue, limit), daemon=True)
        look.start()
        try:
            yield
        finally:
            stop.set()
            look.join()
            os.environ.pop(FOLDER)
            if before is not None:
                os.environ[FOLDER] = before


def _look(
    folder: str,
    stop: threading.Event,
    say: Callable[[str], None],
    overdue: Callable[[str], None],
    limit: float,
) -> None:
    told: dict[Note, float] = {}
    while not stop.wait(LOOK):
        found = list(notes(folder))
        told = {note: told[note] for note in found if note in told}
        for note in found:
            seconds = time.monotonic() - note.since
            if note.clips and 0 < limit < seconds:
                overdue(f"{note.place} has taken {seconds:.0f} s, --timeout allows {limit:g} s")
                if note.process != os.getpid():
                    with suppress(ProcessLookupError):
                        os.kill(note.process, signal.SIGKILL)
                return
            if seconds > told.get(note, PATIENCE):
                told[note] = 2 * seconds
                say(f"{note.place} has taken {seconds:.0f} s so far, in process {note.process}")
