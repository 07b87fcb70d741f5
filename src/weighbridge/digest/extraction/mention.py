"""`Mention`: a model's name on a page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MOST_MENTIONS = 4000
"""A page with more is cut off there."""


class Kind(StrEnum):
    """How a name is given."""

    FULL = "full"
    REPOSITORY = "repository"
    SHORT = "short"
    FAMILY = "family"


@dataclass(slots=True)
class Mention:
    """A name and its place. `name` is the name in full."""

    start: int
    end: int
    name: str
    kind: Kind
    is_headed: bool = False
    """Whether it has no number, and is known for a model's because it heads an entry."""

    is_listed: bool = False
    """Whether it is the own word of one of several variants: `Fjord` in `Tern 4 (Fjord/Skerry)`."""

    @property
    def is_specific(self) -> bool:
        """Whether it names a release or a variant, not a whole line of models."""
        return self.kind is not Kind.FAMILY
