"""When it came out, whether it has, and whether its weights are open: told apart by days.

A repository is made days to weeks before its launch, and packed copies by others lie on the hub from the launch on: the
day lies between. What services and dated publications tell is set beside.
"""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

from weighbridge.figures import Basis

from ..knowledge import Fact, sizes_in, words_of_name
from ..knowledge.knowledge import HUB
from ..knowledge.names import versions_in
from ..verdict import Proof, Ruling
from . import existence
from .case import (
    Case,
    Finding,
    days_between,
    expired,
    first_day,
    is_day,
    last_day,
    open_question,
    proof_of,
    refuted,
    supported,
)

FIELDS = ("release_date", "status", "openness")

_BESIDE = 40
_NEAR_DAYS, _LAUNCH_DAYS, _FAR_DAYS, _MONTH_DAYS = 10, 60, 100, 31
_CLOCK_DAYS, _SERVED_DAYS = 1, 5
# Two witnesses that agree so well settle the launch, and a day so far from it is another.
_AGREED_DAYS, _OFF_DAYS, _MANY_SERVICES = 7, 21, 3
_DAY_LENGTH = len("2026-04-19")
# Repositories of models from before this day were often made anew.
_HUB_SINCE = "2023-06-01"
_HUB_SURE = "2023-12-01"
_OUT = ("released", "available", "launched", "shipped", "published", "ga", "out", "open", "open-weights")
_COMING = (
    "expected",
    "upcoming",
    "imminent",
    "planned",
    "rumoured",
    "rumored",
    "preview",
    "teased",
    "unreleased",
)
_CLOSED = ("closed", "closed-source", "proprietary", "api-only", "closed-weights", "gated")
_OPEN = ("open", "open-weights", "open-weight", "open weights", "open-source", "open source", "opensource")


class Day(NamedTuple):
    """A day on which it came out, as one source tells."""

    day: str
    is_launch: bool
    """Whether it is the launch; else the day on which its repository was made, which is earlier."""
    proof: Proof
    services: int = 0
    """How many services tell it; 0 where it is not from services."""


def days_of(case: Case) -> tuple[Day, ...]:
    """All days of release that are known, the earliest first."""
    found = []
    for fact in case.knowledge.reports(case.subject, "release_date"):
        text = f"{fact.of} came out on {fact.value} ({fact.key})"
        proof = proof_of(fact, text)
        found.append(Day(str(fact.value), True, proof))
    for variant in case.subject.variants:
        if variant.released and variant.released.value >= _HUB_SINCE:
            text = f"{variant.repository} was made on {variant.released.value}"
            proof = Proof("fact", text, Basis.STATED, variant.released.source, "createdAt", variant.released.date)
            found.append(Day(variant.released.value, False, proof))
    named = {variant.repository for variant in case.subject.variants}
    for row in case.subject.rows:
        # A later revision by the same name came out on a day of its own.
        if row.created >= _HUB_SINCE and row.repository not in named:
            proof = Proof(
                "fact",
                f"{row.repository} was made on {row.created}",
                Basis.STATED,
                HUB,
                "createdAt",
                case.knowledge.hub_date,
            )
            found.append(Day(row.created, False, proof))
    if served_day := _served_day(case):
        found.append(served_day)
    return tuple(sorted(found, key=lambda each: each.day))


def _served_day(case: Case) -> Day | None:
    """The day that most services tell; where they do not agree within a month, none."""
    votes: dict[str, int] = {}
    for served in case.subject.served:
        for day, times in served.days:
            if not is_day(day):
                continue
            votes[day] = votes.get(day, 0) + times
    if not votes:
        return None
    day = max(votes, key=lambda each: (votes[each], each))
    near = sum(times for other, times in votes.items() if abs((first_day(other) - first_day(day)).days) <= _MONTH_DAYS)
    if 2 * near <= sum(votes.values()):
        return None
    served = next(each for each in case.subject.served if day in dict(each.days))
    text = f"{served.name} came out on {day}, as {votes[day]} services tell"
    proof = Proof("fact", text, Basis.STATED, served.source, "release_date", case.knowledge.date)
    return Day(day, True, proof, votes[day])


