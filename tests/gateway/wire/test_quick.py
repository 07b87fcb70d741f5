"""Plain heads are read in one pass as they are read in full, and what is not plain is left to the full reading."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.wire import Limits
from weighbridge.gateway.wire.heads import (
    PASSED_ON,
    BadHead,
    read_answer,
    read_plain_answer,
    read_plain_request,
    read_request,
    reads_plain,
)
from weighbridge.openai_api import ApiError

pytestmark = pytest.mark.skipif(not reads_plain(Limits()), reason="quick.c was not compiled: no headers of Python here")

_HEADERS = {
    b"Content-Length": [b"5", b"0", b"05", b"", b"+5", b"1" * 16],
    b"content-type": [b"application/json", b"text/event-stream; charset=utf-8"],
    b"Transfer-Encoding": [b"chunked", b"Chunked", b"gzip"],
    b"Connection": [b"keep-alive", b"close", b"Close", b"Keep-Alive", b"x-foo", b"keep-alive, close"],
    b"Keep-Alive": [b"timeout=5"],
    b"Expect": [b"100-continue"],
    b"Upgrade": [b"websocket"],
    b"Proxy-Connection": [b"close"],
    b"Authorization": [b"Bearer x", b""],
    b"User-Agent": [b"a\tb", b"\x80\xff", b"curl/8"],
    b"traceparent": [b"00-1-2-01"],
    b"Server": [b"x"],
    b"X-Request-ID": [b"req_1"],
    b"!#$%&'*+-.^_`|~09azAZ": [b"any: thing"],
    b"x" * 65: [b"1"],
}
_LINE = st.sampled_from(sorted(_HEADERS)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.sampled_from([b": ", b": ", b":", b": \t"]), st.sampled_from(_HEADERS[name])
    )
)
_LINES = st.lists(_LINE, max_size=6, unique_by=lambda line: line[0]).map(
    lambda lines: b"".join(b"".join(line) + b"\r\n" for line in lines)
)
_STARTS = st.sampled_from(
    [b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n", b"GET /a?b=c?d HTTP/1.1\r\nhost: h\r\n",
     b"HEAD / HTTP/1.1\r\nHOST:\r\n", b"PATCH /%00 HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\n",
     b"OPTIONS * HTTP/1.1\r\nHost: x\r\n", b"GET http://h/x HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.0\r\nHost: x\r\n",
     b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n", b"M-SEARCH / HTTP/1.1\r\nHost: h\r\n"]
)  # fmt: skip
_STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 503 Service Unavailable\r\n", b"HTTP/1.1 299 \r\n", b"HTTP/1.1 200\r\n",
     b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 304 x\r\n", b"HTTP/1.1 100 Continue\r\n", b"HTTP/1.0 200 OK\r\n",
     b"HTTP/1.1 99 x\r\n", b"HTTP/1.1 600 x\r\n", b"HTTP/1.1 20x x\r\n", b"HTTP/1.1 200 \x80\r\n", b"ICY 200 OK\r\n"]
)  # fmt: skip


@st.composite
def _heads(draw, starts):
    """A head, in half of all cases with one byte changed, taken out or put in; and some bytes after it."""
    head = draw(starts) + draw(_LINES) + b"\r\n"
    if draw(st.booleans()):
        at = draw(st.integers(0, len(head) - 1))
        put = draw(
            st.sampled_from([b"", b" ", b"\t", b"\r", b"\n", b"\0", b":", b"a", b"A", b"\x7f", b"\x80", b"1", b","])
        )
        head = head[:at] + put + head[at + draw(st.integers(0, 1)) :]
    return head + draw(st.sampled_from([b"", b"{}", b"\r\n"]))


@settings(max_examples=300)
@given(_heads(_STARTS))
def test_a_plain_request_is_read_as_in_full(data):
    plain = read_plain_request(data)
    if plain is None:
        return
    at, request = plain
    whole = read_request(data[:at], Limits())

    assert data[at - 4 : at] == b"\r\n\r\n"
    for name in ("method", "target", "path", "minor_version", "values", "headers", "length", "is_chunked", "is_last"):
        assert getattr(request, name) == getattr(whole, name)
    assert request.passed_on == whole.passed_on


@settings(max_examples=300)
@given(_heads(_STATUS_LINES))
def test_a_plain_answer_is_read_as_in_full(data):
    plain = read_plain_answer(data)
    if plain is None:
        return
    at, answer = plain
    try:
        whole = read_answer(data[:at], to_head=False)
    except BadHead as error:
        pytest.fail(f"{data[:at]!r} is read, and refused in full: {error}")

    for name in ("status", "values", "lines", "passed_back", "length", "is_chunked", "can_keep"):
        assert getattr(answer, name) == getattr(whole, name)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8642\r\nContent-Length: 12\r\nAccept: */*\r\n\r\n",
        b"GET /ps?x=1 HTTP/1.1\r\nhost: x\r\nConnection: close\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nhost: x\r\nuser-agent:\r\n\r\n",
    ],
)
def test_what_clients_send_is_plain(head):
    assert read_plain_request(head) is not None
    # Cut anywhere, it is not whole yet.
    assert all(read_plain_request(head[:size]) is None for size in range(len(head)))


def test_as_many_headers_as_may_be_are_plain_and_one_more_is_refused_in_full():
    def head(count: int) -> bytes:
        return b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: 1\r\n" % at for at in range(count - 1)) + b"\r\n"

    assert read_plain_request(head(100)) is not None
    assert read_plain_request(head(101)) is None
    with pytest.raises(ApiError, match="more than 100 headers"):
        read_request(head(101), Limits())


def test_a_header_that_is_replaced_goes_on_as_it_is_now():
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\naccept: a\r\nx-key: secret\r\n\r\n"
    plain = read_plain_request(head)
    assert plain is not None
    request = plain[1]
    assert request.passed_on == b"content-type: text/plain\r\naccept: a\r\n"
    request.replace_header(b"content-type", b"application/json")
    assert request.passed_on == b"content-type: application/json\r\naccept: a\r\n"
    assert b"x-key" not in PASSED_ON
