"""A local worker process: Beam's own harness, quiet, single-threaded, gone when its launcher is.

Forked by `pipelines.forkserver`, or started as `python -m pipelines.worker`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # <linux/prctl.h>
# Seconds that a thread waits before it asks the one at work for Python's lock. A decoder keeps it
# for half a second at a time; a worker's idle threads would wake 600 times a second to ask for it.
PATIENCE = 0.1
LAUNCHER = "REALEAR_LAUNCHER"  # the variable that holds the launching process's number


def die_with(parent: int) -> None:
    """Ask the kernel to end this process with the one that started it, even by SIGKILL (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was gone before we asked
            sys.exit(1)


def tethered(command: Sequence[str]) -> list[str]:
    """A command that is ended with this process as `die_with` ends one, whatever it runs."""
    code = "import os, sys; from pipelines import worker; worker.die_with(int(sys.argv[1])); "
    code += "os.execvp(sys.argv[2], sys.argv[2:])"
    return [sys.executable, "-c", code, str(os.getpid()), *command]


def interrupted(*_: object) -> NoReturn:
    """A handler that makes SIGTERM what Ctrl-C is, also where a shell has Ctrl-C ignored."""
    raise KeyboardInterrupt


def be_called(name: bytes) -> None:
    """Show a name of up to 15 bytes in `ps` and `top` (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NAME, name, 0, 0, 0)


def be_quiet() -> None:
    """Leave Ctrl-C to the launcher, which ends us, and Beam's life, told at INFO, untold; what it
    logs as an error it raises, too, in the launcher.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.WARNING)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)


def _unsaid(*_: object, **__: object) -> None:
    """In the place of Beam's `print` of an error that it sends to the launcher as well."""


def main(parent: int) -> None:
    """Serve the launching process until it is done; `parent` is who started this process."""
    die_with(parent)
    be_called(b"realear-worker")
    be_quiet()
    from apache_beam.runners.worker import sdk_worker, sdk_worker_main

    vars(sdk_worker)["print"] = _unsaid
    sys.setswitchinterval(PATIENCE)
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main(int(os.environ[LAUNCHER]))
