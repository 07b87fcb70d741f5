"""Rows of requests are written by rows.c as they are written in full, letter by letter."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge.ledger import Ledger, Served, folder_of, rows, served, verify
from weighbridge.ledger.served import row_of, served_of

_TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["", "named in the request", 'a"b', "a\\b", "\x7f", "é", "\ud800", "\0"]),
    st.sampled_from([299, 300, 301, 1000, 1001, 9000]).map("x".__mul__),
)  # fmt: skip
_MAYBE = st.none() | _TEXTS
_NUMBERS = st.sampled_from([0, 1, 9, 10, 200, 2**63 - 1, 2**63, -1, 10**30]) | st.integers(0, 10**9)
_SERVED = st.builds(
    Served, st.floats(0, 2e9), _TEXTS, _TEXTS, _MAYBE, _MAYBE, _MAYBE, _MAYBE, _MAYBE, _MAYBE, st.none() | _NUMBERS,
    _TEXTS, _MAYBE, st.booleans(), *[st.none() | _NUMBERS] * 5, _NUMBERS, _MAYBE, _MAYBE,
)  # fmt: skip
_PLAIN = Served(
    1e9, "req_1", "/v1/chat/completions", "auto", "qwen", "rules", "named in the request", "ab" * 32, "anna", 200,
    "done", None, False, 12, 3, None, 0, 900, 12_345,
)  # fmt: skip


@pytest.mark.skipif(served._rows is None, reason="rows.c was not compiled: no headers of Python here")
@settings(max_examples=examples(100))
@given(st.integers(1, 10**12), _SERVED)
def test_a_row_is_written_as_in_full(number, told):
    row = served._rows.row_of(number, "2026-11-21T10:00:00.000000Z", told)

    assert row is None or row == served._row_in_full(number, "2026-11-21T10:00:00.000000Z", told)


@pytest.mark.skipif(served._rows is None, reason="rows.c was not compiled: no headers of Python here")
def test_rows_as_they_usually_are_need_no_writing_in_full():
    for told in (_PLAIN, _PLAIN._replace(status=None, asked=None, engine=None, stream=True, error="engine_died")):
        assert served._rows.row_of(1, "2026-11-21T10:00:00.000000Z", told) == row_of(
            1, "2026-11-21T10:00:00.000000Z", told
        )
    for told in (_PLAIN._replace(model="modèle"), _PLAIN._replace(prompt="hi"), _PLAIN._replace(status=True)):
        assert served._rows.row_of(1, "2026-11-21T10:00:00.000000Z", told) is None


def test_a_row_made_of_its_fields_is_the_one_that_is_made_by_name():
    made = served_of(tuple(_PLAIN))

    assert type(made) is Served
    assert made == _PLAIN


@pytest.mark.parametrize("is_heard", [True, False])
def test_rows_that_are_made_together_are_those_that_are_made_one_by_one(is_heard, tmp_path):
    told = [_PLAIN._replace(at=1e9 + at * 0.4, id=f"req_{at}", prompt="é" if at == 3 else None) for at in range(5)]
    alone, together = (Ledger.open(tmp_path / name) for name in ("alone", "together"))
    heard = []
    if is_heard:
        together.listeners.append(heard.append)
    for each in told:
        alone.served(each)
    together.served_together(told[:2])
    together.served_together(told[2:])
    alone.close()
    together.close()

    def read(name):
        found = list(rows(folder_of(tmp_path / name)))
        return [(row.number, row.fields) for row in found if row.kind == "request"]

    assert read("together") == read("alone")
    assert len(heard) >= 5 * is_heard
    assert verify(folder_of(tmp_path / "together")).is_untouched


@pytest.mark.skipif(served.chain is None, reason="rows.c was not compiled, or this processor does not hash")
@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.999_999), st.text("ab~ \x7f", max_size=200)), min_size=1, max_size=20))
def test_rows_are_chained_as_anyone_can_check(parts):
    told = [_PLAIN._replace(at=1e9 + part, id=name, reason=name * 5) for part, name in parts]
    previous = hashlib.sha256(b"x").hexdigest()
    expected = []
    last = previous
    for number, each in enumerate(told, 8):
        row = row_of(number, f"2001-09-09T01:46:40.{int((each.at - 1e9) * 1e6):06d}Z", each)
        last = hashlib.sha256((last + row).encode()).hexdigest()
        expected.append(f'{{"hash":"{last}","row":{row}}}\n')

    made = served.chain(previous, 7, "2001-09-09T01:46:40.", 1e9, told)

    is_plain = not any("\x7f" in name for _, name in parts) and all(len(name) * 5 <= 1000 for _, name in parts)
    assert made == (("".join(expected), last) if is_plain else None)
