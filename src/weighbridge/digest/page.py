"""`Page`: a text as it came from its source; what claims are read from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A post, a card, a release's notes, an abstract or a note of a vault, as plain text."""

    address: str
    """Its URL, or its file's path."""
    text: str
    """What people read of it; offsets of claims count its characters."""
    title: str = ""
    published: str | None = None
    """ISO date on which its source says that it was published; None: it does not say."""
    fetched: str = ""
    """ISO date on which it was read here."""
    links: tuple[str, ...] = ()
    """Addresses that it points to: a page that points to another, or copies it, is no second witness."""
