"""The published OpenAPI document: true of every path, and what schemathesis makes of it brings no fault of ours."""

from __future__ import annotations

import json

import httpx2 as httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error

from weighbridge.gateway import openapi
from weighbridge.gateway.door import PATHS

DOCUMENT = openapi.document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {f"{each.ok().method.upper()} {each.ok().path}": each.ok() for each in SCHEMA.get_all_operations()}
# What the gateway only reads on: its engines have long answers of their own for these.
_SLOW = 20


def checked(url: str, case) -> None:
    """Ask, and hold the answer against the document. What fails must be the engine's fault, and say so."""
    body = getattr(case, "body", None)
    if isinstance(body, dict):
        for key in ("max_tokens", "max_completion_tokens", "max_output_tokens", "n"):
            # How much is said is no matter of the API's.
            if isinstance(body.get(key), int) and body[key] > _SLOW:
                body[key] = 2
    answer = case.call(base_url=url, timeout=30)
    if answer.status_code >= 500:
        assert answer.json()["error"]["source"] == "engine", answer.text
    case.validate_response(answer, excluded_checks=[not_a_server_error, *_NOT_OURS])
    assert "server" not in answer.headers


# Whether a body is good is for the engine to say; without a key nothing is kept from anybody on this machine.
_NOT_OURS = [
    check
    for check in schemathesis.checks.CHECKS.get_all()
    if check.__name__
    in ("negative_data_rejection", "positive_data_acceptance", "ignored_auth", "unsupported_method",
        "missing_required_header", "use_after_free", "ensure_resource_availability")
]  # fmt: skip


def run(operation, url: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy())
    def ask(case):
        checked(url, case)

    ask()


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_asked_by_the_document_is_answered_as_it_says(fake_gateway, name):
    run(OPERATIONS[name], fake_gateway.url, 8)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_at_length_with_real_models(bundled_gateway, name):
    run(OPERATIONS[name], bundled_gateway.url, 400)


def test_every_path_to_engines_and_every_page_is_in_it(fake_gateway):
    found = httpx.get(fake_gateway.url + "/openapi.json")
    paths = found.json()["paths"]

    assert found.json() == json.loads(json.dumps(DOCUMENT))
    assert {path.decode() for path in PATHS} - set(paths) == {"/v1/audio/transcriptions"}
    for path, methods in paths.items():
        wrong = httpx.get if "post" in methods else httpx.post
        answer = wrong(fake_gateway.url + path.replace("{name}", "fake"))
        assert answer.status_code == 405
        assert next(iter(methods)).upper() in answer.headers["allow"]


def test_it_is_a_valid_document():
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("path", "schema", "fields"),
    [
        ("/v1/chat/completions", "Completion", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/messages", "Message", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}),
        ("/v1/messages/count_tokens", "Count", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/responses", "Response", {"input": "x"}),
        ("/v1/embeddings", "Embeddings", {"input": "x"}),
        ("/v1/messages", "AnthropicError", {"messages": 1}),
        ("/v1/responses", "Error", {"input": 1}),
    ],
)
def test_answers_of_real_models_are_as_it_says(bundled_gateway, path, schema, fields):
    answer = httpx.post(bundled_gateway.url + path, json={"model": "extract", **fields}, timeout=30)

    assert (answer.status_code >= 400) == schema.endswith("Error")
    jsonschema.validate(answer.json(), {**DOCUMENT["components"]["schemas"][schema], **DOCUMENT})


KEYS = st.sampled_from(["role", "content", "type", "text", "name", "input"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    "messages input tools tool_choice system stop_sequences text n thinking reasoning metadata output_config "
    "instructions include top_logprobs".split()
)
TRANSLATED = st.sampled_from("/v1/messages /v1/responses /v1/chat/completions /v1/messages/count_tokens".split())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@example({"type": []}, "tool_choice", "/v1/messages")
@given(VALUES, FIELDS, TRANSLATED)
def test_no_value_of_any_field_makes_the_gateway_fail(fake_gateway, value, field, path):
    good = {"messages": [{"role": "user", "content": "x"}], "input": "x", "max_tokens": 2}
    answer = httpx.post(fake_gateway.url + path, json=good | {field: value}, timeout=30)

    if answer.status_code >= 500:
        assert answer.json()["error"]["source"] == "engine"
