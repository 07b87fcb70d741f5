"""Engines that differ from what their clients speak: asked in other words, and only where they must be."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import random

import anthropic
import httpx2 as httpx
import openai
import pytest

from tests.gateway.test_door import Elsewhere
from tests.gateway.test_lifecycle import Served, fake, play
from tests.gateway.translation.kit import Answer
from tests.gateway.wire.kit import SSE, chunk, whole

USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
CALLS = [("call_1", "look", ['{"at', '": "sea"}']), ("call_2", "hear", ["{}"])]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("look", "hear")
]
ASKED = [{"role": "user", "content": "go on"}]
MISSING = whole(b'{"error": {"message": "Not Found", "type": "not_found_error"}}', 404)


class ChatOnly(Elsewhere):
    """A server that has chat completions and nothing else; what it says can be changed while it runs."""

    def __init__(self, answer: Answer | None = None, cut: int = 7) -> None:
        super().__init__(self._say)
        self.answer = answer or Answer(["hm"], ["Hel", "lo é"], usage=USAGE)
        self.cut = cut

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]

    def body(self, at: int = -1) -> dict:
        return json.loads(self.asked[at][2])

    async def _say(self, reader, writer):
        path, _, body = self.asked[-1]
        if path != "/v1/chat/completions":
            writer.write(MISSING)
        elif json.loads(body).get("stream"):
            raw = self.answer.stream(comments=True)
            writer.write(SSE)
            for at in range(0, len(raw), self.cut):
                writer.write(chunk(raw[at : at + self.cut]))
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(whole(self.answer.whole()))
        await writer.drain()


def claude(served: Served) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=served.url, api_key="none", max_retries=0, timeout=30)


@pytest.mark.parametrize("told", [{}, {"speaks": "messages"}])
def test_a_server_without_messages_is_found_out_once_and_asked_for_chats(tmp_path, told):
    far = ChatOnly()

    async def story(served: Served) -> None:
        async with far, claude(served) as client:
            for _ in range(3):
                message = await client.messages.create(model="far", max_tokens=9, messages=ASKED)
                assert [block.type for block in message.content] == ["thinking", "text"]
                assert message.content[1].text == "Hello é"
            chat = "/v1/chat/completions"
            assert far.paths == ["/v1/messages", chat, chat, chat]
            assert far.body() == {"model": "deep", "messages": ASKED, "max_tokens": 9}
            async with client.messages.stream(model="far", max_tokens=9, messages=ASKED) as stream:
                assert "".join([text async for text in stream.text_stream]) == "Hello é"
                assert (await stream.get_final_message()).usage.input_tokens == 11
            assert far.body()["stream_options"] == {"include_usage": True}
            counted = (await served.http.get("/metrics")).text
            assert 'weighbridge_requests_total{model="far",path="/v1/messages",' in counted

    play(tmp_path, [far.model(**told)], story)


def test_a_server_that_is_said_to_speak_chats_alone_is_not_asked_for_more(tmp_path):
    far = ChatOnly()

    async def story(served: Served) -> None:
        async with far:
            answer = await served.openai.responses.create(model="far", input="go on")
            assert (answer.output_text, answer.status, answer.usage.total_tokens) == ("Hello é", "completed", 15)
            assert far.paths == ["/v1/chat/completions"]

    play(tmp_path, [far.model(speaks="chat")], story)


def test_a_path_that_is_there_passes_to_the_last_byte(tmp_path):
    said = b'{"type": "message",  "x_unknown":[1], "content": []}'

    async def has_all(reader, writer):
        writer.write(whole(said))

    far = Elsewhere(has_all)

    async def story(served: Served) -> None:
        async with far:
            body = b'{"model": "far", "messages":[{"role":"user","content":"x"}], "input": "x", "x_mine": 1e3}'
            for path in ("/v1/messages", "/v1/messages/count_tokens", "/v1/responses"):
                answer = await served.http.post(path, content=body)
                assert answer.content == said
                assert far.asked[-1][::2] == (path, body.replace(b'"far"', b'"deep"'))

    play(tmp_path, [far.model()], story)


def test_an_error_that_only_looks_like_a_missing_path_is_not_remembered(tmp_path):
    far = ChatOnly()
    unknown = b'{"error": {"message": "no such model", "type": "not_found_error", "code": "model_not_found"}}'

    async def unknown_model(reader, writer):
        writer.write(whole(unknown, 404))

    async def story(served: Served) -> None:
        async with far, claude(served) as client:
            says, far.script = far.script, unknown_model
            for _ in range(2):
                with pytest.raises(anthropic.NotFoundError) as caught:
                    await client.messages.create(model="far", max_tokens=9, messages=ASKED)
                assert caught.value.body["error"]["message"] == "no such model"
                assert caught.value.body["error"]["source"] == "engine"
            assert far.paths == ["/v1/messages", "/v1/chat/completions"] * 2
            far.script = says
            assert await client.messages.create(model="far", max_tokens=9, messages=ASKED)

    play(tmp_path, [far.model()], story)


@pytest.mark.parametrize("size", [5, 10_000])
def test_several_tool_calls_reach_every_client_whole(tmp_path, size):
    far = ChatOnly(Answer(text=["I look."], calls=CALLS, finish="tool_calls", usage=USAGE), size)

    async def story(served: Served) -> None:
        async with far, claude(served) as client:
            tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("look", "hear")]
            choice = {"type": "auto", "disable_parallel_tool_use": False}
            asked = {"model": "far", "max_tokens": 9, "messages": ASKED, "tools": tools, "tool_choice": choice}
            async with client.messages.stream(**asked) as stream:
                streamed = await stream.get_final_message()
            for message in (streamed, await client.messages.create(**asked)):
                assert [(block.type, getattr(block, "input", None)) for block in message.content] == [
                    ("text", None), ("tool_use", {"at": "sea"}), ("tool_use", {}),
                ]  # fmt: skip
                assert message.stop_reason == "tool_use"
            assert (far.body()["tool_choice"], far.body()["parallel_tool_calls"]) == ("auto", True)
            functions = [{"type": "function", "name": name, "parameters": {}} for name in ("look", "hear")]
            async with served.openai.responses.stream(model="far", input="go on", tools=functions) as events:
                response = await events.get_final_response()
            assert [(item.call_id, item.arguments) for item in response.output[1:]] == [
                ("call_1", '{"at": "sea"}'), ("call_2", "{}"),
            ]  # fmt: skip
            chat = await served.openai.chat.completions.create(model="far", messages=ASKED, tools=TOOLS)
            assert len(chat.choices[0].message.tool_calls) == 2

    play(tmp_path, [far.model()], story)


async def until_cut(served: Served, path: str, body: dict) -> bytes:
    """A stream until it ends without its end."""
    seen = b""
    try:
        async with served.http.stream("POST", path, json=body) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_bytes():
                seen += piece
    except httpx.RemoteProtocolError:
        return seen
    raise AssertionError(f"it ended as if it were whole: {seen!r}")


def test_an_engine_that_dies_in_a_translated_stream_is_an_error_event_and_no_end(tmp_path):
    far = ChatOnly()
    raw = far.answer.stream()

    async def dies(reader, writer):
        writer.write(SSE + chunk(raw[: len(raw) // 2]))
        await writer.drain()
        writer.close()

    async def story(served: Served) -> None:
        async with far:
            far.script = dies
            for path, client_words in (("/v1/messages", '{"type": "error"'), ("/v1/responses", '{"error": {')):
                body = {"model": "far", "stream": True, "messages": ASKED, "input": "x", "max_tokens": 9}
                seen = await until_cut(served, path, body)
                assert client_words in seen.decode()
                assert b"message_stop" not in seen
                assert b"response.completed" not in seen

    play(tmp_path, [far.model(speaks="chat")], story)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_an_answer_that_is_no_chat_completion_is_a_502(tmp_path, path):
    far = ChatOnly()

    async def garbage(reader, writer):
        writer.write(whole(b'{"hello": "world"}'))

    async def story(served: Served) -> None:
        async with far:
            far.script = garbage
            body = {"model": "far", "messages": ASKED, "input": "x", "max_tokens": 9}
            answer = await served.http.post(path, json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["source"]) == (502, "engine_garbage", "engine")
            assert answer.headers["x-request-id"].startswith("req_")

            async def bad_stream(reader, writer):
                writer.write(SSE + chunk(b"data: <html>\n\n"))
                await reader.read(1)

            far.script = bad_stream
            assert b"can't be put into the words" in await until_cut(served, path, body | {"stream": True})
            await served.until("far", lambda model: not model["requests_in_flight"])

    play(tmp_path, [far.model(speaks="chat")], story)


def test_a_client_that_leaves_a_translated_stream_is_told_to_the_engine_at_once(tmp_path):
    far = ChatOnly()

    async def never_ends(reader, writer):
        writer.write(SSE + chunk(far.answer.stream(done=False)))
        await reader.read(1)
        raise ConnectionError

    async def story(served: Served) -> None:
        async with far:
            far.script = never_ends
            body = {"model": "far", "stream": True, "messages": ASKED, "max_tokens": 9}
            async with served.http.stream("POST", "/v1/messages", json=body) as answer:
                async for _ in answer.aiter_bytes():
                    break
            await served.until("far", lambda model: not model["requests_in_flight"])
            assert far.left_at is not None

    play(tmp_path, [far.model(speaks="chat")], story)


@pytest.mark.parametrize(
    ("field", "value"),
    [("previous_response_id", "resp_1"), ("conversation", "conv_1"), ("background", True), ("prompt", {"id": "p"}),
     ("tools", [{"type": "web_search"}]), ("input", [{"type": "item_reference", "id": "x"}])],
)  # fmt: skip
def test_what_responses_can_not_be_here_is_refused_by_name(bundled_gateway, field, value):
    asked = {"model": "arithmetic", "input": "x", field: value}
    answer = httpx.post(bundled_gateway.url + "/v1/responses", json=asked)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert answer.json()["error"]["source"] == "gateway"


# What is enforced.


def test_n_choices_are_asked_for_one_by_one_and_put_together(tmp_path):
    async def story(served: Served) -> None:
        asked = {"model": "one", "messages": ASKED, "n": 3, "max_tokens": 4}
        answer = await served.openai.chat.completions.create(**asked)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert {choice.message.content for choice in answer.choices} == {"This is a fake. "}
        assert answer.usage.completion_tokens == 12
        texts: dict[int, str] = {}
        usages = []
        options = {"stream": True, "stream_options": {"include_usage": True}}
        async for event in await served.openai.chat.completions.create(**asked, **options):
            usages += [event.usage] if event.usage else []
            for choice in event.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
        assert texts == dict.fromkeys(range(3), "This is a fake. ")
        assert [usage.completion_tokens for usage in usages] == [12]
        counted = (await served.http.get("/metrics")).text
        line = 'weighbridge_requests_total{model="one",path="/v1/chat/completions",'
        (row,) = [row for row in counted.splitlines() if row.startswith(line)]
        assert row.endswith(" 2.0"), "three choices are one request"
        with pytest.raises(openai.BadRequestError, match="expected a whole number from 1 to 128"):
            await served.openai.chat.completions.create(**asked | {"n": 0})

    play(tmp_path, [fake("one")], story)


def test_choices_end_together_when_the_engine_dies_or_the_client_leaves(tmp_path):
    async def story(served: Served) -> None:
        asked = {"messages": ASKED, "n": 2, "stream": True}
        with pytest.raises(openai.APIError):
            async for _ in await served.openai.chat.completions.create(model="dies", **asked):
                pass
        with pytest.raises(openai.InternalServerError) as caught:
            await served.openai.chat.completions.create(model="dies", **asked | {"stream": False})
        assert caught.value.status_code == 502
        stream = await served.openai.chat.completions.create(model="slow", **asked)
        async for _ in stream:
            break
        assert (await served.model("slow"))["requests_in_flight"] == 2
        await stream.close()
        await served.until("slow", lambda model: not model["requests_in_flight"])

    play(tmp_path, [fake("dies", die_after_tokens=2), fake("slow", tokens_per_second=20, tokens=100_000)], story)


@pytest.mark.parametrize(
    ("others", "choice"), [(TOOLS, {"type": "function", "function": {"name": "keep"}}), ([], "required")]
)
def test_a_named_tool_is_called_by_llama_cpp_and_no_other_and_the_only_one_where_one_is_required(
    bundled_gateway, others, choice
):
    client = bundled_gateway.client()
    asked = {
        "model": "extract", "messages": [{"role": "user", "content": "Anna Keller paid 45 euros on 3 March 2024."}],
        "tools": [*others, {"type": "function", "function": {"name": "keep", "parameters": {
            "type": "object", "properties": {"person": {"type": "string"}, "amount": {"type": "number"}},
            "required": ["person", "amount"], "additionalProperties": False}}}],
        "tool_choice": choice,
    }  # fmt: skip
    answer = client.chat.completions.create(**asked, n=3)
    stream = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    pieces = [call for event in stream for choice in event.choices for call in choice.delta.tool_calls or ()]

    assert [choice.finish_reason for choice in answer.choices] == ["tool_calls"] * 3
    for choice in answer.choices:
        (call,) = choice.message.tool_calls
        assert call.function.name == "keep"
        assert set(json.loads(call.function.arguments)) == {"person", "amount"}
    assert [piece.function.name for piece in pieces if piece.function.name] == ["keep"]
    assert set(json.loads("".join(piece.function.arguments for piece in pieces))) == {"person", "amount"}
    assert stream[-1].usage.completion_tokens > 5


def test_one_of_several_tools_is_called_by_llama_cpp_where_one_is_required(bundled_gateway):
    client = bundled_gateway.client()
    money = {"$ref": "#/$defs/money"}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {
            "type": "object", "properties": properties, "required": [*properties], "additionalProperties": False,
            "$defs": {"money": {"type": "number"}}}}}
        for name, properties in {
            "greet": {"whom": {"type": "string", "maxLength": 20}}, "keep": {"amount": money, "fee": money}}.items()
    ]  # fmt: skip
    asked = {
        "model": "extract", "messages": [{"role": "user", "content": "Anna Keller paid 45 euros on 3 March 2024."}],
        "tools": tools, "tool_choice": "required", "max_tokens": 200, "temperature": 1.5,
    }  # fmt: skip
    called = set()
    for seed in range(4):
        (choice,) = client.chat.completions.create(**asked, seed=seed).choices
        (call,) = choice.message.tool_calls
        stream = list(client.chat.completions.create(**asked, seed=seed, stream=True))
        pieces = [piece for event in stream for choice in event.choices for piece in choice.delta.tool_calls or ()]

        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
        wanted = {"greet": {"whom"}, "keep": {"amount", "fee"}}[call.function.name]
        assert set(json.loads(call.function.arguments)) == wanted
        (name,) = [piece.function.name for piece in pieces if piece.function.name]
        assert json.loads("".join(piece.function.arguments for piece in pieces)).keys() <= {"whom", "amount", "fee"}
        called |= {name, call.function.name}
    assert called <= {"greet", "keep"}


def test_what_a_tool_is_named_must_be_there(bundled_gateway):
    with pytest.raises(openai.BadRequestError, match="Tool choice 'no' not found in 'tools'"):
        bundled_gateway.client().chat.completions.create(
            model="extract", messages=ASKED, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "no"}}
        )


def counting(context: int, tokens: int) -> tuple[Elsewhere, list[str]]:
    """A server that counts tokens as vLLM does, and answers chats."""
    asked: list[str] = []

    async def answers(reader, writer):
        path = far.asked[-1][0]
        asked.append(path)
        if path == "/tokenize":
            writer.write(whole(json.dumps({"count": tokens, "max_model_len": context}).encode()))
        elif path == "/v1/chat/completions":
            writer.write(whole(Answer(text=["ok"]).whole()))
        else:
            writer.write(MISSING)

    far = Elsewhere(answers)
    return far, asked


def test_only_what_may_be_too_long_is_counted_and_only_what_is_is_refused(tmp_path):
    far, asked = counting(1000, 1001)
    fits, counted = counting(1000, 1000)

    async def story(served: Served) -> None:
        async with far, fits:
            for text in ("short", "letters " * 230):
                assert await served.ask("far", text) == "ok"
            assert asked == ["/v1/chat/completions"] * 2, "it can't be too long by its bytes"
            for text in ("letters " * 250, "1234567 " * 200):
                with pytest.raises(openai.BadRequestError) as caught:
                    await served.ask("far", text)
                assert caught.value.code == "context_length_exceeded"
                assert "maximum context length is 1000 tokens. However, your messages resulted in 1001" in str(
                    caught.value
                )
            assert asked[2:] == ["/v1/chat/completions/input_tokens", "/tokenize", "/tokenize"], "no engine was asked"
            assert await served.ask("near", "letters " * 250) == "ok"
            assert counted == ["/v1/chat/completions/input_tokens", "/tokenize", "/v1/chat/completions"]
            with pytest.raises(openai.BadRequestError, match="your input resulted in 1001"):
                await served.openai.responses.create(model="far", input="letters " * 250)

    near = fits.model(context_tokens="1000", speaks="chat")
    play(tmp_path, [far.model(context_tokens="1000", speaks="chat"), _named(near, "near")], story)


def _named(model, name):
    return type(model)(name, model.engine, options=model.options)


def test_a_server_that_can_not_count_is_asked_and_says_so_itself(tmp_path):
    far = ChatOnly()

    async def story(served: Served) -> None:
        async with far, claude(served) as client:
            for _ in range(2):
                assert await served.ask("far", "1234567 " * 600) == "Hello é"
            assert [path for path in far.paths if path != "/v1/chat/completions"] == [
                "/v1/chat/completions/input_tokens", "/tokenize",
            ], "it was asked once whether it counts"  # fmt: skip
            with pytest.raises(anthropic.APIStatusError, match="does not count tokens") as caught:
                await client.messages.count_tokens(model="far", messages=ASKED)
            assert (caught.value.status_code, caught.value.body["error"]["source"]) == (501, "engine")

    play(tmp_path, [far.model()], story)


def test_tokens_are_counted_for_anthropics_clients_by_servers_that_only_tokenize(tmp_path):
    far, asked = counting(1000, 42)

    async def story(served: Served) -> None:
        async with far, claude(served) as client:
            for _ in range(2):
                counted = await client.messages.count_tokens(model="far", messages=ASKED, system="Be brief.")
                assert counted.input_tokens == 42
            assert asked == ["/v1/messages/count_tokens", "/v1/chat/completions/input_tokens", "/tokenize", "/tokenize"]
            sent = json.loads(far.asked[-1][2])
            assert sent == {"model": "deep", "messages": [{"role": "system", "content": "Be brief."}, *ASKED]}

    play(tmp_path, [far.model()], story)


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize("filling", ["", "x" * 100_000])
def test_a_picture_for_a_model_that_sees_none_is_refused_before_its_engine_is_asked(bundled_gateway, filling):
    content = [{"type": "text", "text": filling + 'what is this? {"type": "image_url"}'}]
    client = bundled_gateway.client()
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="extract", messages=[{"role": "user", "content": [*content, PICTURE]}])
    assert (caught.value.code, caught.value.body["source"]) == ("image_not_supported", "gateway")
    assert caught.value.request_id.startswith("req_")
    if not filling:
        assert client.chat.completions.create(model="extract", messages=[{"role": "user", "content": content}])
    part = {"type": "input_image", "image_url": PICTURE["image_url"]["url"]}
    with pytest.raises(openai.BadRequestError, match=r"does not take images: input\[0\]"):
        client.responses.create(model="extract", input=[{"role": "user", "content": [part]}])


def test_a_picture_for_a_server_of_which_nothing_is_known_passes(tmp_path):
    far = ChatOnly()

    async def story(served: Served) -> None:
        async with far, claude(served) as client:
            picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
            turns = [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture]}]
            await client.messages.create(model="far", max_tokens=9, messages=turns)
            assert far.body()["messages"][0]["content"][1] == {
                "type": "image_url",
                "image_url": {"url": "data:image/png;base64,QUJD"},
            }

    play(tmp_path, [far.model(speaks="chat")], story)


@pytest.mark.parametrize("stream", [False, True])
def test_adapted_requests_leave_nothing_for_the_garbage_collector(tmp_path, stream):
    asked = {"model": "one", "max_tokens": 4, "messages": ASKED, "input": "x", "stream": stream}
    kinds = [("/v1/messages", {}), ("/v1/responses", {}), ("/v1/chat/completions", {"n": 3})]

    async def story(served: Served) -> None:
        for path, more in kinds:
            for counts in (False, True):
                gc.collect()
                gc.freeze()  # what was there before is not looked at each time
                gc.disable()
                gc.set_debug(gc.DEBUG_SAVEALL if counts else 0)
                try:
                    for _ in range(3):
                        assert (await served.http.post(path, json=asked | more)).status_code == 200
                    await asyncio.sleep(0.02)
                    gc.collect()
                    ours = {type(each).__qualname__ for each in gc.garbage if "weighbridge" in type(each).__module__}
                    assert not ours, f"{path}: {ours}"
                finally:
                    gc.set_debug(0)
                    gc.garbage.clear()
                    gc.enable()

    play(tmp_path, [fake("one")], story)


def test_an_image_of_megabytes_comes_whole_to_an_engine_that_speaks_otherwise_and_by_another_name(tmp_path):
    far = ChatOnly()
    data = base64.b64encode(random.Random(3).randbytes(2_400_000)).decode()

    async def story(served: Served) -> None:
        async with far:
            source = {"type": "base64", "media_type": "image/png", "data": data}
            body = {"model": "far", "max_tokens": 9, "messages": [{"role": "user", "content": [
                {"type": "image", "source": source}, {"type": "text", "text": "what?"},
            ]}]}  # fmt: skip
            for _ in range(2):
                assert (await served.http.post("/v1/messages", json=body)).status_code == 200
                assert far.body()["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{data}"
            chat = {"model": "far", "messages": far.body()["messages"], "x_kept": [1.50]}
            raw = json.dumps(chat).encode()
            pieces = [raw[at : at + 70_000] for at in range(0, len(raw), 70_000)]

            async def slowly():
                for piece in pieces:
                    yield piece

            for content in (raw, slowly()):
                assert (await served.http.post("/v1/chat/completions", content=content)).status_code == 200
                assert far.asked[-1][2] == raw.replace(b'"far"', b'"deep"')

    play(tmp_path, [far.model(speaks="chat")], story)
