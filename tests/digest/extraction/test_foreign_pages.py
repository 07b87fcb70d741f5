"""A stranger's page is read in a time that grows with its length, whatever it holds, and never stops the reader."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.growth import grows_no_faster_than
from weighbridge.digest import Page, extract

_PIECES = (
    "Qwen3-8B", "Llama 4 Scout", "Zorblax-V4", "the 31B", "it", "671B/37B", "17Bx16E", "128K context", "$0.27/M input",
        "88.5%", "MMLU-Pro",
    "#3 on LMArena", "| a | b |", "|---|---|", "\n", "- ", "# ", "license: mit", "under Apache 2.0", "April 8",
        "last week", "released",
    "fits on a single 24 GB GPU", "2.5x faster", "(", ")", "[[", "…", "İ", "not", "and", "respectively",
        "https://huggingface.co/a/b-7B", "```", "---",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=400), st.lists(st.sampled_from(_PIECES), max_size=60).map(" ".join)))
def test_any_text_gives_claims_whose_quotes_it_holds(text):
    for claim in extract(Page("page", text, published="2026-04-19")):
        assert text[claim.start : claim.end] == claim.quote != ""
        assert claim.subject
        assert isinstance(claim.value, float | str | bool)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=40).map(" ".join))
def test_the_same_page_gives_the_same_claims(text):
    assert extract(Page("page", text)) == extract(Page("page", text))


@pytest.mark.parametrize(
    "piece",
    [
        "a", "1", "1,", "1.", "(", "|", "| a ", "- \n", "[", "a/", "Ab-", " ", "\n", "# a\n", "a\tb\n", "a    b\n",
            "Qwen3-8B, ", "8B ", "671B/37B ",
        "MMLU 88.5 ", "a ; ( ", "Ab Cd Ef Gh is a model. ", "Gemma 4 31B. the 31B variant of Gemma 4 ",
            "DeepSeek V4 V4-Pro ", "April 2 ", "**a**: ",
        "Meta releases Foo. ", "license: mit ", "$5M trained ", "https://huggingface.co/a/b ", "not ", "and ",
            "Foo 3 Bar ",
    ],
)  # fmt: skip
def test_the_time_grows_with_the_length_and_not_faster(piece):
    short, long = (Page("page", piece * (characters // len(piece))) for characters in (1_500, 60_000))

    grows_no_faster_than(40, extract, short, long)


def test_a_page_without_end_is_cut_off():
    found = extract(Page("page", "\n" * 980_000 + "Foo-7B has 7B parameters. " * 2_000))

    assert found
    assert found[-1].end <= 1_000_000
