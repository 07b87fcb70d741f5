"""A page's parts: headings, paragraphs, list items, rows of tables, and the sentences in them, each by its offsets.

Plain text, Markdown, and text that a page's table or list was flattened to, are all read. Every step looks at each
character a fixed number of times, so that a page made to be slow is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

MOST_SENTENCE_CHARACTERS = 1500
"""A longer one is cut: no person writes it, and pairs of values and names in it would grow with its square."""
_MOST_HEADING_CHARACTERS = 110
_MOST_HEADING_WORDS = 16
_MOST_COLUMNS = 60

_MARKER = re.compile(r"[ \t]{0,40}(?:(?P<bullet>[-*+•◦▪–—·‣→👉]|\d{1,3}[.)]|\(\d{1,3}\))(?:[ \t]+|$))")
_HASHES = re.compile(r"[ \t]{0,3}(#{1,6})[ \t]+(?=\S)")
_QUOTED = re.compile(r"[ \t]{0,8}(?:>[ \t]?){1,12}")
_FENCE = re.compile(r"[ \t]{0,12}(?:```|~~~)")
_RULE = re.compile(r"[ \t]{0,3}(?:={3,200}|-{3,200}|_{3,200}|\*{3,200})[ \t]*$")
_SEPARATOR_CELL = re.compile(r"[ \t]*:?-{2,200}:?[ \t]*$")
_END = re.compile(r"[.!?…]['\"”’)\]*_]{0,4}(?=\s)|;(?=\s)|\.(?=[”\"])")
_ABBREVIATIONS = frozenset(
    "e.g i.e vs approx ca cf etc no nos fig figs inc corp ltd co dr mr ms prof st jan feb mar apr jun jul aug "
    "sep sept "
    "oct nov dec resp incl excl max min est al vol ver bzw z.b d.h u.s u.k usw".split()
)
_GERMAN_MONTH = re.compile(r" (?:Jan|Feb|März|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez)")
# `gsm8k: 86.4%`, below `mmlu: 87.9%`
_PAIR = re.compile(r"[a-z][\w .-]{1,24}: ?\S")
_WIDE_GAP = re.compile(r"\t+| {2,60}(?=\S)")
# `8.2B parameters, 32K context`, on a line of its own.
_QUANTITY = re.compile(
    r"\d[\d.,]*(?:\s?(?:[BMKT]B?|GB|TB|%|x|×)(?:[ ,/)+-]|$)|[ -](?:billion|million|trillion|param|token|experts?\b"
    r"|context|layers\b|tok/s))"
)
_COMMAND = re.compile(
    r"[ \t]{0,8}(?:\$ |sudo |pip |pip3 |python |python3 |uv |npm |git |curl |wget |docker |huggingface-cli "
    r"|hf |ollama "
    r"|\./|from \w+ import |import \w|export |cd |vllm |--\w)"
)


class Kind(StrEnum):
    """What a block is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ITEM = "item"
    CODE = "code"
    FRONT = "front"


@dataclass(slots=True)
class Block:
    """A stretch of text that belongs together; `level` is a heading's rank or an item's indent."""

    kind: Kind
    start: int
    end: int
    level: int = 0


@dataclass(slots=True)
class Table:
    """A table's cells by their offsets: the header's, and each row's."""

    start: int
    end: int
    header: list[tuple[int, int]]
    rows: list[list[tuple[int, int]]] = field(default_factory=list)


