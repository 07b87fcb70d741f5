"""Variants that stand side by side: `Tern 4 (Fjord/Skerry)`, `Tern 3.1 / 3.2`, `Tern 5 Pro / Flash`.

What stands below them in a bracket of its own, `128K (Fjord), 32K (Skerry)`, means one of these.
"""

from __future__ import annotations

import re

from .lexicon import SUFFIXES, makers
from .mention import Kind, Mention
from .words import key

_MOST_APART = 1500
_MOST_KEPT = 24
_NUMBER_END = re.compile(r"(?<![\w.])\d{1,2}(?:\.\d{1,2})?$")
_WORDS = re.compile(r"[A-Z][a-z]+(?:(?: ?[/&] ?|, (?:and )?| and )[A-Z][a-z]+){1,7}(?=\))")
_RELATED = re.compile(
    r"\b(?:[Ii]ts|[Tt]he|[Tt]heir|[Aa]) (?:[a-z]+ ){0,2}(?:siblings?|counterparts?|companions?|twins?|cousins?"
    r"|brothers?|stablemates?)(?: models?)?(?:,| called| named| is)? $"
)
_DOTTED = re.compile(r"\d{1,2}\.\d{1,2}")
# What may stand behind a version that has no name of its own: `Tern 3.1 and 3.2 are`.
_BEHIND_VERSION = re.compile(
    r"[*_`]{0,3}(?:$|\n|[),:;|]|\.(?!\d)| [(|/&—–-]|,? (?:and|or|are|were|have|had|both|models?|series|famil\w+"
    r"|support|come|came|variants?|versions?|releases?|weights)\b)"
)


class Variants:
    """The variants that the text gave side by side, the latest last."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._named: dict[tuple[str, ...], tuple[str, int]] = {}

    def add(self, mention: Mention, beside: Mention) -> Mention:
        """Note a variant and the one that it stands beside; the variant."""
        words, other = key(mention.name), key(beside.name)
        common = 0
        while common < min(len(words), len(other)) and words[common] == other[common]:
            common += 1
        for each, own in ((mention, words[common:]), (beside, other[common:])):
            if own and len(self._named) < _MOST_KEPT:
                self._named[own] = (each.name, mention.end)
        return mention

    def fill_bracket(self, start: int) -> bool:
        """Whether the bracket that opens right before a word holds a list of words, none of them a maker's name."""
        words = _WORDS.match(self._text, start)
        return words is not None and not any(word.lower() in makers() for word in re.findall(r"\w+", words[0]))

    def in_bracket(self, start: int, end: int) -> str:
        """Whom a word means that fills a bracket, where it is one of the last variants' own word."""
        if not self._named or self._text[start - 1 : start] != "(" or self._text[end : end + 1] != ")":
            return ""
        name, at = self._named.get(key(self._text[start:end]), ("", 0))
        return name if start - at < _MOST_APART else ""

    def related(self, start: int, end: int, last: Mention | None) -> Mention | None:
        """`Its smaller sibling, Fjord, uses`: a variant that the text calls one of whom it spoke of last."""
        word = self._text[start:end]
        if last is None or word.lower() not in SUFFIXES or not last.is_specific:
            return None
        if not _RELATED.search(self._text, max(0, start - 60), start):
            return None
        stem, _, own = last.name.rpartition(" ")
        base = stem if stem and own.lower() in SUFFIXES else last.name
        if word == own or not base[-1:].isdigit():
            return None
        return self.add(Mention(start, end, f"{base} {word}", Kind.SHORT, is_listed=True), last)

    def versioned(self, start: int, end: int, joined: Mention | None) -> Mention | None:
        """`Tern 3.1 / 3.2`: a version right behind another of the same line of models."""
        number = _NUMBER_END.search(joined.name) if joined is not None else None
        version = self._text[start:end]
        if joined is None or number is None or not _BEHIND_VERSION.match(self._text, end):
            return None
        gap = self._text[joined.end : start].strip(" *_`")
        if not (_DOTTED.fullmatch(version) or (gap == "/" and version.isdigit())) or "," in gap:
            return None
        if abs(float(version) - float(number[0])) >= 2:
            return None
        stem = joined.name[: number.start()]
        return self.add(Mention(start, end, f"{stem}{version}", joined.kind, is_listed=True), joined)
