"""What fails before its first byte is asked again, or another is; after it, never."""

from __future__ import annotations

import asyncio
import time
from math import inf
from types import SimpleNamespace

import httpx2 as httpx
import pytest

from tests.gateway.test_door import Elsewhere, says_so
from tests.gateway.test_ledger import rows_of
from tests.gateway.test_lifecycle import Served, fake, play
from tests.gateway.wire.kit import SSE, chunk, event, whole
from weighbridge import ledger
from weighbridge.engines import Model
from weighbridge.gateway import keys
from weighbridge.gateway.fallbacks import Plan, Resort, pause_seconds
from weighbridge.ledger import folder_of
from weighbridge.routing import Route


def told_of(state, answer: httpx.Response) -> list[tuple]:
    """What the ledger tells of a request, in the order in which its attempts were over; its chain is sound."""
    assert ledger.verify(folder_of(state)).is_untouched
    name = answer.headers["x-request-id"]
    rows = [row for row in rows_of(state) if row["id"].startswith(name)]
    assert [row["id"] for row in rows] == [*(f"{name}_{at}" for at in range(1, len(rows))), name]
    for row in rows[:-1]:
        assert row["prompt_tokens"] is row["completion_tokens"] is row["first_us"] is row["status"] is None
    return [(row["model"], row["status"], row["outcome"], row["error"], row["reason"]) for row in rows]


ERROR = b'{"error": {"message": "no", "type": "server_error", "code": "busy"}}'


async def asked(served: Served, model: str = "far", **fields):
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 2, **fields}
    return await served.http.post("/v1/chat/completions", json=body)


async def until_cut(served: Served, model: str) -> bytes:
    """A stream of that model's own, up to where it is cut."""
    seen = b""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with served.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["x-weighbridge-model"] == model
        try:
            async for piece in answer.aiter_raw():
                seen += piece
        except httpx.RemoteProtocolError:
            return seen
    raise AssertionError("the stream came to an end as if it were whole")


def answers(*statuses: int, extra: bytes = b""):
    """A script: these statuses one after the other, and then answers."""
    left = list(statuses)

    async def script(reader, writer):
        writer.write(whole(ERROR, left.pop(0), extra) if left else whole(b'{"choices": [], "ok": 1}'))

    return script


async def garbage(reader, writer):
    writer.write(b"hello there\r\n\r\n")


async def dies(reader, writer):
    raise ConnectionError


async def says_nothing(reader, writer):
    await reader.read(1)
    raise ConnectionError


FALLBACK = '[models.far]\nfallback = ["gone", "near"]\n'


@pytest.mark.parametrize(
    ("script", "why", "outcome"),
    [
        (answers(*[500] * 9), "answered 500", ("error", "engine_error")),
        (answers(*[429] * 9), "answered 429", ("error", "engine_error")),
        (garbage, "broke off", ("failed", "engine_died")), (dies, "broke off", ("failed", "engine_died")),
        (says_nothing, "was silent for too long", ("failed", "engine_timeout")),
        (None, "could not be started or reached", ("error", "engine_unavailable")),
    ],
)  # fmt: skip
def test_another_model_answers_where_the_one_asked_fails_and_head_and_ledger_say_so(tmp_path, script, why, outcome):
    far, heard = Elsewhere(script), []

    async def story(served: Served) -> None:
        if script is None:
            answer = await asked(served)
        else:
            async with far:
                answer = await asked(served)
        heard.append(answer)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-weighbridge-model"] == "near"
        assert answer.headers["x-weighbridge-layer"] == "fallback"
        assert f"far {why}" in answer.headers["x-weighbridge-reason"]
        assert answer.headers["x-weighbridge-reason"].endswith(": near instead")
        assert (await served.model("far"))["requests_in_flight"] == 0
        counted = (await served.http.get("/metrics")).text
        assert 'weighbridge_routed_total{by="fallback",model="near"}' in counted
        assert "weighbridge_requests_in_flight 0.0" in counted

    rows = 'fallback = ["gone", "near"]\nfirst_byte_timeout_seconds = 0.3\n'
    play(tmp_path, [far.model(), fake("near")], story, f"[models.far]\n{rows}")
    assert told_of(tmp_path, *heard) == [
        ("far", None, *outcome, f"named in the request; it {why}"),
        ("near", 200, "done", None, f"named in the request; far {why}: near instead"),
    ]


