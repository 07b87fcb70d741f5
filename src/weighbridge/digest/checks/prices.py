"""What a million tokens cost at services."""

from __future__ import annotations

from weighbridge.figures import Basis

from ..verdict import Proof
from .case import Case, Finding, days_between, open_question, refuted, supported

FIELDS = ("price_input", "price_output")

_NEAR, _TIMES, _LEAST_VOICES = 0.03, 3.0, 3
# Prices fall: what a page of another year tells may have been so.
_FRESH_DAYS = 400


def check(case: Case) -> Finding:
    """Against the prices that services ask for it."""
    claimed = case.number
    if claimed is None or "USD" not in (case.claim.unit or "USD"):
        return open_question()
    side = 0 if case.claim.field == "price_input" else 1
    asked = [(each[side], each[2], served) for served in case.subject.served for each in served.prices]
    if not asked:
        return open_question()
    if any(
        abs(each[1 - side] - claimed) <= _NEAR * claimed for served in case.subject.served for each in served.prices
    ):
        # In taken for out: the words set them side by side.
        return open_question()
    low, high = min(each[0] for each in asked), max(each[0] for each in asked)
    voices = sum(each[1] for each in asked)
    what = "in" if side == 0 else "out"
    text = (
        f"services ask {low:g} to {high:g} USD a million tokens {what}"
        if low != high
        else f"services ask {low:g} USD a million tokens {what}"
    )
    served = asked[0][2]
    proof = Proof("fact", text, Basis.STATED, served.source, case.claim.field, case.knowledge.date)
    if any(abs(price - claimed) <= _NEAR * price for price, _, _ in asked):
        return supported(proof)
    if low <= claimed <= high:
        return open_question(proof)
    is_fresh = case.told is None or abs(days_between(case.told, case.knowledge.date)) <= _FRESH_DAYS
    off = claimed > high * _TIMES or claimed < low / _TIMES
    # What lies open anybody may serve, at any price.
    is_makers = not case.subject.variants and not case.subject.rows
    if off and is_makers and voices >= _LEAST_VOICES and is_fresh and not case.is_expected and claimed > 0:
        return refuted(proof)
    return open_question(proof)
