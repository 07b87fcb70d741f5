"""What is claimed of open-weight models, checked against facts, arithmetic and other claims, and told in a digest."""

from __future__ import annotations

from .claim import Claim
from .extraction import Proposal, extract
from .page import Page
from .reading import page_of, read_file
from .verdict import Proof, Ruling, Verdict

__all__ = ["Claim", "Page", "Proof", "Proposal", "Ruling", "Verdict", "extract", "page_of", "read_file"]
