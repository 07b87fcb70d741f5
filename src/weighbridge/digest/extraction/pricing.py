"""Prices for a million tokens: which of several is for what goes in, and which for what comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .quantities import Quantity
from .scene import Scene

INPUT, OUTPUT = "price_input", "price_output"
_MOST = 10_000
_PER = re.compile(
    r"\s?(?:(?P<side>input|output|in|out|prompt|completion)\s?)?(?:/|per|pro|for (?:each|every)|a)\s?(?:1\s?)?"
    r"(?P<per>m\b|million|mtok\w*|1m\b|mio\.?|k\b|1k\b|thousand|1,?000\b|token\b)(?:[\s-]*(?:tokens?|tok))?"
)
_INPUT = re.compile(r"\b(?:input|in|prompts?|eingabe\w*)\b")
_OUTPUT = re.compile(r"\b(?:output|out|completions?|generated|generation|ausgabe\w*)\b")
_BESIDE = re.compile(
    r"\b(?P<word>input|output|(?:in|out)(?=\s?[:=–—])|prompts?|completions?|generated|generation)(?: tokens?)?"
    r"(?: (?:pric(?:es?|ing)|costs?|rates?|fees?))?(?: stays| is| are| was| at| of| from| to| now| remains?| lowered"
    r"| raised|\s?[:=–—]|\s)*\s?$"
)
_SLASHED = re.compile(r"\$\d+(?:\.\d+)? ?/ ?\$\d")
_CHARGES = re.compile(r"\b(?:charges|costs|asks|takes|is|at) (?:only |just |about )?$")
# What ends the words that are said of a price.
_PART = re.compile(r"[,;|·]| and (?!output)")
_CACHED = re.compile(r"[\s/(]*(?:for |per |a |on )*(?:million |1?m )?(?:cache[ -]?hits?|cached|cache[ -]reads?)\b")
_UNCACHED = re.compile(r"[\s/(]*(?:for |on |a )*cache[ -]?miss(?:es)?\b")
_PER_BEFORE = re.compile(r"(?:/|per|pro|je)\s?(?:1\s?)?(?:m\b|million|mtok|1m\b|mio)")
_PRICE_WORD = re.compile(r"\b(?:price|pricing|priced|costs?)\b")
_SIDE_WORD = re.compile(r"\b(?:input|output)\b")
_JOINED = re.compile(r"[\s*_`]*(?P<sign>/|\||·|,? and|,|\+)[\s*_`]*")
_OTHER_GOODS = re.compile(
    r"[\s-]*(?:(?:a|per|each|every) |/ ?)?(?:month|mo\b|year|plan|seat|user|hour|hr\b|subscription|gpu|image|minute"
    r"|credit|tier|mark\b|gift|off\b)"
)
_OLD = re.compile(r"\b(?:(?:down|up|reduced|cut|dropped|lowered|raised) from|previously|formerly|instead of)\s?$")
_SAID_BEFORE = re.compile(r"(?:per|/)\s?(?:1\s?)?(?:m|million|mtok)\b[\s-]*(?:tokens? )?(?P<side>input|output)\b")
# `$0.10 for both input and output`
_BOTH = re.compile(
    r"\s?(?:/|per )?\s?(?:1?m\b|million)?(?: tokens?)?,? (?:for |on )?(?:both )?(?:input and output|in and out)\b"
)
_RESPECTIVELY = re.compile(r"\brespectively\b|\bjeweils\b")


@dataclass(slots=True)
class Price:
    """A price, the stretch that it is told in, and for what it is asked: None where that is not known yet."""

    money: Quantity
    start: int
    end: int
    scale: float
    is_priced: bool
    side: str | None = None


def prices(scene: Scene, money: Sequence[Quantity], *, labelled: bool) -> list[Price]:
    """Those of some sums that are a price of a million tokens, each with its side."""
    near = scene.low[max(0, scene.start - 250) : scene.end]
    is_told = labelled or bool(
        _PER_BEFORE.search(near)
        or (_PRICE_WORD.search(scene.words + scene.heading) and _SIDE_WORD.search(scene.words))
        or (_SLASHED.search(scene.words) and _PER_BEFORE.search(scene.low))
    )
    found = []
    for number in range(len(money)):
        price = _read(scene, money, number, is_told=is_told)
        if price is not None:
            found.append(price)
    _pair(scene, found)
    _share(scene, found)
    found += [replace(each, side=OUTPUT) for each in found if _BOTH.match(scene.after(each.end, 60))]
    for price in found:
        price.side = price.side or _of_label(scene) or _inherited(scene, price)
    return [each for each in found if each.side and each.money.value * each.scale < _MOST]


def _read(scene: Scene, money: Sequence[Quantity], number: int, *, is_told: bool) -> Price | None:
    each = money[number]
    after = scene.after(each.end, 60)
    per = _PER.match(after)
    if (not per and (not is_told or _OTHER_GOODS.match(after))) or each.magnitude in ("b", "t"):
        return None
    if _OLD.search(scene.before(each.start, 20)):
        return None
    following = money[number + 1] if number + 1 < len(money) else None
    behind = after[per.end() if per else 0 :]
    if following is not None:
        behind = behind[: max(0, following.start - each.end - (per.end() if per else 0))]
    if _CACHED.match(behind):
        return None
    begin = money[number - 1].end if number else scene.start
    price = Price(each, each.start, each.end, _scale(per), per is not None)
    price.side = INPUT if _UNCACHED.match(behind) else _told(scene, each, per, begin, behind)
    return price


def _scale(per: re.Match[str] | None) -> float:
    """How many times the price's tokens make a million."""
    if per is None:
        return 1.0
    if per["per"] == "token":
        return 1e6
    is_thousand = per["per"].lstrip("1, ").startswith(("k", "th", "000")) or per["per"].startswith("1,0")
    return 1000.0 if is_thousand else 1.0


