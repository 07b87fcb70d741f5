"""`make_edition()`: from pages that were gathered to an edition: claims read, checked, recorded and put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .assembly import Dispute, Surroundings, assemble
from .checks import check
from .contradictions import contradictions
from .edition import Edition
from .kept import KeptClaim, KeptPage
from .knowledge import Knowledge
from .record import Record
from .told import told_by


def read_claims(record: Record, tell: Callable[[str], None] = lambda _: None) -> int:
    """Read the claims of all pages that were not read yet; how many pages these were."""
    unread = record.unread()
    for kept in unread:
        found = told_by(kept.page)
        record.keep_claims(kept, found)
        tell(f"{kept.page.title or kept.page.address}: {len(found)} claims")
    return len(unread)


def check_claims(record: Record, pages: Sequence[KeptPage], knowledge: Knowledge, day: str) -> int:
    """Check the claims of these pages by what is known now, and record what is new of their verdicts; how many there
    are."""
    kept = record.claims(pages)
    verdicts = check([each.claim for each in kept], knowledge, record.around(pages))
    record.keep_verdicts(((each.id, verdict) for each, verdict in zip(kept, verdicts, strict=True)), day)
    return len(kept)


def make_edition(
    record: Record,
    since: str,
    until: str,
    around: Surroundings,
    knowledge: Knowledge,
    *,
    sources: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Edition:
    """The edition of these days. The claims of its pages are checked first, as of its last day."""
    read_claims(record)
    pages = record.pages(since, until, sources)
    check_claims(record, pages, knowledge, until)

    def disputes(claims: Sequence[KeptClaim]) -> list[Dispute]:
        ids = {each.claim: each.id for each in claims}
        found = contradictions([each.verdict for each in claims if each.verdict], [each.page for each in pages])
        return [
            Dispute(each.subject, each.field, [ids[verdict.claim] for side in each.sides for verdict in side.verdicts])
            for each in found
        ]

    return assemble(record, since, until, around, sources=sources, disputes=disputes, notes=notes)
