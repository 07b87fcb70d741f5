"""Two gateways, one without the short way of plain requests (plain.c), get the same requests and the same answers of an
engine, many of them damaged: nobody may see which of the two he has. `make fuzz` plays many more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.examples import examples
from tests.gateway.test_door import Elsewhere
from tests.gateway.test_ledger import rows_of
from tests.gateway.test_lifecycle import Served, settings_of
from tests.gateway.test_plain import BODY, CHAT, Client, is_free, posted, until
from tests.gateway.wire.kit import LAST, SSE, chunk, event, whole
from weighbridge.gateway import serve
from weighbridge.gateway.wire.quick import compiled

pytestmark = pytest.mark.skipif(compiled is None, reason="plain.c was not compiled: no headers of Python here")

_QUIET_ROUNDS = 30
"""Clients, gateways and engines share one event loop: what has not happened after so many rounds will not."""
ANSWER = whole(b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}')
_USAGE = b'{"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":2}}}'
ANSWERS = [
    ANSWER,
    whole(_USAGE, extra=b"X-More: 1\r\nSet-Cookie: a\r\nx-request-id: theirs\r\n"),
    whole(b'{"timings":{"predicted_n":3,"predicted_ms":5}}'),
    whole(b'{"error":{"message":"no","type":"x","code":"y"}}', 400),
    whole(b'{"error":{"message":"no"}}', 503, b"Retry-After: 1\r\n"),
    whole(b"x" * 9000),
    whole(b"{}")[:30],
    whole(b"{}") + b"extra",
    SSE + chunk(event()) + LAST,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b'{"a":1}') + b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 201 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"{}"),
    b"garbage\r\n\r\n",
]  # fmt: skip
KEYS = ["stream", "n", "tool_choice", "max_tokens", "temperature", "model", "messages", "x", "Model", "user"]
VALUES = [None, True, False, 1, 0, 1e9, "far", "deep", "nobody", "auto", "", [], {}, [{"role": "user", "content": "x"}],
          "x" * 700, "\u2028", "\U0001f600"]  # fmt: skip
PATHS = [*[CHAT] * 20, "/v1/completions", "/v1/embeddings", "/tokenize", "/v1/messages", f"{CHAT}?x=1", "/v1/responses",
         "/nope", "/health", "/v1/%63hat/completions"]  # fmt: skip
HOSTS = ["Host: localhost", "host:localhost", "HOST: 127.0.0.1:1"]
SHOWN = [*["Authorization: Bearer s3cret"] * 20, "authorization: bearer s3cret", "Authorization: Bearer nope",
         "Authorization: Basic x", "X-Z: none"]  # fmt: skip
KINDS = [*["Content-Type: application/json"] * 9, "content-type: application/json", "Content-Type:application/json",
         "X-Y: 1"]  # fmt: skip
LINES = ["X-A: 1", "X-A: 2", "X-B:   spaced  ", "X-C:", "X-D: é", "Accept: */*", "User-Agent: t", "Cookie: a=b",
         "Accept-Encoding: gzip", "Connection: keep-alive", "Connection: Keep-Alive", "Connection: close",
         "TE: trailers", "X-Api-Key: s3cret", "Expect: 100-continue", "Origin: http://localhost", "Upgrade: h2c",
         "x-request-id: mine", "Idempotency-Key: k", "anthropic-version: 1", "OpenAI-Beta: x",
         "Content-Type: text/plain", "content-TYPE: application/json; charset=utf-8", "Proxy-Connection: close",
         f"traceparent: 00-{'a' * 32}-{'b' * 16}-01"]  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What a client sends and what the engine says to it, and after how many bytes of either there is a pause."""

    request: bytes
    cut_at: int
    answer: bytes
    split_at: int
    is_broken_off: bool


def a_body(draw: random.Random) -> bytes:
    fields = dict(BODY)
    for _ in range(draw.randrange(3)):
        fields[draw.choice(KEYS)] = draw.choice(VALUES)
    if draw.random() < 0.1:
        del fields["model"]
    form = {"indent": draw.choice([None, None, 1]), "separators": draw.choice([None, (",", ":")])}
    text = json.dumps(fields, ensure_ascii=draw.random() < 0.5, **form)
    if draw.random() < 0.1:
        text = text.replace('"model": "far"', '"model": "none", "model": "far"')
    if draw.random() < 0.1:
        text = text.replace('"far"', '"f\\u0061r"')
    body = bytearray(text.encode())
    for _ in range(draw.randrange(1, 3) if draw.random() < 0.12 else 0):
        body[draw.randrange(len(body))] = draw.choice(b'"{}[],:\\\x00\xff tn0')
    return bytes(body)


def a_request(draw: random.Random) -> bytes:
    body = a_body(draw)
    lines = [draw.choice(HOSTS), draw.choice(SHOWN), draw.choice(KINDS), *draw.choices(LINES, k=draw.randrange(4))]
    draw.shuffle(lines)
    lines.insert(draw.choice([0, *[len(lines)] * 9]), f"Content-Length: {len(body)}")
    method, minor = draw.choice([*["POST"] * 30, "GET", "PUT", "post"]), draw.choice([*[1] * 30, 0])
    head = f"{method} {draw.choice(PATHS)} HTTP/1.{minor}\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    raw = bytearray(head.encode("latin-1"))
    if draw.random() < 0.06:
        raw[draw.randrange(len(raw))] = draw.choice(b"\r\n \t:\x00\xffA0")
    return bytes(raw) + body


