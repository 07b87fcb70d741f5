"""Heads of requests and answers, read by llhttp (through httptools) and then held to stricter rules than its own.

Plain ones, which nearly all are, `quick.c` reads in one pass where it was compiled; what it leaves is read here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import httptools

from weighbridge.openai_api import ApiError

from .folding import Folding
from .limits import Limits
from .quick import compiled

# Twice the same of these is an attack or a fault: two readers might each believe another one.
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"expect")
# llhttp takes more than one space here, of which another reader might make an empty target.
_REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!-~]+) HTTP/([0-9]\.[0-9])\r\n")
# A target as for a proxy (RFC 9112, section 3.2.2), which every server takes; whom it names is whom Host names.
_ABSOLUTE = re.compile(rb"https?://([A-Za-z0-9._~%:\[\]-]+)([/?].*|)", re.IGNORECASE)
_VERSIONS = {b"1.1": 1, b"1.0": 0}
_NO_BODY = frozenset({204, 304})


# What an engine may know of the client. Never its key, its cookies, or how it reached us.
PASSED_ON = frozenset(
    b"content-type accept anthropic-version anthropic-beta openai-beta traceparent tracestate baggage "
    b"idempotency-key user-agent".split()
)
# Between two neighbours, not from end to end, or the gateway's own to say: its framing, its name, who may read it.
NOT_PASSED_BACK = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade "
    b"server set-cookie access-control-allow-origin access-control-allow-credentials "
    b"access-control-allow-methods access-control-allow-headers access-control-expose-headers "
    b"access-control-max-age x-request-id x-weighbridge-model x-weighbridge-reason x-weighbridge-layer "
    b"x-weighbridge-error-source".split()
)
# As large as quick.c reads: a server with narrower limits goes without it.
_QUICK_LIMITS = Limits()


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
        "_passed_on",
        "asked",
        "caller",
        "folding",
        "is_chunked",
        "is_last",
        "length",
        "method",
        "minor_version",
        "name",
        "parts",
        "path",
        "repeated",
        "spending",
        "target",
        "unseen",
        "values",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        path: bytes,
        minor_version: int,
        values: dict[bytes, bytes],
        length: int = 0,
        is_last: bool = False,
        passed_on: bytes | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        """The target without its query, as the client wrote it."""
        self.minor_version = minor_version
        self.values = values
        self.repeated: list[tuple[bytes, bytes]] | None = None
        """All headers, where some name occurs more than once."""
        self.parts: list[bytes] = []
        self.folding: Folding | None = None
        """Takes the body as it comes, in the place of `parts`, where the route sets it."""
        self.is_chunked = False
        self.caller: Any = None
        """Who asks, as the route found out, and what it has set aside for the request."""
        self.asked: str | None = None
        """The model that its body names, once that was read."""
        self.spending: Any = None
        self.name: str | None = None
        """By which its client will know it, once somebody has given it one."""
        self.unseen = 0
        """How many answers to it there were that its client did not get."""
        self.length = length
        self.is_last = is_last
        """Whether the client wants the connection closed after the answer; HTTP/1.0 always is taken to."""
        self._passed_on = passed_on

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers in their order, by names in lower case."""
        return self.repeated or list(self.values.items())

    @property
    def passed_on(self) -> bytes:
        """The lines of the head that go on to an engine."""
        if self._passed_on is None:
            return b"".join([b"%b: %b\r\n" % line for line in self.values.items() if line[0] in PASSED_ON])
        return self._passed_on

    def replace_header(self, name: bytes, value: bytes) -> None:
        """Have a header say something else to the engine; `name` in lower case."""
        if self.values.get(name) != value:
            self.values[name] = value
            self._passed_on = None

    def name_host(self, authority: bytes) -> None:
        """Have Host say whom the target named, whatever the client wrote there."""
        self.values[b"host"] = authority
        if self.repeated is not None:
            self.repeated = [(name, authority if name == b"host" else value) for name, value in self.repeated]

    @property
    def body(self) -> bytes:
        """The whole body; it is there when the handler is called."""
        if len(self.parts) > 1:
            self.parts = [b"".join(self.parts)]
        return self.parts[0] if self.parts else b""


