"""`clean(text)`: a stranger's text as plain letters and lines; nothing in it steers a terminal, hides or reorders."""

from __future__ import annotations

import re
import unicodedata

MOST_CHARACTERS = 1 << 20
"""What is read of one page; what comes after is left out."""
MOST_LINE_CHARACTERS = 300

_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls but for line ends and tabs; marks that reorder text or cannot be seen; letters for tagging (U+E0000 on), in
# which orders to language models are hidden; halves of surrogate pairs, which cannot be stored.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_BLANKS = re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def clean(text: str, most: int = MOST_CHARACTERS) -> str:
    """At most `most` characters of the text, composed (NFC), with line ends as `\\n` and blanks as spaces."""
    # Cut before and after: composing can lengthen a text, and a longer one than needed costs time.
    plain = _HIDDEN.sub("", _LINE_ENDS.sub("\n", text[: 2 * most]))
    return unicodedata.normalize("NFC", _BLANKS.sub(" ", plain))[:most]


def clean_line(text: object, most: int = MOST_LINE_CHARACTERS) -> str:
    """The text in one line: a title, a name; empty for what is no text."""
    return " ".join(clean(text, 4 * most).split())[:most] if isinstance(text, str) else ""
