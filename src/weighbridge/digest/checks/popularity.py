"""Downloads, likes and stars: counted over thirty days or since ever, of one repository or a family.

Numbers grow, so that only the order of magnitude can refute, and only by what a day would have had to bring.
"""

from __future__ import annotations

from weighbridge.figures import Basis
from weighbridge.sizes import show_count

from ..knowledge.knowledge import HUB, is_packed
from ..verdict import Proof
from . import release
from .case import Case, Finding, days_between, open_question, proof_of, refuted, supported

FIELDS = ("downloads", "likes", "stars")

_NEAR = 0.1
# The first days of a model bring more than its later ones, but not so many times more.
_TIMES = 30.0
_COPIES = 3.0
"""How many times more the copies of others may have brought than those that are listed."""


def check(case: Case) -> Finding:
    """Against the hub's counts."""
    claimed = case.number
    if not claimed:
        return open_question()
    for fact in case.knowledge.reports(case.subject, case.claim.field):
        value = float(fact.value)
        if abs(value - claimed) <= _NEAR * value and (not case.told or abs(days_between(fact.date, case.told)) < 400):
            return supported(proof_of(fact, f"{fact.of}: {fact.key}"))
    moved = _moved(case, claimed)
    if case.claim.field == "likes":
        return _likes(case, claimed)
    if case.claim.field == "stars":
        return open_question()
    monthly, proof = _monthly(case)
    if not monthly or proof is None:
        return open_question(*moved)
    if case.says("30-day", "monthly", "per month") and abs(claimed - monthly) <= _NEAR * monthly:
        return supported(proof)
    return _by_day(case, claimed, monthly, proof, moved)


def _by_day(case: Case, claimed: float, monthly: float, proof: Proof, moved: tuple[Proof, ...]) -> Finding:
    days = release.days_of(case)
    launches = [each for each in days if each.is_launch] or list(days)
    until = case.not_after
    if not launches or not until:
        return open_question(proof, *moved)
    first = min(launches, key=lambda each: each.day)
    out = max(1, days_between(first.day, until) + 1)
    if days_between(first.day, until) < -30:
        return open_question(proof, *moved)
    a_day = claimed / out
    text = (
        f"{show_count(claimed)} in the {out} days since {first.day} are {show_count(a_day)} a day; in 30 days of "
        f"{case.knowledge.hub_date} all its listed repositories had {show_count(monthly / 30)} a day"
    )
    total = Proof("sum", text, Basis.COMPUTED, HUB, "downloads", case.knowledge.hub_date)
    # A number that was told of a sibling before needs less to be seen as moved.
    times = _TIMES if moved else _TIMES * _COPIES
    if a_day > times * monthly / 30 and monthly > 1e5:
        return refuted(total, *moved)
    return open_question(total, *moved)


def _moved(case: Case, claimed: float) -> tuple[Proof, ...]:
    """The same number, told of a sibling."""
    family = {variant.family for variant in case.subject.variants}
    found = []
    for fact in case.knowledge.all_of(case.claim.field):
        if float(fact.value) == claimed and any(name.lower() in fact.of.lower() for name in family):
            text = f"{show_count(claimed)} is told of {fact.of}: {fact.key}"
            found.append(proof_of(fact, text))
    return tuple(found)


def _monthly(case: Case) -> tuple[float, Proof | None]:
    """Downloads of thirty days of all repositories that may be meant, packed copies included."""
    names: dict[str, int] = {row.repository: row.downloads for row in case.subject.rows}
    for variant in case.subject.variants:
        for each in variant.repositories:
            names[each.name] = max(names.get(each.name, 0), each.downloads or 0)
    total = sum(names.values())
    if not total:
        return 0.0, None
    day = case.knowledge.hub_date
    text = f"its {len(names)} listed repositories had {show_count(total)} downloads in 30 days of {day}"
    return float(total), Proof("fact", text, Basis.STATED, HUB, "downloads", day)


def _likes(case: Case, claimed: float) -> Finding:
    rows = [row for row in case.subject.rows if row.likes]
    if not rows:
        return open_question()
    most = max(rows, key=lambda row: row.likes)
    best = most.likes
    proof = Proof("fact", f"{most.repository} had {best:,} likes", Basis.STATED, HUB, "likes", case.knowledge.hub_date)
    if is_packed(case.claim.subject) != is_packed(most.name):
        # A copy's likes are its own.
        return open_question(proof)
    if abs(claimed - best) <= _NEAR * best:
        return supported(proof)
    # Likes grow and are seldom taken back: many more than there are later cannot have been.
    is_past = case.told is not None and days_between(case.told, f"{case.knowledge.hub_date}-01") >= 0
    if is_past and claimed > 2 * best and case.subject.is_exact and best > 100:
        return refuted(proof)
    return open_question(proof)
