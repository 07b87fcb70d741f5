"""`check()`: whether claims hold, by what is known; a file a family of fields, found by its name.

Each file has `FIELDS` and `check(case) -> Finding`. What no file speaks of is unverifiable. A refutation is never a
guess: each check says what must be known to refute, and returns an open question where it is not.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from ..claim import Claim
from ..knowledge import Knowledge, Subject, sizes_in, words_of_name
from ..knowledge.matching import TUNED
from ..knowledge.names import versions_in
from ..verdict import Ruling, Verdict
from .attribution import is_doubtful, is_speculation
from .case import Case, Finding, days_between, is_day, open_question
from .certain import is_certain, is_named, is_setting, left_open
from .existence import missing
from .heading import is_listed_under_it
from .release import days_of

Check = Callable[[Case], Finding]

_HELPERS = frozenset({"case", "attribution", "certain", "heading"})
# Said of a model that does not exist, these are as wrong as that it exists; arithmetic about it is left open.
_PRESUMING = (
    "parameters_total",
    "parameters_active",
    "release_date",
    "status",
    "downloads",
    "likes",
    "openness",
    "context_length",
)
_OF_FAMILIES = ("exists", "rank")
_OF_TIME = ("exists", "status", "release_date", "parameters_total", "parameters_active")
_AROUND, _ABOVE, _MOST_MEANT = 160, 1200, 6
_MOST_READ = 200_000
_LOG_DAYS, _LOG_ENTRIES = 62, 3
_YEAR = re.compile(r"(?<![\w.,/-])(202\d)(?![\w,]|\.\d)")


@functools.cache
def checks() -> Mapping[str, Check]:
    """Each field's check."""
    found: dict[str, Check] = {}
    for module in sorted(each.name for each in pkgutil.iter_modules(__path__) if each.name not in _HELPERS):
        loaded = importlib.import_module(f"{__name__}.{module}")
        for field in loaded.FIELDS:
            found[field] = loaded.check
    return found


def check(
    claims: Iterable[Claim], knowledge: Knowledge | None = None, texts: Mapping[str, str] | None = None
) -> tuple[Verdict, ...]:
    """A verdict on each claim, in their order. `texts`: the pages by their addresses, for the words around a quote."""
    known = knowledge or Knowledge()
    found = tuple(claims)
    days = _about(found, texts or {})
    values: dict[tuple[str, str, str, str, int], set[float | str | bool]] = {}
    for claim in found:
        values.setdefault(_place(claim), set()).add(claim.value)
    return tuple(
        _verdict(claim, known, texts or {}, days[claim.address], len(values[_place(claim)]) > 1) for claim in found
    )


def _place(claim: Claim) -> tuple[str, str, str, str, int]:
    """Whose what is told in which words; `2 of 8 experts` tells two things."""
    kind = claim.qualifier if claim.field == "experts" else ""
    return claim.address, claim.subject, claim.field, kind, claim.start


class _About(NamedTuple):
    """When a page speaks, and of whom."""

    day: str | None
    since: str | None
    names: tuple[str, ...]
    """The models that it names."""


def _about(claims: Iterable[Claim], texts: Mapping[str, str]) -> dict[str, _About]:
    """As of which day each page speaks: a log that is written on is as young as the last day that it tells of. A page
    that does not tell its day was at least not written before the years that it names."""
    told: dict[str, set[str]] = {}
    published: dict[str, str] = {}
    fetched: dict[str, str] = {}
    names: dict[str, dict[str, None]] = {}
    for claim in claims:
        days = told.setdefault(claim.address, set())
        names.setdefault(claim.address, {})[claim.subject] = None
        fetched[claim.address] = max(claim.fetched, fetched.get(claim.address, ""))
        if claim.published and is_day(claim.published):
            published[claim.address] = claim.published
        if claim.told and is_day(claim.told) and "expected" not in claim.qualifier and claim.field != "release_date":
            days.add(claim.told)
    found = {}
    for address, days in told.items():
        now = fetched[address] or "9"
        past = sorted(day for day in days if day <= now)
        is_log = len(past) >= _LOG_ENTRIES and days_between(past[0], past[-1]) <= _LOG_DAYS
        # A list of some weeks' events is of these weeks; what tells of years may be of any time since.
        day = _last_day(published.get(address) or (past[0] if is_log else None), past)
        years = [f"{year}-01" for year in _YEAR.findall(texts.get(address, "")[:_MOST_READ])] if day is None else []
        # What tells of a day was written on it or later.
        since = max((year for year in (*years, *(past if day is None else ())) if year <= now), default=None)
        found[address] = _About(day, since, tuple(names[address]))
    return found


def _last_day(published: str | None, told: list[str]) -> str | None:
    """The last day of a log that began when it was published; single days that lie far off are of something else."""
    if published is None:
        return None
    near = sorted({day for day in told if 0 <= days_between(published, day) <= _LOG_DAYS})
    return near[-1] if len(near) >= _LOG_ENTRIES else published


