"""What is seen of an answer that passes through: its usage, and whether it came to its end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge.openai_api import ApiError, check_messages, is_done, prompt_of, usage_of

EVENTS = [{"choices": [{"delta": {"content": word}, "finish_reason": None}]} for word in ("One", " two", " [DONE]")]
LAST = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 12}}
STREAM = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in [*EVENTS, LAST]) + b"data: [DONE]\n\n"


@given(st.integers(0, STREAM.index(b'"finish_reason": "stop"')))
def test_usage_and_end_are_seen_in_whatever_is_kept_of_the_end(start):
    assert usage_of(STREAM[start:]) == {"prompt": 7, "completion": 12}
    assert is_done(STREAM[start:])


@given(st.integers(1, STREAM.index(b'"finish_reason": "stop"') - 1))
def test_a_stream_that_is_cut_short_is_not_done(length):
    assert not is_done(STREAM[:length])


@pytest.mark.parametrize(
    "last",
    [
        b'data: {"error": {"message": "x"}}\n\n',
        b'data:{"error": {"message": "x"}}\n\n',
        b"data:[DONE]\r\n\r\n",
        b"data: [DONE]",
        b'event: error\ndata: {"type": "error", "error": {"type": "api_error", "message": "x"}}\n\n',
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'event: response.completed\ndata: {"type": "response.completed", "response": {}}\n\n',
    ],
)
def test_an_error_is_an_end_too_and_so_are_the_last_events_of_other_apis(last):
    assert is_done(b'data: {"choices": []}\n\n' + last)


def test_what_a_model_says_of_ends_and_tokens_is_neither():
    words = '"type":"message_stop" "finish_reason":"x" "prompt_tokens":9 data: [DONE]\ndata:[DONE]'
    said = json.dumps({"choices": [{"delta": {"content": words}}]})

    assert not is_done(b"data: " + said.encode() + b"\n\n")
    assert usage_of(b"data: " + said.encode() + b"\n\n") == {}


@pytest.mark.parametrize(
    ("end", "usage"),
    [
        (b'{"usage": {"input_tokens": 3, "output_tokens": 4}}', {"prompt": 3, "completion": 4}),
        (b'{"usage": {"prompt_tokens": 5, "total_tokens": 5}}', {"prompt": 5}),
        (b'{"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":9,"output_tokens":4}}',
         {"prompt": 12, "cached": 9, "completion": 4}),
        (b'{"usage":{"prompt_tokens":12,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":9}}}',
         {"prompt": 12, "cached": 9, "completion": 4}),
        (b'{"usage":{"completion_tokens":8,"prompt_tokens":1}, "timings": {}}', {"prompt": 1, "completion": 8}),
        (b'data: {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}\n\ndata: {"usage": null}\n\n',
         {"prompt": 5, "completion": 6}),
        (b"{}", {}),
    ],
)  # fmt: skip
def test_usage_is_read_by_any_of_its_names(end, usage):
    assert usage_of(end) == usage


@settings(max_examples=examples(60))
@given(
    st.dictionaries(
        st.sampled_from(["messages", "input", "prompt", "query"]) | st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["role", "content", "text"]) | st.text(), x),
            max_leaves=12,
        ),
        max_size=4,
    )
)
def test_any_object_is_a_request_or_an_error_of_the_client(fields):
    try:
        check_messages("/v1/chat/completions", fields)
    except ApiError as error:
        assert error.status == 400
    assert isinstance(prompt_of(fields), str)


@pytest.mark.parametrize(
    ("content", "prompt"),
    [
        ("hello", "hello"),
        (
            [
                {"type": "text", "text": "what is"},
                {"type": "image_url", "image_url": {}},
                {"type": "text", "text": "this?"},
            ],
            "what is\nthis?",
        ),
        (None, ""),
        (7, ""),
    ],
)
@pytest.mark.parametrize("name", ["messages", "input"])
def test_the_prompt_is_the_text_of_the_last_user_message(name, content, prompt):
    turns = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": content},
    ]

    assert prompt_of({name: turns}) == prompt
