"""The short way of plain requests (plain.c): nobody can tell it from the full way, and the full way takes over at any
point."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
from dataclasses import replace

import pytest

from tests.gateway.test_door import Elsewhere
from tests.gateway.test_ledger import rows_of
from tests.gateway.test_lifecycle import Served, play
from tests.gateway.wire.kit import SSE, chunk, event, whole
from weighbridge.gateway import keys, scheduler
from weighbridge.gateway.recent import Recent
from weighbridge.gateway.wire.quick import compiled

pytestmark = pytest.mark.skipif(compiled is None, reason="plain.c was not compiled: no headers of Python here")

CHAT = "/v1/chat/completions"
BODY = {"model": "far", "messages": [{"role": "user", "content": "hé"}]}
ANSWER = json.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode()


def posted(path: str, body: bytes, lines: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\nContent-Type: application/json\r\n"
    )
    return f"{head}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Client:
    """One connection, and what comes back as it came."""

    def __init__(self, served: Served) -> None:
        self.port = int(served.url.rsplit(":", 1)[1])

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        return await self.answer()

    async def answer(self) -> bytes:
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            return head + await self.reader.readexactly(int(length[1]))


def tale(tmp_path, far: Elsewhere, story, name: str = "far") -> None:
    """A story before a gateway with one server elsewhere; `served.full` counts the requests that took the full way."""

    async def begun(served: Served) -> None:
        door = served.gateway.door
        begin, go_on, served.full = door.begin, door.go_on, []
        door.begin = lambda *known: (served.full.append("begun"), begin(*known))[1]
        door.go_on = lambda *known: (served.full.append("taken over"), go_on(*known))[1]
        served.http.headers["authorization"] = "Bearer s3cret"
        async with far:
            async with Client(served) as client:
                # A connection to the engine is made, and who calls is known.
                assert b" 200 " in await client.ask(posted(CHAT, json.dumps({**BODY, "model": name}).encode()))
            served.full.clear()
            await story(served)

    own = "far" if name == "auto" else name
    play(tmp_path, [replace(far.model(), name=own)], begun, api_key="s3cret")


def is_free(served: Served) -> bool:
    """Whether nothing is held any more."""
    gateway = served.gateway
    serving = any(model.serving for model in gateway.pool.state.models.values())
    beside = any(life.health.serving for life in gateway.pool.lives.values())
    return not serving and not beside and not gateway.metrics.in_flight


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def some_requests(seed: int, name: str):
    """Requests of many forms, with an answer's head lines and body for each."""
    draw = random.Random(seed)
    lines = [
        *(
            "User-Agent: x/1\r\n",
            "Accept:*/*\r\n",
            "Cookie: secret\r\n",
            "X-Foo: \t a b\r\n",
            "Connection: keep-alive\r\n",
        ),
        *("traceparent: 00-1\r\n", "Expect: 100-continue\r\n", "X-Foo: 1\r\nx-foo: 2\r\n", "X-Api-Key: no\r\n"),
    ]
    more = [
        *({}, {"n": 1}, {"stream": False}, {"stream": None}, {"tool_choice": "auto"}, {"temperature": 0.5}, {"x": "é"}),
        *({"messages": [{"role": "user", "content": "x" * 6000}]}, {"input": ["a"], "prompt": "b"}),
    ]
    back = [
        *(b"", b"X-Request-Id: theirs\r\n", b"Server: x\r\n", b"Connection: keep-alive\r\n", b"Set-Cookie: a\r\n"),
        *(
            b"X-Ratelimit-Left:7\r\n",
            b"X-RateLimit-Limit-Requests: 5\r\n",
            b"Connection: close\r\n",
            b"Date: now\r\nX-A: b\r\n",
        ),
    ]
    usage = [
        *({}, {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}, {"usage": None, "é": 1}, {"x": "y" * 9000}),
        {"usage": {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 4}},
        {"timings": {"prompt_n": 1}},
    ]
    for _ in range(120):
        path = draw.choice([CHAT, CHAT, CHAT, "/v1/completions", "/v1/embeddings", "/v1/rerank", "/tokenize"])
        fields = {**BODY, "model": name, **draw.choice(more)}
        body = draw.choice([json.dumps, lambda each: json.dumps(each, ensure_ascii=False, indent=1)])(fields).encode()
        if draw.random() < 0.1:
            body = body.replace(b'"model"', draw.choice([b'"model": "none", "model"', b'"mod\\u0065l"']), 1)
        request = posted(path, body, "".join(draw.sample(lines, draw.randrange(4))))
        if draw.random() < 0.1:
            request = request.replace(b"application/json", b"application/json; charset=utf-8")
        yield (
            request,
            draw.choice(back),
            json.dumps(draw.choice(usage), ensure_ascii=False).encode(),
            draw.choice([200, 200, 200, 201, 400, 500]),
        )


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("far", {}),
        ("deep", {}),
        ("auto", {}),
        ("far", {"tokens_per_day": 10**9, "requests_per_minute": 10**6, "concurrency": 1}),
    ],
)  # the engine knows it as `deep`
def test_no_client_engine_ledger_or_metric_can_tell_the_short_way_from_the_full_one(tmp_path, name, limits):
    said: list[tuple[bytes, bytes, int]] = []
    secret = keys.create(tmp_path / "keys.json", "anna", **limits)[1] if limits else "s3cret"

    async def answers(reader, writer):
        more, body, status = said[-1]
        writer.write(whole(body, status, more))
        if b"close" in more:
            writer.close()

    async def every(served: Served, *, is_short: bool):
        gateway, heard = served.gateway, []
        ways = gateway.plain.ways
        ways.open(1 << 20, 60.0) if is_short else ways.close()
        before = sum(meter.day_tokens for meter in gateway.guard.limiter._meters.values())
        far.asked.clear()
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(served))
            for request, more, body, status in some_requests(1, name):
                said.append((more, body, status))
                answer = await client.ask(request.replace(b"s3cret", secret.encode()))
                times = rb"(?i)request-id: req_\w+|\"req_\w+|x-ratelimit-(remaining|reset)-\w+: \w+"
                heard.append(re.sub(times, b"", answer))
                if b"connection: close" in heard[-1].lower():
                    client = await stack.enter_async_context(Client(served))
        gateway.plain.settle()
        counted = gateway.metrics.take()
        times = {name: [[labels, sum(found[:-1])] for labels, found in rows] for name, rows in counted.items()
                 if "_seconds" in name}  # fmt: skip
        remembered = sorted(str(each[1:]) for each in gateway.feedback._recent._plain)
        gateway.feedback._recent = Recent(1000, clock=lambda: 0.0)
        meters = gateway.guard.limiter._meters.values()
        spent = [(meter.in_flight, meter.day_tokens - before) for meter in meters]
        return heard, [*far.asked], counted | times, remembered, spent

    far = Elsewhere(answers)
    said.append((b"", ANSWER, 200))

    async def story(served: Served) -> None:
        served.gateway.metrics.take()
        served.gateway.feedback._recent = Recent(1000, clock=lambda: 0.0)
        full = await every(served, is_short=False)
        count = len(served.full)
        served.full.clear()
        short = await every(served, is_short=True)
        assert count - served.full.count("begun") > 30, "many of them are plain"
        for one, other in zip(short, full, strict=True):
            assert one == other
        assert is_free(served)

    tale(tmp_path, far, story, name)
    _, *rows = sorted(rows_of(tmp_path), key=lambda row: row["time"])
    assert len({row["id"] for row in rows}) == 240
    for row in rows:
        del row["id"], row["number"], row["time"], row["queue_us"], row["first_us"], row["total_us"]
    assert rows[:120] == rows[120:]


