"""How many tokens a model reads at once, and how many it was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = ""
_WORDS = r"(?:contexts?|ctx|kontext\w*|sequence length|input window|input length)"
_HINT = re.compile("context|ctx|kontext|token|window|length")
_AFTER = re.compile(
    rf"[\s-]*\+?(?:-?tokens?|tok)?(?:[\s-]+(?:of|long|native|maximum|max|effective|default|full|input|extended"
    rf"|total|usable))*[\s-]*{_WORDS}\b"
)
_BEFORE = re.compile(
    rf"\b{_WORDS}(?:[\s-](?:windows?|length|size|limit|support|capacity|lengths))?(?:[\s-](?:of|is|to|up|at"
    rf"|from|has|now|supports|extends|extended|reaches|"
    r"grows|was|stays|remains|umfasst|beträgt|increased|reaching|spans|spanning|goes|stretches|handling|stands"
    r"|by|expanded|for|the|max"
    r"|maximum|about|roughly|with|natively|only))*[\s:=(*|~≈]{0,4}$"
)
_VERB = re.compile(
    r"\b(?:up to|handles?|processes|reads?|accepts?|supports?|ingests?|inputs? (?:of )?up to|prompts of"
    r"|prompts up to) (?:up to )?$"
)
_TOKENS = re.compile(
    r"[\s-]*\+?\s?(?:high-quality |multilingual |training |diverse |text |curated |multimodal )*tokens?\b"
)
_TRAINED = re.compile(r"\b(?:train(?:ed|ing)?|pre-?train(?:ed|ing)?|corpus|dataset|trainiert)\b")
_LABEL = re.compile(rf"\b(?:{_WORDS}|max(?:imum)? tokens|window|max len\w*)\b")
_LABEL_TRAINED = re.compile(
    r"\b(?:training tokens|token count|pre-?training data|tokens trained|trained tokens|training data)\b"
)
_CONDITION = re.compile(
    r"\b(?:at|-c|quantization up to|tested (?:at|up to)|measured at|evaluated (?:at|up to)) (?:~|a )?$"
)


def find(scene: Scene) -> Iterator[Found]:
    """`context_length` and `training_tokens`."""
    if not _HINT.search(scene.words) and not scene.label:
        return
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
        return "training_tokens" if trained else None
    if each.value > 2e8 or (each.value < 1000 and not each.magnitude):
        return None
    is_condition = _CONDITION.search(scene.before(each.number_start, 60))
    if _AFTER.match(after):
        return None if is_condition else "context_length"
    if _BEFORE.search(before):
        return "context_length"
    if re.search(r"\bmax(?:imum)?(?: of)? $", before) and re.search(rf"\b{_WORDS}\b", scene.words):
        return "context_length"
    if re.search(r"\b(?:up|down) from $", before) and re.search(rf"\b{_WORDS}\b", scene.words):
        return "context_length"
    if re.match(r"[\s-]*(?:tokens? )?windows?\b", after):
        return "context_length"
    if (
        _TOKENS.match(after)
        and _VERB.search(before)
        and not re.search(r"\b(?:output|generat|respon|per second|a day)\w*", scene.words)
    ):
        return "context_length"
    if scene.label and _LABEL.search(scene.label) and not re.search(r"\b(?:output|training|generation)\b", scene.label):
        return "context_length"
    return None


def _kinds(scene: Scene, each: Quantity) -> list[str]:
    near = scene.before(each.start, 40) + scene.after(each.end, 50)
    return [word for word in ("native", "extended", "effective", "yarn", "output") if word in near]
