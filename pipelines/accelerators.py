"""GPUs shared out among the worker processes of one machine: one each, as long as they last.

A process holds a GPU by a lock on a small file, which the kernel lets go of when the process ends,
however it ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from itertools import count
from pathlib import Path

_held: list[int] = []  # open files, whose locks are ours for as long as we live


def claim(devices: int, folder: str | None = None) -> int:
    """The number, from 0, of the GPU with the fewest processes on it; it is held until this one
    ends. `folder`: where the locks lie, the system's for temporary files unless said.
    """
    where = Path(folder or tempfile.gettempdir())
    for place in count():  # a first process on each GPU, then a second one on each
        for device in range(devices):
            path = where / f"realear-{os.getuid()}-gpu{device}-{place}.lock"
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            _held.append(file)
            return device
    raise AssertionError("count() has no end")
