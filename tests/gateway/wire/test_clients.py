"""Clients that are slow, rude or many, the ASGI application beside the engines, TLS, Unix sockets, and the drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
import threading
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.patience import comes_true
from weighbridge.gateway.wire import Limits, listen_tcp, listen_unix, tls_context
from weighbridge.openai_api import ApiError

from .kit import LAST, SSE, Caller, Door, Engine, chunk, event, post, whole


async def says_hello(asked, reader, writer):
    await asyncio.sleep(0.3 if b"slow" in asked.body else 0)
    writer.write(whole(b"{}"))


GET = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"


# Slow and rude ones.


def test_half_a_head_is_408_and_silence_is_closed(door):
    running, _ = door(says_hello, limits=Limits(head_seconds=0.3, sweep_seconds=0.05))
    with Caller(running.port) as half, Caller(running.port) as silent:
        half.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Half: ")
        status, headers, _ = half.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert half.is_closed()
        assert silent.is_closed()


def test_a_head_that_comes_byte_by_byte_has_no_more_time(door):
    running, _ = door(says_hello, limits=Limits(head_seconds=0.4, sweep_seconds=0.05))
    with Caller(running.port) as caller:
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 1_000:
                caller.send(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - begun < 60, "the whole head takes two minutes"


def test_a_body_slower_than_the_limit_is_408_and_a_steady_one_is_not(door):
    limits = Limits(body_bytes_per_second=100, body_window_seconds=0.4, sweep_seconds=0.05)
    running, engine = door(says_hello, limits=limits)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with Caller(running.port) as slow:
        slow.send(head + b"{")
        assert slow.answer()[0] == 408
    with Caller(running.port) as steady:
        steady.send(head + b"{" + b" " * 198)
        for _ in range(8):
            time.sleep(0.1)
            steady.send(b" " * 100)
        assert steady.send(b"}").answer()[0] == 200
    assert len(engine.asked) == 1


def test_an_idle_connection_is_closed_without_a_word(door):
    running, _ = door(says_hello, limits=Limits(idle_seconds=0.3, sweep_seconds=0.05))
    with Caller(running.port) as caller:
        assert caller.send(post()).answer()[0] == 200
        begun = time.monotonic()
        assert caller.is_closed()
        assert time.monotonic() - begun > 0.2


@pytest.mark.parametrize("framing", [b"Content-Length: 1073741824", b"Transfer-Encoding: chunked"])
def test_a_body_of_a_gigabyte_is_refused_long_before_its_end(door, framing):
    running, engine = door(says_hello, limits=Limits(body_bytes=1 << 20, linger_bytes=1 << 20, linger_seconds=1.0))
    sent = 0
    with Caller(running.port) as caller:
        caller.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        caller.socket.settimeout(2)
        piece = b"10000\r\n" + b"a" * 65_536 + b"\r\n" if b"chunked" in framing else b"a" * 65_536
        with contextlib.suppress(OSError):
            while sent < 1 << 30:
                sent += caller.socket.send(piece)
        # The kernel's buffers take some; the client can read why it was refused although it has sent on.
        assert sent < 64 << 20
        status, headers, body = caller.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert b"body_too_large" in body
    assert not engine.asked


def test_one_who_asks_before_sending_is_told_to_go_on(door):
    running, engine = door(says_hello)
    head, _, body = post().partition(b"\r\n\r\n")
    with Caller(running.port) as caller:
        caller.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert caller.answer()[0] == 100
        assert not engine.asked
        assert caller.send(body).answer()[0] == 200
        # One that is too large is refused in place of that.
        caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        assert caller.answer()[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "\xff"}',
        b"[" * 10_000,
        b'{"a": ' * 10_000 + b"}" * 10_000,
        b"{",
        b"[]",
        b"",
        b'{"model": 1}',
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_a_body_that_is_no_json_object_is_400_and_the_connection_goes_on(door, body):
    running, engine = door(says_hello)
    with Caller(running.port) as caller:
        caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        status, headers, said = caller.answer()
        assert (status, headers["content-type"]) == (400, "application/json")
        assert b'"source": "gateway"' in said
        assert caller.send(post()).answer()[0] == 200
    assert len(engine.asked) == 1


def test_a_chunked_request_reaches_the_engine_whole(door):
    running, engine = door(says_hello)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Caller(running.port) as caller:
        assert caller.send(head + chunk(b'{"model"') + chunk(b': "m"}') + b"0\r\n\r\n" + post()).answer()[0] == 200
        assert caller.answer()[0] == 200
    assert engine.asked[0].body == b'{"model": "m"}'
    assert engine.asked[0].headers["content-length"] == "14"


def test_more_connections_than_allowed_are_503(door):
    running, _ = door(says_hello, limits=Limits(connections=3))
    callers = [Caller(running.port) for _ in range(3)]
    try:
        assert callers[0].send(post()).answer()[0] == 200
        with Caller(running.port) as one_more:
            assert one_more.answer()[0] == 503
        callers.pop().socket.close()
        time.sleep(0.05)
        with Caller(running.port) as again:
            assert again.send(post()).answer()[0] == 200
    finally:
        for caller in callers:
            caller.socket.close()


def test_answers_leave_without_waiting_for_acknowledgements(door):
    running, _ = door(says_hello)
    with Caller(running.port) as caller:
        caller.send(post()).answer()
        connection = next(iter(running.server.connections))
        line = next(iter(running.upstream.lines))
        for transport in (connection.transport, line.transport):
            there = transport.get_extra_info("socket")
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class Refusing(Door):
    """A gateway that takes no request, by its head alone."""

    def route(self, request):
        raise ApiError(405, "not that" + " way" * 50)


@pytest.fixture
def refusing(loops):
    made = Refusing(loops[0]).start(("127.0.0.1", 9))
    yield made
    made.stop()


def test_answers_that_nobody_reads_do_not_pile_up(refusing):
    count = 20_000
    with Caller(refusing.port) as caller:
        sending = threading.Thread(target=caller.send, args=(GET % b"/" * count,), daemon=True)
        sending.start()
        until = time.monotonic() + 30
        while not (connection := next(iter(refusing.server.connections), None)) or not connection.is_write_paused:
            assert time.monotonic() < until
            time.sleep(0.01)
        most = 0
        for _ in range(20):
            time.sleep(0.01)
            most = max(most, connection.transport.get_write_buffer_size())
        assert most < 1 << 20
        assert [caller.answer()[0] for _ in range(count)] == [405] * count
        sending.join(10)


def test_one_who_reads_no_answers_is_cut_off_in_the_end(loops):
    made = Refusing(loops[0], limits=Limits(write_stalled_seconds=0.3, sweep_seconds=0.05)).start(("127.0.0.1", 9))
    with Caller(made.port) as caller, contextlib.suppress(OSError):
        caller.socket.settimeout(30)
        caller.send(GET % b"/" * 100_000)
        until = time.monotonic() + 30
        while made.server.connections:
            assert time.monotonic() < until
            time.sleep(0.02)
    made.stop()


def test_refusals_leave_nothing_for_the_garbage_collector(refusing):
    with Caller(refusing.port) as caller:

        def many():
            for _ in range(50):
                caller.send(GET % b"/").answer()

        many()
        gc.collect()
        gc.disable()
        try:
            many()
            unreachable = gc.collect()
        finally:
            gc.enable()
    assert unreachable < 50


def test_bodies_of_all_together_are_bounded(door):
    running, _ = door(says_hello, limits=Limits(bodies_bytes=500_000, sweep_seconds=0.1))
    head = (
        post().replace(b"Content-Length", b"X-Length").partition(b"\r\n\r\n")[0] + b"\r\nContent-Length: 900000\r\n\r\n"
    )
    whole_one = post(pad="x" * 400_000)
    with Caller(running.port) as first, Caller(running.port) as second:
        first.send(head + b"x" * 300_000)
        until = time.monotonic() + 30
        while running.server.held_bytes < 200_000:
            assert time.monotonic() < until
            time.sleep(0.01)
        status, headers, body = second.send(head + b"x" * 300_000).answer()
        assert (status, headers["retry-after"], b"too_busy" in body) == (503, "1", True)
    with Caller(running.port) as third:
        while running.server.held_bytes:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert [third.send(whole_one).answer()[0] for _ in range(5)] == [200] * 5
        assert running.server.held_bytes == 0


def test_empty_lines_by_the_megabyte_hold_nobody_up(door):
    running, _ = door(says_hello)
    with Caller(running.port, seconds=30) as caller:
        assert caller.send(b"\r\n" * (6 << 20) + post()).answer()[0] == 200


# The application beside the engines.


async def echo(request):
    return JSONResponse({"method": request.method, "path": request.url.path, "query": request.url.query,
                         "size": len(await request.body()), "x": request.headers.getlist("x-a")})  # fmt: skip


FLOOD = {"sent": 0}


async def flood(request):
    async def pieces():
        FLOOD["sent"] = 0
        for _ in range(2_000):
            yield b"x" * 65_536
            FLOOD["sent"] += 65_536

    return StreamingResponse(pieces())


async def early(request):
    return PlainTextResponse("no need to read that")


async def slowly(request):
    taken = 0
    async for piece in request.stream():
        taken += len(piece)
        await asyncio.sleep(0.01)
    return PlainTextResponse(str(taken))


async def fails(request):
    raise ZeroDivisionError


async def cut(request):
    async def pieces():
        yield b"half"
        raise ZeroDivisionError

    return StreamingResponse(pieces())


APP = Starlette(
    routes=[
        Route("/echo", echo, methods=["GET", "PUT", "DELETE"]),
        Route("/flood", flood),
        Route("/early", early, methods=["PUT"]),
        Route("/slowly", slowly, methods=["PUT"]),
        Route("/fails", fails),
        Route("/cut", cut),
        Route("/none", lambda request: Response(status_code=204)),
    ]
)


def test_what_is_for_no_engine_is_the_applications(door):
    running, _ = door(says_hello, APP)
    with Caller(running.port) as caller:
        sent = b"PUT /echo?a=b%20c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 5\r\n\r\nhello"
        status, _, body = caller.send(sent).answer()
        assert status == 200
        assert body == b'{"method":"PUT","path":"/echo","query":"a=b%20c","size":5,"x":["1","2"]}'
        assert caller.send(post()).answer()[0] == 200
        assert caller.send(GET % b"/none").answer()[0] == 204
        assert caller.send(GET % b"/nowhere").answer()[0] == 404
        head = caller.send(b"HEAD /echo HTTP/1.1\r\nHost: x\r\n\r\n").until(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"content-length: 63" in head or b"content-length:" in head
        assert caller.send(GET % b"/echo").answer()[0] == 200
        assert caller.send(GET % b"/fails").answer()[0] == 500
        assert b"half" in caller.send(GET % b"/cut").rest()


def test_requests_to_both_sent_ahead_keep_their_order(door):
    running, _ = door(says_hello, APP)
    with Caller(running.port) as caller:
        caller.send(post("slow") + GET % b"/echo" + post() + GET % b"/nowhere")
        assert [caller.answer()[0] for _ in range(4)] == [200, 200, 200, 404]


def test_an_application_that_does_not_read_its_body_answers_and_the_rest_is_thrown_away(door):
    running, _ = door(says_hello, APP)
    with Caller(running.port) as caller:
        caller.send(b"PUT /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1000)
        status, headers, _ = caller.answer()
        assert (status, headers["connection"]) == (200, "close")
        with contextlib.suppress(OSError):
            caller.send(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.rest() == b""


def test_a_large_body_comes_to_the_application_at_its_own_pace(door):
    running, _ = door(says_hello, APP)
    with Caller(running.port) as caller:
        size = 8 << 20
        caller.send(b"PUT /slowly HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size)
        assert caller.answer()[2] == b"%d" % size


def test_an_application_waits_for_a_slow_reader_and_ends_with_it(door):
    running, _ = door(says_hello, APP)
    with Caller(running.port) as caller:
        caller.send(GET % b"/flood").until(b"\r\n\r\n")
        time.sleep(0.3)
        stopped_at = FLOOD["sent"]
        time.sleep(0.2)
        assert FLOOD["sent"] == stopped_at < 40 << 20
    assert comes_true(lambda: not running.server._tasks)
    assert FLOOD["sent"] < 2_000 * 65_536


# Ways in.


def test_tls_and_unix_sockets_are_ways_in(loops, tmp_path):
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    engine = Engine(loops[1], says_hello).start()
    locked = Door(loops[0], APP, tls=tls_context(tmp_path / "cert.pem", tmp_path / "key.pem"))
    locked.start(("127.0.0.1", engine.port))
    local = Door(loops[0], APP, path=listen_unix(tmp_path / "gate.sock")).start(("127.0.0.1", engine.port))
    try:
        trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        with Caller(locked.port) as caller:
            caller.socket = trust.wrap_socket(caller.socket, server_hostname="localhost")
            for _ in range(3):
                assert caller.send(post()).answer()[0] == 200
            assert caller.send(GET % b"/echo").answer()[0] == 200
            caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
            assert caller.answer()[0] == 413
        assert (tmp_path / "gate.sock").stat().st_mode & 0o777 == 0o600
        with Caller(locked.port) as caller:
            caller.socket.close()
            caller.socket = socket.socket(socket.AF_UNIX)
            caller.socket.connect(str(tmp_path / "gate.sock"))
            assert caller.send(post() + GET % b"/echo").answer()[0] == 200
            assert caller.answer()[0] == 200
    finally:
        locked.stop()
        local.stop()


def test_several_may_listen_at_one_port():
    first = listen_tcp("127.0.0.1", 0, shared=True)
    second = listen_tcp("127.0.0.1", first.getsockname()[1], shared=True)
    first.listen()
    second.listen()
    with pytest.raises(OSError, match="in use"):
        listen_tcp("127.0.0.1", first.getsockname()[1])
    first.close()
    second.close()


# The end.


def test_a_drain_lets_running_answers_finish_and_takes_nothing_more(door):
    async def script(asked, reader, writer):
        writer.write(SSE)
        for i in range(10):
            writer.write(chunk(event(f"t{i}")))
            await asyncio.sleep(0.05)
        writer.write(LAST)

    running, _ = door(script)
    with Caller(running.port) as idle, Caller(running.port) as busy:
        busy.send(post(stream=True)).until(b"t1")
        drained = asyncio.run_coroutine_threadsafe(running.server.drain(5), running.loop.loop)
        assert idle.is_closed()
        with pytest.raises(OSError, match="refused"):
            Caller(running.port)
        assert busy.rest().endswith(b"0\r\n\r\n")
        assert drained.result(60) == 0


def test_a_drain_cuts_off_who_takes_too_long(door):
    async def script(asked, reader, writer):
        writer.write(SSE + chunk(event()))
        with contextlib.suppress(OSError):
            await reader.read(1)
        asked.gone_at = time.monotonic()
        writer.close()

    running, engine = door(script)
    with Caller(running.port) as busy:
        busy.send(post(stream=True)).until(b"hello")
        assert running.loop.run(running.server.drain(0.2)) == 1
        assert not busy.rest().endswith(b"0\r\n\r\n")
    assert comes_true(lambda: engine.asked[0].gone_at)
