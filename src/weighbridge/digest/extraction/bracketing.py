"""Names and brackets: `32K (Tern 5, Heron 2)` is said of those within, `Tern 3.1 / 3.2 (8B)` of those before."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .comparing import JOIN
from .mention import Mention
from .scene import Found, Scene
from .words import size_in

_MOST_TO_BRACKET = 48
_MOST_BILLIONS = 1e5
_SIZE_BRACKET = re.compile(
    r"[+~]?(?: ?(?:tokens?|context|ctx|gb|gib|vram|ram))* ?\((?:for )?(?:the )?(?P<low>\d{1,4}(?:\.\d{1,2})?)b?"
    r"(?:\s?(?:-|–|—|to)\s?(?P<high>\d{1,4}(?:\.\d{1,2})?)b|b(?P<open>\s?\+| and (?:up|above|larger)| or more)?)"
    r"(?: (?:models?|variants?|sizes?|only))?\)"
)
_UNITS = re.compile(r"(?:[\s+-]|tokens?|context|ctx|windows?|length|total|active|params?|parameters?|of|v?ram)*")


def sharing(scene: Scene, last: Mention) -> tuple[str, ...]:
    """`Tern 3.1 / 3.2 (8B)`: what stands behind names in short is said of all that they stand beside."""
    low, named = scene.low, [last]
    for mention in reversed(scene.mentions):
        is_beside = mention.end <= named[0].start and low[mention.end : named[0].start].strip() == "/"
        if named[0].is_listed and is_beside:
            named.insert(0, mention)
    return tuple(mention.name for mention in named)


def listed_behind(scene: Scene, found: Found) -> tuple[str, ...]:
    """`32K (Mistral 7B, Mixtral)`, `Apache 2.0 won (Qwen3, Gemma 4)`: names that fill the bracket behind."""
    opening = scene.low.find("(", found.end, min(scene.end, found.end + _MOST_TO_BRACKET))
    if opening < 0 or any(mention.start < opening for mention in scene.mentions if mention.start >= found.end):
        return ()
    gap = scene.low[found.end : opening]
    if re.search(r"[,;:.|]", gap) or any(found.end <= each.start < opening for each in scene.quantities):
        return ()
    closing = scene.low.find(")", opening, scene.end)
    inside = [mention for mention in scene.mentions if opening < mention.start and mention.end <= closing]
    is_near = len(gap.strip(" *_`~+x%")) <= len("tokens ctx") or _UNITS.fullmatch(gap) is not None
    if not inside or not (is_near or (len(inside) > 1 and found.field == "licence")):
        return ()
    ends = [opening + 1, *(mention.end for mention in inside)]
    starts = [*(mention.start for mention in inside), closing]
    gaps = [scene.low[end:start] for end, start in zip(ends, starts, strict=True)]
    is_filled = not gaps[0].strip() and not gaps[-1].strip() and all(JOIN.fullmatch(each) for each in gaps[1:-1])
    return tuple(mention.name for mention in inside) if is_filled else ()


def sized_behind(scene: Scene, found: Found, names: Sequence[str]) -> tuple[str, ...] | None:
    """`32K (0.6B-4B), 128K (8B+)`: those of some names whose sizes the bracket behind tells; None where it tells none,
    or the names have no sizes."""
    bracket = _SIZE_BRACKET.match(scene.low, found.end, scene.end)
    sizes = [size_in(name) for name in names]
    if bracket is None or len(names) < 2 or not all(sizes):
        return None
    low = float(bracket["low"])
    high = float(bracket["high"]) if bracket["high"] else _MOST_BILLIONS if bracket["open"] else low
    return tuple(name for name, size in zip(names, sizes, strict=True) if low <= size <= high)


def is_bracketed(scene: Scene, at: int) -> bool:
    """Whether a place stands in a bracket."""
    return scene.low.rfind("(", scene.start, at) > scene.low.rfind(")", scene.start, at)
