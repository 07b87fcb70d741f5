"""`assemble()`: the edition of some days, made from the record alone, in one order: the same record gives the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from weighbridge.figures import Basis

from ..edition import Edition, Entry, Line, Span, Trace
from ..found import Listing
from ..kept import Fact, KeptClaim, KeptPage, sum_of
from ..record import Record
from .claims import changes, contradictions, entries_of, watch
from .counts import moves_of, tiles_of
from .making import Dispute, Making, Surroundings, address_label, page_title, web
from .models import cards_of, glance_of, replacements_of, tries_of


def assemble(
    record: Record,
    since: str,
    until: str,
    around: Surroundings,
    *,
    sources: Sequence[str] = (),
    disputes: Callable[[Sequence[KeptClaim]], Sequence[Dispute]] = lambda _: (),
    notes: Sequence[str] = (),
) -> Edition:
    """The edition of the days from `since` to `until`, both included; where `sources` are named, of them alone."""
    making = Making(record, around, since, until)
    pages = record.pages(since, until, sources)
    claims = record.claims(pages)
    entries = entries_of(making, claims, {page.id: page for page in pages})
    listings = record.listings(since, until)
    cards = cards_of(making, entries, listings)
    key = sum_of(*(page.id for page in pages), *(claim.id for claim in claims))[:10]
    moves, moves_head = moves_of(making)
    return Edition(
        title=around.title,
        since=since,
        until=until,
        head=_head(making),
        tiles=tiles_of(making, pages, claims, listings, key),
        glance=glance_of(making, entries, cards, key),
        entries=entries,
        cards=cards,
        moves=moves,
        moves_head=moves_head,
        contradictions=contradictions(claims, disputes(claims), {page.id: page for page in pages}),
        watch=watch(making, entries, claims),
        mine=replacements_of(making, cards),
        tries=tries_of(making, cards),
        changes=changes(making, claims),
        pages=tuple(_page_line(making, page) for page in pages),
        notes=_notes(making, notes),
        traces=making.traces,
        days=_days(making, pages, listings, entries),
    )


def _head(making: Making) -> Line:
    """The days, by a fact that stands for the digest's own title too, which its reader chose."""
    days = f"{making.since} to {making.until}"
    [fact] = making.keep([Fact("this digest", "days", days, days, Basis.READ, "the days asked for", date=making.until)])
    making.note(fact.id, making.around.title)
    return making.told(fact)


def _page_line(making: Making, kept: KeptPage) -> Line:
    page = kept.page
    title = page_title(page.title, page.address)
    day = f", {page.published}" if page.published else ", no day told"
    label = address_label(page.address)
    known = Fact(
        "page", "title", page.title, f"{title}{day}", Basis.READ, page.address, kept.id, page.published or page.fetched
    )
    [fact] = making.keep([known])
    making.traces[fact.id] = Trace(fact.id, fact.text, label, f"{fact.text} {label} {fact.date}", web(page.address))
    return (Span(title, fact.id, web(page.address)), Span(day, fact.id))


def _notes(making: Making, notes: Sequence[str]) -> tuple[Line, ...]:
    """What could not be read, as facts: a note may hold figures."""
    facts = [Fact("source", "not read", note, note, Basis.READ, "this gathering", note, making.until) for note in notes]
    return tuple((Span("Not read: "), *making.told(fact)) for fact in making.keep(facts))


def _days(
    making: Making, pages: Sequence[KeptPage], listings: Sequence[Listing], entries: Sequence[Entry]
) -> dict[str, tuple[Line, ...]]:
    """What came out on each day; nothing for a day of these that is only spoken of."""
    found: dict[str, list[Line]] = defaultdict(list)
    for kept in pages:
        found[kept.page.published or kept.page.fetched].append(_page_line(making, kept))
    for listing in listings:
        if listing.released:
            text = f"{listing.name}, {listing.released}"
            known = Fact(
                listing.name, "listed", listing.released, text, Basis.STATED, listing.source, listing.kind, listing.seen
            )
            [fact] = making.keep([known])
            line = (Span(listing.name, fact.id, web(listing.address)), Span(f" ({listing.kind})"))
            found[listing.released].append(line)
    for entry in entries:
        for witness in entry.witnesses:
            if len(witness.told) == len(making.since) and making.since <= witness.told <= making.until:
                found.setdefault(witness.told, [])
    return {day: tuple(found[day]) for day in sorted(found)}
