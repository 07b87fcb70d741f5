"""Statements about rules are found by the language they are made in, and ruled by what is recorded."""

from __future__ import annotations

import pytest

from weighbridge.digest import Page, Ruling
from weighbridge.digest.checks import check
from weighbridge.digest.rules import rule_claims


@pytest.mark.parametrize(
    ("text", "field", "source"),
    [
        ("The EU AI Act: models below 5 billion parameters are exempt.", "rule:threshold", "C(2025) 5045"),
        ("Under the AI Act open models are exempt from all duties, including training data summaries.",
         "rule:exemption", "2024/1689"),
        ("AI Act: those above 10B that are open source must publish documentation.", "rule:documentation", "2024/1689"),
        ("Open source as defined by the OSI requires the full training data.", "rule:requirement", "opensource.org"),
        ("Our model tops the Open LLM Leaderboard this week.", "rule:leaderboard", "Leaderboard"),
        ("vLLM 0.8 is expected next week", "rule:version", "AINews"),
    ],
)  # fmt: skip
def test_a_wrong_statement_of_a_rule_is_refuted_with_its_source(text, field, source):
    page = Page("a", text, published="2026-05-01", fetched="2026-11-21")

    found = [verdict for verdict in check(rule_claims(page)) if verdict.claim.field == field]

    assert [verdict.ruling for verdict in found] == [Ruling.REFUTED]
    assert source in found[0].evidence[0].source
    assert page.text[found[0].claim.start : found[0].claim.end] == found[0].claim.quote


@pytest.mark.parametrize(
    "text",
    [
        "Models under 10B parameters run on a laptop, and one must not expect more of them.",
        "The AI Act presumes systemic risk over 1e25 FLOP.",
        "vLLM 0.8 release notes list Llama 4.",
        "The Open LLM Leaderboard was a Space of Hugging Face.",
        "An open-source release should name its training data.",
    ],
)
def test_other_sentences_are_no_statements_of_rules(text):
    assert rule_claims(Page("a", text, published="2026-05-01")) == ()


def test_a_place_on_a_leaderboard_that_was_open_then_is_not_refuted():
    page = Page("a", "It tops the Open LLM Leaderboard.", published="2024-05-01")

    assert [verdict.ruling for verdict in check(rule_claims(page))] == [Ruling.UNVERIFIABLE]
