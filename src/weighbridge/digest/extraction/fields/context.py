"""How many tokens a model reads at once, and how many it was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = False
STEMS = "context ctx kontext token window length · • |"
_WORDS = r"(?:contexts?|ctx|kontext\w*|sequence length|input window|input length)"
_HINT = re.compile("context|ctx|kontext|token|window|length")
_AFTER = re.compile(
    rf"[\s-]*\+?(?:-?tokens?|tok)?(?:[\s-]+(?:of|long|native|maximum|max|effective|default|full|input|extended"
    rf"|total|usable))*[\s-]*{_WORDS}\b"
)
_BEFORE = re.compile(
    rf"\b{_WORDS}(?:[\s-](?:windows?|length|size|limit|support|capacity|lengths))?(?:[\s-](?:of|is|to|up|at"
    rf"|from|has|now|supports|extends|extended|expands|widens|increases|reaches|"
    r"grows|was|stays|remains|umfasst|beträgt|increased|reaching|spans|spanning|goes|stretches|handling|stands"
    r"|by|expanded|doubled|doubles|grew|jumps|jumped|raised|bumped|rises|for|the|max"
    r"|maximum|about|roughly|with|natively|only))*[\s:=(*|~≈]{0,4}$"
)
_VERB = re.compile(
    r"\b(?:up to|handles?|processes|reads?|accepts?|supports?|ingests?|inputs? (?:of )?up to|prompts of"
    r"|prompts up to) (?:up to )?$"
)
_TOKENS = re.compile(
    r"[\s-]*\+?\s?(?:high-quality |multilingual |training |diverse |text |curated |multimodal |mixed "
    r"|visual |vision |and )*tokens?\b"
)
_TRAINED = re.compile(r"\b(?:train(?:ed|ing)?|pre-?train(?:ed|ing)?|corpus|dataset|trainiert)\b")
_LABEL = re.compile(rf"\b(?:{_WORDS}|max(?:imum)? tokens|window|max len\w*)\b")
_LABEL_TRAINED = re.compile(
    r"\b(?:training tokens|token count|pre-?training data|tokens trained|trained tokens|training data)\b"
)
_OLD = re.compile(r"\b(?:up|down) from (?:the )?$")
_MOST_TO_OWNER = 40
_GROWN = re.compile(rf"\b{_WORDS}\b[^;]{{0,60}}\bfrom [^;]{{0,44}}$")
_BARS = ("", "·", "|", "/", "•")
_LONG = (1e6, 2e6, 4e6, 5e6, 10e6)
_FACTS = re.compile(r"[·|•].*(?:\d[bt]\b|apache|\bmit\b|weights)|(?:\d[bt]\b|apache|\bmit\b|weights).*[·|•]")
_CONDITION = re.compile(
    r"\b(?:at|-c|quantization up to|tested (?:at|up to)|measured at|evaluated (?:at|up to)|exceeding|beyond|longer than"
    r"|(?:loaded|served|serves|running|run|capped|limited|truncated) (?:at|with|to)) (?:~|a )?$"
)
# `with million-token context`: a million that is not counted.
_MILLION = re.compile(
    r"(?<![\w.,-] )(?<![\w-])million[- ]token (?:context|window)|\b(?:with|its|the|full) million[- ]token context"
)
# `we controlled the maximum sequence length to 8k`
_SET = re.compile(
    r"\bwe (?:\w+ )?(?:controll?ed|set|fix(?:ed)?|limit(?:ed)?|cap(?:ped)?|truncated?|kept|keep|used?) [^.;]{0,50}$"
)
_MAXIMUM = re.compile(r"\b(?:context|window|length|up to|max\w*|native(?:ly)?)\b[^.;]{0,12}$")
# `--context-length 65536`: a setting of a program.
_FLAG = re.compile(r"(?:^|[\s`(])--?[a-z][\w-]*[ =]$|\b[A-Z_a-z]+_[a-z_]+=$")
# `4K context: 70 tok/s`, `performance (35B, 32K context)`: a condition of what was measured.
_MEASURED_BEHIND = re.compile(r"\W{1,4}\d[\d.,]*\s?(?:tok|t/s|ms|s\b|gb|gib)")


def find(scene: Scene) -> Iterator[Found]:
    """`context_length` and `training_tokens`."""
    if not _HINT.search(scene.words) and not scene.label and not (scene.is_fragment and _FACTS.search(scene.words)):
        return
    for match in _MILLION.finditer(scene.low, scene.start, scene.end):
        yield Found("context_length", 1e6, match.start(), match.end(), "tokens")
    for number, each in enumerate(scene.quantities):
        if each.unit is not Unit.NONE or each.value < 500 or scene.is_negated(each.start):
            continue
        following = scene.quantities[number + 1] if number + 1 < len(scene.quantities) else None
        field = _field(scene, each, following)
        if field is not None:
            qualifiers = [each.bound] if each.bound and field != "context_length" else []
            if each.low is not None:
                qualifiers.append(f"from {each.low:g}")
            qualifiers += _kinds(scene, each) if field == "context_length" else []
            yield Found(field, each.value, each.start, each.end, "tokens", tuple(qualifiers))


def _field(scene: Scene, each: Quantity, following: Quantity | None) -> str | None:
    after = scene.after(each.end, 50)
    if following is not None:
        after = after[: max(0, following.start - each.end)]
    before = scene.before(each.start, 60)
    if _LABEL_TRAINED.search(scene.label) and each.value >= 1e8:
        return "training_tokens"
    if each.value >= 1e8 and _TOKENS.match(after) and not _AFTER.match(after):
        trained = bool(_TRAINED.search(scene.before(each.start, 90)) or _TRAINED.search(scene.after(each.end, 60)))
        # Nothing else is counted in trillions of tokens, but what is served.
        trained = trained or (
            each.value >= 5e11
            and not re.search(r"\b(?:a|per) (?:day|week|month)|serv|process|generat|route", scene.words)
        )
        is_offered = re.search(r"\b(?:is|are) (?:\w+ )?available\b", scene.after(each.end, 70))
        return "training_tokens" if trained and not is_offered else None
    if each.value > 2e8 or (each.value < 1000 and not each.magnitude):
        return None
    if scene.is_measured or _FLAG.search(before):
        return None
    if (
        each.low is None
        and _OLD.search(before)
        and not any(each.end <= m.start < each.end + _MOST_TO_OWNER for m in scene.mentions)
    ):
        # `200K (up from 128K)`: what it was before, and nobody is named whose it is.
        return None
    is_condition = _SET.search(before) or _CONDITION.search(scene.before(each.number_start, 60))
    told = _AFTER.match(after)
    if told:
        return (
            None if is_condition or _MEASURED_BEHIND.match(scene.after(each.end, 80), told.end()) else "context_length"
        )
    if is_condition and (not _MAXIMUM.search(before) or _SET.search(before)):
        return None
    if is_condition and not _MAXIMUM.search(before):
        return None
    return "context_length" if _is_length(scene, each, before, after) else None


def _is_length(scene: Scene, each: Quantity, before: str, after: str) -> bool:
    """Whether the words around a number, or its label, say that it is a context's length."""
    if _BEFORE.search(before):
        return True
    if re.search(r"\bmax(?:imum)?(?: of)? $", before) and re.search(rf"\b{_WORDS}\b", scene.words):
        return True
    if re.search(r"\d[km]?(?: tokens)?(?: (?:in|of|for|with) [\w. -]{2,24})? (?:to|→|->) $", before) and _GROWN.search(
        scene.before(each.start, 90)
    ):
        return True
    if scene.is_fragment and _is_piece(scene, each):
        return True
    if re.search(r"\b(?:up|down) from $", before) and re.search(rf"\b{_WORDS}\b", scene.words):
        return True
    if re.match(r"[\s-]*(?:tokens? )?windows?\b", after):
        return True
    if (
        _TOKENS.match(after)
        and _VERB.search(before)
        and not re.search(r"\b(?:output|generat|respon|per second|a day)\w*", scene.words)
    ):
        return True
    return bool(_LABEL.search(scene.label)) and not re.search(r"\b(?:output|training|generation)\b", scene.label)


def _is_piece(scene: Scene, each: Quantity) -> bool:
    """`355B-A32B · 128K · MIT`: in a row of facts, a number of thousands that nothing else stands beside."""
    is_length = (each.magnitude == "k" and 2e3 <= each.value <= 2e6) or (each.magnitude == "m" and each.value in _LONG)
    beside = scene.before(each.start, 3).rstrip(" *_")[-1:], scene.after(each.end, 3).lstrip(" *_")[:1]
    return (
        is_length
        and beside[0] in _BARS
        and beside[1] in _BARS
        and any(beside)
        and _FACTS.search(scene.words) is not None
        and each.low is None
    )


def _kinds(scene: Scene, each: Quantity) -> list[str]:
    near = scene.before(each.start, 40) + scene.after(each.end, 50)
    return [word for word in ("native", "extended", "effective", "yarn", "output") if word in near]
