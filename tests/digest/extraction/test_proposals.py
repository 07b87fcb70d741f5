"""Claims that somebody else reads on a page count only as far as the page's words bear them out."""

from __future__ import annotations

import pytest

from weighbridge.digest import Page, Proposal, extract

TEXT = "Vexling is tiny. Its makers put it at seven billion weights, 7B in short, and call the licence MIT License."


def test_a_proposal_whose_words_stand_there_is_taken():
    proposal = Proposal("Vexling", "parameters_total", 7e9, "7B in short", "parameters")

    (claim,) = [claim for claim in extract(Page("page", TEXT), [proposal]) if claim.field == "parameters_total"]

    assert TEXT[claim.start : claim.end] == claim.quote == "7B in short"


@pytest.mark.parametrize(
    "proposal",
    [
        Proposal("Vexling", "parameters_total", 8e9, "7B in short"),
        Proposal("Vexling", "parameters_total", 7e9, "7B for short"),
        Proposal("Vexling", "mood", 7e9, "7B in short"),
        Proposal("Vexling", "parameters_total", float("nan"), "7B in short"),
        Proposal("Otherling", "parameters_total", 7e9, "7B in short"),
        Proposal("Vexling", "licence", "Apache-2.0", "call the licence MIT License"),
        Proposal("", "licence", "MIT", "call the licence MIT License"),
        Proposal("Vexling", "licence", "MIT", ""),
    ],
)
def test_a_proposal_that_the_page_does_not_bear_out_is_dropped(proposal):
    without = extract(Page("page", TEXT))

    assert extract(Page("page", TEXT), [proposal]) == without


def test_what_the_grammar_found_is_not_told_twice():
    page = Page("page", "Foo-7B has 7.2B parameters.")

    assert extract(page, [Proposal("Foo-7B", "parameters_total", 7.2e9, "7.2B parameters")]) == extract(page)
