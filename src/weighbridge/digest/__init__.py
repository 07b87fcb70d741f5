"""What is claimed of open-weight models, checked against facts, arithmetic and other claims, and told in a digest."""

from __future__ import annotations

from .checks import check
from .claim import Claim
from .contradictions import contradictions
from .extraction import Proposal, extract
from .knowledge import Knowledge
from .page import Page
from .reading import page_of, read_file
from .verdict import Proof, Ruling, Verdict

__all__ = [
    "Claim",
    "Knowledge",
    "Page",
    "Proof",
    "Proposal",
    "Ruling",
    "Verdict",
    "check",
    "contradictions",
    "extract",
    "page_of",
    "read_file",
]
