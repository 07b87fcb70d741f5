"""Dates beside names with no verb between: `GLM-5 (Feb 12, 2026)`, `Gemma 4 on April 2, Llama 4 on April 5`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..dates import Told
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = ""
_BESIDE = re.compile(r"[*_`\]]{0,3}(?: ?(?:&|and|/|,) ?(?:the )?| \d(?:\.\d)?t(?: & )?)?[*_`\]]{0,3} ?")
_ON = re.compile(r"[*_`\]]{0,3}(?: ga)?(?: \([^()]{0,30}\))? on ")
_RELEASES = re.compile(r"\b(?:releas|launch|drop|ship|land|arriv|debut|unveil|timeline)")


def find(scene: Scene) -> Iterator[Found]:
    """`release_date`: of a date alone in the bracket behind a name in a list or a table, and of each of several names
    in a sentence that speaks of releases and gives each its day. Of several names side by side, of each of them."""
    if not scene.dates or not scene.mentions:
        return
    if scene.is_fragment:
        for told in scene.dates:
            if scene.before(told.start, 1) == "(" and scene.after(told.end, 1) == ")":
                yield from _beside(scene, told, told.start - 1)
    if len(scene.dates) > 1 and (_RELEASES.search(scene.words) or _RELEASES.search(scene.label)):
        days = [(told, at) for told in scene.dates if (at := _named(scene, told)) is not None]
        if len(days) > 1:
            for told, at in days:
                yield from _beside(scene, told, at)


def _named(scene: Scene, told: Told) -> int | None:
    """The end of the name that a date stands behind."""
    before = [mention for mention in scene.mentions if mention.end <= told.start]
    if before and _ON.fullmatch(scene.low[before[-1].end : told.start]):
        return before[-1].end
    return None


def _beside(scene: Scene, told: Told, at: int) -> Iterator[Found]:
    for mention in reversed(scene.mentions):
        if mention.end > at or not mention.is_specific:
            continue
        if not _BESIDE.fullmatch(scene.low[mention.end : at]):
            return
        qualifiers = tuple(word for word in (told.words, "expected" if told.is_later else "") if word)
        yield Found("release_date", told.value, told.start, told.end, "date", qualifiers, mention.name)
        at = mention.start
