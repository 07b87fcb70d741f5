"""One HTTP request and its answer over asyncio's streams, for questions that are few: a connection for each.

A client library of its own would cost a process that only asks now and then more memory than all of its other work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .parsing import AnswerParser

_CONNECT_SECONDS = 5.0
_READ_BYTES = 65_536
_LARGEST_BYTES = 64 << 20
_LARGEST_LINE_BYTES = 8 << 20
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_BREAKS = re.compile(r"[\r\n\0]")


class Unreachable(ConnectionError):
    """No connection came about; the cause is the reason."""


class HttpAnswer:
    """An answer whose head has come, and its body, to be read once.

    TimeoutError where it is silent for too long, ConnectionError where it breaks off or is no HTTP.
    """

    def __init__(self, reader: asyncio.StreamReader, silence_seconds: float | None) -> None:
        self._reader = reader
        self._silence_seconds = silence_seconds
        self._pieces: list[bytes] = []
        self._parser = AnswerParser(self._pieces.append)

    @property
    def status(self) -> int:
        """As HTTP numbers them."""
        return self._parser.status

    @property
    def headers(self) -> dict[str, str]:
        """By their names in lower case."""
        return self._parser.headers

    async def until_head(self) -> None:
        """Return when the head is here."""
        while not self._parser.has_head:
            await self._receive()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while True:
            pieces = self._pieces[:]
            self._pieces.clear()
            for piece in pieces:
                yield piece
            if self._pieces:
                continue
            if self._parser.is_whole:
                return
            await self._receive()

    async def lines(self) -> AsyncIterator[bytes]:
        """The body's lines, each with its end. ConnectionError for one longer than any event."""
        held = bytearray()
        async for piece in self.pieces():
            *whole, rest = piece.split(b"\n")
            for line in whole:
                yield bytes(held + line) + b"\n"
                held.clear()
            held += rest
            if len(held) > _LARGEST_LINE_BYTES:
                raise ConnectionError(f"a line of its answer is longer than {_LARGEST_LINE_BYTES:,} bytes")
        if held:
            yield bytes(held)

    async def read(self, most_bytes: int = _LARGEST_BYTES) -> bytes:
        """The body, of which no more than `most_bytes` are taken: how much comes is the other side's word."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) >= most_bytes:
                break
        return bytes(body[:most_bytes])

    async def _receive(self) -> None:
        async with asyncio.timeout(self._silence_seconds):
            data = await self._reader.read(_READ_BYTES)
        if data:
            self._parser.feed(data)
        else:
            self._parser.end()


@contextlib.asynccontextmanager
async def ask(
    method: str,
    url: str,
    content: object = None,
    *,
    socket: Path | None = None,
    headers: Mapping[str, str] | None = None,
    verify_tls: bool = True,
    trusted: Sequence[Path] = (),
    seconds: float | None = None,
    silence_seconds: float | None = None,
) -> AsyncIterator[HttpAnswer]:
    """Send a request, with `content` as JSON, to a URL or through a Unix socket; the context is left by closing.

    With `trusted`, as at `client_tls`, an https server must show one of those certificates. `seconds` bound all of it,
    `silence_seconds` the time between two pieces. No redirect is followed, no proxy asked.
    Unreachable without a connection, TimeoutError, or another ConnectionError.
    """
    parts = urlsplit(url)
    async with asyncio.timeout(seconds):
        reader, writer = await _connect(parts, socket, verify_tls, trusted)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            writer.write(_request(method, target, parts.netloc.rpartition("@")[2], headers or {}, content))
            answer = HttpAnswer(reader, silence_seconds)
            await answer.until_head()
            yield answer
        finally:
            writer.transport.abort()


async def _connect(
    parts: SplitResult, socket: Path | None, verify_tls: bool, trusted: Sequence[Path]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    is_tls = parts.scheme == "https"
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            if socket is not None:
                return await asyncio.open_unix_connection(str(socket), limit=_READ_BYTES)
            port = parts.port or (443 if is_tls else 80)
            tls = client_tls(verify_tls, trusted) if is_tls else None
            return await asyncio.open_connection(parts.hostname or "", port, limit=_READ_BYTES, ssl=tls)
    except TimeoutError as error:
        raise Unreachable(f"no connection within {_CONNECT_SECONDS:g} s") from error
    except OSError as error:
        raise Unreachable(str(error) or type(error).__name__) from error


def first_certificate(file: Path) -> str:
    """The first certificate in a PEM file, which is the one that its server shows; empty where there is none. OSError
    where the file can't be read."""
    found = _CERTIFICATE.search(file.read_text(errors="replace"))
    return found[0] + "\n" if found else ""


def client_tls(verify: bool, trusted: Sequence[Path] = ()) -> ssl.SSLContext:
    """How https servers are reached: by the machine's authorities, or whoever they are where that is not asked for.

    With PEM files as `trusted` it must be one whose certificate stands first in one of them, by whatever name it is
    reached and whoever signed it. OSError where a file can't be read, or none has a certificate.
    """
    if trusted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        certificates = "".join(map(first_certificate, trusted))
        if not certificates:
            raise ssl.SSLError(1, f"no certificate is in {', '.join(map(str, trusted))}")
        context.load_verify_locations(cadata=certificates)
        # What signed it stands nowhere, and need not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _request(method: str, target: str, host: str, headers: Mapping[str, str], content: object) -> bytes:
    """The bytes of a request. ValueError where a header would break out of its line."""
    body = b"" if content is None else json.dumps(content).encode()
    lines: dict[str, Any] = {"Host": host, "Connection": "close", "Accept-Encoding": "identity", **headers}
    if content is not None:
        lines["Content-Type"] = "application/json"
    if body or method == "POST":
        lines["Content-Length"] = len(body)
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    if any(_BREAKS.search(line) for line in head):
        raise ValueError("a header may be one line only")
    return "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body
