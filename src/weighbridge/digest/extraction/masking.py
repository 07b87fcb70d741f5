"""`readable()`: a page's text without what nobody reads: tags, shortcodes, addresses of pictures, marks of places; and
`Unmarked`: without the signs that make words bold inside a line, and with a table's bars."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from .glued_tables import Edit, parted

_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,20}(?=[\s/>])[^<>]{0,1200}>|<!--.{0,4000}?-->", re.DOTALL)
_SHORTCODE = re.compile(r"\{\{[<%].{0,2000}?[%>]\}\}")
_TARGET = re.compile(r"(?<=\]\()(?:[#.]|[^()\s]{0,300}\.(?:png|jpe?g|gif|svg|webp|mp4|pdf)(?=[)#?\s]))[^()\n]{0,400}")
# `[^the-blog]`: a footnote's sign.
_FOOTNOTE = re.compile(r"\[\^[\w.-]{1,60}\]")
_HYPHENS = str.maketrans({"\u2010": "-", "\u2011": "-"})


def readable(text: str) -> str:
    """A text of the same length, with stars in the place of what is not read."""
    if "\u2011" in text or "\u2010" in text:
        text = text.translate(_HYPHENS)
    if "<" in text:
        text = _TAG.sub(_covered, text)
    if "{{" in text:
        text = _SHORTCODE.sub(_covered, text)
    if "[^" in text:
        text = _FOOTNOTE.sub(_covered, text)
    return _TARGET.sub(_covered, text) if "](" in text else text


def _covered(match: re.Match[str]) -> str:
    # Marks of bold: names and words end at them, and a line of nothing else is a rule.
    return "*" * len(match[0]) if "\n" not in match[0] else re.sub(r"[^\n]", "*", match[0])


# `**128K** tokens`, "`28B` active", `outdoes **Tern 5**`: the signs part words that tell each other's sense.
_MARKED = re.compile(r"(?P<mark>\*\*|__|`)(?P<inside>(?! )[^*`_\n]{1,60})(?<! )(?P=mark)(?![*`\w])")
_NUMBER = re.compile(r"[~≈<>≥≤+]{0,2}[$€£¥]?\d")
_INSIDE_LINE = re.compile(r"(?:[\w)\],.;:–—\"”’'%+&|] (?<!\d\. )|[(/—–])$")


# `[[Tern]] 5`, `[[models/tern|Tern]] 5`: links of a vault.
_LINKED = re.compile(r"\[\[(?:[^\[\]|\n]{1,200}\\?\|)?(?P<inside>[^\[\]|\n]{1,120})\]\]")


def _signs(text: str) -> Iterator[Edit]:
    """The stretches that are nothing but signs."""
    spans = [match.span() + match.span("inside") for match in _LINKED.finditer(text)] if "[[" in text else []
    for match in _MARKED.finditer(text):
        before = text[max(0, match.start() - 3) : match.start()]
        # At a line's beginning they tell of what the line is, and stay.
        if _NUMBER.match(match["inside"]) or _INSIDE_LINE.search(before):
            spans.append(match.span() + match.span("inside"))
    for start, end, first, last in spans:
        yield start, first, ""
        yield last, end, ""


class Unmarked:
    """A text without such signs and with bars in tables that lost them, and where each of its letters stood before."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        self._gaps: list[int] = []
        parts: list[str] = []
        at = gone = length = 0
        for begin, end, new in sorted([*_signs(text), *parted(text)]):
            if begin < at:
                continue
            parts += (text[at:begin], new)
            length += begin - at + len(new)
            gone += end - begin - len(new)
            at = end
            self._starts.append(length)
            self._gaps.append(gone)
        self.text = "".join([*parts, text[at:]]) if parts else text

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch stands in the text as it was, the signs at its ends left out."""
        return self._moved(start, bisect_right(self._starts, start)), self._moved(
            end, bisect_right(self._starts, end - 1)
        )

    def _moved(self, at: int, number: int) -> int:
        return at + (self._gaps[number - 1] if number else 0)
