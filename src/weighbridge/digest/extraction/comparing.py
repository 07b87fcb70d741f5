"""Whom a sentence is about, and whom it only compares with, builds on or tells beside."""

from __future__ import annotations

import re

from .mention import Mention
from .scene import Scene
from .words import key

JOIN = re.compile(
    r"(?: (?:at|in) (?:i?q\d\w*|\d-bit|int[48]|fp8|fp16|bf16))?[\s*_`]*"
    r"(?:,|/|&|\+|and|und|or|as well as|, and|sowie|, or|alongside)[\s*_`]*(?:the |its |[\w.]{2,14}['’‘]s )?"
)
"""What joins names that share what is said."""
_OBJECT = re.compile(
    r"(?:\b(?:than|vs\.?|versus|over|beat(?:s|en|ing)?|outperform(?:s|ed|ing)?|ahead of|surpass(?:es|ed|ing)?"
    r"|behind|compar(?:e|es|ed|ing) (?:it |them )?(?:to|with|against)|like|unlike|"
    r"rivals?|rivall?ing|ties|tied(?: with)?|tying(?: with)?"
    r"|loses to|lost to|second to|falls short of|short of|bows to|match(?:es|ed|ing)?|against"
    r"|edges?(?: out| past)?|edging(?: out)?|trail(?:s|ed|ing)"
    r"|as \w+ as|support(?:s|ing)?(?: for)?|throughput of|speed of|size of|twice the \w+ of|similar to"
    r"|comparable to|successor to|succeeds|"
    r"upgrade (?:path )?(?:from|over|to)|replac(?:es|ed|ing)|between|exceed(?:s|ed|ing)?|approach(?:es|ing)|on "
    r"par with|parity with|close to|level with|same(?: \w+){0,2} as|competitive with|neck and neck with|of what"
    r"|within (?:about |just |only )?[\w.]+(?: \w+){0,2} of|\d+ ?% of"
    r"|\d+% (?:less|more|cheaper|faster|slower|lower|higher) than|"
    r"(?:sibling|cousin|relative|descendant) (?:of|to)|(?:days|weeks|months|years?|shortly|right|soon) (?:after|before)"
    r"|(?:cost|price|speed|fraction|half|third|quarter|fifth|sixth|seventh|eighth|ninth|tenth|twentieth)s? of|"
    r"(?:half|third|quarter|fifth|sixth|eighth|tenth)s? the (?:cost|price|size|memory|parameters|compute) of|"
    r"predecessor|instead of|alternative to|tops|topp(?:ed|ing)|pass(?:es|ed|ing)|overtak(?:es|ing)|overtook|for "
    r"comparison,?|from|above|below|unlike|challenging|challenges|als|gegenüber|"
    r"\d/\d+(?:th|rd|nd)?(?: the (?:cost|price|size))? of|"
    r"from \d[\d.]* ?(?:%|points|percent)? ?(?:for|on|in|by)|"
    r"(?:success|strengths?|legacy|footsteps|heels) of|building (?:up)?on|"
    r"based on|built on|distilled from|derived from|fine-tun\w+ (?:of|from|on)"
    r"|(?<!first )(?<!latest )(?<!new )version of|on top of|followed by"
    r"|alongside|since|(?:that|those|tier|member|edition|branch|line|size|flagship|flagship model) of|whereas"
    r"|for context,|(?:build(?:s|ing)?|built|improv(?:es|ed|ing)|expand(?:s|ed|ing)?) (?:up)?on|extend(?:s|ed|ing)"
    r"|follow(?:s|ed|ing)? (?:in the footsteps|on the heels|the (?:success|release|launch|recipe|example)) of"
    r"|follow(?:s|ing)(?: on from)?|(?:success|strengths?|foundations?|legacy|footsteps|heels|spirit|recipe) of"
    r"|(?:inherit(?:s|ed|ing)?|initiali[sz]ed|upcycled|warm-started|starting) from|reminiscent of|akin to|relative to"
    r"|(?:than|to|from|over|against|versus|vs\.?) (?:the |its |a )?[~≈$]?\d[\w.,%]*(?: \w+){0,2}"
    r" (?:of|for|in|by|on|at))"
    r":?[*_]{0,2}\s(?:the |even |both |its |their |own |older |larger |much |predecessor |original |dense |previous "
    r"|(?:meta|google|alibaba|openai|anthropic|microsoft|mistral|nvidia|deepseek|moonshot|xai|cohere|ibm|tencent|baidu"
    r"|xiaomi|apple|amazon)(?:['’‘]s)? |proprietary |closed |standard |regular |full |vanilla |stock |current "
    r"|bigger |smaller |base "
    r"|model |and |an? |open )*)$"
)
_NOT_OBJECT = re.compile(
    r"(?:for comparison,?|for context,|whereas|(?:models?|llms?|moes?|networks|ones) (?:like|such as)) $"
    # `The API price of Tern 5 is ...`
    r"|^\W*(?:the |its )?(?:[\w-]+ ){0,2}(?:price|cost|speed|throughput|size) of (?:the )?$"
)
# `DeepSeek-V3 lineage scaled out: 384 experts`
_KIN_BEHIND = re.compile(
    r"['’s]{0,2} (?:lineage|heritage|recipe|template|blueprint|playbook|derivative|descendant|successor)\b"
)
# `above R1's 63% and Tern 4's 61%`
_NEXT_OBJECT = re.compile(rf"(?:{JOIN.pattern}|['’]s? ~?\d[\d.]*%?(?: and|,| or) (?:the )?)")
# `Tern 5 on MMLU (88.5 vs 86.2)`: of two scores behind a name, the first is not its own.
_AGAINST = re.compile(r"\*{0,2} on [^();]{2,60} \(\d[\d.]* ?%? (?:vs\.?|versus) ~?\d[\d.]* ?%?\)")
_VARIANT_OF = re.compile(r" (?:variant|version|checkpoint|edition|member|sibling|model)s? (?:of|in) (?:the )?")
_OPENS = re.compile(r"\W*(?:it|they|the model|this model)\b")
_PLACED = re.compile(r"\d[\w.,%]* (?:tokens |points )?(?:in|of|for|with) (?:the )?$")


