"""The gateway, driven by the official `anthropic` client that nobody here wrote, before llama.cpp itself."""

from __future__ import annotations

import json

import anthropic
import pytest

SENTENCE = "Anna Keller paid 45 euros on 3 March 2024."
FIELDS = {"person": "Anna Keller", "amount": 45, "currency": "EUR", "date": "2024-03-03"}
PAYMENT = {
    "name": "record_payment",
    "description": "Keeps who paid what.",
    "input_schema": {
        "type": "object",
        "properties": {
            "person": {"type": ["string", "null"]}, "amount": {"type": ["number", "null"]},
            "currency": {"type": ["string", "null"]}, "date": {"type": "string"},
        },
        "required": list(FIELDS), "additionalProperties": False,
    },
}  # fmt: skip
OTHER = {"name": "other", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def client(bundled_gateway):
    with anthropic.Anthropic(base_url=bundled_gateway.url, api_key="none", max_retries=0, timeout=30) as made:
        yield made


def asking(model="arithmetic", content="What is 37 plus 58?", **more):
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}], **more}


COLD = {"extra_body": {"temperature": 0}}


def test_a_message_is_answered_with_its_thinking_apart(client):
    message = client.messages.create(**asking(), **COLD)

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == "95"
    assert message.content[0].thinking.startswith("037+058")
    assert (message.model, message.stop_reason, message.role) == ("arithmetic", "end_turn", "assistant")
    assert message.usage.output_tokens == 39
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens == 13


def test_a_stream_makes_the_same_message(client):
    with client.messages.stream(**asking(), **COLD) as stream:
        kinds = [event.type for event in stream if event.type.startswith(("message", "content_block_st"))]
        message = stream.get_final_message()

    assert kinds == [
        "message_start", "content_block_start", "content_block_stop", "content_block_start", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert message.content[1].text == "95"
    assert (message.usage.output_tokens, message.stop_reason) == (39, "end_turn")


@pytest.mark.parametrize("stream", [False, True])
def test_what_stopped_it_is_told(client, stream):
    def ask(**more):
        if not stream:
            return client.messages.create(**asking() | more, **COLD)
        with client.messages.stream(**asking() | more, **COLD) as events:
            return events.get_final_message()

    stopped = ask(stop_sequences=["xyz", "5"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "5")
    assert ask(max_tokens=3).stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("stream", "tools", "choice"),
    [(False, [OTHER, PAYMENT], {"type": "tool", "name": "record_payment"}),
     (True, [OTHER, PAYMENT], {"type": "tool", "name": "record_payment"}), (False, [PAYMENT], {"type": "any"})],
)  # fmt: skip
def test_the_tool_that_is_named_or_the_only_one_of_any_is_the_one_that_is_called(client, stream, tools, choice):
    asked = asking("extract", SENTENCE, tools=tools, tool_choice=choice)
    if stream:
        with client.messages.stream(**asked, **COLD) as events:
            pieces = [event.delta.partial_json for event in events if event.type == "content_block_delta"]
            message = events.get_final_message()
        assert len(pieces) > 10
    else:
        message = client.messages.create(**asked, **COLD)
    (block,) = message.content

    assert (block.type, block.name, block.input) == ("tool_use", "record_payment", FIELDS)
    assert message.stop_reason == "tool_use"


def test_a_conversation_with_tools_and_thinking_is_understood(client):
    turns = [
        {"role": "user", "content": "Who paid?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "let me look", "signature": ""},
            {"type": "text", "text": "I look it up."},
            {"type": "tool_use", "id": "toolu_1", "name": "other", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "nobody"}]},
            {"type": "text", "text": SENTENCE},
        ]},
    ]  # fmt: skip
    message = client.messages.create(
        model="extract", max_tokens=100, messages=turns, tools=[OTHER], system=[{"type": "text", "text": "Be brief."}],
        metadata={"user_id": "somebody"}, **COLD,
    )  # fmt: skip

    assert message.content[0].type == "text"
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens > 40


def test_tokens_are_counted_as_the_message_uses_them(client):
    counted = client.messages.count_tokens(model="extract", messages=asking(content=SENTENCE)["messages"])
    usage = client.messages.create(**asking("extract", SENTENCE), **COLD).usage

    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}


@pytest.mark.parametrize(
    ("asked", "raised", "words"),
    [
        (asking("gpt-9"), anthropic.NotFoundError, "'gpt-9' is not served here"),
        (asking(content="1 + " * 600), anthropic.BadRequestError, "maximum context length is 512 tokens. However"),
        (asking(content=[PICTURE]), anthropic.BadRequestError, "arithmetic does not take images: messages[0]"),
        (asking(tools=[OTHER], tool_choice={"type": "tool", "name": "no"}), anthropic.BadRequestError,
         "Tool choice 'no' not found"),
        (asking(tools=[{"type": "web_search_20250305", "name": "web_search"}]), anthropic.BadRequestError,
         "'web_search_20250305' is Anthropic's own"),
        (asking(content=[{"type": "document", "source": {"type": "base64", "media_type": "application/pdf",
                                                         "data": "AAAA"}}]), anthropic.BadRequestError,
         "messages.0.content: the engine of this model takes no 'document (base64)'"),
        (asking() | {"messages": []}, anthropic.BadRequestError, "messages is missing"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_refusals_are_the_clients_own_exceptions_with_a_request_id(client, asked, raised, words, stream):
    with pytest.raises(raised) as caught:
        client.messages.create(**asked, stream=stream)

    assert words in caught.value.body["error"]["message"]
    assert caught.value.body["type"] == "error"
    assert caught.value.request_id.startswith("req_")


def test_a_stream_that_is_left_stops_the_engine(gateway, tiny_gguf):
    running = gateway(str(tiny_gguf(context=65536)), flags=("--context", "65536", "--parallel", "1"))
    client = anthropic.Anthropic(base_url=running.url, api_key="none", max_retries=0)
    with client.messages.stream(**asking("tiny") | {"max_tokens": 60_000}) as stream:
        for _, _ in zip(range(5), stream, strict=False):
            pass
        assert running.ps()["tiny"]["requests_in_flight"] == 1
    found = running.wait_for("tiny", lambda model: not model["requests_in_flight"])

    assert found["state"] == "ready"


def test_a_schema_is_kept(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}  # fmt: skip
    form = {"format": {"type": "json_schema", "schema": schema}}
    message = client.messages.create(**asking("extract", SENTENCE), extra_body={"output_config": form})

    assert list(json.loads(message.content[-1].text)) == ["ok"]
