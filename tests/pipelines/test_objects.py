"""Object stores: a real server of the S3 protocol on this machine, in fair and in foul weather."""

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipelines import objects, stores
from pipelines.objects import Unreachable
from tests import faults

boto3 = pytest.importorskip("boto3", reason="s3:// needs the extra `s3`, and this test `moto`")
moto = pytest.importorskip("moto.server", reason="moto, of the extra `dev`, serves S3 here")
serving = pytest.importorskip("werkzeug.serving", reason="moto's server needs werkzeug")

BUCKET = "s3://corpora"
LATE = 0.5  # seconds until the server tells of what it has got


@dataclass
class Weather:
    """A server's application, and what it makes its clients suffer."""

    application: object
    busy: int = 0  # requests still to be refused for now
    lag: float = 0.0  # seconds until a new object is told of
    asked: int = 0
    written: dict[str, float] = field(default_factory=dict)

    def __call__(self, environ, start_response):
        self.asked += 1
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path.startswith("/forbidden"):
            return self._refuse(start_response, "403 Forbidden", "AccessDenied")
        if self.busy:
            self.busy -= 1
            return self._refuse(start_response, "503 Slow Down", "SlowDown")
        if method in ("PUT", "POST"):
            self.written.setdefault(path, time.monotonic())
        elif time.monotonic() < self.written.get(path, 0.0) + self.lag:
            return self._refuse(start_response, "404 Not Found", "NoSuchKey")
        return self.application(environ, start_response)

    @staticmethod
    def _refuse(start_response, status, code):
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()]


@pytest.fixture(scope="module")
def weather():
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    app = Weather(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = serving.make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="corpora")
        yield app
    server.shutdown()
    thread.join()
    server.server_close()


def held(prefix: str) -> dict[str, str]:
    """SHA-256 of every object below a prefix, by the rest of its name, asked of the server."""
    client = boto3.client("s3")
    found = client.list_objects_v2(Bucket="corpora", Prefix=f"{prefix}/").get("Contents", ())
    names = [each["Key"] for each in found]
    bodies = (client.get_object(Bucket="corpora", Key=name)["Body"].read() for name in names)
    return {
        name.removeprefix(f"{prefix}/"): hashlib.sha256(body).hexdigest()
        for name, body in zip(names, bodies, strict=True)
    }


def test_objects_are_stored_found_listed_and_removed(weather):
    target = f"{BUCKET}/folder/file.json"
    stores.write_json(target, {"a": 1})
    assert stores.read_json(target) == {"a": 1}
    assert stores.exists(target)
    assert stores.size(target) == len(b'{\n "a": 1\n}\n')
    assert stores.listing(f"{BUCKET}/folder", "*.json") == [target]
    stores.sweep(f"{BUCKET}/folder")
    stores.remove(target)
    stores.remove(target)
    assert not stores.exists(target)
    assert stores.size(target) == -1
    assert stores.listing(f"{BUCKET}/folder") == []
    with pytest.raises(FileNotFoundError):
        stores.read_bytes(target)


def test_an_error_while_spooling_uploads_nothing(weather):
    def fail() -> None:
        with stores.partial(f"{BUCKET}/half") as name:
            Path(name).write_bytes(b"hal")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fail()
    assert not stores.exists(f"{BUCKET}/half")


def test_nothing_shows_before_an_upload_is_complete(weather, tmp_path):
    sink = objects.filesystems(BUCKET).create(f"{BUCKET}/large")
    sink.write(b"x" * (9 << 20))  # more than a part of an upload
    assert not stores.exists(f"{BUCKET}/large")
    sink.close()
    assert stores.size(f"{BUCKET}/large") == 9 << 20


def test_a_busy_server_is_asked_again(weather):
    weather.busy = 3
    stores.write_bytes(f"{BUCKET}/busy", b"12345")
    assert weather.busy == 0
    assert stores.read_bytes(f"{BUCKET}/busy") == b"12345"


def test_a_server_that_tells_late_is_waited_for(weather):
    weather.lag = LATE
    try:
        started = time.monotonic()
        stores.write_bytes(f"{BUCKET}/late", b"12345")
        assert time.monotonic() - started >= LATE
        assert stores.size(f"{BUCKET}/late") == 5
    finally:
        weather.lag = 0.0


def test_what_never_arrives_is_told(weather, monkeypatch):
    monkeypatch.setattr(objects, "LAG", 0.0)
    monkeypatch.setattr(objects, "PAUSE", 0.0)
    weather.lag = 3600.0
    try:
        with pytest.raises(Unreachable, match="cannot be stored: expected 5 bytes to arrive"):
            stores.write_bytes(f"{BUCKET}/never", b"12345")
    finally:
        weather.lag = 0.0


def test_no_bucket_no_rights_no_server_in_words(weather, monkeypatch):
    with pytest.raises(Unreachable, match="s3://nowhere: there is no such bucket: make it first"):
        stores.exists("s3://nowhere/file")
    with pytest.raises(Unreachable, match="s3://forbidden: no right: the store refuses"):
        stores.write_bytes("s3://forbidden/file", b"")
    objects._share_connections.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"s3://dead cannot be reached: .*AWS_ENDPOINT_URL"):
        stores.exists("s3://dead/file")
    assert time.monotonic() - started < 60  # Beam alone: seven minutes
    objects._share_connections.cache_clear()


@pytest.mark.slow
def test_an_evaluation_in_a_bucket_has_the_bytes_of_one_on_a_disk(
    weather, realear, doubles, tmp_path
):
    suite = faults.suite(tmp_path / "made")
    words = ("--workers", 1, "--tracking", "none")
    ended = realear("evaluate", suite, "--out", f"{BUCKET}/work", *words)
    assert ended.code == 0, ended.text
    assert f"Board   {BUCKET}/work/site/faults/index.html" in ended.text
    assert realear("evaluate", suite, "--out", tmp_path / "disk", *words).code == 0
    found = {name: sha for name, sha in held("work").items() if name.startswith(faults.LASTING)}
    assert found == faults.tree(tmp_path / "disk")
    again = realear("evaluate", suite, "--out", f"{BUCKET}/work", *words)
    assert "Score: all 8 shards up to date" in again.text


def test_two_workers_write_into_a_bucket(weather, realear, tmp_path):
    suite = faults.suite(tmp_path / "made")
    ended = realear("generate", suite, "--out", f"{BUCKET}/two", "--workers", 2)
    assert ended.code == 0, ended.text
    assert realear("generate", suite, "--out", tmp_path / "disk", "--workers", 1).code == 0
    assert held("two") == faults.tree(tmp_path / "disk")
    assert realear("verify", "noisy", "--out", f"{BUCKET}/two", "--workers", 1).code == 0
