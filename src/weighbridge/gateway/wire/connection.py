"""The client's side: one connection, its requests read one after the other, and each one's answer written.

A connection waits for a head, reads a body, is at work, or lingers after a refusal. What a client sends ahead
(pipelining) is kept unread until the request before it is answered, so answers keep their order and cost no memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, cast

from weighbridge.openai_api import ApiError, gateway_fault

from .chunks import BadChunks, Chunked
from .cors import Cors
from .heads import Request, read_plain_request, read_request
from .quick import Client

if TYPE_CHECKING:
    from .asgi import Inlet
    from .server import Server

_LOG = logging.getLogger("weighbridge")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(status): b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_NO_LENGTH = frozenset({204, 304})
_BLANK_LINES = re.compile(rb"(?:\r\n)+")
# The end of a head for those who take LF for the end of a line.
_BARE_END = re.compile(rb"\n\r?\n")
_NAME_BYTES = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_VALUE_BYTES = frozenset(range(0x20, 0x100)) - {0x7F} | {0x09}


# A request that is refused by its head is still read if its body is small, for then the connection can be used again.
_READ_FOR_COURTESY_BYTES = 64 << 10


# So much comes at once only where a client sends faster than it is read.
_LARGE_PIECE_BYTES = 128 << 10


# Requests sent ahead that are answered on the spot (refused, mostly), before others have a turn and answers can leave.
_MOST_AT_ONCE = 64


# What a connection is at. Plain numbers, for looking up an enum's member costs as much as a call.
_HEAD: Final = 0
"""Waits for a head."""
_BODY: Final = 1
"""Reads a body."""
_WORK: Final = 2
"""Its request is being answered."""
_LINGER: Final = 3
"""Was refused or is closing, and what still comes is thrown away."""
_OVER: Final = 4


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they stand in a head. ValueError where a name or a value could break out of its line."""
    lines = []
    for name, value in headers:
        if not name or not _NAME_BYTES.issuperset(name) or not _VALUE_BYTES.issuperset(value):
            raise ValueError(f"no header: {name!r}: {value!r}")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


class Writer(Protocol):
    """Who writes an answer, told of the client's side."""

    def gone(self) -> None:
        """The client has left before the answer's end; called once, and nothing after it."""

    def pause(self) -> None:
        """The client reads too slowly: write no more."""

    def resume(self) -> None:
        """It has caught up."""