def _is_aside(scene: Scene, mention: Mention) -> bool:
    return any(pattern.match(scene.low, mention.end, scene.end) for pattern in (_AGAINST, _KIN_BEHIND))


def objects(scene: Scene) -> set[int]:
    """The numbers of those mentions that others are compared with."""
    if scene.compared is not None:
        return scene.compared
    found: set[int] = set()
    is_pronoun = _OPENS.match(scene.words) is not None
    for number, mention in enumerate(scene.mentions):
        before = scene.before(mention.start, 60)
        is_part = number > 0 and _VARIANT_OF.fullmatch(scene.low, scene.mentions[number - 1].end, mention.start)
        if is_part or _is_aside(scene, mention) or (is_pronoun and _PLACED.search(before)):
            # `the 8B variant of Tern 3` is whom the sentence is about.
            # `It expands the context from 128K in GLM-4.5 to 200K`
            found.add(number)
        elif (_OBJECT.search(before) and not _NOT_OBJECT.search(before)) or (
            number and number - 1 in found and _is_joined(scene, scene.mentions[number - 1], mention)
        ):
            found.add(number)
    _free_subject(scene, found)
    scene.compared = found
    return found


# `Unlike Tern 4, ...`, `Building on the success of Tern 4, ...`: words that tell of somebody else first.
_OPENING = re.compile(
    r"\W*(?:(?:but|and|yet) )?(?:unlike|like|based|built|building|improving|expanding|extending|following|compared"
    r"|comparing|relative|similar|starting|succeeding|replacing|beyond|alongside|against|versus|after"
    r"|just like|much like)\b[^,.;:]*"
)


def _free_subject(scene: Scene, found: set[int]) -> None:
    """`Based on Tern 4, Heron 2 has ...`: behind the comma that ends such words stands whom the sentence is about."""
    opening = _OPENING.match(scene.low, scene.start, scene.end)
    if opening is None:
        return
    after: list[int] = []
    for number, mention in enumerate(scene.mentions):
        if number not in found or (number and number - 1 not in found):
            break
        is_parted = number and scene.low[scene.mentions[number - 1].end : mention.start].strip(" *_`") == ","
        after = [number] if is_parted else [*after, number] if after else []
    found.difference_update(after)


# Behind the names that head an entry: its end, a bracket, a colon, a dash.
_HEAD_ENDS = re.compile(r"['’*_`\s]*(?:$|[:(\[—–|-]|models?\b|series\b|famil(?:y|ies)\b|releases?\b)")


def headed(scene: Scene) -> tuple[str, ...]:
    """Whom a heading or an item's first words name: `Tern 5 / Heron 2`, `Tern 4 (Fjord/Skerry)`, `Tern 5: past ...`;
    none where they name several and do not tell which is meant."""
    compared = objects(scene)
    group: list[Mention] = []
    for number, mention in enumerate(scene.mentions):
        if not mention.is_specific or number in compared:
            continue
        gap = scene.low[group[-1].end : mention.start] if group else ""
        if not group or JOIN.fullmatch(gap):
            group.append(mention)
        elif gap.strip(" *_`") != "(" or not mention.is_listed:
            break
        else:
            # The variants in the bracket are its own.
            return (group[-1].name,)
    if not group or not _HEAD_ENDS.match(scene.low[group[-1].end : scene.end]):
        return ()
    return tuple(dict.fromkeys(mention.name for mention in group))


def _is_joined(scene: Scene, one: Mention, other: Mention) -> bool:
    """Whether two names share what is said; `the flagship of Tern 5, Tern 5 Max,` names a part by its whole."""
    gap = scene.low[one.end : other.start]
    whole = key(one.name)
    is_part = gap.strip() == "," and len(key(other.name)) > len(whole) and key(other.name)[: len(whole)] == whole
    return _NEXT_OBJECT.fullmatch(gap) is not None and not is_part


def main_subject(scene: Scene) -> Mention | None:
    """Whom the sentence is about: its first name that is no object of a comparison."""
    compared = objects(scene)
    specific = [m for number, m in enumerate(scene.mentions) if number not in compared and m.is_specific]
    if specific:
        return specific[0]
    return next((m for number, m in enumerate(scene.mentions) if number not in compared), None)
