"""However a request ends, what was set aside for it of its key's limits comes back, once."""

from __future__ import annotations

import asyncio
import json
import time

import httpx2 as httpx

from tests.gateway.test_door import Elsewhere
from tests.gateway.test_fallbacks import dies, garbage, says_nothing
from tests.gateway.test_lifecycle import Served, fake, play
from tests.gateway.wire.kit import LAST, SSE, chunk, event
from weighbridge.engines import Model
from weighbridge.gateway import keys
from weighbridge.ledger import folder_of, rows

SETTINGS = """
queue_timeout_seconds = 2
[models.far]
fallback = ["near"]
hedge_seconds = 0.3
request_timeout_seconds = 3
[models.alone]
retries = 1
[models.mute]
first_byte_timeout_seconds = 0.3
[policies.thrift]
cascade = ["unsure", "picky"]
[policies.heeds]
cascade = ["mute", "picky"]
"""
CHAT = "/v1/chat/completions"
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
)
PLAIN = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
GHOST = {**PLAIN, "tool_choice": {"type": "function", "function": {"name": "ghost"}}}
KEPT = {"previous_response_id": "x", "input": "x"}
STREAM = {**PLAIN, "stream": True}


async def streams_and_dies(reader, writer):
    writer.write(SSE + chunk(event("first")))
    await writer.drain()
    raise ConnectionError


async def half_a_head(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    await writer.drain()
    await reader.read(1)
    raise ConnectionError


async def streams_without_end(reader, writer):
    writer.write(SSE)
    for _ in range(500):
        writer.write(chunk(event("more ")))
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.write(LAST)


def test_every_ending_gives_back_what_was_set_aside(tmp_path):
    _, secret = keys.create(tmp_path / "keys.json", "anna", concurrency=100, tokens_per_minute=1_000_000)
    far, alone, mute = Elsewhere(), Elsewhere(), Elsewhere()
    models = [
        far.model(),
        Model("alone", "remote", options=dict(alone.model().options)),
        Model("mute", "remote", options={**mute.model().options, "speaks": "chat"}),
        fake("near", tokens_per_second=200),
        fake("dies", die_after_tokens=2),
        fake("never", fail_start="no"),
        fake("slow", tokens=500, tokens_per_second=50),
        fake("unsure", log_probability=-3.0),
        fake("picky"),
    ]

    async def story(served: Served) -> None:
        (meter,) = served.gateway.guard.limiter._meters.values()
        served.http.headers["authorization"] = f"Bearer {secret}"

        async def settled(what: str) -> None:
            until = time.monotonic() + 30
            while meter.in_flight:
                assert time.monotonic() < until, f"{what} still holds its place"
                await asyncio.sleep(0.005)

        async def ask(model: str, body: object = PLAIN, path: str = CHAT) -> int:
            """The status, 0 where the answer was cut."""
            try:
                answer = await served.http.post(path, json={"model": model, **body})
            except httpx.RemoteProtocolError:
                return 0
            assert answer.headers["x-request-id"].startswith("req_")
            return answer.status_code

        async def leave(model: str, body: object, seconds: float) -> None:
            raw = json.dumps({"model": model, **body}).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
            writer.write(HEAD % (secret.encode(), len(raw)) + raw)
            await asyncio.sleep(seconds)
            writer.transport.abort()

        async with far, alone, mute:
            far.script = alone.script = mute.script = dies
            for model, path, body, status in (
                ("far", CHAT, PLAIN, 200),
                ("far", CHAT, GHOST, 400),  # its fallback can't be asked
                ("near", CHAT, GHOST, 400),
                ("far", "/v1/responses", KEPT, 400),
                ("near", "/v1/responses", KEPT, 400),
                ("auto:thrift", CHAT, GHOST, 400),
                ("auto:thrift", CHAT, {"n": 2, **PLAIN}, 200),
                ("auto:heeds", CHAT, GHOST, 400),  # the second one can't be asked
                ("near", CHAT, {"n": 3, **PLAIN}, 200),
                ("dies", CHAT, {"n": 3, **STREAM}, 0),
                ("near", "/v1/messages/count_tokens", PLAIN, 501),
                ("alone", CHAT, STREAM, 502),
                ("never", CHAT, {"n": 2, **PLAIN}, 503),
            ):
                assert await ask(model, body, path) == status, (model, path, body)
                await settled(f"{model} {path} {body}")
            for script in (garbage, streams_and_dies):
                far.script = alone.script = mute.script = script
                await asyncio.gather(*(ask(model, STREAM) for model in ("far", "alone", "mute")))
                await settled(script.__name__)
            far.script = mute.script = says_nothing
            assert await ask("mute") == 504
            await ask("far")
            await settled("a silent one")
            for script in (half_a_head, streams_without_end):
                far.script = alone.script = mute.script = script
                await asyncio.gather(*(
                    leave(model, body, seconds)
                    for model in ("far", "alone", "mute", "slow", "auto:thrift")
                    for body in (STREAM, PLAIN, {"n": 2, **STREAM})
                    for seconds in (0.0, 0.1, 0.4)
                ))  # fmt: skip
                await settled(f"one that was left: {script.__name__}")
        assert await ask("alone") == 503
        await settled("one that takes no connection")
        assert meter.tokens.level(time.time()) > 990_000

    play(tmp_path, models, story, SETTINGS)
    ids = [row.fields["id"] for row in rows(folder_of(tmp_path), wanted=lambda row: row.kind == "request")]
    assert len(ids) == len(set(ids)), "no attempt is told twice"
