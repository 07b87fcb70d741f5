"""Names made longer by what stands right behind: a variant that nobody knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from .lexicon import MAKERS, NO_MODELS
from .mention import Kind, Mention
from .words import Chunk, Part, key

PLAIN = re.compile(r"(?<![\w-])[a-z]{2,}(?![\w-])")
_NO_VARIANT = frozenset(
    "license licence community terms team series family leaderboard paper card report dense weights hugging "
    "face release launch model models preview beta api update benchmark benchmarks performance review vs guide news "
    "training inference context support pricing price announcement available local on capabilities benefits rumored "
    "rumoured features improvements highlights availability limitations strengths weaknesses specs specifications key "
    "details access architecture results impact overview summary comparison requirements setup deployment unified "
    "upgrades advantages breakthrough outperforms launches tops beats".split()
)
_NEVER = _NO_VARIANT | NO_MODELS | MAKERS


class Widener:
    """Makes the names of one page longer."""

    def __init__(self, text: str, chunks: Sequence[Chunk], plain: Collection[str]) -> None:
        self._text = text
        self._chunks = chunks
        self._plain = plain
        self._counts = Counter(chunk.text for chunk in chunks if chunk.part is Part.CAPITAL)

    def widened(self, found: list[Mention]) -> list[Mention]:
        """The same mentions, in their order."""
        self._with_variants(found)
        return found

    def _with_variants(self, found: list[Mention]) -> None:
        """`Halden 3 Fjord`: a capitalised word behind a version is the variant's, where the page says so twice, or
        uses that word alone too; once, it may be a headline's next word."""
        at = {chunk.start: number for number, chunk in enumerate(self._chunks)}
        behind: dict[str, list[Mention]] = {}
        for mention in found:
            number = at.get(mention.end + 1)
            if mention.kind is not Kind.REPOSITORY and number is not None and self._text[mention.end] in " -":
                chunk = self._chunks[number]
                is_phrase = re.match(r" [A-Z][a-z]", self._text[chunk.end : chunk.end + 3]) is not None
                together = self._text.count(f"{mention.name} {chunk.text}")
                if mention.kind is Kind.FAMILY and (together < 2 or is_phrase):
                    continue
                is_own = self._is_own(chunk.text) or self._is_usual(mention.name, chunk.text)
                if chunk.part is Part.CAPITAL and chunk.text.isalpha() and is_own:
                    behind.setdefault(chunk.text, []).append(mention)
        for word, mentions in behind.items():
            names = {key(mention.name) for mention in mentions}
            alone = self._counts[word] > len(mentions)
            if len(names) == 1:
                for mention in mentions:
                    if len(mentions) < 2 and not alone and not self._in_running_text(mention.end, len(word)):
                        continue
                    mention.end += 1 + len(word)
                    mention.name, mention.kind = self._text[mention.start : mention.end], Kind.FULL

    def _in_running_text(self, end: int, length: int) -> bool:
        """Whether the words around are mostly small ones, as a headline's are not."""
        behind = self._text[end + 1 + length : end + 12 + length]
        before = self._text[max(0, end - 70) : end].rpartition("\n")[2]
        around = before + self._text[end : end + 70].partition("\n")[0]
        return not re.match(r" (?:[A-Z]|an? )", behind) and len(PLAIN.findall(around)) > 5

    def _is_usual(self, name: str, word: str) -> bool:
        """Whether the page has this word behind the name more often than not, and three times or more."""
        if word.lower() in _NEVER:
            return False
        together = self._text.count(f"{name} {word}")
        return together >= 3 and together * 2 > self._text.count(name)

    def _is_own(self, word: str) -> bool:
        """Whether a capitalised word is no everyday word, as far as the page and the lexicon tell."""
        low = word.lower()
        return len(low) > 2 and low not in self._plain and low not in _NEVER
