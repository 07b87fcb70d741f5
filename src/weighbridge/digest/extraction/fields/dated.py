"""Dates beside names with no verb between: `GLM-5 (Feb 12, 2026)`, `Gemma 4 on April 2, Llama 4 on April 5`, and
entries of a timeline: `Nov 24: Claude Opus 4.5`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..dates import Told
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = "jan feb mar apr may jun jul aug sep oct nov dec"
_BESIDE = re.compile(r"[*_`\]]{0,3}(?: ?(?:&|and|/|,) ?(?:the )?| \d(?:\.\d)?t(?: & )?)?[*_`\]]{0,3} ?")
_ON = re.compile(r"[*_`\]]{0,3}(?: ga)?(?: \([^()]{0,30}\))? (?:on|in) ")
_RELEASES = re.compile(r"\b(?:releas|launch|drop|ship|land|arriv|debut|unveil|timeline)")
# `(Google, April 2)`, `(Meta, April 2025, updated)`: what a bracket holds beside the date.
_MAKER = re.compile(
    r"\((?:(?!(?:updated?|as of|checked|since|until|knowledge|cut-?off|tested|accessed|retrieved|verified|data|training"
    r"|accurate|current|releas\w*|launch\w*|announc\w*|publish\w*|expected|due)\b)[\w.& /-]{2,40}?,? )?"
)
_LAST = re.compile(r"[,;·] $")
_BEHIND = re.compile(r"(?:, [\w.& /-]{2,30})?\)")
# `**Nov 24**: Anthropic ships Claude Opus 4.5`
_ENTRY = re.compile(
    r"[*_`\])]{0,4}\s?[:—–|→-]+\s[*_`\[]{0,4}(?:(?:[\w.]+ ){0,2}?[\w.]+['’]s )?"
    r"(?P<verb>(?:[\w.]+ ){1,3}?(?:releases?|launches|ships|drops|unveils|introduces|debuts|open-sources|released"
    r"|launched|shipped"
    r"|publishes) (?:its |the |new )?[*_`\[]{0,4})?"
)
_CLOSES = re.compile(
    r"[*_`\])]{0,4}(?:\s*(?:$|[—–:(,.;|]|- )| (?:from|by|with|launch\w*|drops?|debuts?|ships|lands|arriv\w+"
    r"|releas\w+|is out"
    r"|announce[ds]?|open-sourc\w+|(?:goes|went) live)\b)"
)
# What happens later to a model that is out already.
_LATER = re.compile(
    r"[*_`\])]{0,4} (?:hits|reach\w*|gets|adds|updat\w+|tops|pass\w*|cross\w*|beats|scores|supports?|cuts?|retir\w+"
    r"|deprecat\w+"
    r"|is (?:now|still|no longer)|now|goes down|price|no longer|becomes|climbs|falls|loses|paper|report"
    r"|fine-?tun\w+|quant\w+)\b"
)


def find(scene: Scene) -> Iterator[Found]:
    """`release_date`: of a date in the bracket behind a name, with nothing else there or its maker; of each of several
    names in a sentence that speaks of releases and gives each its day; of the name that an entry of a timeline is on.
    Of several names side by side, of each of them."""
    if not scene.dates or not scene.mentions:
        return
    for told in scene.dates:
        at = _opening(scene, told)
        if at is not None:
            yield from _beside(scene, told, at)
    first = scene.dates[0]
    if len(first.value) > len("2026") and not scene.before(first.start, 6).strip(" *_`([-•"):
        yield from _entry(scene, first)
    if len(scene.dates) > 1 and (_RELEASES.search(scene.words) or _RELEASES.search(scene.label)):
        days = [(told, at) for told in scene.dates if (at := _named(scene, told)) is not None]
        if len(days) > 1:
            for told, at in days:
                yield from _beside(scene, told, at)


def _opening(scene: Scene, told: Told) -> int | None:
    """The bracket that holds a date and hardly more."""
    opening = scene.low.rfind("(", max(scene.start, told.start - 160), told.start)
    is_day = scene.is_fragment and len(told.value) == len("2026-08-10") and scene.after(told.end, 1) == ")"
    if opening >= 0 and is_day and _LAST.search(scene.low, opening, told.start):
        # `Tern 4 (30B dense, Apache 2.0, 2026-08-10)`
        return opening
    if opening < 0 or _MAKER.fullmatch(scene.low, opening, told.start) is None:
        return None
    if not scene.is_fragment and told.start - opening > 1 and not _RELEASES.search(scene.words):
        # `Falcon (TII, Abu Dhabi, May 2023)` alone in running text may be a reference.
        return None
    return opening if _BEHIND.match(scene.low, told.end, scene.end) else None


def _entry(scene: Scene, told: Told) -> Iterator[Found]:
    """The name that an entry's date leads to."""
    name = next((mention for mention in scene.mentions if mention.start >= told.end), None)
    entry = _ENTRY.fullmatch(scene.low, told.end, name.start) if name and name.is_specific else None
    if name is None or entry is None or not (entry["verb"] or _CLOSES.match(scene.low, name.end, scene.end)):
        return
    if _LATER.match(scene.low, name.end, scene.end) is None:
        yield _dated(told, name.name)


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
        yield _dated(told, mention.name)
        at = mention.start


def _dated(told: Told, name: str) -> Found:
    qualifiers = tuple(word for word in (told.words, "expected" if told.is_later else "") if word)
    return Found("release_date", told.value, told.start, told.end, "date", qualifiers, name)
