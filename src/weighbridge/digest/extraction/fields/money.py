"""Prices for a million tokens, and what a training run cost."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = ""
_PER = re.compile(
    r"\s?(?:(?P<side>input|output|in|out|prompt|completion)\s?)?(?:/|per|pro|for (?:each|every)|a)\s?(?:1\s?)?"
    r"(?P<per>m\b|million|mtok\w*|1m\b|mio\.?|k\b|1k\b|thousand|1,?000\b|token\b)(?:[\s-]*(?:tokens?|tok))?"
)
_INPUT = re.compile(r"\b(?:input|in|prompts?|eingabe\w*)\b")
_OUTPUT = re.compile(r"\b(?:output|out|completions?|generated|generation|ausgabe\w*)\b")
_BESIDE = re.compile(
    r"\b(?:input|output|in|out|prompts?|completions?|generated|generation)(?: tokens?)?(?: prices?| costs?| "
    r"stays| is| are| was| at| from| to| now| remains?| lowered| raised|\s?[:=–—]|\s)*\s?$"
)
# `1,000 × $0.0000025 = $0.0025`: a sum, and no price.
_SUM = re.compile(r"[×*=+]\s?$")
_CACHED = re.compile(r"[\s/(]*(?:for )?(?:cache[ -]?hits?|cached|cache[ -]reads?)\b")
_UNCACHED = re.compile(r"[\s/(]*(?:for )?cache[ -]?miss(?:es)?\b")
_TRAIN = re.compile(
    r"\b(?:train(?:ed|ing|s)?|pre-?train\w*|gpu[ -]?hours|(?:whole|full|final|entire) run|trainiert|training)\b"
)
_NOT_TRAIN = re.compile(
    r"\b(?:valuation|raised|raising|round|investment|funding|revenue|invest\w*|fine|fines|chip|spot|worth)\b"
)


def find(scene: Scene) -> Iterator[Found]:
    """`price_input`, `price_output`, `training_cost`."""
    money = [each for each in scene.quantities if each.unit is Unit.MONEY]
    labelled = bool(re.search(r"\b(?:price|pricing|cost|input|output|\$)", scene.label))
    old: Quantity | None = None
    for number, each in enumerate(money):
        if scene.is_negated(each.start) or _SUM.search(scene.before(each.start, 3)):
            continue
        following = money[number + 1] if number + 1 < len(money) else None
        previous = money[number - 1] if number else None
        priced = _price(scene, each, previous, following, labelled=labelled)
        if following is not None and scene.low[each.end : following.start].strip(" (") in ("to", "→", "->", "auf"):
            # `lowered from $3.00 to $2.50`: the second holds now.
            old = each
            continue
        if old is not None:
            side = _side(scene, old, None, scene.after(old.end, 60), None, None)
            if side is not None and each.value < 10_000:
                priced = (side, each.value)
            old = None
        if priced is not None:
            side, value = priced
            unit = f"{each.currency}/Mtok"
            yield Found(side, round(value, 9), each.start, each.end, unit, (each.bound,) if each.bound else ())
        elif each.value >= 1e4 and _is_training(scene, each):
            yield Found(
                "training_cost", each.value, each.start, each.end, each.currency, (each.bound,) if each.bound else ()
            )
    yield from _bare_cell(scene)


def _is_training(scene: Scene, each: Quantity) -> bool:
    near = scene.before(each.start, 70)
    behind = scene.after(each.end, 40)
    if _NOT_TRAIN.search(behind[:25]) or _NOT_TRAIN.search(near[-30:]):
        return False
    return bool(_TRAIN.search(near) or _TRAIN.search(behind) or _TRAIN.search(scene.label))


def _price(
    scene: Scene, each: Quantity, previous: Quantity | None, following: Quantity | None, *, labelled: bool
) -> tuple[str, float] | None:
    after = scene.after(each.end, 60)
    per = _PER.match(after)
    scale = 1.0
    if per:
        scale = (
            1000.0 if per["per"].lstrip("1, ").startswith(("k", "th", "000")) or per["per"].startswith("1,0") else 1.0
        )
        scale = 1e6 if per["per"] == "token" else scale
        behind = after[per.end() :]
    else:
        behind = after
    if following is not None:
        behind = behind[: max(0, following.start - each.end)]
    if not per and not labelled and not _priced_elsewhere(scene):
        return None
    if _CACHED.match(behind):
        return None
    side = "price_input" if _UNCACHED.match(behind) else _side(scene, each, per, behind, previous, following)
    return (side, each.value * scale) if side and each.value * scale < 10_000 else None


def _priced_elsewhere(scene: Scene) -> bool:
    near = scene.low[max(0, scene.start - 250) : scene.end]
    return bool(re.search(r"(?:/|per|pro|je)\s?(?:1\s?)?(?:m\b|million|mtok|1m\b|mio)", near)) or bool(
        re.search(r"\b(?:price|pricing|priced|costs?)\b", scene.words + scene.heading)
        and re.search(r"\binput\b|\boutput\b", scene.words)
    )


def _side(
    scene: Scene,
    each: Quantity,
    per: re.Match[str] | None,
    behind: str,
    previous: Quantity | None,
    following: Quantity | None,
) -> str | None:
    if per and per["side"]:
        return "price_output" if per["side"].startswith(("o", "c")) else "price_input"
    begin = previous.end if previous else scene.start
    before = scene.low[max(begin, each.start - 40) : each.start]
    beside = _BESIDE.search(before)
    if beside:
        return "price_output" if _OUTPUT.search(beside[0]) else "price_input"
    if previous is not None and scene.low[previous.end : each.start].strip() == "/":
        return "price_output"
    told = re.split(r"[,;]", behind)[0][:40]
    first_in, first_out = _INPUT.search(told), _OUTPUT.search(told)
    if first_in or first_out:
        is_input = bool(first_in and (not first_out or first_in.start() < first_out.start()))
        return "price_input" if is_input else "price_output"
    if _OUTPUT.search(before):
        return "price_output"
    if _INPUT.search(before):
        return "price_input"
    if _OUTPUT.search(scene.label):
        return "price_output"
    if _INPUT.search(scene.label):
        return "price_input"
    for other, side in ((following, "price_input"), (previous, "price_output")):
        if other is not None:
            gap = scene.low[min(each.end, other.end) : max(each.start, other.start)]
            if len(gap) < 8 and "/" in gap:
                return side
    return None


def _bare_cell(scene: Scene) -> Iterator[Found]:
    """A price under a header that names the currency: `Input ($/M)`."""
    if "$" not in scene.label and "usd" not in scene.label:
        return
    side = "price_output" if _OUTPUT.search(scene.label) else "price_input" if _INPUT.search(scene.label) else None
    if side is None:
        return
    for each in scene.quantities[:1]:
        if each.unit is Unit.NONE and not each.magnitude:
            yield Found(side, each.value, each.start, each.end, "USD/Mtok")
