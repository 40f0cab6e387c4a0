"""Clusters: what is missing is said before any work; on a real Flink the files are the same."""

import contextlib
import json
import os
import socket
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines import clusters, flink, forkserver, pool, transforms, witnesses
from pipelines.engines import engine
from pipelines.records import Part, RealEarError
from pipelines.shards import sidecars

REPEATED = '''
from pathlib import Path

from pipelines import stores
from pipelines.records import RealEarError
from pipelines.shards import sidecars


def do(part):
    """Leave a trace, and the result, unless the payload says otherwise."""
    if part.payload:
        raise RealEarError(part.payload)
    with Path(part.folder, "calls.txt").open("a") as file:
        file.write(part.stem + "\\n")
    target = f"{part.folder}/{part.stem}.txt"
    stores.write_bytes(target, part.inputs.encode())
    sidecars.write(part, sidecars.facts(target), content="", clips_out=part.clips, seconds=1.0)
'''


@pytest.fixture
def do(tmp_path, monkeypatch):
    """A work function that worker processes can import; what engines set is put back."""
    before = dict(os.environ)
    (tmp_path / "repeated_work.py").write_text(REPEATED)
    monkeypatch.syspath_prepend(str(tmp_path))
    os.environ["PYTHONPATH"] = str(tmp_path)
    import repeated_work

    yield repeated_work.do
    del sys.modules["repeated_work"]
    os.environ.clear()
    os.environ.update(before)


def parts_in(folder: Path, count: int) -> list[Part]:
    folder.mkdir(exist_ok=True)
    return [Part(str(folder), f"s-{n}", "these", 2, 1.0, None) for n in range(count)]


# What is not there


