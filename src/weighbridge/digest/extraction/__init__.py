"""Claims out of a page's text, by a grammar: no model, no network, no guess without words for it."""

from __future__ import annotations

from .extracting import extract
from .proposals import Proposal

__all__ = ["Proposal", "extract"]
