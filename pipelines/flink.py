"""A Flink session cluster of this machine's: a job manager and a task manager, or one of the two.

The distribution on PyPI has Flink's jars but not its scripts; these processes are what the scripts
would start. They run in the foreground of `realear cluster` and end with it.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import clusters, fetching, progress, worker
from pipelines.records import RealEarError

WITHIN = 300.0  # seconds until every task slot is there
CAUSE = "Caused by: "  # the beginning of a line in a log of Java's
_ENTRY = "org.apache.flink.runtime"
_JOB_MANAGER = f"{_ENTRY}.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = f"{_ENTRY}.taskexecutor.TaskManagerRunner"
# Flink's own work here is to pass references on: the memory is for the worker processes.
_MEMORY = {
    "task.heap.size": "256m",
    "task.off-heap.size": "0b",
    "framework.heap.size": "128m",
    "framework.off-heap.size": "128m",
    "managed.size": "64m",
    "network.min": "64m",
    "network.max": "64m",
    "jvm-metaspace.size": "256m",
    "jvm-overhead.min": "192m",
    "jvm-overhead.max": "192m",
}
_LOGGING = """rootLogger.level=INFO
rootLogger.appenderRef.console.ref=Console
appender.console.name=Console
appender.console.type=CONSOLE
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{HH:mm:ss,SSS} %-5p %c{1} %m%n
"""


@dataclass(frozen=True)
class Cluster:
    """What to start: `join` is another's job manager, HOST:RPC_PORT; "" means one of our own.

    `port` is of the web page, where jobs are handed in; `rpc_port` is for task managers.
    """

    slots: int = 2  # 0: no task manager
    host: str = "127.0.0.1"
    port: int = 8081
    rpc_port: int = 6123
    join: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)  # of Flink's own, in its words

    @property
    def master(self) -> str:
        """What `--flink_master` is to be."""
        return f"{self.host}:{self.port}"


def configuration(cluster: Cluster) -> dict[str, object]:
    """Flink's settings for a cluster, by Flink's names."""
    # The job manager's own parts speak to each other by localhost, whatever its address.
    heard = cluster.host if cluster.host.startswith("127.") else "0.0.0.0"
    manager, _, rpc_port = (cluster.join or f"{cluster.host}:{cluster.rpc_port}").partition(":")
    return {
        "jobmanager.rpc.address": manager,
        "jobmanager.rpc.port": rpc_port or cluster.rpc_port,
        "jobmanager.bind-host": heard,
        "jobmanager.memory.process.size": "1g",
        "rest.address": manager,
        "rest.bind-address": cluster.host,
        "rest.port": cluster.port,
        "taskmanager.host": cluster.host,
        "taskmanager.bind-host": cluster.host,
        "taskmanager.numberOfTaskSlots": max(1, cluster.slots),
        "taskmanager.cpu.cores": max(1, cluster.slots),
        **{f"taskmanager.memory.{name}": size for name, size in _MEMORY.items()},
        **cluster.settings,
    }


def run(cluster: Cluster) -> None:
    """Start a cluster and stay until it is told to stop, or a part of it ends: RealEarError."""
    signal.signal(signal.SIGTERM, worker.interrupted)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="realear-flink-"))
        started = start(cluster, folder)
        stack.callback(_end, started)
        if not cluster.join:
            await_slots(cluster, started, folder)
        progress.say(f"Flink {_said(cluster)}; logs in {folder}; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            while all(process.poll() is None for process in started):
                time.sleep(0.5)
            raise RealEarError(f"a part of Flink has ended: {_last_words(folder)}")


def _said(cluster: Cluster) -> str:
    if cluster.join:
        return f"task manager with {cluster.slots} slots, of the job manager at {cluster.join}"
    return f"at {cluster.master}, {cluster.slots} task slots"


def start(cluster: Cluster, folder: str) -> list[subprocess.Popen[bytes]]:
    """A cluster's processes, which end with this one; settings and logs go to the folder."""
    java, home = clusters.java(), fetching.distribution()
    if not home.is_dir():
        raise RealEarError(
            f"expected a Flink distribution in {home}, found none: `realear doctor --fetch flink`"
        )
    text = "".join(f"{name}: {value}\n" for name, value in configuration(cluster).items())
    Path(folder, "config.yaml").write_text(text, encoding="utf-8")
    Path(folder, "log4j.properties").write_text(_LOGGING, encoding="utf-8")
    begun = []
    if not cluster.join:
        begun.append(_start(java, ["-Xmx384m"], _JOB_MANAGER, folder))
    if cluster.slots:
        memory = ["-Xmx384m", "-XX:MaxDirectMemorySize=192m", "-XX:MaxMetaspaceSize=256m"]
        begun.append(_start(java, memory, _TASK_MANAGER, folder))
    return begun


def _start(java: str, memory: Sequence[str], entry: str, folder: str) -> subprocess.Popen[bytes]:
    command = [
        java, *memory, *clusters.BRIEF, *clusters.OPENED,
        f"-Dlog4j.configurationFile={folder}/log4j.properties",
        f"-Djava.io.tmpdir={folder}",
        "-cp", f"{fetching.distribution()}/lib/*", entry, "--configDir", folder,
    ]  # fmt: skip
    with Path(folder, f"{entry.rpartition('.')[2]}.log").open("wb") as log:
        return subprocess.Popen(
            worker.tethered(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def await_slots(cluster: Cluster, started: Sequence[subprocess.Popen[bytes]], folder: str) -> None:
    """Wait until the job manager answers and its slots are there; RealEarError if they do not."""
    until = time.monotonic() + WITHIN
    while time.monotonic() < until and all(process.poll() is None for process in started):
        with suppress(RealEarError):
            found = clusters.flink_at(f"http://{cluster.master}")
            if found["slots-total"] >= cluster.slots:
                return
        time.sleep(0.2)
    _end(started)
    raise RealEarError(f"Flink did not start at {cluster.master}: {_last_words(folder)}")


def _end(started: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in started:
        process.kill()  # a session cluster keeps nothing that anybody needs afterwards
        process.wait()


def _last_words(folder: str) -> str:
    """The last error in the logs and what caused it, else their ends."""
    logs = [
        path.read_text(encoding="utf-8", errors="replace") for path in Path(folder).glob("*.log")
    ]
    for log in logs:
        before, error, after = log.rpartition(" ERROR ")
        if error:
            first, *rest = after.splitlines()
            causes = [line for line in rest if line.startswith(CAUSE)]
            return " ".join(f"{before[-12:]}{error}{first} {''.join(causes[-1:])}".split())[:600]
    return "its logs end: " + " … ".join(" ".join(log[-300:].split()) for log in logs)
