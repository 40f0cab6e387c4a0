"""A local worker process: Beam's own harness, quiet, single-threaded, gone when its launcher is.

Started by `engines.runner` as `python -m pipelines.worker`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_launcher() -> None:
    """Ask the kernel to end this process with the one that started it, even by SIGKILL (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:  # it was gone before we asked
            sys.exit(1)


def main() -> None:
    """Serve the launching process until it is done."""
    die_with_launcher()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launcher, which ends us
    logging.disable(logging.WARNING)  # Beam's harness tells its whole life at INFO
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
