"""The tables that ship beside the catalogue, read when they are first asked for."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "tables"
DATE = "2026-11-21"
"""The day as of which they were collected."""
HUB_DATE = "2026-10"
"""The month of the hub's list: what was published later is not known."""

_HUB = ("repository", "parameters", "context", "licence", "created", "downloads", "likes", "task")
TABLES = {
    "hub": _HUB,
    "others": _HUB,
    "services": ("words", "name", "days", "contexts", "prices", "open", "inputs", "sources"),
    "scores": ("model", "benchmark", "value", "source"),
    "reports": ("subject", "field", "value", "unit", "qualifier", "source", "key", "date"),
    "mentions": ("words", "name", "first"),
}
"""Columns of each table. `hub` has the repositories of the catalogue's makers and all that the catalogue names,
`others` the rest, which is seldom asked for."""


@lru_cache(maxsize=len(TABLES))
def rows_of(name: str) -> tuple[list[str], ...]:
    """All rows of a table, as text."""
    text = gzip.decompress((FOLDER / f"{name}.tsv.gz").read_bytes()).decode()
    return tuple(line.split("\t") for line in text.split("\n")[1:-1])
