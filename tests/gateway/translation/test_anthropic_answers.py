"""Answers of chat completions in Anthropic's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.translation import BadAnswer, Messages

from .kit import PLACES, Answer, answers, events, pieces, run


def assembled(found: list[dict]) -> dict:
    """The message that a stream's events make, each rule of their order checked."""
    assert [found[0]["type"], found[-1]["type"]] == ["message_start", "message_stop"]
    message = found[0]["message"]
    open_at = None
    for event in found[1:-1]:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_at is None
            assert event["index"] == len(message["content"])
            open_at = event["index"]
            message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            assert event["index"] == open_at
            block, delta = message["content"][open_at], event["delta"]
            key = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "json"}[delta["type"]]
            block[key] = block.get(key, "") + delta["partial_json" if key == "json" else key]
        elif kind == "content_block_stop":
            assert event["index"] == open_at
            open_at = None
        elif kind == "message_delta":
            assert open_at is None
            message |= event["delta"] | {"usage": event["usage"]}
        else:
            assert kind == "ping"
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("json", "{}"))
    return message


@settings(max_examples=50)
@given(answers(), PLACES, st.booleans(), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_a_stream_cut_anywhere_makes_the_message_that_the_whole_answer_makes(answer, places, comments, end, done):
    raw = answer.stream(end, comments, done)
    said = run(Messages("1", "m"), pieces(raw, places))

    assert said == run(Messages("1", "m"), [raw])
    assert assembled(events(said)) == json.loads(Messages("1", "m").whole(answer.whole()))


def test_each_word_comes_as_soon_as_it_is_there():
    raw = Answer(["hm"], ["one", "two"], usage={"prompt_tokens": 7, "completion_tokens": 3}).stream()
    translation, said = Messages("1", "m"), []
    for block in raw.split(b"\n\n")[:-1]:
        said.append([event["type"] for event in events(translation.feed(block + b"\n\n"))])

    assert said == [
        [],
        ["message_start", "content_block_start", "content_block_delta"],
        ["content_block_stop", "content_block_start", "content_block_delta"],
        ["content_block_delta"],
        [],
        [],
        ["content_block_stop", "message_delta", "message_stop"],
    ]
    assert translation.end() == b""


@pytest.mark.parametrize(
    ("finish", "more", "reason", "stop"),
    [
        ("stop", {}, "end_turn", None),
        ("length", {}, "max_tokens", None),
        ("content_filter", {}, "refusal", None),
        ("stop", {"__verbose": {"stopping_word": "\n\n"}}, "stop_sequence", "\n\n"),
        ("stop", {"__verbose": {"stopping_word": ""}}, "end_turn", None),
    ],
)
def test_why_it_stopped_is_told(finish, more, reason, stop):
    body = json.dumps(json.loads(Answer(text=["x"], finish=finish).whole()) | more).encode()
    message = json.loads(Messages("1", "m").whole(body))

    assert (message["stop_reason"], message["stop_sequence"]) == (reason, stop)


def test_vllms_word_for_the_stop_word_counts_too():
    content = json.loads(Answer(text=["x"]).whole())
    content["choices"][0]["stop_reason"] = "END"

    assert json.loads(Messages("1", "m").whole(json.dumps(content).encode()))["stop_sequence"] == "END"


def test_calls_that_all_have_the_index_0_are_told_apart_by_their_ids():
    calls = [
        {"index": 0, "id": name, "function": {"name": "f", "arguments": json.dumps({"n": name})}} for name in ("a", "b")
    ]
    raw = b"".join(
        b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}).encode() + b"\n\n" for call in calls
    )
    message = assembled(events(run(Messages("1", "m"), [raw])))

    assert [(block["id"], block["input"]) for block in message["content"]] == [("a", {"n": "a"}), ("b", {"n": "b"})]
    assert message["stop_reason"] == "tool_use"


def test_arguments_that_were_cut_off_are_not_taken_for_whole_ones():
    answer = Answer(calls=[("a", "pay", ['{"amount": 4'])], finish="length")
    message = json.loads(Messages("1", "m").whole(answer.whole()))

    assert message["content"][0]["input"] == {"_incomplete_json": '{"amount": 4'}
    assert message["stop_reason"] == "max_tokens"


def test_an_engine_that_fails_in_the_midst_ends_the_stream_with_its_error():
    raw = Answer(text=["one"]).stream().split(b"\n\n")[:2]
    error = b'data: {"error": {"code": 500, "message": "out of memory", "type": "server_error"}}\n\ndata: [DONE]\n\n'
    said = events(run(Messages("1", "m"), [b"\n\n".join(raw) + b"\n\n" + error]))

    assert said[-1] == {
        "type": "error",
        "error": {"type": "api_error", "message": "out of memory", "code": None, "source": "engine"},
    }
    assert "message_stop" not in {event["type"] for event in said}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": 1}]}', b'{"choices": [1]}',
     b'{"choices": {"a": 1}}', b'{"choices": [{"message": {"tool_calls": [1]}}]}', b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_chat_completion_is_told_as_that(body):
    with pytest.raises(BadAnswer):
        Messages("1", "m").whole(body)


@pytest.mark.parametrize(
    "raw",
    [b"data: x\n\n", b"data: []\n\n", b'data: {"choices": [1]}\n\n', b"data: {\xff}\n\n", b"data: " + b"[" * 90_000],
)
def test_what_is_no_stream_of_chat_completions_is_told_as_that(raw):
    with pytest.raises(BadAnswer):
        run(Messages("1", "m"), [raw])


def test_a_line_without_end_is_given_up():
    translation = Messages("1", "m")
    assert translation.feed(b"data: " + b"x" * (31 << 20)) == b""
    with pytest.raises(BadAnswer, match="longer than 32 MiB"):
        translation.feed(b"x" * (2 << 20))


def test_half_a_character_that_json_can_name_passes():
    raw = b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n'

    assert rb"a\ud83d" in run(Messages("1", "m"), [raw])
