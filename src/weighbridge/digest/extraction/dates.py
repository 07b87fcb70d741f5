"""Dates as people write them: absolute, without a year, and relative to the page's own date.

A value is an ISO day (2026-04-08) or month (2026-04); `late March` and the like keep their words as the qualifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from .quantities import lowered

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar", "february feb februar", "march mar märz", "april apr", "may mai", "june jun juni",
            "july jul juli", "august aug", "september sep sept", "october oct oktober", "november nov",
            "december dec dezember",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_DAYS = {name: number for number, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())}
_MONTH = "(?P<month>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\b\.?"

_DATE = re.compile(
    r"(?<![\w.])(?P<iso>(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?)(?![\d])"
    r"|(?<![\w.])(?P<slashed>(?:19|20)\d\d[/.](?:0?[1-9]|1[0-2])[/.](?:0?[1-9]|[12]\d|3[01]))(?!\d)"
    r"|(?<![\w.])(?P<dotted>(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.(?:19|20)\d\d)(?!\d)"
    r"|(?<=\bin )(?P<bare>(?:19|20)\d\d)(?![\w-]|[.,/]\d)"
    r"|(?<![\w.])(?P<quarter>Q[1-4])\s?(?P<quarter_year>(?:19|20)\d\d)?(?!\w)"
    r"|(?<!\w)(?P<relative>yesterday|today|tonight|gestern|heute|tomorrow"
    r"|(?:last|next|this|earlier this|later this|the coming|in the coming) (?:weekend|week|month|year|quarter"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
    r"|(?:on )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
    r"|(?P<ago>\d{1,3}|a|an|one|two|three|four|five|six|seven|ten) (?P<ago_unit>day|week|month|year)s? ago"
    r"|in (?P<in>\d{1,3}|a|an|one|two|three|four|five|six) (?P<in_unit>day|week|month)s?)(?!\w)"
    r"|(?<![\w.])(?:(?P<day_first>\d{1,2})(?:st|nd|rd|th|\.)?\s(?:of\s)?)?"
    r"(?:(?P<part>early|mid|late|end of|the end of|beginning of|Anfang|Mitte|Ende)[- ])?(?:the\s)?" + _MONTH +
    r"(?:\s(?P<day>\d{1,2})(?:st|nd|rd|th)?(?![\d.]\d|\w|%)(?P<on>\+)?)?(?:,?\s(?P<year>(?:19|20)\d\d)(?!\d))?",
    re.IGNORECASE,
)  # fmt: skip
# Where a date may be; the grammar above is tried around these only.
_HINT = re.compile(
    r"(?:19|20)[0-9][0-9]|\b(?:q[1-4]\b|jan|feb|mar|märz|apr|ma[yi]\b|jun|jul|aug|sep|o[ck]t|nov|de[cz]|mon|tue"
    r"|wed|thu|fri|sat|sun|yesterday|today|tonight"
    r"|gestern|heute|tomorrow|(?:week|month|year|quarter|day)(?:s|end)?\b)"
)
_REACH = 30
_BEFORE_QUARTER = frozenset("in by during of this for until late early mid from since next last through".split())
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}


@dataclass(frozen=True, slots=True)
class Told:
    """A date on the page: its ISO value, its place, and whether its own words or the page's date gave the year."""

    value: str
    start: int
    end: int
    words: str = ""
    """`late`, `early`, `last week`, `from`: what makes it less exact than its value."""
    is_later: bool = False
    """Whether the words point to the time after the page."""

    def moved(self, by: int) -> Told:
        """The same, in a text that has more before it."""
        return replace(self, start=self.start + by, end=self.end + by)


def dates(text: str, start: int, end: int, today: date | None, year: int | None = None) -> Iterator[Told]:
    """The dates of a stretch. Without a page's date (`today`) or a year, those that need one are left out."""
    for first, last in _windows(text, start, end):
        for match in _DATE.finditer(text, first, last):
            found = _told(match, today, year)
            if found is not None:
                after = today is not None and found.value > today.isoformat()[: len(found.value)]
                yield replace(found, is_later=True) if after and not found.is_later else found


