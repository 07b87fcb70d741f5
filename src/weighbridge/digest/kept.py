"""`KeptPage`, `KeptClaim` and `Fact`: what the record holds, each with an id by which what is published can name it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from weighbridge.figures import Basis

from .claim import Claim
from .page import Page
from .verdict import Verdict


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that was read, computed or stated, in words that hold its figures."""

    subject: str
    field: str
    value: Any
    """As JSON has it."""
    text: str
    """The value in a line, as it is published."""
    basis: Basis
    source: str
    key: str = ""
    """Where in the source."""
    date: str = ""
    """ISO day that the source is from."""

    @property
    def id(self) -> str:
        """Equal for equal subject, field, source, key and day."""
        return "f" + sum_of(self.subject, self.field, self.source, self.key, self.date)[:10]


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page as it is recorded; its text is gone once it was read."""

    id: str
    page: Page
    content: str
    """Sum of its text: equal for copies."""
    source: str
    """By which source it came."""


@dataclass(frozen=True, slots=True)
class KeptClaim:
    """A claim, its page, and how it stands."""

    id: str
    claim: Claim
    page: str
    verdict: Verdict | None = None
    checked: str = ""
    """ISO day on which it got this verdict."""


def sum_of(*parts: str) -> str:
    """One sum of some texts, as 64 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def page_id(page: Page) -> str:
    """Equal for the same text at the same address."""
    return "p" + sum_of(page.address, page.text)[:16]


def claim_id(page: str, claim: Claim) -> str:
    """Equal for the same words on the same page, read the same way."""
    place = f"{claim.start}-{claim.end}"
    return "c" + sum_of(page, place, claim.subject, claim.field, json.dumps(claim.value), claim.qualifier)[:10]
