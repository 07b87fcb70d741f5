"""`Making`: an edition on its way: the record, what others handed over, and what stands behind each id so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from urllib.parse import urlsplit

from weighbridge.catalogue import Variant
from weighbridge.figures import Basis

from ..edition import Line, Span, Trace
from ..kept import Fact
from ..record import Record

UNKNOWN = "Names that no record knows"
RULES = "Rules and definitions"


@dataclass(frozen=True, slots=True)
class Mine:
    """A model that the reader runs."""

    name: str
    """As the reader calls it."""
    variant: Variant


@dataclass(frozen=True, slots=True)
class Place:
    """A machine on which a model may run, and how it does: a fact whose value begins with `fits`, `tight` or `no`."""

    machine: str
    is_here: bool
    fact: Fact

    @property
    def fits(self) -> bool:
        """Whether it runs there."""
        return isinstance(self.fact.value, dict) and self.fact.value.get("verdict") in ("fits", "tight")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What others hand over: which variants a name means, where a variant runs, what its reader runs and measured."""

    meant: Callable[[str], Sequence[Variant]]
    catalogue: Iterable[Variant] = ()
    fits: Callable[[Sequence[Variant]], Mapping[str, Sequence[Place]]] = lambda _: {}
    mine: Sequence[Mine] = ()
    measured: frozenset[str] = frozenset()
    """Names of models for which a log of the reader's own evaluation is there."""
    watch: Sequence[str] = ()
    title: str = "Open-weight models"


@dataclass(frozen=True, slots=True)
class Dispute:
    """Claims of different pages on one thing that cannot both hold."""

    subject: str
    field: str
    claims: Sequence[str]
    """Their ids."""


@dataclass(slots=True)
class Making:
    """What an edition is made with."""

    record: Record
    around: Surroundings
    since: str
    until: str
    traces: dict[str, Trace] = field(default_factory=dict)
    _meant: dict[str, tuple[Variant, ...]] = field(default_factory=dict)

    # Records and what they are told by

    def keep(self, facts: Iterable[Fact]) -> list[Fact]:
        """The facts, recorded, with what stands behind them."""
        kept = self.record.keep_facts(facts)
        for fact in kept:
            origin = joined(fact.source, fact.key, fact.date, str(fact.basis))
            words = " ".join((fact.subject, fact.text, fact.source, fact.key, fact.date))
            href = web(fact.source)
            self.traces[fact.id] = Trace(fact.id, f"{fact.subject}: {fact.text}", origin, words, href)
        return kept

    def note(self, record: str, words: str) -> None:
        """These words, too, are told by this record."""
        trace = self.traces[record]
        self.traces[record] = replace(trace, words=f"{trace.words} {words}")

    def told(self, fact: Fact, text: str = "") -> Line:
        """A fact as a line; `text` says it in other words, with no other figures."""
        return (Span(text or fact.text, fact.id),)

    def counted(self, name: str, count: int, key: str) -> Fact:
        """A count over the record. Its key holds what was counted: another count gets another id."""
        source = f"the record, {self.since} to {self.until}"
        [fact] = self.keep(
            [
                Fact(
                    "this digest",
                    f"count:{name}",
                    count,
                    f"{count:,} {name}",
                    Basis.COMPUTED,
                    source,
                    f"{name} {key}",
                    self.until,
                )
            ]
        )
        return fact

    def meant(self, name: str | None) -> tuple[Variant, ...]:
        """The variants that a name means."""
        if not name:
            return ()
        if name not in self._meant:
            self._meant[name] = tuple(self.around.meant(name))
        return self._meant[name]

    def family(self, *names: str | None) -> str:
        """The family of the first name that is known."""
        return next((found[0].family for name in names if (found := self.meant(name))), UNKNOWN)


def joined(*parts: str) -> str:
    """What there is of these, in a line."""
    return ", ".join(part for part in parts if part)


def page_title(title: str, address: str) -> str:
    """What a page is called where its address would tell of this machine: its title, else the end of its address."""
    return title or address_label(address)


def address_label(address: str) -> str:
    """Host and path of a web address; of a file its name alone."""
    if address.startswith(("http://", "https://")):
        parts = urlsplit(address)
        return f"{parts.hostname}{parts.path}".rstrip("/")
    return PurePath(address).name


def web(address: str) -> str:
    """An address that can be followed; nothing for another."""
    return address if address.startswith(("http://", "https://")) else ""
