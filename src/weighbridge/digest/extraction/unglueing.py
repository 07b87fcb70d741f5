"""Text of drawings: its labels stand one behind the other without a gap, `Kestrel 222B / Apache 2.0Orca Coder`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .lexicon import families

_GLUED = re.compile(r"\d[A-Z][a-z]{2,}|[a-z]{3,}\d?[A-Z][a-z]{3,}[A-Z ]|\)[A-Z][a-z]")
_JUNCTION = re.compile(r"[0-9)a-z][A-Z][a-z]{3}")
_MOST_CHARACTERS = 2000
_MOST_NAMES = 300
_SIZE = re.compile(r"[\s-]?\d{1,4}(?:\.\d)?[BbMT]$")
_VARIANT = r"(?: (?:Coder|Instruct|Large|Small|Medium|Mini|Pro|Flash|Max|Base|VL|Math|Scout|Maverick))*"


def is_glued(text: str) -> bool:
    """Whether words have lost the gaps between them."""
    if len(text) > _MOST_CHARACTERS or len(_JUNCTION.findall(text)) < 2:
        return False
    count = sum(1 for _ in _GLUED.finditer(text))
    return count >= 4 and count * 60 > len(text)


def unglued(text: str, names: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """The pieces of a glued text: a name, and where what is said of it begins and ends."""
    known = {_SIZE.sub("", name) for name in list(dict.fromkeys(names))[:_MOST_NAMES]}
    known = {name for name in known if len(name) > 3 and any(sign.isdigit() for sign in name) and name in text}
    heads = sorted(
        {family.capitalize() for family in families() if family.isalpha() and len(family) > 3}
        & set(re.findall(r"[A-Z][a-z]+", text))
    )
    patterns = [re.escape(name) + _VARIANT for name in sorted(known, key=len, reverse=True)]
    patterns += [rf"{re.escape(head)}{_VARIANT} ?\d(?:\.\d)?{_VARIANT}" for head in heads]
    if not patterns:
        return
    found = list(re.finditer("|".join(patterns), text))
    for number, match in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        yield match[0], match.end(), end