@pytest.fixture
def cluster_of(monkeypatch):
    """`cluster_of(version, slots)`: something that answers as a Flink does, and its address."""
    with contextlib.ExitStack() as stack:

        def serve(version: str, slots: int) -> str:
            said = {"taskmanagers": 1, "slots-total": slots, "flink-version": version}

            class Overview(BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(json.dumps(said if version else {}).encode())

                def log_message(self, format, *arguments):
                    del format, arguments

            server = ThreadingHTTPServer(("127.0.0.1", 0), Overview)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"127.0.0.1:{server.server_port}"

        yield serve


def refused(message: str, *words: str, workers: int = 0) -> None:
    with pytest.raises(RealEarError, match=message):
        clusters.check(engine("FlinkRunner", workers, words))


def test_no_flink_at_the_address():
    (port,) = clusters.free_ports(1)
    refused(
        rf"no Flink answers at http://localhost:{port} \(.*refused.*\): start one, as by "
        "`realear cluster`",
        f"--flink_master=localhost:{port}",
    )


def test_another_flink_than_was_said_few_slots_or_no_flink(cluster_of):
    at = f"--flink_master={cluster_of('2.2.0', 2)}"
    refused(r"expected Flink 1\.19 .* found 2\.2\.0: leave", at, "--flink_version=1.19")
    refused("expected 3 task slots at .* found 2 on 1 task managers", at, "--parallelism=3")
    refused("expected 4 task slots at .* --parallelism=2", at, workers=4)
    refused("found something else that answers", f"--flink_master={cluster_of('', 2)}")


def test_no_job_server_for_the_flink_that_is_there(cluster_of, monkeypatch, tmp_path):
    monkeypatch.setenv("REALEAR_CACHE", str(tmp_path))
    monkeypatch.setattr(clusters, "java", lambda: "java")
    at = f"--flink_master={cluster_of('2.2.0', 2)}"
    refused(r"for Flink 2\.2, found none in .*`realear doctor --fetch flink --line 2\.2`", at)
    refused(r"for Flink 1\.19, found none .*`realear doctor --fetch flink`, or name")
    refused("found no file /none.jar", at, "--flink_job_server_jar=/none.jar")
    with pytest.raises(RealEarError, match=r"Spark 3, found none .*`realear doctor --fetch spark`"):
        clusters.check(engine("SparkRunner", 1))


def test_no_java_or_an_old_one(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    refused(rf"expected Java 17 or later .* found none in JAVA_HOME={tmp_path}")
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin/java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    refused("expected Java 17 or later .* found .*11.0.2")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    refused("expected Java 17 or later .* found none")


def test_a_cluster_elsewhere_needs_workers_of_its_own():
    refused("run `realear workers --port 50000` beside each", "--flink_master=flink.example:8081")


# Workers


def test_a_pool_does_every_part_and_repeats_none_that_is_done(do, tmp_path):
    """Beam's own portable runner asks our pool for workers, as Flink and Spark do."""
    parts = parts_in(tmp_path / "out", 5)
    do(parts[3])  # as if a bundle had been lost after it was done
    forkserver.stop()  # it has imported before our work function was there
    with contextlib.closing(pool.Served("127.0.0.1", 0)) as served:
        words = ["--job_endpoint=embed", "--environment_type=EXTERNAL"]
        words.append(f"--environment_config={served.address}")
        chosen = engine("PortableRunner", 2, words)
        assert transforms.run("Doing", parts, do, chosen) == 4
    assert sorted((tmp_path / "out/calls.txt").read_text().split()) == [f"s-{n}" for n in range(5)]
    assert all(sidecars.is_current(part) for part in parts)
    assert not list((tmp_path / "out").glob(".witness*"))


def test_a_port_that_is_taken_is_said():
    with (
        contextlib.closing(pool.Served("127.0.0.1", 0)) as served,
        pytest.raises(RealEarError, match=r"no worker pool can listen at .*say --port"),
    ):
        pool.Served("127.0.0.1", served.port)


def test_a_worker_that_sees_another_folder_or_has_other_versions_stops_the_run(tmp_path):
    parts = parts_in(tmp_path / "out", 1)
    with witnesses.laid(parts) as witness:
        assert witnesses.admit(parts[0], witness) == parts
        older = [(name, "0.1" if name == "numpy" else found) for name, found in witness.versions]
        other = witnesses.Witness(witness.path, tuple(older))
        with pytest.raises(RealEarError, match=r"has numpy \S+ \(expected 0\.1\): install"):
            witnesses.admit(parts[0], other)
    unseen = witnesses.Witness(f"{tmp_path}/elsewhere/.witness", witness.versions)
    with pytest.raises(RealEarError, match=rf"does not see {tmp_path}/elsewhere: mount"):
        witnesses.admit(parts[0], unseen)


# Flink itself


def test_a_pipeline_on_flink_and_a_mistake_on_its_worker(flink, do, tmp_path):
    parts = parts_in(tmp_path / "out", 5)
    forkserver.stop()
    chosen = engine("FlinkRunner", 2, [f"--flink_master={flink}"])
    clusters.check(chosen)
    assert transforms.run("Doing", parts, do, chosen) == 5
    assert sorted((tmp_path / "out/calls.txt").read_text().split()) == [f"s-{n}" for n in range(5)]
    damaged = replace(parts[0], stem="t-0", payload="shard seven: its bytes differ")
    with pytest.raises(RealEarError, match=r"^shard seven: its bytes differ$"):
        transforms.run("Doing", [damaged], do, chosen)
    clusters.stop()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_on_flink_makes_the_same_files(flink, realear, tree, tmp_path):
    for name, words in {
        "local": ["--workers", 1],
        "flink": ["--runner", "FlinkRunner", "--flink_master", flink],
    }.items():
        ended = realear("demo", "--out", tmp_path / name, *words)
        assert ended.code == 0, ended.text
    assert tree(tmp_path / "flink") == tree(tmp_path / "local")


def test_free_ports_are_none_that_the_system_gives_to_others(monkeypatch):
    taken, drawn = clusters.free_ports(2)
    assert taken != drawn
    assert all(clusters.PORTS[0] <= port < clusters.PORTS[1] for port in (taken, drawn))
    with socket.socket() as here:
        here.bind(("127.0.0.1", taken))
        here.listen()
        turns = iter([taken, taken, drawn])
        monkeypatch.setattr(clusters.random.SystemRandom, "randrange", lambda *_: next(turns))
        assert clusters.free_ports(1) == [drawn]


def test_a_flink_that_does_not_start_says_why(tmp_path):
    (tmp_path / "entry.log").write_text(
        "12:00:00,000 ERROR Entry Could not start. org.apache.X: Failed\n"
        + "\tat org.apache.X(X.java:1)\n" * 40
        + "Caused by: java.util.Y: Failure\n\tat y(Y.java:2)\n"
        + "Caused by: java.net.BindException: taken\n"
    )
    said = flink._last_words(str(tmp_path))
    assert "Could not start" in said
    assert said.endswith("Caused by: java.net.BindException: taken")
