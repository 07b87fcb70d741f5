"""What a prompt looks like, found in C, is what arrays find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from weighbridge.routing import features
from weighbridge.routing.excerpt import excerpt
from weighbridge.routing.features import SIGNS, TABLE, look, signed, sketch

pytestmark = pytest.mark.skipif(features._looks is None, reason="looks.c was not compiled: no headers of Python here")

_RANDOM = np.random.default_rng(7)
_RARE = signed(*_RANDOM.random((2, TABLE), np.float32))
_PARTS = st.sampled_from(
    ["a", "Bc", "é", "\n", "\nA.", "\nB)", "7", "x7", "_", " ", "\t", "\r", "Answer", "AnswerA:", "def ", "```",
     "import ", "?", "{", "€", "\0", "\x7f", '"', "😀", "\ud800", "the", "the ", "aaaa", "-", "\x0b"]
)  # fmt: skip
_PROMPTS = st.lists(_PARTS | st.text(max_size=8), max_size=40).map("".join) | st.text(max_size=300)


@settings(max_examples=examples(200))
@given(_PROMPTS, st.sampled_from([1, 1, 90]), st.none() | st.integers(0, 10**9))
def test_hashes_and_signs_are_the_same(prompt, times, letters):
    known = look(prompt * times, letters)
    words, pieces, signs = features._hashed(
        excerpt(prompt * times).encode("utf-8", "replace"), len(prompt * times) if letters is None else letters
    )

    assert known.words.tolist() == words.tolist()
    assert known.pieces.tolist() == pieces.tolist()
    assert known.signs.tolist() == signs.tolist()
    assert len(signs) == len(SIGNS)


@settings(max_examples=examples(100))
@given(_PROMPTS, st.sampled_from([1, 64, 4096]))
def test_sketches_are_the_same_but_for_the_order_of_sums(prompt, width):
    looks = look(prompt)
    places, weights = sketch(looks, _RARE, width)
    expected = (
        np.bincount(*features._sketched(looks, _RARE, width), 2 * width) if len(looks.words) else np.zeros(2 * width)
    )

    assert np.bincount(places, weights, 2 * width) == pytest.approx(expected, abs=1e-12)


def test_what_is_no_table_is_refused():
    looks = look("some words")
    for table, width in ((_RARE[:-1], 4096), (_RARE, 4095), (_RARE, 0), (_RARE[:0], 1), (_RARE, 1 << 30)):
        with pytest.raises(ValueError, match="no table"):
            sketch(looks, table, width)
    with pytest.raises(ValueError, match="too long"):
        features._looks.look(b"a" * ((1 << 20) + 1), 1)
