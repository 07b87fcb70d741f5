"""Days as ISO dates, from what files and servers write; None where no day is told."""

from __future__ import annotations

import datetime
import re
from email.utils import parsedate_to_datetime

MONTHS = "january february march april may june july august september october november december".split()
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
_MONTH += r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_ISO = re.compile(r"(?<!\d)(?P<year>20\d\d)[-/.](?P<month>[01]\d)[-/.](?P<day>[0-3]\d)(?!\d)")
_WORDS = (
    _ISO,
    re.compile(rf"\b{_MONTH} {_DAY},? (?P<year>20\d\d)\b", re.IGNORECASE),
    re.compile(rf"\b{_DAY} {_MONTH},? (?P<year>20\d\d)\b", re.IGNORECASE),
)
# By these words a page tells its own day, and not that of an event.
_POSTED = re.compile(r"\b(?:posted|published|updated|written|date|last modified)\b[^\n]{0,12}", re.IGNORECASE)
_HEAD_CHARACTERS = 2000


def day_of(value: object) -> str | None:
    """The day of an ISO date or time, of a mail's date, or of words; a day is UTC's where a zone is told."""
    if isinstance(value, datetime.datetime):
        return (value.astimezone(datetime.UTC) if value.tzinfo else value).date().isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, str):
        return None
    text = value.strip()[:100]
    try:
        return day_of(datetime.datetime.fromisoformat(text))
    except ValueError:
        pass
    try:
        return day_of(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return day_in(text)


def day_in(text: str) -> str | None:
    """The first whole day that the words name: `2026-04-19`, `April 19, 2026`, `19th Apr 2026`."""
    found = [match for pattern in _WORDS if (match := pattern.search(text))]
    for match in sorted(found, key=lambda each: each.start()):
        if day := _day(match):
            return day
    return None


def posted_day(text: str) -> str | None:
    """The day on which a page says that it was posted, where its head says so."""
    for line in text[:_HEAD_CHARACTERS].split("\n")[:20]:
        for said in _POSTED.finditer(line):
            for pattern in _WORDS:
                match = pattern.search(line, said.start())
                if match and match.start() <= said.end() + 4 and (day := _day(match)):
                    return day
    return None


def _day(match: re.Match[str]) -> str | None:
    month = match["month"].lower()
    number = int(month) if month.isdecimal() else 1 + next(
        at for at, name in enumerate(MONTHS) if name.startswith(month[:3])
    )  # fmt: skip
    try:
        return datetime.date(int(match["year"]), number, int(match["day"])).isoformat()
    except ValueError:
        return None
