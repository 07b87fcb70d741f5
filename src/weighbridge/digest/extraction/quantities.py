"""`Quantity`: a number as people write it, with its magnitude, unit, range and bound.

Each number is found once; what stands right before and behind it is then read by short, anchored patterns, so that the
time is in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

_WORDS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
    )
} | {"a": 1, "an": 1, "twenty": 20, "half a": 0.5, "hundred": 100, "dozen": 12}
_MAGNITUDES = {
    "k": 1e3, "thousand": 1e3, "tausend": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "million": 1e6, "millions": 1e6,
    "millionen": 1e6, "b": 1e9, "bn": 1e9, "mrd": 1e9, "billion": 1e9, "billions": 1e9, "milliarden": 1e9,
    "milliarde": 1e9, "t": 1e12, "tn": 1e12, "trillion": 1e12, "trillions": 1e12, "billionen": 1e12,
}  # fmt: skip
_BYTES = {
    "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30, "tib": 2.0**40,
    "gigabyte": 1e9, "gigabytes": 1e9, "megabytes": 1e6, "terabytes": 1e12, "gigs": 1e9, "g": 1e9,
}  # fmt: skip

# Both begin with a plain set of signs, so that all other text is skipped at once; what stands before is looked at then.
_DIGITS = re.compile(
    r"[0-9](?<![\w.,][0-9])(?:[0-9]{0,2}(?:[,.][0-9]{3}){2,6}|[0-9]{0,2},[0-9]{3}(?![0-9])"
    r"|[0-9]{0,17}(?:[.,][0-9]{1,8})?)(?![0-9])"
    r"|[0-9](?<=[\w-][-–—/~≈][0-9])[0-9]{0,14}(?:\.[0-9]{1,8})?(?![0-9])"
)
_NAMED = re.compile(
    r"\b(?:(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|half a|a|an) (?:single )?(?=(?:thousand"
    r"|million|billion|trillion|hundred)\b)"
    r"|(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)\b(?!-))"
)
_UNIT = re.compile(
    r"\+?[ \u00a0]?-?(?:"
    r"(?P<bytes>(?:[KMGT]i?B|gigs|gigabytes?|megabytes|terabytes)\b"
    r"|G(?=[ -](?:of )?(?:VRAM|RAM|vram|ram|memory|GPUs?|cards?|devices?|machines?|Macs?|unified)\b))"
    r"|(?P<speed>(?:tokens?|tok|t|tps)[ \u00a0]?(?:/|per)[ \u00a0]?(?:s|sec|second)\b|tps\b|tok/s\b)"
    r"|(?P<percent>%|percent\b|per cent\b|Prozent\b)"
    r"|(?P<times>[x×](?![\w]|[ \u00a0]?\d)|-?fold\b|(?<=[ ])times(?=[ \u00a0](?:faster|the|as|more|higher"
    r"|quicker|smaller|less"
    r"|speed))|-mal\b)"
    r"|(?P<bits>-?bits?\b(?!/s))"
    r"|(?P<magnitude>(?:thousand|millions?|billions?|trillions?|tausend|Millionen|Milliarden?|Billionen|Mio|Mrd)\b"
    r"|(?:[kKMBT]|[bmt]n|b|m|t)(?!\w))"
    r")",
)
_SECOND_UNIT = re.compile(
    r"\+?[ \u00a0]?-?(?:(?P<bytes>[KMGT]i?B\b)|(?P<speed>(?:tokens?|tok|t)[ \u00a0]?(?:/|per)[ \u00a0]?(?:s|sec"
    r"|second)\b)|(?P<percent>%)"
    r"|(?P<times>[x×](?!\w))|(?P<bits>-?bits?\b)|(?P<magnitude>(?:thousand|million|billion|trillion)\b"
    r"|[kKMBT](?!\w)))"
)
_RANGE = re.compile(
    r"(?P<first>[kKMBTx×%]|GB|[ \u00a0-]?(?:million|billion|trillion))?[ \u00a0]?(?:-|–|—|to|bis|→|->)[ \u00a0]?(?:~"
    r"|\$)?(?P<second>\d{1,3}(?:,\d{3}){1,3}(?!\d)|\d{1,9}(?:\.\d{1,6})?)(?![\d.]\d)"
)
_CURRENCY_BEFORE = re.compile(r"(?:(?:US)?\$|€|£|¥|USD\s?|EUR\s?|RMB\s?|CNY\s?|CN¥)$")
_CURRENCY_AFTER = re.compile(
    r"\+?\s?(?:USD|dollars|US dollars|EUR|euros?|cents?|€|¢|yuan|RMB|CNY)(?!\w)", re.IGNORECASE
)
_BOUND = re.compile(
    r"(?P<about>~|≈|∼|≃|\b(?:about|around|roughly|approximately|approx\.?|some|nearly|almost|close to|circa"
    r"|ca\.?|etwa|rund"
    r"|an estimated|estimated))\s?$"
    r"|(?P<least>≥|>=?|\b(?:at least|more than|over|above|upwards of|exceeding|no less than|mehr als|mindestens))\s?$"
    r"|(?P<most>≤|<=?|\b(?:up to|at most|under|below|less than|fewer than|within|no more than|bis zu|maximum of))\s?$",
    re.IGNORECASE,
)
_CURRENCIES = {
    "$": "USD",
    "us$": "USD",
    "usd": "USD",
    "€": "EUR",
    "eur": "EUR",
    "£": "GBP",
    "¥": "CNY",
    "rmb": "CNY",
    "cny": "CNY",
    "cn¥": "CNY",
}
_GERMAN = frozenset({"mrd", "mio", "milliarden", "milliarde", "millionen", "billionen", "tausend"})


class Unit(StrEnum):
    """What a quantity counts, as far as its own signs tell."""

    NONE = ""
    BYTES = "bytes"
    SPEED = "tokens/s"
    PERCENT = "percent"
    TIMES = "x"
    BITS = "bits"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in its base unit (`37B` is 37e9), and where its signs stand."""

    value: float
    unit: Unit
    start: int
    end: int
    magnitude: str = ""
    """`k`, `m`, `b` or `t` where one is written, whatever its spelling."""
    low: float | None = None
    """The other end of a range; `value` is its upper end."""
    bound: str = ""
    """`about`, `at least` or `at most`."""
    currency: str = ""
    number_start: int = 0
    """Where the digits begin; `start` counts `~`, `$` and words as `about` in."""

    def moved(self, by: int) -> Quantity:
        """The same, in a text that has more before it."""
        return replace(self, start=self.start + by, end=self.end + by, number_start=self.number_start + by)


