"""Names without a number, found by how the text introduces them: `Acme released Zephyrion`, `Zephyrion, a 7B model`."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence

from .alternation import any_of
from .labels import is_section
from .lexicon import MAKERS, NO_MODELS, TOOLS, makers, needs_more
from .mention import Kind, Mention
from .words import Chunk, Part, adjoin

# How a text introduces a name that has no number: by what it does, or by what it is called.
_RELEASED_BEHIND = re.compile(
    r"(?: (?:\d-bit|LLMs?|models?|family|series|weights|\d+B|was|were|is|has been|have been|just|finally|now"
    r"|officially|quietly)){0,4}"
    r" (?:releas(?:es|ed)|launch(?:es|ed)|ships|shipped|debut(?:s|ed)|drop(?:s|ped)|arriv(?:es|ed)|landed"
    r"|open-sourced|unveiled|announced|introduced|goes live)"
    r"(?: (?:under|on|as|at|in|with|today|yesterday|last|by|this|for|to|alongside)\b|[,.;:]|$)"
)
_IS_MODEL_BEHIND = re.compile(
    r"(?:,| is| was|:| —| –| -| \()\s?(?:an?|the|our|its"
    r"|their|new)\s(?:(?![A-Z][\w.-]*\d)[\w.+-]+[ ,]+){0,6}?(?:models?|LLMs?|VLMs?|LMs?"
    r"|MoE|checkpoint|transformer)\b"
)
_SIZED_BEHIND = re.compile(
    r"[*_`]{0,3}(?: (?:is|was|has|packs|comes with|weighs in at)(?: an?)?|,(?: an?(?: [a-z-]+){0,2})?|:| \(| — | – "
    r")\s?~?\d{1,4}(?:\.\d{1,2})?(?:[BT]\b|M (?:param|model|document|language|vision)| ?(?:billion"
    r"|trillion)[ -](?:parameters?|params|active|total|model"
    r"|weights))"
)
_RELEASED_BEFORE = re.compile(
    r"\b(?:[Rr]eleas(?:es|ed|ing)|[Ll]aunch(?:es|ed|ing)|[Ss]hip(?:s|ped|ping)|[Uu]nveil(?:s|ed|ing)"
    r"|[Oo]pen-sourc(?:es|ed|ing)|[Ii]ntroduc(?:es|ed|ing)|[Aa]nnounc(?:es|ed|ing)|[Dd]ebut(?:s|ed))"
    r" (?:(?:its|the|their|a|new|open|latest|first|\d+B|open-weights?|open-source|closed-source|model|models"
    r"|called|flagship|reasoning|small|language|LLM|family) ){0,5}$"
)
# `Cohere's Tiny Aya (Feb 17, 2026)`
_DATED_BEHIND = re.compile(
    r" \((?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?(?: \d{1,2},?)? 20\d\d|20\d\d-\d\d)"
)
_LIKE_BEFORE = re.compile(
    r"\b(?:models?|LLMs?|VLMs?|weights) (?:like|such as|from|including|called|named) (?:[A-Z][\w.-]* (?:and|or|,) "
    r")?$"
)
_BRACKET = re.compile(r" \([^()\n]{1,100}\)(?=,| is | was )")
# `the model that Acme released on Monday`: its maker's name.
_AGENT_BEFORE = re.compile(r"\b(?:that|which|what|models?|LLMs?|weights|by) $")
_LABEL = re.compile(
    r"^[ \t]{0,12}(?:[-*+•][ \t]+)?[*_`]{0,3}([A-Z][a-z]+(?: [A-Za-z]+)?)(?:[*_`]{1,3}[ \t]?:|:[*_`]{0,3})",
    re.MULTILINE,
)
_NO_INTRODUCTION = frozenset(
    "show ask top open new full api access support early free preview weekly daily today update updates price "
    "prices pricing training agent agents code data "
    "face leaderboard cookbook tech studio playground cloud enterprise chat app apps desktop mobile beta alpha "
    "team lab labs ai research foundation institute university conference "
    "summit european commission stanford index report paper papers act chapter github cli sdk mcp model models "
    "llm llms moe transformer mixture decoder encoder "
    # Words that open a sentence or label a line are nobody's name.
    "now just also then still finally here there both each all size context total active licence license price "
    "released release availability downloads likes stars memory vram speed architecture type claim claims weights "
    "sizes variants versions formats modalities benchmarks scores results requirements hardware date dates "
    "parameters params experts pricing input output overview summary conclusion watch watchlist "
    "spec specs specification specifications detail details highlight highlights note notes feature features "
    "one two three four five six seven eight nine ten several many most such other others another recent modern "
    "currently recently finally notably interestingly additionally unfortunately importantly meanwhile "
    "below above instead overall together however therefore indeed perhaps similarly likewise thus hence next "
    "existing earlier previous later today yesterday tomorrow".split()
)


_LEADING = MAKERS | NO_MODELS


class Introductions:
    """The names that one page introduces."""

    def __init__(self, text: str, chunks: list[Chunk], plain: set[str], heads: frozenset[str] | set[str]) -> None:
        self._text = text
        self._chunks = chunks
        self._plain = plain
        self._heads = heads
        counts = Counter(match[1] for match in _LABEL.finditer(text))
        # What stands before a colon again and again tells what the words behind it are.
        self._labels = {label for label, count in counts.items() if count > 2}

    def mentions(self, known: list[Mention]) -> Iterator[Mention]:
        """Names without a number that the text introduces as a model's, wherever they then stand."""
        taken = sorted((mention.start, mention.end) for mention in known)
        runs = [run for run in self._runs() if not covered(taken, *run)]
        # What ends in a word that the page has in small letters too is a phrase, and a label before a colon.
        named = [run for run in runs if self._text[slice(*run)].split()[-1].lower() not in self._plain]
        names = {self._text[start:end] for start, end in named if self._is_introduced(start, end)} - self._heads
        # What the text calls a model is one; what it only tells to be released may be something else.
        called = {self._text[start:end] for start, end in named if self._is_called(start, end)}
        names = {name for name in names if not is_section(name.lower()) and name not in self._labels}
        if self._heads:
            any_head = re.compile(rf"(?<![\w-])(?:{any_of(self._heads)})(?![\w-])")
            for match in any_head.finditer(self._text):
                if not covered(taken, *match.span()):
                    yield Mention(*match.span(), match[0], Kind.FULL)
        if not names:
            return
        for start, end in runs:
            if self._text[start:end] in names:
                yield Mention(start, end, self._text[start:end], Kind.FULL, is_headed=self._text[start:end] in called)

    def introduced(self, families: list[Mention]) -> set[str]:
        """Those of known families' names that the text introduces as a model's own."""
        return {each.name for each in families if self._is_introduced(each.start, each.end)}

    def calls(self, family: Mention) -> bool:
        """Whether the text calls a family's name a model's right where it stands: `LLaMA, a 13B model`."""
        return self._is_called(family.start, family.end)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Stretches of one to four capitalised words that may be a name, without a maker before it."""
        number = 0
        while number < len(self._chunks):
            first = number
            while self._may_be_named(number) and number < first + 4:
                number += 1
                if number >= len(self._chunks) or not adjoin(self._text, self._chunks, number - 1):
                    break
            if number == first:
                number += 1
                continue
            last = number - 1
            if all(self._chunks[at].part is Part.SUFFIX for at in range(first, number)):
                continue
            while first < last and self._chunks[first].text.lower() in _LEADING:
                first += 1
            text = self._chunks[first].text.lower()
            if not (first == last and (text in makers() or text in TOOLS or text in self._plain or len(text) < 3)):
                yield self._chunks[first].start, self._chunks[last].end

    def _may_be_named(self, number: int) -> bool:
        if number >= len(self._chunks):
            return False
        chunk = self._chunks[number]
        low = chunk.text.lower()
        if low in _NO_INTRODUCTION or not chunk.text[0].isupper():
            return False
        if chunk.part is Part.FAMILY:
            return chunk.text.isalpha() and needs_more(low)
        return chunk.part in (Part.CAPITAL, Part.SUFFIX, Part.NUMBERED) or (low in MAKERS and len(low) > 3)

    def _behind(self, end: int) -> str:
        """What stands behind a name, without a bracket right there: `LeoLM (long for something), a model ...`."""
        behind = self._text[end : end + 190]
        bracket = _BRACKET.match(behind)
        return behind[bracket.end() :][:90] if bracket else behind[:90]

    def _is_called(self, start: int, end: int) -> bool:
        behind = self._behind(end)
        return bool(_SIZED_BEHIND.match(behind) or _IS_MODEL_BEHIND.match(behind))

    def _is_introduced(self, start: int, end: int) -> bool:
        behind = self._behind(end)
        if _SIZED_BEHIND.match(behind) or _IS_MODEL_BEHIND.match(behind):
            return True
        before = self._text[max(0, start - 70) : start]
        if _DATED_BEHIND.match(self._text, end) and re.search(r"['’]s $", before):
            return True
        if end - start < 5 and self._text[start:end].isupper():
            # `Ubuntu 24.04 LTS was released`
            return bool(_LIKE_BEFORE.search(before))
        if _RELEASED_BEHIND.match(behind) and not _AGENT_BEFORE.search(before):
            return True
        return bool(_RELEASED_BEFORE.search(before) or _LIKE_BEFORE.search(before))


def covered(spans: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a stretch touches one of these, which are sorted and apart."""
    at = bisect_right(spans, (start, end))
    return (at > 0 and spans[at - 1][1] > start) or (at < len(spans) and spans[at][0] < end)