def _windows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches around hints, those that touch joined."""
    first = last = start
    for hint in _HINT.finditer(lowered(text[start:end])):
        begin, stop = max(start, start + hint.start() - _REACH), min(end, start + hint.end() + _REACH)
        if begin > last:
            if last > first:
                yield first, last
            first = begin
        last = stop
    if last > first:
        yield first, last


def _told(match: re.Match[str], today: date | None, year: int | None) -> Told | None:
    at = match.span()
    if match["iso"]:
        return Told(match["iso"], *at)
    if match["bare"]:
        return Told(match["bare"], *at)
    if match["slashed"]:
        return _checked(*(int(part) for part in re.split(r"[/.]", match["slashed"])), at=at)
    if match["dotted"]:
        day, month, full = (int(part) for part in match["dotted"].split("."))
        return _checked(full, month, day, at=at)
    if match["quarter"]:
        return _quarter(match, today, at)
    if match["relative"]:
        return _relative(match, today, at)
    return _month_day(match, today, year, at)


def _checked(year: int, month: int, day: int, *, at: tuple[int, int], words: str = "") -> Told | None:
    try:
        return Told(date(year, month, day).isoformat(), *at, words)
    except ValueError:
        return None


def _quarter(match: re.Match[str], today: date | None, at: tuple[int, int]) -> Told | None:
    written = match["quarter_year"]
    before = match.string[max(0, at[0] - 9) : at[0]].lower().split()
    if not written and (not before or before[-1] not in _BEFORE_QUARTER):
        # Q4 is a quantization too.
        return None
    full = int(written) if written else today.year if today else None
    if full is None:
        return None
    return Told(f"{full}-{3 * int(match['quarter'][1]) - 2:02}", *at, match["quarter"].upper())


def _relative(match: re.Match[str], today: date | None, at: tuple[int, int]) -> Told | None:
    if today is None:
        return None
    words = match["relative"].lower()
    unit = match["ago_unit"] or match["in_unit"]
    if unit:
        written = (match["ago"] or match["in"]).lower()
        count = _COUNTS[written] if written in _COUNTS else int(written)
        days = count * {"day": 1, "week": 7, "month": 30, "year": 365}[unit.lower()]
        return _moved(today, days if match["in_unit"] else -days, unit.lower(), words, at)
    last = words.rpartition(" ")[2]
    if last in _DAYS:
        back = (today.weekday() - _DAYS[last]) % 7
        ahead = words.startswith(("next", "the coming", "in the coming"))
        return _moved(today, 7 - back if ahead else -(back or (7 if words.startswith("last") else 0)), "day", words, at)
    moved = {
        "yesterday": -1, "gestern": -1, "today": 0, "tonight": 0, "heute": 0, "tomorrow": 1, "last week": -7,
        "next week": 7, "last weekend": -7, "next weekend": 7, "last month": -30, "next month": 30, "last year": -365,
        "next year": 365, "last quarter": -90, "next quarter": 90, "the coming week": 7, "in the coming week": 7,
    }.get(words, 0)  # fmt: skip
    exact = {"yesterday", "gestern", "today", "tonight", "heute", "tomorrow"}
    if words in exact:
        return Told((today + timedelta(days=moved)).isoformat(), *at, "", moved > 0)
    return _moved(today, moved, last, words, at, later=words.startswith(("next", "later", "the coming", "in the")))


def _moved(
    today: date, days: int, unit: str, words: str, at: tuple[int, int], *, later: bool | None = None
) -> Told | None:
    try:
        then = today + timedelta(days=days)
    except OverflowError:
        return None
    is_later = days > 0 if later is None else later
    if unit in ("month", "quarter"):
        return Told(f"{then:%Y-%m}", *at, words, is_later)
    if unit == "year":
        return Told(f"{then:%Y}", *at, words, is_later)
    return Told(then.isoformat(), *at, "" if unit == "day" else words, is_later)


def _month_day(match: re.Match[str], today: date | None, year: int | None, at: tuple[int, int]) -> Told | None:
    name = match["month"]
    month = _MONTHS[name.lower()]
    day = match["day"] or match["day_first"]
    # `may` and `march` are words too.
    is_word = (
        not name[0].isupper() or (name.isupper() and len(name) < 4) or name.lower() in ("may", "mar", "march", "sep")
    )
    is_told = match["part"] or (name in ("March", "May") and _is_month(match))
    if not day and not match["year"] and is_word and not is_told:
        return None
    full = int(match["year"]) if match["year"] else _year_of(month, today, year)
    if full is None:
        return None
    words = (match["part"] or "").lower()
    if match["on"]:
        words = "from"
    if day:
        return _checked(full, month, int(day), at=at, words=words)
    return Told(f"{full}-{month:02}", *at, words)


def _is_month(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - 10) : match.start()].lower().split()
    return bool(before) and before[-1] in ("in", "since", "by", "until", "of", "from", "this", "through", "during")


def _year_of(month: int, today: date | None, year: int | None) -> int | None:
    """The year that goes without saying: that of the page, or the one next to it that is nearer."""
    if today is None:
        return year
    away = month - today.month
    return today.year + (-1 if away > 6 else 1 if away < -6 else 0)


def day_of(value: str) -> date | None:
    """The day of an ISO day, or the first of an ISO month or year."""
    parts = [int(part) for part in value[:10].split("-") if part.isdigit()]
    try:
        return date(*[*parts, 1, 1][:3]) if parts else None
    except (ValueError, TypeError):
        return None
