"""`gather(sources)`: reads what is new in the sources that are followed into the record; what is stopped goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weighbridge.errors import BadPage, SourceUnreachable

from .record import Record
from .sources import Reader, Source


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one source went."""

    source: str
    new_pages: int
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""
    failed: bool = False


def gather(
    record: Record,
    sources: Sequence[Source],
    reader: Reader,
    now: str,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Outcome]:
    """Read each source to its end, one after another; one that fails stops no other.

    `now`: ISO time of this gathering. What another of the same day had read before it was stopped is not read again.
    """
    todo = record.begin([source.text for source in sources], now)
    outcomes = []
    for source in sources:
        if source.text not in todo:
            tell(f"{source.text}: was read before the gathering was stopped")
            continue
        tell(f"{source.text} ...")
        outcomes.append(_read(record, source, reader, todo[source.text]))
        record.end(source.text, reader.day, "; ".join(outcomes[-1].notes))
    return outcomes


def _read(record: Record, source: Source, reader: Reader, cursor: str | None) -> Outcome:
    new = 0
    notes: list[str] = []
    try:
        for step in source.read(reader, cursor):
            new += record.keep(step, source.text, reader.fetcher.pending)
            reader.fetcher.pending.clear()
            notes += step.notes
    except (SourceUnreachable, BadPage) as error:
        # What an answer said of itself does not count where its content was not kept.
        reader.fetcher.pending.clear()
        return Outcome(source.text, new, (*notes, str(error)), failed=True)
    return Outcome(source.text, new, tuple(notes))
