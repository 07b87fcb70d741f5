"""The engine's side: kept connections to one endpoint, over TCP or a Unix socket, and one exchange on each at a time.

An exchange is ended by closing its connection: that is how every engine learns that nobody waits any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, cast

from .chunks import BadChunks, Chunked
from .connection import header_lines
from .heads import AnswerHead, BadHead, read_answer, read_plain_answer
from .limits import UpstreamLimits
from .quick import Line

_LOG = logging.getLogger("weighbridge")
_JOINED_BYTES = 64 << 10
# Provisional answers (100 to 199) that may come at once before the one that counts.
_MOST_PROVISIONAL = 32
_IDLE_READ_BYTES = 64 << 10

FailureKind = Literal["unreachable", "exhausted", "closed", "garbage", "timeout", "cut"]
# It is this machine that has nothing left for one more connection; of the engine nothing is known.
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange did not end well.

    `unreachable`: no connection came about, so the engine knows of nothing; `exhausted`: none could be had, for this
    process has as many files open as it may; `closed`: it ended the connection before
    it answered; `garbage`: it does not speak HTTP; `timeout`: it was silent for too long; `cut`: it ended in the midst
    of its answer.
    """

    kind: FailureKind
    detail: str


class Receiver(Protocol):
    """Takes one answer. The calls come in this order; after `failed` or `end` there is none."""

    def head(self, head: AnswerHead, body: bytes, framed: bytes | None) -> None:
        """Status, headers, and what has come of the body; `framed` is that in its whole chunks, if so it came."""

    def body(self, body: bytes, framed: bytes | None) -> None:
        """More of the body."""

    def end(self) -> None:
        """The answer is complete."""

    def failed(self, failure: Failure) -> None:
        """It ended, before the head or after it."""


# What a line reads. Plain numbers, for looking up an enum's member costs as much as a call.
_NOTHING: Final = 0
_HEAD: Final = 1
_CHUNKS: Final = 2
_LENGTH: Final = 3
_REST: Final = 4
"""A body that ends with the connection."""


class Exchange:
    """One request on its way, and the answer to it."""

    __slots__ = ("_connecting", "_head_only", "_is_paused", "_line", "_parts", "_upstream", "is_over", "receiver")

    def __init__(self, upstream: Upstream, parts: Sequence[bytes], receiver: Receiver, *, head_only: bool) -> None:
        self._upstream = upstream
        self._parts = parts
        self._head_only = head_only
        self._line: _Line | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_paused = False
        self.receiver = receiver
        self.is_over = False

    def cancel(self) -> None:
        """Nobody waits any more: the engine's connection is closed at once, and the receiver hears nothing."""
        if self.is_over:
            return
        self.is_over = True
        if self._connecting is not None:
            self._connecting.cancel()
        line, self._line = self._line, None
        if line is not None:
            line.drop()

    def pause(self) -> None:
        """Read no more for now: the client has not taken what it has."""
        self._is_paused = True
        if self._line is not None:
            self._line.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        if self._line is not None:
            self._line.transport.resume_reading()

    def _fail(self, kind: FailureKind, detail: str) -> None:
        if self.is_over:
            return
        self.is_over = True
        line, self._line = self._line, None
        if line is not None:
            line.drop()
        self.receiver.failed(Failure(kind, detail))


