"""A form's fields are found whatever its files hold, and a form that is damaged is the client's error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.gateway.wire import Form
from weighbridge.openai_api import ApiError

BOUNDARY = b"xYzZY"
TYPE = b"multipart/form-data; boundary=" + BOUNDARY
# What may be mistaken for the end of a part.
NASTY = [b"--xYzZ", b"\r\n--", b"--xYzZY", b"\r\n\r\n", b'name="model"', b"\r\n-xYzZY", b"\r\n--xYzZ\r\n"]
CONTENT = (
    st.lists(st.binary(max_size=20) | st.sampled_from(NASTY), max_size=6)
    .map(b"".join)
    .filter(lambda content: b"\r\n--" + BOUNDARY not in b"\r\n" + content)
)


def part(name: bytes, content: bytes, more: bytes = b"") -> bytes:
    return b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (BOUNDARY, name, more, content)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


@given(st.lists(CONTENT, max_size=3), st.lists(CONTENT, max_size=3), st.text("abc-.:/ é", min_size=1))
def test_the_model_is_found_between_any_files_and_renamed_alone(before, after, model):
    files = [part(b"file", content, b'; filename="model.wav"\r\nContent-Type: audio/wav') for content in before]
    others = [part(b"prompt", content) for content in after]
    raw = form(*files, part(b"model", model.encode()), part(b"stream", b"true"), *others)
    read = Form(TYPE, raw)

    assert (read.model, read.stream, read.bytes) == (model, True, raw)
    assert b"".join(read.renamed("deep")) == form(*files, part(b"model", b"deep"), part(b"stream", b"true"), *others)


def test_a_form_without_a_model_names_none_and_stays_as_it_is():
    raw = b"a preamble\r\n" + form(part(b"file", b"x", b'; filename="a"'), b"--xYzZY\r\n\r\nunnamed\r\n")
    read = Form(b'multipart/form-data; charset=utf-8; boundary="xYzZY"', raw)

    assert (read.model, read.stream, b"".join(read.renamed("deep"))) == (None, False, raw)


@given(st.integers(1, 60))
def test_a_form_that_is_cut_off_is_refused(missing):
    raw = form(part(b"model", b"m"), part(b"file", b"x" * 100))
    with pytest.raises(ApiError) as caught:
        Form(TYPE, raw[: -4 - missing])

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (b"application/json", b"{}", "is no form"),
        (b"multipart/form-data", form(), "is no form"),
        (TYPE, b"", "not whole"),
        (TYPE, form(part(b"model", b"\xff")), "model is not UTF-8"),
        (TYPE, form(part(b"model", b"a\r\nb")), "expected a name"),
        (TYPE, form(part(b"model", b"m" * 2000)), "longer than 1,024 bytes"),
        (TYPE, form(*[part(b"a", b"")] * 300), "more than 200 parts"),
        (TYPE, form(part(b"a" * 10_000, b"")), "not whole"),
    ],
)
def test_a_damaged_form_is_a_400_that_says_what(kind, raw, message):
    with pytest.raises(ApiError, match=message) as caught:
        Form(kind, raw)

    assert caught.value.status == 400
