"""What a server may answer to one request, and what is made of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from weighbridge.evals.asking import Asked, Patience, ask
from weighbridge.evals.http import Connection, Target

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
WHOLE = {"choices": [{"message": {"content": "12"}, "finish_reason": "stop"}]}


def asked(folder, *answers: bytes, stream: bool = False) -> Asked:
    """What comes of one request to a server that gives these answers, one after another, each on a new connection."""
    left = list(answers)

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(int(head.lower().partition("content-length: ")[2].partition("\r")[0]))
        writer.write(left.pop(0))
        writer.close()

    async def scenario() -> Asked:
        async with await asyncio.start_unix_server(serve, folder / "s"):
            connection = Connection(Target("http://server", "m", socket=folder / "s"))
            try:
                body = {"messages": [{"role": "user", "content": "3 * 4"}], "stream": stream}
                return await ask(connection, body, Patience(attempts=len(answers), first_wait_seconds=0.0))
            finally:
                connection.close()

    return asyncio.run(scenario())


def answer(body: bytes, kind: bytes = b"application/json") -> bytes:
    return HEAD % (kind, len(body)) + body


def test_a_provisional_answer_is_passed_over(tmp_path):
    found = asked(tmp_path, b"HTTP/1.1 100 Continue\r\n\r\n" + answer(json.dumps(WHOLE).encode()))

    assert found.answer is not None
    assert (found.answer.text, found.attempts) == ("12", 1)


@pytest.mark.parametrize(
    "event", [b"data: 3\n\n", b"data: {\n\n", b'data: {"choices": [7]}\n\n', b"data: " + b"[" * 9999 + b"\n"]
)
def test_an_event_that_is_none_is_told_as_it_came(tmp_path, event):
    found = asked(tmp_path, answer(event, b"text/event-stream"), stream=True)

    assert found.failure is not None
    assert "cannot be read" in found.failure.message
    assert not found.failure.unreachable


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{}", b"[]", b"3", b'{"choices": []}', b"<html>"])
def test_a_body_that_is_no_answer_is_a_failure_of_this_request_alone(tmp_path, body):
    found = asked(tmp_path, answer(body))

    assert found.failure is not None
    assert "cannot be read" in found.failure.message


@pytest.mark.parametrize("count", ["8", -1, 2.5, None, [8]])
def test_a_count_of_tokens_that_is_none_is_not_known(tmp_path, count):
    body = WHOLE | {"usage": {"prompt_tokens": count, "completion_tokens": 2}}
    found = asked(tmp_path, answer(json.dumps(body).encode())).answer

    assert found is not None
    assert (found.prompt_tokens, found.completion_tokens) == (None, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_content_that_is_no_text_is_none(tmp_path, stream):
    said = {"content": {"a": 1}, "reasoning_content": 7, "refusal": ["no"]}
    body = json.dumps({"choices": [{"message": said, "delta": said, "finish_reason": "stop"}]}).encode()
    answered = answer(b"data: " + body + b"\n\n", b"text/event-stream") if stream else answer(body)
    found = asked(tmp_path, answered, stream=stream).answer

    assert found is not None
    assert (found.text, found.reasoning, found.refusal) == ("", "", "")


def test_after_an_answer_that_cannot_be_read_the_next_is(tmp_path):
    found = asked(tmp_path, answer(b"{}"), answer(json.dumps(WHOLE).encode()))

    assert found.answer is not None
    assert found.attempts == 2
