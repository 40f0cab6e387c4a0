"""Clusters: engines that take a job server of Beam's, Flink and Spark; what each needs is checked.

A command has one job server, started when it first needs it and ended with it. On one machine the
workers are this command's own (`pool`); elsewhere `realear workers` serves them on every host, and
all see what they work on under the same names.
"""

from __future__ import annotations

import atexit
import errno
import importlib.util
import json
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import fetching, progress, worker
from pipelines.records import RealEarError

if TYPE_CHECKING:
    from pipelines.engines import Engine

JAVA = 17  # the release that the job servers and Flink are run with here; later ones do, too
ENGINES = {"FlinkRunner": "flink", "SparkRunner": "spark"}
WITHIN = ("[local]", "[auto]")  # Flink inside the job server
BRIEF = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
)  # start soon: Java only passes references on
# What Flink and Spark reach into since Java 17; their own scripts open the same.
OPENED = tuple(
    f"--add-opens=java.base/{name}=ALL-UNNAMED"
    for name in (
        "java.io", "java.lang", "java.lang.invoke", "java.lang.reflect", "java.net", "java.nio",
        "java.text", "java.time", "java.util", "java.util.concurrent",
        "java.util.concurrent.atomic", "java.util.concurrent.locks", "sun.nio.ch", "sun.nio.cs",
        "sun.security.action", "sun.util.calendar",
    )
)  # fmt: skip
PORTS = (
    20_000,
    32_000,
)  # from which free ones are drawn; Linux gives from 32,768 on, others higher
STARTING = 180.0  # seconds that a job server may take to listen
ASKING = 10.0  # seconds that Flink may take to answer


@dataclass(frozen=True)
class Asked:
    """What Beam's options say about a cluster."""

    master: str
    jar: str
    line: str  # release line of the engine, "" if the user names none
    endpoint: str  # of a job server that somebody else runs
    environment: str  # how workers come about, in capitals
    parallelism: int

    @property
    def is_within(self) -> bool:
        """Whether the engine runs inside the job server, on this machine."""
        return self.master in WITHIN or self.master.startswith("local")

    @property
    def is_here(self) -> bool:
        """Whether the engine runs on this machine."""
        host = self.master.rpartition("//")[2].partition(":")[0]
        return self.is_within or host in ("localhost", "127.0.0.1", "::1")


def asked(engine: Engine) -> Asked:
    """The options of an engine that concern its cluster."""
    from pipelines import engines

    found = engines.options(engine).get_all_options()
    flink = engine.runner == "FlinkRunner"
    name = "flink" if flink else "spark"
    named = _says(engine, f"--{name}_version")
    master = found["flink_master" if flink else "spark_master_url"].rstrip("/")
    return Asked(
        master if "://" in master or not flink or master in WITHIN else f"http://{master}",
        found[f"{name}_job_server_jar"] or "",
        found[f"{name}_version"] if named else "",
        found["job_endpoint"] or "",
        (found["environment_type"] or "").upper(),
        found["parallelism"],
    )


def _says(engine: Engine, flag: str) -> bool:
    return any(word.partition("=")[0] == flag for word in engine.arguments)


def check(engine: Engine) -> None:
    """RealEarError if anything that the engine needs is missing; before any work."""
    if engine.runner == "DataflowRunner" and importlib.util.find_spec("apitools") is None:
        raise RealEarError(
            "DataflowRunner needs Beam's part for Google's cloud: "
            f"pip install -c constraints.txt 'apache-beam[gcp]=={fetching.beam()}'"
        )
    if engine.runner not in ENGINES:
        return
    wanted = asked(engine)
    if not wanted.environment and not wanted.is_here:
        raise RealEarError(
            f"the engine at {wanted.master} cannot start workers of this machine: run `realear "
            "workers --port 50000` beside each of its task managers and say "
            "--environment_type=EXTERNAL --environment_config=localhost:50000"
        )
    line = wanted.line
    if engine.runner == "FlinkRunner" and not wanted.is_within:
        line = _check_flink(wanted, _slots_wanted(engine, wanted))
    if not wanted.endpoint:
        java()
        jar = Path(_jar(engine, wanted, line)).stem
        if not jar.endswith(f"-{fetching.beam()}"):
            progress.say(f"with Beam {fetching.beam()}, a job server of another: {jar}")