def test_what_the_client_did_wrong_is_not_asked_elsewhere_and_nothing_is_after_the_first_byte(tmp_path):
    async def breaks(reader, writer):
        if b'"bad"' in far.asked[-1][2]:
            writer.write(whole(b'{"error": {"message": "no such thing", "type": "x", "code": "bad"}}', 400))
            return
        writer.write(SSE + chunk(event("first")))
        await writer.drain()
        raise ConnectionError

    far = Elsewhere(breaks)

    async def story(served: Served) -> None:
        async with far:
            refused = await asked(served, bad="bad")
            assert (refused.status_code, refused.headers["x-weighbridge-model"]) == (400, "far")
            seen = await until_cut(served, "far")
            assert b"first" in seen
            assert b"engine_died" in seen
            assert len(far.asked) == 2
        assert (await served.model("near"))["loads"] == 0

    play(tmp_path, [far.model(), fake("near")], story, FALLBACK)


def test_a_server_elsewhere_is_asked_again_after_the_pause_that_it_wants(tmp_path):
    far, heard = Elsewhere(answers(503, 429, extra=b"Retry-After: 1\r\n")), []

    async def story(served: Served) -> None:
        async with far:
            begun = time.monotonic()
            answer = await asked(served)
            assert (answer.status_code, len(far.asked)) == (200, 3)
            assert time.monotonic() - begun >= 2
            assert "asked again, as it answered 429" in answer.headers["x-weighbridge-reason"]
            far.script = answers(*[503] * 9)
            refused = await asked(served)
            assert (refused.status_code, len(far.asked)) == (503, 6), "so often, and then it is told"
            far.script = answers(503, extra=b"Retry-After: 3600\r\n")
            begun = time.monotonic()
            refused = await asked(served)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "3600")
            assert time.monotonic() - begun < 30, "nobody is kept waiting for an hour"
            heard.extend([answer, refused])

    play(tmp_path, [far.model()], story, "retries = 2\n")
    named = "named in the request"
    assert told_of(tmp_path, heard[0]) == [
        ("far", None, "error", "engine_error", f"{named}; it answered 503"),
        ("far", None, "error", "engine_error", f"{named}; asked again, as it answered 503; it answered 429"),
        ("far", 200, "done", None, f"{named}; asked again, as it answered 429"),
    ]
    assert told_of(tmp_path, heard[1]) == [("far", 503, "error", "engine_error", named)]


def test_pauses_grow_to_a_bound_and_a_long_one_that_is_asked_for_is_none():
    for attempt, middle in ((1, 0.25), (2, 0.5), (6, 8.0), (10, 8.0)):
        assert 0.75 * middle <= (pause_seconds(attempt, None) or 0) <= 1.25 * middle
    assert (pause_seconds(1, 7.0) or 0) == 7.0
    assert pause_seconds(1, 11.0) is None


def test_without_a_plan_a_failure_passes_with_its_time_to_come_back(tmp_path):
    far = Elsewhere(answers(429, extra=b"Retry-After: 7\r\n"))

    async def story(served: Served) -> None:
        async with far:
            refused = await asked(served)
            assert (refused.status_code, refused.headers["retry-after"], len(far.asked)) == (429, "7", 1)

    play(tmp_path, [far.model(), fake("near")], story)


async def nobody_else_is_asked(served: Served) -> bool:
    before = (await served.model("near"))["engine_tokens_predicted"]
    quick = await asked(served)
    await asyncio.sleep(0.3)
    after = (await served.model("near"))["engine_tokens_predicted"]
    return quick.headers["x-weighbridge-model"] == "far" and after == before


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_model_is_overtaken_and_its_engine_told_at_once(tmp_path, stream):
    far, heard = Elsewhere(says_nothing), []

    async def story(served: Served) -> None:
        async with far:
            await served.http.post("/admin/models/near/load")
            answer = await asked(served, stream=stream)
            assert (answer.status_code, answer.headers["x-weighbridge-model"]) == (200, "near")
            assert "far sent nothing for 0.2 s: near instead" in answer.headers["x-weighbridge-reason"]
            heard.append(answer)
            thumb = {"request_id": answer.headers["x-request-id"], "thumb": "up"}
            assert (await served.http.post("/v1/feedback", json=thumb)).json()["model"] == "near"
            lost = {**thumb, "request_id": f"{thumb['request_id']}_1"}
            assert (await served.http.post("/v1/feedback", json=lost)).status_code == 404
            until = time.monotonic() + 60
            while far.left_at is None:
                assert time.monotonic() < until
                await asyncio.sleep(0.005)
            assert (await served.model("far"))["requests_in_flight"] == 0
            far.script = says_so
            # A busy machine may make one of these slow too.
            assert any([await nobody_else_is_asked(served) for _ in range(5)])

    rows = '[models.far]\nfallback = ["near"]\nhedge_seconds = 0.2\n'
    play(tmp_path, [far.model(), fake("near")], story, rows)
    assert told_of(tmp_path, *heard) == [
        ("far", None, "dropped", None, "named in the request; near answered first"),
        ("near", 200, "done", None, "named in the request; far sent nothing for 0.2 s: near instead"),
    ]


