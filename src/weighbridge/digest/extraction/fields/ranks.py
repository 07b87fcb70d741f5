"""Places on leaderboards, with what limits them: `#3 among open models` is not `#3`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..benchmarks import leaderboard
from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = (
    "# overall atop came claim climb comes debut enter finish grab held hold secur take taking took land lead "
    "led no. no# number plac place position rank sits sitting "
    "stands top topp"
)
_ORDINALS = {
    word: value
    for value, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
        "fifteenth".split(),
        start=1,
    )
}
_RANK = re.compile(
    r"(?<![\w&])#\s?(?P<sign>\d{1,4})(?!\w)"
    r"|\b(?:no\.?|number|nr\.|rank|place|position)\s?#?(?P<number>\d{1,3}|one|two|three)\b(?!\s?(?:million"
    r"|billion|of|\.\d))"
    r"|\b(?:rank(?:s|ed|ing)?|plac(?:es|ed|ing)|finish(?:es|ed)|sits|sitting|land(?:s|ed|ing)|debut(?:s|ed|ing)"
    r"|climb(?:s|ed)(?: to)?|enter(?:s|ed)|comes? in|came in|stands)"
    r"\s(?:(?:at|in|as|currently|now|the|overall)\s)*#?(?P<ordinal>first|second|third|fourth|fifth|sixth"
    r"|seventh|eighth|ninth|tenth|\d{1,3}(?:st|nd|rd|th)|\d{1,3}(?=\s(?:on|in|overall|among)))\b"
    r"|\b(?P<overall>first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth"
    r"|\d{1,3}(?:st|nd|rd|th)) (?=overall)"
    r"|\b(?P<place>first|second|third|fourth|fifth|1st|2nd|3rd|\dth)[\s-](?:place|spot|position)\b"
    r"|\b(?P<crown>(?:t(?:ook|akes|aking)|claim(?:s|ed|ing)|hold(?:s|ing)|held|grab(?:s|bed)|secur(?:es|ed)"
    r"|in) (?:the )?"
    r"(?:top|number[- ]one) (?:spot|place|position)) (?:on|of|in|among)\b"
    r"|\b(?P<top>tops|topped|topping|leads|led"
    r"|leading(?! (?:performance|results?|accuracy|open|models?|labs?|ai))|at the top of|sits atop|atop"
    r"|took the crown on)\s(?:the )?"
    r"(?=[^.;]{0,50}\b(?:leaderboards?|arena|rankings?|trending|[\w-]*bench|index|lmarena|mteb)\b)"
)
_AMONG = re.compile(
    r"\b(?P<among>(?:among|amongst|of|for|within) (?:all |the )?(?:open|open-weights?|open-source|local|small"
    r"|dense|chinese|non-reasoning|self-hostable|us|western|european|sub-\w+|free|apache[\w.-]*"
    r"|\d+b)[\w\s.-]{0,30}?(?:models?|weights|systems|llms|labs|releases)"
    r"|open[- ](?:weights?|source)(?: model)?(?= on| in|\)|,|$)|overall|in (?:the )?(?:coding|math|creative "
    r"writing|hard prompts|vision|text|style control|instruction following)\b(?: category)?)"
)
# `the gap between first and fifth place`
_BETWEEN = re.compile(
    r"\bbetween (?:the )?[\w#]+ and (?:the )?$|\b(?:prs?|issues?|pull|bug|ticket|discussion|commit)\W{0,2}$"
)
_LABEL = re.compile(r"\brank(?:ing)?\b|\bplace\b|^#$")


def find(scene: Scene) -> Iterator[Found]:
    """`rank:NAME`."""
    if _LABEL.search(scene.label) and not scene.label.startswith("why"):
        yield from _cell(scene)
        return
    found = list(_RANK.finditer(scene.low, scene.start, scene.end))
    for number, match in enumerate(found):
        until = found[number + 1].start() if number + 1 < len(found) else scene.end
        board = _board(scene, match, until) or _board(scene, found[number - 1 if number else -1], scene.end)
        if board is None or scene.is_negated(match.start()) or _BETWEEN.search(scene.before(match.start(), 30)):
            continue
        tail = scene.low[match.end() : min(until, match.end() + 90)]
        head = scene.before(match.start(), 30)
        among = _AMONG.search(tail) or (_AMONG.search(head) if "among" in head or "overall" in head else None)
        qualifiers = (re.sub(r"^of ", "among ", among["among"].strip()),) if among else ()
        told = scene.dates[0].value if len(scene.dates) == 1 else None
        yield Found(f"rank:{board}", _value(match), match.start(), match.end(), "rank", qualifiers, told=told)


def _value(match: re.Match[str]) -> float:
    if match["top"] or match["crown"]:
        return 1.0
    written = match["sign"] or match["number"] or match["ordinal"] or match["place"] or match["overall"]
    words = _ORDINALS | {"one": 1, "two": 2, "three": 3}
    return float(words[written] if written in words else re.sub(r"\D", "", written))


def _board(scene: Scene, match: re.Match[str], until: int) -> str | None:
    """The leaderboard behind the place, else the one before it."""
    behind = scene.low[match.end() : min(until, match.end() + 110)]
    for start, _, benchmark in scene.benchmarks:
        if match.end() <= start < min(until, match.end() + 60) and "," not in scene.low[match.end() : start]:
            return benchmark
    name = leaderboard(behind)
    if name:
        return name
    name = leaderboard(scene.before(match.start(), 90)) or leaderboard(scene.label)
    if name:
        return name
    for start, _, benchmark in scene.benchmarks:
        if match.start() - 50 < start < match.start() and re.search(r"\b(?:rank|place|spot|leaderboard)", scene.words):
            return benchmark
    return None


def _cell(scene: Scene) -> Iterator[Found]:
    board = leaderboard(scene.label) or leaderboard(scene.heading)
    board = board or scene.labelled_benchmark or None
    for each in scene.quantities[:1]:
        if board is not None and each.value < 5000 and not each.magnitude:
            yield Found(f"rank:{board}", each.value, each.start, each.end, "rank")
