"""The check that nothing is published without a record: every figure of a text must stand in a record that it names.

A figure is a number in digits, or in words from two on (`twelve`, `half`, `million`). It counts as recorded where one
of the records that its passage names holds the same number. Digits in names (`Qwen3`, `Q4_K_M`) are figures too: a name
that no record holds is one that nobody told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from .edition import Edition, Trace

_NUMBER = re.compile(r"\d+(?:[,\u202f]\d{3})*(?:\.\d+)?")
_WORDS = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    r"eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|"
    r"trillions?|dozens?|half|halves|halved|thirds?|quarters?|twice|thrice|doubled?|doubles|tripled?|triples|tenfold)\b",
    re.IGNORECASE,
)
_MARK = re.compile(r"\[\^([cf][0-9a-f]{10}|\d{1,6})\]")
_COMMENT = re.compile(r"<!-- ((?:[cf][0-9a-f]{10} ?)+)-->")
_FOOTNOTE = re.compile(r"\[\^(?:[cf][0-9a-f]{10}|\d{1,6})\]:")
_NUMBERED = re.compile(r"^\[\^(\d{1,6})\]: `([cf][0-9a-f]{10})`", re.MULTILINE)
_OWN_MARK = re.compile(r"%% weighbridge:\S+ %%")
_TARGET = re.compile(r"\]\([^()\s]*\)")


@dataclass(frozen=True, slots=True)
class Stray:
    """A figure that no record holds."""

    figure: str
    passage: str


def figures(text: str) -> list[str]:
    """The figures of a text, each in one form: `1,147` and `1147` are the same."""
    numbers = [_plain(found) for found in _NUMBER.findall(text)]
    return numbers + [found.lower() for found in _WORDS.findall(text)]


def _plain(number: str) -> str:
    whole, point, rest = number.replace(",", "").replace("\u202f", "").partition(".")
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (point + rest if rest else "")


def strays(passage: str, records: Iterable[str], traces: Mapping[str, Trace]) -> list[Stray]:
    """The figures of a passage that none of its records holds."""
    told = figures(passage)
    if not told:
        return []
    held = {figure for known in records if known in traces for figure in figures(traces[known].words)}
    return [Stray(figure, passage[:200]) for figure in told if figure not in held]


def of_edition(edition: Edition) -> list[Stray]:
    """The strays of an edition, span by span."""
    return [
        stray
        for line in edition.lines()
        for span in line
        for stray in strays(span.text, (span.record,), edition.traces)
    ]


def of_markdown(text: str, traces: Mapping[str, Trace]) -> list[Stray]:
    """The strays of published Markdown: each line by its footnotes, which are ids (`[^c0123456789]`) or numbers that
    the text gives ids to (``[^1]: `c0123456789` ``), and by its comments. Front matter and the footnotes themselves are
    no prose."""
    found = []
    numbered = dict(_NUMBERED.findall(text))
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    for line in body.split("\n"):
        if _OWN_MARK.fullmatch(line) or _FOOTNOTE.match(line):
            continue
        records = [
            *(numbered.get(mark, mark) for mark in _MARK.findall(line)),
            *" ".join(_COMMENT.findall(line)).split(),
        ]
        plain = _TARGET.sub("]", _COMMENT.sub("", _MARK.sub("", line)))
        found += strays(plain, records, traces)
    return found


def of_html(text: str, traces: Mapping[str, Trace]) -> list[Stray]:
    """The strays of a published page: each piece of text by the records that the elements around it name
    (`data-record`)."""
    reader = _Page()
    reader.feed(text)
    reader.close()
    return [stray for passage, records in reader.passages for stray in strays(passage, records, traces)]


class _Page(HTMLParser):
    """Pieces of text, each with the records of the elements that it stands in."""

    _VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
    _SILENT = frozenset({"style", "script", "title"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[tuple[str, tuple[str, ...]]] = []
        self.passages: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element, with what it names."""
        if tag not in self._VOID:
            named = next((value or "" for name, value in attrs if name == "data-record"), "")
            self._open.append((tag, tuple(named.split())))

    def handle_endtag(self, tag: str) -> None:
        """The nearest such element ends, with what was left open in it."""
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at][0] == tag:
                del self._open[at:]
                return

    def handle_data(self, data: str) -> None:
        """A piece of text."""
        if not any(tag in self._SILENT for tag, _ in self._open):
            self.passages.append((data, [record for _, records in self._open for record in records]))


class Untraceable(Exception):
    """A text states figures that no record holds."""

    def __init__(self, found: list[Stray]) -> None:
        super().__init__("; ".join(f"{stray.figure!r} in {stray.passage!r}" for stray in found[:5]))
        self.strays = found


def checked_prose(text: str, traces: Mapping[str, Trace]) -> list[tuple[str, tuple[str, ...]]]:
    """A model's sentences, each with the ids that it names in brackets (`[c0123456789]`). Raises Untraceable where one
    states a figure that its records do not hold, or names a record that there is not."""
    found: list[tuple[str, tuple[str, ...]]] = []
    bad: list[Stray] = []
    for sentence in re.split(r"(?<=[.!?])\s+(?=[^\s\[])|\n+", text.strip()):
        named = re.findall(r"\[\^?([^\[\]\s]{1,40})\]", sentence)
        plain = " ".join(re.sub(r"\s*\[\^?[^\[\]\s]{1,40}\]", "", sentence).split())
        bad += [Stray(known, plain[:200]) for known in named if known not in traces]
        bad += strays(plain, named, traces)
        if plain:
            found.append((plain, tuple(named)))
    if bad:
        raise Untraceable(bad)
    return found