def test_of_two_that_were_asked_the_first_one_may_still_answer(tmp_path):
    async def slowly(reader, writer):
        await asyncio.sleep(0.5)
        await says_so(reader, writer)

    far, other = Elsewhere(slowly), Elsewhere(says_nothing)
    second = Model("other", "remote", options={"url": f"http://127.0.0.1:{other.port}", "context_tokens": "4096"})
    heard = []

    async def story(served: Served) -> None:
        async with far, other:
            await served.http.post("/admin/models/other/load")
            answer = await asked(served)
            heard.append(answer)
            assert (answer.headers["x-weighbridge-model"], len(other.asked)) == ("far", 1)
            until = time.monotonic() + 60
            while other.left_at is None:
                assert time.monotonic() < until
                await asyncio.sleep(0.005)
            assert "weighbridge_requests_in_flight 0.0" in (await served.http.get("/metrics")).text

    rows = '[models.far]\nfallback = ["other"]\nhedge_seconds = 0.1\n'
    play(tmp_path, [far.model(), second], story, rows)
    assert told_of(tmp_path, *heard) == [
        ("other", None, "dropped", None,
         "named in the request; far sent nothing for 0.1 s: other instead; far answered first"),
        ("far", 200, "done", None, "named in the request"),
    ]  # fmt: skip


def test_a_model_that_fails_again_and_again_rests_and_comes_back(tmp_path):
    far = Elsewhere(answers(*[500] * 2))

    async def story(served: Served) -> None:
        async with far:
            for _ in range(5):
                assert (await asked(served)).headers["x-weighbridge-model"] == "near"
            assert len(far.asked) == 2
            reason = (await asked(served)).headers["x-weighbridge-reason"]
            assert "far has failed again and again and rests" in reason
            await asyncio.sleep(1.1)
            assert (await asked(served)).headers["x-weighbridge-model"] == "far"
            assert (await asked(served)).headers["x-weighbridge-model"] == "far"

    play(tmp_path, [far.model(), fake("near")], story, FALLBACK, breaker_failures=2)


def test_a_fallback_is_nothing_that_the_key_or_the_policy_does_not_allow(tmp_path):
    path = tmp_path / "keys.json"
    _, narrow = keys.create(path, "narrow", models=("near",))
    far = Elsewhere(says_so)
    rows = '[models.near]\nfallback = ["far"]\n[policies.private]\nplaces = ["here"]\n'

    async def story(served: Served) -> None:
        async with far:
            key = {"authorization": f"Bearer {narrow}"}
            boss = {"authorization": "Bearer s3cret"}
            body = {"messages": [{"role": "user", "content": "x"}]}
            path = "/v1/chat/completions"
            refused = await served.http.post(path, json={"model": "near", **body}, headers=key)
            assert refused.status_code == 500
            private = await served.http.post(path, json={"model": "auto:private", **body}, headers=boss)
            assert (private.status_code, far.asked) == (500, [])
            assert (await served.http.post(path, json={"model": "near", **body}, headers=boss)).status_code == 200

    play(tmp_path, [fake("near", status=500), far.model()], story, rows, api_key="s3cret")


def test_an_answer_may_take_only_so_long(tmp_path):
    heard = []

    async def story(served: Served) -> None:
        late = await asked(served, "slow", max_tokens=90_000)
        heard.append(late)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "request_timeout")
        assert late.headers["x-request-id"].startswith("req_")
        seen = await until_cut(served, "slow")
        assert seen.count(b"data: ") > 3
        assert b"request_timeout" in seen
        await served.until("slow", lambda model: not model["requests_in_flight"])

    rows = "[models.slow]\nrequest_timeout_seconds = 0.5\n"
    play(tmp_path, [fake("slow", tokens=100_000, tokens_per_second=40)], story, rows)
    assert told_of(tmp_path, *heard) == [("slow", 504, "error", "request_timeout", "named in the request")]
    stream = rows_of(tmp_path)[-1]
    assert (stream["status"], stream["outcome"], stream["error"]) == (200, "error", "request_timeout")


