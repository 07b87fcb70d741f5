"""One pattern for many words that shares their beginnings: a few steps a word, however many there are."""

from __future__ import annotations

import re
from collections.abc import Iterable


def any_of(words: Iterable[str]) -> str:
    """A pattern that matches the longest of these words: `(?:mo(?:e|del))` for `moe` and `model`."""
    return _node(sorted(set(words)))


def _node(words: list[str]) -> str:
    ends = words[0] == ""
    by_first: dict[str, list[str]] = {}
    for word in words[ends:]:
        by_first.setdefault(word[0], []).append(word[1:])
    branches = []
    for first, tails in by_first.items():
        common = first
        while len(tails) == 1 and tails[0]:
            common, tails = common + tails[0], [""]
        branches.append(re.escape(common) + ("" if tails == [""] else _node(tails)))
    if not branches:
        return ""
    grouped = branches[0] if len(branches) == 1 and not ends else f"(?:{'|'.join(branches)})"
    return f"(?:{grouped})?" if ends else grouped