def java() -> str:
    """The Java to use; RealEarError if there is none or it is too old."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which(str(Path(home, "bin", "java"))) if home else shutil.which("java")
    needed = f"expected Java {JAVA} or later (Debian: apt-get install openjdk-17-jre-headless)"
    if not found:
        raise RealEarError(f"{needed}, found none" + (f" in JAVA_HOME={home}" if home else ""))
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', said.stderr)
    if not version or int(version[1]) < JAVA:
        raise RealEarError(f"{needed}, found {said.stderr.splitlines()[:1]} at {found}")
    return found


def flink_at(master: str) -> dict[str, Any]:
    """What a Flink says of itself; RealEarError if nothing, or something else, answers there."""
    try:
        with urllib.request.urlopen(f"{master}/overview", timeout=ASKING) as answer:
            found: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise RealEarError(
            f"no Flink answers at {master} ({reason}): start one, as by `realear cluster`, or say "
            "where it is by --flink_master=HOST:PORT (that of its web page)"
        ) from error
    if "flink-version" not in found:
        raise RealEarError(f"expected a Flink at {master}, found something else that answers")
    return found


def _check_flink(wanted: Asked, slots: int) -> str:
    """The release line of the Flink at the master; RealEarError if it will not do."""
    found = flink_at(wanted.master)
    line = ".".join(found["flink-version"].split(".")[:2])
    if wanted.line not in ("", line):
        raise RealEarError(
            f"expected Flink {wanted.line} (--flink_version) at {wanted.master}, found "
            f"{found['flink-version']}: leave --flink_version out, or say {line}"
        )
    if found["slots-total"] < slots:
        raise RealEarError(
            f"expected {slots} task slots at {wanted.master}, found {found['slots-total']} on "
            f"{found['taskmanagers']} task managers: start more, or say --parallelism="
            f"{max(1, found['slots-total'])}"
        )
    return line


def _slots_wanted(engine: Engine, wanted: Asked) -> int:
    if wanted.parallelism > 0:
        return wanted.parallelism
    return 1 if engine.automatic else engine.workers


def _jar(engine: Engine, wanted: Asked, line: str) -> str:
    """The job server's jar; RealEarError if there is none for this release line."""
    if wanted.jar:
        if not Path(wanted.jar).is_file():
            raise RealEarError(f"expected a job server's jar, found no file {wanted.jar}")
        return wanted.jar
    name = ENGINES[engine.runner]
    line = line or {"flink": fetching.FLINK, "spark": fetching.SPARK}[name]
    found = fetching.server(name, line)
    if found is None:
        option = "" if line in (fetching.FLINK, fetching.SPARK) else f" --line {line}"
        raise RealEarError(
            f"{engine.runner} needs Beam's job server for {name.capitalize()} {line}, found none "
            f"in {fetching.cache()}: `realear doctor --fetch {name}{option}`, or name your own by "
            f"--{name}_job_server_jar"
        )
    return str(found.jar)


# The job server of this command


class _Server:
    """The job server of this process, if it has one."""

    process: subprocess.Popen[bytes] | None = None
    belongs: tuple[object, ...] = ()  # to which process, master and jar
    endpoint = ""
    folder = ""  # its log, and what it stages


def connected(engine: Engine) -> Engine:
    """The engine with what its jobs need said: a job server that listens, workers, retries."""
    if engine.runner not in ENGINES:
        return engine
    words = [f"{flag}={value}" for flag, value in _words(engine, asked(engine))]
    return replace(engine, arguments=(*engine.arguments, *words))  # what is said last counts


def _is_ours(wanted: Asked) -> bool:
    """Whether the workers are this command's own: Beam's LOOPBACK would make them threads."""
    return wanted.environment in ("", "LOOPBACK")


def _words(engine: Engine, wanted: Asked) -> Sequence[tuple[str, object]]:
    from pipelines import pool

    slots = _slots(engine, wanted)
    words: list[tuple[str, object]] = [("--parallelism", slots)]
    if not wanted.endpoint:
        words.append(("--job_endpoint", _endpoint(engine, wanted)))
    if _is_ours(wanted):
        words += [
            ("--environment_type", "EXTERNAL"),
            ("--environment_config", pool.here()),
            ("--sdk_worker_parallelism", slots),
        ]
    return words


def _slots(engine: Engine, wanted: Asked) -> int:
    """How many parts are to be done at once."""
    if wanted.parallelism > 0:
        return wanted.parallelism
    if engine.automatic and engine.runner == "FlinkRunner" and not wanted.is_within:
        return max(1, int(flink_at(wanted.master)["slots-total"]))
    return engine.workers


def _endpoint(engine: Engine, wanted: Asked) -> str:
    """Where this process's job server listens, started unless it does."""
    line = wanted.line
    if engine.runner == "FlinkRunner" and not wanted.is_within:
        line = _check_flink(wanted, 0)
    belongs = (os.getpid(), wanted.master, wanted.jar, line)
    running = _Server.process is not None and _Server.process.poll() is None
    if _Server.belongs != belongs or not running:
        stop()
        _Server.endpoint = _start(_jar(engine, wanted, line), engine, wanted)
        _Server.belongs = belongs
    return _Server.endpoint


def stop() -> None:
    """End this process's job server, if it has one."""
    if _Server.process is not None and _Server.belongs[:1] == (os.getpid(),):
        _Server.process.kill()
        _Server.process.wait()
        shutil.rmtree(_Server.folder, ignore_errors=True)
    _Server.process, _Server.belongs = None, ()


def _start(jar: str, engine: Engine, wanted: Asked) -> str:
    """Start a job server; where it listens."""
    flink = engine.runner == "FlinkRunner"
    ports = free_ports(2)
    folder = tempfile.mkdtemp(prefix="realear-jobs-")
    words = [
        java(), "-Xmx512m", *BRIEF, *OPENED, "-jar", jar,
        "--flink-master" if flink else "--spark-master-url", wanted.master.removeprefix("http://"),
        "--job-host", "localhost", "--job-port", str(ports[0]), "--artifact-port", str(ports[1]),
        "--expansion-port", "-1", "--artifacts-dir", f"{folder}/artifacts",
    ]  # fmt: skip
    log = Path(folder, "log.txt")
    with log.open("wb") as file:
        _Server.process = subprocess.Popen(
            worker.tethered(words), stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    _Server.belongs, _Server.folder = (os.getpid(),), folder
    atexit.unregister(stop)
    atexit.register(stop)
    _await(_Server.process, ports[0], log)
    return f"localhost:{ports[0]}"


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens at, drawn below those that systems give to whoever
    asks for any: a connection of somebody else cannot take one before it is used.
    """
    sockets: list[socket.socket] = []
    drawn = random.SystemRandom()
    try:
        while len(sockets) < count:
            each = socket.socket()
            try:
                each.bind(("127.0.0.1", drawn.randrange(*PORTS)))
            except OSError as error:
                each.close()
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                sockets.append(each)
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until somebody listens at a port; RealEarError if it ends, or takes too long."""
    until = time.monotonic() + STARTING
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    text = log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
    raise RealEarError(f"Beam's job server did not start: {text} ({log})")
