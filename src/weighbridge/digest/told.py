"""`told_by()`: all that a page claims, of models and of the rules that bear on them."""

from __future__ import annotations

from .claim import Claim
from .extraction import extract
from .page import Page
from .rules import rule_claims


def told_by(page: Page) -> tuple[Claim, ...]:
    """The claims of a page: those of models in the order of their places, then those of rules."""
    return (*extract(page), *rule_claims(page))
