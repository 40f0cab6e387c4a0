"""The guard: a worker process that dies ends the run, where Beam 2.77 would wait for it for ever.

Beam learns of the death in a thread of its own, whose exception nobody reads. The guard reads it,
and interrupts the main thread; so it does when a clip has taken longer than the user allows.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines import progress, whereabouts
from pipelines.records import LostWork

_EXIT = re.compile(r"Worker subprocess exited with return code (-?\d+)")
AGAIN = 0.1  # seconds until an interruption that was not heard is sent once more


class _Guard:
    """What is known: whether the user asked to stop, and what else ended the work."""

    def __init__(self) -> None:
        self.asked = False
        self.cause = ""
        self.heard = False  # the main thread has been interrupted, or is done

    def interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        """Ctrl-C, or our own call from `stop`."""
        self.heard = self.asked = True
        raise KeyboardInterrupt

    def thread_ended(self, ended: threading.ExceptHookArgs) -> None:
        """An exception left a thread: a worker's end, which is news unless we asked for it."""
        found = _EXIT.search(str(ended.exc_value))
        if found is None:
            if not ended.exc_type.__module__.startswith("grpc"):  # a connection's end, no cause
                threading.__excepthook__(ended)
        elif not self.asked:
            self.stop(f"a worker process {_cause(int(found[1]))}")

    def stop(self, cause: str) -> None:
        """End the work for a cause that the user did not give; the first one counts."""
        self.cause, self.asked = self.cause or cause, True
        # A signal, not `interrupt_main`: the main thread sleeps in a lock. Until it is heard: one
        # that comes just before the main thread falls asleep does not wake it.
        while not self.heard:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(AGAIN)


@contextmanager
def workers(label: str, timeout: float = 0.0) -> Iterator[None]:
    """While local workers run: LostWork as soon as one of them dies, or is at a clip for longer
    than `timeout` seconds (0: any time is allowed); call it in the main thread.
    """
    guard = _Guard()
    hook, handler = threading.excepthook, signal.getsignal(signal.SIGINT)
    threading.excepthook = guard.thread_ended
    signal.signal(signal.SIGINT, guard.interrupted)
    try:
        with whereabouts.watched(
            lambda news: progress.say(f"{label}: {news}"), guard.stop, timeout
        ):
            yield
    except BaseException:  # Beam makes a RuntimeError of an interruption in the midst of its work
        if guard.cause:
            raise LostWork(
                f"{label}: {guard.cause}: finished shards are kept, "
                "the same command goes on from there (with fewer --workers if memory is short)"
            ) from None
        if guard.asked:
            raise KeyboardInterrupt from None
        raise
    finally:
        guard.heard = guard.asked = True  # workers that end from now on do so because we are done
        signal.signal(signal.SIGINT, handler)
        threading.excepthook = hook


def _cause(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (", out of memory?" if name == "SIGKILL" else "")
