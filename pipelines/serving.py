"""A folder of boards on 127.0.0.1: an index of them, and their files, in part where asked for."""

from __future__ import annotations

import json
import os
import re
import sys
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from pipelines import progress
from pipelines.records import RealEarError

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # a page elsewhere must not reach us under a name of its own
BLOCK = 1 << 16  # bytes sent at a time
INDEX, BOARD = "index.html", "board.json"
_RANGE = re.compile(r"bytes=(?=\d*-\d*$)(?!-$)(\d*)-(\d*)$")  # one, not several
_STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;"
    "color-scheme:light dark}li{margin:.4rem 0}"
)


def serve(folder: str, port: int) -> None:
    """Serve a folder until Ctrl-C; RealEarError where there is none or the port is taken."""
    root = Path(folder)
    if not root.is_dir():
        raise RealEarError(f"--serve: expected a folder of boards, found none at {folder}")
    try:
        server = server_of(root, port)
    except OSError as error:
        raise RealEarError(
            f"--serve: port {port} cannot be used ({error.strerror}): try --port 0, which takes "
            "any that is free"
        ) from error
    found = len(boards(root.resolve()))
    with server:
        try:
            progress.console.print(
                f"Boards  {found} at http://{HOST}:{server.server_port}/ until Ctrl-C",
                soft_wrap=True,
            )
            server.serve_forever()
        except KeyboardInterrupt:
            progress.console.print("stopped")


class Server(ThreadingHTTPServer):
    """A thread a connection; one that the browser drops is no fault to tell of."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what went wrong while answering, but for a connection that broke."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def server_of(root: Path, port: int) -> Server:
    """A server of a folder, not started; port 0 takes any that is free."""
    return Server((HOST, port), partial(Handler, root=root.resolve()))


def boards(root: Path) -> list[tuple[str, str]]:
    """(folder, title) of the boards right below a folder, or of itself, in order of titles."""
    found = []
    for index in sorted([root / INDEX, *root.glob(f"*/{INDEX}")]):
        record = index.with_name(BOARD)
        if index.is_file() and record.is_file():
            found.append((index.parent.relative_to(root).as_posix(), _title(record)))
    return sorted(found, key=lambda each: (each[1], each[0]))


def _title(record: Path) -> str:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["title"])
    except (OSError, ValueError, KeyError, TypeError):
        return record.parent.name


class Handler(SimpleHTTPRequestHandler):
    """Files below a folder, whole or in part; nothing above it, nothing hidden, no listings."""

    protocol_version = "HTTP/1.1"
    server_version = "realear"
    sys_version = ""

    def __init__(self, *arguments: object, root: Path) -> None:
        self.root = root
        super().__init__(*arguments, directory=str(root))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with what a file's answer would begin with."""
        self._answer(body=False)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal belongs to the user."""

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in NAMES:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"localhost only\n", body=body)
        elif path == "/" and not (self.root / INDEX).is_file():
            page = _overview(self.root).encode()
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page, body=body)
        elif (found := self._file(path)) is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"not here\n", body=body)
        elif found.is_dir():
            self._redirect(path)
        else:
            self._send_file(found, body=body)

    def _file(self, path: str) -> Path | None:
        """The file that is meant, or a folder with a page; None where there is none to be seen."""
        if "\0" in path or any(part.startswith(".") for part in path.split("/")):
            return None
        found = (self.root / path.lstrip("/")).resolve()  # links may lead anywhere
        if not found.is_relative_to(self.root):
            return None
        if path.endswith("/"):
            found = found / INDEX
        if found.is_dir():
            return found if (found / INDEX).is_file() else None
        return found if found.is_file() else None

    def _redirect(self, path: str) -> None:
        """From a folder's name to the folder, so that its page finds what lies beside it."""
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", f"/{quote(path.strip('/'))}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status: HTTPStatus, kind: str, data: bytes, *, body: bool) -> None:
        self.send_response(status)
        self._begin(kind, len(data))
        if body:
            self.wfile.write(data)

    def _send_file(self, path: Path, *, body: bool) -> None:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            wanted = _RANGE.match(self.headers.get("Range", "").strip())
            start, end = _part(wanted, length) if wanted else (0, length)
            if wanted and start >= end:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{length}")
            elif wanted:
                self.send_response(HTTPStatus.PARTIAL_CONTENT)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{length}")
            else:
                self.send_response(HTTPStatus.OK)
            self._begin(self.guess_type(str(path)), max(0, end - start))
            if body:
                self._copy(file, start, end)

    def _begin(self, kind: str, length: int) -> None:
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()

    def _copy(self, file: BinaryIO, start: int, end: int) -> None:
        file.seek(start)
        while start < end and (data := file.read(min(BLOCK, end - start))):
            try:
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the player has heard enough
                return
            start += len(data)


def _part(wanted: re.Match[str], length: int) -> tuple[int, int]:
    """Start and end of the bytes asked for; nothing (start >= end) past the end of the file."""
    first, last = wanted.groups()
    if not first:  # the last so many
        return max(0, length - int(last)), length
    return int(first), min(int(last) + 1, length) if last else length


def _overview(root: Path) -> str:
    found = boards(root)
    lines = "".join(
        f'<li><a href="{escape(quote(folder))}/">{escape(title)}</a></li>'
        for folder, title in found
    )
    listed = f"<ul>{lines}</ul>" if found else "<p>No board lies here yet.</p>"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>RealEar boards</title>'
        f"<style>{_STYLE}</style><h1>Boards</h1>{listed}</html>\n"
    )
