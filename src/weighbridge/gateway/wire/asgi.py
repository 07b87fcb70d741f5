"""The way from a connection to an ASGI application: for the page, the metrics and all that is not in a hurry."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from weighbridge.openai_api import gateway_fault

from .connection import Connection, Response, header_lines
from .heads import Request

_LOG = logging.getLogger("weighbridge")
_HELD_BYTES = 64 << 10
_OURS = frozenset({b"transfer-encoding", b"connection", b"content-length", b"keep-alive"})

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class ClientLeft(OSError):
    """Nobody reads what the application sends."""


class Inlet:
    """One request to an ASGI application: its body as it comes, its answer as it is sent, both with back-pressure."""

    def __init__(self, connection: Connection, request: Request, response: Response, *, more: bool) -> None:
        self._connection = connection
        self._request = request
        self._response = response
        self._parts: deque[bytes] = deque()
        self._held_bytes = 0
        self._more = more
        self._is_handed_over = False
        self._is_lost = False
        self._arrival = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._length: int | None = None
        self._sent_bytes = 0
        self._start: Message | None = None
        response.writer = self
        if response.is_paused:
            self._may_write.clear()

    async def run(self, app: AsgiApp) -> None:
        """Have the application answer. What it leaves undone becomes an error, or a visible cut."""
        try:
            await app(self._scope(), self._receive, self._send)
        except Exception:
            if not self._is_lost:
                _LOG.exception("a fault of the gateway")
        if not self._response.is_over:
            self._response.error(gateway_fault())

    # What the connection calls.

    def feed(self, data: bytes, *, more: bool) -> None:
        """A piece of the body has come."""
        if data:
            self._parts.append(data)
            self._held_bytes += len(data)
        self._more = more
        if self.is_full and more:
            self._connection.transport.pause_reading()
        self._arrival.set()

    @property
    def is_full(self) -> bool:
        """Whether the client is kept waiting because the application does not take what has come."""
        return self._held_bytes > _HELD_BYTES

    def gone(self) -> None:
        """The client has left."""
        self._is_lost = True
        self._arrival.set()
        self._may_write.set()

    def pause(self) -> None:
        """The client reads too slowly."""
        self._may_write.clear()

    def resume(self) -> None:
        """It has caught up."""
        self._may_write.set()

    # What the application calls.

    async def _receive(self) -> Message:
        while True:
            if self._is_lost or self._response.is_over:
                return {"type": "http.disconnect"}
            if self._parts or not (self._more or self._is_handed_over):
                body = b"".join(self._parts)
                if self.is_full:
                    self._connection.transport.resume_reading()
                self._parts.clear()
                self._held_bytes = 0
                self._is_handed_over = not self._more
                return {"type": "http.request", "body": body, "more_body": self._more}
            self._arrival.clear()
            await self._arrival.wait()

    async def _send(self, message: Message) -> None:
        if self._is_lost:
            raise ClientLeft("the client has left")
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            return
        body, more = bytes(message.get("body", b"")), message.get("more_body", False)
        self._sent_bytes += len(body)
        if self._start is not None:
            self._begin(self._start, body, more=more)
            self._start = None
        else:
            self._response.write(body)
        if not more:
            self._end()
        elif not self._may_write.is_set():
            await self._may_write.wait()

    def _begin(self, start: Message, body: bytes, *, more: bool) -> None:
        headers = [(bytes(name).lower(), bytes(value)) for name, value in start.get("headers", ())]
        length = dict(headers).get(b"content-length")
        self._length = int(length) if length is not None else None if more else len(body)
        lines = header_lines((name, value) for name, value in headers if name not in _OURS)
        self._response.begin(start["status"], lines, self._length, body)

    def _end(self) -> None:
        bodiless = self._request.method == b"HEAD" or self._response.status in (204, 304)
        if self._length is not None and self._sent_bytes != self._length and not bodiless:
            _LOG.error("an answer of %d bytes was announced as %d", self._sent_bytes, self._length)
            self._response.cut()
            return
        self._response.end()
        self._arrival.set()

    def _scope(self) -> dict[str, Any]:
        request, transport = self._request, self._connection.transport
        path, _, query = request.target.partition(b"?")
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": f"1.{request.minor_version}",
            "method": request.method.decode("ascii"),
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": request.headers,
            "client": tuple(client[:2]) if isinstance(client, tuple) else None,
            "server": tuple(server[:2]) if isinstance(server, tuple) else None,
            "state": {},
        }
