"""What is read of a body, and that large ones are read like small ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge.gateway.wire import Body
from weighbridge.gateway.wire.body import _TopLevel
from weighbridge.openai_api import ApiError

LONG = "A" * 70_000


@pytest.mark.parametrize(
    "padding", ["", LONG, '\\"' * 40_000, "\\\\" * 40_000], ids=["small", "large", "quotes", "slashes"]
)
@pytest.mark.parametrize(
    ("text", "model", "stream"),
    [
        ('{"model": "a", "stream": true, "x": "%s"}', "a", True),
        ('{"x": "%s", "model": "a"}', "a", False),
        ('{"x": {"model": "b", "stream": 1, "y": ["%s", {"model": 1}]}, "model": "a", "stream": null}', "a", False),
        ('{"model": "a", "x": "%s", "model": "b", "stream": false, "stream": true}', "b", True),
        ('{"mod\\u0065l": "a", "x": "%s"}', "a", False),
        ('{"model": "a\\"}\\u00e9", "x": "%s"}', 'a"}é', False),
        ('{"x": "\\", \\"model\\": \\"b\\" %s"}', None, False),
        ('{"x": "%s", "y": [1, -2.5e3, true, null, {}, []], "stream": true}', None, True),
        (' \n{ "x" : "%s" , "model" : "a" } \t', "a", False),
        ('{"model": null, "x": "%s"}', None, False),
    ],
)  # fmt: skip
def test_model_and_stream_are_those_of_the_top_level_and_the_last_ones(text, model, stream, padding):
    body = Body(text.replace("%s", padding).encode())

    assert (body.model, body.stream) == (model, stream)
    assert body.fields == json.loads(text.replace("%s", padding))


@pytest.mark.parametrize("padding", ["", LONG], ids=["small", "large"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"x": "%s"', "not JSON"),
        ('{"x": "%s"}}', "not JSON"),
        ('{"x": "%s"]', "not JSON"),
        ('{"x": "%s",}', "not JSON"),
        ('{"x" "%s"}', "not JSON"),
        ('{"x": ["%s"}', "not JSON"),
        ('{"x": "%s", "y": NaN}', "not JSON"),
        ('{"x": "%s", y: 1}', "not JSON"),
        ('{"x": "%s", "model": 5}', "model is 5"),
        ('{"x": "%s", "model": ["a"]}', "model is"),
        ('{"x": "%s", "stream": "yes"}', "stream is"),
        ('["%s"]', "list"),
        ('"%s"', "JSON"),
        ('{"x": "%s", "y": ' + "[" * 10_000 + "]" * 10_000 + "}", "too deeply"),
        ('{"x": "%s", "y": ' + '{"a":' * 10_000 + "1" + "}" * 10_001, "too deeply"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(text, said, padding):
    with pytest.raises(ApiError, match=said) as caught:
        Body(text.replace("%s", padding).encode())
    assert caught.value.status == 400


@pytest.mark.parametrize("padding", [b"", LONG.encode()], ids=["small", "large"])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
def test_bytes_that_are_no_utf8_are_told(bad, padding):
    with pytest.raises(ApiError, match="not UTF-8"):
        Body(b'{"model": "a", "x": "' + padding + bad + b'"}')
    with pytest.raises(ApiError):
        Body('{"model": "a"}'.encode("utf-16"))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda deeper: st.lists(deeper, max_size=4) | st.dictionaries(st.text(max_size=6), deeper, max_size=4),
    max_leaves=20,
)
KEYS = st.text(max_size=6) | st.sampled_from(["model", "stream", "messages"])


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_stepping_over_a_body_finds_what_reading_it_finds(fields, ascii_only, indent):
    raw = json.dumps(fields, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")

    spans = _TopLevel(raw).spans

    assert {name: json.loads(raw[begin:end]) for name, (begin, end) in spans.items()} == fields


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6), st.text(min_size=1, max_size=9), st.booleans(), st.booleans())
def test_another_name_changes_nothing_else(fields, name, ascii_only, is_large):
    fields = {**fields, "stream": True, "model": "old", **({"pad": LONG} if is_large else {})}
    raw = json.dumps(fields, ensure_ascii=ascii_only).encode("utf-8", "replace")

    renamed = b"".join(Body(raw).renamed(name))

    assert json.loads(renamed) == {**json.loads(raw), "model": name}
    old, new = b'"old"', json.dumps(name).encode()
    assert len(renamed) - len(raw) == len(new) - len(old)


def test_a_name_is_added_where_there_is_none_and_replaced_where_it_counts():
    assert Body(b'{"x": 1}').renamed("a") == [b'{"model":"a","x": 1}']
    assert Body(b"{}").renamed("a") == [b'{"model":"a"}']
    (twice,) = Body(b'{"model": "a", "x": {"model": "b"}, "model": "c"}').renamed("d")
    assert json.loads(twice)["model"] == "d"
    assert b'{"model": "b"}' in twice


def test_very_many_small_pieces_are_read_too():
    raw = json.dumps({"x": [[]] * 40_000, "model": "a", "y": ["model"] * 9}).encode()

    body = Body(raw)

    assert body.model == "a"
    assert json.loads(b"".join(body.renamed("b"))) == {**json.loads(raw), "model": "b"}


@pytest.mark.parametrize(
    "many",
    [
        b'{"messages": [' + b'{"role": "user", "content": "x"},' * 60_000 + b"{}]}",
        b"{" + b",".join(b'"%d": 1' % number for number in range(300_000)) + b"}",
        b'{"prompt": [' + b"1," * 2_100_000 + b"1]}",
    ],
)
def test_a_body_of_very_many_pieces_is_refused_rather_than_taken_apart(many):
    with pytest.raises(ApiError) as caught:
        assert Body(many).fields
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


def test_a_long_text_is_no_body_of_many_pieces():
    text = json.dumps({"messages": [{"role": "user", "content": 'say "x", ' * 300_000}], "model": "m"}).encode()

    assert Body(text).fields["model"] == "m"
