"""Pages of many kinds, with the claims that a person reads in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .gold import Counts, pairs, score

PAGES = Path(__file__).parent / "pages"


@pytest.mark.parametrize("folder", ["blind", "later", "fresh", "weekly"])
def test_most_of_what_made_up_pages_say_is_found_and_little_else(folder):
    found = [score(*pair) for pair in pairs(PAGES / folder)]
    total = sum((result.total() for result in found), Counts())
    faults = [fault for result in found for fault in result.faults]

    assert total.f1 >= 0.85, faults
    assert total.precision >= 0.85, faults
