"""`Verdict`: whether a claim holds, and what shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from weighbridge.figures import Basis

from .claim import Claim


class Ruling(StrEnum):
    """How a claim stands. A refutation is never a guess: where what is known does not settle it, it is unverifiable."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    EXPIRED = "expired"
    """It was true when it was told, and is not any more."""
    UNVERIFIABLE = "unverifiable"
    PREDICTION = "prediction"
    """It speaks of what is yet to come, or was when it was told."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One reason for a verdict."""

    kind: str
    """`fact` (a value read from a file or recorded with its source), `sum` (arithmetic, written out), `claim` (what
    another source says), `name` (what models there are), `rule` (a law's or a definition's text)."""
    text: str
    """The reason in one line, with its figures."""
    basis: Basis
    source: str = ""
    """File, repository or address that it is from."""
    key: str = ""
    """Where in the source: a file's key (`num_local_experts`), a table's column."""
    date: str = ""
    """ISO day, or month, that the source is from."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and how it stands."""

    claim: Claim
    ruling: Ruling
    evidence: tuple[Proof, ...] = ()
    subject: str | None = None
    """The model that is meant, as the catalogue names it; None where none is known by the claim's name."""
