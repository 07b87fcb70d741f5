"""A lean HTTP/1.1 client for many like requests: one connection a worker, kept open, parsed by httptools.

It costs about a tenth of what general clients do, so that the harness does not disturb what it measures.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httptools

from weighbridge.errors import BadSetting, EvalStopped
from weighbridge.openai_api import client_tls

_LARGEST_BODY_BYTES = 64 << 20
_CONNECT_SECONDS = 10.0


class ConnectionLost(Exception):
    """The server did not take the connection, or closed it before the answer was whole; `begun`: in its midst."""

    def __init__(self, message: str, *, begun: bool = False) -> None:
        super().__init__(message)
        self.begun = begun


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model's requests go: `base_url` ends before `/v1`."""

    base_url: str
    model: str
    """The name that requests say."""
    api_key: str = field(default="", repr=False)
    socket: Path | None = None
    """Connect through this Unix socket instead."""
    verify_tls: bool = True
    name: str = ""
    """What reports call the model; empty: `model`."""
    origin: str = ""
    """What tells this model from others of its name: by it, a run finds its log again. Empty: `base_url`."""

    @property
    def identity(self) -> str:
        """Where it is from."""
        return self.origin or self.base_url

    @property
    def label(self) -> str:
        """What reports call the model."""
        return self.name or self.model


@dataclass(slots=True)
class Response:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes
    seconds: float
    """From the request to the last byte."""


class _Reading:
    """One answer as httptools tells it."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.size = 0
        self.on_piece: Callable[[bytes], None] | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > _LARGEST_BODY_BYTES:
            raise ConnectionLost(f"the answer is larger than {_LARGEST_BODY_BYTES:,} bytes")
        self.parts.append(piece)
        if self.on_piece is not None:
            self.on_piece(piece)

    def on_message_complete(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Wire(asyncio.Protocol):
    """The bytes of one connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.parser: httptools.HttpResponseParser | None = None
        self.reading: _Reading | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.reading is None:
            # Words that nobody asked for.
            self.close()
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, ConnectionLost) as error:
            self._fail(str(error))
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        reading = self.reading
        if reading is not None and "content-length" not in reading.headers and self._ends_with_connection():
            reading.on_message_complete()
        self._fail(str(error) if error else "the server closed the connection")

    def _ends_with_connection(self) -> bool:
        """Whether the answer has neither a length nor chunks: then the end of the connection is its end."""
        reading = self.reading
        return bool(reading and reading.headers and "chunked" not in reading.headers.get("transfer-encoding", ""))

    def _fail(self, why: str) -> None:
        if self.reading is not None and not self.reading.done.done():
            self.reading.done.set_exception(ConnectionLost(why, begun=bool(self.reading.headers)))

    def close(self) -> None:
        """Leave."""
        if self.transport is not None:
            self.transport.close()
            self.transport = None


class Connection:
    """One connection to a target, made anew where it was lost; one request at a time."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting(f"{target.base_url} is no address of a server", hint="like http://127.0.0.1:8642")
        self._target = target
        self._host, self._secure = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/")
        key = f"authorization: Bearer {target.api_key}\r\n" if target.api_key else ""
        self._head = f"host: {parts.netloc.rpartition('@')[2]}\r\ncontent-type: application/json\r\n{key}"
        self._wire: _Wire | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        timeout: float,
        on_piece: Callable[[bytes], None] | None = None,
    ) -> Response:
        """The whole answer; `on_piece` sees its body as it comes. ConnectionLost or TimeoutError where none came,
        EvalStopped where the server's certificate is not trusted."""
        async with asyncio.timeout(timeout):
            is_fresh = not self._is_open
            try:
                return await self._exchange(method, path, body, on_piece)
            except ConnectionLost as error:
                if is_fresh or error.begun:
                    raise
            # The server had closed it while nobody asked: that is no failure of this request.
            return await self._exchange(method, path, body, on_piece)

    async def _exchange(
        self, method: str, path: str, body: bytes, on_piece: Callable[[bytes], None] | None
    ) -> Response:
        loop = asyncio.get_running_loop()
        wire = await self._connected()
        reading = _Reading(loop.create_future())
        reading.on_piece = on_piece
        wire.reading, wire.parser = reading, httptools.HttpResponseParser(reading)
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n"
        begun = loop.time()
        assert wire.transport is not None
        wire.transport.write(head.encode("latin-1") + body)
        try:
            await reading.done
        except BaseException:
            self.close()
            raise
        seconds = loop.time() - begun
        response = Response(wire.parser.get_status_code(), reading.headers, b"".join(reading.parts), seconds)
        if not wire.parser.should_keep_alive():
            self.close()
        wire.reading = wire.parser = None
        return response

    @property
    def _is_open(self) -> bool:
        return self._wire is not None and self._wire.transport is not None and not self._wire.transport.is_closing()

    async def _connected(self) -> _Wire:
        if self._is_open and self._wire is not None:
            return self._wire
        loop = asyncio.get_running_loop()
        context = client_tls(self._target.verify_tls) if self._secure else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                if self._target.socket is not None:
                    _, self._wire = await loop.create_unix_connection(_Wire, str(self._target.socket))
                else:
                    _, self._wire = await loop.create_connection(_Wire, self._host, self._port, ssl=context)
        except ssl.SSLCertVerificationError as error:
            raise EvalStopped(
                f"the certificate of {self._target.base_url} is not trusted: {error.verify_message}",
                hint="trust its authority: SSL_CERT_FILE",
            ) from error
        except (OSError, TimeoutError) as error:
            raise ConnectionLost(
                f"nothing answers at {self._target.base_url}: {error or 'it took too long'}"
            ) from error
        return self._wire

    def close(self) -> None:
        """Give it back."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
