"""The way of an answer from engine to client: unchanged, as it comes, and ended at once by whoever leaves."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import socket
import statistics
import time

import pytest

from tests.patience import LONGEST_SECONDS, comes_true, within
from weighbridge.gateway.wire import Limits, Relay, UpstreamLimits
from weighbridge.openai_api import ApiError

from .kit import LAST, SSE, Caller, Door, Engine, chunk, event, post, until_gone, whole


async def says_hello(asked, reader, writer):
    if json.loads(asked.body).get("stream"):
        writer.write(SSE + chunk(event()) + LAST)
    else:
        writer.write(whole(b'{"choices": [], "x_extra": 1}'))
    await writer.drain()


def test_a_request_and_its_answer_pass_unchanged_but_for_the_keys(door):
    running, engine = door(says_hello)
    sent = post(
        x_foo=1, grammar="root ::= x", extra=b"Authorization: Bearer client-key\r\nCookie: a=b\r\nX-Api-Key: k\r\n"
    )

    with Caller(running.port) as caller:
        status, headers, body = caller.send(sent).answer()

    assert (status, body) == (200, b'{"choices": [], "x_extra": 1}')
    assert headers["content-type"] == "application/json"
    asked = engine.asked[0]
    assert asked.line == "POST /v1/chat/completions HTTP/1.1"
    assert asked.body == sent.partition(b"\r\n\r\n")[2]
    assert asked.headers["authorization"] == "Bearer engine-key"
    assert "client-key" not in str(asked.headers)
    assert not {"cookie", "x-api-key"} & set(asked.headers)


def test_hop_by_hop_headers_and_the_engines_cors_end_at_the_gateway(door):
    async def script(asked, reader, writer):
        writer.write(
            whole(b"{}", extra=b"Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Kept: 1\r\n"
                  b"Access-Control-Allow-Origin: *\r\nServer: engine\r\nSet-Cookie: a=b\r\n")
        )  # fmt: skip

    running, engine = door(script)
    with Caller(running.port) as caller:
        first = caller.send(post(extra=b"Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n")).answer()
        second = caller.send(post()).answer()

    assert first[1] == second[1] == {"content-type": "application/json", "x-kept": "1", "content-length": "2"}
    assert not {"connection", "x-mine", "te"} & set(engine.asked[0].headers)


def test_connections_are_kept_on_both_sides(door):
    running, engine = door(says_hello)
    with Caller(running.port) as caller:
        for i in range(20):
            assert caller.send(post(stream=bool(i % 2))).answer()[0] == 200

    assert [asked.nth for asked in engine.asked] == list(range(1, 21))
    assert running.upstream.connections_made == 1


@pytest.mark.parametrize("stream", [False, True])
def test_requests_sent_ahead_are_answered_in_their_order(door, stream):
    async def script(asked, reader, writer):
        fields = json.loads(asked.body)
        await asyncio.sleep(0.02 * (5 - fields["n"]))
        reply = b'{"n": %d}' % fields["n"]
        writer.write(SSE + chunk(reply) + b"0\r\n\r\n" if stream else whole(reply))

    running, _ = door(script)
    with Caller(running.port) as caller:
        caller.send(b"".join(post(stream=stream, n=n) for n in range(5)))
        answers = [json.loads(caller.answer()[2])["n"] for _ in range(5)]

    assert answers == [0, 1, 2, 3, 4]


def test_a_client_that_sends_far_ahead_costs_no_memory_and_is_told_to_come_again(door):
    async def script(asked, reader, writer):
        await asyncio.sleep(0.5)
        writer.write(whole(b"{}"))

    running, engine = door(script, limits=Limits(pipelined_bytes=10_000))
    with Caller(running.port) as caller:
        caller.send(post() * 2_000)
        status, headers, _ = caller.answer()
        assert status == 200
        assert headers["connection"] == "close"
        assert caller.rest() == b""
    assert len(engine.asked) == 1


def test_the_bytes_of_a_stream_pass_as_they_come(door):
    async def script(asked, reader, writer):
        writer.write(SSE)
        for i in range(10):
            writer.write(chunk(event(f"t{i}")))
            await asyncio.sleep(0.02)
        writer.write(LAST)

    running, _ = door(script)

    def step_seconds(caller):
        steps = []
        caller.send(post(stream=True)).until(b"\r\n\r\n")
        for i in range(10):
            caller.until(b'"t%d"' % i)
            steps.append(time.monotonic())
        caller.until(b"0\r\n\r\n")
        return statistics.median(after - before for before, after in itertools.pairwise(steps))

    # Nagle's algorithm with delayed acknowledgements would make steps of 40 ms each time, a busy machine now and then.
    with Caller(running.port) as caller:
        assert any(step_seconds(caller) < 0.035 for _ in range(10))


@pytest.mark.parametrize(
    "pieces",
    [
        [bytes([byte]) for byte in SSE + chunk(event("é漢字🙂Ω")) + LAST],
        [SSE + chunk(event("é漢字🙂Ω")) + LAST],
        [SSE + b"".join(chunk(bytes([byte])) for byte in event("é漢字🙂Ω")) + LAST],
        [SSE[:-2], SSE[-2:] + chunk(event("é漢字🙂Ω"))[:40], chunk(event("é漢字🙂Ω"))[40:], LAST[:-3], LAST[-3:]],
        [SSE + b";".join(chunk(event("é漢字🙂Ω")).partition(b"\r\n")[::2]).replace(b";", b";x=y\r\n", 1) + LAST],
        [SSE + chunk(event("é漢字🙂Ω")) + LAST[:-2] + b"X-Trailer: 1\r\n\r\n"],
        [b"HTTP/1.1 103 Early\r\nX: 1\r\n\r\n" + SSE + chunk(event("é漢字🙂Ω")) + LAST],
    ],
    ids=["bytes", "at once", "chunks of a byte", "cut anywhere", "extension", "trailer", "early hints"],
)  # fmt: skip
def test_a_stream_is_the_same_however_its_bytes_are_cut(door, pieces):
    async def script(asked, reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0 if len(pieces) > 20 else 0.01)

    running, _ = door(script)
    with Caller(running.port) as caller:
        for _ in range(2):
            status, headers, body = caller.send(post(stream=True)).answer()
            assert (status, headers["content-type"]) == (200, "text/event-stream")
            assert body == event("é漢字🙂Ω") + b"data: [DONE]\n\n"


def test_split_tool_calls_comments_and_usage_pass(door):
    sent = b"".join(
        [
            b": ping\n\n",
            b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_0","function":{"name":"f"}}]}}]}\n\n',
            *(b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%b"}}]}}]}\n\n' % part
              for part in (b'{\\"ci', b'ty\\": \\"P', b'aris\\"}')),
            b'data: {"choices":[],"usage":{"completion_tokens":2},"timings":{"predicted_per_second":42.5}}\n\n',
        ]
    )  # fmt: skip

    async def script(asked, reader, writer):
        writer.write(SSE)
        for at in range(0, len(sent), 37):
            writer.write(chunk(sent[at : at + 37]))
            await asyncio.sleep(0)
        writer.write(LAST)

    running, _ = door(script)
    with Caller(running.port) as caller:
        assert caller.send(post(stream=True)).answer()[2] == sent + b"data: [DONE]\n\n"
    assert running.relays[0].tail == sent + b"data: [DONE]\n\n"
    assert running.relays[0].outcome == "done"


def test_the_end_of_a_long_answer_can_be_read_without_keeping_it(door):
    async def script(asked, reader, writer):
        writer.write(SSE)
        for i in range(3_000):
            writer.write(chunk(event(f"number {i}")))
            await writer.drain()
        writer.write(LAST)

    running, _ = door(script)
    with Caller(running.port) as caller:
        body = caller.send(post(stream=True)).answer()[2]
    relay = running.relays[0]
    assert body.endswith(relay.tail)
    assert 4_096 <= len(relay.tail) < 1 << 19
    assert relay.body_bytes == len(body)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_errors_of_the_engine_pass_once_and_whole(door, status):
    error = json.dumps({"error": {"message": "no", "type": "exceed_context_size_error", "n_ctx": 4096}}).encode()

    async def script(asked, reader, writer):
        writer.write(whole(error, status, b"Retry-After: 7\r\n"))

    running, engine = door(script)
    with Caller(running.port) as caller:
        got, headers, body = caller.send(post()).answer()
        assert (got, headers["retry-after"], body) == (status, "7", error)
        assert caller.send(post()).answer()[0] == status
    assert len(engine.asked) == 2


class Judge(Relay):
    """Answers errors in its own words, or asks again."""

    __slots__ = ()
    takes_errors = True

    def error(self, head, body):
        if head.status == 503:
            self.start(self.upstream, b"/again", [b"{}"])
        else:
            self.response.error(ApiError(head.status, body.decode()[:20], code="judged"))

    def recovers(self, failure):
        if failure.kind != "garbage":
            return False
        self.start(self.upstream, b"/again", [b"{}"])
        return True


def test_a_relay_may_answer_an_error_itself_or_ask_elsewhere(door):
    async def script(asked, reader, writer):
        if "again" in asked.line:
            writer.write(whole(b'{"ok": 1}'))
        elif json.loads(asked.body)["model"] == "garbage":
            writer.write(b"220 smtp.example.org\r\n\r\n")
        elif json.loads(asked.body)["model"] == "huge":
            writer.write(whole(b"x" * (3 << 20), 400))
        else:
            writer.write(whole(b"e" * 50, int(json.loads(asked.body)["model"])))

    running, _ = door(script, relay=Judge)
    with Caller(running.port) as caller:
        status, _, body = caller.send(post("400")).answer()
        assert (status, json.loads(body)["error"]["message"]) == (400, "e" * 20)
        assert caller.send(post("503")).answer()[2] == b'{"ok": 1}'
        assert caller.send(post("garbage")).answer()[2] == b'{"ok": 1}'
        assert json.loads(caller.send(post("huge")).answer()[2])["error"]["message"] == "x" * 20


# Cancelling.


def cancelled_ms(running, engine, caller):
    left_at = time.monotonic()
    caller.socket.close()
    while engine.asked[-1].gone_at is None and time.monotonic() < left_at + LONGEST_SECONDS:
        time.sleep(0.001)
    assert engine.asked[-1].gone_at, "the engine was never told"
    return (engine.asked[-1].gone_at - left_at) * 1000


@within
@pytest.mark.parametrize("phase", ["before the first byte", "before the first byte of a stream", "in mid-stream"])
def test_a_client_that_leaves_ends_the_engines_work_at_once(door, phase, most_ms):
    async def script(asked, reader, writer):
        if phase == "in mid-stream":
            writer.write(SSE + chunk(event()))
        await until_gone(asked, reader)
        writer.close()

    running, engine = door(script)
    took = []
    for count in range(1, 10):
        with Caller(running.port) as caller:
            caller.send(post(stream="stream" in phase))
            if phase == "in mid-stream":
                caller.until(b"hello")
            while len(engine.asked) < count:
                time.sleep(0.005)
            took.append(cancelled_ms(running, engine, caller))
    print(f"cancelled {phase}: median {statistics.median(took):.1f} ms, most {max(took):.1f} ms")
    assert most_ms is None or statistics.median(took) < most_ms
    assert [relay.outcome for relay in running.relays] == ["gone"] * 9
    assert not running.upstream.running()


def test_a_client_that_leaves_while_the_engine_takes_no_connection_is_forgotten(loops):
    # A listener whose queue is full keeps the next one waiting.
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listener.getsockname()
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(address)
    running = Door(loops[0]).start(address)
    try:
        with Caller(running.port) as caller:
            caller.send(post())
            while not running.relays:
                time.sleep(0.005)
            left_at = time.monotonic()
        while not running.relays[0].outcome:
            time.sleep(0.001)
            assert time.monotonic() < left_at + LONGEST_SECONDS
        print(f"cancelled while connecting: {(time.monotonic() - left_at) * 1000:.1f} ms")
        assert running.relays[0].outcome == "gone"
        assert not running.upstream.running()
    finally:
        running.stop()
        for one in (listener, *fillers):
            one.close()


# Engines that fail.


def test_a_stale_connection_is_tried_again_once_and_nobody_notices(door):
    async def script(asked, reader, writer):
        if asked.nth >= 2:
            writer.transport.abort()
            return
        writer.write(whole(b"{}"))

    running, engine = door(script)
    with Caller(running.port) as caller:
        assert [caller.send(post()).answer()[0] for _ in range(10)] == [200] * 10
    assert sum(asked.nth == 2 for asked in engine.asked) == 9


def test_a_kept_connection_that_the_engine_closed_is_not_used(door):
    async def script(asked, reader, writer):
        writer.write(whole(b"{}"))
        await writer.drain()
        writer.close()

    running, engine = door(script)
    with Caller(running.port) as caller:
        for _ in range(5):
            assert caller.send(post()).answer()[0] == 200
            time.sleep(0.02)
    assert len(engine.asked) == 5
    assert {asked.nth for asked in engine.asked} == {1}


def test_nothing_is_tried_again_once_a_byte_came_back(door):
    async def script(asked, reader, writer):
        if asked.nth >= 2:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-")
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()
            return
        writer.write(whole(b"{}"))

    running, engine = door(script)
    with Caller(running.port) as caller:
        assert caller.send(post()).answer()[0] == 200
        status, _, body = caller.send(post()).answer()
    assert status == 502
    assert json.loads(body)["error"]["source"] == "engine"
    assert len(engine.asked) == 2


def test_an_engine_that_dies_on_a_fresh_connection_is_not_asked_twice(door):
    async def script(asked, reader, writer):
        writer.transport.abort()

    running, engine = door(script)
    with Caller(running.port) as caller:
        assert caller.send(post()).answer()[0] == 502
        # The client's connection is still good.
        assert caller.send(post()).answer()[0] == 502
    assert len(engine.asked) == 2


def test_an_engine_that_is_not_there_is_502(loops):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    running = Door(loops[0]).start(address)
    try:
        with Caller(running.port) as caller:
            status, _, body = caller.send(post()).answer()
        assert status == 502
        assert "takes no connection" in json.loads(body)["error"]["message"]
        assert running.relays[0].failure.kind == "unreachable"
    finally:
        running.stop()


def test_a_stream_whose_engine_dies_ends_with_an_error_event_and_without_its_end(door):
    async def script(asked, reader, writer):
        writer.write(SSE + chunk(event("t0")) + chunk(event("t1")[:20]))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    running, _ = door(script)
    with Caller(running.port) as caller:
        got = caller.send(post(stream=True)).rest()
    assert not got.endswith(b"0\r\n\r\n")
    last = got.rpartition(b"\r\n")[0].rpartition(b"\r\n")[2]
    told = last.partition(b"\n\n")[2]
    assert json.loads(told.removeprefix(b"data: "))["error"]["code"] == "engine_died"
    assert running.relays[0].outcome == "failed"
    assert running.relays[0].failure.kind == "cut"


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"],
)
def test_a_plain_answer_whose_engine_dies_is_cut_visibly(door, head):
    async def script(asked, reader, writer):
        writer.write(head + b'{"half":')
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    running, _ = door(script)
    with Caller(running.port) as caller, pytest.raises(EOFError):
        caller.send(post()).answer()


@pytest.mark.parametrize(
    "garbage",
    [
        b"220 mail.example.org ESMTP\r\n\r\n",
        b"\x00\x01\x02\x03",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    ],
)
def test_garbage_from_the_engine_never_reaches_the_client(door, garbage):
    async def script(asked, reader, writer):
        if len(engine.asked) == 1:
            writer.write(garbage)
            await until_gone(asked, reader)
            writer.close()
        else:
            writer.write(whole(b"{}"))

    running, engine = door(script)
    with Caller(running.port) as caller:
        status, _, body = caller.send(post()).answer()
        assert status == 502
        assert json.loads(body)["error"]["source"] == "engine"
        assert caller.send(post()).answer()[0] == 200


def test_bytes_beyond_an_answer_are_not_the_next_ones(door):
    async def script(asked, reader, writer):
        writer.write(whole(b"{}") + (whole(b'{"smuggled": 1}') if asked.nth == 1 else b""))

    running, engine = door(script)
    with Caller(running.port) as caller:
        assert [caller.send(post()).answer()[2] for _ in range(4)] == [b"{}"] * 4
    assert [asked.nth for asked in engine.asked] == [1, 1, 1, 1]


def test_an_engine_that_never_answers_is_given_up(door):
    async def script(asked, reader, writer):
        await until_gone(asked, reader)
        writer.close()

    running, engine = door(script, upstream_limits=UpstreamLimits(first_byte_seconds=0.3, sweep_seconds=0.05))
    with Caller(running.port) as caller:
        status, _, body = caller.send(post()).answer()
        assert (status, json.loads(body)["error"]["code"]) == (504, "engine_timeout")
        assert comes_true(lambda: engine.asked[0].gone_at)


def test_an_engine_that_falls_silent_in_a_stream_is_given_up_and_a_slow_one_is_not(door):
    async def script(asked, reader, writer):
        writer.write(SSE)
        for i in range(8):
            writer.write(chunk(event(f"t{i}")))
            await asyncio.sleep(0.15)
        if json.loads(asked.body)["model"] == "slow":
            writer.write(LAST)
        else:
            await until_gone(asked, reader)
            writer.close()

    running, _ = door(script, upstream_limits=UpstreamLimits(silence_seconds=0.6, sweep_seconds=0.05))
    with Caller(running.port) as caller:
        assert caller.send(post("slow", stream=True)).answer()[2].endswith(b"[DONE]\n\n")
        got = caller.send(post("silent", stream=True)).rest()
    assert b"engine_timeout" in got
    assert not got.endswith(b"0\r\n\r\n")


def test_an_answer_that_ends_with_the_connection_passes_and_may_be_judged(door):
    class Strict(Relay):
        __slots__ = ()

        def is_complete(self):
            return b"[DONE]" in self.tail

    async def script(asked, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event())
        if json.loads(asked.body)["model"] == "whole":
            writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    running, _ = door(script, relay=Strict)
    with Caller(running.port) as caller:
        assert caller.send(post("whole", stream=True)).answer()[2] == event() + b"data: [DONE]\n\n"
        got = caller.send(post("half", stream=True)).rest()
    assert b"lacks its last event" in got
    assert not got.endswith(b"0\r\n\r\n")


def test_a_line_of_ten_megabytes_passes(door):
    line = b'data: {"x": "' + b"A" * 10_000_000 + b'"}\n\n'

    async def script(asked, reader, writer):
        writer.write(SSE + chunk(line) + LAST)
        await writer.drain()

    running, _ = door(script)
    with Caller(running.port) as caller:
        assert caller.send(post(stream=True)).answer()[2] == line + b"data: [DONE]\n\n"


def test_an_image_of_eight_megabytes_passes(door):
    running, engine = door(says_hello)
    with Caller(running.port) as caller:
        assert caller.send(post(image="A" * (8 << 20))).answer()[0] == 200
    assert len(engine.asked[0].body) > 8 << 20


def test_a_slow_reader_stops_the_engine_and_costs_no_memory(door):
    async def script(asked, reader, writer):
        writer.write(SSE)
        for _ in range(1_000):
            writer.write(chunk(b"x" * 65_536))
            await writer.drain()
            asked.sent_bytes += 65_536
        writer.write(LAST)

    running, engine = door(script, limits=Limits(write_buffer_bytes=128 << 10))
    with Caller(running.port) as caller:
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        caller.send(post(stream=True)).until(b"\r\n\r\n")
        time.sleep(0.5)
        stopped_at = engine.asked[0].sent_bytes
        time.sleep(0.3)
        assert engine.asked[0].sent_bytes == stopped_at
        # What the kernel's buffers hold on four sockets; the gateway's own is bounded.
        assert stopped_at < 30 << 20
        connection = next(iter(running.server.connections))
        print(f"stopped after {stopped_at:,} bytes, {connection.transport.get_write_buffer_size():,} of them held")
        assert connection.transport.get_write_buffer_size() < 1 << 20
        last = b""
        while not last.endswith(b"\r\n0\r\n\r\n"):
            last = (last + caller.socket.recv(1 << 20))[-16:]
    assert engine.asked[0].sent_bytes == 1_000 * 65_536


def test_a_reader_that_takes_nothing_is_cut_off_in_the_end(door):
    async def script(asked, reader, writer):
        writer.write(SSE)
        for _ in range(3_000):
            writer.write(chunk(b"x" * 65_536))
            await writer.drain()

    running, _ = door(script, limits=Limits(write_stalled_seconds=0.4, sweep_seconds=0.05))
    with Caller(running.port) as caller:
        caller.send(post(stream=True)).until(b"\r\n\r\n")
        assert comes_true(lambda: running.relays[0].outcome)
    assert running.relays[0].outcome == "gone"


def test_an_engine_behind_a_unix_socket_is_an_engine(loops, tmp_path):
    engine = Engine(loops[1], says_hello).start(tmp_path / "engine.sock")
    running = Door(loops[0]).start(tmp_path / "engine.sock")
    try:
        with Caller(running.port) as caller:
            assert caller.send(post()).answer()[0] == 200
            assert caller.send(post(stream=True)).answer()[0] == 200
        assert engine.asked[1].nth == 2
        head, body = running.loop.run(running.upstream.fetch(b"/health", [b"{}"], method=b"POST", seconds=5))
        assert (head.status, json.loads(body)["x_extra"]) == (200, 1)
    finally:
        running.stop()


def test_idle_connections_to_the_engine_are_closed_before_it_closes_them(door):
    running, engine = door(says_hello, upstream_limits=UpstreamLimits(keep_seconds=0.2, sweep_seconds=0.05))
    with Caller(running.port) as caller:
        caller.send(post()).answer()
        assert comes_true(lambda: not running.upstream.lines)
        assert caller.send(post()).answer()[0] == 200
    assert [asked.nth for asked in engine.asked] == [1, 1]


def test_a_connection_that_was_just_made_is_not_swept_away_before_it_carries_its_request(door):
    async def script(asked, reader, writer):
        writer.write(whole(b"{}", extra=b"Connection: close\r\n"))

    # Times are looked at in each round of the event loop, so also between a connection and its first request.
    running, engine = door(script, upstream_limits=UpstreamLimits(sweep_seconds=0.0))
    with Caller(running.port) as caller:
        assert [caller.send(post()).answer()[0] for _ in range(50)] == [200] * 50
    assert [asked.nth for asked in engine.asked] == [1] * 50


def test_old_clients_get_answers_without_chunks(door):
    running, _ = door(says_hello)
    with Caller(running.port) as caller:
        sent = post(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        got = caller.send(sent).rest()
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert b"connection: close" in head
    assert body == event() + b"data: [DONE]\n\n"


def test_requests_leave_nothing_for_the_garbage_collector(door):
    running, _ = door(says_hello)
    with Caller(running.port) as caller:

        def many():
            for i in range(50):
                caller.send(post(stream=bool(i % 2))).answer()
            running.relays.clear()

        many()
        gc.collect()
        gc.disable()
        try:
            many()
            unreachable = gc.collect()
        finally:
            gc.enable()
    assert unreachable < 50
