"""`readable()`: a page's text without what nobody reads: tags, shortcodes, addresses of pictures, marks of places."""

from __future__ import annotations

import re

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
