"""`Case`: one claim with whom it means and what is known; `Finding`: what a check makes of it."""

from __future__ import annotations

import datetime
import re
from calendar import monthrange
from dataclasses import dataclass
from typing import NamedTuple

from weighbridge.figures import Basis

from ..claim import Claim
from ..knowledge import Fact, Knowledge, Subject
from ..verdict import Proof, Ruling

_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Case:
    """What a check sees."""

    claim: Claim
    subject: Subject
    knowledge: Knowledge
    context: str = ""
    """The words around the quote, in small letters."""
    page_day: str | None = None
    """The day as of which the page speaks where a claim tells none: that of its publication, or of what it tells last;
    None where the page does not tell when it was published."""
    page_since: str | None = None
    """A day before which the page was not written, by what it speaks of."""
    has_rivals: bool = False
    """Whether the same words were read as telling another value of the same field."""
    above: tuple[str, ...] = ()
    """The lines above the one that the quote begins in, the nearest last."""

    @property
    def told(self) -> str | None:
        """The day as of which it is said: that of the words, else that of the page."""
        return self.claim.told if is_day(self.claim.told) else self.page_day

    @property
    def line(self) -> str:
        """The line around the quote, in small letters."""
        quote = self.claim.quote.lower()
        at = self.context.find(quote)
        if at < 0:
            return quote
        start = self.context.rfind("\n", 0, at) + 1
        end = self.context.find("\n", at + len(quote))
        return self.context[start : end if end >= 0 else len(self.context)]

    @property
    def not_before(self) -> str | None:
        """A day before which it was not said."""
        return self.told or self.page_since

    @property
    def not_after(self) -> str | None:
        """A day after which it was not said."""
        return self.told or (self.claim.fetched if is_day(self.claim.fetched) else None)

    @property
    def number(self) -> float | None:
        """The value, where it is a number."""
        value = self.claim.value
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def word(self) -> str:
        """The value in small letters, where it is a word."""
        return str(self.claim.value).strip().lower()

    def says(self, *words: str) -> bool:
        """Whether its qualifier has one of these words."""
        if not self.claim.qualifier:
            return False
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", self.claim.qualifier.lower()) for word in words)

    @property
    def is_least(self) -> bool:
        """Whether the value is a lower bound."""
        return self.says("at least", "more than", "over", "above", "least", ">=", "≥") or "+" in self.claim.quote[-3:]

    @property
    def is_most(self) -> bool:
        """Whether the value is an upper bound."""
        return self.says("at most", "up to", "under", "below", "less than", "most", "within", "<=", "≤")

    @property
    def is_about(self) -> bool:
        """Whether it says that it is rounded."""
        return self.says("about", "around", "roughly", "approximately", "nearly", "some", "estimated", "almost") or (
            "~" in self.claim.quote or "≈" in self.claim.quote
        )

    @property
    def is_expected(self) -> bool:
        """Whether it speaks of what is yet to come."""
        return self.says("expected", "planned", "upcoming", "rumoured", "rumored", "announced", "forecast", "imminent")


class Finding(NamedTuple):
    """A ruling with its reasons."""

    ruling: Ruling
    evidence: tuple[Proof, ...] = ()


def supported(*evidence: Proof) -> Finding:
    """It holds."""
    return Finding(Ruling.SUPPORTED, evidence)


def refuted(*evidence: Proof) -> Finding:
    """It cannot hold."""
    return Finding(Ruling.REFUTED, evidence)


def expired(*evidence: Proof) -> Finding:
    """It held when it was told."""
    return Finding(Ruling.EXPIRED, evidence)


def open_question(*evidence: Proof) -> Finding:
    """What is known does not settle it."""
    return Finding(Ruling.UNVERIFIABLE, evidence)


def proof_of(fact: Fact, text: str) -> Proof:
    """A fact as a reason."""
    return Proof("fact", text, fact.basis, fact.source, fact.key, fact.date)


def name_proof(text: str, knowledge: Knowledge) -> Proof:
    """A reason from what models there are."""
    return Proof("name", text, Basis.STATED, "the catalogue and the hub's list", "", knowledge.hub_date)


def is_day(text: str | None) -> bool:
    """Whether a text is an ISO day or month of this century."""
    return bool(text and re.fullmatch(r"20\d\d(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)?", text))


def first_day(text: str) -> datetime.date:
    """The first day of a day, month or year."""
    year, month, day = (*map(int, text.split("-")), 1, 1)[:3]
    return datetime.date(year, month, min(day, monthrange(year, month)[1]))


def last_day(text: str) -> datetime.date:
    """The last day of a day, month or year."""
    parts = [int(part) for part in text.split("-")]
    year, month = parts[0], parts[1] if len(parts) > 1 else 12
    return datetime.date(
        year, month, min(parts[2], monthrange(year, month)[1]) if len(parts) > 2 else monthrange(year, month)[1]
    )


def days_between(earlier: str, later: str) -> int:
    """From the last day of one to the first of the other; negative where they are the other way round."""
    return (first_day(later) - last_day(earlier)).days


def rounding(claim: Claim) -> float:
    """Half of the last digit that the quote writes, as a share of the value: 0.014 for `37B`, 0.05 for `1 trillion`
    at least."""
    value = abs(float(claim.value)) if isinstance(claim.value, int | float) else 0.0
    best = 0.0
    for match in _DIGITS.findall(claim.quote):
        digits = match.replace(",", "")
        number = float(digits)
        if not number or not value:
            continue
        scale = value / number
        if any(abs(scale / power - 1) < 1e-6 for power in (1, 1e3, 1e6, 1e9, 1e12)):
            decimals = len(digits.partition(".")[2])
            best = max(best, 0.5 * 10**-decimals / number)
    return min(best, 0.1)
