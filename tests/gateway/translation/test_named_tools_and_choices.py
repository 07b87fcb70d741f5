"""A named tool by its schema, and several choices from one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.gateway.translation import (
    BadAnswer,
    Choices,
    InTurn,
    Messages,
    NamedTool,
    force,
    force_any,
    named_tool,
    one_choice,
)
from weighbridge.openai_api import ApiError

from .kit import PLACES, Answer, answers, events, pieces, run
from .test_anthropic_answers import assembled

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {name: {}}}}}
    for name in ("one", "two")
]


def chosen(name):
    return {"type": "function", "function": {"name": name}}


def test_a_named_tool_becomes_the_schema_of_the_answer_and_the_only_tool():
    asked = {"model": "m", "tools": TOOLS, "tool_choice": chosen("two"), "parallel_tool_calls": True, "top_k": 3}
    assert named_tool(asked) == "two"
    forced = force(asked, "two")

    assert forced["tools"] == [TOOLS[1]]
    assert forced["tool_choice"] == "none"
    assert forced["response_format"]["json_schema"]["schema"] == TOOLS[1]["function"]["parameters"]
    assert forced["top_k"] == 3
    assert "parallel_tool_calls" not in forced


@pytest.mark.parametrize("choice", ["auto", "required", "none", None, {"type": "allowed_tools"}])
def test_a_choice_that_names_none_is_the_engines(choice):
    assert named_tool({"tools": TOOLS, "tool_choice": choice}) is None


def test_the_only_tool_is_named_by_being_required():
    assert named_tool({"tools": TOOLS[:1], "tool_choice": "required"}) == "one"
    for tools in (None, [], TOOLS, ["one"], [{}], [{"function": {"name": ""}}], {"one": 1}):
        assert named_tool({"tools": tools, "tool_choice": "required"}) is None, "the engine's, or its refusal"


def test_a_tool_that_is_not_there_is_openais_error():
    with pytest.raises(ApiError, match="Tool choice 'three' not found in 'tools' parameter") as caught:
        force({"tools": TOOLS}, "three")
    assert (caught.value.status, caught.value.param) == (400, "tool_choice")
    with pytest.raises(ApiError, match="name is missing"):
        named_tool({"tool_choice": {"type": "function"}})


def test_the_answer_becomes_the_call():
    said = json.loads(NamedTool("call_x", "two").whole(Answer(["hm"], ['{"a":', " 1}"]).whole()))
    (choice,) = said["choices"]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["message"]["tool_calls"] == [
        {"id": "call_x_0", "type": "function", "function": {"name": "two", "arguments": '{"a": 1}'}}
    ]


def data(raw: bytes) -> list[dict]:
    blocks = [block for block in raw.decode().split("\n\n") if block.startswith("data: ")]
    assert blocks[-1] == "data: [DONE]"
    return [json.loads(block[6:]) for block in blocks[:-1]]


@settings(max_examples=40)
@given(answers(calls=False), PLACES)
def test_a_streamed_answer_becomes_one_call_however_it_is_cut(answer, places):
    raw = answer.stream()
    said = run(NamedTool("call_x", "two"), pieces(raw, places))

    assert said == run(NamedTool("call_x", "two"), [raw])
    calls = [
        call for each in data(said) for choice in each["choices"] for call in choice["delta"].get("tool_calls", ())
    ]
    assert "".join(call["function"]["arguments"] for call in calls) == "".join(answer.text)
    assert [call["id"] for call in calls if "id" in call] == ["call_x_0"]
    assert calls[0]["function"]["name"] == "two"


@settings(max_examples=40)
@given(st.lists(st.text(alphabet='{}"ab', min_size=1, max_size=3), min_size=1, max_size=3), PLACES)
def test_a_named_tool_in_anthropics_words_is_a_block_of_its_use(texts, places):
    answer = Answer(text=[json.dumps({"said": "".join(texts)})])
    translation = InTurn(NamedTool("call_x", "two"), Messages("1", "m"))
    message = assembled(events(run(translation, pieces(answer.stream(), places))))

    assert message["content"] == [
        {"type": "tool_use", "id": "call_x_0", "name": "two", "input": {"said": "".join(texts)}}
    ]
    assert message["stop_reason"] == "tool_use"


def test_one_of_several_tools_becomes_a_choice_among_their_schemas():
    refers = {"$defs": {"x": {"type": "integer"}}, "properties": {"a": {"items": [{"$ref": "#/$defs/x"}]}}}
    tools = [
        TOOLS[0],
        {"type": "function", "function": {"name": 'odd"name', "parameters": refers}},
        {"function": {"name": "bare"}},
    ]
    forced = force_any({"tools": tools, "tool_choice": "required", "parallel_tool_calls": True, "seed": 1})
    schema = forced["response_format"]["json_schema"]["schema"]

    assert (forced["tools"], forced["tool_choice"], forced["seed"]) == (tools, "none", 1)
    assert "parallel_tool_calls" not in forced
    assert [each["properties"]["name"]["const"] for each in schema["anyOf"]] == ["one", 'odd"name', "bare"]
    assert [each["properties"]["arguments"]["$ref"] for each in schema["anyOf"]] == [
        f"#/$defs/tool{at}" for at in range(3)
    ]
    assert schema["$defs"]["tool1"]["properties"]["a"]["items"] == [{"$ref": "#/$defs/tool1/$defs/x"}]
    assert schema["$defs"]["tool2"] == {"type": "object"}


@pytest.mark.parametrize(
    "asked",
    [{"tools": TOOLS}, {"tools": TOOLS[:1], "tool_choice": "required"}, {"tools": TOOLS, "tool_choice": "auto"},
     {"tools": [*TOOLS, {"function": {"name": ""}}], "tool_choice": "required"},
     {"tools": 5, "tool_choice": "required"},
     {"tools": [*TOOLS, {"function": {"name": "x", "parameters": "y"}}], "tool_choice": "required"},
     {"tools": TOOLS * 65, "tool_choice": "required"}],
)  # fmt: skip
def test_what_is_no_choice_among_tools_is_left_to_the_engine(asked):
    assert force_any(asked) is None


_VALUES = st.recursive(
    st.text(alphabet='{}"\\[]a, ', max_size=6) | st.integers(),
    lambda deeper: st.lists(deeper, max_size=2) | st.dictionaries(st.text(max_size=2), deeper, max_size=2),
    max_leaves=5,
)
_CALLS = st.tuples(st.text(min_size=1, max_size=9), st.dictionaries(st.text(max_size=3), _VALUES, max_size=3))


@settings(max_examples=80)
@given(_CALLS, PLACES, st.sampled_from([None, 1]), st.sampled_from(["", " ", "\n }"]))
def test_a_call_that_an_answer_tells_is_read_however_it_is_cut(call, places, indent, after):
    text = json.dumps({"name": call[0], "arguments": call[1]}, indent=indent) + after
    parts = [text[at : at + 5] for at in range(0, len(text), 5)]
    raw = Answer(text=parts).stream()
    said = data(run(NamedTool("call_x", None), pieces(raw, places)))
    calls = [each for event in said for choice in event["choices"] for each in choice["delta"].get("tool_calls", ())]
    (choice,) = json.loads(NamedTool("call_x", None).whole(Answer(text=[text]).whole()))["choices"]
    (whole,) = choice["message"]["tool_calls"]

    assert [each["function"]["name"] for each in calls if "name" in each["function"]] == [call[0]]
    assert "".join(each["function"]["arguments"] for each in calls) == whole["function"]["arguments"]
    assert (whole["function"]["name"], json.loads(whole["function"]["arguments"])) == call
    assert choice["finish_reason"] == "tool_calls"


def test_a_call_that_is_cut_before_its_name_is_none_and_text_without_one_is_damage():
    cut = Answer(text=['{"name": "on'], finish="length")
    (choice,) = json.loads(NamedTool("call_x", None).whole(cut.whole()))["choices"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "length"
    for answer in (Answer(text=["I would rather talk."]), Answer(text=["On and on. " * 500], finish="length")):
        with pytest.raises(BadAnswer, match="calls no tool"):
            NamedTool("call_x", None).whole(answer.whole())
        with pytest.raises(BadAnswer, match="calls no tool"):
            run(NamedTool("call_x", None), [answer.stream()])


def test_each_choice_is_asked_for_alone_and_with_a_seed_of_its_own():
    asked = {"model": "m", "n": 3, "seed": 7, "temperature": 1}

    assert [one_choice(asked, place) for place in range(2)] == [
        {"model": "m", "seed": 7, "temperature": 1}, {"model": "m", "seed": 8, "temperature": 1},
    ]  # fmt: skip
    assert "seed" not in one_choice({"n": 2}, 1)


USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 2}}


def test_choices_of_several_prompts_are_numbered_by_the_prompt_first():
    body = json.dumps({"choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "b"}]}).encode()
    stream = b'data: null\n\ndata: {"choices": [{"index": 1, "text": "b"}]}\n\n'
    merged = Choices(2)

    assert [choice["index"] for choice in json.loads(Choices(2).whole([body, body]))["choices"]] == [0, 1, 2, 3]
    assert json.loads(merged.feed(1, stream).removeprefix(b"data: "))["choices"][0]["index"] == 3


def test_choices_are_put_together_and_counted():
    bodies = [Answer(text=[text], usage=USAGE).whole() for text in "abc"]
    said = json.loads(Choices(3).whole(bodies))

    assert [(choice["index"], choice["message"]["content"]) for choice in said["choices"]] == list(enumerate("abc"))
    assert said["usage"] == USAGE | {"completion_tokens": 12, "total_tokens": 22}


@settings(max_examples=30)
@given(st.lists(answers(), min_size=2, max_size=3), st.lists(st.integers(0, 2), max_size=40), PLACES)
def test_streams_of_choices_by_turns_each_keep_their_words(made, turns, places):
    merged = Choices(len(made))
    left = [pieces(answer.stream(), places) for answer in made]
    said = b""
    for turn in [*turns, *(place for place in range(len(made)) for _ in range(len(left[place]) + 1))]:
        place = turn % len(made)
        if left[place] is None:
            continue
        if left[place]:
            said += merged.feed(place, left[place].pop(0))
        else:
            left[place] = None
            said += merged.end(place)
    found = data(said)

    assert said.count(b"[DONE]") == 1
    for place, answer in enumerate(made):
        own = [c for each in found for c in each["choices"] if c["index"] == place]
        assert "".join(c["delta"].get("content") or "" for c in own) == "".join(answer.text)
        assert own[0]["delta"]["role"] == "assistant"
        assert own[-1]["finish_reason"] == answer.finish
    usages = [answer.usage for answer in made if answer.usage]
    if usages:
        assert found[-1]["choices"] == []
        assert found[-1]["usage"]["completion_tokens"] == sum(usage["completion_tokens"] for usage in usages)
    assert len({each["id"] for each in found}) == 1
