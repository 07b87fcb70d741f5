"""What is seen of an answer that passes through: its usage, and whether it came to its end, however it is cut up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.openai_api import ApiError, SseTail, parse_request, usage_of


def tail_of(raw: bytes, cuts: list[int]) -> SseTail:
    tail, at = SseTail(), 0
    for cut in sorted({min(cut, len(raw)) for cut in cuts} | {len(raw)}):
        tail.add(raw[at:cut])
        at = cut
    return tail


EVENTS = [{"choices": [{"delta": {"content": word}, "finish_reason": None}]} for word in ("One", " two", " [DONE]")]
LAST = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 12}}
STREAM = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in [*EVENTS, LAST]) + b"data: [DONE]\n\n"


@given(st.lists(st.integers(0, 1000)))
def test_usage_and_end_are_seen_however_the_stream_is_cut(cuts):
    tail = tail_of(STREAM, cuts)

    assert usage_of(tail.tail) == {"prompt": 7, "completion": 12}
    assert tail.is_done
    assert tail.is_whole
    assert tail.size == len(STREAM)


@given(st.integers(1, STREAM.index(b'"finish_reason": "stop"') - 1))
def test_a_stream_that_is_cut_short_is_not_done(length):
    assert not tail_of(STREAM[:length], []).is_done


def test_an_error_is_an_end_too():
    assert tail_of(b'data: {"choices": []}\n\ndata: {"error": {"message": "x"}}\n\n', []).is_done


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_a_request_or_an_error_of_the_client(value):
    try:
        request = parse_request("/v1/chat/completions", json.dumps(value).encode())
    except ApiError as error:
        assert error.status == 400
    else:
        assert isinstance(request.prompt, str)


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
def test_the_prompt_is_the_text_of_the_last_user_message(content, prompt):
    messages = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": content},
    ]
    request = parse_request("/v1/chat/completions", json.dumps({"messages": messages}).encode())

    assert (request.model, request.prompt) == ("auto", prompt)
