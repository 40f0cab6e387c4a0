"""What is fetched for engines: checked before it has its name; what is not served, said."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines import fetching
from pipelines.records import RealEarError

NAME = "beam-runners-flink-1.19-job-server"
METADATA = (
    "<metadata><versions><version>2.9.0</version><version>2.62.0</version></versions></metadata>"
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *arguments):
        del format, arguments


@pytest.fixture
def maven(tmp_path, monkeypatch) -> Path:
    """A Maven repository with nothing in it, and a cache of our own."""
    root = tmp_path / "repository"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("REALEAR_MAVEN", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("REALEAR_CACHE", str(tmp_path / "cache"))
    yield root
    server.shutdown()
    server.server_close()


def publish(maven: Path, version: str, content: bytes, *, told: bytes | None = None) -> None:
    """A job server of a Beam in the repository; the hash beside it is of what is told."""
    folder = maven / f"org/apache/beam/{NAME}/{version}"
    folder.mkdir(parents=True)
    jar = folder / f"{NAME}-{version}.jar"
    jar.write_bytes(content)
    text = hashlib.sha1(content if told is None else told, usedforsecurity=False).hexdigest()
    Path(f"{jar}.sha1").write_text(text)


def test_a_job_server_lies_in_the_cache_once_its_hash_is_right(maven, tmp_path):
    publish(maven, "2.62.0", b"a jar")
    publish(maven, "2.9.0", b"an older one")
    for version in ("2.9.0", "2.62.0"):
        (jar,) = fetching.fetch("flink", "1.19", version)[:1]
        assert jar == tmp_path / f"cache/{NAME}-{version}.jar"
    assert jar.read_bytes() == b"a jar"
    found = fetching.server("flink", "1.19")
    assert found is not None
    assert found.beam == "2.62.0"  # by number: 2.9.0 is older
    ours = fetching.Server("flink", "1.19", fetching.beam())
    ours.jar.write_bytes(b"of the Beam installed")
    assert fetching.server("flink", "1.19") == ours
    assert fetching.server("flink", "2.2") is None


@pytest.fixture(autouse=True)
def _no_distribution(monkeypatch):
    """Flink itself is 230 MB: the tests on Flink fetch it."""
    monkeypatch.setattr(fetching, "DISTRIBUTIONS", {})


def test_other_bytes_than_those_published_are_refused(maven, tmp_path):
    publish(maven, "2.62.0", b"a jar", told=b"another jar")
    with pytest.raises(RealEarError, match=r"expected SHA-1 \w{40}, found \w{40}: try it again"):
        fetching.fetch("flink", "1.19", "2.62.0")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_not_served_is_said_with_what_is(maven):
    with pytest.raises(RealEarError, match=r"has no beam-runners-flink-1\.19-job-server of Beam"):
        fetching.fetch("flink")
    folder = maven / "org/apache/beam/beam-runners-flink-1.19"
    folder.mkdir(parents=True)
    (folder / "maven-metadata.xml").write_text(METADATA)
    remedy = r"\(2\.9\.0, 2\.62\.0\), as `realear doctor --fetch flink --beam 2\.62\.0`"
    with pytest.raises(RealEarError, match=remedy):
        fetching.fetch("flink")


def test_a_repository_that_does_not_answer_and_an_engine_that_nobody_knows(maven, monkeypatch):
    with pytest.raises(RealEarError, match="expected flink or spark, found 'storm'"):
        fetching.fetch("storm")
    monkeypatch.setenv("REALEAR_MAVEN", "http://127.0.0.1:9")
    with pytest.raises(RealEarError, match="is there a network"):
        fetching.fetch("flink", "1.19")


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("REALEAR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert fetching.cache() == Path("/somewhere/realear")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert fetching.cache() == Path.home() / ".cache/realear"
