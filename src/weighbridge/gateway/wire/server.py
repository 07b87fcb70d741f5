"""Listening, and the end of it: sockets, TLS, and a drain that lets running answers finish."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from weighbridge.locks import locked
from weighbridge.openai_api import ApiError

from .asgi import AsgiApp, Inlet
from .connection import Connection, Response
from .cors import Cors
from .heads import Request, reads_plain
from .limits import Limits

Work = Callable[[Request, Response], None]
"""Answers one request whose body is whole: at once, or later through the response. ApiError becomes the answer."""
Route = Callable[[Request], Work | None]
"""Who answers, decided when the head is here and the body perhaps not: None for the ASGI application.

ApiError refuses the request before its body is read.
"""
Refused = Callable[[Request | None, ApiError], bytes]
"""Told of every request that is answered with an error before a handler had it, or that a handler refused by raising
ApiError; returns more lines for the answer's head, as by `header_lines`. None where not even a head could be read."""


class Plain(Protocol):
    """Who knows how plain requests go: those that pass the route by."""

    ways: Any
    """What plain.c makes of that."""

    def settle(self) -> None:
        """Count all that has passed so far."""


_BACKLOG = 4096
_KNOCK_SECONDS = 1.0


def _no_lines(request: Request | None, error: ApiError) -> bytes:
    return b""


class Server:
    """What listens, and the connections that are open; made by `serve`."""

    def __init__(
        self, route: Route, asgi_app: AsgiApp, limits: Limits, refused: Refused = _no_lines, plain: Plain | None = None
    ) -> None:
        self.route = self._route = route
        self.refused = refused
        self.limits = limits
        self.reads_plain = reads_plain(limits)
        self._plain = plain if self.reads_plain else None
        self.ways = None if self._plain is None else self._plain.ways
        """By which plain requests go."""
        self.cors: Cors | None = None
        self.connections: set[Connection] = set()
        self.held_bytes = 0
        """Of bodies that came after their heads, until their requests are answered."""
        self.is_draining = False
        self._asgi_app = asgi_app
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.call_soon = self._loop.call_soon
        self._listening: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._sweeping = self._loop.call_later(limits.sweep_seconds, self._sweep)
        self.let_in(None)

    def let_in(self, cors: Cors | None) -> None:
        """Say which pages in a browser may call, from now on; None: none."""
        self.cors = cors
        self.route = self._route if cors is None else self._route_for_pages
        if self._plain is None or self.is_draining:
            return
        if cors is None:
            self._plain.ways.open(self.limits.body_bytes, self.limits.idle_seconds)
        else:
            self._plain.ways.close()

    def _route_for_pages(self, request: Request) -> Work | None:
        """A browser asks before it sends a request, and has no key then."""
        assert self.cors is not None
        lines = self.cors.preflight(request)
        if lines is None:
            return self._route(request)
        return lambda request, response: response.send(204, lines)

    async def listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        """Take connections from a bound socket, until what is returned is closed."""
        shake_seconds = self.limits.head_seconds if tls else None
        options: dict[str, Any] = {"sock": listener, "ssl": tls, "ssl_handshake_timeout": shake_seconds}
        make: Any = self._loop.create_server
        if listener.family == socket.AF_UNIX:
            make = self._loop.create_unix_server
            if sys.version_info >= (3, 13):
                # It is removed by whoever made it: others may listen at it too.
                options["cleanup_socket"] = False
        made: asyncio.Server = await make(lambda: Connection(self), backlog=_BACKLOG, **options)
        self._listening.append(made)
        return made

    def bridge(self, connection: Connection, request: Request, response: Response, *, more: bool) -> Inlet:
        """Have the ASGI application answer."""
        if self._plain is not None:
            self._plain.settle()
        inlet = Inlet(connection, request, response, more=more)
        task = self._loop.create_task(inlet.run(self._asgi_app))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return inlet

    def lost(self, connection: Connection) -> None:
        """A connection is no more."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _sweep(self) -> None:
        now = self.clock()
        for connection in tuple(self.connections):
            connection.check(now)
        self._sweeping = self._loop.call_later(self.limits.sweep_seconds, self._sweep)

    async def drain(self, grace_seconds: float) -> int:
        """Take no more connections, let the running requests finish, then close; returns how many were cut off."""
        self.is_draining = True
        if self._plain is not None:
            self._plain.ways.close()
        for listening in self._listening:
            listening.close()
        for connection in tuple(self.connections):
            connection.drain()
        self._empty.clear()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._empty.wait()
        cut = len(self.connections)
        for connection in tuple(self.connections):
            connection.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sweeping.cancel()
        # The transports close in the loop's next rounds.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return cut


async def serve(
    listeners: Sequence[socket.socket],
    route: Route,
    asgi_app: AsgiApp,
    *,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    refused: Refused = _no_lines,
    plain: Plain | None = None,
) -> Server:
    """Answer the requests that come to bound sockets, in the running event loop, until `drain`."""
    server = Server(route, asgi_app, limits or Limits(), refused, plain)
    for listener in listeners:
        await server.listen(listener, tls)
    return server


def share(listener: socket.socket) -> None:
    """Have other sockets of this user listen at the same address, beside one that was bound when nobody else had it.
    OSError where the system does not do that."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def listen_tcp(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound TCP socket. With `shared`, several processes may bind the same port and the kernel spreads connections.

    OSError where the address can't be had.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def listen_unix(path: Path, *, mode: int = 0o600) -> socket.socket:
    """A bound Unix socket that only those whom `mode` names may use. One that nobody answers at any more is removed;
    OSError where somebody does, or the path can't be had."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        # Two that begin at once must not remove each other's.
        with locked(path.parent):
            if path.is_socket():
                _remove_stale(path)
            # The mode must hold from the start: between bind and chmod anyone might connect.
            before = os.umask(0o777 & ~mode)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(_KNOCK_SECONDS)
        try:
            knocking.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except TimeoutError:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def tls_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """TLS from version 1.2 on, by a PEM certificate with its chain; OSError or ssl.SSLError where it can't be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None = None) -> None:
    """Show this certificate to whoever connects from now on; as `tls_context`, and ValueError for a key that has a
    password."""
    context.load_cert_chain(certificate, key, password=_no_password)


def _no_password() -> str:
    # Else OpenSSL asks for it at the terminal, and the gateway stands still.
    raise ValueError("the key has a password")
