"""A minute of requests that leave the short way (plain.c) in every way: no answer is lost, doubled or another's."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time

import psutil
import pytest
import uvloop

from tests.gateway.test_door import Elsewhere
from tests.gateway.test_lifecycle import Served, settings_of
from tests.gateway.test_plain import CHAT, Client, is_free, posted
from tests.gateway.wire.kit import SSE, chunk, whole
from weighbridge.gateway import serve
from weighbridge.ledger import folder_of, verify

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
CLIENTS = 48
MOST_MORE_BYTES = 12 << 20


async def oddly(draw: random.Random, writer, body: bytes) -> None:
    """One answer of many kinds, with the request's own mark in it; mostly a plain one."""
    mark = json.loads(body)["mark"]
    said = json.dumps({"mark": mark, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
    kind = draw.random()
    if kind < 0.7:
        writer.write(whole(said))
    elif kind < 0.75:
        writer.write(whole(said)[:-9])
        await asyncio.sleep(draw.random() * 0.02)
        writer.write(whole(said)[-9:])
    elif kind < 0.8:
        writer.write(SSE + chunk(b"data: %d\n\n" % mark) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    elif kind < 0.84:
        writer.write(whole(said, 400))
    elif kind < 0.88:
        await asyncio.sleep(draw.random())
        writer.write(whole(said))
    elif kind < 0.92:
        writer.write(whole(said, extra=b"Connection: close\r\n"))
        writer.close()
    elif kind < 0.94:
        writer.write(b"what?\r\n\r\n")
    elif kind < 0.96:
        writer.write(whole(said)[:40])
        writer.transport.abort()
    elif kind < 0.98:
        writer.transport.abort()
    else:
        writer.write(whole(said) + b"too much")


async def talk(served: Served, seed: int, until: float, heard: dict[str, int]) -> None:
    """One client after the other, each with some requests; some leave, some send ahead."""
    draw, mark = random.Random(seed), seed << 40
    while time.monotonic() < until:
        async with Client(served) as client:
            for _ in range(draw.randrange(1, 30)):
                ahead = 1 if draw.random() < 0.9 else 3
                marks = [mark := mark + 1 for _ in range(ahead)]
                for each in marks:
                    body = {"model": "far", "messages": [{"role": "user", "content": "go"}], "mark": each}
                    client.writer.write(posted(CHAT, json.dumps(body).encode()))
                if draw.random() < 0.05:
                    await asyncio.sleep(draw.random() * 0.01)
                    client.writer.transport.abort()
                    break
                if not await is_answered(client, marks, heard):
                    break


async def is_answered(client: Client, marks: list[int], heard: dict[str, int]) -> bool:
    """Whether all came, each with its own mark, and the connection holds."""
    for mark in marks:
        try:
            async with asyncio.timeout(30):
                head = await client.reader.readuntil(b"\r\n\r\n")
                if b"chunked" in head:
                    body = await client.reader.readuntil(b"0\r\n\r\n")
                else:
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    body = await client.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            heard["cut"] += 1
            return False
        status = head[9:12].decode()
        heard[status] = heard.get(status, 0) + 1
        if status in ("200", "400") and b'"error"' not in body:
            assert b"%d" % mark in body, "it is another's answer"
        if b"connection: close" in head.lower():
            return False
    return True


@pytest.mark.soak
def test_whatever_comes_amid_a_plain_request_each_client_gets_its_own_answer_once(tmp_path):
    draw, heard = random.Random(7), {"cut": 0}

    async def answers(reader, writer):
        try:
            await oddly(draw, writer, far.asked.pop()[2])
        except RuntimeError as error:  # as uvloop says that nobody is there any more
            raise ConnectionError from error

    far = Elsewhere(answers)

    async def story() -> int:
        settings = settings_of(tmp_path, api_key="s3cret")
        async with far, serve([far.model()], settings, lambda line: None) as (gateway, url):
            served = Served(gateway, url, [])
            async with served.openai, served.http:
                until = time.monotonic() + SECONDS / 4
                await asyncio.gather(*(talk(served, seed, until, heard) for seed in range(CLIENTS)))
                before = psutil.Process().memory_info().rss
                until = time.monotonic() + SECONDS * 3 / 4
                await asyncio.gather(*(talk(served, CLIENTS + seed, until, heard) for seed in range(CLIENTS)))
                async with asyncio.timeout(30):
                    while not is_free(served):
                        await asyncio.sleep(0.05)
                return psutil.Process().memory_info().rss - before

    more_bytes = uvloop.run(story())
    print(f"{SECONDS:.0f} s: {heard}, {more_bytes / 2**20:.1f} MiB more")
    assert heard["200"] > 20 * SECONDS
    assert more_bytes < MOST_MORE_BYTES
    assert verify(folder_of(tmp_path)).is_untouched
