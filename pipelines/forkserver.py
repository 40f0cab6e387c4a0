"""Workers forked from one process that has imported what they need: each starts in milliseconds.

Importing Beam takes a worker two seconds of processor time, torch two more. So the launcher starts
a server (`address`), which imports them once. Beam starts a worker by a command (`command`): this
file, which asks the server to fork, hands its own environment, folder and output over, waits, and
ends as the worker ended. Where anything of this cannot be had, the command becomes a plain worker.

Run as a script it may import the standard library only: it is there in ten milliseconds.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import shlex
import signal
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

PLAIN = ["-m", "pipelines.worker"]
PREFIX = "\0realear-"  # an abstract address: nothing to clean up, whatever kills us
LENGTH = struct.Struct("!I")
PRELOADED = ("apache_beam.runners.worker.sdk_worker_main", "pipelines.transforms")


# The launcher's side


class _Server:
    """The launcher's server, if it has one."""

    address = ""
    process: Any = None
    belongs: tuple[Any, ...] = ()  # to which launcher, in which environment


def start(environment: dict[str, str]) -> str:
    """The address of a living server of this process, started unless it is; "" if none can be."""
    belongs = (os.getpid(), *sorted(i for i in environment.items() if i[0].startswith("PYTHON")))
    if _Server.belongs == belongs and _Server.process.poll() is None:
        return _Server.address
    stop()
    if not hasattr(os, "pidfd_open"):  # only Linux has what this needs
        return ""
    import atexit
    import subprocess

    address = f"{PREFIX}{os.getpid()}-{os.urandom(16).hex()}"
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(address)
        except OSError:
            return ""
        listener.listen()
        _Server.process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.forkserver", str(listener.fileno())],
            pass_fds=[listener.fileno()], env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    _Server.address, _Server.belongs = address, belongs
    atexit.unregister(stop)
    atexit.register(stop)
    return address


def stop() -> None:
    """End this process's server, if it has one; workers that it has forked end with it."""
    if _Server.belongs[:1] == (os.getpid(),):
        _Server.process.kill()
        _Server.process.wait()
    _Server.belongs = ()


def command(environment: dict[str, str], modules: Iterable[str]) -> str:
    """The shell command that is a worker; `modules` are imported before it is forked."""
    plain = [sys.executable, *PLAIN]
    address = start(environment)
    if address:
        plain = [sys.executable, "-I", "-S", __file__, address[1:], *modules]
    return f"exec {shlex.join(plain)}"


# The command's side


def ask(address: str, modules: list[str]) -> None:
    """Have a worker forked in this process's place, and end as it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the launcher, which ends us
    folder = os.getcwd()  # noqa: PTH109 (pathlib costs as much again as all this)
    request = {"environment": dict(os.environ), "folder": folder, "modules": modules}
    body = json.dumps(request).encode("ascii")
    try:
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"\0{address}")
        _refuse_strangers(server)
        socket.send_fds(server, [LENGTH.pack(len(body))], [0, 1, 2])
        server.sendall(body)
    except OSError:
        os.execv(sys.executable, [sys.executable, *PLAIN])
    status = b""
    with suppress(OSError):
        status = server.recv(LENGTH.size)
    # No answer: the server was killed, and its workers with it.
    code = os.waitstatus_to_exitcode(LENGTH.unpack(status)[0]) if status else -signal.SIGKILL
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


# The server's side


class _Child:
    """A worker, and the command that waits for it."""

    def __init__(self, process: int, waiting: socket.socket) -> None:
        self.process = process
        self.waiting = waiting
        self.handle = os.pidfd_open(process)


def serve(listener: socket.socket) -> None:
    """Fork a worker for every command that asks, until the launcher is gone."""
    watched = selectors.DefaultSelector()
    watched.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is listener:
                waiting, _ = listener.accept()
                with suppress(OSError, ValueError):
                    child = _fork(waiting, [listener, watched])
                    watched.register(child.handle, selectors.EVENT_READ, child)
                    watched.register(waiting, selectors.EVENT_READ, child)
            elif key.data.handle in watched.get_map():  # not ended by an event before this one
                _end(watched, key.data)


def _end(watched: selectors.BaseSelector, child: _Child) -> None:
    """A worker has ended, or the command that waits for it: then the worker ends, too."""
    with suppress(ProcessLookupError):
        os.kill(child.process, signal.SIGKILL)  # of no effect on one that has ended
    _, status = os.waitpid(child.process, 0)
    watched.unregister(child.handle)
    watched.unregister(child.waiting)
    os.close(child.handle)
    with suppress(OSError):
        child.waiting.sendall(LENGTH.pack(status))
    child.waiting.close()


def _fork(waiting: socket.socket, ours: list[Any]) -> _Child:
    """A child for a request; OSError or ValueError for one that is none."""
    _refuse_strangers(waiting)
    head, outputs, _, _ = socket.recv_fds(waiting, LENGTH.size, 3)
    try:
        return _forked(waiting, head, outputs, ours)
    finally:
        for output in outputs:
            os.close(output)


def _forked(waiting: socket.socket, head: bytes, outputs: list[int], ours: list[Any]) -> _Child:
    if len(head) < LENGTH.size:
        raise ValueError("the command has gone")
    (length,) = LENGTH.unpack(head)
    body = b""
    while len(body) < length:
        if not (more := waiting.recv(length - len(body))):
            raise ValueError("the command has gone")
        body += more
    request = json.loads(body)
    for name in request["modules"]:
        with suppress(Exception):  # the worker will meet the same error, and tell it
            importlib.import_module(name)
    server = os.getpid()
    process = os.fork()
    if process == 0:
        try:
            _become_worker(request, outputs, [waiting, *ours], server)
        finally:
            os._exit(1)
    return _Child(process, waiting)


def _become_worker(
    request: dict[str, Any], outputs: list[int], ours: list[Any], server: int
) -> None:
    """In the child: be as the command was, then serve Beam, then end."""
    code = 1
    try:
        for ear in ours:
            ear.close()
        for number, output in enumerate(outputs):
            os.dup2(output, number)
            os.close(output)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        from pipelines import worker

        worker.main(server)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _refuse_strangers(peer: socket.socket) -> None:
    """OSError unless the other end of a socket is of the same user."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if user != os.getuid():
        raise PermissionError("the other end is another user's")


def main(listening: int) -> None:
    """Be the server: import, then serve."""
    from pipelines import lean, worker

    worker.die_with(int(os.environ[worker.LAUNCHER]))
    worker.be_called(b"realear-forks")
    worker.be_quiet()
    gc.disable()  # importing makes little garbage, and looking for it takes a sixth of the time
    with lean.absent("pandas", "pymongo"):
        for name in PRELOADED:
            importlib.import_module(name)
    lean.arrow()
    gc.freeze()  # what is imported stays: no worker need look through it again, nor copy it
    gc.enable()
    with socket.socket(fileno=listening) as listener:
        serve(listener)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].isdigit():
        main(int(sys.argv[1]))
    else:
        ask(sys.argv[1], sys.argv[2:])
