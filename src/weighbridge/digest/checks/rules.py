"""What a law, a definition or a leaderboard's own notice says of statements about it.

The AI Act's rules for general-purpose models are those that the package records with their articles; not legal advice.
"""

from __future__ import annotations

import re

from weighbridge.figures import Basis

from ..verdict import Proof
from .case import Case, Finding, days_between, open_question, proof_of, refuted

FIELDS = ("rule",)

_DATE = "2026-11-21"
_ACT = "Regulation (EU) 2024/1689"
_GUIDELINES = "Commission Guidelines C(2025) 5045 of 18 July 2025, adopted as C(2025) 7719 on 19 Nov 2025"
_CLOSED_DAYS = 30


def check(case: Case) -> Finding:
    """By the kind of rule."""
    kind = case.claim.field.partition(":")[2]
    asked = {
        "threshold": _threshold, "exemption": _exemption, "documentation": _documentation, "requirement": _requirement,
        "leaderboard": _leaderboard, "version": _version,
    }.get(kind)  # fmt: skip
    return asked(case) if asked else open_question()


def _rule(text: str, source: str, key: str) -> Proof:
    return Proof("rule", text, Basis.STATED, source, key, _DATE)


def _threshold(case: Case) -> Finding:
    compute = "general-purpose models are told by training compute, over 1e23 FLOP; there is no test of parameters"
    return refuted(
        _rule(compute, _GUIDELINES, "points 17 and 18"),
        _rule("systemic risk is presumed over 1e25 FLOP of training compute", _ACT, "Art. 51(2)"),
    )


def _exemption(case: Case) -> Finding:
    text = (
        "free and open-source models are exempt from Art. 53(1)(a), (b) and Art. 54 alone; a copyright policy and the "
        "public summary of training content, (c) and (d), are owed by all"
    )
    return refuted(_rule(text, _ACT, "Art. 53(2), recital 104"))


def _documentation(case: Case) -> Finding:
    text = (
        "technical and downstream documentation, Art. 53(1)(a) and (b), are what free and open-source models are "
        "exempt from, whatever their size; systemic risk alone ends the exemption"
    )
    return refuted(_rule(text, _ACT, "Art. 53(2)"))


def _requirement(case: Case) -> Finding:
    facts = case.knowledge.reports_of(case.claim.subject, "requires")
    if not facts:
        return open_question()
    return refuted(*(proof_of(fact, f"it requires {fact.value}, not the data") for fact in facts[:1]))


def _leaderboard(case: Case) -> Finding:
    told = case.not_before
    for fact in case.knowledge.reports_of(case.claim.subject, "status"):
        if fact.value == "retired":
            proof = proof_of(fact, f"{fact.of}: {fact.key}")
            is_later = told is not None and days_between(fact.note, told) > _CLOSED_DAYS
            return refuted(proof) if is_later else open_question(proof)
    return open_question()


def _version(case: Case) -> Finding:
    """A version that is told as coming when a later one was out."""
    name, _, version = case.claim.subject.rpartition(" ")
    told = case.not_before
    later = [
        fact for fact in case.knowledge.reports_of(name, "version")
        if _numbers(str(fact.value)) > _numbers(version) and told and days_between(fact.date, told) > 0
    ]  # fmt: skip
    if not later:
        return open_question()
    newest = max(later, key=lambda fact: _numbers(str(fact.value)))
    return refuted(proof_of(newest, f"{name} {newest.value} was out by {newest.date}"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
