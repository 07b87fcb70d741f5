"""Plain heads are read in one pass as they are read in full, and what is not plain is left to the full reading."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge import openai_api
from weighbridge.gateway.wire import Body, Limits, body, usage_of
from weighbridge.gateway.wire.heads import (
    PASSED_ON,
    BadHead,
    read_answer,
    read_plain_answer,
    read_plain_request,
    read_request,
    reads_plain,
)
from weighbridge.gateway.wire.quick import outline
from weighbridge.openai_api import ApiError, check_messages

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


@settings(max_examples=examples(100))
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


@settings(max_examples=examples(100))
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


_STRINGS = st.text(max_size=12) | st.sampled_from(["", "x" * 40, 'a"b', "a\\b", "\n\0\x7f", "é€😀", "\ud800", "model"])
_NUMBERS = st.integers() | st.floats() | st.sampled_from([-0.0, 0, 10**299, 10**300, 10**4000, 1e308, 5e-324])
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _STRINGS,
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(_STRINGS, deeper, max_size=3),
    max_leaves=12,
)
_TURNS = st.lists(st.dictionaries(st.sampled_from(["role", "content"]), _STRINGS, max_size=2) | st.just(1), max_size=3)
_MEMBERS = st.one_of(
    st.tuples(st.just("model"), _STRINGS | _VALUES),
    st.tuples(st.just("stream"), st.booleans() | st.none() | _VALUES),
    st.tuples(st.just("messages"), _TURNS | _VALUES),
    st.tuples(_STRINGS, _VALUES),
)
_BYTES = [bytes([byte]) for byte in b'{}[]:,"\\/ \t\r\n\0tfn0-+.eE19u\x7f\x80\xc3\xed\xf8']


@st.composite
def _bodies(draw):
    """A JSON object, in any of the ways to write it and with keys given twice; in half of all cases it is damaged."""
    ascii_only, space = draw(st.booleans()), draw(st.sampled_from(["", " ", "\n\t "]))
    pairs = [
        f"{json.dumps(name, ensure_ascii=ascii_only)}{space}:{space}{json.dumps(value, ensure_ascii=ascii_only)}{space}"
        for name, value in draw(st.lists(_MEMBERS, max_size=5))
    ]
    raw = f"{space}{{{space}{f',{space}'.join(pairs)}}}{space}".encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from([b"", *_BYTES])) + raw[at + draw(st.integers(0, 2)) :]
    return raw


@settings(max_examples=examples(200))
@given(_bodies())
def test_a_plain_body_is_read_as_in_full(raw):
    plain = outline(raw)
    if plain is None:
        return
    spans, model, stream, has_messages = plain
    fields = body._decoded(raw)

    assert [*spans] == [*fields]
    # As they are written, for NaN is nowhere like itself.
    assert {name: json.dumps(body.value_of(raw, *span)) for name, span in spans.items()} == {
        name: json.dumps(value) for name, value in fields.items()
    }
    assert (model, stream) == (fields.get("model"), bool(fields.get("stream")))
    assert Body(raw).fields == fields or "NaN" in str(fields)
    if has_messages:
        check_messages("/v1/chat/completions", fields)
    else:
        with pytest.raises(ApiError, match="messages"):
            check_messages("/v1/chat/completions", fields)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model": "a", "messages": [{"role": "user", "content": "hi \\n \\u00e9"}], "stream": true, "n": 1}',
        '{"model": "modèle", "messages": [{"content": [{"type": "text", "text": "你好"}]}]}'.encode(),
        b'\n{ "prompt" : "x" , "temperature" : -0.5e-3 , "stop" : [ ] , "logit_bias" : { } }\r\n',
        b"{}",
    ],
)
def test_what_clients_ask_is_plain(raw):
    assert outline(raw) is not None
    # Cut anywhere, it is not JSON.
    assert all(outline(raw.rstrip()[:size]) is None for size in range(len(raw.rstrip())))


def test_what_is_deep_or_long_is_left_to_be_read_in_full():
    def nested(depth: int) -> bytes:
        return b'{"x": ' + b"[" * depth + b"]" * depth + b"}"

    assert outline(nested(60)) is not None
    assert outline(nested(10_000)) is None
    assert outline(b'{"x": ' + b"1" * 301 + b"}") is None


_MENTIONS = st.builds(
    lambda name, space, sign, more, value: b'"' + name + b'_tokens"' + space + sign + more + value,
    st.sampled_from(b"prompt completion input output cached cache_read_input total Prompt".split()),
    st.sampled_from([b"", b" ", b"\n\t\v\f\r ", b"\x1c"]), st.sampled_from([b":", b",", b"", b"::"]),
    st.sampled_from([b"", b" ", b"\n "]), st.sampled_from([b"0", b"7", b"123456789012", b"1234567890123", b"-1", b"x"]),
)  # fmt: skip


@settings(max_examples=examples(120))
@given(st.lists(_MENTIONS | st.sampled_from([b'"usage"', b'"', b"usage", b'{"usage": null}', b"data: {", b"}"])))
def test_usage_is_found_as_by_the_pattern(pieces):
    for tail in (b"".join(pieces), b" ".join(pieces)):
        found, known = usage_of(tail), openai_api.usage_of(tail)
        assert found == known
        assert [*found] == [*known]
