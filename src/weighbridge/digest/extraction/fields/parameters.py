"""How many parameters a model has, and how many of them one token uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Quantity, Unit
from ..scene import Found, Scene
from ..words import size_in

NEEDS_NUMBER = True
STEMS = ""
_NOUN = r"[\s-]*(?:trainable |learnable |model |non-embedding )?(?:params?|parameters?|parametern|weights)\b"
_AFTER_ACTIVE = re.compile(
    rf"(?:{_NOUN})?[\s,-]*(?:\(?|(?:that |which )?(?:are |is |being )?)(?:only )?\(?"
    r"(?:actively (?:used|utili[sz]ed|engaged)|respond|active|activated"
    rf"|aktiv\w*)\b(?! (?:user|research|develop|commun))"
)
# `of which 9B are used for any given token`, `3 billion do work for each token`.
_AFTER_USED = re.compile(
    rf"(?:{_NOUN})?[^.;:(]{{0,40}}?\b(?:activ\w+|engaged|used|in use|fire|firing|work|run|running|involved"
    rf"|touched|needed)?\s?"
    r"(?:per|for (?:each|any|every)(?: given| single)?|on (?:each|any|every)(?: given)?|at a) (?:forward pass"
    r"|token|time)\b"
)
_OF_WHICH = re.compile(
    rf"(?:{_NOUN})?[\s,]*(?:of (?:which|them|those|whom))[\s,]*(?:only |just )?(?:are |is )?(?:only |just "
    rf")?(?:active|activated|engaged|used)\b"
)
_AFTER_TOTAL = re.compile(rf"(?:{_NOUN})?[\s-]*(?:in |\(|of )?(?:total|overall|altogether|insgesamt|gesamt\w*)\b")
_AFTER_NOUN = re.compile(_NOUN)
_BEFORE_ACTIVE = re.compile(
    r"(?:\b(?:active|activated|activates?|activating|aktive\w*)(?:[ -](?:params?|parameters?|count|only|just|of"
    r"|is|are|at|set|size"
    r"|weights|about|roughly|around|some|nearly|merely|parameter)){0,4}[\s:=(*|~≈]{0,4}"
    r"|\bactivat(?:es|ing) [^.;()]{3,60}\([~≈]?"
    r"|\b(?:routes?|sends?|runs?|passes) (?:each|every|any|a) token through (?:only |just |about )?|\bonly "
    r"uses |\buses only )$"
)
_BEFORE_TOTAL = re.compile(
    r"\b(?:total|overall|gesamt\w*)(?:[ -](?:params?|parameters?|count|size|of|is|are|number"
    r"|parameter)){0,4}[\s:=(*|~≈]{0,4}$"
)
_BEFORE_NOUN = re.compile(
    r"\b(?:params?|parameters?|parameter count|model size|parametern?)(?: count| total| size)?(?: of| is| are"
    r"|\s?[:=(])?[\s*|~≈]{0,4}$"
)
_OTHER = re.compile(
    r"[\s-]*(?:\+)?\s?(?:param(?:eter)?s? (?:range|tier|class|level)\b|params?(?:/| per (?:block|layer|expert))|"
    r"tokens?|downloads?|stars?|likes|users?|class\b|level\b|tier|range\b|context|people"
    r"|developers|views|images?|pairs|"
    r"samples|documents|hours|gpu|requests|usd|dollars|valuation|threshold|requests|examples|conversations"
    r"|monthly|lines|"
    r"devices|repos|variants|fund|round|budget|revenue|-?style|bits?\b)"
)
# `a 400M-parameter vision encoder`
_PART = re.compile(
    r"[\s-]*(?:parameters?|params?)?\)?[\s-]*(?:(?:vision|audio|text|image|video|visual|draft|mtp|speech) )?"
    r"(?:encoder|projector|adapter|draft(?:er)?|head|tower|module|tokenizer|embedding table)\b"
)
# `a frozen vision tower (400M parameters)`
_PART_BEFORE = re.compile(
    r"\b(?:vit|encoder|projector|adapter|tower|module|drafter|draft model|head|backbone|tokenizer|siglip\w*|clip) \(~?$"
)
_THING = re.compile(
    r"[\s-]*(?:\+)?\s?(?:(?:open|research|open-weights?|dense|sparse|moe|mixture|reasoning|language|multimodal|vision"
    r"|instruct|base|flagship|code|coding|"
    r"vlm|llm|hybrid|parameter|model|chat|total|sparse|transformer|specialist|decoder|checkpoints?|variant"
    r"|version|vision-language)\b)"
)
_GENERIC_BEFORE = re.compile(
    r"\b(?:any|many|most|some|every|typical|than|like|handle|comparable to|versus|vs\.?|of|other|another"
    r"|compared to|compared with|"
    r"dense models? in|class of|between|running|run|against|models?|under|below|above|over|to)"
    r" (?:(?:a|an|the|dense|larger|smaller|much|other|many|typical|comparable|old|standard|full|bigger) ){0,3}$"
)
_LABEL = re.compile(
    r"\b(?:params?|parameters?|sizes?|model size|total|active|activated|parameter count|weights|# ?params"
    r"|parametern?)\b"
)
_NAMED_LABEL = re.compile(r"\bparam(?:eter)?s?\b")
_LABEL_ACTIVE = re.compile(r"\b(?:active|activated|aktiv\w*)\b")
_PAIR = re.compile(r"\s?(?:/|-a(?=\d)|\||(?:,? )?with |\s?\+\s?)\s?$")
# Each begins with a letter, so that all other text is skipped at once.
_ACTIVE_WORD = re.compile(r"a(?<![\w.]a)(\d{1,4}(?:\.\d{1,3})?)b(?!\w)")
_EXPERT_PRODUCT = re.compile(r"(?<![\w.])(\d{1,4}(?:\.\d{1,2})?)bx(\d{1,4})e(?!\w)")
_ACTIVATES = re.compile(r"\bactivat(?:es|ing)\b")
_OUT_OF = re.compile(r"\b(?:out )?of (?:its |the |a total of |about )?$")
_BRACKET_OF = re.compile(r"\b(?P<role>total|active|activated) (?:parameters?|params) ?$")
_ONLY_SIZES = re.compile(r"\d{1,4}(?:\.\d{1,2})?b(?:(?:, (?:and )?| and | / |/)\d{1,4}(?:\.\d{1,2})?b)+")
_SIZES_BEHIND = re.compile(r"[\s-]*(?:sizes|variants|versions|flavou?rs|checkpoints)\b")
_SIZES_BEFORE = re.compile(
    r"\b(?:comes?|available|ships?|shipped|released|offered|arrives?|sold) (?:in|as|at) (?:two |three |four "
    r"|five )?(?:sizes:? )?$"
    r"|\b(?:sizes|variants|versions):? (?:of |are )?$"
)
# `They scaled the design to a trillion parameters`: of a model that is not named yet.
_SCALED = re.compile(r"\bscal(?:ed|es|ing) (?:\w+ ){1,4}(?:up )?to (?:over |about |more than )?$")
_NEXT = re.compile(r"(?: \([^()]{1,40}\))?\s?(?:,|,?\s?(?:and|or|und)|/|&)\s?(?:an? |the )?")
_LIST_BEFORE = re.compile(
    r"\b(?:models?|llms?|releas(?:e|es|ed)|available|comes?|coming|ships?|shipped|variants|versions|offered"
    r"|checkpoints)"
    r"(?: (?:both|only|now|out|sizes|of|two|three|four|five|several))* (?:in|with|at|as) (?:an? |both )?$"
    r"|\b(?:sizes?|variants|versions|flavou?rs)(?: \w+)? ?(?:[:(—–-]|of|are) ?$"
)
_LIST_BEHIND = re.compile(r"[\s-]*(?:parameter |model )?(?:sizes?|variants|versions|flavou?rs|checkpoints)\b")
_SPAN = re.compile(
    r"\b(?:(?:rang(?:es?|ing)|available|comes?|coming|released|sizes?|models|variants|scal(?:es?|ing)|weights)"
    r"(?: \w+){0,3}? (?:from|between)|spans?|spanning|sizes?:?) (?:just |a tiny )?$"
)
# `8 experts of 22 billion parameters each`
_EACH = re.compile(r"\bexperts?[\"”']? (?:of|at) $")
_AND = re.compile(r"\s?(?:,|,?\s?(?:and|or|und)|/)\s?")
_NO_EMBEDDING = re.compile(r"\bnon-?emb|\b(?:without|excluding|excl\.?|w/o) (?:the )?(?:token )?embed")
_NO_LABEL = re.compile(
    r"\b(?:tokens?|context|disk|vram|memory|ram|layers|hidden|vocab\w*|download|file|training data)\b"
)


def find(scene: Scene) -> Iterator[Found]:
    """`parameters_total` and `parameters_active`."""
    yield from _shorthand(scene)
    yield from _named(scene)
    for each, role in _roles(scene):
        if role is None or scene.is_negated(each.start):
            continue
        qualifiers = [each.bound] if each.bound else []
        if each.low is not None:
            qualifiers.append(f"from {each.low / 1e9:g}B")
        if _NO_EMBEDDING.search(scene.label) or _NO_EMBEDDING.search(scene.after(each.end, 40)):
            qualifiers.append("without embedding")
        yield Found(role, each.value, each.start, each.end, "parameters", tuple(qualifiers))
        if each.low is not None and role == "parameters_total" and _SPAN.search(scene.before(each.start, 40)):
            # `in sizes from 7B to 65B`: the smallest is one too.
            yield Found(role, each.low, each.start, each.end, "parameters", (f"to {each.value / 1e9:g}B",))


def _roles(scene: Scene) -> list[tuple[Quantity, str | None]]:
    """Each quantity with what it counts here; `8.4B and 14.1B parameters` counts parameters twice."""
    found: list[tuple[Quantity, str | None]] = []
    for number, each in enumerate(scene.quantities):
        previous = scene.quantities[number - 1] if number else None
        following = scene.quantities[number + 1] if number + 1 < len(scene.quantities) else None
        found.append((each, _role(scene, each, previous, following)))
    for number in range(1, len(found)):
        (before, role_before), (each, role) = found[number - 1], found[number]
        is_greater = (
            role in (None, "parameters_active")
            and role_before == "parameters_active"
            and _is_count(each)
            and each.value > before.value
        )
        is_part = role_before is None and _is_count(before) and each.value > before.value
        is_part = is_part and _OUT_OF.search(scene.low[before.end : each.start]) is not None
        if is_part and role == "parameters_total" and _ACTIVATES.search(scene.low, scene.start, before.start):
            # `activates 8 experts, 32B of its 1T parameters`
            found[number - 1] = (before, "parameters_active")
        if is_part and role == "parameters_active":
            # `3B of 30B parameters active`
            found[number - 1], found[number] = (before, "parameters_active"), (each, "parameters_total")
        if is_greater and _OUT_OF.search(scene.low[before.end : each.start]):
            found[number] = (each, "parameters_total")
    for number in range(len(found) - 2, -1, -1):
        (each, role), (following, role_behind) = found[number], found[number + 1]
        if role is None and role_behind and _is_count(each) and _AND.fullmatch(scene.low[each.end : following.start]):
            found[number] = (each, role_behind)
    _listed(scene, found)
    return found


def _listed(scene: Scene, found: list[tuple[Quantity, str | None]]) -> None:
    """`released in 7B, 13B and 70B`, `8B and 70B variants`: each of a list of sizes counts."""
    first = 0
    while first < len(found):
        last = first
        while last + 1 < len(found) and _is_next(scene, found[last][0], found[last + 1][0]):
            last += 1
        each, end = found[first][0], found[last][0]
        if last > first and (
            _LIST_BEFORE.search(scene.before(each.start, 60)) or _LIST_BEHIND.match(scene.after(end.end, 24))
        ):
            for number in range(first, last + 1):
                found[number] = (found[number][0], found[number][1] or "parameters_total")
        first = last + 1


def _is_next(scene: Scene, one: Quantity, other: Quantity) -> bool:
    is_size = all(_is_count(each) and each.magnitude in ("m", "b", "t") for each in (one, other))
    return is_size and _NEXT.fullmatch(scene.low[one.end : other.start]) is not None


def _shorthand(scene: Scene) -> Iterator[Found]:
    """`A37B` and `17Bx16E`, where they stand outside of a name."""
    words = scene.words
    for match in _ACTIVE_WORD.finditer(words):
        start, end = scene.start + match.start(), scene.start + match.end()
        if not any(mention.start <= start < mention.end for mention in scene.mentions):
            yield Found("parameters_active", float(match[1]) * 1e9, start, end, "parameters")
    for match in _EXPERT_PRODUCT.finditer(words) if "bx" in words else ():
        start, end = scene.start + match.start(), scene.start + match.end()
        yield Found("parameters_active", float(match[1]) * 1e9, start, end, "parameters")
        yield Found("experts", float(match[2]), start, end, "experts")


def _named(scene: Scene) -> Iterator[Found]:
    """`Tern3-32B, 14B, 8B` under `Parameter scale`: the sizes that names tell, where these are what is told."""
    if not scene.label or not _NAMED_LABEL.search(scene.label):
        return
    for mention in scene.mentions:
        size = size_in(mention.name)
        if size and not re.match(r"\s?[(:]", scene.text[mention.end : mention.end + 2]):
            yield Found("parameters_total", size * 1e9, mention.start, mention.end, "parameters", (), mention.name)


# `8×7B`: neither factor is a count.
_PRODUCT = re.compile(r"\d ?[x×] ?$")


def _is_count(each: Quantity) -> bool:
    return each.unit is Unit.NONE and (each.magnitude in ("m", "b", "t") or each.value >= 1e6) and each.value >= 1e5


def _role(scene: Scene, each: Quantity, previous: Quantity | None, following: Quantity | None) -> str | None:
    if not _is_count(each) or _is_part_of_name(scene, each) or _PRODUCT.search(scene.before(each.start, 4)):
        return None
    after = scene.after(each.end, 44)
    if following is not None:
        after = after[: max(0, following.start - each.end)]
    if (
        _OTHER.match(after)
        or _PART.match(after)
        or _PART_BEFORE.search(scene.before(each.start, 30))
        or _SCALED.search(scene.before(each.start, 50))
        or _EACH.search(scene.before(each.start, 24))
    ):
        return None
    before = scene.before(each.start, 44)
    if previous is not None:
        before = before[-max(0, each.start - previous.end) :] if each.start > previous.end else ""
    told = _told_role(before, after) or _told_by_bracket(scene, each)
    if told is not None:
        return None if _is_generic(scene, each, after) else told
    paired = _paired(scene, each, previous, following)
    if paired is not None:
        return paired
    if scene.label and _LABEL.search(scene.label) and not _NO_LABEL.search(scene.label):
        return "parameters_active" if _LABEL_ACTIVE.search(scene.label) else "parameters_total"
    return _plain(scene, each, before, after)


def _is_part_of_name(scene: Scene, each: Quantity) -> bool:
    """`Coder-30B`: the end of a name that the page gives in short."""
    head = scene.text[max(scene.start, each.number_start - 3) : each.number_start]
    return len(head) == 3 and head[2] in "-_" and head[:2].isalnum() and not head[1].isdigit()


def _told_role(before: str, after: str) -> str | None:
    """What the words beside the number say outright."""
    if _AFTER_ACTIVE.match(after) or _AFTER_USED.match(after) or _OF_WHICH.match(after):
        return "parameters_active"
    if _AFTER_TOTAL.match(after):
        return "parameters_total"
    if _BEFORE_ACTIVE.search(before):
        return "parameters_active"
    if _BEFORE_TOTAL.search(before):
        return "parameters_total"
    return None


def _told_by_bracket(scene: Scene, each: Quantity) -> str | None:
    """`active parameters (e.g. DeepSeek V3 at 37 billion, Kimi K2 at 32 billion)`"""
    opening = scene.text.rfind("(", max(scene.start, each.start - 160), each.start)
    if opening < 0 or scene.text.find(")", opening, each.start) >= 0:
        return None
    told = _BRACKET_OF.search(scene.before(opening, 24))
    if told is None or not re.search(r"(?:\bat|\bwith|:) $", scene.before(each.start, 6)):
        return None
    return "parameters_active" if told["role"].startswith("activ") else "parameters_total"


def _paired(scene: Scene, each: Quantity, previous: Quantity | None, following: Quantity | None) -> str | None:
    """`671B/37B` is total and active; the greater comes first, and under a header that names both, the first."""
    if "total" in scene.label and "activ" in scene.label and len(scene.quantities) == 2:
        first, second = scene.quantities
        if scene.low[first.end : second.start].strip() in ("/", "|", ","):
            return "parameters_total" if each is first else "parameters_active"
    if following is not None and _is_count(following) and following.value < each.value / 1.5:
        gap = scene.low[each.end : following.start]
        if _PAIR.fullmatch(gap) and not _OTHER.match(scene.after(following.end, 20)):
            return "parameters_total"
    if previous is not None and _is_count(previous) and each.value < previous.value / 1.5:
        gap = scene.low[previous.end : each.start]
        if _PAIR.fullmatch(gap):
            return "parameters_active"
    return None


def _is_generic(scene: Scene, each: Quantity, after: str) -> bool:
    """Whether it is said of models in general: `models under 10B parameters`, `than a dense 200B model`."""
    before = scene.before(each.number_start, 40)
    if each.bound == "at least" and re.search(r"\b(?:models|systems|llms) \($", before):
        # `for large models (70B+ parameters)`
        return True
    if re.search(
        r"\b(?:models?|systems|llms) (?:under|below|above|over|with (?:under|over|more than|less than|fewer "
        r"than)) (?:~ ?)?$",
        before,
    ):
        return True
    if re.match(r"\+?[\s-]*(?:parameters? |params? )?(?:[\w-]+ ){0,2}(?:models|llms)\b", after) and not re.search(
        r"\b(?:are|is|of|two|three|four|both|released|releases|launched|these|and)(?: an?)? (?:~ ?)?$|[(,:–—/]\s?$",
        before,
    ):
        return True
    return bool(_GENERIC_BEFORE.search(before)) and bool(
        re.match(
            r"[\s-]*\+?\s?(?:parameters? |params? )?(?:models?|range|tier|class|dense|llms?|threshold|variants"
            r"|mark)\b",
            after,
        )
    )


def _is_own_piece(scene: Scene, each: Quantity) -> bool:
    """`8B and 70B`, alone between the bars or the ends of a list item, and `400B (Maverick)`."""
    if any(scene.text[each.end : mention.start] == " (" for mention in scene.mentions):
        return True
    start = max(scene.low.rfind(sign, scene.start, each.start) for sign in ";·|")
    ends = [at for at in (scene.low.find(sign, each.end, scene.end) for sign in ";·|") if at >= 0]
    piece = scene.low[max(start + 1, scene.start) : min([*ends, scene.end])].strip(" .")
    return len(piece) < 40 and _ONLY_SIZES.fullmatch(piece) is not None


def _plain(scene: Scene, each: Quantity, before: str, after: str) -> str | None:
    if each.magnitude == "m" and each.value < 1e7 and not _AFTER_NOUN.match(after):
        return None
    if _is_generic(scene, each, after):
        return None
    if _AFTER_NOUN.match(after) or _BEFORE_NOUN.search(before):
        return "parameters_total"
    if each.magnitude not in ("b", "t") or _NO_LABEL.search(scene.label):
        return None
    if _THING.match(after) or (each.low is not None and _SPAN.search(before)):
        return "parameters_total"
    # `also a 24B Devstral Small 2`
    is_before_name = any(mention.start - each.end == 1 for mention in scene.mentions)
    if (
        is_before_name
        or scene.in_brackets_behind(each.start) is not None
        or _SIZES_BEHIND.match(after)
        or _SIZES_BEFORE.search(before)
    ):
        return "parameters_total"
    if re.match(r"-a\d", after) or re.search(r"(?:['’]s|\bthe|\bthis|\bour|\bits) (?:dense|sparse|moe) $", before):
        return "parameters_total"
    if re.search(
        r"\b(?:it|model|one|which|that|[\w.-]*\d[\w.-]*)(?: only| really| actually)? (?:is|was|has|weighs(?: in "
        r"at)?|packs|at|with|counts)(?: just| only)? $",
        before,
    ):
        return "parameters_total"
    if scene.is_fragment and each.magnitude == "b" and _is_own_piece(scene, each):
        return "parameters_total"
    if scene.is_fragment and not before.strip() and re.match(r"\s*(?:[/,·|;]|$)", after):
        return "parameters_total"
    if re.search(r"[:=–—|]\s{0,2}\**$", before) and len(before) < 40 and scene.is_fragment:
        return "parameters_total"
    return None
