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

from weighbridge.errors import BadSetting, EvalStopped
from weighbridge.openai_api import AnswerParser, client_tls

_LARGEST_BODY_BYTES = 64 << 20
_CONNECT_SECONDS = 10.0


class ConnectionLost(Exception):
    """The server did not take the connection (`refused`), or closed it before the answer was whole; `begun`: in its
    midst."""

    def __init__(self, message: str, *, begun: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.begun, self.refused = begun, refused


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
    """One answer as it comes."""

    def __init__(self, done: asyncio.Future[None], on_piece: Callable[[bytes], None] | None) -> None:
        self.done = done
        self.parts: list[bytes] = []
        self.parser = AnswerParser(self._on_body)
        self._size = 0
        self._on_piece = on_piece

    def feed(self, data: bytes) -> None:
        self.parser.feed(data)
        self._look()

    def end(self) -> None:
        self.parser.end()
        self._look()

    def fail(self, why: object) -> None:
        """No more comes of it."""
        if not self.done.done():
            self.done.set_exception(ConnectionLost(str(why), begun=self.parser.has_head))

    def _look(self) -> None:
        if self.parser.is_whole and not self.done.done():
            self.done.set_result(None)

    def _on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > _LARGEST_BODY_BYTES:
            raise ConnectionError(f"the answer is larger than {_LARGEST_BODY_BYTES:,} bytes")
        self.parts.append(piece)
        if self._on_piece is not None:
            self._on_piece(piece)


class _Wire(asyncio.Protocol):
    """The bytes of one connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reading: _Reading | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.reading is None:
            # Words that nobody asked for.
            self.close()
            return
        try:
            self.reading.feed(data)
        except ConnectionError as error:
            self.reading.fail(error)
            self.close()
        except Exception as error:
            # What whoever reads the pieces cannot read: theirs to say.
            if not self.reading.done.done():
                self.reading.done.set_exception(error)
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.reading is None:
            return
        try:
            if error is not None:
                raise ConnectionError(str(error))
            self.reading.end()
        except ConnectionError as lost:
            self.reading.fail(lost)

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
        """The whole answer; `on_piece` sees its body as it comes, and what it raises is raised. ConnectionLost or
        TimeoutError where none came, EvalStopped where the server's certificate is not trusted."""
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
        wire.reading = reading = _Reading(loop.create_future(), on_piece)
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
        if not reading.parser.keeps_connection():
            self.close()
        wire.reading = None
        return Response(reading.parser.status, reading.parser.headers, b"".join(reading.parts), seconds)

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
                f"nothing answers at {self._target.base_url}: {error or 'it took too long'}", refused=True
            ) from error
        return self._wire

    def close(self) -> None:
        """Give it back."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
