"""The guard: a worker process that dies ends the run, where Beam 2.77 would wait for it for ever.

Beam learns of the death in a thread of its own, whose exception nobody reads. The guard reads it,
and interrupts the main thread.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.records import LostWork

_EXIT = re.compile(r"Worker subprocess exited with return code (-?\d+)")


class _Guard:
    """What is known: whether the user asked to stop, and how a worker died."""

    def __init__(self) -> None:
        self.asked = False
        self.death: int | None = None

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """Ctrl-C, or our own call from `thread_ended`."""
        self.asked = True
        raise KeyboardInterrupt

    def thread_ended(self, ended: threading.ExceptHookArgs) -> None:
        """An exception left a thread: a worker's end, which is news unless we asked for it."""
        found = _EXIT.search(str(ended.exc_value))
        if found is None:
            if not ended.exc_type.__module__.startswith("grpc"):  # a connection's end, no cause
                threading.__excepthook__(ended)
        elif not self.asked:
            self.death = int(found[1])
            # A signal, not `interrupt_main`: the main thread sleeps in a lock.
            os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def workers(label: str) -> Iterator[None]:
    """While local workers run: LostWork as soon as one of them dies; call it in the main thread."""
    guard = _Guard()
    hook, handler = threading.excepthook, signal.getsignal(signal.SIGINT)
    threading.excepthook = guard.thread_ended
    signal.signal(signal.SIGINT, guard.interrupted)
    try:
        yield
    except KeyboardInterrupt:
        if guard.death is None:
            raise
        raise LostWork(
            f"{label}: a worker process {_cause(guard.death)}: finished shards are kept, "
            "the same command goes on from there (with fewer --workers if memory is short)"
        ) from None
    finally:
        guard.asked = True  # workers that end from now on do so because we are done
        signal.signal(signal.SIGINT, handler)
        threading.excepthook = hook


def _cause(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (", out of memory?" if name == "SIGKILL" else "")
