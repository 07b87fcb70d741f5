"""The words of a page that a claim quotes."""

from __future__ import annotations

from .scene import Found

MOST_QUOTE_CHARACTERS = 320


def quoted(text: str, found: Found, span: tuple[int, int]) -> tuple[int, int]:
    """The sentence, or where that is long, what stands around the value."""
    start, end = min(span[0], found.start), max(span[1], found.end)
    if end - start <= MOST_QUOTE_CHARACTERS:
        return start, end
    first = max(start, found.start - MOST_QUOTE_CHARACTERS // 2)
    last = min(end, max(found.end, first + MOST_QUOTE_CHARACTERS))
    while first > start and first < found.start and not text[first - 1].isspace():
        first += 1
    while last < end and last > found.end and not text[last].isspace():
        last -= 1
    return first, last
