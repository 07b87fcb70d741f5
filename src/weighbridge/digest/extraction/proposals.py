"""`Proposal`: what a model thinks that a page says. It counts only as far as the page's own words bear it out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..claim import FIELDS, Claim
from ..page import Page
from .dates import dates, day_of
from .licences import licences
from .quantities import quantities

_MOST_PROPOSALS = 2000
_MOST_QUOTE_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Proposal:
    """A claim as somebody else reads it: its words must stand on the page, and hold its subject and its value."""

    subject: str
    field: str
    value: float | str | bool
    quote: str
    unit: str = ""
    qualifier: str = ""


def verified(page: Page, proposals: Iterable[Proposal]) -> Iterator[Claim]:
    """Those whose quote occurs, whose field is known, and whose value can be read in the quote; others are dropped."""
    for number, each in enumerate(proposals):
        if number >= _MOST_PROPOSALS:
            return
        start = page.text.find(each.quote) if 0 < len(each.quote) <= _MOST_QUOTE_CHARACTERS else -1
        if start < 0 or not _is_field(each.field) or not _says(each, page):
            continue
        yield Claim(
            each.subject, each.field, each.value, each.quote, start, start + len(each.quote), each.unit, each.qualifier,
            page.address, None, page.published, page.fetched,
        )  # fmt: skip


def _is_field(name: str) -> bool:
    return name in FIELDS or bool(re.fullmatch(r"(?:benchmark|rank):\S.{0,80}", name))


def _says(each: Proposal, page: Page) -> bool:
    quote = each.quote
    if not each.subject or each.subject.lower() not in page.text.lower():
        return False
    if isinstance(each.value, bool):
        return each.subject.lower() in quote.lower()
    if isinstance(each.value, int | float):
        return any(
            math.isclose(read.value, each.value, rel_tol=1e-6) for read in quantities(quote, 0, len(quote))
        ) and math.isfinite(each.value)
    if each.field == "licence":
        return any(name == each.value for _, _, name, _ in licences(quote.lower(), 0, len(quote)))
    if each.field == "release_date":
        today = day_of(page.published) if page.published else None
        return any(told.value == each.value for told in dates(quote, 0, len(quote), today))
    return bool(each.value) and each.value.lower() in quote.lower()
