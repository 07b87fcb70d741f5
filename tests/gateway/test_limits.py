"""How much a key may ask: by a pure limiter, and through the door."""

from __future__ import annotations

import asyncio
import datetime
import random
import re
import socket
import time

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.test_door import Elsewhere
from tests.gateway.test_lifecycle import Served, fake, play
from tests.gateway.wire.kit import LAST, SSE, chunk, event
from weighbridge.gateway import keys
from weighbridge.gateway.keys import Key, Use
from weighbridge.gateway.rates import Limiter, Refused, _duration

SUM = "0" * 64


def limiter(now: float = 0.0, uses: dict[str, Use] | None = None, **limits: int) -> tuple[Limiter, str]:
    key = Key("anna", SUM, 0.0, **limits)
    found = Limiter()
    found.fit({key.id: key}, uses or {}, now)
    return found, key.id


def test_so_many_requests_a_minute_pass_and_one_more_when_its_share_of_the_minute_is_over():
    found, id_ = limiter(requests_per_minute=6)

    assert [type(found.admit(id_, 0, 0.0)) for _ in range(7)] == [int] * 6 + [Refused]
    refused = found.admit(id_, 0, 4.0)
    assert refused == Refused("requests per minute (RPM)", 6, pytest.approx(6.0))
    assert found.admit(id_, 0, 10.001) == 0
    assert isinstance(found.admit(id_, 0, 10.002), Refused)


def test_tokens_are_set_aside_and_put_right_by_what_was_used():
    found, id_ = limiter(tokens_per_minute=600)

    assert found.admit(id_, 400, 0.0) == 400
    assert isinstance(found.admit(id_, 400, 0.0), Refused)
    found.settle(id_, 400, 100, 0.0)
    assert found.admit(id_, 400, 0.0) == 400
    found.settle(id_, 400, 1000, 0.0)
    assert found.admit(id_, 1, 0.0) == Refused("tokens per minute (TPM)", 600, pytest.approx(50.1)), "overdrawn by 500"


def test_a_full_bucket_lets_one_through_whose_guess_is_larger_than_it():
    found, id_ = limiter(tokens_per_minute=100)

    assert found.admit(id_, 1_000_000, 0.0) == 100
    assert isinstance(found.admit(id_, 1, 0.0), Refused)


def test_tokens_of_a_day_last_over_a_restart_and_end_with_the_day():
    noon = 20_000 * 86_400.0 + 43_200
    before, id_ = limiter(noon, tokens_per_day=1000)
    admitted = before.admit(id_, 10, noon)
    before.settle(id_, admitted, 1200, noon)
    day, tokens = before.changed()[id_]
    assert (day, tokens) == (20_000, 1200)
    assert before.changed() == {}

    after, _ = limiter(noon, {id_: Use(noon, day, tokens)}, tokens_per_day=1000)
    assert after.admit(id_, 1, noon) == Refused("tokens per day (TPD)", 1000, 43_200.0)
    assert after.admit(id_, 1, noon + 43_200) == 1


def test_answers_at_once_are_bounded_and_each_end_makes_room():
    found, id_ = limiter(concurrency=2)

    reserved = [found.admit(id_, 5, 0.0) for _ in range(3)]
    assert reserved == [5, 5, Refused("answers at once", 2, 1.0)]
    found.settle(id_, 5, 0, 0.0)
    assert found.admit(id_, 5, 0.0) == 5


def test_other_limits_count_from_now_on_and_what_was_used_stays_used():
    found, id_ = limiter(requests_per_minute=2)
    assert [found.admit(id_, 0, 0.0), found.admit(id_, 0, 0.0)] == [0, 0]

    found.fit({id_: Key("anna", SUM, 0.0, requests_per_minute=3)}, {}, 0.0)
    assert found.admit(id_, 0, 0.0) == 0
    assert isinstance(found.admit(id_, 0, 0.0), Refused)
    found.fit({id_: Key("anna", SUM, 0.0)}, {}, 0.0)
    assert found.admit(id_, 0, 0.0) == 0
    found.fit({}, {}, 0.0)
    found.settle(id_, 0, 9, 0.0)
    assert found.admit(id_, 7, 0.0) == 0, "a key that is gone has no meter"