def a_scene(draw: random.Random) -> Scene:
    request = a_request(draw)
    return Scene(
        request,
        cut_at=draw.randrange(1, len(request)) if draw.random() < 0.15 else 0,
        answer=draw.choice(ANSWERS) if draw.random() < 0.6 else ANSWER,
        split_at=draw.randrange(1, 200) if draw.random() < 0.2 else 0,
        is_broken_off=draw.random() < 0.08,
    )


class Side:
    """A gateway, its engine, and a client that keeps what comes as it comes."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.far = Elsewhere(self._answer)
        self.scene = Scene(b"", 0, ANSWER, 0, is_broken_off=False)

    @contextlib.asynccontextmanager
    async def serving(self):
        self.folder.mkdir()
        given = settings_of(self.folder, api_key="s3cret")
        async with self.far, serve([self.far.model(api_key="theirs")], given, lambda line: None) as (gateway, url):
            self.served = Served(gateway, url, [])
            async with self.served.openai, self.served.http:
                yield self

    async def _answer(self, reader, writer):
        scene = self.scene
        at = scene.split_at % len(scene.answer)
        if at:
            writer.write(scene.answer[:at])
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(scene.answer[at:])
        await writer.drain()
        if scene.is_broken_off:
            raise ConnectionError

    async def begin(self, scene: Scene) -> None:
        self.scene = Scene(b"", 0, ANSWER, 0, is_broken_off=False)
        async with Client(self.served) as client:  # a connection to the engine is idle then
            await client.ask(posted(CHAT, json.dumps(BODY).encode()))
        await until(lambda: is_free(self.served))
        self.far.asked.clear()
        self.scene, self.heard, self.is_closed = scene, b"", False
        self.client = Client(self.served)
        await self.client.__aenter__()
        self.listening = asyncio.create_task(self._listen())
        self.telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        with contextlib.suppress(ConnectionError):
            if self.scene.cut_at:
                self.client.writer.write(self.scene.request[: self.scene.cut_at])
                await asyncio.sleep(0.005)
            self.client.writer.write(self.scene.request[self.scene.cut_at :])

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await self.client.reader.read(1 << 16):
                self.heard += piece
        self.is_closed = True

    async def end(self) -> None:
        await self.telling
        self.client.writer.close()
        await self.listening
        await until(lambda: is_free(self.served))

    def is_whole(self) -> bool:
        """Whether the client can know that nothing more comes."""
        head, _, body = self.heard.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return self.is_closed or (len(body) == int(length[1]) if length else body.endswith(b"\r\n0\r\n\r\n"))

    def seen(self) -> object:
        """By client and engine, without what differs from one request to the next."""
        head, _, body = re.sub(rb"req_\w+", b"", self.heard).partition(b"\r\n\r\n")
        asked = [(path, headers | {"host": ""}, body) for path, headers, body in self.far.asked]
        return (
            sorted(head.lower().split(b"\r\n")),
            re.sub(rb'"uptime_seconds":\s*[0-9.]+', b"", body),
            self.is_closed,
            asked,
        )

    async def counted(self) -> dict[str, str]:
        answer = await self.served.http.get("/metrics", headers={"authorization": "Bearer s3cret"})
        names = r"weighbridge_(requests|tokens|routed|cancelled)_total|weighbridge_requests_in_flight"
        return dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if re.match(names, line))

    def rows(self) -> Counter[str]:
        times = {"id", "number", "time", "queue_us", "first_us", "total_us", "engine"}
        told = [{key: value for key, value in row.items() if key not in times} for row in rows_of(self.folder)]
        return Counter(json.dumps(row, sort_keys=True) for row in told)


def taken_in_full(side: Side) -> list[object]:
    """Grows by each request that is begun on the full way."""
    door, taken = side.served.gateway.door, []
    begin = door.begin
    door.begin = lambda *known: (taken.append(known[0]), begin(*known))[1]
    return taken


async def play_both(one: Side, other: Side, scene: Scene) -> None:
    await one.begin(scene)
    await other.begin(scene)
    quiet, before = 0, None
    while quiet < _QUIET_ROUNDS and not (one.is_whole() and other.is_whole() and one.seen() == other.seen()):
        await asyncio.sleep(0.003)
        now = one.seen(), other.seen()
        quiet, before = quiet + 1 if now == before else 0, now
    assert one.seen() == other.seen(), scene
    await one.end()
    await other.end()


def test_damaged_requests_and_answers_are_the_same_by_the_short_way_and_the_full_one(tmp_path):
    draw = random.Random(7)
    short, full = Side(tmp_path / "short"), Side(tmp_path / "full")

    async def story() -> None:
        async with short.serving(), full.serving():
            short_way, full_way = taken_in_full(short), taken_in_full(full)
            full.served.gateway.plain.ways.close()
            for _ in range(examples(250)):
                await play_both(short, full, a_scene(draw))
            assert len(short_way) < len(full_way) / 2, "one of them has the short way, and one has not"
            assert await short.counted() == await full.counted()

    asyncio.run(story())
    assert short.rows() == full.rows()
