"""Whether the weights are given out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = "api closed open proprietary weights"
_WORDS = re.compile(
    r"\b(?P<closed>closed(?:[- ](?:source|weights?|model))?|proprietary|api[- ]only|(?:not|isn't|never) (?:open[- "
    r"](?:source|weights?)|openly available)|"
    r"no open weights|weights (?:are |were |remain )?(?:not |un)(?:released|available|published))\b"
    r"|\b(?P<weights>open[- ]weights?|openly (?:available|licensed|released)(?: weights)?|weights (?:are |is "
    r"|were )?(?:openly |publicly |freely |now )?available)\b"
    r"|\b(?P<source>(?:fully |truly )?open[- ]sourc(?:e|ed))\b"
)
_GENERIC = re.compile(
    r"\b(?:any|other|many|most|all|first|previous|every|which|best|top|leading|other|several|more|some|of|for"
    r"|among|in|the|between|how|with|supporting|"
    r"about|existing|commercial,|true|confusing|on|than|as|against|into|to|three independent|specialized|recognized)"
    r"[\s“\"'(]*(?:(?:previous|strongest|capable|largest|of|best|leading|top|major|new|available|the|an?"
    r"|powerful|specialized|\d+)[\s“\"'(]*){0,3}$"
)
_SHIPS = re.compile(
    r"\bwith [^.;:]{0,80}\band $|\breleased $|\bthis (?:entirely |fully |truly )?$"
    r"|\b(?:ships?|comes?|released|arrives?|available|published|offered|launched|lands?) (?:\w+ )?with"
    r" (?:fully |its )?$"
)
_MODEL_AFTER = re.compile(
    r"[\s,]*(?:[\w-]+[\s,]+){0,4}?(?:models?|llms?|moe|mixture|flagship|famil(?:y|ies)|system|release|checkpoints?)\b"
)
_IS_SOMEBODYS = re.compile(
    r"['’)\]*_ ]*(?:is|are|was|were) (?:(?:an?|the|both|now|also) )?(?:[\w.& -]{1,30}['’]s? )?"
    r"(?:(?:latest|newest|flagship|first|new|current|next|second|most|capable|powerful|recent|own|largest)[ ,]+){0,3}"
)
_SOMEBODYS = re.compile(
    r"\W*[\w.& -]{1,30}['’]s? (?:(?:latest|newest|flagship|first|new|current|[\w-]+-generation)[ ,]+){0,3}"
)
_LABEL = re.compile(r"open|weights|access|availab|licen|source|status|type|release")
_NOUN_AFTER = re.compile(
    r"[\s”\"')]*(?:race|community|ecosystem|frontier|movement|story|world|landscape|line\b|labs?\b|market"
    r"|cohort|tools?|frameworks?|projects?|software|client|"
    r"implementations?|training|licen[cs]es?|leaderboards?|competition|data|inference|code\b|llms\b|models\b"
    r"|ai\b|space|alternatives?|options?|tail|mantle|"
    r"map|gap|safety|default|drops?|branch|deployment|category|agent|provider|definition|tier|release path"
    r"|status|news|stack|variants? of|baseline|systems?|"
    r"track|pivot|rivals?|performance|exemption|categories|hierarchy|giants?|labs)"
)


def find(scene: Scene) -> Iterator[Found]:
    """`openness`: `closed`, `open-weights` or `open-source`."""
    seen = set()
    if scene.label == "tags":
        return
    for match in _WORDS.finditer(scene.low, scene.start, scene.end):
        value = {"closed": "closed", "weights": "open-weights", "source": "open-source"}[match.lastgroup or ""]
        if value in seen or scene.is_negated(match.start()):
            continue
        if not _is_said(scene, match) or (
            match[0].startswith("api") and scene.label and not _LABEL.search(scene.label)
        ):
            # `API only`, in a column of what suits: there it is a counsel.
            continue
        seen.add(value)
        yield Found("openness", value, match.start(), match.end(), needs_name=True)


def _is_said(scene: Scene, match: re.Match[str]) -> bool:
    """Whether it is said of a model, not of models in general: beside a name, in its brackets, or by `is`."""
    after, before = scene.after(match.end(), 60), scene.before(match.start(), 60)
    if _named_behind(scene, match.end()):
        return True
    if match[0] == "closed":
        return False
    if _is_predicate(scene, match, before, after):
        return True
    if re.match(r"[\s-]*(?:variant|version|model|flagship|release)\b(?!s)", after) and any(
        0 <= match.start() - mention.end <= 2 for mention in scene.mentions
    ):
        return True
    if any(
        mention.end <= match.start()
        and re.fullmatch(
            r"\]*(?:(?:,| –| —| -) (?:an?|the|our)|:) (?:[\w-]+ ){0,4}", scene.low[mention.end : match.start()]
        )
        for mention in scene.mentions
    ):
        return True
    if _NOUN_AFTER.match(after):
        return False
    if re.search(
        r"\b(?:is|are|was|were|as|remains?|stays?|being|be|went|goes|go)\s(?:a |an |the |fully |now |also "
        r"|completely |truly )*(?:[\w-]+, )?(?:and )?$",
        before,
    ):
        return True
    if match.lastgroup == "source" and match[0].endswith("sourced"):
        return True
    if scene.in_brackets_behind(match.start()) is not None:
        return True
    if _GENERIC.search(before):
        return False
    return scene.is_fragment and bool(re.search(r"[,;:/(|–—·]\s*$|^\s*$", before))


def _is_predicate(scene: Scene, match: re.Match[str], before: str, after: str) -> bool:
    """`K2.6 is Moonshot AI's latest open-source model`, `It ships with open weights`, `Modified MIT, open weights.`"""
    if _SHIPS.search(before) and (match.lastgroup == "weights" or before.rstrip().endswith(("this", "ly"))):
        return True
    opening = max((mention.end for mention in scene.mentions if mention.end <= match.start()), default=-1)
    is_noun = _MODEL_AFTER.match(after) is not None
    if opening >= 0 and is_noun and _IS_SOMEBODYS.fullmatch(scene.low[opening : match.start()]):
        return True
    if opening < 0 and is_noun and _SOMEBODYS.fullmatch(scene.low[scene.start : match.start()]):
        # `Meta's fourth-generation open-weights model family, ...`, below its name.
        return True
    is_brief = scene.end - scene.start < 64 and not re.search(r"\b(?:is|are|was|were|has|have|will|can)\b", scene.words)
    return (
        is_brief
        and re.search(r"(?:^|[,;|(] ?)$", before) is not None
        and re.match(r" ?(?:[,;|).(]|$)", after) is not None
    )


def _named_behind(scene: Scene, at: int) -> bool:
    for mention in scene.mentions:
        if mention.start >= at:
            gap = scene.low[at : mention.start]
            return len(gap) <= 30 and bool(
                re.fullmatch(
                    r"[\s,]*(?:(?:models?|llms?|flagship|family|release|successor|moe|reasoning|vision-language"
                    r"|language|large|\d+b|multimodal|coding|of)[\s,:]*){0,4}",
                    gap,
                )
            )
    return False