@given(
    capacity=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(-5, 30), st.integers(0, 80), st.integers(0, 80)), min_size=1, max_size=60),
)
def test_in_no_minute_more_is_taken_in_than_two_minutes_worth(capacity, steps):
    """A bucket that was full holds a minute's worth, and fills by another meanwhile, whatever the clock does."""
    found, id_ = limiter(1000.0, requests_per_minute=capacity, tokens_per_minute=100)
    now, latest, taken = 1000.0, 1000.0, []
    for elapsed, guess, used in steps:
        now += elapsed
        latest = max(latest, now)
        admitted = found.admit(id_, guess, now)
        if isinstance(admitted, Refused):
            assert admitted.wait_seconds > 0
        else:
            assert admitted <= 100
            found.settle(id_, admitted, used, now)
            taken.append(latest)
        lines = found.lines(id_, now)
        assert all(int(left) >= 0 for left in re.findall(rb"remaining-\w+: (-?\d+)", lines))
    backwards = sum(-elapsed for elapsed, *_ in steps if elapsed < 0)
    for begin in taken:
        within = sum(begin <= moment < begin + 60 for moment in taken)
        assert within <= 2 * capacity + 1 + backwards * capacity / 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, b"0ms"), (0.0165, b"17ms"), (1, b"1s"), (1.5, b"1.5s"), (60, b"1m0s"), (359.2, b"6m0s"), (9000, b"2h30m0s")],
)
def test_times_are_written_as_openai_writes_them(seconds, text):
    assert _duration(seconds) == text


# Through the door.


def client(served: Served, secret: str) -> openai.AsyncOpenAI:
    return served.openai.with_options(api_key=secret)


async def asked(served: Served, secret: str, **fields):
    body = {"model": "one", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5, **fields}
    path = "/v1/chat/completions"
    return await served.http.post(path, json=body, headers={"authorization": f"Bearer {secret}"})


def test_a_key_is_told_what_is_left_and_refused_in_the_apis_own_words(tmp_path):
    path = settings_keys(tmp_path)
    _, secret = keys.create(path, "anna", requests_per_minute=2, tokens_per_minute=1000)

    async def story(served: Served) -> None:
        first = await asked(served, secret)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-limit-tokens"] == "1000"
        assert 900 < int(first.headers["x-ratelimit-remaining-tokens"]) < 1000
        assert (await asked(served, secret)).status_code == 200
        refused = await asked(served, secret)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (error["code"], error["type"], error["source"]) == (
            "rate_limit_exceeded", "rate_limit_error", "gateway",
        )  # fmt: skip
        assert "'anna' on requests per minute (RPM): limit 2" in error["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert refused.headers["x-request-id"].startswith("req_")
        with pytest.raises(openai.RateLimitError):
            await client(served, secret).chat.completions.create(
                model="one", messages=[{"role": "user", "content": "x"}]
            )
        said = await served.http.post(
            "/v1/messages", headers={"x-api-key": secret},
            json={"model": "one", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]},
        )  # fmt: skip
        assert (said.status_code, said.json()["error"]["type"]) == (429, "rate_limit_error")
        assert said.json()["type"] == "error"
        assert said.json()["request_id"] == said.headers["request-id"]
        assert said.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert said.headers["anthropic-ratelimit-requests-remaining"] == "0"
        until = datetime.datetime.fromisoformat(said.headers["anthropic-ratelimit-requests-reset"])
        assert 0 < until.timestamp() - time.time() < 62
        assert not [name for name in said.headers if name.startswith("x-ratelimit")]

    play(tmp_path, [fake("one")], story)


def settings_keys(tmp_path):
    return tmp_path / "keys.json"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda raw: raw.replace(b'"content": "', b'"content": "data: '), id="as usual"),
        pytest.param(lambda raw: raw.replace(b"data: {", b"data:{"), id="without blanks"),
        pytest.param(lambda raw: raw.replace(b"\n", b"\r\n"), id="with CRLF"),
        pytest.param(lambda raw: raw.replace(b"data: {", b"data:{").replace(b"\n", b"\r"), id="with CR"),
    ],
)
def test_tokens_are_charged_by_the_answers_usage_and_a_stream_without_it_by_its_pieces(tmp_path, form):
    path = settings_keys(tmp_path)
    _, secret = keys.create(path, "anna", tokens_per_day=100_000)

    async def streams(reader, writer):
        raw = form(b"".join(event(f"{i} ") for i in range(50)) + b"data: [DONE]\n\n")
        writer.write(SSE)
        for at in range(0, len(raw), 97):
            writer.write(chunk(raw[at : at + 97]))
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    far = Elsewhere(streams)

    async def story(served: Served) -> None:
        meter = served.gateway.guard.limiter._meters[keys.read(path)[0].id]

        def spent() -> int:
            return meter.day_tokens

        async with far:
            usage = (await asked(served, secret)).json()["usage"]
            so_far = spent()
            assert so_far == usage["prompt_tokens"] + usage["completion_tokens"] > 0
            await asked(served, secret, model="far", stream=True, max_tokens=5000)
            charged = spent() - so_far
            assert 50 <= charged <= 51 + 30, "50 pieces and a short prompt, not the 5,000 that were allowed"
            so_far += charged
            assert (await asked(served, secret, model="bad")).status_code == 502
            assert spent() == so_far, "an error costs nothing"

    play(tmp_path, [fake("one"), far.model(), fake("bad", status=502)], story)
    assert next(iter(keys.uses(tmp_path).values())).tokens > 50, "kept for the next gateway"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_key_pays_for_both_answers_of_a_cascade(tmp_path, path):
    place = settings_keys(tmp_path)
    _, secret = keys.create(place, "anna", tokens_per_day=100_000)
    body = {"model": "auto:thrift", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}

    async def story(served: Served) -> None:
        answer = await served.http.post(path, json=body, headers={"authorization": f"Bearer {secret}"})
        assert answer.headers["x-weighbridge-model"] == "big"
        lines = (await served.http.get("/metrics", headers={"authorization": f"Bearer {root}"})).text.splitlines()
        used = [float(line.split()[-1]) for line in lines
                if line.startswith("weighbridge_tokens_total") and "cached" not in line]  # fmt: skip
        assert len(used) == 4
        assert min(used) > 0
        assert served.gateway.guard.limiter._meters[keys.read(place)[0].id].day_tokens == sum(used)

    _, root = keys.create(place, "root", admin=True)
    models = [fake("small", log_probability=-0.9), fake("big")]
    play(tmp_path, models, story, text='[policies.thrift]\ncascade = ["small", "big"]')


