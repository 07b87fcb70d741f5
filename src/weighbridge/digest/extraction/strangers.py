"""Whether a value is said of somebody whom the page does not name: `a 70B model runs`, `a startup trained a 400B`."""

from __future__ import annotations

import re

from .mention import Mention
from .scene import Found, Scene

# `a 70B model`, `the smallest member`: somebody else, whom the page does not name.
_ANOTHER = re.compile(
    r"\b(?:an?|any|most|every) (?:[a-z-]{3,12} ){0,2}\d{1,4}(?:\.\d)?[bt](?: (?:or|and|to) \d{1,4}(?:\.\d)?[bt])?"
    r"(?:-parameter|-class)?(?: [a-z-]{3,12}){0,2} (?:models?|moe|llms?)\b"
    r"|\ban? [\w.]+-class (?:\w+ )?models?\b"
    r"|\ban? (?:[\w-]+ ){1,4}(?:lab|startup|company|firm|team) (?:\w+ )?(?:trained|released|built|ships|shipped"
    r"|launched) an?\b"
    r"|\b(?:prior|previous|older|earlier|former) (?=\d{1,4}b\b)"
    r"|\bthere(?:['’]s| is| are) (?:also |now )?(?:an? |two |three |four )?(?=dense|moe|sparse|\d{1,4}b)"
    r"|['’]s (?:[a-z]+ ){0,2}(?:apps?|platform|chatbot|assistant|website|store|service)\b"
    r"|\bthe model (?:that |which )?(?:most|many|you|we|people)\b"
    r"|\b(?:the|its|their) (?:predecessors?|(?:previous|older) (?:model|version|generation|release|sibling))"
    r" (?=had|has|was|used|scored|supported|needed|came|is|cost)"
    r"|\bthe (?:smallest|largest|biggest|tiniest|other) (?:member|sibling|variant|checkpoint|one)s?\b"
)
_HINT = re.compile(
    r"the |model|\b(?:apps?|platform|chatbot|assistant|website|store|service"
    r"|lab|startup|company|firm|team|prior|previous|older|earlier|former)\b"
)
_LIKENED = re.compile(
    r"\b(?:like|as|to|than|of|versus|vs\.?|with|beats?|match(?:es)?|rivals?|treats?|equivalent|between|against) $"
)
APPOSED = re.compile(r"(?:\s?(?:,|:|[—–-]|\()\s?|[^.;,]{0,24}?\b(?:is|was|as|be|are)\s)(?:only |just )?")
"""What stands between a name and what the words call it."""


def is_of_stranger(scene: Scene, found: Found, nearest: Mention | None) -> bool:
    """Whether somebody without a name stands between the nearest name before and what is said."""
    begin = max(nearest.end if nearest else scene.start, found.start - 120)
    for match in (
        _ANOTHER.finditer(scene.low, begin, found.start) if _HINT.search(scene.low, begin, found.start + 24) else ()
    ):
        gap = scene.low[begin : match.start()].lstrip("*_`")
        # `Kestrel is a 70B model with ...`, `Kestrel, a 70B model, ...`
        if not (nearest and APPOSED.fullmatch(gap)):
            return True
    if nearest and found.field in ("parameters_total", "architecture") and _is_inside(scene, found, begin):
        return True
    if found.field != "parameters_total" or not nearest:
        return False
    # `Kestrel fits, a 70B model runs`
    runs = _ANOTHER.match(scene.low, max(begin, found.start - 2))
    gap = scene.low[begin : runs.start()] if runs else ""
    return len(gap) > 2 and re.search(r"[,;] (?:and |even |while )?$", gap) is not None


def _is_inside(scene: Scene, found: Found, begin: int) -> bool:
    """`close to a dedicated 10B dense model`: it is what somebody without a name is called."""
    for match in _ANOTHER.finditer(scene.low, begin, min(scene.end, found.end + 24)):
        if match.start() <= found.start < match.end():
            gap = scene.low[begin : match.start()]
            return _LIKENED.search(gap) is not None or gap.lstrip().startswith("there")
    return False
