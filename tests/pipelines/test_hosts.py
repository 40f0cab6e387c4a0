"""Hosts as network namespaces: one is cut off and returns, a worker is killed; nothing is lost."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MANAGER = "10.77.0.1"
HOSTS = {"a": "10.77.0.2", "b": "10.77.0.3"}
# A host is given up after ten seconds without a word; Flink's own default is fifty.
HEARTBEATS = ("--set", "heartbeat.timeout=10000", "--set", "heartbeat.interval=1000")
REALEAR = (sys.executable, "-m", "pipelines.cli")


def ip(*words: str) -> str:
    return subprocess.run(
        ["ip", *words], check=True, capture_output=True, text=True, timeout=20
    ).stdout


def inside(host: str, *words: object) -> list[str]:
    return ["ip", "netns", "exec", host, *map(str, words)]


@dataclass(frozen=True)
class Hosts:
    """Namespaces by their plain names: m, a and b."""

    names: dict[str, str]
    folder: Path  # for logs

    @contextlib.contextmanager
    def running(self, host: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
        """A command of ours on a host, until the block ends."""
        log = self.folder / f"{host}-{words[0]}.log"
        command = inside(self.names[host], *REALEAR, *words)
        with log.open("wb") as file, subprocess.Popen(command, stderr=file, stdout=file) as process:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)

    def workers(self, host: str) -> list[int]:
        """The worker processes on a host."""
        found = []
        for process in ip("netns", "pids", self.names[host]).split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process}/comm").read_text().strip() == "realear-worker":
                    found.append(int(process))
        return found

    def slots(self) -> int:
        """The task slots that the manager knows of, 0 while it does not answer."""
        code = f"print(clusters.flink_at('http://{MANAGER}:8081')['slots-total'])"
        words = inside(self.names["m"], sys.executable, "-c")
        words.append(f"from pipelines import clusters; {code}")
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        return int(ended.stdout or 0)

    def cut(self, host: str, *, off: bool) -> None:
        """Pull a host's cable, or put it back."""
        subprocess.run(
            inside(self.names["m"], "ip", "link", "set", f"to-{host}", "down" if off else "up"),
            check=True,
        )


@pytest.fixture
def hosts(flink_parts, tmp_path) -> Iterator[Hosts]:
    """A manager with a switch, and two hosts on it; nothing of this touches the machine's own."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip (iproute2)")
    names = {host: f"realear-{os.getpid()}-{host}" for host in ("m", *HOSTS)}
    with contextlib.ExitStack() as stack:
        for name in names.values():
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        manager = ("-n", names["m"])
        ip(*manager, "link", "add", "switch", "type", "bridge")
        ip(*manager, "addr", "add", f"{MANAGER}/24", "dev", "switch")
        ip(*manager, "link", "set", "switch", "up")
        for host, address in HOSTS.items():
            ends = ("peer", "name", "eth", "netns", names[host])
            ip(*manager, "link", "add", f"to-{host}", "type", "veth", *ends)
            ip(*manager, "link", "set", f"to-{host}", "master", "switch", "up")
            ip("-n", names[host], "addr", "add", f"{address}/24", "dev", "eth")
            ip("-n", names[host], "link", "set", "eth", "up")
        yield Hosts(names, tmp_path)


def await_(what: str, seen: Callable[[], object], within: float = 300.0) -> None:
    until = time.monotonic() + within
    while not seen():
        assert time.monotonic() < until, f"no {what} within {within:.0f} s"
        time.sleep(0.1)


def busy(out: Path, workers: list[int]) -> int:
    """A worker of these that is writing an answer of the model `slow`, 0 if none is."""
    names = [path.name.split(".") for path in out.glob("predictions/slow-*/*/.*.tar.*.partial")]
    return next((int(name[-2]) for name in names if int(name[-2]) in workers), 0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_host_is_cut_off_and_returns_and_a_worker_is_killed(
    hosts, evaluated, suite_file, small, tree, tmp_path, monkeypatch
):
    monkeypatch.setenv("DOUBLES_SECONDS", "3")  # so that there is something to disturb
    out, log = tmp_path / "shared", tmp_path / "m-evaluate.log"
    noise = {**small["comparisons"]["noise"], "models": ["slow"], "metrics": {"si_snr": {}}}
    datasets = {name: small["datasets"][name] for name in ("readings", "noisy")}
    suite = {**small, "datasets": datasets, "comparisons": {"noise": noise}}
    with contextlib.ExitStack() as stack:
        manager = ("cluster", "--slots", 0, "--host", MANAGER, *HEARTBEATS)
        stack.enter_context(hosts.running("m", *manager))
        for host, address in HOSTS.items():
            joined = ("cluster", "--slots", 1, "--host", address, "--join", f"{MANAGER}:6123")
            stack.enter_context(hosts.running(host, *joined, *HEARTBEATS))
            stack.enter_context(hosts.running(host, "workers"))
        stack.callback(hosts.cut, "b", off=False)
        await_("task slots", lambda: hosts.slots() == 2)
        words = ["--runner", "FlinkRunner", "--flink_master", f"{MANAGER}:8081"]
        words += ["--environment_type", "EXTERNAL", "--environment_config", "localhost:50000"]
        words += ["--parallelism", "2", "--out", out]
        evaluation = stack.enter_context(
            hosts.running("m", "evaluate", suite_file(tmp_path, suite), *words)
        )
        await_("answer on a", lambda: busy(out, hosts.workers("a")), 600)
        os.kill(busy(out, hosts.workers("a")), signal.SIGKILL)
        await_("second try", lambda: "once more" in log.read_text())
        await_("answer on b", lambda: busy(out, hosts.workers("b")))
        hosts.cut("b", off=True)
        time.sleep(20)
        hosts.cut("b", off=False)
        evaluation.wait(timeout=600)
    said = log.read_text()
    assert evaluation.returncode == 0, said
    assert said.count("once more") >= 2, said  # both were felt
    found, whole = tree(out), tree(evaluated)
    assert found == {name: whole[name] for name in found}
    assert len([name for name in found if name.endswith(".parquet")]) > 10