def quantities(text: str, start: int, end: int, *, german: bool = False) -> Iterator[Quantity]:
    """The quantities of a stretch in their order."""
    marks = [match.span() for match in _DIGITS.finditer(text, start, end)]
    marks += [_trimmed(text, *match.span()) for match in _NAMED.finditer(lowered(text), start, end)]
    past = start
    for first, last in sorted(marks):
        if first >= past:
            found = _read(text, first, last, past, end, german=german)
            past = found.end
            yield found


def lowered(text: str) -> str:
    """Lower case with the same offsets."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    words = text[start:end].rstrip().removesuffix(" single")
    return start, start + len(words)


def number(words: str, *, german: bool = False) -> float:
    """The value of digits with their separators, or of a number's word."""
    word = _WORDS.get(words.lower())
    if word is not None:
        return float(word)
    if words.count(".") > 1:
        return float(words.replace(".", ""))
    head, comma, tail = words.rpartition(",")
    if comma and ("," in head or (len(tail) == 3 and not german)):
        return float(words.replace(",", ""))
    if german and "." in words and len(words.rpartition(".")[2]) == 3 and not comma:
        return float(words.replace(".", ""))
    return float(words.replace(",", "."))


def _read(text: str, begin: int, end: int, past: int, limit: int, *, german: bool) -> Quantity:
    digits = text[begin:end]
    comma = digits.find(",")
    if comma >= 0 and len(digits) - comma != 4 and digits.count(",") == 1 and "." not in digits:
        # A comma before one or two digits is a German point only where a unit follows; else it parts a list's items.
        unit = _UNIT.match(text, end, min(limit, end + 24))
        if not german and (unit is None or (unit["magnitude"] or "%").lower() not in _GERMAN | {"%"}):
            end = begin + comma
            digits = digits[:comma]
    value = number(digits, german=german)
    low: float | None = None
    span = _RANGE.match(text, end, min(limit, end + 24))
    first = ""
    if span and _is_range(text, digits, span, limit):
        low, value, first = value, number(span["second"]), (span["first"] or "").strip(" \u00a0-")
        end = span.end("second")
    unit = (_SECOND_UNIT if low is not None else _UNIT).match(text, end, min(limit, end + 24))
    kind, magnitude = _kind(unit)
    if unit:
        end = unit.end()
    scale = _scale(unit, kind, magnitude)
    if low is not None:
        low *= _scale_of(first) if first and first not in "x×%" and first != "GB" else scale
    currency, start = _currency(text, begin, past)
    after = _CURRENCY_AFTER.match(text, end, min(limit, end + 14)) if not currency and kind is Unit.NONE else None
    if after:
        word = after[0].lower()
        currency = "EUR" if "eur" in word or "€" in word else "CNY" if word.endswith(("yuan", "rmb", "cny")) else "USD"
        end = after.end()
        scale *= 0.01 if "cent" in after[0].lower() or "¢" in after[0] else 1
    bound, start = _bound(text, start, past)
    if end < limit and text[end] == "+":
        bound, end = bound or "at least", end + 1
    elif unit and "+" in unit[0][:1]:
        bound = bound or "at least"
    exact = float(f"{value * scale:.12g}")
    return Quantity(exact, Unit.MONEY if currency else kind, start, end, magnitude, low, bound, currency, begin)