def test_a_client_that_leaves_while_a_pause_lasts_is_asked_for_nothing_more(tmp_path):
    far = Elsewhere(answers(*[503] * 9, extra=b"Retry-After: 1\r\n"))

    async def story(served: Served) -> None:
        async with far:
            leaving = asyncio.create_task(asked(served))
            await asyncio.sleep(0.3)
            leaving.cancel()
            await asyncio.sleep(1.2)
            assert len(far.asked) == 1
            assert "weighbridge_requests_in_flight 0.0" in (await served.http.get("/metrics")).text

    play(tmp_path, [far.model()], story, "retries = 3\n")
    attempt, left = rows_of(tmp_path)
    assert (attempt["id"], attempt["outcome"]) == (left["id"] + "_1", "error")
    assert (left["model"], left["asked"], left["outcome"], left["status"]) == (None, "far", "gone", None)


def test_each_attempt_is_a_row_also_where_none_helped_and_the_key_pays_for_none(tmp_path):
    path = tmp_path / "keys.json"
    _, secret = keys.create(path, "anna", tokens_per_day=1_000_000)
    far, heard = Elsewhere(answers(*[503] * 9)), []
    models = [far.model(), fake("never", fail_start="no"), fake("dying", die_after_tokens=0), fake("sure")]
    rows = '[models.far]\nfallback = ["never", "dying"]\nretries = 1\n[policies.pair]\ncascade = ["far", "sure"]\n'

    async def story(served: Served) -> None:
        (meter,) = served.gateway.guard.limiter._meters.values()
        served.http.headers["authorization"] = f"Bearer {secret}"
        async with far:
            heard.append(await asked(served))
            assert heard[0].status_code == 502, heard[0].text
            assert (meter.in_flight, meter.day_tokens) == (0, 0)
            heard.append(await asked(served, "auto:pair"))
            assert heard[1].headers["x-weighbridge-model"] == "sure"
            assert meter.in_flight == 0
            assert meter.day_tokens == sum(
                heard[1].json()["usage"][kind] for kind in ("prompt_tokens", "completion_tokens")
            )

    play(tmp_path, models, story, rows)
    named, refused = "named in the request", ("error", "engine_error")
    gave_up = f"{named}; never could not be started or reached: dying instead"
    assert told_of(tmp_path, heard[0]) == [
        ("far", None, *refused, f"{named}; it answered 503"),
        ("far", None, *refused, f"{named}; asked again, as it answered 503; it answered 503"),
        ("never", None, "error", "engine_unavailable",
         f"{named}; far answered 503: never instead; it could not be started or reached"),
        ("dying", None, "failed", "engine_died", f"{gave_up}; it ended before it answered, and was asked once more"),
        ("dying", 502, "failed", "engine_died", gave_up),
    ]  # fmt: skip
    cascade = told_of(tmp_path, heard[1])
    assert [row[:4] for row in cascade] == [
        ("far", None, *refused),
        ("far", None, *refused),
        ("sure", 200, "done", None),
    ]
    assert cascade[-1][4] == "pair: asked after far, whose answer is an error (503)"


def test_a_client_that_reads_slowly_holds_up_also_whoever_has_not_answered_yet():
    """The client falls behind with an answer of before, while the engine is still asked."""

    class Asked:
        is_paused = False

        def pause(self):
            self.is_paused = True

        def resume(self):
            self.is_paused = False

    class Client:
        writer = None
        is_paused = False
        status = 0

    def begin_one(request, attempt, body, route):
        attempt.writer = Asked()
        return attempt.writer

    async def story() -> None:
        fallbacks = SimpleNamespace(rests=lambda name: False, worked=lambda name: None)
        door, client = SimpleNamespace(fallbacks=fallbacks, begin_one=begin_one), Client()
        resort = Resort(door, None, client, None, Route("far", "named"), Plan((), 1, 0.0, inf)).start()
        (attempt,) = resort._running
        client.writer.pause()
        assert attempt.writer.is_paused
        client.writer.resume()
        assert not attempt.writer.is_paused

    asyncio.run(story())