def test_a_request_whose_client_leaves_frees_its_place(tmp_path):
    path = settings_keys(tmp_path)
    _, secret = keys.create(path, "anna", concurrency=1)

    async def story(served: Served) -> None:
        leaving = asyncio.create_task(asked(served, secret, max_tokens=1000, stream=True))
        until = time.monotonic() + 60
        meter = served.gateway.guard.limiter._meters[keys.read(path)[0].id]
        while not meter.in_flight:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        refused = await asked(served, secret)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["retry-after"] == "1"
        assert (await asked(served, secret, model="nobody")).status_code in (404, 429)
        leaving.cancel()
        while (await asked(served, secret)).status_code == 429:
            assert time.monotonic() < until
            await asyncio.sleep(0.02)

    play(tmp_path, [fake("one", tokens_per_second=50, tokens=1000)], story)


_LET_GO = {7, 8}
"""States of a TCP connection whose other end has closed it: CLOSE and CLOSE_WAIT in Linux' tcp_states.h."""


def is_wanted(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end has a connection open, as the kernel knows before anybody reads of it."""
    end = writer.get_extra_info("socket")
    return end.fileno() >= 0 and end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] not in _LET_GO


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells the state of a connection")
def test_no_more_answers_at_once_than_a_key_may_have_are_asked_for_however_clients_leave(tmp_path):
    path = settings_keys(tmp_path)
    _, secret = keys.create(path, "anna", concurrency=2)
    body = b'{"model": "far", "stream": true, "messages": [{"role": "user", "content": "x"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    draw, computed, seen, ends = random.Random(3), set(), [], []

    async def streams(reader, writer):
        computed.add(writer)
        seen.append(sum(map(is_wanted, computed)))
        try:
            writer.write(SSE)
            for _ in range(draw.randrange(1, 8)):
                writer.write(chunk(event()))
                await writer.drain()
                await asyncio.sleep(0.001)
                if writer.transport.is_closing():
                    raise ConnectionError
            writer.write(LAST)
        finally:
            computed.remove(writer)

    async def asks(port: int) -> None:
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            status, leaves_after = 429, draw.choice([None, None, 0, 1, 2, 3])
            while status == 429:
                writer.write(request)
                if leaves_after == 0:
                    await asyncio.sleep(draw.choice([0, 0.001, 0.003]))
                    break
                answer = await reader.readuntil(b"\r\n\r\n")
                status = int(answer[9:12])
                if status == 429:
                    await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", answer)[1]))
                    await asyncio.sleep(0.002)
            if status == 200:
                for _ in range(leaves_after or 0):
                    await reader.read(100)
                if leaves_after is None:
                    await reader.readuntil(b"\r\n0\r\n\r\n")
            ends.append("read" if status == 200 and leaves_after is None else "left")
            writer.transport.abort() if draw.random() < 0.5 else writer.close()

    far = Elsewhere(streams)

    async def story(served: Served) -> None:
        meter = served.gateway.guard.limiter._meters[keys.read(path)[0].id]
        async with far, asyncio.timeout(60):
            await asyncio.gather(*(asks(int(served.url.rsplit(":", 1)[1])) for _ in range(20)))
            while meter.in_flight or computed:
                await asyncio.sleep(0.01)

    play(tmp_path, [far.model()], story)
    assert max(seen) == 2
    assert ends.count("read") > 40
    assert ends.count("left") > 40
    assert len(seen) > 100
