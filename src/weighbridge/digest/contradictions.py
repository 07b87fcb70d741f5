"""`contradictions()`: claims of one thing that cannot all hold, on one page or on several, with who says what.

Pages that copy each other count once: of claims with the same words only the first is a witness, and a page that links
to another says nothing of its own where it says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .checks.case import days_between, is_day
from .claim import Claim
from .knowledge import words_of_name
from .page import Page
from .verdict import Proof, Ruling, Verdict

# Counts that differ by less are two roundings of one; so are days of one launch.
_NEAR, _NEAR_DAYS = 0.08, 1
_COUNTED = ("parameters_total", "parameters_active", "experts", "context_length", "training_tokens", "training_cost")
_NAMED = ("licence", "architecture", "base_model")
_STATES = {
    "closed": "closed", "proprietary": "closed", "open-weights": "open", "open-source": "open", "open": "open",
    "released": "out", "expected": "coming", "announced": "coming",
}  # fmt: skip
_MOST_SIDES = 8
_PARTS = 50


@dataclass(frozen=True, slots=True)
class Side:
    """One of the values, and the claims that have it."""

    value: float | str | bool
    verdicts: tuple[Verdict, ...]
    witnesses: int
    """How many pages say so on their own: copies and pages that point to each other count once."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Values of one field of one subject that cannot all hold."""

    subject: str
    field: str
    sides: tuple[Side, ...]
    known: Proof | None = None
    """What settles it, where something does."""

    @property
    def is_within_one_page(self) -> bool:
        """Whether one page says it all."""
        return len({verdict.claim.address for side in self.sides for verdict in side.verdicts}) == 1


def contradictions(verdicts: Iterable[Verdict], pages: Iterable[Page] = ()) -> tuple[Contradiction, ...]:
    """All of them, by subject and field. `pages` tell who links to whom."""
    links = {page.address: frozenset(page.links) for page in pages}
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        key = _key(verdict)
        if key is not None:
            groups.setdefault(key, []).append(verdict)
    found = []
    for (subject, field), group in groups.items():
        sides = _sides(field, group, links)
        if len(sides) > 1 and not _may_all_hold(sides):
            found.append(Contradiction(_shown(subject, group), field, sides[:_MOST_SIDES], _settling(sides)))
    return tuple(sorted(found, key=lambda each: (each.subject.lower(), each.field)))


def _key(verdict: Verdict) -> tuple[str, str] | None:
    """What a claim can be set against: the same subject and field, with what limits it."""
    claim = verdict.claim
    if verdict.ruling is Ruling.PREDICTION and claim.field in _COUNTED:
        return None
    if any(word in claim.qualifier.lower() for word in ("at least", "at most", "up to", "over", "from ", "code")):
        return None
    subject = " ".join(sorted(words_of_name(claim.subject)))
    if claim.field == "architecture" and str(claim.value).lower() not in ("moe", "dense"):
        return None
    if claim.field in ("status", "openness"):
        return (subject, "status") if _state(claim) else None
    if claim.field in _COUNTED or claim.field in _NAMED or claim.field == "release_date":
        return subject, claim.field
    if claim.field.startswith(("rank:", "benchmark:")):
        return subject, claim.field
    return None


def _may_all_hold(sides: Sequence[Side]) -> bool:
    """Whether the sides are of several models that one name means, as the sizes of a release are; or forecasts all."""
    rulings = [{verdict.ruling for verdict in side.verdicts} for side in sides]
    holding = [side for side, found in zip(sides, rulings, strict=True) if Ruling.SUPPORTED in found]
    is_several = len(holding) > 1 and holding[0].verdicts[0].claim.field in _COUNTED
    return is_several or all(found == {Ruling.PREDICTION} for found in rulings)


def _shown(subject: str, group: Sequence[Verdict]) -> str:
    return next((verdict.claim.subject for verdict in group), subject)


def _sides(field: str, group: Sequence[Verdict], links: Mapping[str, frozenset[str]]) -> tuple[Side, ...]:
    """Claims by what they say; a value that agrees with two others joins the first."""
    sides: list[list[Verdict]] = []
    for verdict in group:
        place = next((side for side in sides if _agree(field, side[0].claim, verdict.claim)), None)
        if place is None:
            sides.append([verdict])
        else:
            place.append(verdict)
    if field == "status" and len(sides) > 1:
        sides = _states_at_odds(sides)
    return tuple(Side(side[0].claim.value, tuple(side), _witnesses(side, links)) for side in sides)


def _state(claim: Claim) -> str:
    return _STATES.get(str(claim.value).lower(), "")


def _states_at_odds(sides: list[list[Verdict]]) -> list[list[Verdict]]:
    """Of states only those that exclude each other: open and closed; out, and coming on a later day."""
    kinds = {_state(side[0].claim): side for side in sides}
    if "open" in kinds and "closed" in kinds:
        return [kinds["open"], kinds["closed"]]
    if "out" in kinds and "coming" in kinds:
        out = min((_day(verdict.claim) for verdict in kinds["out"]), default="")
        late = [verdict for verdict in kinds["coming"] if _day(verdict.claim) > out != ""]
        return [kinds["out"], late] if late else [kinds["out"]]
    return sides[:1]


def _day(claim: Claim) -> str:
    return next((day for day in (claim.told, claim.published) if is_day(day)), "") or ""


def _agree(field: str, one: Claim, other: Claim) -> bool:
    if field == "status":
        return _state(one) == _state(other)
    if isinstance(one.value, int | float) and isinstance(other.value, int | float):
        if field.startswith("rank:"):
            return one.value == other.value or one.qualifier != other.qualifier
        if field == "experts" and one.qualifier != other.qualifier:
            # How many there are, and how many of them a token uses.
            return True
        if field.startswith("parameters") and max(one.value, other.value) > _PARTS * min(one.value, other.value):
            # Of a part of it, or of another thing.
            return True
        slack = 0.0005 if field.startswith("benchmark:") else _NEAR
        return abs(one.value - other.value) <= slack * max(abs(one.value), abs(other.value))
    if field == "release_date" and is_day(str(one.value)) and is_day(str(other.value)):
        return days_between(str(one.value), str(other.value)) <= _NEAR_DAYS and (
            days_between(str(other.value), str(one.value)) <= _NEAR_DAYS
        )
    return str(one.value).lower() == str(other.value).lower()


def _witnesses(side: Sequence[Verdict], links: Mapping[str, frozenset[str]]) -> int:
    """Pages that say so on their own."""
    independent: list[Claim] = []
    for verdict in side:
        claim = verdict.claim
        is_copy = any(
            claim.address == other.address
            or (claim.quote.strip().lower() == other.quote.strip().lower() and len(claim.quote) > 40)
            or other.address in links.get(claim.address, ())
            or claim.address in links.get(other.address, ())
            for other in independent
        )  # fmt: skip
        if not is_copy:
            independent.append(claim)
    return len(independent)


def _settling(sides: Sequence[Side]) -> Proof | None:
    """The first reason of a claim that was settled."""
    for ruling in (Ruling.SUPPORTED, Ruling.REFUTED, Ruling.EXPIRED):
        for side in sides:
            for verdict in side.verdicts:
                if verdict.ruling is ruling and verdict.evidence:
                    return verdict.evidence[0]
    return None