def _is_range(text: str, digits: str, span: re.Match[str], limit: int) -> bool:
    """Whether two numbers are the ends of a range: the second is greater, and both count the same."""
    if digits.lower() in _WORDS and not digits.isdigit():
        return False
    second = number(span["second"])
    if second <= number(digits) and not span["first"]:
        return False
    is_date = len(digits) == 4 and span["second"].isdigit() and len(span["second"]) == 2
    return (not is_date and not text.startswith(("-", "–"), span.end())) or span.end() >= limit


def _kind(unit: re.Match[str] | None) -> tuple[Unit, str]:
    if unit is None:
        return Unit.NONE, ""
    name = unit.lastgroup or ""
    if name == "magnitude":
        return Unit.NONE, _letter(unit["magnitude"])
    kinds = {"bytes": Unit.BYTES, "speed": Unit.SPEED, "percent": Unit.PERCENT, "times": Unit.TIMES, "bits": Unit.BITS}
    return kinds[name], ""


def _letter(word: str) -> str:
    return {1e3: "k", 1e6: "m", 1e9: "b", 1e12: "t"}[_MAGNITUDES[word.lower()]]


def _scale_of(word: str) -> float:
    return _MAGNITUDES.get(word.lower(), 1.0)


def _scale(unit: re.Match[str] | None, kind: Unit, magnitude: str) -> float:
    if unit is None:
        return 1.0
    if kind is Unit.BYTES:
        return _BYTES[unit["bytes"].lower()]
    return _scale_of(magnitude) if magnitude else 1.0


def _currency(text: str, begin: int, past: int) -> tuple[str, int]:
    found = _CURRENCY_BEFORE.search(text, max(past, begin - 5), begin)
    if not found:
        return "", begin
    return _CURRENCIES.get(found[0].strip().lower(), "USD"), found.start()


def _bound(text: str, start: int, past: int) -> tuple[str, int]:
    window = text[max(past, start - 18) : start]
    found = _BOUND.search(window)
    if not found:
        return "", start
    names = {"about": "about", "least": "at least", "most": "at most"}
    return names[found.lastgroup or "about"], start - len(window) + found.start()