def blocks(text: str) -> list[Block | Table]:
    """The page's parts in their order."""
    return list(_Reader(text).read())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: list[tuple[int, int]] = []
        at = 0
        for line in text.split("\n"):
            self._lines.append((at, at + len(line.rstrip())))
            at += len(line) + 1
        self._at = 0

    def read(self) -> Iterator[Block | Table]:
        yield from self._front_matter()
        while self._at < len(self._lines):
            start, end = self._lines[self._at]
            line = self._text[start:end]
            if not line.strip():
                self._at += 1
            elif _FENCE.match(line):
                yield from self._fenced()
            elif "|" in line and (found := self._table()):
                yield from found
            elif (aligned := self._aligned(line)) is not None:
                yield aligned
            elif _RULE.match(line):
                self._at += 1
            else:
                yield from self._plain(start, end, line)

    def _front_matter(self) -> Iterator[Block]:
        first, last = self._lines[0]
        if self._text[first:last] != "---":
            return
        for number in range(1, min(len(self._lines), 200)):
            start, end = self._lines[number]
            if self._text[start:end] == "---":
                self._at = number + 1
                yield Block(Kind.FRONT, self._lines[1][0], start)
                return

    def _fenced(self) -> Iterator[Block]:
        """The lines of a fenced listing; a comment in it is a sentence like others."""
        self._at += 1
        while self._at < len(self._lines):
            start, end = self._lines[self._at]
            line = self._text[start:end]
            self._at += 1
            if _FENCE.match(line):
                return
            stripped = line.lstrip()
            if stripped:
                indent = len(line) - len(stripped)
                comment = stripped.startswith(("# ", "// "))
                yield Block(Kind.PARAGRAPH if comment else Kind.CODE, start + indent + 2 * comment, end)

    def _plain(self, start: int, end: int, line: str) -> Iterator[Block]:
        self._at += 1
        quoted = _QUOTED.match(line)
        if quoted and quoted.end() < len(line):
            yield Block(Kind.PARAGRAPH, start + quoted.end(), end)
            return
        hashes = _HASHES.match(line)
        if hashes:
            following = self._next_line()
            if following is not None and _COMMAND.match(following):
                yield Block(Kind.PARAGRAPH, start + hashes.end(), end)
            else:
                yield Block(Kind.HEADING, start + hashes.end(), end, len(hashes[1]))
            return
        marker = _MARKER.match(line)
        if marker:
            yield from self._item(start, end, marker)
        elif _COMMAND.match(line):
            yield Block(Kind.CODE, start, end)
        elif self._is_heading(line) and not self._runs_on():
            yield Block(Kind.HEADING, start, end, 7)
        else:
            yield Block(Kind.PARAGRAPH, start, self._joined(end, len(line)))

    def _item(self, start: int, end: int, marker: re.Match[str]) -> Iterator[Block]:
        begin = start + marker.end()
        level = marker.start("bullet")
        if begin >= end and self._at < len(self._lines):
            # A flattened list: the bullet stands alone, and its text on the next line.
            begin, end = self._lines[self._at]
            if _MARKER.match(self._text[begin:end]) or begin >= end:
                return
            self._at += 1
        if begin < end:
            yield Block(Kind.ITEM, begin, self._joined(end, end - begin), level)

    def _joined(self, end: int, length: int) -> int:
        """The end of a paragraph whose lines were wrapped: the next line goes on where it begins in lower case, or
        where this one is full and has no end."""
        while self._at < len(self._lines):
            start, following = self._lines[self._at]
            line = self._text[start:following]
            head = line.lstrip()
            if not head or _MARKER.match(line) or _HASHES.match(line) or "|" in line or _RULE.match(line):
                return end
            last = self._text[end - 1]
            is_pair = _PAIR.match(head) is not None and _PAIR.match(self._text[end - length : end].lstrip()) is not None
            goes_on = (head[0].islower() and not is_pair) or (
                length >= 60 and last not in ".!?:;" and not self._is_heading(line)
            )
            if not goes_on or _FENCE.match(line) or _COMMAND.match(line):
                return end
            end, length = following, len(line)
            self._at += 1
        return end

    def _next_line(self) -> str | None:
        for start, end in self._lines[self._at : self._at + 3]:
            if end > start:
                return self._text[start:end]
        return None

    def _runs_on(self) -> bool:
        """Whether the next line goes on with a sentence: the words of a link stand on a line of their own."""
        if self._at >= len(self._lines):
            return False
        start, end = self._lines[self._at]
        head = self._text[start : min(end, start + 2)]
        return bool(head) and (head[0] in ",.;)" or (head[0].islower() and head[1:2].islower()))

    def _is_heading(self, line: str) -> bool:
        text = line.strip()
        if len(text) > _MOST_HEADING_CHARACTERS or text[-1] in ".,;:!" or text.count(" ") >= _MOST_HEADING_WORDS:
            return False
        if "**:" in text or ":**" in text:
            # A label and its value.
            return False
        if text[0].isdigit():
            return _QUANTITY.match(text) is None
        return text[0].isupper() or text.startswith("**")

    def _table(self) -> list[Block | Table] | None:
        """The table that begins at this line, and what stands beside it; None where the line's bars are no table's."""
        start, end = self._lines[self._at]
        cells = _cells(self._text, start, end)
        flat = _flattened(cells, self._text)
        if flat is not None:
            self._at += 1
            return [flat]
        following = self._at + 1
        if following < len(self._lines):
            marks = _cells(self._text, *self._lines[following])
            is_rule = len(marks) >= 1 and all(_SEPARATOR_CELL.match(self._text[a:b]) for a, b in marks)
            if is_rule and len(cells) >= 2:
                return [self._rows(cells, self._at + 2)]
        if len(cells) >= 2 and self._text[start:end].lstrip().startswith("|"):
            return [self._rows(cells, self._at + 1)]
        if len(cells) >= 3 and following < len(self._lines):
            return [self._rows(cells, following)] if len(_cells(self._text, *self._lines[following])) >= 3 else None
        return None

    def _rows(self, header: list[tuple[int, int]], at: int) -> Table:
        table = Table(header[0][0], header[-1][1], header)
        while at < len(self._lines):
            start, end = self._lines[at]
            if "|" not in self._text[start:end]:
                break
            cells = _cells(self._text, start, end)
            if not all(_SEPARATOR_CELL.match(self._text[a:b]) for a, b in cells):
                table.rows.append(cells)
                table.end = end
            at += 1
        self._at = at
        return table

    def _aligned(self, line: str) -> Table | None:
        """A table whose columns are parted by tabs or by wide gaps, of three lines or more."""
        if "\t" not in line and "   " not in line:
            return None
        rows: list[list[tuple[int, int]]] = []
        at = self._at
        while at < len(self._lines):
            start, end = self._lines[at]
            cells = _gap_cells(self._text, start, end)
            if len(cells) < 2 or (rows and len(cells) != len(rows[0])) or _MARKER.match(self._text[start:end]):
                break
            rows.append(cells)
            at += 1
        if len(rows) < 3:
            return None
        self._at = at
        return Table(rows[0][0][0], rows[-1][-1][1], rows[0], rows[1:])


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in " \t":
        start += 1
    while end > start and text[end - 1] in " \t":
        end -= 1
    return start, end


