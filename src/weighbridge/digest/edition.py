"""`Edition`: one digest as data, before it is Markdown, a page, a feed or a vault. Every figure in it is a span that
names the record it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .verdict import Ruling


@dataclass(frozen=True, slots=True)
class Span:
    """Some words, the record that their figures are from, and where they lead."""

    text: str
    record: str = ""
    """Id of a claim or a fact; empty: the words hold no figure."""
    href: str = ""
    is_code: bool = False
    """Whether it is a command to type."""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Witness:
    """Who says it: a page."""

    claim: str
    """Id of its claim."""
    quote: str
    title: str
    address: str
    day: str
    """On which it was published; empty: not told."""
    told: str = ""
    """Of which day or month it speaks."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A proof, with where it is from."""

    text: str
    origin: str
    """Source, key, day and basis in a line."""
    address: str = ""
    """Where it can be looked up, if that is on the web."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one or several pages claim, and how it stands."""

    id: str
    """Of its first claim."""
    subject: str
    family: str
    says: str
    ruling: Ruling
    witnesses: tuple[Witness, ...]
    reasons: tuple[Reason, ...]
    key: str = ""
    """Equal for spellings of one subject."""
    field: str = ""
    """What of it is told, as claims name it."""

    @property
    def why(self) -> str:
        """The first reason, without the subject's name before it."""
        return self.reasons[0].text.removeprefix(f"{self.subject}: ") if self.reasons else ""

    @property
    def is_rule(self) -> bool:
        """Whether it speaks of a law or a definition, and of no model."""
        return self.field.startswith("rule:")

    @property
    def line(self) -> Line:
        """Subject and statement."""
        return (Span(f"{self.subject}: {self.says}", self.id),)


@dataclass(frozen=True, slots=True)
class Finding:
    """Entries on one subject that stand as they do for the same reasons."""

    subject: str
    ruling: Ruling
    entries: tuple[Entry, ...]
    reasons: tuple[Reason, ...]

    @property
    def witnesses(self) -> tuple[Witness, ...]:
        """Who says it, each words once; what only repeats a part of other words, as a bare name does, last."""
        once = {(each.quote, each.address): each for entry in self.entries for each in entry.witnesses}
        found = list(once.values())
        return tuple(sorted(found, key=lambda each: any(_is_part(each, other) for other in found)))

    @property
    def telling(self) -> tuple[Witness, ...]:
        """The same without what a page says in more words elsewhere."""
        found = self.witnesses
        return tuple(
            each
            for each in found
            if not any(each.address == other.address and _is_part(each, other) for other in found)
        )

    @property
    def said(self) -> tuple[tuple[str, tuple[Entry, ...]], ...]:
        """What they say, each once, with the entries that say so."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.says, []).append(entry)
        return tuple((says, tuple(entries)) for says, entries in found.items())

    @property
    def records(self) -> str:
        """The ids of all its claims."""
        return " ".join(witness.claim for entry in self.entries for witness in entry.witnesses)


@dataclass(frozen=True, slots=True)
class Card:
    """A model or a program: what is known of it, where it runs, what its licence asks."""

    name: str
    kind: str
    """`model`, `software` or `paper`."""
    family: str
    address: str
    day: str
    """ISO day of its release; empty: not known."""
    is_new: bool
    """Whether it came out in this edition's days."""
    facts: tuple[Line, ...] = ()
    fits: tuple[Line, ...] = ()
    licence: Line = ()
    asks: tuple[Line, ...] = ()
    head: Line = ()
    """Its name, by the record that tells of it."""


@dataclass(frozen=True, slots=True)
class Move:
    """A model's counts over the edition's days."""

    model: str
    record: str
    likes: str
    downloads: str
    points: tuple[tuple[str, int], ...]
    """Likes by day."""
    is_new: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """What stands behind an id: all its words, which hold every figure that may be told by it."""

    id: str
    text: str
    origin: str
    words: str
    """All texts of the record, for the check."""
    address: str = ""
    evidence: str = ""
    """Of a claim, where its proofs are from."""


