"""`with_prose()`: an introduction that a local model writes, held to the same check as all else: where no record holds
a sentence's figures, the whole is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from weighbridge.figures import Basis

from .cleaning import clean
from .edition import Edition, Span, Trace
from .kept import Fact
from .record import Record
from .tracing import Untraceable, checked_prose
from .verdict import Ruling
from .wording import RULING_WORDS

_MOST_RECORDS = 40
_MOST_CHARACTERS = 4000
_MOST_SENTENCES = 8
_ASK = (
    "Write an introduction of at most {most} plain sentences to a digest of open-weight models, for people who run "
    "such models. Use only the records below. End each sentence with the ids of the records that it is from, in "
    "brackets, like [{example}]. State no figure that its records do not hold. No headings, no lists.\n\n{records}\n"
)


def with_prose(record: Record, edition: Edition, write: Callable[[str], str], author: str) -> Edition:
    """The edition with an introduction; one that is recorded for it already is taken as it is.

    Raises Untraceable where what is written states a figure that no record holds, or names none that there is.
    """
    key = f"{edition.since}..{edition.until} {' '.join(sorted(entry.id for entry in edition.entries))}"
    source = f"written by {author}, each figure checked against its records"
    known = Fact("this digest", "prose", None, "", Basis.ASSUMED, source, key, edition.until)
    kept = record.fact(known.id)
    if kept is None:
        sentences = ask(edition, write)
        value = [[text, list(ids)] for text, ids in sentences]
        words = " ".join(text for text, _ in sentences)
        [kept] = record.keep_facts([dataclasses.replace(known, value=value, text=words)])
    lines, traces = [], dict(edition.traces)
    for number, (text, ids) in enumerate(kept.value):
        # Held against today's records once more: what they say may have changed since.
        [(plain, _)] = checked_prose(f"{text} {' '.join(f'[{each}]' for each in ids)}", edition.traces)
        own = _own_id(kept.id, number)
        words = " ".join(edition.traces[each].words for each in ids)
        traces[own] = Trace(own, "; ".join(edition.traces[each].text for each in ids) or source, source, words)
        lines.append((Span(plain, own),))
    return dataclasses.replace(edition, prose=tuple(lines), traces=traces)


def _own_id(known: str, number: int) -> str:
    """An id for one sentence, in the form of a fact's."""
    return f"{known[:9]}{number:02x}"


def ask(edition: Edition, write: Callable[[str], str]) -> list[tuple[str, tuple[str, ...]]]:
    """The sentences that `write` gives for the edition's records, with the ids that they name. Raises Untraceable."""
    records = _records(edition)
    listed = "\n".join(f"[{known}] {text}" for known, text in records.items())
    prompt = _ASK.format(most=_MOST_SENTENCES, example=next(iter(records), "c0123456789"), records=listed)
    return checked_prose(clean(write(prompt), _MOST_CHARACTERS), edition.traces)[:_MOST_SENTENCES]


def _records(edition: Edition) -> Mapping[str, str]:
    """What the introduction may speak of: refuted claims first, then what is new."""
    found: dict[str, str] = {}
    for entry in (*edition.with_ruling(Ruling.REFUTED, Ruling.EXPIRED), *edition.entries):
        why = f" ({entry.reasons[0].text})" if entry.reasons else ""
        found.setdefault(entry.id, f"{entry.subject}: {entry.says}: {RULING_WORDS[entry.ruling]}{why}")
    for card in edition.cards:
        for line in card.facts:
            found.setdefault(line[0].record, f"{card.name}: {line[0].text}")
    return dict(list(found.items())[:_MOST_RECORDS])


__all__ = ["Untraceable", "ask", "with_prose"]
