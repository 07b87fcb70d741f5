"""Names and brackets: `32K (Tern 5, Heron 2)` is said of those within, `Tern 3.1 / 3.2 (8B)` of those before."""

from __future__ import annotations

import re

from .comparing import JOIN
from .mention import Mention
from .scene import Found, Scene

_MOST_TO_BRACKET = 48
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


def is_bracketed(scene: Scene, at: int) -> bool:
    """Whether a place stands in a bracket."""
    return scene.low.rfind("(", scene.start, at) > scene.low.rfind(")", scene.start, at)