@dataclass(frozen=True, slots=True)
class Edition:
    """A digest of some days."""

    title: str
    since: str
    until: str
    head: Line
    tiles: tuple[tuple[str, str, str, str], ...]
    """Figure, what of, record, kind."""
    glance: tuple[tuple[Line, ...], ...]
    """Rows: model, what it is, runs here, how many claims hold, are refuted, are neither."""
    entries: tuple[Entry, ...]
    cards: tuple[Card, ...]
    moves: tuple[Move, ...]
    moves_head: Line
    contradictions: tuple[tuple[Line, ...], ...]
    """Each: what is told differently, then who says what."""
    watch: tuple[tuple[str, Line], ...]
    """Day or month (empty: none told), and what is awaited."""
    mine: tuple[Line, ...]
    tries: tuple[Line, ...]
    """Models of these days that run here, with what to type."""
    changes: tuple[Line, ...]
    pages: tuple[Line, ...]
    notes: tuple[Line, ...]
    """What could not be read."""
    traces: Mapping[str, Trace] = field(default_factory=dict)
    prose: tuple[Line, ...] = ()
    """An introduction by a model, which passed the check."""
    days: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    """What came out on each day: pages and releases."""

    def with_ruling(self, *rulings: Ruling) -> tuple[Entry, ...]:
        """Entries that stand so."""
        return tuple(entry for entry in self.entries if entry.ruling in rulings)

    def holding(self) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """What holds: names that there are, of which no more is to be said; and the rest."""
        found = self.with_ruling(Ruling.SUPPORTED)
        names = tuple(entry for entry in found if entry.field == "exists" and len(entry.reasons) < 2)
        return names, tuple(entry for entry in found if entry not in names)

    def findings(self, *rulings: Ruling) -> tuple[Finding, ...]:
        """The same, with those together that one reason settles."""
        return findings_of(self.entries, rulings)

    def families(self) -> list[str]:
        """All families, sorted."""
        named = {card.family for card in self.cards if card.kind == "model"} | {entry.family for entry in self.entries}
        return sorted(named - {""}, key=str.lower)

    def lines(self) -> Iterator[Line]:
        """All that is published but for quotes and proofs."""
        yield self.head
        yield from self.prose
        for row in self.glance:
            yield from row
        for entry in self.entries:
            yield entry.line
        for card in self.cards:
            yield from (card.head, *card.facts, *card.fits, card.licence, *card.asks)
        yield self.moves_head
        for group in self.contradictions:
            yield from group
        yield from (line for _, line in self.watch)
        yield from (*self.mine, *self.tries, *self.changes, *self.pages, *self.notes)


def _is_part(one: Witness, other: Witness) -> bool:
    return one.quote != other.quote and one.quote.lower() in other.quote.lower()


def findings_of(entries: Sequence[Entry], rulings: Sequence[Ruling]) -> tuple[Finding, ...]:
    """Entries that stand so, those together that one reason settles; subjects of which more is settled come first."""
    groups: dict[tuple[str, Ruling, tuple[str, ...]], list[Entry]] = {}
    for entry in entries:
        if entry.ruling in rulings:
            reasons = tuple(reason.text for reason in entry.reasons)
            groups.setdefault((entry.key, entry.ruling, reasons), []).append(entry)
    sizes: dict[str, int] = {}
    for (key, _, _), group in groups.items():
        sizes[key] = sizes.get(key, 0) + sum(len(entry.witnesses) for entry in group)
    found = [
        (rulings.index(ruling), -sizes[key], key, Finding(group[0].subject, ruling, tuple(group), group[0].reasons))
        for (key, ruling, _), group in groups.items()
    ]
    return tuple(each[-1] for each in sorted(found, key=lambda each: each[:-1]))
