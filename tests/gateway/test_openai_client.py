"""The gateway, driven by the official `openai` client that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import httpx2 as httpx
import openai
import pytest

from tests.conftest import SHARED
from weighbridge.gateway.listening import listen


def ask(client, content, **options):
    settings = {"model": "auto", "temperature": 0, "messages": [{"role": "user", "content": content}]}
    return client.chat.completions.create(**(settings | options))


def test_a_chat_is_answered_and_says_who_answered(bundled_gateway):
    answer = ask(bundled_gateway.client(), "What is 37 plus 58?")

    assert answer.choices[0].message.content == "95"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "arithmetic"
    assert answer.usage.completion_tokens > 3


def test_a_stream_gives_the_same_answer_piece_by_piece(bundled_gateway):
    stream = ask(bundled_gateway.client(), "What is 37 plus 58?", stream=True, stream_options={"include_usage": True})
    events = list(stream)
    pieces = [event.choices[0].delta.content or "" for event in events if event.choices]

    assert "".join(pieces) == "95"
    assert len([piece for piece in pieces if piece]) == 2
    assert events[-1].usage.completion_tokens > 3


def test_the_route_and_its_reason_stand_in_the_headers(bundled_gateway):
    raw = bundled_gateway.client().chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "Anna Keller paid 45 euros on 3 March 2024."}]
    )

    assert raw.headers["x-weighbridge-model"] == "extract"
    assert raw.headers["x-weighbridge-reason"].startswith("auto: in form like ")
    assert raw.headers["x-request-id"].startswith("req_")


def test_a_schema_is_kept_by_a_model_that_never_learnt_it(gateway, tiny_gguf):
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2]}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    running = gateway(str(tiny_gguf()))
    answer = ask(
        running.client(),
        "anything",
        max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}},
    )
    made = json.loads(answer.choices[0].message.content)

    assert set(made) == {"ok", "n"}
    assert isinstance(made["ok"], bool)
    assert made["n"] in (1, 2)


def test_a_schema_is_kept_by_a_specialist(bundled_gateway):
    kinds = {
        "person": ["string", "null"],
        "amount": ["number", "null"],
        "currency": ["string", "null"],
        "date": "string",
    }
    properties = {name: {"type": kind} for name, kind in kinds.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    answer = ask(
        bundled_gateway.client(),
        "Anna Keller paid 45 euros on 3 March 2024.",
        model="extract",
        response_format={"type": "json_schema", "json_schema": {"name": "who", "schema": schema}},
    )

    fields = {"person": "Anna Keller", "amount": 45, "currency": "EUR", "date": "2024-03-03"}
    assert json.loads(answer.choices[0].message.content) == fields


def test_a_cancelled_stream_stops_the_engine(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf(context=65536)), flags=("--context", "65536", "--parallel", "1"))
    stream = ask(running.client(), "go on", stream=True)
    for _, _ in zip(range(5), stream, strict=False):
        pass
    assert running.ps()["tiny"]["engine_requests_processing"] == 1
    stream.close()
    found = running.wait_for("tiny", lambda model: model["engine_requests_processing"] == 0)

    assert found["requests_in_flight"] == 0
    assert found["engine_tokens_predicted"] < 60_000


def test_a_cancelled_plain_request_stops_the_engine(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf(context=65536)), flags=("--context", "65536", "--parallel", "1"))
    messages = [{"role": "user", "content": "go on"}]

    async def leave() -> None:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
            asking = asyncio.create_task(client.chat.completions.create(model="tiny", messages=messages))
            await asyncio.to_thread(running.wait_for, "tiny", lambda model: model["engine_requests_processing"] == 1)
            asking.cancel()

    asyncio.run(leave())
    found = running.wait_for("tiny", lambda model: model["engine_requests_processing"] == 0)

    assert found["engine_tokens_predicted"] < 60_000


def test_two_models_answer_at_once(bundled_gateway):
    client = bundled_gateway.client()
    wrong: list[str] = []

    def many(model, content, right):
        for _ in range(20):
            said = ask(client, content, model=model).choices[0].message.content
            if said != right:
                wrong.append(said)

    sums = threading.Thread(target=many, args=("arithmetic", "12 + 30", "42"))
    fields = '{"person": "Anna Keller", "amount": 45, "currency": "EUR", "date": "2024-03-03"}'
    extracts = threading.Thread(target=many, args=("extract", "Anna Keller paid 45 euros on 3 March 2024.", fields))
    for thread in (sums, extracts):
        thread.start()
    for thread in (sums, extracts):
        thread.join()

    assert wrong == []


def test_an_unknown_model_is_openais_404(bundled_gateway):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(bundled_gateway.client(), "hello", model="gpt-9")

    error = caught.value
    assert error.code == "model_not_found"
    assert error.param == "model"
    assert error.body["source"] == "router"
    assert "There are: auto, arithmetic, extract" in error.body["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_beyond_the_context_is_a_400_with_both_numbers(bundled_gateway, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        list(ask(bundled_gateway.client(), "1 + " * 600, model="arithmetic", stream=stream))

    error = caught.value
    assert error.code == "context_length_exceeded"
    assert "maximum context length is 512 tokens" in error.body["message"]
    assert "your messages resulted in 1" in error.body["message"]
    assert error.body["source"] == "gateway"


def test_completions_continue_a_text(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf()))
    answer = running.client().completions.create(model="tiny", prompt="abc", max_tokens=7, temperature=0)

    assert answer.usage.completion_tokens == 7
    assert answer.choices[0].finish_reason == "length"


def test_embeddings_are_vectors_and_alike_for_like_texts(bundled_gateway):
    answer = bundled_gateway.client().embeddings.create(model="extract", input=["one euro", "one euro", "tomorrow"])
    first, second, third = (entry.embedding for entry in answer.data)

    assert len(first) == 192
    assert first == pytest.approx(second, abs=1e-5)
    assert first != pytest.approx(third, abs=1e-2)


def test_models_are_listed(bundled_gateway):
    listed = [model.id for model in bundled_gateway.client().models.list()]

    assert listed[0] == "auto"
    assert {"auto:fast", "auto:best", "auto:cheap", "auto:cascade"} < set(listed)
    found = bundled_gateway.client().models.retrieve("extract")
    assert (found.id, found.model_extra["max_model_len"]) == ("extract", 512)
    with pytest.raises(openai.NotFoundError, match="no model is named 'gpt-9'") as told:
        bundled_gateway.client().models.retrieve("gpt-9")
    assert told.value.request_id.startswith("req_")
    assert listed[-2:] == ["arithmetic", "extract"]


def test_log_probabilities_come_through(bundled_gateway):
    answer = ask(bundled_gateway.client(), "Hello", model="extract", logprobs=True, top_logprobs=3)
    tokens = answer.choices[0].logprobs.content

    assert "".join(token.token for token in tokens).startswith('{"person": null')
    assert len(tokens[0].top_logprobs) == 3
    assert tokens[0].logprob > -0.1


def test_answers_do_not_wait_for_delayed_acknowledgements():
    async def accepted_option() -> int:
        found = asyncio.get_running_loop().create_future()
        with listen("127.0.0.1", 0) as listener:
            server = await asyncio.start_server(lambda _, writer: found.set_result(writer), sock=listener)
            _, client = await asyncio.open_connection(*listener.getsockname())
            accepted = (await found).get_extra_info("socket")
            option = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.close()
            server.close()
            return option

    assert asyncio.run(accepted_option()) != 0


def test_health_and_metrics_tell_what_happened(bundled_gateway):
    before = _metric(bundled_gateway.url, 'weighbridge_tokens_total{kind="completion",model="arithmetic",route="card"}')
    used = ask(bundled_gateway.client(), "What is 37 plus 58?").usage.completion_tokens
    health = httpx.get(bundled_gateway.url + "/health").json()

    assert health["status"] == "ok"
    assert health["models"] == {"arithmetic": "ready", "extract": "ready"}
    assert (
        _metric(bundled_gateway.url, 'weighbridge_tokens_total{kind="completion",model="arithmetic",route="card"}')
        == before + used
    )
    assert _metric(bundled_gateway.url, 'weighbridge_engine_ready{model="extract"}') == 1


def _metric(url, name):
    lines = httpx.get(url + "/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))


@pytest.mark.skipif(not (SHARED / "models").exists(), reason="../shared/models is not in this clone")
def test_a_model_trained_elsewhere_tells_its_story(gateway):
    running = gateway(str(SHARED / "models" / "stories260K.gguf"))
    answer = running.client().completions.create(
        model="stories260K", prompt="Once upon a time", max_tokens=30, temperature=0
    )

    assert answer.choices[0].text.startswith(", there was a little girl named Lily.")
