"""`extract()`: what a page claims of models, by a grammar: the same page gives the same claims, and no model is asked.

A page is parted (`layout`), its names, quantities, dates and benchmarks are found once, each sentence is shown to the
fields (`fields/`), and each finding gets its owner (`subjects`). The time is in proportion to the page's length.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Generic, Protocol, TypeVar

from ..claim import Claim
from ..page import Page
from .benchmarks import scores_of
from .dates import dates, day_of
from .fields import finders
from .layout import Block, Kind, Table, blocks, sentences
from .names import Kind as NameKind
from .names import Mention, Namer, key
from .proposals import Proposal, verified
from .quantities import quantities
from .scene import Found, Scene
from .subjects import Owners, carries, main_subject
from .tables import Cell, cells

MOST_CHARACTERS = 1_000_000
"""What of a page is read: no post is longer, and what is longer is no post."""
MOST_CLAIMS = 5000
_MOST_QUOTE_CHARACTERS = 320
_LABEL = re.compile(r"[*_`\[]{0,3}([^\W\d_][\w /()#&.-]{0,46}?)[*_`\]]{0,3}\s?[::]\s?[*_`]{0,3}\s*(?=\S)")
_LEAD_DATE = re.compile(r"[*_\[\s(]{0,4}((?:19|20)\d\d-\d\d-\d\d)(?!\d)")
_GLUED = re.compile(r"\d[A-Z][a-z]{2,}|[a-z]{3,}\d?[A-Z][a-z]{3,}[A-Z ]|\)[A-Z][a-z]")
_GERMAN = re.compile(r"\b(?:der|die|das|und|mit|ist|für|von|auf|eine?|nicht|wurde)\b")


class _Placed(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


P = TypeVar("P", bound=_Placed)


class _Index(Generic[P]):
    """Things with places, found by a stretch."""

    def __init__(self, things: Iterable[P]) -> None:
        self._things = sorted(things, key=lambda thing: thing.start)
        self._starts = [thing.start for thing in self._things]

    def within(self, start: int, end: int) -> list[P]:
        first = bisect_left(self._starts, start)
        last = bisect_left(self._starts, end)
        return [thing for thing in self._things[first:last] if thing.end <= end]


@dataclass(slots=True)
class _Context:
    """Whom the text speaks of, from part to part."""

    document: tuple[str, ...] = ()
    heading: tuple[str, ...] = ()
    heading_words: str = ""
    recent: tuple[str, ...] = ()
    items: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    told: str | None = None

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.recent or self.heading or self.document


def extract(page: Page, proposals: Iterable[Proposal] = ()) -> tuple[Claim, ...]:
    """The claims of a page in the order of their places, each with its exact words.

    `proposals` are claims that somebody else read there, a local model perhaps: they are taken where the page's words
    bear them out, and only beside what the grammar finds.
    """
    found = list(_Extraction(page).run())
    known = {(key(claim.subject), claim.field, claim.value) for claim in found}
    for claim in verified(page, proposals):
        if (key(claim.subject), claim.field, claim.value) not in known:
            found.append(claim)
            known.add((key(claim.subject), claim.field, claim.value))
    return tuple(sorted(found, key=lambda claim: (claim.start, claim.end, claim.field, str(claim.value))))


class _Extraction:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._text = page.text[:MOST_CHARACTERS]
        self._low = _lowered(self._text)
        head = self._text[:1500]
        self._published = page.published or _date_of_page(head) or None
        self._today = day_of(self._published) if self._published else None
        self._year = self._today.year if self._today else _year_of_page(f"{page.title} {head}")
        self._german = len(_GERMAN.findall(self._low, 0, 4000)) >= 8
        self._context = _Context()
        self._pairs: list[tuple[str, ...]] = []
        self._claimed: set[tuple[object, ...]] = set()

    def run(self) -> Iterator[Claim]:
        text = self._text
        if not text.strip():
            return
        marks = list(scores_of(text, 0, len(text)))
        self._marks = marks
        self._mark_starts = [mark[0] for mark in marks]
        self._mentions = [mention for mention in Namer(text).mentions() if not self._in_benchmark(mention)]
        self._names = _Index(self._mentions)
        self._numbers = _Index(quantities(text, 0, len(text), german=self._german))
        self._dates = _Index(dates(text, 0, len(text), self._today, self._year))
        self._context.document = self._of_title()
        yield from islice(self._all(), MOST_CLAIMS)

    def _in_benchmark(self, mention: Mention) -> bool:
        at = bisect_left(self._mark_starts, mention.end)
        return at > 0 and self._marks[at - 1][1] > mention.start

    def _of_title(self) -> tuple[str, ...]:
        """The model that the page is a card of: its title names one."""
        title = self._page.title
        if title:
            names = {
                key(mention.name): mention.name
                for mention in Namer(f"{title} model release").mentions()
                if mention.is_specific
            }
            if len(names) == 1:
                return tuple(names.values())
        return ()

    def _all(self) -> Iterator[Claim]:
        yield from self._existing()
        for part in blocks(self._text):
            if isinstance(part, Table):
                yield from self._table(part)
            elif part.kind is Kind.CODE:
                continue
            elif part.kind is Kind.FRONT:
                yield from self._front(part)
            else:
                yield from self._block(part)

    # Names

    def _existing(self) -> Iterator[Claim]:
        """Each model that the page names: that there is one is a claim too."""
        seen: set[tuple[object, ...]] = set()
        for mention in self._mentions:
            words = (mention.kind is NameKind.REPOSITORY, *key(mention.name))
            if mention.kind is NameKind.FAMILY or words in seen or not any(sign.isdigit() for sign in mention.name):
                continue
            if (
                mention.kind is NameKind.SHORT
                and mention.name not in self._text
                and not self._text[mention.start].isdigit()
            ):
                continue
            seen.add(words)
            line = self._text.rfind("\n", 0, mention.start) + 1
            lead = _LEAD_DATE.match(self._text, line)
            yield self._claim(
                mention.name,
                Found("exists", True, mention.start, mention.end),
                (mention.start, mention.end),
                lead[1] if lead else None,
            )

    # Blocks

    def _block(self, block: Block) -> Iterator[Claim]:
        context = self._context
        if block.kind is Kind.HEADING:
            self._enter_heading(block)
        elif block.kind is Kind.ITEM:
            context.items = [item for item in context.items if item[0] < block.level]
            if context.items:
                context.recent = context.items[-1][1]
            else:
                context.recent = () if context.heading or context.document else context.recent
        lead = _LEAD_DATE.match(self._text, block.start, block.end)
        context.told = lead[1] if lead else None
        if _is_glued(self._text[block.start : block.end]):
            return
        is_item = block.kind is not Kind.PARAGRAPH
        for start, end in sentences(self._text, block.start, block.end):
            yield from self._sentence(start, end, is_item=is_item)
        if block.kind is Kind.ITEM:
            context.items.append((block.level, context.recent))
        context.told = None

    def _enter_heading(self, block: Block) -> None:
        names: list[Mention] = [m for m in self._names.within(block.start, block.end) if m.is_specific]
        unique = tuple(dict.fromkeys(mention.name for mention in names))
        context = self._context
        context.heading_words = self._low[block.start : block.end]
        context.recent = ()
        context.items = []
        if len(unique) == 1:
            context.heading = unique
            if block.level == 1 and not context.document:
                context.document = unique
        elif block.level <= 2 or block.level == 7:
            context.heading = ()

    def _sentence(self, start: int, end: int, *, is_item: bool) -> Iterator[Claim]:
        label = ""
        at = start
        match = _LABEL.match(self._text, start, end)
        if match and match.end() < end and len(match[1].split()) <= 6:
            inside = self._names.within(match.start(1), match.end(1))
            if inside and inside[0].is_specific:
                self._context.recent = (inside[0].name,)
            else:
                label = match[1].lower()
                at = match.end()
        scene = self._scene(at if label else start, end, label=label, is_fragment=is_item or bool(label))
        if label and not _is_label(label):
            scene = self._scene(start, end, label="", is_fragment=is_item)
        yield from self._read(scene, (start, end), self._context.subjects)
        subject = main_subject(scene)
        if carries(subject) and subject is not None and (subject.is_specific or not self._context.subjects):
            self._context.recent = _joined_subjects(scene, subject)

    def _front(self, block: Block) -> Iterator[Claim]:
        """A card's front matter: `license: mit`, `base_model: org/name`."""
        at = block.start
        label = ""
        for line in self._text[block.start : block.end].split("\n"):
            begin, end = at, at + len(line.rstrip())
            at += len(line) + 1
            name, colon, _ = line.partition(":")
            if colon and name and not line[0].isspace() and not line.startswith("-"):
                label = name.strip().lower()
                begin += len(name) + 1
            while begin < end and self._text[begin] in " \t-":
                begin += 1
            if begin < end and label:
                yield from self._read(
                    self._scene(begin, end, label=label, is_fragment=True), (begin, end), self._front_subject()
                )

    def _front_subject(self) -> tuple[str, ...]:
        if self._context.document:
            return self._context.document
        for part in self._mentions[:60]:
            line = self._text.rfind("\n", 0, part.start) + 1
            if self._text.startswith("# ", line) and part.is_specific:
                return (part.name,)
        return ()

    def _table(self, table: Table) -> Iterator[Claim]:
        kept = self._context.subjects
        for cell in cells(table, self._names.within):
            yield from self._cell(cell, kept)

    def _cell(self, cell: Cell, kept: tuple[str, ...]) -> Iterator[Claim]:
        label = self._low[slice(*cell.label)].strip(" *_`") if cell.label else ""
        row_label = self._low[slice(*cell.row_label)].strip(" *_`") if cell.row_label else ""
        row_dates = self._dates.within(*cell.row)
        told = row_dates[0].value if len({each.value for each in row_dates}) == 1 else None
        self._context.told, before = told, self._context.told
        carried = (cell.subject.name,) if cell.subject else kept
        for start, end in sentences(self._text, cell.start, cell.end):
            scene = self._scene(start, end, label=label, is_fragment=True)
            scene.row_label = row_label
            span = cell.row if cell.row[1] - cell.row[0] <= _MOST_QUOTE_CHARACTERS else (start, end)
            yield from self._read(scene, span, carried)
        self._context.told = before

    # Scenes

    def _scene(self, start: int, end: int, *, label: str, is_fragment: bool) -> Scene:
        mentions = self._names.within(start, end)
        numbers = self._numbers.within(start, end)
        first, last = bisect_left(self._mark_starts, start), bisect_left(self._mark_starts, end)
        marks = [mark for mark in self._marks[first:last] if mark[1] <= end]
        if mentions and numbers:
            taken = {
                number
                for number, each in enumerate(numbers)
                if any(m.start <= each.number_start < m.end for m in mentions)
            }
            numbers = [each for number, each in enumerate(numbers) if number not in taken]
        return Scene(
            self._text, self._low, start, end, numbers, mentions, self._dates.within(start, end), label,
            heading=self._context.heading_words, benchmarks=marks, is_fragment=is_fragment, pairs=self._pairs,
        )  # fmt: skip

    def _read(self, scene: Scene, span: tuple[int, int], carried: tuple[str, ...]) -> Iterator[Claim]:
        found = [each for find in finders() for each in find(scene)]
        if not found:
            return
        owners = Owners(scene, carried)
        modality = scene.modality()
        by_field: dict[str, list[Found]] = {}
        for each in found:
            by_field.setdefault(each.field, []).append(each)
        for same in by_field.values():
            zipped = owners.zipped(same)
            for number, each in enumerate(same):
                for name in zipped.get(number) or owners.of(each):
                    if name:
                        each.qualifiers = tuple(dict.fromkeys((*each.qualifiers, *modality)))
                        claim = self._claim(name, each, span, None)
                        if claim.value != claim.subject and self._is_new(claim, each):
                            yield claim

    def _is_new(self, claim: Claim, found: Found) -> bool:
        mark = (key(claim.subject), claim.field, claim.value, found.start)
        if mark in self._claimed:
            return False
        self._claimed.add(mark)
        return True

    def _claim(self, subject: str, found: Found, span: tuple[int, int], told: str | None) -> Claim:
        start, end = self._quote(found, span)
        return Claim(
            subject=subject,
            field=found.field,
            value=found.value,
            quote=self._text[start:end],
            start=start,
            end=end,
            unit=found.unit,
            qualifier=", ".join(found.qualifiers),
            address=self._page.address,
            told=found.told or told or self._context.told,
            published=self._published,
            fetched=self._page.fetched,
        )

    def _quote(self, found: Found, span: tuple[int, int]) -> tuple[int, int]:
        """The sentence, or where that is long, what stands around the value."""
        start, end = min(span[0], found.start), max(span[1], found.end)
        if end - start <= _MOST_QUOTE_CHARACTERS:
            return start, end
        first = max(start, found.start - _MOST_QUOTE_CHARACTERS // 2)
        last = min(end, max(found.end, first + _MOST_QUOTE_CHARACTERS))
        while first > start and first < found.start and not self._text[first - 1].isspace():
            first += 1
        while last < end and last > found.end and not self._text[last].isspace():
            last -= 1
        return first, last


def _joined_subjects(scene: Scene, subject: Mention) -> tuple[str, ...]:
    return (subject.name,)


_KNOWN_LABEL = re.compile(
    r"param|context|licen|lizenz|releas|launch|date|status|architect|type|expert|modalit|input|output|price"
    r"|pricing|cost|train|token|memory|vram|"
    r"ram\b|gpu|hardware|speed|throughput|download|star|like|rank|base|finetuned|format|size|window|mmlu|bench"
    r"|eval|gsm|math|aime|gpqa|expected|"
    r"file|quant|weights|available|kontext|pipeline|requires?|arch|developer|arena|ifeval|hellaswag|mbpp|arc\b"
    r"|bbh|qa\b"
)


def _is_label(label: str) -> bool:
    """Whether the words before a colon tell what the words behind it are."""
    return bool(_KNOWN_LABEL.search(label))


def _is_glued(text: str) -> bool:
    """Whether words have lost the gaps between them, as the text of a drawing does: no name is whole there."""
    return len(text) < 2000 and len(_GLUED.findall(text)) >= 4 and len(_GLUED.findall(text)) * 60 > len(text)


def _lowered(text: str) -> str:
    """Lower case with the same offsets."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)


def _date_of_page(head: str) -> str | None:
    """The date near the top: `Posted on April 19, 2026`."""
    today: date | None = None
    for told in dates(head, 0, min(len(head), 600), today):
        if len(told.value) == 10:
            return told.value
    return None


def _year_of_page(head: str) -> int | None:
    found = re.search(r"\b(20[12]\d)\b", head)
    return int(found[1]) if found else None