def _verdict(claim: Claim, knowledge: Knowledge, texts: Mapping[str, str], days: _About, has_rivals: bool) -> Verdict:
    subject = knowledge.meant(claim.subject)
    text = texts.get(claim.address, "")
    around = text[max(0, claim.start - _AROUND) : claim.end + _AROUND].lower()
    above = text[max(0, claim.start - _ABOVE) : claim.start].split("\n")[:-1]
    case = Case(claim, subject, knowledge, around, days.day, days.since, has_rivals, tuple(above))
    found = _ruled(case, days.names)
    name = subject.name if subject.is_known or knowledge.reports(subject) else None
    return Verdict(claim, found.ruling, found.evidence, name)


def _ruled(case: Case, others: Iterable[str]) -> Finding:
    field = case.claim.field
    family = field.partition(":")[0]
    ask = checks().get(family)
    is_place = family in ("rank", "rule")
    if not case.subject.is_known and family != "exists" and not is_place and not case.knowledge.reports(case.subject):
        return _of_nobody(case, family, others)
    found = ask(case) if ask else open_question()
    if found.ruling is Ruling.REFUTED and not case.subject.is_known and any(_is_kin(case, name) for name in others):
        return open_question(*found.evidence)
    if family == "rule":
        return found
    if case.subject.is_loose and family not in _OF_FAMILIES and not _holds_of_all(case, found, ask):
        # What a family's name, or a part of one, leaves open cannot be settled either way.
        found = open_question(*found.evidence[:1]) if found.ruling in (Ruling.REFUTED, Ruling.SUPPORTED) else found
    if found.ruling in (Ruling.REFUTED, Ruling.SUPPORTED, Ruling.UNVERIFIABLE) and _is_forecast(case, found):
        return Finding(Ruling.PREDICTION, found.evidence)
    if found.ruling is Ruling.REFUTED and family in _OF_TIME and is_speculation(case):
        return Finding(Ruling.PREDICTION, found.evidence)
    if found.ruling is Ruling.REFUTED and ask and not is_listed_under_it(case) and is_doubtful(case, others, ask):
        return open_question(*found.evidence)
    return left_open(case, found) if found.ruling is Ruling.REFUTED and not is_certain(case) else found


def _holds_of_all(case: Case, found: Finding, ask: Check | None) -> bool:
    """Whether it is true of each that a loose name may mean: few, of one family, and named by more than that."""
    variants = case.subject.variants
    is_few = 0 < len(variants) <= _MOST_MEANT and len({variant.family for variant in variants}) == 1
    is_told = len(case.subject.words - TUNED) > 1
    if ask is None or found.ruling is not Ruling.SUPPORTED or not (is_few and is_told) or case.subject.served:
        return False
    alone = (replace(case.subject, variants=(variant,), rows=()) for variant in variants)
    return all(ask(replace(case, subject=subject)).ruling is Ruling.SUPPORTED for subject in alone)


def _of_nobody(case: Case, family: str, others: Iterable[str]) -> Finding:
    """What is said of a model that nothing is known of."""
    if any(_is_kin(case, name) for name in others):
        return open_question(*missing(case).evidence)
    if _is_forecast(case, open_question()):
        return Finding(Ruling.PREDICTION, missing(case).evidence)
    found = missing(case)
    if found.ruling is Ruling.REFUTED and family not in (*_PRESUMING, "benchmark"):
        return open_question(*found.evidence)
    if found.ruling is Ruling.REFUTED and is_speculation(case):
        return Finding(Ruling.PREDICTION, found.evidence)
    if found.ruling is Ruling.REFUTED and (is_setting(case) or not (sizes_in(case.subject.words) or is_named(case))):
        # A size and its family were looked for in the words; a version must stand there too.
        return open_question(*found.evidence)
    return found if found.ruling is Ruling.REFUTED else open_question(*found.evidence)


def _is_kin(case: Case, name: str) -> bool:
    """Whether another name of the page has the family and the size, and nothing is known of it either: a network that
    somebody else made, which the page calls in short."""
    words = words_of_name(name)
    sizes = sizes_in(case.subject.words).keys()
    if not sizes or not sizes <= words or words == case.subject.words:
        return False
    other = case.knowledge.meant(name)
    families = {word for word in case.subject.words & words if word.isalpha() and len(word) > 2}
    is_makers = "/" in name and name.partition("/")[0].lower() in case.knowledge.makers
    return (
        bool(families)
        and not other.is_known
        and not is_makers
        and versions_in(words) != versions_in(case.subject.words)
    )


def _is_forecast(case: Case, found: Finding) -> bool:
    """Whether it spoke of what was yet to come: it says so, or tells of a day after its page's."""
    if found.ruling is Ruling.PREDICTION:
        return True
    claim = case.claim
    if case.says("reportedly", "rumoured", "rumored") and case.told and claim.field not in ("status", "exists"):
        first = min((each.day for each in days_of(case)), default=None)
        if first and days_between(case.told, first) > 0:
            return True
    if case.is_expected or claim.qualifier.lower() == "expected":
        return found.ruling is not Ruling.REFUTED or claim.field not in ("status", "release_date")
    if claim.field == "release_date" and is_day(str(claim.value)) and case.page_day and not claim.told:
        return days_between(case.page_day, str(claim.value)) > 1 and found.ruling is not Ruling.REFUTED
    return False


__all__ = ["Case", "Finding", "Subject", "check", "checks"]
