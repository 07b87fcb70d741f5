"""Answers of chat completions in the words of OpenAI's Responses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.translation import BadAnswer, Responses

from .kit import PLACES, Answer, answers, events, pieces, run

ASKED = {"model": "m", "input": "x", "temperature": 0.5, "reasoning": {"effort": "low"}, "metadata": {"a": "b"}}


def translation():
    return Responses("1", "m", ASKED)


def without_times(raw: bytes) -> bytes:
    """When it was completed is the gateway's own clock."""
    head, mark, rest = raw.partition(b'"completed_at":')
    if not mark:
        return raw
    return head + mark + without_times(rest.lstrip(b"0123456789"))


def assembled(found: list[dict]) -> dict:
    """The response that a stream's events make, each rule of their order checked."""
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
    output: list[dict] = []
    is_open = False
    for event in found[2:-1]:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert not is_open
            assert event["output_index"] == len(output)
            output.append(json.loads(json.dumps(event["item"])))
            is_open = True
            continue
        assert event["output_index"] == len(output) - 1
        assert is_open
        item = output[-1]
        if kind == "response.output_item.done":
            assert event["item"] == item | {"status": "completed"}
            item["status"] = "completed"
            is_open = False
            continue
        assert event.get("item_id") == item["id"]
        if kind == "response.content_part.added":
            assert event["content_index"] == len(item["content"])
            item["content"].append(dict(event["part"]))
        elif kind == "response.content_part.done":
            assert event["part"] == item["content"][-1]
        elif kind == "response.function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind == "response.function_call_arguments.done":
            assert (event["arguments"], event["name"]) == (item["arguments"], item["name"])
        elif kind.endswith(".delta"):
            item["content"][event["content_index"]]["text"] += event["delta"]
        else:
            assert kind in ("response.output_text.done", "response.reasoning_text.done")
            assert event["text"] == item["content"][event["content_index"]]["text"]
    assert not is_open
    last = found[-1]["response"]
    assert found[-1]["type"] == f"response.{last['status']}"
    assert last["output"] == output
    return last


@settings(max_examples=50)
@given(answers(), PLACES, st.booleans(), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_a_stream_cut_anywhere_makes_the_response_that_the_whole_answer_makes(answer, places, comments, end, done):
    raw = answer.stream(end, comments, done)
    said = run(translation(), pieces(raw, places))

    assert without_times(said) == without_times(run(translation(), [raw]))
    whole = json.loads(translation().whole(answer.whole()))
    assert assembled(events(said)) | {"completed_at": 0} == whole | {"completed_at": 0}


def test_a_response_repeats_its_request_and_says_what_it_used():
    usage = {
        "prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    said = json.loads(translation().whole(Answer(["hm"], ["yes"], usage=usage).whole()))

    assert (said["status"], said["model"], said["temperature"]) == ("completed", "deep", 0.5)
    assert (said["metadata"], said["reasoning"]["effort"], said["store"]) == ({"a": "b"}, "low", False)
    assert said["usage"] == {
        "input_tokens": 20, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 25,
    }  # fmt: skip
    assert [item["type"] for item in said["output"]] == ["reasoning", "message"]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [("stop", "completed", None), ("length", "incomplete", "max_output_tokens"),
     ("content_filter", "incomplete", "content_filter")],
)  # fmt: skip
def test_an_answer_that_was_cut_short_is_incomplete(finish, status, reason):
    said = json.loads(translation().whole(Answer(text=["x"], finish=finish).whole()))

    assert said["status"] == status
    assert (said["incomplete_details"] or {}).get("reason") == reason


def test_log_probabilities_stand_with_their_text():
    scores = [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}]
    chunk = {"choices": [{"delta": {"content": "x"}, "logprobs": {"content": scores}}]}
    said = events(run(translation(), [b"data: " + json.dumps(chunk).encode() + b"\n\n"]))

    assert next(event for event in said if event["type"] == "response.output_text.delta")["logprobs"] == scores
    assert said[-1]["response"]["output"][0]["content"][0]["logprobs"] == scores


def test_a_refusal_is_a_part_of_its_own():
    chunks = [{"choices": [{"delta": delta}]} for delta in ({"content": "well"}, {"refusal": "no"})]
    raw = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    (item,) = events(run(translation(), [raw]))[-1]["response"]["output"]

    assert [(part["type"], part.get("text", part.get("refusal"))) for part in item["content"]] == [
        ("output_text", "well"), ("refusal", "no"),
    ]  # fmt: skip


def test_an_engine_that_fails_in_the_midst_ends_the_stream_with_its_error():
    raw = Answer(text=["one"]).stream().split(b"\n\n")[:2]
    said = events(run(translation(), [b"\n\n".join(raw) + b'\n\ndata: {"error": {"message": "out of memory"}}\n\n']))

    assert [event["type"] for event in said[-2:]] == ["error", "response.failed"]
    assert said[-1]["response"]["error"]["message"] == "out of memory"


def test_tool_calls_by_turns_are_told_and_not_mixed_up():
    calls = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}},
             {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}},
             {"index": 0, "function": {"arguments": "}"}}]  # fmt: skip
    raw = b"".join(
        b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]}).encode() + b"\n\n" for call in calls
    )
    with pytest.raises(BadAnswer, match="by turns"):
        run(translation(), [raw])
