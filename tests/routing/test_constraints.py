"""Hard constraints: what a candidate must be able and allowed to do comes before everything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge.errors import BadSetting
from weighbridge.facts import Card
from weighbridge.figures import Basis, Figure
from weighbridge.openai_api import ApiError, Request
from weighbridge.routing import POLICIES, Candidate, Needs, Policies, Policy, Rule, needs_of, read_policies, route


def asking(prompt: str = "hello", model: str = "auto", **fields: object) -> Request:
    body = json.dumps({"messages": [{"role": "user", "content": prompt}], **fields}).encode()
    return Request("/v1/chat/completions", model, False, prompt, body)


KNOWN = st.one_of(st.none(), st.booleans())
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from([f"m{at}" for at in range(8)]),
        card=st.sampled_from([Card(), Card(examples=("What is 1 + 1?",)), Card(examples=("Name a city.",))]),
        context_tokens=st.one_of(st.none(), st.integers(1, 4000)),
        vision=KNOWN,
        tools=KNOWN,
        json_schema=KNOWN,
        licence=st.sampled_from([None, "apache-2.0", "gpl-3.0-only"]),
        place=st.sampled_from(["here", "elsewhere", None]),
        loaded=st.booleans(),
        loadable=KNOWN,
        waiting=st.integers(0, 9),
        cost_per_token=st.one_of(st.none(), st.builds(Figure, st.floats(1e-6, 1), st.just(Basis.STATED))),
        tokens_per_second=st.one_of(st.none(), st.builds(Figure, st.floats(0.1, 900), st.just(Basis.MEASURED))),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda candidate: candidate.name,
)
NEEDS = st.builds(Needs, st.integers(0, 5000), st.booleans(), st.booleans(), st.booleans())
POLICY = st.builds(
    Policy,
    licences=st.sampled_from([None, frozenset({"apache-2.0"})]),
    places=st.sampled_from([None, frozenset({"here"})]),
    rules=st.sampled_from([(), (Rule("any", ("m3", "m0")),), (Rule("code", ("m1",)), Rule("tools", ("m2",)))]),
    cascade=st.booleans(),
)


def violates(candidate: Candidate, needs: Needs, policy: Policy) -> bool:
    """Written apart from the code under test."""
    return any(
        (
            candidate.context_tokens is not None and candidate.context_tokens < needs.context_tokens,
            needs.vision and candidate.vision is False,
            needs.tools and candidate.tools is False,
            needs.json_schema and candidate.json_schema is False,
            policy.licences is not None and candidate.licence not in policy.licences,
            policy.places is not None and candidate.place not in policy.places,
            not candidate.loaded and candidate.loadable is False,
        )
    )


@settings(max_examples=examples(100), deadline=None)
@given(CANDIDATES, NEEDS, POLICY, st.sampled_from([None, "m0", "m5"]))
def test_no_candidate_that_violates_a_constraint_is_chosen(candidates, needs, policy, warm):
    policies = Policies({"auto": policy})
    allowed = {candidate.name for candidate in candidates if not violates(candidate, needs, policy)}
    if not allowed:
        with pytest.raises(ApiError) as caught:
            route(asking(), candidates, policies=policies, needs=needs, warm=warm)
        assert (caught.value.status, caught.value.source) == (400, "router")
        return
    chosen = route(asking(), candidates, policies=policies, needs=needs, warm=warm)

    assert chosen.model in allowed
    assert chosen.escalation is None or chosen.escalation.to in allowed
    assert chosen == route(asking(), candidates, policies=policies, needs=needs, warm=warm)


def test_a_model_known_to_see_comes_before_one_of_which_nothing_is_known():
    blind, unknown, sees = Candidate("blind", vision=False), Candidate("unknown"), Candidate("sees", vision=True)

    assert route(asking(), [blind, unknown, sees], needs=Needs(vision=True)).model == "sees"
    assert route(asking(), [blind, unknown], needs=Needs(vision=True)).model == "unknown"


def test_a_context_too_long_is_refused_with_both_numbers():
    with pytest.raises(ApiError, match=r"takes 4,096 tokens, about 9,000 are needed") as caught:
        route(asking(), [Candidate("a", context_tokens=4096)], needs=Needs(9000))
    assert caught.value.code == "context_length_exceeded"


def test_who_was_left_out_is_said():
    chosen = route(asking(), [Candidate("far", place="us"), Candidate("near")],
                   policies=Policies({"auto": Policy(places=frozenset({"here"}))}))  # fmt: skip

    assert chosen.model == "near"
    assert chosen.reason == "auto: the only one that can: far it runs at us"


def test_a_forbidden_model_is_refused_by_name_too():
    policies = Policies({"auto": Policy(licences=frozenset({"apache-2.0"}))})
    with pytest.raises(ApiError, match="its licence is unknown") as caught:
        route(asking(model="a"), [Candidate("a"), Candidate("b", licence="apache-2.0")], policies=policies)
    assert caught.value.status == 403


def test_needs_are_read_from_either_api():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    openai = needs_of(
        {
            "messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 3500}, image]}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
            "max_tokens": 500,
        }
    )
    anthropic = needs_of({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}], "system": "s"})

    assert (openai.vision, openai.tools, openai.json_schema) == (True, True, True)
    assert 2400 < openai.context_tokens < 2700
    assert (anthropic.vision, anthropic.tools) == (True, False)


def test_needs_are_found_in_the_body_where_nobody_gives_them():
    tools = [{"type": "function", "function": {"name": "f"}}]
    candidates = [Candidate("plain", tools=False), Candidate("handy", tools=True)]

    assert route(asking(tools=tools), candidates).model == "handy"
    assert route(asking(), candidates).model == "plain"


@pytest.mark.parametrize(
    "choice",
    [{"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}, {"type": "tool", "name": "f"}],
)
def test_a_tool_that_is_named_is_a_schema_that_models_without_tools_keep_to_as_well(choice):
    tools = [{"type": "function", "function": {"name": "f"}}]

    assert route(asking(tools=tools, tool_choice=choice), [Candidate("plain", tools=False)] * 2).model == "plain"
    with pytest.raises(ApiError, match="calls no tools"):
        route(asking(tools=tools, tool_choice="required"), [Candidate("plain", tools=False)] * 2)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["messages", "content", "type", "role", "tools", "text", "input",
                                                       "response_format", "max_tokens", "prompt"]), inner, max_size=4),
                    max_leaves=12))  # fmt: skip
def test_no_body_breaks_the_reading_of_needs(fields):
    if isinstance(fields, dict):
        assert needs_of(fields).context_tokens >= 0


def test_a_conversation_keeps_its_key_and_another_has_another():
    first = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    later = [*first, {"role": "assistant", "content": "hello"}, {"role": "user", "content": "more"}]
    other = [{"role": "user", "content": "hi"}]
    keys = [needs_of({"messages": messages}).conversation for messages in (first, later, other)]

    assert keys[0] == keys[1] != keys[2]


def test_a_rule_sends_code_to_the_coder_and_pictures_to_the_seer():
    policies = read_policies({"auto": {"rules": {"code": "coder", "images": ["gone", "seer"], "any": "small"}}})
    candidates = [Candidate(name) for name in ("small", "coder", "seer")]

    def chosen(prompt, **needs):
        return route(asking(prompt), candidates, policies=policies, needs=Needs(**needs)).model

    assert chosen("Fix this: ```def f(x): retrun x```") == "coder"
    assert chosen("What is in this picture?", vision=True) == "seer"
    assert chosen("Good morning") == "small"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"p": {"cost_worth": "much"}}, "cost_worth is 'much'"),
        ({"p": {"speed": 1}}, "speed is no part of a policy"),
        ({"p": {"rules": {"colour": "a"}}}, "'colour' is no category"),
        ({"p": {"licences": []}}, "licences is"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(table, says):
    with pytest.raises(BadSetting, match=says):
        read_policies(table)


def test_modes_weigh_what_is_known():
    slow = Candidate("slow", cost_per_token=Figure(1e-6, Basis.STATED), tokens_per_second=Figure(5, Basis.MEASURED))
    quick = Candidate("quick", cost_per_token=Figure(9e-6, Basis.STATED), tokens_per_second=Figure(80, Basis.MEASURED))

    assert route(asking(model="auto:fast"), [slow, quick]).model == "quick"
    assert route(asking(model="auto:cheap"), [quick, slow]).model == "slow"
    assert route(asking(model="auto:cheap"), [quick, slow]).basis is Basis.ASSUMED
    assert set(POLICIES) == {"auto", "auto:fast", "auto:best", "auto:cheap", "auto:cascade"}


def test_an_unknown_mode_is_refused_with_those_there_are():
    with pytest.raises(ApiError, match="auto:fast, auto:best"):
        route(asking(model="auto:wise"), [Candidate("a")])


def test_with_nothing_known_a_conversation_stays_where_its_cache_is():
    assert route(asking(), [Candidate("a"), Candidate("b")], warm="b").model == "b"
    assert route(asking(), [Candidate("a"), Candidate("b")]).model == "a"
