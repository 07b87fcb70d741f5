"""What a page says is found, with the exact words, the right field and the right model."""

from __future__ import annotations

import pytest

from weighbridge.digest import Claim, Page, extract


def claims(text: str, published: str | None = "2026-04-19", title: str = "") -> list[Claim]:
    return list(extract(Page("page.md", text, title, published)))


def said(text: str, **page: str) -> set[tuple[str, str, object]]:
    return {(claim.subject, claim.field, claim.value) for claim in claims(text, **page) if claim.field != "exists"}


def test_a_claim_quotes_the_page_word_for_word():
    text = "# News\n\nDeepSeek V3 has 671B total parameters with 37B active.\n"

    found = claims(text)

    assert {claim.field for claim in found} == {"exists", "parameters_total", "parameters_active"}
    assert all(text[claim.start : claim.end] == claim.quote for claim in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kestrel 34B ships under the MIT license.", ("Kestrel 34B", "licence", "MIT")),
        ("V4-Lite of Zorblax-V4 is dense. Zorblax-V4 (1.6T/49B) is out.", ("Zorblax-V4", "parameters_active", 49e9)),
        ("Qwen3-Coder supports a context window of 256K tokens.", ("Qwen3-Coder", "context_length", 256e3)),
        ("Gemma 4 31B fits on a single 24 GB GPU at Q4.", ("Gemma 4 31B", "memory_needed", 24e9)),
        ("GLM-5.1 costs $0.50 per million input tokens.", ("GLM-5.1", "price_input", 0.5)),
    ],
)
def test_a_plain_sentence_gives_its_claim(text, expected):
    assert expected in said(text)
