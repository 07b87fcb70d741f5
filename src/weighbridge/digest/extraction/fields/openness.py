"""Whether the weights are given out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..comparing import JOIN
from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = "api closed downloadable open proprietary weights"
_WORDS = re.compile(
    r"\b(?P<closed>closed(?:[- ](?:source|weights?|model))?|proprietary|api[- ]only|(?:not|isn't|never) (?:open[- "
    r"](?:source|weights?)|openly available)|"
    r"no open weights|weights (?:are |were |remain )?(?:not |un)(?:released|available|published))\b"
    r"|\b(?P<weights>(?:fully |truly |entirely )?open[- ]weights?|openly (?:available|licensed|released)(?: weights)?"
    r"|weights (?:are |is |were )?(?:openly |publicly |freely |now )?available)\b"
    r"|\b(?P<source>(?:fully |truly |entirely )?open[- ]sourc(?:e|ed))\b"
    r"|\b(?P<given>(?:publish|releas|post|upload|ship|shar|dropp|push|download)\w* "
    r"(?:(?!with|in|as|at|on|under|and|by|not?\b)[\w.'’-]+ ){0,3}?weights"
    r"|weights (?:are |is |were |have been |went )?(?:\w+ ){0,2}(?:published|released|posted|public|downloadable"
    r"|live|up"
    r"|on|at|via)(?= [^.;]{0,30}(?:hugging ?face|github|modelscope|hub\b)| under)"
    r"|weights (?:are|were|have been) (?:\w+ly )?(?:published|released|public|downloadable))\b"
    r"|\b(?P<open>(?:fully |truly |entirely )?open(?: (?!the|an?|up|your|its|their|to|for|and|or)[\w/-]+){0,3}?"
    r" (?:llms?|vlms?|models?|moe))\b"
)
# `OLMo 3 is the third generation of`, `K2 Thinking: one of the first`: what stands between a name and the word that
# tells how open it is.
_TELLS = re.compile(
    r"[\])*_`'’\"” ]*(?:\([^()]{1,80}\) ?)?[,:—–-]? ?(?:which |that |it |this |they |these |(?:the|this) "
    r"(?:new )?(?:model|family|release|series|lineup|version) )?"
    r"(?:['’]s |is |are |was |were |remains? |stays? |became |becomes |as )?"
    r"(?:also |now |both |still |just |already |easily |arguably |currently |\w+ly ){0,2}"
    r"(?P<which>(?:the |an? |our |its |their |one of |new |first |another |[\w.& -]{1,30}['’]s )?(?:[\w#+.,%-]+ ){0,7})"
)
_GROUP = re.compile(
    r"\b(?:one|two|three|four|five|six|family|series|collection|set|suite|group|line|generation|range|pair|trio|member"
    r"|version|class|lineup|release) of (?:the |our |its |their )?(?:\w+ )?"
)
_OTHERS = re.compile(
    r"\b(?:than|like|unlike|beat\w*|outperform\w*|vs|versus|against|over|from|to|with|on|in|at|for|of|among|compar\w+"
    r"|not|rival\w*|match\w*|any|other|all|every|many|some|between|and|or|but|supports?|runs?|uses?|has|have|can|will"
    r"|leads?|tops?|topped|joins?|including|such|while|where|when|called|by|competes?)\b|\bmost $"
)
# `ranked first among`, `the largest window of any`: the best of those that are open is open.
_BEST_OF = re.compile(
    r"(?:#\d+|\b(?:first|top|best|highest|strongest|largest|longest|biggest|leading|leads|most \w+"
    r"|no\. ?1)\b)[^.;]{0,50}?"
    r" (?:among|of|for|across)(?: all| the| any| current| an?| other)* $"
    r"|\b(?:placing|putting|ranks?|ranked|is|sits|making) (?:it |them )?(?:among|one of) the (?:\w+ ){1,3}$"
)
_TOPPED = re.compile(r"\b(?:tops?|topped|topping|leads?|led|leading|atop) (?:the |all )?$")
_PARTS = re.compile(r"[—–:;(]| - |, ")
_LABELLED = re.compile(r"open[- ](?:source|weights?)d?\??")
_TO_COME = re.compile(
    r"\b(?:will|plan\w*|promis\w+|intend\w*|expect\w*|soon|before|may|might|could|would|to) (?:\w+ ){0,2}$"
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
_MODELS = re.compile(r"[\s-]*(?:ai |code |large |language |foundation |reasoning ){0,3}(?:models?|llms?|moe)\b")
_SPEAKS = re.compile(
    r"\W*(?:it|this|they|these|both|(?:the|this) (?:\w+ )?(?:model|family|release|series|lineup))(?:['’]s| is| are| was"
    r"| were)\b|\W*(?:our|their|its|the|an?|one of|new|first|leading|top|best|strongest|largest|[\w.& -]{1,30}['’]s) "
)
_LABEL = re.compile(r"open|weights|access|availab|licen|source|status|type|release")
_NOUN_AFTER = re.compile(
    r"[\s”\"')]*(?:race|community|ecosystem|frontier|movement|story|world|landscape|line\b|labs?\b|market"
    r"|cohort|tools?|frameworks?|projects?|software|client|"
    r"implementations?|training|licen[cs]es?|leaderboards?|competition|data|inference|code\b(?! llm| model)|llms\b"
    r"|models\b|ai\b|space|alternatives?|options?|tail|mantle|"
    r"map|gap|safety|default|drops?|branch|deployment|category|agent|provider|definition|tier|release path"
    r"|status|news|stack|variants? of|baseline|systems?|"
    r"spot|slot|commitments?|engine|library|toolkit|platform|cli\b|repo\w*|track|pivot|rivals?|performance"
    r"|exemption|categories|hierarchy|giants?|labs)"
)


_VALUES = {
    "closed": "closed", "weights": "open-weights", "source": "open-source", "given": "open-weights",
    "open": "open-weights",
}  # fmt: skip


def find(scene: Scene) -> Iterator[Found]:
    """`openness`: `closed`, `open-weights` or `open-source`."""
    seen = set()
    if scene.label == "tags":
        return
    if _LABELLED.fullmatch(scene.label) and (answer := re.match(r"\W*(yes|no)\b", scene.words)):
        value = "closed" if answer[1] == "no" else "open-source" if "sourc" in scene.label else "open-weights"
        yield Found("openness", value, scene.start, scene.end)
        return
    for match in _WORDS.finditer(scene.low, scene.start, scene.end):
        value = _VALUES[match.lastgroup or ""]
        if value in seen or scene.is_negated(match.start()):
            continue
        if not _is_said(scene, match) or (
            match[0].startswith("api") and scene.label and not _LABEL.search(scene.label)
        ):
            # `API only`, in a column of what suits: there it is a counsel.
            continue
        seen.add(value)
        named = next((m.name for m in scene.mentions if match.start() <= m.start < match.end()), None) or _told_of(
            scene, match
        )
        yield Found("openness", value, match.start(), match.end(), subject=named, needs_name=True)


def _is_said(scene: Scene, match: re.Match[str]) -> bool:
    """Whether it is said of a model, not of models in general: beside a name, in its brackets, or by `is`."""
    after, before = scene.after(match.end(), 60), scene.before(match.start(), 60)
    if match.lastgroup == "given":
        return _TO_COME.search(before) is None and not before.endswith(("no ", "without "))
    if match.lastgroup == "open":
        return _is_told(scene, match, before, after)
    if _named_behind(scene, match.end()):
        return True
    if match[0] == "closed":
        return False
    if match.lastgroup != "closed" and _is_told(scene, match, before, after):
        return True
    return _is_predicate(scene, match, before, after) or _is_beside(scene, match, before, after)


def _is_beside(scene: Scene, match: re.Match[str], before: str, after: str) -> bool:
    """Whether it stands beside a name, behind a verb, in brackets, or alone between the marks of a list."""
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
        r"(?:\b(?:is|are|was|were|as|remains?|stays?|being|be|went|goes|go)|\bit['’]s)\s(?:a |an |the |fully |now "
        r"|also "
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


def _is_told(scene: Scene, match: re.Match[str], before: str, after: str) -> bool:
    """`OLMo 3 is the third generation of fully open models`, `GLM-4.7 — first open-source model with ...`"""
    if _TOPPED.search(before) and re.match(r"[\s-]*(?:\w+ )?(?:leaderboards?|rankings?|charts?|models?)\b", after):
        return True
    if _NOUN_AFTER.match(after) and not _MODELS.match(after):
        return False
    if match.lastgroup != "open" and _BEST_OF.search(before):
        return True
    opening = max((mention.end for mention in scene.mentions if mention.end <= match.start()), default=-1)
    gap = scene.low[max(opening, scene.start) : match.start()]
    if opening < 0 or len(gap) > 60:
        gap = _PARTS.split(gap)[-1].lstrip()
        if not _SPEAKS.match(gap):
            return False
    told = _TELLS.fullmatch(gap)
    if told is None or not (gap.strip() or scene.is_fragment) or not (match.lastgroup == "open" or told["which"]):
        return False
    return _OTHERS.search(_GROUP.sub("", told["which"])) is None


def _told_of(scene: Scene, match: re.Match[str]) -> str | None:
    """The name of which the words behind it tell that it is open."""
    before = [mention for mention in scene.mentions if mention.end <= match.start()]
    near = before[-1] if before else None
    if len(before) > 1 and JOIN.fullmatch(scene.low[before[-2].end : before[-1].start]):
        # Of all that are joined.
        return None
    if near is None or not near.is_specific or match.start() - near.end > 60 or match.lastgroup in ("given", "closed"):
        return None
    told = _TELLS.fullmatch(scene.low[near.end : match.start()])
    return near.name if told and told["which"] and _OTHERS.search(_GROUP.sub("", told["which"])) is None else None


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
