"""`check()`: whether claims hold, by what is known; a file a family of fields, found by its name.

Each file has `FIELDS` and `check(case) -> Finding`. What no file speaks of is unverifiable. A refutation is never a
guess: each check says what must be known to refute, and returns an open question where it is not.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping

from ..claim import Claim
from ..knowledge import Knowledge, Subject
from ..verdict import Ruling, Verdict
from .case import Case, Finding, days_between, is_day, open_question
from .existence import missing

Check = Callable[[Case], Finding]

_HELPERS = frozenset({"case"})
# Said of a model that does not exist, these are as wrong as that it exists; arithmetic about it is left open.
_PRESUMING = ("parameters_total", "parameters_active", "release_date", "status", "downloads", "likes", "openness", "context_length")
_AROUND = 160


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
    """A verdict on each claim, in their order. `texts` are the pages by their addresses, for the words around a quote."""
    known = knowledge or Knowledge()
    return tuple(_verdict(claim, known, texts or {}) for claim in claims)


def _verdict(claim: Claim, knowledge: Knowledge, texts: Mapping[str, str]) -> Verdict:
    subject = knowledge.meant(claim.subject)
    text = texts.get(claim.address, "")
    around = text[max(0, claim.start - _AROUND) : claim.end + _AROUND].lower()
    case = Case(claim, subject, knowledge, around)
    found = _ruled(case)
    name = subject.name if subject.is_known or knowledge.reports(subject) else None
    return Verdict(claim, found.ruling, found.evidence, name)


def _ruled(case: Case) -> Finding:
    field = case.claim.field
    family = field.partition(":")[0]
    ask = checks().get(family)
    is_place = family == "rank"
    if not case.subject.is_known and family != "exists" and not is_place and not case.knowledge.reports(case.subject):
        return _of_nobody(case, family)
    found = ask(case) if ask else open_question()
    if found.ruling in (Ruling.REFUTED, Ruling.SUPPORTED, Ruling.UNVERIFIABLE) and _is_forecast(case, found):
        return Finding(Ruling.PREDICTION, found.evidence)
    return found


def _of_nobody(case: Case, family: str) -> Finding:
    """What is said of a model that nothing is known of."""
    if _is_forecast(case, open_question()):
        return Finding(Ruling.PREDICTION, missing(case).evidence)
    found = missing(case)
    if found.ruling is Ruling.REFUTED and family not in (*_PRESUMING, "benchmark"):
        return open_question(*found.evidence)
    return found if found.ruling is Ruling.REFUTED else open_question(*found.evidence)


def _is_forecast(case: Case, found: Finding) -> bool:
    """Whether it spoke of what was yet to come: it says so, or tells of a day after its page's."""
    if found.ruling is Ruling.PREDICTION:
        return True
    claim = case.claim
    if case.is_expected or claim.qualifier.lower() == "expected":
        return found.ruling is not Ruling.REFUTED or claim.field not in ("status", "release_date")
    if claim.field == "release_date" and is_day(str(claim.value)) and claim.published and is_day(claim.published):
        return days_between(claim.published, str(claim.value)) > 1 and found.ruling is not Ruling.REFUTED
    return False


__all__ = ["Case", "Finding", "Subject", "check", "checks"]
