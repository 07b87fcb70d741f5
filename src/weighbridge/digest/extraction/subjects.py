"""Of whom something is said: the name before a bracket, the possessor, the nearest that is no object of a comparison,
all of several that are joined, and where the sentence has no name, whom the text speaks of there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .anaphora import ANAPHOR, GENERAL, PRONOUN
from .bracketing import is_bracketed, listed_behind, sharing, sized_behind
from .comparing import JOIN, objects
from .lexicon import makers
from .mention import Kind, Mention
from .scene import Found, Scene
from .strangers import APPOSED, is_of_stranger
from .words import sizes_in

_POSSESSED = re.compile(r"['’‘]s?\s(?:[\w.-]+\s){0,4}?[~≈$\"“(]*(?:\d[\d.,]*%?\s?/\s?)?")
_SUCH_AS = re.compile(
    r"(?:[ -](?:language|generation|vision|moe|dense|sparse))?(?: models?)? (?:like|such as|from|including"
    r"|called|by) "
)
_DIRECT_BEHIND = re.compile(
    r"(?:[ -]?licensed)?(?:[\s,-]*(?:models?|llms?|moe|release|weights|dense|parameter|version of|open|open-weights?"
    r"|reasoning|multimodal|flagship|sibling|large|small|language|variant))*[\s,*_:–—]*"
)
_FOR = re.compile(
    r"\)?\s?(?:%|points?|percent|tokens?|of (?:v?ram|memory))?\s?(?:on [\w-]+(?: [\w-]+)?)?\s?"
    r"(?:for|by|from|of|in|at|on) (?:the |both )?(?:\w+ )?"
)
_ORDINAL = re.compile(r"\bthe (former|latter)\b(?!.*\bthe (?:former|latter)\b)[^.;]*$")
_THAT_ONE = re.compile(r"\b(?:that one|the latter|whose)\b[^.;,]{0,30}$")
_TECHNIQUE = re.compile(r"(?<![\w/])(?:[A-Z][a-z]+[A-Z][A-Za-z]*|[a-z]+-(?:pytorch|cpp|mlx|jax|cuda)\w*)(?![\w/])")
_CONTEXT_MODEL = re.compile(r"(?:[ -]token)?[ -]context(?: window)? (?:model )?")
# `Mistral's open-weight coding model`: the family's name is its maker's.
_MAKERS_MODEL = re.compile(r"['’‘]s? [^.;:]{0,60}?\bmodel\b")
_RIGHT_BEFORE = re.compile(r"\s(?:at|with|has)\s[~≈$]?|\s?[(:] ?[~≈$]?| ")
_LEADS = re.compile(
    r"\W*(?:(?:but|and|while|meanwhile),? )?(?!(?:this|that|both|the|its|our|their|today) )(?P<maker>[a-z]\w+)"
    r"(?: ai)?(?:['’]s (?:best |top |own )?(?:score|result|lead|price|offering)s?\b"
    r"| (?:still |now |also )?(?:leads|wins|dominates|trails|holds|owns|takes|tops|charges|follows|ranks|sits|comes"
    r"|scores|posts|beats|edges) )"
)
_RESUMED = re.compile(r"^[^,]{0,80}[, ] ?(?:this (?:model|release|one)|it|the model)\b")
# `than R1, which boasts 671 billion parameters (with 37 billion activated)`
_BOASTS = re.compile(
    r",? (?:which|that|with|at|having) (?:(?:has|boasts|counts|packs|uses|carries|contains) )?(?:~|about |roughly "
    r"|a total of )?"
    r"(?:\d[\w. -]{0,24}(?:parameters|params)?,? ?\((?:with |of which |and )?(?:only |just )?)?"
)
# `beats Tern 5, which has a 32K context`
_RELATIVE = re.compile(
    r",? (?:which|that|whose) (?!(?:makes?|means?|puts?|gives?|shows?|suggests?|is (?:why|how|what))\b)"
    r"(?:(?!\b(?:it|its|than)\b)[^,;:()])*"
)
_GOES_ON = re.compile(r" (?:and|but|while|it|they|the model) ")
_OWN = re.compile(r"['’]s?\s")
_STATED = re.compile(r"[^.;:]{0,20}\b(?:has|have|had|with|at|of|counts|packs|holds|carries|totals)\b[^.;:]{0,24}")
_VERSUS = re.compile(r"\b(?:versus|vs\.?|against|compared (?:to|with))\s$")
_CLOSING_NAME = re.compile(r"[^.;,]{0,60}(?:[—–:]| -|\()\s?[*_`\[]{0,3}")
_RESPECTIVELY = re.compile(r"\brespectively\b|\bbzw\b|\bjeweils\b")
_ADJECTIVES = frozenset(
    {"licence", "openness", "architecture", "modality", "file_formats", "parameters_total", "parameters_active"}
)
# What several models of one heading have in common.
_SHARED = _ADJECTIVES - {"parameters_total", "parameters_active"} | {
    "context_length",
    "release_date",
    "status",
    "base_model",
}
_ALL = re.compile(r"\b(?:both|each|all|these|they)\b")


class Owners:
    """Finds the owners of what one scene says; what the page was speaking of before is told by `carried`."""

    def __init__(self, scene: Scene, carried: Sequence[str], pair: Sequence[str] = ()) -> None:
        self._scene = scene
        self._carried = tuple(carried)
        self._pair = tuple(pair)
        self._objects = objects(scene)
        specific = any(mention.is_specific for mention in scene.mentions)
        self._names = [
            (number, mention) for number, mention in enumerate(scene.mentions) if mention.is_specific or not specific
        ]

    def of(self, found: Found) -> tuple[str, ...]:
        """The names, in full; none where it is said of nobody that the page names."""
        if found.subject:
            return (found.subject,)
        if found.field == "base_model":
            return self._of_base(found)
        before = self._names_before(found.start)
        is_named = found.field == "parameters_total" and any(m.start - found.end == 1 for _, m in self._names)
        # `There is also a 24B Devstral Small 2.`
        if not is_named and is_of_stranger(self._scene, found, before[-1][1] if before else None):
            return ()
        owners = self._meant(found)
        if len(owners) > 1 and owners == self._carried and not self._names and self._tells_one(found):
            return ()
        return tuple(name for name in owners if not self._is_misfit(found, name)) if owners else owners

    def _tells_one(self, found: Found) -> bool:
        """Whether a value is one model's own, so that below a heading of several it is nobody's that is known."""
        is_shared = found.field in _SHARED or not self._scene.is_fragment
        return not is_shared and _ALL.search(self._scene.words) is None

    def _is_misfit(self, found: Found, name: str) -> bool:
        """`Even our smallest 1.5B model`, after one named 7B: a name that tells another size, which does not stand
        right before the value."""
        scene = self._scene
        is_told = scene.label and not any(mention.name == name for mention in scene.mentions)
        if found.field != "parameters_total" or is_told or not isinstance(found.value, float):
            return False
        sizes = sizes_in(name)
        if not sizes or any(abs(size - found.value / 1e9) <= 0.12 * size for size in sizes):
            return False
        before = [mention for _, mention in self._names_before(found.start) if mention.name == name]
        if not before:
            return True
        gap = scene.low[before[-1].end : found.start]
        return APPOSED.fullmatch(gap) is None and _STATED.fullmatch(gap) is None

    def _meant(self, found: Found) -> tuple[str, ...]:
        scene = self._scene
        ordinal = _ORDINAL.search(scene.before(found.start, 70)) if " the " in f" {scene.words}" else None
        if ordinal is not None and (pair := self._two_before(found.start)):
            return (pair[0] if ordinal[1] == "former" else pair[1],)
        versus = self._versus(found)
        if versus is not None:
            return (versus.name,)
        sized = sized_behind(scene, found, self._carried)
        if sized is not None:
            return sized
        listed = listed_behind(scene, found)
        if listed:
            return listed
        bracketed = scene.in_brackets_behind(found.start)
        if bracketed is not None and (bracketed.is_specific or not self._names_before(found.start, specific=True)):
            return sharing(scene, bracketed)
        direct = self._possessor(found)
        if direct is not None:
            return (direct.name,)
        behind = self._behind(found)
        if behind is not None:
            return tuple(mention.name for mention in self._group_from(behind))
        group = self._meant_before(found)
        if group is not None:
            return tuple(mention.name for mention in group)
        if found.field in ("compression", "stars", "speed") and not self._names:
            # A technique has a ratio, a project its stars.
            named = _TECHNIQUE.findall(scene.text, scene.start, found.start)
            named = [name for name in named if name.lower() not in makers() and name not in ("GitHub", "HuggingFace")]
            if named:
                return (named[-1],)
        return self._without_one_before(found)

    def _meant_before(self, found: Found) -> list[Mention] | None:
        """The names before that are meant; none where it is the maker's, None where the owner stands elsewhere."""
        group = self._group_before(found.start)
        if group and found.field == "architecture" and found.start - group[-1].end == 1:
            # `Qwen3 30B, GLM-4.7-Flash MoE`
            group = group[-1:]
        if not group:
            return None
        if not self._yields(group, found):
            return group
        is_makers = group[-1].kind is Kind.FAMILY and found.field == "architecture"
        # `DeepSeek's recent flagships are MoE`: of none that is named.
        return [] if is_makers and not PRONOUN.search(self._scene.low, self._scene.start, found.start) else None

    def _yields(self, group: Sequence[Mention], found: Found) -> bool:
        """Whether a mere family's name is the maker's here: `Mistral trained it with 32K`, or too far to be meant."""
        if any(mention.is_specific for mention in group):
            return False
        if found.field in ("architecture", "modality", "openness") or found.start - group[-1].end > 60:
            return True
        if self._carried and _MAKERS_MODEL.match(self._scene.low, group[-1].end, found.start):
            return True
        return bool(self._carried) and ANAPHOR.search(self._scene.words) is not None

    def _two_before(self, at: int) -> tuple[str, ...]:
        """The two that `the former` and `the latter` mean."""
        named = tuple(dict.fromkeys(mention.name for mention in self._scene.mentions if mention.end <= at))
        return named[-2:] if len(named) > 1 else self._pair if len(self._pair) > 1 and not named else ()

    def _versus(self, found: Found) -> Mention | None:
        """`A beats B with 78.0 versus 51.5`: the second is of whom the first is compared with."""
        if not found.field.startswith("benchmark:") or not self._objects:
            return None
        if not _VERSUS.search(self._scene.before(found.start, 16)):
            return None
        before = [number for number in self._objects if self._scene.mentions[number].end <= found.start]
        return self._scene.mentions[max(before)] if before else None

    def _group_from(self, first: Mention) -> list[Mention]:
        """A name and those that are joined to it behind."""
        group = [first]
        for _, mention in self._names:
            if mention.start >= group[-1].end and JOIN.fullmatch(self._scene.low[group[-1].end : mention.start]):
                group.append(mention)
        return group

    def zipped(self, found: Sequence[Found]) -> dict[int, tuple[str, ...]]:
        """`A and B have 8B and 14B parameters, respectively`: the values in the names' order."""
        if len(found) < 2 or not _RESPECTIVELY.search(self._scene.words):
            return {}
        group = self._group_before(found[0].start)
        if len(group) != len(found):
            return {}
        return {number: (group[number].name,) for number in range(len(found))}

    def _names_before(self, at: int, *, specific: bool = False) -> list[tuple[int, Mention]]:
        return [(n, m) for n, m in self._names if m.end <= at and (m.is_specific or not specific)]

    def _possessor(self, found: Found) -> Mention | None:
        near = next((each for each in reversed(self._scene.mentions) if each.end <= found.start), None)
        if near is not None and found.field == "licence" and _OWN.fullmatch(self._scene.low[near.end : found.start]):
            # `Kimi's Modified MIT`
            return near
        before = self._names_before(found.start)
        if not before:
            return None
        mention = before[-1][1]
        gap = self._scene.text[mention.end : found.start]
        if mention.kind is Kind.FAMILY and found.field in ("architecture", "modality", "openness"):
            # `Mistral's first mixture-of-experts model`: the maker's.
            return None
        if len(gap) < 50 and gap[:1] in "'’‘" and _POSSESSED.fullmatch(gap):
            # `8 % of Tern 5's price and nearly twice the speed`
            return mention if before[-1][0] not in self._objects or not _GOES_ON.search(gap) else None
        if _THAT_ONE.search(self._scene.before(found.start, 44)):
            return mention
        is_object = before[-1][0] in self._objects
        if is_object and found.field.startswith("parameters") and _BOASTS.fullmatch(gap):
            return mention
        if is_object and _RELATIVE.fullmatch(gap):
            return mention
        if is_object and re.fullmatch(r"\s?(?:\(|at |@ ?|: ?|= ?|[–—-] ?|, (?:which|at) (?:\w+ )?)[~≈$]?", gap):
            return mention
        return None

    def _behind(self, found: Found) -> Mention | None:
        """`MIT-licensed GLM-5.1`, `88.7 for GPT-4o`."""
        before = self._names_before(found.start)
        if (
            before
            and before[-1][0] not in self._objects
            and _RIGHT_BEFORE.fullmatch(self._scene.low[before[-1][1].end : found.start])
        ):
            return None
        for _, mention in self._names:
            if mention.start < found.end:
                continue
            gap = self._scene.low[found.end : mention.start]
            if (found.field == "context_length" and _CONTEXT_MODEL.fullmatch(gap)) or (
                found.field in _ADJECTIVES
                and len(gap) < 50
                and (_DIRECT_BEHIND.fullmatch(gap) or _SUCH_AS.fullmatch(gap))
            ):
                return mention
            if found.field.startswith(
                (
                    "benchmark:",
                    "rank:",
                    "price",
                    "speed",
                    "downloads",
                    "stars",
                    "memory",
                    "context",
                    "file_f",
                    "licence",
                )
            ) and (len(gap) < 40 and _FOR.fullmatch(gap)):
                return mention
            return None
        return None

    def _group_before(self, at: int) -> list[Mention]:
        """The nearest names before a place that are joined to each other, without those that are compared with."""
        names = [(number, mention) for number, mention in self._names_before(at) if number not in self._objects]
        if not names:
            return []
        outside = [each for each in names if not self._is_aside(each[1], at)]
        # `reasoning (Magistral) and code (Devstral) into a single 119B model`: of whom the text speaks.
        names = outside if outside or self._carried else names
        if not names:
            return []
        group = [names[-1]]
        for each in reversed(names[:-1]):
            gap = self._scene.low[each[1].end : group[0][1].start]
            if each[0] != group[0][0] - 1 or not JOIN.fullmatch(gap):
                break
            group.insert(0, each)
        return [mention for _, mention in group]

    def _is_aside(self, mention: Mention, at: int) -> bool:
        """Whether a name stands in a bracket that is closed before a place."""
        low, start = self._scene.low, self._scene.start
        opening = low.rfind("(", start, mention.start)
        if opening < 0 or low.find(")", opening, mention.start) >= 0:
            return False
        return low.find(")", mention.end, at) >= 0

    def _without_one_before(self, found: Found) -> tuple[str, ...]:
        """Whom the text speaks of, where the sentence has an anaphor or is a fragment; else the name that follows."""
        scene = self._scene
        if not scene.mentions and (leads := _LEADS.match(scene.words)) and leads["maker"] in makers():
            # `OpenAI leads coding with 77%`, after a sentence on somebody else's model.
            return ()
        # A repository behind is the place where it lies.
        following = [
            m
            for number, m in self._names
            if m.start >= found.end
            and number not in self._objects
            and not (self._carried and m.kind is Kind.REPOSITORY)
        ]
        opens = re.match(
            r"\s*(?:at|with|weighing in at|boasting|featuring|packing|despite|under|released|licensed|trained"
            r"|scoring|built|mit|from|bei|mit)\b",
            scene.words,
        )
        if opens and self._carried and _RESUMED.search(scene.words):
            # `Released under Apache 2.0, this model arrives ...`
            return self._carried
        if following and not opens:
            gap = scene.low[found.end : following[0].start]
            behind = scene.low[following[0].end : scene.end].strip(" *_`])")
            if scene.is_fragment and not behind and _CLOSING_NAME.fullmatch(gap):
                # `51.0 on HLE (with tools) — Kimi K2 Thinking`
                return (following[0].name,)
            if self._carried and (scene.is_fragment or PRONOUN.search(scene.low, scene.start, found.start)):
                return self._carried
            if is_bracketed(scene, found.start) and ")" in gap:
                following = []
            elif scene.is_fragment and gap.count("(") > gap.count(")"):
                # `31B dense ties with others (Kimi K2.5 at 744B)`
                following = []
        if following and (opens or not self._carried or following[0].is_specific):
            until = scene.low[found.end : following[0].start]
            if opens or len(until) < 90:
                return (following[0].name,)
        is_general = not scene.is_fragment and GENERAL.match(scene.words) is not None
        if (
            not self._carried
            or (is_general and not scene.mentions)
            or (found.needs_name and not (scene.is_fragment or ANAPHOR.search(scene.words)))
        ):
            return ()
        if scene.is_fragment or ANAPHOR.search(scene.words):
            return self._carried
        has_own = any(
            m.is_specific and m.kind is not Kind.REPOSITORY and number not in self._objects
            for number, m in enumerate(scene.mentions)
        )
        return () if has_own or found.needs_name else self._carried

    def _of_base(self, found: Found) -> tuple[str, ...]:
        before = [m for _, m in self._names_before(found.start) if m.name != found.value]
        if before:
            return (before[0].name,)
        following = [m for _, m in self._names if m.start >= found.end and m.name != found.value]
        if self._scene.label and self._carried:
            return self._carried
        return (following[0].name,) if following else tuple(name for name in self._carried if name != found.value)