def _cells(text: str, start: int, end: int) -> list[tuple[int, int]]:
    start, end = _strip(text, start, end)
    if start < end and text[start] == "|":
        start += 1
    if end > start and text[end - 1] == "|":
        end -= 1
    found: list[tuple[int, int]] = []
    while len(found) < 20_000:
        bar = text.find("|", start, end)
        if bar < 0:
            break
        found.append(_strip(text, start, bar))
        start = bar + 1
    found.append(_strip(text, start, end))
    return found


def _gap_cells(text: str, start: int, end: int) -> list[tuple[int, int]]:
    start, end = _strip(text, start, end)
    found: list[tuple[int, int]] = []
    for gap in _WIDE_GAP.finditer(text, start, end):
        found.append((start, gap.start()))
        start = gap.end()
        if len(found) >= _MOST_COLUMNS:
            break
    found.append((start, end))
    return [cell for cell in found if cell[0] < cell[1]]


def _flattened(cells: list[tuple[int, int]], text: str) -> Table | None:
    """A whole table on one line: header, rule and rows, an empty cell between them."""
    marks = [number for number, (start, end) in enumerate(cells) if _SEPARATOR_CELL.match(text[start:end])]
    if len(marks) < 2 or marks[-1] - marks[0] + 1 != len(marks) or marks[-1] + 1 >= len(cells):
        return None
    width = len(marks)
    header_end = marks[0]
    while header_end and cells[header_end - 1][0] >= cells[header_end - 1][1]:
        header_end -= 1
    header = cells[max(0, header_end - width) : header_end]
    if len(header) != width or width > _MOST_COLUMNS:
        return None
    table = Table(cells[0][0], cells[-1][1], header)
    at = marks[-1] + 1
    while at < len(cells):
        if cells[at][0] >= cells[at][1] and at + 1 < len(cells):
            at += 1
        row = cells[at : at + width]
        if any(start < end for start, end in row):
            table.rows.append(row)
        at += width
    return table


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of a stretch. A semicolon ends one too: digests string statements together with it."""
    begin = start
    for mark in _END.finditer(text, start, end):
        stop = mark.end()
        if mark[0][0] == "." and _is_abbreviation(text, mark.start(), begin):
            continue
        near = max(begin, stop - 300)
        if mark[0][0] == ";" and text.count("(", near, stop) > text.count(")", near, stop):
            continue
        yield from _bounded(text, begin, stop)
        begin = stop
    yield from _bounded(text, begin, end)


def _is_abbreviation(text: str, dot: int, begin: int) -> bool:
    word = dot
    while word > begin and word > dot - 12 and not text[word - 1].isspace() and text[word - 1] not in '(“"':
        word -= 1
    if dot - word <= 2 and text[word:dot].isdigit() and _GERMAN_MONTH.match(text, dot + 1):
        return True
    return text[word:dot].lower() in _ABBREVIATIONS or (dot - word == 1 and text[word].isupper())


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > MOST_SENTENCE_CHARACTERS:
        cut = text.rfind(" ", start, start + MOST_SENTENCE_CHARACTERS)
        cut = cut if cut > start else start + MOST_SENTENCE_CHARACTERS
        yield start, cut
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end
