"""`Reader`: what sources read with."""

from __future__ import annotations

from dataclasses import dataclass, field

from weighbridge.digest.fetching import Fetcher


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where services answer, and as whom they are asked. Tokens go to their own service alone."""

    hub: str = "https://huggingface.co"
    hub_token: str | None = field(default=None, repr=False)
    github: str = "https://api.github.com"
    github_token: str | None = field(default=None, repr=False)
    arxiv: str = "https://export.arxiv.org"


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom to ask, how, and from which day on."""

    fetcher: Fetcher
    day: str
    """ISO date of this reading."""
    since: str = ""
    """What is older than this ISO day is not asked for, where a source can tell."""
    endpoints: Endpoints = Endpoints()
    most: int = 50
    """Entries of one source."""
