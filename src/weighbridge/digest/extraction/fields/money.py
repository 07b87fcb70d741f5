"""Prices for a million tokens, and what a training run cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..pricing import INPUT, OUTPUT, prices
from ..quantities import Quantity, Unit
from ..scene import Found, Scene

NEEDS_NUMBER = True
STEMS = ""
# `1,000 × $0.0000025 = $0.0025`: a sum, and no price.
_SUM = re.compile(r"[×*=+]\s?$")
_TO = frozenset(("to", "→", "->", "auf"))
_TRAIN = re.compile(
    r"\b(?:train(?:ed|ing|s)?|pre-?train\w*|gpu[ -]?hours|(?:whole|full|final|entire) run|trainiert|training)\b"
)
_NOT_TRAIN = re.compile(
    r"\b(?:valuation|raised|raising|round|investment|funding|revenue|invest\w*|fine|fines|chip|spot|worth)\b"
)
_LABEL = re.compile(r"\b(?:price|pricing|cost|input|output|\$)")
_LABEL_INPUT = re.compile(r"\b(?:input|in|prompt)\b")
_LABEL_OUTPUT = re.compile(r"\b(?:output|out|completion)\b")


def find(scene: Scene) -> Iterator[Found]:
    """`price_input`, `price_output`, `training_cost`."""
    money = [
        each
        for each in scene.quantities
        if each.unit is Unit.MONEY and not scene.is_negated(each.start) and not _SUM.search(scene.before(each.start, 3))
    ]
    if money:
        yield from _of_money(scene, _latest(scene, money))
    yield from _bare_cell(scene)


def _latest(scene: Scene, money: Sequence[Quantity]) -> list[Quantity]:
    """`lowered from $3.00 to $2.50`: the second holds now."""
    kept = []
    for number, each in enumerate(money):
        following = money[number + 1] if number + 1 < len(money) else None
        if following is None or scene.low[each.end : following.start].strip(" (") not in _TO:
            kept.append(each)
    return kept


def _of_money(scene: Scene, money: Sequence[Quantity]) -> Iterator[Found]:
    priced = set()
    for price in prices(scene, money, labelled=bool(_LABEL.search(scene.label))):
        each = price.money
        priced.add(each.start)
        qualifiers = (each.bound,) if each.bound else ()
        value = round(each.value * price.scale, 9)
        yield Found(price.side or INPUT, value, price.start, price.end, f"{each.currency}/Mtok", qualifiers)
    for each in money:
        if each.start not in priced and each.value >= 1e4 and _is_training(scene, each):
            qualifiers = (each.bound,) if each.bound else ()
            yield Found("training_cost", each.value, each.start, each.end, each.currency, qualifiers)


def _is_training(scene: Scene, each: Quantity) -> bool:
    near = scene.before(each.start, 70)
    behind = scene.after(each.end, 40)
    if _NOT_TRAIN.search(behind[:25]) or _NOT_TRAIN.search(near[-30:]):
        return False
    return bool(_TRAIN.search(near) or _TRAIN.search(behind) or _TRAIN.search(scene.label))


def _bare_cell(scene: Scene) -> Iterator[Found]:
    """A price under a header that names the currency: `Input ($/M)`, `Input / Output ($/M)`."""
    if "$" not in scene.label and "usd" not in scene.label:
        return
    is_input, is_output = _LABEL_INPUT.search(scene.label), _LABEL_OUTPUT.search(scene.label)
    sides = [INPUT, OUTPUT] if is_input and is_output else [OUTPUT] if is_output else [INPUT] if is_input else []
    bare = [each for each in scene.quantities if each.unit is Unit.NONE and not each.magnitude]
    if len(sides) == 2 and len(bare) != 2:
        return
    for side, each in zip(sides, bare, strict=False):
        yield Found(side, each.value, each.start, each.end, "USD/Mtok")
