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
    flip: int | None = None
    """The byte at this place is sent wrong."""
    bytes_per_second: int | None = None
    """No faster than this."""
    stall_after: int | None = None
    """After so many bytes of the body nothing more comes, and the connection stays."""

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
        self.tells_sums = True
        self.stated_sizes: dict[str, int] = {}
        """Sizes that the listing gives in place of the right ones."""
        self.at_once = self.most_at_once = 0
        """Files that are being sent now, and the most that ever were."""
        self._lock = threading.Lock()
        self.commit = COMMIT
        """What main is now; `older` holds what it was before, with its files."""
        self.older: dict[str, dict[str, Mapping[str, bytes]]] = {}
        self.signature = "1"
        """Part of the second server's addresses; when it changes, those given out before are refused."""
        self.url = self.cdn = ""

    def files_asked(self) -> list[str]:
        """The names of the files that were asked for at the hub, in order."""
        return [found[1] for asked in self.asked if (found := re.search(r"/resolve/[^/]+/(.+)", asked.path))]

    def publish(self, repository: str, files: Mapping[str, bytes], commit: str) -> None:
        """A newer commit of a repository; the one before stays to be had."""
        self.older.setdefault(self.commit, {})[repository] = self.repositories[repository]
        self.repositories = {**self.repositories, repository: files}
        self.commit = commit

    def files_at(self, repository: str, revision: str | None) -> tuple[str, Mapping[str, bytes]] | None:
        """The commit that a revision is, and its files."""
        if revision in (None, "main", "v1", "refs/pr/1", self.commit):
            return self.commit, self.repositories[repository]
        older = self.older.get(revision or "", {})
        return (revision or "", older[repository]) if repository in older else None

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
            commit, _, name = cached[2].partition("/")
            self._send(handler, name, self.files_at(cached[1], commit)[1][name])
        else:
            handler.send(404, b"", {})

    def _list(self, handler: _Handler, repository: str, revision: str | None) -> None:
        fault = self.faults.get("listing")
        if fault and fault.strikes():
            self._faulty(handler, fault, "listing", b"{}")
            return
        files = self.repositories.get(repository)
        if files is None:
            handler.send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif (found := self.files_at(repository, revision)) is None:
            handler.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            commit, files = found
            siblings = [
                {"rfilename": name}
                | ({"size": self.stated_sizes.get(name, len(files[name]))} if self.tells_sizes else {})
                | (_stated(name, files[name]) if self.tells_sums else {})
                for name in files
            ]
            data = {"id": repository, "sha": commit, "siblings": siblings, "private": False, "tags": []}
            handler.send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _resolve(self, handler: _Handler, repository: str, revision: str, name: str) -> None:
        fault = self.faults.get(name)
        commit, files = (repository in self.repositories and self.files_at(repository, revision)) or ("", {})
        content = files.get(name)
        if content is None:
            handler.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif fault and (fault.status or fault.redirect) and fault.strikes():
            self._faulty(handler, fault, name, content)
        elif is_large(name):
            self._move(handler, f"{self.cdn}/{self.signature}/{repository}/{commit}/{name}", 302, name, content)
        else:
            self._move(handler, f"/api/resolve-cache/{repository}/{commit}/{name}", 307, name, content)

    def _move(self, handler: _Handler, target: str, status: int, name: str, content: bytes) -> None:
        linked = {"X-Linked-Etag": _etag(name, content), "X-Linked-Size": str(len(content))}
        commit = found[1] if (found := re.search(r"/resolve/([^/]+)/", handler.path)) else self.commit
        commit = commit if re.fullmatch("[0-9a-f]{40}", commit) else self.commit
        handler.send(status, b"moved", {"Location": target, "X-Repo-Commit": commit} | linked)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def answer_cdn(self, handler: _Handler) -> None:
        with self._counted():
            self._answer_cdn(handler)

    def _answer_cdn(self, handler: _Handler) -> None:
        self.note("cdn", handler)
        _, signature, organisation, repository, commit, name = unquote(handler.path).split("/", 5)
        if signature != self.signature:
            handler.send(403, b"expired", {})
            return
        self._send(handler, name, self.files_at(f"{organisation}/{repository}", commit)[1][name])

    def _send(self, handler: _Handler, name: str, content: bytes) -> None:
        fault = self.faults.get(name)
        if fault and not fault.status and not fault.redirect and fault.strikes():
            self._faulty(handler, fault, name, content)
        else:
            self._send_range(handler, name, content, Fault())

    def _faulty(self, handler: _Handler, fault: Fault, name: str, content: bytes) -> None:
        time.sleep(fault.pause_seconds)
        if fault.redirect:
            self._move(handler, fault.redirect, 302, name, content)
        elif fault.status:
            handler.send(fault.status, b"fault", fault.headers)
        else:
            self._send_range(handler, name, content, fault)

    def _send_range(self, handler: _Handler, name: str, content: bytes, fault: Fault) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if fault.flip is not None:
            content = content[: fault.flip] + bytes([content[fault.flip] ^ 1]) + content[fault.flip + 1 :]
        status, body = 200, content
        headers = {"ETag": _etag(name, content), "X-Repo-Commit": self.commit, **fault.headers}
        is_same = handler.headers.get("If-Range") in (None, headers["ETag"])
        if asked and is_same and not fault.ignores_range:
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
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
        view = memoryview(body)[: fault.cut]
        for start in range(0, len(view) if handler.command == "GET" else 0, 1 << 16):
            if fault.stall_after is not None and start >= fault.stall_after:
                time.sleep(3600)
            part = view[start : start + (1 << 16)]
            handler.wfile.write(part)
            handler.wfile.flush()
            self.sent += len(part)
            if fault.bytes_per_second:
                time.sleep(len(part) / fault.bytes_per_second)
        if fault.cut is not None:
            handler.close_connection = True


_sums: dict[int, tuple[bytes, str, str]] = {}


def _sums_of(content: bytes) -> tuple[str, str]:
    """sha256 and git sha1; kept, since contents may be large and are asked for often."""
    if _sums.get(id(content), (None,))[0] is not content:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        _sums[id(content)] = content, hashlib.sha256(content).hexdigest(), git
    return _sums[id(content)][1:]


def is_large(name: str) -> bool:
    """Whether a file is stored beside git, and known by its sha256."""
    return name.endswith((".gguf", ".safetensors"))


def _stated(name: str, content: bytes) -> dict[str, object]:
    """What the listing says of a file's content."""
    sha256, git = _sums_of(content)
    if not is_large(name):
        return {"blobId": git}
    return {"blobId": "0" * 40, "lfs": {"sha256": sha256, "size": len(content), "pointerSize": 134}}


def _etag(name: str, content: bytes) -> str:
    sha256, git = _sums_of(content)
    return f'"{sha256 if is_large(name) else git}"'


@contextlib.contextmanager
def running_hub(repositories: Mapping[str, Mapping[str, bytes]], tls: ssl.SSLContext | None = None) -> Iterator[Hub]:
    """A hub and the second server that its large files come from."""
    hub = Hub(repositories)
    with serving(hub.answer, tls) as hub.url, serving(hub.answer_cdn) as hub.cdn:
        yield hub
