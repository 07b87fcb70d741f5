"""Downloads, likes and stars."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = "download pull install star like heart herunter ★ ⭐ ❤"
_NOUNS = {
    "download": "downloads",
    "pull": "downloads",
    "install": "downloads",
    "star": "stars",
    "like": "likes",
    "heart": "likes",
}
_AFTER = re.compile(
    r"\+?(?:[\s-]+(?:total|monthly|weekly|daily|cumulative|all-time|lifetime|github|hugging face|hf|huggingface"
    r"|ollama|30-day|combined|of|"
    r"the|family|model|on|aggregate|unique|recent|\w+(?=[\s-]downloads?\b)))*[\s-]+(downloads?|pulls|installs"
    r"|stars?|likes|hearts)\b"
)
_BEFORE = re.compile(
    r"\b(downloads?|pulls|stars|likes)(?: (?:on|count|at|of|to|past|hit|reached|crossed|passed|surpassed"
    r"|exceeded|by|now|stand|over|is|are|"
    r"have|has|the|mark|github|hugging face|hf|last|this|month|week|per|already))*[\s:=(*|~≈]{0,4}$"
)
_TIMES = re.compile(
    r"\b(?:downloaded|starred|liked|pulled)(?: (?:more than|over|about|some|nearly|roughly|almost|already))*\s$"
)
_MARK = re.compile(r"\s*★|\s*⭐|\s*❤")
# A column `Download` holds links and versions too.
_LEAST_IN_COLUMN = 20
_PERIODS = re.compile(
    r"\b(?:(monthly|per month|last month|a month|this month|past month|30[- ]day\w*|last 30 days|month)"
    r"|(weekly|per week|last week|a week|this week|7-day)|(all[- ]time|cumulative|lifetime|in total|total)"
    r"|(daily|per day|a day))\b"
)


def find(scene: Scene) -> Iterator[Found]:
    """`downloads`, `stars`, `likes`."""
    for each in scene.quantities:
        if each.unit is not Unit.NONE or each.value < 2 or scene.is_negated(each.start):
            continue
        if scene.before(each.start, 1) == "#":
            # `#8 by downloads`: a place.
            continue
        noun = _noun(scene, each)
        if noun is None:
            continue
        qualifiers = [each.bound] if each.bound else []
        period = _PERIODS.search(scene.before(each.start, 40) + " " + scene.after(each.end, 50) + " " + scene.label)
        if period and noun == "downloads":
            qualifiers.append(("30-day", "7-day", "all-time", "1-day")[(period.lastindex or 1) - 1])
        told = scene.dates[0].value if len(scene.dates) == 1 else None
        yield Found(noun, each.value, each.start, each.end, "count", tuple(qualifiers), told=told)


def _noun(scene: Scene, each: Quantity) -> str | None:
    after = scene.after(each.end, 60)
    found = _AFTER.match(after)
    if found is None:
        found = re.match(r"\s?(downloads?|stars?|likes)\b", after)
    if found:
        return _NOUNS[found[1].rstrip("s")]
    mark = _MARK.match(after)
    if mark:
        return "likes" if "❤" in mark[0] else "stars"
    before = scene.before(each.start, 60)
    told = _BEFORE.search(before)
    if told and not re.match(r"[\s-]*(?:%|x\b|times|day|week|hour|param|token)", after):
        return _NOUNS[told[1].rstrip("s")]
    if _TIMES.search(before) and " time" in after[:8]:
        return (
            "downloads" if "downloaded" in before or "pulled" in before else "stars" if "starred" in before else "likes"
        )
    if re.match(r"\s?(?:mal|times) (?:heruntergeladen|downloaded)", after):
        return "downloads"
    for stem, noun in _NOUNS.items():
        heads_column = scene.label and re.search(rf"\b{stem}s?\b", scene.label) and not scene.label.startswith("why")
        if (
            heads_column
            and each.value >= _LEAST_IN_COLUMN
            and not any(m.start - 80 < each.start < m.end for m in scene.mentions)
        ):
            return noun
    return None
