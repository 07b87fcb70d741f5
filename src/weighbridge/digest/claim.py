"""`Claim`: one thing that a page says of one model, with the exact words and where they stand."""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = (
    "parameters_total parameters_active experts context_length licence release_date status exists downloads likes "
    "stars price_input price_output memory_needed speed architecture openness base_model modality training_cost "
    "training_tokens compression file_formats"
).split()
"""What a claim may be about, beside `benchmark:NAME` and `rank:NAME`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a page says, in the page's own words, and what these words mean."""

    subject: str
    """Whom it is said of, by the name that the page gives in full (`Llama 4 Scout` where the sentence says `Scout`)."""
    field: str
    """One of `FIELDS`, or `benchmark:NAME` or `rank:NAME`."""
    value: float | str | bool
    """A number in the unit's base (400e9 parameters), a licence's SPDX-like identifier, an ISO date, or a word."""
    quote: str
    """The words that say so, exactly as they stand: `page.text[start:end]`."""
    start: int
    end: int
    unit: str = ""
    """parameters, tokens, bytes, USD/Mtok, percent, rank, tokens/s, x, ...; empty where there is none."""
    qualifier: str = ""
    """What limits it: `among open models`, `at 4-bit`, `30-day`, `at most`, `about`, `expected`."""
    address: str = ""
    """Where the page lies."""
    told: str | None = None
    """ISO date (day or month) for which it is said, where the words give one."""
    published: str | None = None
    """ISO date on which the page was published."""
    fetched: str = ""
    """ISO date on which the page was read here."""
