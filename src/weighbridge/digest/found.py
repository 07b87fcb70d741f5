"""What a source brings, beside pages: `Listing` and `Sighting`; and `Step`, what of it is kept together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .page import Page

OWN = "weighbridge"
"""Key of the front matter of notes that we wrote ourselves: they are no source."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """How often a model was fetched and liked, as it was shown on one day."""

    model: str
    """Its repository: `org/name`."""
    date: str
    likes: int | None
    downloads: int | None
    """As the hub counts: of the last thirty days."""
    source: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A release as a place lists it: a model's repository, a version of a program, a paper."""

    name: str
    kind: str
    """`model`, `software` or `paper`."""
    address: str
    released: str | None
    """ISO day: of a model, when its repository was made."""
    source: str
    told: Mapping[str, str] = field(default_factory=dict)
    """What the place says of it, by field: licence, base_model, modality ..."""
    seen: str = ""
    """ISO day on which it was listed so."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is kept together, and from where to go on: what was stopped does not begin anew."""

    items: tuple[Page | Listing | Sighting, ...] = ()
    cursor: str | None = None
    """What the source needs to go on behind these; None: this was its last step."""
    notes: tuple[str, ...] = ()
    """What was left aside, and why."""
