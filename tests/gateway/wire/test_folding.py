"""A body of megabytes is looked through as it comes: its images are in nobody's way, and reach engines as they came."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.engines import Model
from weighbridge.gateway.adapting import Adapting
from weighbridge.gateway.wire import Body, Folding, Request
from weighbridge.gateway.wire.folding import LEAST_BYTES
from weighbridge.gateway.wire.quick import compiled
from weighbridge.openai_api import ApiError

pytestmark = pytest.mark.skipif(
    not hasattr(compiled, "find_data"), reason="without what is written in C nothing is folded"
)
DATA = base64.b64encode(random.Random(7).randbytes(6 << 20)).decode()
ASKED = [{"role": "user", "content": [{"type": "text", "text": "What is é?"}]}]


def came(raw: bytes, *cuts: int) -> Request:
    """A request whose body came in pieces that end there."""
    request = Request(b"POST", b"/", b"/", 1, {}, len(raw))
    request.folding = Folding()
    ends = sorted({min(cut, len(raw)) for cut in cuts} | {len(raw)})
    for begin, end in zip([0, *ends], ends, strict=False):
        request.folding.feed(raw[begin:end])
    return request


def picture(data: str = DATA) -> dict:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


# Long enough to be set apart, and what stands before, between and behind it is anything.
PIECES = st.one_of(
    st.text(max_size=30),
    st.integers(0, 3 * LEAST_BYTES).map(lambda size: DATA[:size]),
    st.tuples(st.sampled_from(['"', "\\", '\\"', "\x7f", "\t", " ", "é", "a b"]), st.sampled_from([1, 17_000])).map(
        lambda drawn: drawn[0] * drawn[1]
    ),
)
VALUES = st.recursive(
    st.lists(PIECES, max_size=4).map("".join) | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.lists(st.integers(0, 200_000), max_size=8), st.booleans())
def test_wherever_it_is_cut_it_says_what_it_said_and_goes_on_to_the_last_byte(value, cuts, ascii_only):
    fields = {"model": "a", "image": value, "stream": True}
    raw = json.dumps(fields, ensure_ascii=ascii_only).encode("utf-8", "replace")

    body = Body.of(came(raw, *cuts))

    assert (body.model, body.stream) == ("a", True)
    assert b"".join(body.parts) == raw
    assert json.loads(b"".join(body.renamed("b"))) == {**json.loads(raw), "model": "b"}
    # Put into other words, its data is in its place again.
    assert json.loads(b"".join(Body(json.dumps([body.fields]).encode()[1:-1], body.folding).parts)) == json.loads(raw)


@pytest.mark.parametrize(
    "cuts", [(), range(0, 8 << 20, 1400), range(0, 8 << 20, 262_144)], ids=["once", "1400", "256k"]
)
def test_of_an_image_nothing_is_read_copied_or_written_anew(cuts):
    raw = json.dumps({"model": "far", "max_tokens": 9, "messages": [{"role": "user", "content": [picture()]}]}).encode()
    adapting = Adapting(
        {"far": Model("far", "remote", options={"url": "http://x", "speaks": "chat"})}, lambda name: 512
    )

    body = Body.of(came(raw, *cuts))
    prepared = adapting.prepare("far", b"/v1/messages", body)

    # All that is parsed and written, and so all that any step does: of 8 MB less than the least that is set apart.
    assert max(len(body.bytes), len(prepared.bodies[0].bytes)) < 4 * LEAST_BYTES
    sent = json.loads(b"".join(prepared.bodies[0].parts))
    assert sent["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{DATA}"


def test_several_images_and_choices_share_their_data():
    other = DATA[::-1]
    raw = json.dumps({"messages": [{"role": "user", "content": [picture(), picture(other)]}], "n": 2}).encode()
    adapting = Adapting({"far": Model("far", "fake", options={"x": "y"})}, lambda name: None)

    prepared = adapting.prepare("far", b"/v1/chat/completions", Body.of(came(raw, 9_000_000)))

    for body in prepared.bodies:
        content = json.loads(b"".join(body.parts))["messages"][0]["content"]
        assert [part["source"]["data"] for part in content] == [DATA, other]
    assert sum(len(body.bytes) for body in prepared.bodies) < LEAST_BYTES


def test_a_text_without_blanks_is_read_like_any_other():
    raw = json.dumps({"model": "a", "messages": [{"role": "user", "content": DATA[:200_000]}]}).encode()

    body = Body.of(came(raw, 100_000))

    assert (body.bytes, body.folding) == (raw, None)


def test_what_a_response_repeats_has_its_data():
    fields = {"model": "a", "metadata": {"x": DATA[:20_000]}, "input": [{"type": "input_image", "image_url": DATA}]}
    body = Body.of(came(json.dumps(fields).encode()))

    assert body.folding is not None
    assert body.unfolded(but="input").fields == fields
    assert Body.of(came(json.dumps({**fields, "metadata": {}}).encode())).unfolded(but="input").folding is not None


@pytest.mark.parametrize(
    "damage", [b'{"image": "%s', b'{"image": "%s"]', b'{"image": "%s", "x": "\xff"}', b'{"image": "\\u%s"}']
)
def test_damage_is_told_where_it_is(damage):
    raw = damage.replace(b"%s", DATA[:50_000].encode())

    with pytest.raises(ApiError) as plain:
        Body(raw).fields  # noqa: B018
    with pytest.raises(ApiError) as folded:
        Body.of(came(raw, 20_000)).fields  # noqa: B018
    assert folded.value.args == plain.value.args
