"""`Record`: what the digest knows, in the store: pages by their content, claims, verdicts, releases, facts and counts.

Of strangers' texts only quotes are kept, with the words around them by which they are checked again: a page's text
stands in the store from its fetch to the reading of its claims, so that a run that was stopped loses nothing, and goes
then. Its title, address, day and sums stay.

Everything published is made from here, each figure by the id of what it is from: `c...` a claim, `f...` a fact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from weighbridge import __version__
from weighbridge.figures import Basis
from weighbridge.store import Store

from .claim import Claim
from .found import Listing, Sighting, Step
from .kept import Fact, KeptClaim, KeptPage, claim_id, page_id, sum_of
from .page import Page
from .verdict import Proof, Ruling, Verdict

AROUND = 160
"""So many letters before and after a claim are kept with it."""
_YEAR = re.compile(r"\b20\d\d\b")
GRAMMAR = __version__
"""By what claims are read. Pages that an older one read are read anew when their sources bring them."""


class Record:
    """The digest's tables of a `Store`, which its owner opens and closes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # What sources bring.

    def keep(self, step: Step, source: str, validators: Mapping[str, tuple[str, str]] | None = None) -> int:
        """Keep what a step brought, with the place to go on from and what servers said of it, all or nothing; how many
        pages were new."""
        new = 0
        with self._store.transaction():
            for item in step.items:
                if isinstance(item, Page):
                    new += self._keep_page(item, source)
                elif isinstance(item, Listing):
                    self._keep_listing(item)
                else:
                    self._keep_sighting(item)
            for url, (etag, modified) in (validators or {}).items():
                self._store.write("INSERT OR REPLACE INTO validators VALUES (?, ?, ?)", (url, etag, modified))
            self._store.write("UPDATE gathered SET cursor = ? WHERE source = ?", (step.cursor, source))
        return new

    def of(self, url: str) -> tuple[str, str] | None:
        """ETag and Last-Modified of an address, as it was kept the last time; None where its claims were read by an
        older grammar: it is wanted anew."""
        rows = self._store.rows(
            "SELECT etag, modified FROM validators WHERE url = ? AND NOT EXISTS "
            "(SELECT 1 FROM pages WHERE address = url AND grammar != ?)",
            (url, GRAMMAR),
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def _keep_page(self, page: Page, source: str) -> int:
        known = page_id(page)
        # What is known needs no second reading, but by a newer grammar.
        self._store.write("UPDATE pages SET text = ? WHERE id = ? AND grammar != ?", (page.text, known, GRAMMAR))
        self._store.write(
            "INSERT OR IGNORE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]', ?)",
            (
                known, sum_of(page.text), page.address, page.title, page.published, page.fetched, source,
                len(page.text), json.dumps(page.links), page.text, GRAMMAR,
            ),
        )  # fmt: skip
        return int(self._store.rows("SELECT changes()")[0][0])

    def _keep_listing(self, listing: Listing) -> None:
        """A row where something of it is new: so rows tell what changed, and when."""
        told = json.dumps(dict(listing.told), sort_keys=True, ensure_ascii=False)
        before = self._store.rows(
            "SELECT address, released, told FROM listings WHERE name = ? AND kind = ? ORDER BY seen DESC LIMIT 1",
            (listing.name, listing.kind),
        )
        if before and before[0] == (listing.address, listing.released, told):
            return
        self._store.write(
            "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?, ?, ?)",
            (listing.name, listing.kind, listing.seen, listing.address, listing.released, listing.source, told),
        )

    def _keep_sighting(self, sighting: Sighting) -> None:
        self._store.write(
            "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)",
            (sighting.model, sighting.date, sighting.likes, sighting.downloads, sighting.source),
        )

    # Gatherings that can be stopped.

    def begin(self, sources: Sequence[str], now: str) -> dict[str, str | None]:
        """The sources that are to be read, each with where to go on: all of them, or what a gathering of the same day
        that was stopped had left."""
        rows = self._store.rows(
            "SELECT source, begun, cursor, finished FROM gathered WHERE source IN (SELECT value FROM json_each(?))",
            (json.dumps(list(sources)),),
        )
        stopped = max(
            (begun for _, begun, _, finished in rows if finished is None and begun[:10] == now[:10]), default=None
        )
        if stopped is not None:
            done = {source for source, begun, _, finished in rows if begun == stopped and finished is not None}
            left = {source: cursor for source, begun, cursor, finished in rows if begun == stopped and finished is None}
            todo = {source: left.get(source) for source in sources if source not in done}
        else:
            stopped, todo = now, dict.fromkeys(sources)
        with self._store.transaction():
            for source, cursor in todo.items():
                self._store.write(
                    "INSERT OR REPLACE INTO gathered VALUES (?, ?, ?, NULL, '')", (source, stopped, cursor)
                )
        return todo

    def end(self, source: str, day: str, note: str = "") -> None:
        """This source is read, or could not be."""
        self._store.write(
            "UPDATE gathered SET cursor = NULL, finished = ?, note = ? WHERE source = ?", (day, note[:1000], source)
        )

    # Claims and verdicts.

    def unread(self) -> list[KeptPage]:
        """Pages whose claims were not read yet, with their texts."""
        return self._pages("WHERE text IS NOT NULL")

    def keep_claims(self, page: KeptPage, claims: Iterable[Claim]) -> None:
        """The claims of a page that was unread; its text goes with that, but for the words around them."""
        found = {claim_id(page.id, claim): claim for claim in claims}
        with self._store.transaction():
            # Claims that are read as before keep the history of their verdicts.
            self._store.write(
                "DELETE FROM claims WHERE page = ? AND id NOT IN (SELECT value FROM json_each(?))",
                (page.id, json.dumps(list(found))),
            )
            for known, claim in found.items():
                self._store.write(
                    "INSERT OR IGNORE INTO claims VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        known, page.id, claim.subject, claim.field, json.dumps(claim.value), claim.unit,
                        claim.qualifier, claim.quote, claim.start, claim.end, claim.told,
                    ),
                )  # fmt: skip
            self._store.write(
                "UPDATE pages SET around = ?, text = NULL, grammar = ? WHERE id = ?",
                (json.dumps(_around(page.page.text, found.values()), ensure_ascii=False), GRAMMAR, page.id),
            )

    def around(self, pages: Iterable[KeptPage]) -> dict[str, str]:
        """By address what is left of the pages' texts: words around claims, and years, each at its old place; blanks
        between them."""
        found = {}
        for kept in pages:
            [(length, around)] = self._store.rows("SELECT characters, around FROM pages WHERE id = ?", (kept.id,))
            letters = [" "] * length
            for start, words in json.loads(around):
                letters[start : start + len(words)] = words
            found[kept.page.address] = "".join(letters)
        return found

    def keep_verdicts(self, verdicts: Iterable[tuple[str, Verdict]], day: str) -> None:
        """Verdicts by their claims' ids; a row where one is new or another than before."""
        with self._store.transaction():
            latest = self._latest()
            for claim, verdict in verdicts:
                evidence = json.dumps([asdict(proof) for proof in verdict.evidence], ensure_ascii=False)
                if latest.get(claim, ("",))[1:] == (str(verdict.ruling), verdict.subject, evidence):
                    continue
                self._store.write(
                    "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)",
                    (claim, day, str(verdict.ruling), verdict.subject, evidence),
                )

    def _latest(self, until: str = "9") -> dict[str, tuple[str, str, str | None, str]]:
        rows = self._store.rows(
            "SELECT claim, checked, ruling, subject, evidence FROM verdicts WHERE checked <= ? ORDER BY claim, checked",
            (until,),
        )
        return {claim: (checked, ruling, subject, evidence) for claim, checked, ruling, subject, evidence in rows}

    def pages(self, since: str, until: str, sources: Sequence[str] = ()) -> list[KeptPage]:
        """Pages of these days, by the day of their publication, or of their reading where none is told; of a page that
        was read again, the newest text. `sources`: only what came by them, with what tells no day of its own."""
        found = self._pages(
            "WHERE (coalesce(published, fetched) BETWEEN ? AND ? OR published IS NULL AND ?) AND NOT EXISTS (SELECT 1 "
            "FROM pages AS newer WHERE newer.address = pages.address AND (newer.fetched, newer.id) > "
            "(pages.fetched, pages.id))",
            (since, until, bool(sources)),
        )
        return [page for page in found if not sources or page.source in sources]

    def _pages(self, where: str, values: Sequence[object] = ()) -> list[KeptPage]:
        rows = self._store.rows(
            "SELECT id, content, address, title, published, fetched, source, links, text FROM pages "  # noqa: S608
            + where
            + " ORDER BY coalesce(published, fetched), address, id",
            values,
        )
        return [
            KeptPage(
                known, Page(address, text or "", title, published, fetched, tuple(json.loads(links))), content, source
            )
            for known, content, address, title, published, fetched, source, links, text in rows
        ]

    def claims(self, pages: Iterable[KeptPage]) -> list[KeptClaim]:
        """The claims of these pages, in the order of their words, each with its newest verdict."""
        latest = self._latest()
        found = []
        for kept in pages:
            rows = self._store.rows(
                "SELECT id, subject, field, value, quote, start, end, unit, qualifier, told FROM claims WHERE page = ? "
                "ORDER BY start, end, field, id",
                (kept.id,),
            )
            for known, subject, field, value, quote, start, end, unit, qualifier, told in rows:
                claim = Claim(
                    subject, field, json.loads(value), quote, start, end, unit, qualifier, kept.page.address, told,
                    kept.page.published, kept.page.fetched,
                )  # fmt: skip
                checked, ruling, meant, evidence = latest.get(known, ("", "", None, ""))
                verdict = Verdict(claim, Ruling(ruling), _proofs(evidence), meant) if ruling else None
                found.append(KeptClaim(known, claim, kept.id, verdict, checked))
        return found

    def verdict_changes(self, since: str, until: str) -> list[tuple[str, str, str, str]]:
        """(claim, day, ruling before, ruling now) of claims that stood otherwise before `since`."""
        rows = self._store.rows(
            "SELECT now.claim, now.checked, before.ruling, now.ruling FROM verdicts AS now JOIN verdicts AS before "
            "ON before.claim = now.claim AND before.checked = (SELECT max(checked) FROM verdicts AS older WHERE "
            "older.claim = now.claim AND older.checked < now.checked) "
            "WHERE now.checked BETWEEN ? AND ? AND now.ruling != before.ruling ORDER BY now.checked, now.claim",
            (since, until),
        )
        return [(claim, day, before, now) for claim, day, before, now in rows]

    # Releases, facts, counts.

    def listings(self, since: str, until: str) -> list[Listing]:
        """What was released in these days, as it was seen last."""
        rows = self._store.rows(
            "SELECT * FROM listings AS one WHERE released BETWEEN ? AND ? AND seen = (SELECT max(seen) FROM listings "
            "AS other WHERE other.name = one.name AND other.kind = one.kind) ORDER BY released DESC, kind, name",
            (since, until),
        )
        return [_listing(row) for row in rows]

    def listing_changes(self, since: str, until: str) -> list[tuple[Listing, Listing]]:
        """(before, now) of what was listed otherwise in these days than before."""
        rows = self._store.rows(
            "SELECT * FROM listings WHERE seen <= ? ORDER BY name, kind, seen",
            (until,),
        )
        found = [_listing(row) for row in rows]
        return [
            (before, now)
            for before, now in pairwise(found)
            if (before.name, before.kind) == (now.name, now.kind) and now.seen >= since
        ]

    def keep_facts(self, facts: Iterable[Fact]) -> list[Fact]:
        """The facts as they are recorded: what was recorded first stays, so that a rebuild says the same."""
        kept = list(facts)
        with self._store.transaction():
            for fact in kept:
                self._store.write(
                    "INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        fact.id, fact.subject, fact.field, json.dumps(fact.value, sort_keys=True), fact.text,
                        str(fact.basis), fact.source, fact.key, fact.date,
                    ),
                )  # fmt: skip
        return [self.fact(fact.id) or fact for fact in kept]

    def fact(self, known: str) -> Fact | None:
        """A recorded fact by its id."""
        rows = self._store.rows("SELECT * FROM facts WHERE id = ?", (known,))
        return _fact(rows[0]) if rows else None

    def facts(self, subject: str | None = None, field: str | None = None) -> list[Fact]:
        """Recorded facts, of one subject or field."""
        rows = self._store.rows(
            "SELECT * FROM facts WHERE (? IS NULL OR subject = ?) AND (? IS NULL OR field = ?) "
            "ORDER BY subject, field, date, id",
            (subject, subject, field, field),
        )
        return [_fact(row) for row in rows]

    def series(self, since: str = "", until: str = "9") -> list[Sighting]:
        """Counts of these days, by model and day."""
        rows = self._store.rows(
            "SELECT model, date, likes, downloads, source FROM series WHERE date BETWEEN ? AND ? ORDER BY model, date",
            (since, until),
        )
        return [Sighting(*row) for row in rows]

    def newest_day(self) -> str | None:
        """The newest day of which anything is recorded."""
        rows = self._store.rows(
            "SELECT max(day) FROM (SELECT max(coalesce(published, fetched)) AS day FROM pages UNION ALL "
            "SELECT max(date) FROM series UNION ALL SELECT max(seen) FROM listings)"
        )
        return rows[0][0] if rows else None

    def page_days(self, sources: Sequence[str]) -> tuple[str, str] | None:
        """The first and last day of what came by these sources: published, or read where no page tells its day."""
        rows = self._store.rows(
            "SELECT min(published), max(published), min(fetched), max(fetched) FROM pages "
            "WHERE source IN (SELECT value FROM json_each(?))",
            (json.dumps(list(sources)),),
        )
        first, last, first_read, last_read = rows[0]
        return (first or first_read, last or last_read) if first_read else None


def _around(text: str, claims: Iterable[Claim]) -> list[tuple[int, str]]:
    """(place, words) of what is needed to check these claims again."""
    kept = [(max(0, claim.start - AROUND), min(len(text), claim.end + AROUND)) for claim in claims]
    kept += [(max(0, year.start() - 4), min(len(text), year.end() + 4)) for year in _YEAR.finditer(text)]
    joined: list[tuple[int, int]] = []
    for start, end in sorted(kept):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return [(start, text[start:end]) for start, end in joined]


def _fact(row: Sequence[Any]) -> Fact:
    _, subject, field, value, text, basis, source, key, date = row
    return Fact(subject, field, json.loads(value), text, Basis(basis), source, key, date)


def _listing(row: Sequence[Any]) -> Listing:
    name, kind, seen, address, released, source, told = row
    return Listing(name, kind, address, released, source, json.loads(told), seen)


def _proofs(evidence: str) -> tuple[Proof, ...]:
    return tuple(Proof(**{**proof, "basis": Basis(proof["basis"])}) for proof in json.loads(evidence))
