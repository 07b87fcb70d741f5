"""`terms_of(licence)`: what a licence asks of those who run or pass on a model, in short, with the section."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

from weighbridge.figures import Basis

from .kept import Fact

_TABLE = Path(__file__).with_name("licence_terms.toml")


def terms_of(licence: str) -> list[Fact]:
    """A fact for each thing that the licence asks; none for a licence that nobody has read here."""
    found = _terms().get(licence.lower())
    if found is None:
        return []
    name, source, asks = found
    return [
        Fact(f"licence {licence}", "asks", text, text, Basis.READ, f"{name}: {source}", key=f"{number}")
        for number, text in enumerate(asks, start=1)
    ]


@lru_cache(maxsize=1)
def _terms() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {
        known.lower(): (entry["name"], entry["source"], tuple(entry["asks"]))
        for entry in table["licence"]
        for known in entry["ids"]
    }
