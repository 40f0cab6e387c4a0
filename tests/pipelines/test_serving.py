"""The local server: boards listed, files whole and in part, and nothing else."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import serving
from pipelines.records import RealEarError

SOUND = bytes(range(256)) * 4


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two boards, one of an evil title, a folder that is none, and a secret beside them."""
    for name, title in (("small", "A small one"), ("evil", "<script>alert(1)</script>")):
        folder = tmp_path / "site" / name
        (folder / "media").mkdir(parents=True)
        (folder / "index.html").write_text(f"<!doctype html><p>{name}</p>")
        (folder / "board.json").write_text(json.dumps({"title": title}))
        (folder / "media/worst.wav").write_bytes(SOUND)
    (tmp_path / "site/notes").mkdir()
    (tmp_path / "site/notes/private.txt").write_text("open")
    (tmp_path / "site/.hidden").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "site/link.txt").symlink_to(tmp_path / "secret.txt")
    return tmp_path / "site"


@pytest.fixture
def get(site: Path):
    """get(path, **headers) → status, headers, body."""
    server = serving.server_of(site, 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def ask(path: str, method: str = "GET", **headers: str):
        connection = http.client.HTTPConnection(*server.server_address, timeout=10)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), body

    yield ask
    server.shutdown()
    server.server_close()
    thread.join()


def test_boards_are_listed_and_shown(get) -> None:
    status, headers, body = get("/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    text = body.decode()
    assert '<a href="small/">A small one</a>' in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>" not in text
    assert "notes" not in text
    assert get("/small/")[2] == b"<!doctype html><p>small</p>"
    status, headers, _ = get("/small")
    assert (status, headers["Location"]) == (301, "/small/")
    assert get("/small/media/worst.wav")[2] == SOUND


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=1000-", 206, 1000, 1023),
        ("bytes=-4", 206, 1020, 1023),
        ("bytes=5-99999", 206, 5, 1023),
        ("bytes=a-b", 200, 0, 1023),
        ("bytes=-", 200, 0, 1023),
        ("bytes=0-1,4-5", 200, 0, 1023),
    ],
)
def test_parts_of_a_sound(get, asked, status, first, last) -> None:
    found, headers, body = get("/small/media/worst.wav", Range=asked)
    assert (found, body) == (status, SOUND[first : last + 1])
    assert headers["Accept-Ranges"] == "bytes"
    assert headers.get("Content-Range") == (f"bytes {first}-{last}/1024" if status == 206 else None)


def test_past_the_end_and_head(get) -> None:
    status, headers, body = get("/small/media/worst.wav", Range="bytes=2000-")
    assert (status, headers["Content-Range"], body) == (416, "bytes */1024", b"")
    status, headers, body = get("/small/media/worst.wav", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "1024", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/small/../../secret.txt", "/..%2fsecret.txt",
        "//etc/passwd", "/link.txt", "/.hidden", "/nowhere", "/notes/", "/notes", "/%00",
    ],
)  # fmt: skip
def test_nothing_outside_nothing_hidden_no_listings(get, path) -> None:
    status, _, body = get(path)
    assert (status, body) == (404, b"not here\n")


def test_other_names_and_methods_are_refused(get) -> None:
    assert get("/", Host="boards.example:80")[0] == 403
    assert get("/", Host="localhost:1")[0] == 200
    assert get("/small/", "POST")[0] == 501


def test_one_board_is_served_as_it_is(site) -> None:
    assert serving.boards(site / "small") == [(".", "A small one")]


def test_no_folder_and_a_taken_port(site) -> None:
    with pytest.raises(RealEarError, match="expected a folder of boards, found none at nowhere"):
        serving.serve("nowhere", 0)
    in_use = pytest.raises(RealEarError, match=r"port \d+ cannot be used .*: try --port 0")
    with serving.server_of(site, 0) as taken, in_use:
        serving.serve(str(site), taken.server_port)


def test_ctrl_c_ends_calmly(site) -> None:
    command = [Path(sys.executable).with_name("realear"), "board", "--serve", site, "--port", "0"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as server:
        assert server.stderr is not None
        said = server.stderr.readline()
        assert said.startswith("Boards  2 at http://127.0.0.1:")
        port = int(re.findall(r":(\d+)/", said)[0])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            client.request("GET", "/")
            assert client.getresponse().status == 200
        _drop(port)
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert server.stderr.read() == "stopped\n"


def test_a_connection_that_breaks_is_no_news_but_a_fault_is(site, capsys, monkeypatch) -> None:
    with serving.server_of(site, 0) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            _drop(server.server_port)
            time.sleep(0.5)
            assert capsys.readouterr().err == ""
            monkeypatch.setattr(serving, "_overview", None)
            with closing(http.client.HTTPConnection("127.0.0.1", server.server_port)) as client:
                client.request("GET", "/")
                with pytest.raises(http.client.RemoteDisconnected):
                    client.getresponse()
            assert "TypeError: 'NoneType' object is not callable" in capsys.readouterr().err
        finally:
            server.shutdown()


def _drop(port: int) -> None:
    """Ask for a page, and reset the connection in the middle of the next question."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /")
        client.recv(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
