"""Dense, mixture of experts or another kind of network, and how many experts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = "dense diffusion expert hybrid mamba mixture moe sparse"
_KINDS = re.compile(
    r"(?P<moe>\bmoes?\b|\bmixture[- ]of[- ]experts\b|\bsparse expert\w*\b)"
    r"|(?P<dense>\bdense\b)"
    r"|(?P<hybrid>\bhybrid[- ](?:mamba|attention|ssm|architecture|linear|transformer|state|moe|model"
    r"|gated)[\w-]*|\bhybrid(?= \((?:attention|mamba|ssm|linear))|\bmamba[- ]?\d?[- ]transformer\b|\bhybrid of "
    r"(?:mamba|attention)\b)"
    r"|(?P<diffusion>\bdiffusion (?:language |transformer|llm|model)\w*)"
)
_HINT = re.compile(r"moe|mixture|dense|hybrid|mamba|diffusion|sparse")
_NO_MOE = re.compile(
    r"(?: \(moe\))?\s?(?:models\b(?! introduce)|architectures? (?:means?|makes?|lets?|allows?)|serving|inference"
    r"|support|optimi[sz]\w+|routing|kernels?|\+|training|layers?"
    r"|backbone of|hidden|block|wins|paradigm|has decisively|architectures,|experts into|performance "
    r"improve\w+)"
)
_DENSE_OK = re.compile(
    r"[\s-]*(?:\d|hybrid\b|model\b|parameters?\b|params\b|transformer|decoder|architecture|llm|\)|,|$|\.|checkpoint"
    r"|variant|network|language|\||;)"
)
_GENERIC = re.compile(
    r"\b(?:any|many|most|some|every|other|than|like|handle|comparable to|versus|vs\.?|compared to|compared with"
    r"|running|traditional|unlike|to|of|outperforms|between|matches|rivals|previously topped out at \w+) "
    r"(?:(?:a|an|the|many|larger|much|its|old|\d+b) ){0,3}$"
)
_EXPERTS_AFTER = re.compile(
    r"[\s-]*[\"“]?(?:(?:total|routed|fine-grained|small|different|distinct|local|specialized|specialised|shared"
    r"|active|activated|sub|sparse)[\s-]+)*(?:(?:out )?of (?:its |the |a total of )?\d+ (?:\w+ ){0,2})?"
    r"experts?\b(?! (?:note|say|warn|believe|predict|agree|in the|from))"
)
_SIZED_KIND = re.compile(r"\d[bt] $")
_LABEL = re.compile(r"\b(?:architecture|type|arch|architektur)\b")
_LABEL_EXPERTS = re.compile(r"\bexperts\b")
_PER_TOKEN = re.compile(r"(?:per token|active|activated|selected|routed to|top-|chosen|used|aktiv\w*)")


def find(scene: Scene) -> Iterator[Found]:
    """`architecture` and `experts`."""
    seen = set()
    both = "moe" in scene.words and "dense" in scene.words
    for mention in scene.mentions:
        # `Qwen 3 MoE (235B)`
        word = mention.name.lower().rpartition(" ")[2]
        if word in ("moe", "dense"):
            yield Found("architecture", word, mention.start, mention.end, subject=mention.name)
    for match in _KINDS.finditer(scene.low, scene.start, scene.end) if _HINT.search(scene.words) else ():
        kind = match.lastgroup or ""
        if kind in seen or any(mention.start <= match.start() < mention.end for mention in scene.mentions):
            continue
        if scene.is_negated(match.start()) or not _says(scene, match, kind):
            continue
        if (
            both
            and _SIZED_KIND.search(scene.before(match.start(), 8))
            and scene.in_brackets_behind(match.start()) is None
        ):
            # `four variants: 26B MoE and 31B Dense`
            continue
        seen.add(kind)
        yield Found(
            "architecture",
            kind,
            match.start(),
            match.end(),
            needs_name=not (scene.label or _is_predicate(scene, match)),
        )
        if kind == "hybrid" and match[0].endswith("moe") and "moe" not in seen:
            # `hybrid MoE` is both.
            seen.add("moe")
            yield Found("architecture", "moe", match.end() - 3, match.end(), needs_name=not scene.label)
    if "expert" in scene.words or "expert" in scene.label:
        yield from _experts(scene)


def _is_predicate(scene: Scene, match: re.Match[str]) -> bool:
    if re.search(r"\d[bt] $", scene.before(match.start(), 8)) or re.match(r" \d", scene.after(match.end(), 2)):
        return True
    return bool(
        re.search(
            r"\b(?:is|are|was|uses?|using|adopts?|employs?|built (?:on|as)|based on|via)\b",
            scene.before(match.start(), 60),
        )
    )


def _says(scene: Scene, match: re.Match[str], kind: str) -> bool:
    if _LABEL.search(scene.label):
        return True
    after, before = scene.after(match.end(), 30), scene.before(match.start(), 44)
    if _GENERIC.search(before):
        return False
    if kind == "dense":
        return bool(_DENSE_OK.match(after)) and not re.match(r"[\s-]*models\b", after)
    if kind == "moe":
        return not _NO_MOE.match(after) and not re.search(r"\b(?:improved|better|for|of better|traditional) $", before)
    return True


def _experts(scene: Scene) -> Iterator[Found]:
    for each in scene.quantities:
        if each.unit is not Unit.NONE or not 2 <= each.value <= 10_000 or each.magnitude or each.low is not None:
            continue
        after, before = scene.after(each.end, 44), scene.before(each.start, 40)
        labelled = bool(_LABEL_EXPERTS.search(scene.label)) and not re.search(
            r"\bper expert|hidden|dimension|intermediate", scene.label
        )
        if re.search(r"\d ?(?:→|->|to) ?$", before):
            # `128→80 experts`: what another made of it.
            continue
        told = _EXPERTS_AFTER.match(after) or re.search(
            r"\bexperts?(?: count)?\s?[:=]\s*\**$|\bexperts? (?:out )?of (?:a total of )?$", before
        )
        if not (told or labelled):
            continue
        qualifiers: tuple[str, ...] = ()
        near = (after[: told.end() + 16] if told and told.string == after else "") + scene.label
        if "shared" in near:
            qualifiers = ("shared",)
        elif _PER_TOKEN.search(near) or re.search(
            r"\b(?:activat\w+|select\w*|rout\w+ (?:each token )?to|top-?|uses?|using)(?: only)? $", before
        ):
            qualifiers = ("active",)
        yield Found("experts", each.value, each.start, each.end, "experts", qualifiers)
