"""Places on leaderboards: among whom, and whether there still was one."""

from __future__ import annotations

import re

from ..knowledge import Fact
from ..verdict import Proof
from .case import Case, Finding, days_between, open_question, proof_of, refuted, supported

FIELDS = ("rank",)

_MONTH = 45
_CLOSED_DAYS = 30
_FULL = {"lmarena": "arena", "chatbot": "arena", "text": "arena", "lmsys": "arena"}


def check(case: Case) -> Finding:
    """Against reported places of the same weeks."""
    board = case.claim.field.partition(":")[2]
    if retired := _retired(case, board):
        return retired
    claimed = case.number
    known = [
        fact
        for fact in case.knowledge.reports(case.subject)
        if fact.field.startswith("rank:") and _same(board, fact.field)
    ]
    told = case.told
    known = [fact for fact in known if not told or abs(days_between(fact.date, told)) <= _MONTH]
    if claimed is None or not known:
        return open_question()
    is_limited = bool(re.search(r"open|among|category|size|class|us\b|chinese", case.claim.qualifier.lower()))
    equal = [fact for fact in known if float(fact.value) == claimed]
    among = [fact for fact in equal if "open" in fact.note]
    overall = [fact for fact in known if "overall" in fact.note]
    if is_limited:
        return supported(_proof(equal[0])) if equal else open_question(_proof(known[0]))
    if equal and among == equal and overall and all(float(fact.value) > claimed for fact in overall):
        # The place among some, told as the place among all.
        return refuted(_proof(overall[0]), _proof(equal[0]))
    return supported(_proof(equal[0])) if equal else open_question(_proof(known[0]))


def _same(board: str, field: str) -> bool:
    mine, its = _words(board), _words(field.partition(":")[2])
    return mine == its


def _words(board: str) -> frozenset[str]:
    words = re.findall(r"[a-z]+", board.lower())
    return frozenset(
        _FULL.get(word, word)
        for word in words
        if word not in ("ai", "leaderboard", "leaderboards", "the", "com", "elo")
    )


def _retired(case: Case, board: str) -> Finding | None:
    """A place on a leaderboard that had been closed for a month."""
    told = case.not_before
    for fact in case.knowledge.all_of("status"):
        if (
            fact.value == "retired"
            and told
            and _is_board(board, fact.of)
            and days_between(fact.note, told) > _CLOSED_DAYS
        ):
            return refuted(proof_of(fact, f"{fact.of}: {fact.key}"))
    return None


def _is_board(told: str, known: str) -> bool:
    """Whether a leaderboard's name, as told, has all words of the known one."""
    words = set(re.findall(r"[a-z]+", told.lower().replace("-", " ")))
    return set(re.findall(r"[a-z]+", known.lower())) - {"leaderboard"} <= words


def _proof(fact: Fact) -> Proof:
    board = fact.field.partition(":")[2]
    text = f"{fact.of} was #{float(fact.value):g} {fact.note} on {board}"
    return proof_of(fact, text)