class Response:
    """The answer to one request, written at once (`send`) or in pieces (`begin`, `write`, `end`).

    Whoever answers later than in the call that brings the request sets `writer`, to hear that the client has left or
    reads too slowly, and must heed it. After the end all calls do nothing.
    """

    __slots__ = ("_connection", "_is_bodiless", "_is_chunked", "is_over", "status", "writer")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_chunked = False
        self._is_bodiless = False
        self.is_over = False
        self.status = 0
        """0 while nothing of the answer was sent."""
        self.writer: Writer | None = None

    @property
    def is_paused(self) -> bool:
        """Whether so much waits to be sent that no more should be written."""
        return self._connection.is_write_paused

    def send(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """A whole answer; `headers` as by `header_lines`."""
        if not self.is_over:
            self.begin(status, headers, len(body), body)
            self.end()

    def error(self, error: ApiError, headers: bytes = b"") -> None:
        """A whole answer that is an error; after the answer has begun, the cut of it."""
        if self.status:
            self.cut()
            return
        if error.retry_after_seconds:
            headers += b"retry-after: %d\r\n" % error.retry_after_seconds
        self.send(error.status, b"content-type: application/json\r\n" + headers, error.body())

    def begin(
        self,
        status: int,
        headers: bytes,
        length: int | None,
        body: bytes = b"",
        framed: bytes | None = None,
        *,
        has_length: bool = False,
    ) -> None:
        """Status, headers and the body's first bytes.

        Without a length the body is chunked, or for HTTP/1.0 ended by closing; `has_length` where the headers tell the
        length themselves. `framed` is what `body` was unpacked
        from: whole chunks, sent as they are where the answer is chunked too.
        """
        if self.is_over or self.status:
            return
        connection = self._connection
        request = connection.request
        assert request is not None
        self.status = status
        cors = connection.cors
        if cors is not None:
            headers += cors.lines(request)
        self._is_bodiless = request.method == b"HEAD" or status in _NO_LENGTH
        line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        if length is not None:
            framing = b"" if has_length or status in _NO_LENGTH else b"content-length: %d\r\n" % length
        elif request.minor_version:
            self._is_chunked = True
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b""
        closing = b"connection: close\r\n" if request.is_last or connection.is_last_answer() else b""
        if self._is_bodiless:
            body, framed = b"", None
        if body and self._is_chunked:
            body = framed or b"%x\r\n%b\r\n" % (len(body), body)
        connection.transport.write(b"%b%b%b%b\r\n%b" % (line, headers, framing, closing, body))

    def write(self, body: bytes, framed: bytes | None = None) -> None:
        """More of the body; `framed` as at `begin`."""
        if self.is_over or self._is_bodiless or not body:
            return
        if self._is_chunked:
            body = framed or b"%x\r\n%b\r\n" % (len(body), body)
        self._connection.transport.write(body)

    def end(self) -> None:
        """The answer is complete; the connection takes the next request."""
        if self.is_over:
            return
        if self._is_chunked and not self._is_bodiless:
            self._connection.transport.write(b"0\r\n\r\n")
        self.is_over = True
        self.writer = None
        self._connection.answered()

    def cut(self, last: bytes = b"") -> None:
        """End in the midst, so that the client sees it: the connection is closed without the answer's end.

        `last` is sent before, as a piece of the body: an error event in a stream.
        """
        if self.is_over:
            return
        self.write(last)
        self._leave()
        self._connection.close()

    def gone(self) -> None:
        """The client has left."""
        writer = self.writer
        self._leave()
        if writer is not None:
            writer.gone()

    def _leave(self) -> None:
        self.is_over = True
        self.writer = None


def _refusing(
    error: ApiError, refused: Callable[[Request | None, ApiError], bytes]
) -> Callable[[Request, Response], None]:
    def refuse(request: Request, response: Response) -> None:
        # Not raised: an error that is kept would keep the frames that it passed, and with them all that came.
        response.error(error, refused(request, error))

    return refuse


class Connection(Client, asyncio.Protocol):
    """One client's connection. Plain requests pass it by (plain.c), unless something odd happens to one."""

    __slots__ = (
        "_chunked",
        "_held",
        "_inlet",
        "_is_pumping",
        "_missing",
        "_responding",
        "_searched",
        "_seen",
        "_seen_since",
        "_server",
        "_taken",
        "_work",
        "request",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._at = _HEAD
        self._pending = b""
        """Bytes that came and were not read yet: part of a head, or requests sent ahead."""
        self._searched = 0
        self._is_pumping = False
        self._deadline = 0.0
        self._missing = 0
        self._held = 0
        self._taken = 0
        """Bytes of the body that came so far; while lingering, bytes thrown away."""
        self._chunked: Chunked | None = None
        self._seen = 0
        self._seen_since = 0.0
        self._inlet: Inlet | None = None
        self._responding: Response | None = None
        self._work: Callable[[Request, Response], None] | None = None
        self.request: Request | None = None
        self.is_write_paused = False
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.ways = server.ways

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.transport = cast("asyncio.Transport", transport)
        limits = self._server.limits
        self.transport.set_write_buffer_limits(limits.write_buffer_bytes)
        self._deadline = self._server.clock() + limits.head_seconds
        self._server.connections.add(self)
        if len(self._server.connections) > limits.connections:
            self._refuse(
                ApiError(503, f"{limits.connections:,} connections are open, and no more are taken", code="too_busy")
            )

    def received(self, data: bytes) -> None:
        """Bytes have come, and are not a plain request."""
        if self.line is not None:
            self.take_over()
        at = self._at
        if at is _HEAD:
            if self._pending:
                self._pending += data
            else:
                self._pending = data
                self._deadline = self._server.clock() + self._server.limits.head_seconds
            self._pump()
        elif at is _BODY:
            if len(data) >= _LARGE_PIECE_BYTES and self._inlet is None:
                self._yield()
            self._take_body(data)
            if self._pending and self._at is _HEAD:
                self._pump()
        elif at is _WORK:
            self._pending += data
            if len(self._pending) > self._server.limits.pipelined_bytes and self.request is not None:
                # Reading goes on, for only that shows the client's leaving at once.
                self.request.is_last = True
                self._pending = b""
        elif at is _LINGER:
            self._taken += len(data)
            if self._taken > self._server.limits.linger_bytes:
                self.transport.pause_reading()

    def _yield(self) -> None:
        """Read on after everybody else had a turn: the event loop would take megabytes from one client at a time."""
        self.transport.pause_reading()
        self._server.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._at < _LINGER and not self.transport.is_closing():
            self.transport.resume_reading()
            if self._pending and self._at is _HEAD and not self._is_pumping:
                self._pump()

    def eof_received(self) -> None:
        """The client has closed its side; as nearly every client closes both at once, it has left."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self.take_over()
        self._at = _OVER
        self._let_go()
        self._server.lost(self)
        self._pending = b""
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.gone()
        response, self._responding = self._responding, None
        if response is not None:
            response.gone()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self.take_over()
        self.is_write_paused = True
        self._seen_since = self._server.clock()
        self._seen = self.transport.get_write_buffer_size()
        if self._responding is not None and self._responding.writer is not None:
            self._responding.writer.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_write_paused = False
        if self._responding is not None and self._responding.writer is not None:
            self._responding.writer.resume()
        elif self._at is _HEAD:
            self._await_head()
            self.transport.resume_reading()
            if self._pending and not self._is_pumping:
                self._pump()

    def take_over(self) -> None:
        """Have a plain request that is on its way go on here."""
        if self.line is not None:
            self.ways.owner.take_over(self.line)

    def go_on(self, request: Request) -> Response:
        """Have a request answered by `received` and all that follows, which was plain until now."""
        self.request = request
        self._missing, self._chunked, self._inlet = 0, None, None
        response = self._responding = Response(self)
        return response

    # What the answer calls.

    @property
    def cors(self) -> Cors | None:
        """Which pages in a browser may call."""
        return self._server.cors

    def is_last_answer(self) -> bool:
        """Whether the connection closes after this answer though the client did not ask for that."""
        return self._server.is_draining or self._missing > 0 or self._chunked is not None

    def answered(self) -> None:
        """The answer is complete."""
        self._responding = None
        self._inlet = None
        if self._held:
            self._let_go()
        request = self.request
        if request is None or request.is_last or self._server.is_draining:
            self.close()
        elif self._missing or self._chunked is not None:
            # Answered before its body was whole: what still comes of it can't be told from a next request.
            self._linger()
        else:
            self.request = None
            self._at = _HEAD
            self._searched = 0
            self._await_head()
            if self._pending and not self._is_pumping:
                self._pump()

    def _await_head(self) -> None:
        limits = self._server.limits
        self._deadline = self._server.clock() + (limits.head_seconds if self._pending else limits.idle_seconds)

    def close(self) -> None:
        """Send what is left, and close; a client that does not take it is cut off in the end."""
        if self._at is not _OVER and self._at is not _LINGER:
            self._at = _LINGER
            self._seen_since = self._server.clock()
            self._deadline = self._seen_since + self._server.limits.write_stalled_seconds
        self._responding = None
        self._pending = b""
        self.transport.close()

    @property
    def _is_reading(self) -> bool:
        """Whether the request's body is not whole yet."""
        return self._missing > 0 or self._chunked is not None

    # Reading.

    def _pump(self) -> None:
        """Read requests from what has come, until one is at work, more bytes are needed, or answers are not taken."""
        self._is_pumping = True
        try:
            for _ in range(_MOST_AT_ONCE):
                if not self._pending or self._at is not _HEAD or self.is_write_paused or not self._take_head():
                    break
            else:
                self._yield()
        except ApiError as error:
            self._refuse(error)
        except Exception:
            _LOG.exception("a fault of the gateway")
            self._refuse(gateway_fault())
        finally:
            self._is_pumping = False
        if self.is_write_paused and self._at is _HEAD:
            # Answers to requests sent ahead would pile up here; reading goes on with writing.
            self.transport.pause_reading()

    def _take_head(self) -> bool:
        """Read one head, and what is here of its body; False where more bytes are needed."""
        data = self._pending
        if data[:2] == b"\r\n":
            # Some clients send one line too many after a body. All at once, or many would be copied once for each.
            blank = _BLANK_LINES.match(data)
            self._pending = data[blank.end() :] if blank else data
            return True
        # Once, or a head that comes byte by byte would be read anew with each.
        if self._server.reads_plain and not self._searched:
            plain = read_plain_request(data)
            if plain is not None:
                end, request = plain
                self._pending = data[end:]
                self._begin(request)
                return True
        limits = self._server.limits
        end = data.find(b"\r\n\r\n", self._searched)
        if end < 0 or end > limits.head_bytes:
            if len(data) > limits.head_bytes:
                too_long = data.find(b"\r\n", 0, limits.target_bytes + 20) < 0
                what = "request's target" if too_long else "request's head"
                most = limits.target_bytes if too_long else limits.head_bytes
                raise ApiError(414 if too_long else 431, f"the {what} is longer than {most:,} bytes", code="bad_http")
            if data[0] < 0x21 and data != b"\r":
                raise ApiError(400, "the request is not HTTP", code="bad_http")
            if _BARE_END.search(data, self._searched):
                # Else it would be waited for, until its time is over. Where a head ends is not guessed at.
                what = "a line of the request's head ends by LF alone, not by CR and LF"
                raise ApiError(400, what, code="bad_http")
            self._searched = max(0, len(data) - 3)
            return False
        end += 4
        self._searched = 0
        if end == len(data):
            self._pending = b""
            request = read_request(data, limits)
        else:
            self._pending = data[end:]
            request = read_request(data[:end], limits)
        self._begin(request)
        return True

    def _begin(self, request: Request) -> None:
        self.request = request
        self._at = _BODY
        if request.length > self._server.limits.body_bytes:
            raise self._too_large(request.length)
        try:
            self._work = self._server.route(request)
        except ApiError as error:
            if request.is_chunked or request.length > _READ_FOR_COURTESY_BYTES:
                raise
            self._work = _refusing(error.with_traceback(None), self._server.refused)
        self._taken = 0
        length, pending = request.length, self._pending
        if self._work is None or request.is_chunked or len(pending) < length:
            self._missing = length
            self._chunked = Chunked() if request.is_chunked else None
            self._await_body(request)
            return
        # The usual case: the body is here with its head.
        self._missing = 0
        if length:
            body = pending if len(pending) == length else pending[:length]
            if request.folding is None:
                request.parts.append(body)
            else:
                request.folding.feed(body)
            self._pending = pending[length:]
        self._answer()

    def _await_body(self, request: Request) -> None:
        if not self._is_reading:
            self._answer()
            return
        expected = request.values.get(b"expect")
        if expected is not None and request.minor_version:
            if expected.lower() != b"100-continue":
                raise ApiError(417, "no expectation but 100-continue is met", code="bad_http")
            if not self._pending:
                self.transport.write(_CONTINUE)
        self._seen, self._seen_since = 0, self._server.clock()
        if self._work is None:
            self._answer()
        data, self._pending = self._pending, b""
        if data:
            self._take_body(data)

    def _take_body(self, data: bytes) -> None:
        """Take a piece of the body; what follows the body becomes pending."""
        request = self.request
        assert request is not None
        if self._chunked is None:
            if len(data) > self._missing:
                self._pending = data[self._missing :]
                data = data[: self._missing]
            self._missing -= len(data)
            self._taken += len(data)
        else:
            try:
                data = self._chunked.feed(data)
            except BadChunks as error:
                self._refuse(ApiError(400, f"the body is not chunked as it should: {error}", code="bad_http"))
                return
            self._taken += len(data)
            if self._taken > self._server.limits.body_bytes:
                self._refuse(self._too_large(self._taken))
                return
            if self._chunked.is_done:
                self._pending = self._chunked.rest
                self._chunked = None
        if self._inlet is not None:
            self._inlet.feed(data, more=self._is_reading)
            if not self._is_reading:
                self._at = _WORK
            return
        if data:
            if request.folding is None:
                request.parts.append(data)
            else:
                request.folding.feed(data)
        if not self._hold(len(data)):
            return
        if not self._is_reading:
            self._answer()

    def _hold(self, count: int) -> bool:
        """Whether there is room for so much more of a body; else the request is refused."""
        server, limits = self._server, self._server.limits
        self._held += count
        server.held_bytes += count
        if server.held_bytes <= limits.bodies_bytes:
            return True
        what = f"the bodies that come have more than {limits.bodies_bytes:,} bytes together"
        self._refuse(ApiError(503, what, kind="server_error", code="too_busy", retry_after_seconds=1))
        return False

    def _let_go(self) -> None:
        self._server.held_bytes -= self._held
        self._held = 0

    def _answer(self) -> None:
        """Hand the request over."""
        request, work = self.request, self._work
        assert request is not None
        response = self._responding = Response(self)
        if work is None:
            self._at = _BODY if self._is_reading else _WORK
            self._inlet = self._server.bridge(self, request, response, more=self._is_reading)
            return
        self._at = _WORK
        try:
            work(request, response)
        except ApiError as error:
            response.error(error, self._server.refused(request, error))
        except Exception:
            _LOG.exception("a fault of the gateway")
            fault = gateway_fault()
            response.error(fault, self._server.refused(request, fault))

    def _too_large(self, size: int) -> ApiError:
        most = self._server.limits.body_bytes
        return ApiError(413, f"the body has {size:,} bytes or more, at most {most:,} are taken", code="body_too_large")

    # Refusing, and time-outs.

    def _refuse(self, error: ApiError) -> None:
        """Answer a request that can't be read to its end, and let the client go."""
        if self._at is _OVER or self._at is _LINGER:
            return
        self._let_go()
        if self.request is not None:
            self.request.parts, self.request.folding = [], None
        response, inlet = self._responding, self._inlet
        if inlet is not None:
            inlet.gone()
        if response is None or not response.status:
            head = b"%bcontent-type: application/json\r\n%bcontent-length: %d\r\nconnection: close\r\n\r\n"
            body = error.body()
            more = self._server.refused(self.request, error)
            if error.retry_after_seconds:
                more += b"retry-after: %d\r\n" % error.retry_after_seconds
            if self.cors is not None:
                more += self.cors.lines(self.request)
            is_head = self.request is not None and self.request.method == b"HEAD"
            line = _STATUS_LINES.get(error.status) or b"HTTP/1.1 %d \r\n" % error.status
            self.transport.write(head % (line, more, len(body)) + (b"" if is_head else body))
        self._responding = None
        if response is not None:
            response.gone()
        self._linger()

    def _linger(self) -> None:
        """Close our side only, and throw away what comes: closing both would take the answer from the client."""
        if not self.transport.can_write_eof():
            self.close()
            return
        self._at = _LINGER
        self._pending = b""
        self._responding = self._inlet = None
        self._taken = 0
        self._deadline = self._server.clock() + self._server.limits.linger_seconds
        self.transport.resume_reading()
        self.transport.write_eof()

    def check(self, now: float) -> None:
        """Look at the times; called every `sweep_seconds`."""
        at = self._at
        if at is _HEAD and not self.is_write_paused:
            if now > self._deadline:
                if self._pending:
                    self._refuse(ApiError(408, "the request's head takes too long", code="request_timeout"))
                else:
                    self.close()
            return
        if at is _LINGER:
            if now > self._deadline:
                self.transport.abort()
            return
        if self.is_write_paused:
            self._check_writing(now)
        elif at is _BODY:
            self._check_body(now)

    def _check_body(self, now: float) -> None:
        limits = self._server.limits
        seconds = now - self._seen_since
        if seconds < limits.body_window_seconds:
            return
        waits_for_us = self._inlet is not None and self._inlet.is_full
        if self._taken - self._seen < limits.body_bytes_per_second * seconds and not waits_for_us:
            self._refuse(ApiError(408, "the request's body comes too slowly", code="request_timeout"))
            return
        self._seen, self._seen_since = self._taken, now

    def _check_writing(self, now: float) -> None:
        size = self.transport.get_write_buffer_size()
        if size < self._seen:
            self._seen_since = now
        elif now - self._seen_since > self._server.limits.write_stalled_seconds:
            self.transport.abort()
        self._seen = size

    def drain(self) -> None:
        """Close now if nothing is being read or answered, else after the answer."""
        if self._at is _HEAD and not self._pending:
            self.close()