def check(case: Case) -> Finding:
    """By the claim's field."""
    if case.claim.field == "release_date":
        return _check_day(case)
    if case.claim.field == "openness":
        return _check_openness(case, case.word)
    return _check_status(case)


def _check_day(case: Case) -> Finding:
    day = str(case.claim.value)
    known = days_of(case)
    if not is_day(day) or not known:
        return open_question(*(each.proof for each in known[:2]))
    claimed_first, claimed_last = first_day(day), last_day(day)
    is_rough = case.says("late", "early", "mid", "end of") or case.is_about
    slack = _NEAR_DAYS + 20 if is_rough else 0 if len(day) == _DAY_LENGTH else _NEAR_DAYS
    near = [
        each
        for each in known
        if _distance(each.day, day) <= _precision(each, slack)
        and (each.is_launch or first_day(each.day) <= claimed_last + datetime.timedelta(days=2))
    ]
    if case.is_expected or case.says("expected"):
        return _expected(case, known)
    nearest = sorted((each for each in known if each.is_launch), key=lambda each: _distance(each.day, day))
    launch = next(iter(nearest), None)
    if near and (launch is None or launch in near or _is_loosely_told(launch, near)):
        return supported((launch if launch in near else near[0]).proof)
    if case.subject.is_exact and (agreed := _agreed(known, claimed_first)):
        return refuted(*agreed)
    if launch is not None and _distance(launch.day, day) <= _LAUNCH_DAYS:
        # The day of its launch is known, and is another.
        return open_question(launch.proof)
    proofs = tuple(dict.fromkeys(each.proof for each in (known[0], known[-1])))
    if all(each.services for each in known):
        # Services write down when they began to offer a closed model, or a version of it.
        return open_question(*proofs)
    return refuted(*proofs) if _is_another_time(case, known, claimed_first, claimed_last) else open_question(*proofs)


def _is_loosely_told(launch: Day, near: list[Day]) -> bool:
    """Whether what services wrote down lies too far from the repository's day to settle the launch."""
    made = [each.day for each in near if not each.is_launch]
    return launch.services > 0 and all(abs(_apart(day, launch.day)) > _AGREED_DAYS for day in made)


def _agreed(known: tuple[Day, ...], claimed_first: datetime.date) -> tuple[Proof, ...]:
    """The repository's day and the launch that several services tell, where they agree within days, nothing else is
    known of it, and the claimed days begin weeks after both; else nothing. Weeks before them a preview by nearly the
    same name may have been out."""
    launch = next((each for each in known if each.services >= _MANY_SERVICES), None)
    made = [each for each in known if not each.is_launch]
    if launch is None or not made or len(made) + 1 < len(known) or known[0].day < _HUB_SURE:
        return ()
    if any(abs(_apart(each.day, launch.day)) > _AGREED_DAYS for each in made):
        return ()
    late = (claimed_first - last_day(max(each.day for each in known))).days
    return (made[0].proof, launch.proof) if late > _OFF_DAYS else ()


def _apart(one: str, other: str) -> int:
    """Days from one known day to another."""
    return (first_day(other) - first_day(one)).days


def _precision(known: Day, slack: int) -> int:
    """Within how many days a known day agrees. A launch that a publication dates is that day, by some clock the next;
    services write down what they noticed; a repository is made before its launch."""
    if not known.is_launch:
        return _LAUNCH_DAYS
    return max(slack, _SERVED_DAYS if known.services else _CLOCK_DAYS)


def _is_another_time(
    case: Case, known: tuple[Day, ...], claimed_first: datetime.date, claimed_last: datetime.date
) -> bool:
    """Whether the claimed days lie so far from all that is known that no slip of weeks explains them."""
    first, last = known[0], known[-1]
    spread = days_between(first.day, last.day)
    if not case.subject.is_exact and first_day(first.day) <= claimed_last and claimed_first <= last_day(last.day):
        return False
    copies = [made for variant in case.subject.variants if (made := case.knowledge.copies_made(variant))]
    late = (claimed_first - last_day(max(last.day, min(copies, default=last.day)))).days
    if late > _FAR_DAYS and (spread <= 2 * _FAR_DAYS or not case.subject.is_exact):
        # What is on the hub was there before; a repository alone may have waited for its launch.
        return len(known) >= 2 or bool(copies) or last.is_launch or late > 2 * _FAR_DAYS
    early = (first_day(first.day) - claimed_last).days
    if early <= _FAR_DAYS or first.day <= _HUB_SURE:
        return False
    if sizes_in(case.subject.words) and any(abs(_apart(first.day, made)) <= _MONTH_DAYS for made in copies):
        # Others packed its weights as soon as its repository was made.
        return True
    return any(each.is_launch for each in known) and len(known) >= 2 and spread <= _FAR_DAYS