async def in_two(reader, writer):
    answer = whole(ANSWER)
    writer.write(answer[:-5])
    await asyncio.sleep(0.02)
    writer.write(answer[-5:])


async def in_a_stream(reader, writer):
    writer.write(SSE + chunk(event()) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def refused(reader, writer):
    writer.write(whole(b'{"error": {"message": "no", "code": "c"}}', 400))


async def garbled(reader, writer):
    writer.write(b"what?\r\n\r\n")


async def gone(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    writer.transport.abort()


async def more_than_said(reader, writer):
    writer.write(whole(ANSWER) + b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("odd", "status", "outcome"),
    [(in_two, 200, "done"), (in_a_stream, 200, "done"), (refused, 400, "error"), (garbled, 502, "failed"),
     (gone, 502, "failed"), (more_than_said, 200, "done")],
    ids=lambda each: getattr(each, "__name__", ""),
)  # fmt: skip
def test_an_answer_that_is_not_plain_is_heard_on_the_full_way(tmp_path, odd, status, outcome):
    scripts = []

    async def answers(reader, writer):
        if scripts:
            await scripts.pop()(reader, writer)
        else:
            writer.write(whole(ANSWER))

    far = Elsewhere(answers)

    async def story(served: Served) -> None:
        body = json.dumps(BODY).encode()
        async with Client(served) as client:
            scripts.append(odd)
            client.writer.write(posted(CHAT, body))
            said = await client.reader.readuntil(b"0\r\n\r\n") if odd is in_a_stream else await client.answer()
            assert served.full == ["taken over"]
            assert said.startswith(b"HTTP/1.1 %d " % status)
            # The connection takes the next one, and the short way does.
            if b"connection: close" not in said:
                assert b" 200 " in await client.ask(posted(CHAT, body))
        assert is_free(served)
        shown = (await served.http.get("/metrics")).text
        assert f'path="{CHAT}",route="name",status="{status}"' in shown

    tale(tmp_path, far, story)
    assert rows_of(tmp_path)[1]["outcome"] == outcome


def test_a_client_that_leaves_is_told_to_the_engine_and_its_place_is_free(tmp_path):
    async def waits(reader, writer):
        if len(far.asked) == 1:
            writer.write(whole(ANSWER))
            return
        await reader.read(1)
        raise ConnectionError

    far = Elsewhere(waits)

    async def story(served: Served) -> None:
        async with Client(served) as client:
            client.writer.write(posted(CHAT, json.dumps(BODY).encode()))
            await until(lambda: len(far.asked) == 2)
            assert served.full == []
            client.writer.transport.abort()
            await until(lambda: far.left_at is not None)
        await until(lambda: is_free(served))

    tale(tmp_path, far, story)
    assert [row["outcome"] for row in rows_of(tmp_path)] == ["done", "gone"]


def test_what_is_sent_ahead_is_answered_in_its_order(tmp_path):
    async def repeats(reader, writer):
        await asyncio.sleep(0.01)
        writer.write(whole(far.asked[-1][2]))

    far = Elsewhere(repeats)

    async def story(served: Served) -> None:
        bodies = [json.dumps({**BODY, "x": number}).encode() for number in range(4)]
        async with Client(served) as client:
            for body in bodies:
                client.writer.write(posted(CHAT, body))
                await asyncio.sleep(0.004)
            for body in bodies:
                assert (await client.answer()).endswith(body.replace(b'"far"', b'"deep"'))
        assert is_free(served)

    tale(tmp_path, far, story)


def test_a_decision_of_the_scheduler_and_a_sweep_amid_an_answer_lose_nothing(tmp_path):
    held = asyncio.Event()

    async def waits(reader, writer):
        if len(far.asked) > 1:
            await held.wait()
        writer.write(whole(ANSWER))

    far = Elsewhere(waits)

    async def story(served: Served) -> None:
        pool = served.gateway.pool
        async with Client(served) as client, Client(served) as other:
            client.writer.write(posted(CHAT, json.dumps(BODY).encode()))
            await until(lambda: len(far.asked) == 2)
            assert len(pool.state.models["far"].serving) == 1, "the scheduler knows of it from here on"
            pool._happen(scheduler.Tick())
            held.set()
            assert b" 200 " in await client.answer()
            assert served.full == []
            held.clear()
            other.writer.write(posted(CHAT, json.dumps(BODY).encode()))
            await until(lambda: len(far.asked) == 3)
            pool.lives["far"].connection.wire._sweep()
            assert served.full == ["taken over"]
            held.set()
            assert b" 200 " in await other.answer()
        assert is_free(served)

    tale(tmp_path, far, story)
    assert [row["outcome"] for row in rows_of(tmp_path)] == ["done"] * 3


def test_no_engine_gets_more_at_once_than_it_may(tmp_path):
    async def counts(reader, writer):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        writer.write(whole(ANSWER))

    now = most = 0
    far = Elsewhere(counts)

    async def story(served: Served) -> None:
        pool = served.gateway.pool
        model = pool.state.models["far"]
        pool._state = replace(pool.state, models={"far": replace(model, terms=replace(model.terms, at_once=2))})

        async def ask() -> None:
            async with Client(served) as client:
                for _ in range(10):
                    assert b" 200 " in await client.ask(posted(CHAT, json.dumps(BODY).encode()))

        await asyncio.gather(*(ask() for _ in range(8)))
        assert is_free(served)
        assert served.full.count("begun") < 80

    tale(tmp_path, far, story)
    assert most == 2


def test_a_key_that_is_revoked_or_may_not_is_refused_at_once(tmp_path):
    async def answers(reader, writer):
        writer.write(whole(ANSWER))

    far = Elsewhere(answers)

    async def story(served: Served) -> None:
        settings = served.gateway.settings
        path = settings.keys_path
        _, may = keys.create(path, "may", models=("far",))
        _, may_not = keys.create(path, "may-not", models=("other",))

        def asked(secret: str) -> bytes:
            return posted(CHAT, json.dumps(BODY).encode()).replace(b"s3cret", secret.encode())

        async with Client(served) as client:
            await asyncio.sleep(0.3)  # by then the keys are looked at again
            for _ in range(20):
                assert b" 200 " in await client.ask(asked(may))
                assert b" 404 " in await client.ask(asked(may_not))
            assert served.full.count("begun") < 20, "most of them are plain"
            keys.revoke(path, "may")
            await asyncio.sleep(0.3)
            assert b" 401 " in await client.ask(asked(may))
        assert is_free(served)

    tale(tmp_path, far, story)