if compiled is None:
    read_plain_request: Callable[[bytes], tuple[int, Request] | None] = lambda data: None  # noqa: E731
else:
    compiled.configure(PASSED_ON, NOT_PASSED_BACK)
    _read_plain = compiled.read_request

    def read_plain_request(data: bytes) -> tuple[int, Request] | None:
        """A request with a plain head at the beginning of `data`, and where its body begins; None where the head is
        not plain, or not whole: then `read_request` tells."""
        plain = _read_plain(data)
        if plain is None:
            return None
        end, method, target, path, values, length, is_last, lines = plain
        return end, Request(method, target, path, 1, values, length or 0, is_last, lines)


def reads_plain(limits: Limits) -> bool:
    """Whether plain heads may be read without a look at these limits."""
    return (
        compiled is not None
        and limits.head_bytes >= _QUICK_LIMITS.head_bytes
        and limits.headers >= _QUICK_LIMITS.headers
        and limits.target_bytes >= _QUICK_LIMITS.target_bytes
    )


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
    minor_version = _VERSIONS[version]
    authority: bytes | None = None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        authority, target = absolute.groups()
        target = target if target.startswith(b"/") else b"/" + target
    request = Request(method, target, target.partition(b"?")[0], minor_version, values, is_last=not minor_version)
    if len(values) != count:
        request.repeated = _repeated(head)
    _check(request)
    if authority is not None:
        request.name_host(authority)
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

    __slots__ = ("_passed_back", "can_keep", "is_chunked", "length", "lines", "status", "values")

    def __init__(
        self,
        status: int,
        values: dict[bytes, bytes],
        lines: bytes,
        passed_back: bytes | None = None,
        length: int | None = None,
        is_chunked: bool = False,
        can_keep: bool = False,
    ) -> None:
        self.status = status
        self.values = values
        self.lines = lines
        """The headers as they came, each with its CRLF."""
        self._passed_back = passed_back
        self.length = length
        """Of the body; None where it is chunked or ends with the connection."""
        self.is_chunked = is_chunked
        self.can_keep = can_keep
        """Whether the connection may serve again."""

    @property
    def passed_back(self) -> bytes:
        """The lines of the head that go back to the client, the body's length among them.

        CORS is the gateway's to allow, not the engine's.
        """
        return self.passed_back_without(frozenset()) if self._passed_back is None else self._passed_back

    def passed_back_without(self, hidden: frozenset[bytes]) -> bytes:
        """The same without some lines more, by their names in lower case."""
        dropped = NOT_PASSED_BACK | hidden
        named = self.values.get(b"connection")
        if named is not None:
            dropped = dropped.union(word.strip() for word in named.lower().split(b","))
        if dropped.isdisjoint(self.values):
            return self.lines
        lines = self.lines.split(b"\r\n")[:-1]
        return b"".join([b"%b\r\n" % line for line in lines if line.partition(b":")[0].lower() not in dropped])

    @property
    def is_event_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.values.get(b"content-type", b"").lower().startswith(b"text/event-stream")


if compiled is None:
    read_plain_answer: Callable[[bytes], tuple[int, AnswerHead] | None] = lambda data: None  # noqa: E731
else:
    _read_plain_answer = compiled.read_answer

    def read_plain_answer(data: bytes) -> tuple[int, AnswerHead] | None:
        """A plain head of an answer at the beginning of `data`, and where its body begins; None where it is not plain
        or not whole: then `read_answer` tells."""
        plain = _read_plain_answer(data)
        if plain is None:
            return None
        return plain[0], AnswerHead(*plain[1:])


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
