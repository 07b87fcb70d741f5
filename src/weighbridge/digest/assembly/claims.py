"""Claims of an edition: how they stand, where they contradict each other, what they await, and what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from weighbridge.figures import Basis

from ..claim import Claim
from ..edition import Entry, Line, Reason, Span, Trace, Witness, findings_of
from ..kept import Fact, KeptClaim, KeptPage
from ..knowledge import words_of_name
from ..verdict import Proof, Ruling
from ..wording import RULING_WORDS, field_words, statement
from .making import RULES, UNKNOWN, Dispute, Making, joined, page_title, web

ORDER = (Ruling.REFUTED, Ruling.EXPIRED, Ruling.SUPPORTED, Ruling.PREDICTION, Ruling.UNVERIFIABLE)
# Whose differences between two listings are news.
_TOLD = {"licence": "licence", "gated": "gate", "status": "status", "base_model": "base model"}
_MOST_ORIGINS = 2
_TENTATIVE = ("expected", "reportedly", "rumoured", "rumored", "about", "announced", "planned")
_DATED = re.compile(r"20\d\d(?:-[01]\d(?:-[0-3]\d)?)?")


def entries_of(making: Making, claims: Sequence[KeptClaim], pages: Mapping[str, KeptPage]) -> tuple[Entry, ...]:
    """Claims that say the same of the same are one entry with several witnesses."""
    groups: dict[tuple[object, ...], list[KeptClaim]] = {}
    for kept in claims:
        if kept.verdict is None:
            continue
        subject = _subject(kept)
        key = (subject.lower(), kept.claim.field, str(kept.claim.value), kept.claim.qualifier, kept.verdict.ruling)
        groups.setdefault(key, []).append(kept)
    found = [_entry(making, group, pages) for group in groups.values()]
    return tuple(
        sorted(
            found,
            key=lambda each: (
                ORDER.index(each.ruling),
                each.family in (UNKNOWN, RULES),
                each.family.lower(),
                each.subject.lower(),
                each.says,
                each.id,
            ),
        )
    )


def _subject(kept: KeptClaim) -> str:
    """Whom a claim is told of: the model that is meant; of the claim that a name exists, the name itself."""
    if kept.claim.field == "exists" or kept.verdict is None:
        return kept.claim.subject
    return kept.verdict.subject or kept.claim.subject


def _entry(making: Making, group: Sequence[KeptClaim], pages: Mapping[str, KeptPage]) -> Entry:
    first = group[0]
    verdict = first.verdict
    assert verdict is not None
    witnesses = []
    for kept in group:
        page = pages[kept.page].page
        day = page.published or ""
        told = kept.claim.told or ""
        witnesses.append(
            Witness(kept.id, kept.claim.quote, page_title(page.title, page.address), page.address, day, told)
        )
    reasons = tuple(_reason(proof) for proof in verdict.evidence)
    subject, says = _subject(first), statement(first.claim)
    is_rule = first.claim.field.startswith("rule:")
    family = RULES if is_rule else making.family(verdict.subject, first.claim.subject)
    for kept, witness in zip(group, witnesses, strict=True):
        origin = joined(witness.title, witness.day)
        words = " ".join(
            [
                subject,
                family,
                kept.claim.subject,
                statement(kept.claim),
                kept.claim.quote,
                str(kept.claim.told or ""),
                witness.title,
                witness.day,
            ]
            + [f"{reason.text} {reason.origin}" for reason in reasons]
        )
        href = web(witness.address)
        evidence = "; ".join(dict.fromkeys(reason.origin for reason in reasons[:_MOST_ORIGINS] if reason.origin))
        making.traces[kept.id] = Trace(kept.id, f"{subject}: {says}", origin, words, href, evidence)
    # A name that there is stands with what is told of whom it means.
    meant = verdict.subject if verdict.ruling is Ruling.SUPPORTED else None
    key = " ".join(sorted(words_of_name(meant or subject)))
    return Entry(first.id, subject, family, says, verdict.ruling, tuple(witnesses), reasons, key, first.claim.field)


def _reason(proof: Proof) -> Reason:
    href = web(proof.source)
    return Reason(proof.text, joined(proof.source, proof.key, proof.date, str(proof.basis)), href)


def contradictions(
    claims: Sequence[KeptClaim], disputes: Sequence[Dispute], pages: Mapping[str, KeptPage]
) -> tuple[tuple[Line, ...], ...]:
    """Each with its headline, then who says what."""
    by_id = {kept.id: kept for kept in claims}
    found = []
    for dispute in disputes:
        members = [by_id[known] for known in dict.fromkeys(dispute.claims) if known in by_id]
        if len(members) < 2:
            continue
        # The headline names the thing, and no side's figure.
        lines: list[Line] = [(Span(f"{dispute.subject}: {field_words(dispute.field)}", members[0].id),)]
        sides: dict[tuple[str, str], Line] = {}
        for kept in members:
            page, says = pages[kept.page].page, statement(kept.claim)
            ruling = f" ({RULING_WORDS[kept.verdict.ruling]})" if kept.verdict else ""
            title = Span(f" - {page_title(page.title, page.address)}", kept.id, web(page.address))
            sides.setdefault((says, page.address), (Span(says, kept.id), title, Span(ruling)))
        lines += sides.values()
        found.append(tuple(lines))
    return tuple(found)


def watch(making: Making, entries: Sequence[Entry], claims: Sequence[KeptClaim]) -> tuple[tuple[str, Line], ...]:
    """Forecasts with the day that they name and what is known since; then what is new of what the reader waits for."""
    by_claim = {kept.id: kept.claim for kept in claims}
    found: list[tuple[str, Line]] = []
    for finding in findings_of(entries, (Ruling.PREDICTION,)):
        days = [day for entry in finding.entries if (day := _awaited(by_claim.get(entry.id)))]
        day = min(days, default="")
        ids = [entry.id for entry in finding.entries if _awaited(by_claim.get(entry.id)) == day]
        line = [Span(f"{finding.subject}: ", finding.entries[0].id)]
        # All of it is expected: how it is said to be makes no other forecast.
        told: dict[str, str] = {}
        for entry in finding.entries:
            claim = by_claim.get(entry.id)
            told.setdefault(_plainly(claim) if claim else entry.says, entry.id)
        for number, (says, first) in enumerate(told.items()):
            line.append(Span(f"; {says}" if number else says, first))
        line += [Span(f" (told for {day})", ids[0])] if day and not any(day in says for says in told) else []
        line += [Span(f". Known now: {reason.text}", finding.entries[0].id) for reason in finding.reasons[:1]]
        found.append((day, tuple(line)))
    found.sort(key=lambda each: (not each[0], each[0], "".join(span.text for span in each[1]).lower()))
    for name in making.around.watch:
        said = [entry for entry in entries if name.lower() in entry.subject.lower()]
        text = f"You watch {name}" + ("" if said else ": nothing was told of it")
        known = Fact(name, "watch", bool(said), text, Basis.READ, "your settings", text, making.until)
        line = [Span(known.text, known.id) for known in making.keep([known])]
        for number, entry in enumerate(said[:5]):
            line.append(Span(f"{'; ' if number else ': '}{entry.says} ({RULING_WORDS[entry.ruling]})", entry.id))
        found.append(("", tuple(line)))
    return tuple(found)


def _plainly(claim: Claim) -> str:
    """What is forecast, without the words that say that it is."""
    limits = [each for each in claim.qualifier.split(", ") if each not in _TENTATIVE]
    return statement(replace(claim, qualifier=", ".join(limits)))


def _awaited(claim: Claim | None) -> str:
    """The day or month for which something is forecast; empty where none is told."""
    if claim is None:
        return ""
    told = [str(claim.value) if claim.field == "release_date" else "", claim.told or ""]
    return next((each for each in told if _DATED.fullmatch(each)), "")


def changes(making: Making, claims: Sequence[KeptClaim]) -> tuple[Line, ...]:
    """Verdicts and listings that are not what they were."""
    found: list[Line] = []
    by_id = {kept.id: kept for kept in claims}
    for known, _, before, now in making.record.verdict_changes(making.since, making.until):
        if known in by_id:
            kept = by_id[known]
            words = f" was {RULING_WORDS[Ruling(before)]}, is {RULING_WORDS[Ruling(now)]} now"
            found.append((Span(f"{kept.claim.subject}: {statement(kept.claim)}", known), Span(words)))
    for older, newer in making.record.listing_changes(making.since, making.until):
        for told, words in _TOLD.items():
            was, is_now = older.told.get(told, ""), newer.told.get(told, "")
            if was != is_now:
                text = f"{words} was {was or 'not told'}, is {is_now or 'not told'} now"
                [fact] = making.keep(
                    [
                        Fact(
                            newer.name,
                            f"change:{told}",
                            [was, is_now],
                            text,
                            Basis.STATED,
                            newer.source,
                            f"{told} {text}",
                            newer.seen,
                        )
                    ]
                )
                found.append((Span(f"{newer.name}: {text}", fact.id, web(newer.address)),))
    return tuple(found)
