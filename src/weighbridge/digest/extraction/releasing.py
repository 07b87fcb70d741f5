"""Whom a verb of release is about: its object where it has one (`Acme ships Tern 4`), else its subject."""

from __future__ import annotations

import re

from .comparing import objects
from .mention import Mention
from .scene import Scene

NOT_MODEL = re.compile(
    r"[^.;]{0,60}?\b(?:papers?|reports?|benchmarks?|results|guidance|codebase|quanti[sz]\w+|gguf\w*|datasets?"
    r"|demo|updates?|blog|notes?|app|api docs|implementations?|"
    r"leaderboards?|framework|tool|library|guidelines|statement|recipe|details|kernels?|plugin|support for"
    r"|integration|drivers?|sdk|client|servers?|docker|containers?|endpoint|sidecar|scripts?|services?|engine"
    r"|instances?|process|session|playground|speculator|draft model|guides?|code|repo\w*|notebooks?|videos?"
    r"|courses?|posts?|docs|documentation)\b"
)
PASSIVE = re.compile(
    r"(?:\b(?:was|were|been|is|are|be|being|got|gets|has|wurde|wurden|had|newly|just|recently|first|originally"
    r"|officially|finally|publicly|also|since"
    r"|once|when|until|model|family|models|variants?|weights)|[,()–—-])\s*(?:\w+ly |both "
    r"|all |also |now |first |then )?$"
)
_BY_SIGN = re.compile(r"[)] $")
_TAKES = re.compile(r" (?:an?|the|its|new|several|two|three) ")
_HAS_OBJECT = re.compile(
    r"(?<!\bis)(?<!\bare)(?<!\bwas)(?<!\bwere)(?<!\bbeen)(?<!\bbe) (?:just|also|now|first|has|have|had|finally|recently"
    r"|officially|publicly) (?:\w+ly )?$|[,—–] $"
)
_OBJECT = re.compile(r" (?:its |the |their |an? )?(?:new |latest |first )?")
_INTRANSITIVE = re.compile(
    r"\s(?:under|based|open-weights?|open-source|openly|publicly|worldwide|globally|on|in|today|yesterday|last|this|as"
    r"|with|at|next|via|through|for|to|early|late|mid|by|alongside"
    r"|later|earlier|soon|after|before|,|am|im|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.? \d{1,2}"
    r"|may \d{1,2}|20\d\d|\d{1,2} (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))\b|\s?[,.;:(]|$"
)
ITS_RELEASE = re.compile(r" (?:the |its )?(?:immediate |general |public )?(?:release|launch|availability) of\b")


def released(scene: Scene, match: re.Match[str]) -> Mention | None:
    """Whom a verb of release is about: its object where it has one, else its subject."""
    start, end = match.start(), match.end()
    before = scene.before(start, 40)
    passive = (bool(PASSIVE.search(before)) or not before.strip()) and not match["verb"].endswith("ing")
    passive = passive or match["verb"].endswith(
        ("available", "availability", "out", "live", "since", "from", "via", "through")
    )
    if passive and _BY_SIGN.search(before) and _TAKES.match(scene.low, end, scene.end) and match["verb"].endswith("ed"):
        # `Tern 4 (30B) introduced a technique`
        passive = False
    if passive and _HAS_OBJECT.search(before):
        # `The team just released Kestrel 2`
        near = next((each for each in scene.mentions if each.start >= end), None)
        passive = near is None or not near.is_specific or not _OBJECT.fullmatch(scene.low[end : near.start])
    after = scene.after(end, 60)
    nothing_behind = bool(_INTRANSITIVE.match(after))
    ahead = next((mention for mention in scene.mentions if mention.start >= end), None)
    if not passive and not nothing_behind and ahead is not None and _is_in_reach(scene.low[end : ahead.start]):
        gap = scene.low[end : ahead.start]
        if (
            (not NOT_MODEL.match(gap) or ITS_RELEASE.match(gap))
            and not re.search(r"[.;:]|\b(?:under|with|to|for|than|against|beats?|while|since|unlike)\b", gap)
            and ahead.is_specific
        ):
            return ahead
        return None
    if not passive and not nothing_behind:
        return None
    compared = objects(scene)
    behind = [mention for mention in scene.mentions if mention.end <= start]
    if (
        len(behind) == 1
        and 0 in compared
        and re.search(r"\band (?:has|have|was|is|were) ", scene.low[behind[0].end : start])
    ):
        # `It is the successor to Tern 3 and has been released.`
        return None
    if behind:
        gap = scene.low[behind[-1].end : start]
        if match["verb"] == "out" and not re.fullmatch(r"[\s\])*_`]*(?:is|are|was|now|finally|,)?\s*", gap):
            return None
        if re.search(
            r"\b(?:paper|report|benchmarks?|guidance|dataset|quantizations|team|researchers|implementation|workflow"
            r"|guide"
            r"|notebook|tutorial|adapters?|finetunes?)\b",
            gap,
        ):
            return None
        if behind[-1].is_specific and (len(gap) < 90 or (len(gap) < 180 and gap.endswith(", "))):
            return behind[-1]
        return None
    if passive and ahead is not None and ahead.is_specific and start - scene.start < 30 and ahead.start - end < 60:
        return ahead
    return None


def _is_in_reach(gap: str) -> bool:
    """Whether a name so far behind a verb is its object; further where the words lead up to it: `its models, Tern "
    "4`."""
    return len(gap) < 60 or (
        len(gap) < 110 and re.search(r"(?:models?|llms?|family|series)[,:] [*_]*$", gap) is not None
    )
