"""A hub on this machine: it speaks the Hugging Face API over real sockets, and sends large files from a second server.

Faults are given by file name, `listing` for the API's answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0de"


@dataclass
class Fault:
    """What goes wrong with a file; `times` None: always."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    ignores_range: bool = False
    content_range: str | None = None
    """Sent in place of the right one."""
    cut: int | None = None
    """Only so many bytes of the body are sent, then the connection ends."""
    redirect: str | None = None
    pause_seconds: float = 0.0
    """The wait before the answer."""
    trickle_seconds: float = 0.0
    """The wait after each byte of the head."""
    encoding: str | None = None

    def strikes(self) -> bool:
        """Whether it happens this time."""
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


@dataclass
class Asked:
    """A request as it came."""

    server: str
    path: str
    range: str | None
    authorization: str | None
    client: tuple[str, int]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Callable[[_Handler], None]
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            type(self).answer(self)
            self.wfile.flush()

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the tests."""


@contextlib.contextmanager
def serving(answer: Callable[[_Handler], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A web server for the time of the `with`; its address."""
    handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
    server = _Server(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Hub:
    """Repositories as a mapping of names to files; what was asked is kept in `asked`."""

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]]) -> None:
        self.repositories = repositories
        self.faults: dict[str, Fault] = {}
        self.asked: list[Asked] = []
        self.sent = 0
        """Bytes of bodies that were handed to the sockets."""
        self.tells_sizes = True
        self.signature = "1"
        """Part of the second server's addresses; when it changes, those given out before are refused."""
        self.url = self.cdn = ""

    def files_asked(self) -> list[str]:
        """The names of the files that were asked for at the hub, in order."""
        return [found[1] for asked in self.asked if (found := re.search(r"/resolve/[^/]+/(.+)", asked.path))]

    def note(self, server: str, handler: _Handler) -> None:
        self.asked.append(
            Asked(
                server, handler.path, handler.headers.get("Range"), handler.headers.get("Authorization"),
                handler.client_address,
            )
        )  # fmt: skip

    def answer(self, handler: _Handler) -> None:
        self.note("hub", handler)
        path = unquote(urlsplit(handler.path).path)
        if listing := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self._list(handler, listing[1], listing[2])
        elif listing := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
            files = self.repositories[listing[1]]
            entries = [{"type": "file", "path": name, "size": len(files[name]), "oid": "0" * 40} for name in files]
            handler.send(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
        elif wanted := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(handler, wanted[1], wanted[2], wanted[3])
        elif cached := re.fullmatch(r"/api/resolve-cache/([^/]+/[^/]+)/(.+)", path):
            self._send(handler, cached[2], self.repositories[cached[1]][cached[2]])
        else:
            handler.send(404, b"", {})

    def _list(self, handler: _Handler, repository: str, revision: str | None) -> None:
        fault = self.faults.get("listing")
        if fault and fault.strikes():
            self._faulty(handler, fault, b"{}")
            return
        files = self.repositories.get(repository)
        if files is None:
            handler.send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", "v1", "refs/pr/1", COMMIT):
            handler.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [
                {"rfilename": name} | ({"size": len(files[name])} if self.tells_sizes else {}) for name in files
            ]
            data = {"id": repository, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            handler.send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _resolve(self, handler: _Handler, repository: str, revision: str, name: str) -> None:
        fault = self.faults.get(name)
        content = self.repositories.get(repository, {}).get(name)
        if content is None or revision != COMMIT:
            handler.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif fault and (fault.status or fault.redirect) and fault.strikes():
            self._faulty(handler, fault, content)
        elif name.endswith((".gguf", ".safetensors")):
            self._move(handler, f"{self.cdn}/{self.signature}/{repository}/{name}", 302, content)
        else:
            self._move(handler, f"/api/resolve-cache/{repository}/{name}", 307, content)

    def _move(self, handler: _Handler, target: str, status: int, content: bytes) -> None:
        linked = {"X-Linked-Etag": _etag(content), "X-Linked-Size": str(len(content))}
        handler.send(status, b"moved", {"Location": target, "X-Repo-Commit": COMMIT} | linked)

    def answer_cdn(self, handler: _Handler) -> None:
        self.note("cdn", handler)
        _, signature, organisation, repository, name = unquote(handler.path).split("/", 4)
        if signature != self.signature:
            handler.send(403, b"expired", {})
            return
        self._send(handler, name, self.repositories[f"{organisation}/{repository}"][name])

    def _send(self, handler: _Handler, name: str, content: bytes) -> None:
        fault = self.faults.get(name)
        if fault and not fault.status and not fault.redirect and fault.strikes():
            self._faulty(handler, fault, content)
        else:
            self._send_range(handler, content, Fault())

    def _faulty(self, handler: _Handler, fault: Fault, content: bytes) -> None:
        time.sleep(fault.pause_seconds)
        if fault.redirect:
            self._move(handler, fault.redirect, 302, content)
        elif fault.status:
            handler.send(fault.status, b"fault", fault.headers)
        else:
            self._send_range(handler, content, fault)

    def _send_range(self, handler: _Handler, content: bytes, fault: Fault) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", ""))
        status, body = 200, content
        headers = {"ETag": _etag(content), "X-Repo-Commit": COMMIT, **fault.headers}
        if asked and not fault.ignores_range:
            first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
            if first >= len(content):
                handler.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            status, body = 206, content[first : last + 1]
            headers["Content-Range"] = fault.content_range or f"bytes {first}-{last}/{len(content)}"
        if fault.encoding:
            headers["Content-Encoding"] = fault.encoding
        if fault.trickle_seconds:
            for letter in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
                handler.wfile.write(bytes([letter]))
                handler.wfile.flush()
                time.sleep(fault.trickle_seconds)
        handler.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(key, value)
        handler.end_headers()
        for start in range(0, len(body[: fault.cut]) if handler.command == "GET" else 0, 1 << 16):
            part = body[: fault.cut][start : start + (1 << 16)]
            handler.wfile.write(part)
            handler.wfile.flush()
            self.sent += len(part)
        if fault.cut is not None:
            handler.close_connection = True


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content[:4096]).hexdigest()[:48]}{len(content):016x}"'


@contextlib.contextmanager
def running_hub(repositories: Mapping[str, Mapping[str, bytes]], tls: ssl.SSLContext | None = None) -> Iterator[Hub]:
    """A hub and the second server that its large files come from."""
    hub = Hub(repositories)
    with serving(hub.answer, tls) as hub.url, serving(hub.answer_cdn) as hub.cdn:
        yield hub