def _told(scene: Scene, each: Quantity, per: re.Match[str] | None, begin: int, behind: str) -> str | None:
    """The side that the words beside a price tell; None where they tell none, or both."""
    if per and per["side"]:
        return OUTPUT if per["side"].startswith(("o", "c")) else INPUT
    before = scene.low[max(begin, each.start - 40) : each.start]
    beside = _BESIDE.search(before)
    if beside:
        return OUTPUT if _OUTPUT.match(beside["word"]) else INPUT
    words = (_PART.split(behind, 1)[0] if not _BOTH.match(behind) else behind)[:40]
    is_input, is_output = _INPUT.search(words), _OUTPUT.search(words)
    if is_input or is_output:
        if is_input and is_output:
            return INPUT if _BOTH.match(scene.after(each.end, 60)) else None
        return INPUT if is_input else OUTPUT
    sides = set(_SIDE_WORD.findall(_PART.split(before)[-1]))
    return None if len(sides) != 1 else INPUT if sides == {"input"} else OUTPUT


def _pair(scene: Scene, found: list[Price]) -> None:
    """`$2/$6` and, once both sides were told, `$3 and $15`: what goes in, then what comes out; of three, the first
    is of what is cached."""
    for number, (one, two, three) in enumerate(zip(found, found[1:], found[2:], strict=False)):
        gaps = (scene.low[one.money.end : two.money.start], scene.low[two.money.end : three.money.start])
        if all(gap.strip() == "/" for gap in gaps) and one.money.value < two.money.value < three.money.value:
            del found[number]
            break
    near = scene.low[max(0, scene.start - 250) : scene.start]
    is_known = "input" in near and "output" in near
    for one, other in pairwise(found):
        is_known = is_known or {each.side for each in found} >= {INPUT, OUTPUT}
        joined = _JOINED.fullmatch(scene.low[one.money.end : other.money.start])
        if joined is None or one.side or other.side == INPUT or one.money.value > other.money.value:
            continue
        if joined["sign"] not in "/|·" and (other.side or not is_known):
            continue
        one.side, other.side = INPUT, OUTPUT
        # Both are told in one breath, of one model.
        one.end, other.start, one.scale = other.money.end, one.money.start, other.scale


def _share(scene: Scene, found: Sequence[Price]) -> None:
    """`$1.40 and $0.60 per million input tokens respectively`: the side is told once for all."""
    if not _RESPECTIVELY.search(scene.words):
        return
    for one, other in reversed(list(pairwise(found))):
        if one.side is None and other.side and _JOINED.fullmatch(scene.low[one.money.end : other.money.start]):
            one.side, one.scale = other.side, other.scale


def _of_label(scene: Scene) -> str | None:
    is_input, is_output = _INPUT.search(scene.label), _OUTPUT.search(scene.label)
    if is_input and is_output:
        return None
    return INPUT if is_input else OUTPUT if is_output else None


def _inherited(scene: Scene, price: Price) -> str | None:
    """`Tern 5 asks $5/M input tokens. Wren 6 is $1.25/M.`"""
    if not price.is_priced and not _CHARGES.search(scene.before(price.start, 24)):
        return None
    told = {match["side"] for match in _SAID_BEFORE.finditer(scene.low, max(0, scene.start - 200), scene.start)}
    return None if len(told) != 1 else INPUT if told == {"input"} else OUTPUT