class _Line(Line, asyncio.Protocol):
    """One connection to the engine. Plain requests and answers pass it by (plain.c)."""

    __slots__ = (
        "_chunked",
        "_head",
        "_left",
        "_pending",
        "_reads",
        "_unsent",
        "_upstream",
        "exchange",
        "reads",
        "seen_reads",
        "seen_since",
    )

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._reads = _NOTHING
        self._pending = b""
        self._chunked: Chunked | None = None
        self._left = 0
        self._unsent: Iterator[bytes] | None = None
        """What is left to send of a long request."""
        self._head: AnswerHead | None = None
        self.exchange: Exchange | None = None
        self.idle_since = 0.0
        self.is_used = False
        """Whether it has served before, so that the engine may be closing it at this very moment."""
        self.reads = 0
        self.seen_reads = 0
        self.seen_since = 0.0
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The engine has taken the connection."""
        self.transport = cast("asyncio.Transport", transport)
        # It has no request yet, and must not be swept away as one that nobody has used for long.
        self.idle_since = self._upstream.clock()
        self._upstream.lines.add(self)

    def carry(self, exchange: Exchange) -> None:
        """Send a request, and read the answer to it."""
        self.go_on(exchange)
        parts = exchange._parts
        if len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.write(parts[0])
            self._unsent = iter(parts[1:])
            self._send_on(exchange)
        if exchange._is_paused:
            self.transport.pause_reading()

    def go_on(self, exchange: Exchange) -> None:
        """Read the answer to a request that was sent."""
        self.exchange = exchange
        exchange._line = self
        self._reads = _HEAD
        self._pending = b""
        self.reads = 0
        self.seen_reads = -1

    def take_over(self) -> None:
        """Have a plain request that it carries go on here."""
        if self.client is not None:
            self.client.ways.owner.take_over(self)

    def _send_on(self, exchange: Exchange) -> None:
        """Send the next piece of a long request; everybody else has a turn between two, for the kernel takes megabytes
        at once, and copies them meanwhile."""
        if self.exchange is not exchange or self._unsent is None:
            return
        part = next(self._unsent, None)
        if part is None:
            self._unsent = None
            return
        self.transport.write(part)
        self._upstream.call_soon(self._send_on, exchange)

    def drop(self) -> None:
        """Close at once."""
        self.exchange = None
        self._reads = _NOTHING
        self.transport.abort()

    def received(self, data: bytes) -> None:
        """Bytes have come, and are not a plain answer to a plain request."""
        if self.client is not None:
            self.take_over()
        exchange = self.exchange
        if exchange is None:
            # An engine that speaks unasked: whatever it says would be taken for the next request's answer.
            self.transport.abort()
            return
        self.reads += 1
        try:
            self._read(exchange, data)
        except (BadHead, BadChunks) as error:
            exchange._fail("garbage", str(error))
        except Exception:
            _LOG.exception("a fault of the gateway")
            exchange._fail("cut", "the gateway has a fault; its log tells more")

    def _read(self, exchange: Exchange, data: bytes) -> None:
        reads = self._reads
        if reads is _CHUNKS:
            chunked = self._chunked
            assert chunked is not None
            body = chunked.feed(data)
            if body:
                exchange.receiver.body(body, chunked.framed)
            if chunked.is_done:
                self._end(exchange, clean=not chunked.rest)
        elif reads is _HEAD:
            self._read_head(exchange, self._pending + data if self._pending else data)
        elif reads is _LENGTH:
            left = self._left = self._left - len(data)
            if left > 0:
                exchange.receiver.body(data, None)
                return
            exchange.receiver.body(data[:left] if left else data, None)
            self._end(exchange, clean=not left)
        else:
            exchange.receiver.body(data, None)

    def _read_head(self, exchange: Exchange, data: bytes) -> None:
        for _ in range(_MOST_PROVISIONAL):
            plain = None if exchange._head_only else read_plain_answer(data)
            if plain is None:
                end = data.find(b"\r\n\r\n") + 4
                if end < 4:
                    if len(data) > self._upstream.limits.head_bytes or not data.startswith(b"HTTP/1."[: len(data)]):
                        raise BadHead("what it says is no HTTP")
                    self._pending = data
                    return
                head = read_answer(data[:end], to_head=exchange._head_only)
            else:
                end, head = plain
            self._head = head
            self._pending = b""
            data = data[end:]
            if head.status >= 200:
                break
            if not data:
                return
        else:
            raise BadHead("it announces an answer again and again")
        if head.is_chunked:
            self._reads = _CHUNKS
            chunked = self._chunked = Chunked()
            body = chunked.feed(data) if data else b""
            exchange.receiver.head(head, body, chunked.framed)
            if chunked.is_done:
                self._end(exchange, clean=not chunked.rest)
        elif head.length is None:
            self._reads = _REST
            exchange.receiver.head(head, data, None)
        else:
            self._reads = _LENGTH
            left = self._left = head.length - len(data)
            exchange.receiver.head(head, data[:left] if left < 0 else data, None)
            if left <= 0:
                self._end(exchange, clean=not left)

    def _end(self, exchange: Exchange, *, clean: bool) -> None:
        if exchange.is_over:
            # Cancelled from within: nobody wanted the last piece.
            return
        head = self._head
        can_keep = clean and head is not None and head.can_keep and not self.transport.is_closing()
        self.exchange = None
        self._reads = _NOTHING
        exchange.is_over = True
        exchange._line = None
        if can_keep and self._unsent is None and not self.transport.get_write_buffer_size():
            if exchange._is_paused:
                self.transport.resume_reading()
            self.is_used = True
            self._upstream.keep(self)
        else:
            self.transport.abort()
        exchange.receiver.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self.take_over()
        self._upstream.lost(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None or exchange.is_over:
            return
        exchange._line = None
        if self._reads is _HEAD:
            if self.is_used and not self.reads:
                # It was being closed while the request was on its way: nothing came back, so nothing was begun.
                self._upstream.connect(exchange)
            else:
                exchange._fail("closed", "it ended the connection before it answered")
        elif self._reads is _REST and exc is None:
            self._end(exchange, clean=False)
        else:
            exchange._fail("cut", "it ended the connection in the midst of its answer")

    def check(self, now: float) -> None:
        """Look at the times."""
        self.take_over()
        exchange, limits = self.exchange, self._upstream.limits
        if exchange is None:
            if now - self.idle_since > limits.keep_seconds:
                self.transport.abort()
            return
        if exchange._is_paused or self.reads != self.seen_reads:
            # No piece asks for the time: it counts from the next look at it.
            self.seen_reads, self.seen_since = self.reads, now
            return
        most = limits.silence_seconds if self.reads else limits.first_byte_seconds
        if now - self.seen_since > most:
            exchange._fail("timeout", f"it has been silent for {now - self.seen_since:.0f} s")


class Upstream:
    """One endpoint: `address` is a host and a port, or the path of a Unix socket; with `tls`, through that.

    `headers` go with every request: the endpoint's own key, if it wants one; and a Host, unless each request brings
    its own (`names_host`). To be used in one running event loop, and closed by `close`.
    """

    def __init__(
        self,
        address: tuple[str, int] | Path,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        limits: UpstreamLimits | None = None,
        tls: ssl.SSLContext | None = None,
        names_host: bool = True,
    ) -> None:
        self._tls = tls
        self.address = address
        self.limits = limits or UpstreamLimits()
        host = b"localhost" if isinstance(address, Path) else _authority(*address, 443 if tls else 80)
        self.headers = header_lines(((b"host", host), *headers) if names_host else headers)
        self.kept: list[_Line] = []
        """Connections that serve nobody now, the last used at the end."""
        self.lines: set[_Line] = set()
        self._connecting: set[Exchange] = set()
        self.connections_made = 0
        self._loop = asyncio.get_running_loop()
        self.clock: Callable[[], float] = self._loop.time
        self.call_soon = self._loop.call_soon
        self._sweeping = self._loop.call_later(self.limits.sweep_seconds, self._sweep)
        self._is_closed = False

    def start(
        self,
        receiver: Receiver,
        target: bytes,
        body: Sequence[bytes] = (),
        *,
        method: bytes = b"POST",
        headers: bytes = b"",
    ) -> Exchange:
        """Send a request; `headers` as by `header_lines`, without Host and Content-Length."""
        whole = body[0] if len(body) == 1 else b"" if sum(map(len, body)) >= _JOINED_BYTES else b"".join(body)
        length = len(whole) or sum(map(len, body))
        framing = b"content-length: %d\r\n" % length if body or method == b"POST" else b""
        joined = whole if length < _JOINED_BYTES else b""
        head = b"%b %b HTTP/1.1\r\n%b%b%b\r\n%b" % (method, target, self.headers, headers, framing, joined)
        parts = [head] if length < _JOINED_BYTES else [head, *body]
        exchange = Exchange(self, parts, receiver, head_only=method == b"HEAD")
        kept = self.kept
        while kept:
            line = kept.pop()
            if not line.transport.is_closing():
                line.carry(exchange)
                return exchange
        self.connect(exchange)
        return exchange

    async def fetch(
        self,
        target: bytes,
        body: Sequence[bytes] = (),
        *,
        method: bytes = b"GET",
        seconds: float,
        most_bytes: int = 16 << 20,
    ) -> tuple[AnswerHead, bytes]:
        """A whole answer, for questions of the gateway's own. TimeoutError; ConnectionError for every other failure."""
        collector = _Collector(most_bytes)
        json_type = b"content-type: application/json\r\n" if body else b""
        exchange = self.start(collector, target, body, method=method, headers=json_type)
        try:
            async with asyncio.timeout(seconds):
                return await collector.answer
        finally:
            exchange.cancel()

    def go_on(self, line: Line, sent: bytes, receiver: Receiver) -> Exchange:
        """Have a receiver hear the answer to a request that a connection of this endpoint has sent already."""
        assert isinstance(line, _Line)
        exchange = Exchange(self, [sent], receiver, head_only=False)
        line.go_on(exchange)
        return exchange

    def connect(self, exchange: Exchange) -> None:
        """Carry an exchange over a new connection."""
        self._connecting.add(exchange)
        task = exchange._connecting = self._loop.create_task(self._connect(exchange))
        task.add_done_callback(lambda _: self._connecting.discard(exchange))

    async def _connect(self, exchange: Exchange) -> None:
        address = self.address
        try:
            async with asyncio.timeout(self.limits.connect_seconds):
                if isinstance(address, Path):
                    _, line = await self._loop.create_unix_connection(lambda: _Line(self), str(address))
                else:
                    _, line = await self._loop.create_connection(lambda: _Line(self), *address, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            exchange._connecting = None
            if error.errno in _EXHAUSTED:
                exchange._fail("exhausted", error.strerror or str(error))
            else:
                exchange._fail("unreachable", f"it takes no connection: {error or 'it does not answer'}")
            return
        exchange._connecting = None
        self.connections_made += 1
        if exchange.is_over or self._is_closed:
            line.transport.abort()
            return
        line.carry(exchange)

    def running(self) -> set[Exchange]:
        """The exchanges that are on their way."""
        for line in self.lines:
            line.take_over()
        carried = {line.exchange for line in self.lines if line.exchange is not None}
        return {exchange for exchange in carried | self._connecting if not exchange.is_over}

    def keep(self, line: _Line) -> None:
        """Keep a connection for the next request, the last used first."""
        if len(self.kept) >= self.limits.kept_connections or self._is_closed:
            line.transport.abort()
            return
        line.idle_since = self.clock()
        self.kept.append(line)

    def lost(self, line: _Line) -> None:
        """A connection is no more."""
        self.lines.discard(line)
        if line.exchange is None:
            with contextlib.suppress(ValueError):
                self.kept.remove(line)

    def _sweep(self) -> None:
        now = self.clock()
        for line in tuple(self.lines):
            line.check(now)
        self._sweeping = self._loop.call_later(self.limits.sweep_seconds, self._sweep)

    def close(self) -> None:
        """Close every connection; what is running fails as cut or closed."""
        self._is_closed = True
        self._sweeping.cancel()
        for exchange in self.running():
            if exchange._connecting is not None:
                exchange._connecting.cancel()
            exchange._fail("closed", "the gateway is closing")
        for line in tuple(self.lines):
            line.transport.abort()


class _Collector:
    """Takes a whole answer for `fetch`."""

    def __init__(self, most_bytes: int) -> None:
        self.answer: asyncio.Future[tuple[AnswerHead, bytes]] = asyncio.get_running_loop().create_future()
        self._most_bytes = most_bytes
        self._head: AnswerHead | None = None
        self._body = bytearray()

    def head(self, head: AnswerHead, body: bytes, framed: bytes | None) -> None:
        self._head = head
        self.body(body, framed)

    def body(self, body: bytes, framed: bytes | None) -> None:
        self._body += body
        if len(self._body) > self._most_bytes and not self.answer.done():
            self.answer.set_exception(ConnectionError(f"the answer is longer than {self._most_bytes:,} bytes"))

    def end(self) -> None:
        if not self.answer.done():
            assert self._head is not None
            self.answer.set_result((self._head, bytes(self._body)))

    def failed(self, failure: Failure) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(failure.detail))


def _authority(host: str, port: int, usual_port: int) -> bytes:
    """The value of Host; the scheme's own port is left away, as some servers know their name only so."""
    name = b"[%b]" % host.encode() if ":" in host else host.encode("idna")
    return name if port == usual_port else b"%b:%d" % (name, port)
