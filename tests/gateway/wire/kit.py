"""A gateway of the wire's parts and a scripted engine, each with real sockets in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field

import uvloop

from weighbridge.gateway.wire import Body, Limits, Relay, Upstream, UpstreamLimits, listen_tcp, serve


class Loop:
    """An event loop in a thread."""

    def __init__(self):
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work, seconds=20):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


@dataclass
class Asked:
    """A request as the engine got it, and what became of it."""

    line: str
    headers: dict[str, str]
    body: bytes
    nth: int
    """How many requests its connection has brought, this one included."""
    gone_at: float | None = None
    sent_bytes: int = 0


def event(content="hello", **more):
    delta = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "c", "choices": [delta], **more}, ensure_ascii=False).encode() + b"\n\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def whole(body, status=200, extra=b""):
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, extra, len(body)) + body


@dataclass
class Engine:
    """What answers upstream: `script(asked, reader, writer)` writes the answer, and closes or keeps the connection."""

    loop: Loop
    script: object
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def start(self, path=None):
        async def begin():
            if path:
                return await asyncio.start_unix_server(self._serve, str(path), limit=64 << 20)
            return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=64 << 20)

        self.server = self.loop.run(begin())
        if not path:
            self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        nth = 0
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                nth += 1
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:-2])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(head[0], headers, body, nth)
                self.asked.append(asked)
                await self.script(asked, reader, writer)
                if writer.is_closing():
                    break
        writer.close()


async def until_gone(asked, reader, seconds=100):
    """Wait for the gateway to close, and note when it did."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(seconds):
            if await reader.read(1) != b"":
                return
    asked.gone_at = time.monotonic()


class Door:
    """A gateway that passes every POST to the engine, and all else to an ASGI application."""

    def __init__(self, loop, app=None, *, limits=None, upstream_limits=None, tls=None, relay=Relay, path=None):
        self.loop = loop
        self.app = app
        self.relays = []
        self.make_relay = relay
        self.limits = limits or Limits(sweep_seconds=0.1)
        self.upstream_limits = upstream_limits or UpstreamLimits(sweep_seconds=0.1)
        self.tls = tls
        self.listener = path or listen_tcp("127.0.0.1", 0)
        self.port = 0 if path else self.listener.getsockname()[1]

    def start(self, address):
        async def begin():
            self.upstream = Upstream(
                address, headers=[(b"authorization", b"Bearer engine-key")], limits=self.upstream_limits
            )
            self.server = await serve([self.listener], self.route, self.app, limits=self.limits, tls=self.tls)

        self.loop.run(begin())
        return self

    def route(self, request):
        return self.work if request.method == b"POST" else None

    def work(self, request, response):
        body = Body(request.body)
        relay = self.make_relay(response)
        self.relays.append(relay)
        relay.start(self.upstream, request.target, request.parts, request.passed_on)
        assert body is not None

    def stop(self):
        async def end():
            await self.server.drain(0.0)
            self.upstream.close()

        self.loop.run(end())


def post(model="m", stream=False, extra=b"", **more):
    body = json.dumps({"model": model, "stream": stream, "messages": [], **more}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Caller:
    """A client that shows every byte."""

    def __init__(self, port, seconds=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def some(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        self.held += data
        return data

    def until(self, mark):
        while mark not in self.held:
            if not self.some():
                raise EOFError(self.held[-500:])
        before, _, self.held = self.held.partition(mark)
        return before + mark

    def rest(self):
        while self.some():
            pass
        data, self.held = self.held, b""
        return data

    def answer(self):
        """One answer: status, headers, body. EOFError where it is cut."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:-2])}
        if status == 100:
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self._exactly(size + 2)[:-2]
            self._exactly(2)
            return status, headers, body
        return status, headers, self._exactly(int(headers.get("content-length", 0)))

    def _exactly(self, size):
        while len(self.held) < size:
            if not self.some():
                raise EOFError(self.held[-500:])
        data, self.held = self.held[:size], self.held[size:]
        return data

    def is_closed(self):
        """Whether the gateway closes now, without another byte."""
        return self.some() == b""
