"""Heads of requests and answers, read by llhttp (through httptools) and then held to stricter rules than its own."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import httptools

from weighbridge.openai_api import ApiError

from .limits import Limits

# Twice the same of these is an attack or a fault: two readers might each believe another one.
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"expect")
# llhttp takes more than one space here, of which another reader might make an empty target.
_REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!-~]+) HTTP/([0-9]\.[0-9])\r\n")
_VERSIONS = {b"1.1": 1, b"1.0": 0}
_NO_BODY = frozenset({204, 304})


class BadHead(Exception):
    """An answer's head that is not HTTP."""


class _Quick(dict[bytes, bytes]):
    """Takes the headers of a head without a call into Python: names as they are written, the last of several."""

    __slots__ = ()
    on_header = dict.__setitem__
    # What the parser asks for and does not find costs it an exception each.
    on_message_begin = on_url = on_status = on_headers_complete = on_body = None
    on_message_complete = on_chunk_header = on_chunk_complete = None


class _Careful:
    """Takes each line of a head, in its order."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name.lower(), value))


class Request:
    """One request; `values` are its headers by their names in lower case, the last one counting where one is repeated.

    `headers` are all of them. `parts` is the body in the pieces in which it came; `body` joins them.
    """

    __slots__ = (
        "caller", "is_chunked", "is_last", "length", "method", "minor_version", "parts", "repeated", "spending",
        "target", "values",
    )  # fmt: skip

    def __init__(self, method: bytes, target: bytes, minor_version: int, values: dict[bytes, bytes]) -> None:
        self.method = method
        self.target = target
        self.minor_version = minor_version
        self.values = values
        self.repeated: list[tuple[bytes, bytes]] | None = None
        """All headers, where some name occurs more than once."""
        self.parts: list[bytes] = []
        self.is_chunked = False
        self.length = 0
        self.caller: Any = None
        """Who asks, as the route found out, and what it has set aside for the request."""
        self.spending: Any = None
        self.is_last = minor_version == 0
        """Whether the client wants the connection closed after the answer; HTTP/1.0 always is taken to."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers in their order, by names in lower case."""
        return self.repeated or list(self.values.items())

    @property
    def path(self) -> bytes:
        """The target without its query, as the client wrote it."""
        return self.target.partition(b"?")[0]

    @property
    def body(self) -> bytes:
        """The whole body; it is there when the handler is called."""
        if len(self.parts) > 1:
            self.parts = [b"".join(self.parts)]
        return self.parts[0] if self.parts else b""


def read_request(head: bytes, limits: Limits) -> Request:
    """A request from its head, the blank line included. ApiError says what is refused, and why.

    Refused beyond what llhttp refuses: more than one Host, Content-Length, Transfer-Encoding and the like; a transfer
    coding other than `chunked`; HTTP/1.1 without Host; versions other than 1.0 and 1.1; CONNECT.
    """
    count = head.count(b"\n") - 2
    if count > limits.headers:
        raise _refused(431, f"the request has more than {limits.headers} headers")
    raw = _Quick()
    try:
        httptools.HttpRequestParser(raw).feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # An upgrade that is offered need not be taken.
    except httptools.HttpParserInvalidMethodError as error:
        raise _refused(501, "the request's method is unknown") from error
    except httptools.HttpParserError as error:
        raise _refused(400, f"the request is not HTTP: {error}") from error
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise _refused(400, "the request's line is not a method, a target and a version, with one space between")
    method, target, version = line.groups()
    if version not in _VERSIONS:
        raise _refused(505, f"HTTP/{version.decode()} is not spoken here, HTTP/1.1 is")
    if len(target) > limits.target_bytes:
        raise _refused(414, f"the request's target is longer than {limits.target_bytes:,} bytes")
    values = dict(zip(map(bytes.lower, raw), raw.values(), strict=False))
    request = Request(method, target, _VERSIONS[version], values)
    if len(values) != count:
        request.repeated = _repeated(head)
    _check(request)
    return request


def _repeated(head: bytes) -> list[tuple[bytes, bytes]]:
    """All headers of a head in which some are repeated. ApiError where those may not be."""
    careful = _Careful()
    with contextlib.suppress(httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(careful).feed_data(head)
    names = [name for name, _ in careful.lines]
    for once in _ONCE:
        if names.count(once) > 1:
            raise _refused(400, f"the header {once.decode()} is given twice")
    return careful.lines


def _check(request: Request) -> None:
    values = request.values
    if b"host" not in values and request.minor_version:
        raise _refused(400, "the request has no Host")
    if request.method == b"CONNECT":
        raise _refused(501, "CONNECT is not spoken here")
    length = values.get(b"content-length")
    if length is not None:
        request.length = int(length)
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or not request.minor_version:
            raise _refused(400, "a request has either Content-Length or, from HTTP/1.1, Transfer-Encoding")
        if coding.strip(b" \t").lower() != b"chunked":
            raise _refused(501, "no Transfer-Encoding but chunked is read")
        request.is_chunked = True
    connection = values.get(b"connection")
    if connection is not None and b"close" in (word.strip() for word in connection.lower().split(b",")):
        request.is_last = True


def _refused(status: int, message: str) -> ApiError:
    return ApiError(status, message, code="bad_http")


class AnswerHead:
    """The head of an engine's answer; `values` are its headers by their names in lower case."""

    __slots__ = ("can_keep", "is_chunked", "length", "lines", "status", "values")

    def __init__(self, status: int, values: dict[bytes, bytes], lines: bytes) -> None:
        self.status = status
        self.values = values
        self.lines = lines
        """The headers as they came, each with its CRLF."""
        self.length: int | None = None
        """Of the body; None where it is chunked or ends with the connection."""
        self.is_chunked = False
        self.can_keep = False
        """Whether the connection may serve again."""

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.values.get(b"content-type", b"").lower().startswith(b"text/event-stream")


def read_answer(head: bytes, *, to_head: bool) -> AnswerHead:
    """An answer's head; `to_head` where a HEAD request is answered. BadHead where it is not HTTP/1."""
    raw = _Quick()
    parser = httptools.HttpResponseParser(raw)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade as error:
        raise BadHead("it wants another protocol") from error
    except httptools.HttpParserError as error:
        raise BadHead(f"it is not HTTP: {error}") from error
    version, status = parser.get_http_version(), parser.get_status_code()
    if version not in ("1.1", "1.0"):
        raise BadHead("it is not HTTP/1")
    values = dict(zip(map(bytes.lower, raw), raw.values(), strict=False))
    answer = AnswerHead(status, values, head[head.index(b"\r\n") + 2 : -2])
    length = values.get(b"content-length")
    coding = values.get(b"transfer-encoding")
    connection = values.get(b"connection")
    if connection is None:
        answer.can_keep = version == "1.1"
    else:
        connection = connection.lower()
        answer.can_keep = b"close" not in connection and (version == "1.1" or b"keep-alive" in connection)
    if to_head or status in _NO_BODY:
        answer.length = 0
    elif coding is not None:
        if coding.strip(b" \t").lower() != b"chunked" or length is not None:
            raise BadHead("its body is framed in an unknown way")
        answer.is_chunked = True
    elif length is not None:
        answer.length = int(length)
    else:
        answer.can_keep = False
    return answer