def _distance(known: str, claimed: str) -> int:
    """Days between a known day and a claimed day, month or year; 0 inside."""
    day, first, last = first_day(known), first_day(claimed), last_day(claimed)
    return max((first - day).days, (day - last).days, 0)


def _expected(case: Case, known: tuple[Day, ...]) -> Finding:
    """Expected when it had long been out: refuted; else a prediction, with what came of it."""
    told = case.not_before
    launch = min((each for each in known), key=lambda each: each.day)
    is_coming = case.claim.field == "release_date" or any(case.word.startswith(coming) for coming in _COMING)
    if told and is_coming and days_between(launch.day, told) > _LAUNCH_DAYS and _is_said_of_it(case):
        return refuted(launch.proof)
    return Finding(Ruling.PREDICTION, tuple(each.proof for each in known[:2]))


_COMING_WORDS = re.compile(
    r"expected|upcoming|imminent|anticipated|eventual|early (?:development|phase|stage)|yet to|not yet|soon|will\b"
    r"|launch|release|debut|availab|arriv|due\b|coming|planned|slated|scheduled|preparing|development"
)
# What is to come is a part of it, or its successor.
_NEXT = re.compile(r"\b(?:next|new|updated?|successor|feature|support|app|api|plugin|integration)\b")


def _is_said_of_it(case: Case) -> bool:
    """Whether its name stands beside the words that tell of what is to come."""
    quote = case.claim.quote.lower()
    for word in case.subject.words:
        for match in re.finditer(re.escape(word), quote) if len(word) > 2 and word.isalpha() else ():
            after = re.split(r"[,;]", quote[match.end() : match.end() + _BESIDE])[0]
            before = re.split(r"[,;]", quote[max(0, match.start() - _BESIDE // 2) : match.start()])[-1]
            if (_COMING_WORDS.search(after) or _COMING_WORDS.search(before)) and not _NEXT.search(f"{before} {after}"):
                return True
    return False


def _check_status(case: Case) -> Finding:
    word = case.word.replace("_", "-")
    if word in _CLOSED:
        return _check_openness(case, "closed")
    if word in ("retired", "deprecated", "archived", "discontinued"):
        facts = [
            fact for fact in case.knowledge.reports(case.subject, "status") if fact.value in ("retired", "deprecated")
        ]
        return supported(*(_told(fact) for fact in facts)) if facts else open_question()
    known = days_of(case)
    if any(word.startswith(coming) for coming in _COMING) or case.is_expected:
        if not known:
            return Finding(Ruling.PREDICTION)
        return _expected(case, known)
    if word.startswith("announced"):
        return supported(known[0].proof) if known else open_question()
    if not any(word.startswith(out) for out in _OUT):
        return open_question(*(each.proof for each in known[:1]))
    if not case.subject.is_known and not known:
        return existence.missing(case)
    if _was_to_come(case, known):
        return refuted(known[0].proof)
    if case.told and known and all(days_between(case.told, each.day) > _NEAR_DAYS for each in known):
        # That it came out later does not show that it had.
        return open_question(known[0].proof)
    # A launch says more than the day on which a repository was made.
    out = next((each for each in known if each.is_launch and (not case.told or each.day <= case.told)), None)
    return supported((out or known[0]).proof) if known else existence.check(case)


def _was_to_come(case: Case, known: tuple[Day, ...]) -> bool:
    """Whether it is told as out before it was: by its repository and by dated publications. Services know of a closed
    model later than its users."""
    sure = [each for each in known if each.proof.key != "release_date"]
    heard = case.knowledge.first_mention(case.subject.words)
    if not sure or not case.told or (heard and heard <= case.told):
        return False
    if not any(sign.isdigit() for word in case.subject.words for sign in word):
        # A name without a version may be another product's.
        return False
    # `last month's release`: what tells a month tells it of something else at times. Where no launch is known, services
    # may have had it before its repository was made: the weights that a size names they had not.
    slack = _NEAR_DAYS if len(case.told) == _DAY_LENGTH else _LAUNCH_DAYS
    if not any(each.is_launch for each in known):
        if not sizes_in(case.subject.words):
            return False
        slack = max(slack, _LAUNCH_DAYS)
    if days_between(case.told, known[0].day) <= slack or any(each.day <= case.told for each in known):
        return False
    # An experiment or a preview that its maker gave out before is called by its name too.
    first = case.knowledge.first_of_kin(case.subject)
    return first is None or days_between(case.told, first) > _NEAR_DAYS


def _told(fact: Fact) -> Proof:
    return proof_of(fact, f"{fact.of}: {fact.value} ({fact.key})")


def _check_openness(case: Case, word: str) -> Finding:
    opened = _opened(case)
    closed = [_told(fact) for fact in case.knowledge.reports(case.subject, "status") if fact.value == "closed"]
    votes = sum(served.closed_votes for served in case.subject.served)
    pros = sum(served.open_votes for served in case.subject.served)
    if not closed and votes >= 2 and votes > 2 * pros and not case.subject.variants and not case.subject.rows:
        served = case.subject.served[0]
        text = f"{served.name}: {votes} services list it without open weights, {pros or 'none'} with"
        closed = [Proof("fact", text, Basis.STATED, served.source, "open_weights", case.knowledge.date)]
    if word in _CLOSED or word.startswith("closed"):
        return _closed(case, opened, closed)
    if not any(word.startswith(each) for each in _OPEN):
        return open_question()
    if opened:
        return supported(opened[0][1])
    if closed and votes >= 3 and not pros and not case.subject.rows:
        return refuted(*closed)
    return open_question(*closed)


def _closed(case: Case, opened: list[tuple[str, Proof]], closed: list[Proof]) -> Finding:
    told = case.told
    if not opened:
        return supported(*closed, *_open_siblings(case)) if closed else open_question()
    first = min(opened, key=lambda each: each[0])
    if told and days_between(told, first[0]) > 0:
        if not closed and all(each.day > told for each in days_of(case)):
            # It was not out at all: nothing that was closed has opened since.
            return Finding(Ruling.PREDICTION, (first[1],))
        return expired(*closed, first[1])
    # Weights that lie open may be under a proprietary licence.
    if case.subject.variants and case.subject.is_exact and "proprietary" not in case.claim.quote.lower():
        return refuted(first[1])
    return open_question(first[1])


def _open_siblings(case: Case) -> tuple[Proof, ...]:
    """That others of the same version lie open: `Qwen3.6-Plus` is closed, Qwen3.6-27B is not."""
    versions = versions_in(case.subject.words)
    family = {word for word in case.subject.words if word.isalpha()}
    found = [
        variant
        for variant in case.knowledge.catalogue
        if versions and versions <= words_of_name(variant.name) and family & words_of_name(variant.family)
    ]
    if not found:
        return ()
    names = ", ".join(variant.name for variant in found[:4])
    return (Proof("name", f"others of that version lie open: {names}", Basis.STATED, HUB, "", case.knowledge.hub_date),)


def _opened(case: Case) -> list[tuple[str, Proof]]:
    """Days on which weights lay open, each with what shows it."""
    found = [
        (fact.date, _told(fact)) for fact in case.knowledge.reports(case.subject, "status") if fact.value == "open"
    ]
    for variant in case.subject.variants:
        day = variant.released.value if variant.released else case.knowledge.hub_date
        text = f"the weights lie in {variant.repository}" + (f" since {day}" if variant.released else "")
        found.append((day, Proof("fact", text, Basis.STATED, HUB, variant.repository, case.knowledge.hub_date)))
    for row in case.subject.rows if not case.subject.variants else ():
        text = f"the weights lie in {row.repository}"
        found.append(
            (
                row.created or case.knowledge.hub_date,
                Proof("fact", text, Basis.STATED, HUB, row.repository, case.knowledge.hub_date),
            )
        )
    return found
