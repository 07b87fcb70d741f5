"""`Claiming`: what one stretch of a page claims, by the names, quantities, dates and benchmarks that the page has.

These are found once for the whole page; a stretch is shown to the fields, and each finding gets its owner.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..claim import Claim
from ..page import Page
from .benchmarks import scores_of
from .context import Context
from .dates import dates, day_of
from .fields import Cues
from .index import Index
from .labels import date_of_page, year_of_page
from .layout import Block, blocks
from .lexicon import TOOLS, families
from .masking import Unmarked, readable
from .mention import Kind as NameKind
from .mention import Mention
from .names import Namer
from .quantities import Quantity, Unit, lowered, quantities
from .quoting import quoted
from .scene import Found, Scene, overlaps
from .subjects import Owners
from .tiers import placed
from .unglueing import is_glued
from .words import key

MOST_CHARACTERS = 1_000_000
"""What of a page is read: no post is longer, and what is longer is no post."""
LEAD_DATE = re.compile(r"[*_\[\s(]{0,4}((?:19|20)\d\d-\d\d-\d\d)(?!\d)")
_DIGIT = re.compile(r"\d")
_NUMBERED_TITLE = re.compile(r"\W*\d{1,2}[.)]\s")
_NUMBERED = re.compile(r"[A-Za-z]{0,2}\d")
_GERMAN = re.compile(r"\b(?:der|die|das|und|mit|ist|für|von|auf|eine?|nicht|wurde)\b")


def _tells_one(name: str) -> bool:
    """Whether a name is one model's: it has a number, or a known family's name and more."""
    if name.lower().split()[0] in TOOLS:
        return False
    return any(sign.isdigit() for sign in name) or (len(key(name)) > 1 and key(name)[0] in families())


def _may_be_of_project(scene: Scene) -> bool:
    """Whether a sentence may tell a project's stars or a technique's ratio, whose names are no models'."""
    units = (Unit.TIMES, Unit.SPEED)
    return "star" in scene.words or "compress" in scene.words or any(each.unit in units for each in scene.quantities)


class Claiming:
    """The claims of one page's stretches, each only once."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._written = page.text[:MOST_CHARACTERS]
        self._plain = Unmarked(readable(self._written))
        self._text = self._plain.text
        self._low = lowered(self._text)
        head = self._text[:1500]
        self._published = page.published or date_of_page(head) or None
        self._today = day_of(self._published) if self._published else None
        self._year = self._today.year if self._today else year_of_page(f"{page.title} {head}")
        self._german = len(_GERMAN.findall(self._low, 0, 4000)) >= 8
        self._context = Context()
        self._pairs: list[tuple[str, ...]] = []
        self._claimed: set[tuple[object, ...]] = set()
        text = self._text
        self._marks = list(scores_of(text, 0, len(text)))
        self._mark_starts = [mark[0] for mark in self._marks]
        self._parts = blocks(text) if text.strip() else []
        glued = [
            (part.start, part.end)
            for part in self._parts
            if isinstance(part, Block) and is_glued(text[part.start : part.end])
        ]
        self._glued_starts = {start for start, _ in glued}
        self._mentions = [
            mention
            for mention in Namer(text).mentions()
            if not self._in_benchmark(mention) and not overlaps(mention.start, mention.end, glued)
        ]
        self._names = Index(self._mentions)
        self._by_key = {key(mention.name): mention.name for mention in reversed(self._mentions)}
        self._numbers = Index(quantities(text, 0, len(text), german=self._german))
        self._dates = Index(dates(text, 0, len(text), self._today, self._year))
        self._context.document = self._of_title()
        self._cues = Cues(self._low)

    def _in_benchmark(self, mention: Mention) -> bool:
        at = bisect_left(self._mark_starts, mention.end)
        return at > 0 and self._marks[at - 1][1] > mention.start

    def _of_title(self) -> tuple[str, ...]:
        """The model that the page is a card of: its title names one."""
        title = self._page.title
        if title and not _NUMBERED_TITLE.match(title):
            names = {
                key(mention.name): mention.name
                for mention in Namer(f"{title} model release").mentions()
                if mention.is_specific
            }
            if len(names) == 1:
                return tuple(names.values())
        return ()

    def _existing(self) -> Iterator[Claim]:
        """Each model that the page names: that there is one is a claim too."""
        seen: set[tuple[object, ...]] = set()
        for mention in self._mentions:
            words = (mention.kind is NameKind.REPOSITORY, *key(mention.name))
            if mention.kind is NameKind.FAMILY or words in seen or not (mention.is_headed or _tells_one(mention.name)):
                continue
            if (
                mention.kind is NameKind.SHORT
                and not mention.is_listed
                and mention.name not in self._text
                and not _NUMBERED.match(self._text, mention.start, mention.end)
            ):
                continue
            if self._low[max(0, mention.start - 4) : mention.start] in (" no ", "\nno ", "no "):
                # `There is no Llama 5.`
                continue
            seen.add(words)
            line = self._text.rfind("\n", 0, mention.start) + 1
            lead = LEAD_DATE.match(self._text, line)
            yield self._claim(
                mention.name,
                Found("exists", True, mention.start, mention.end),
                (mention.start, mention.end),
                lead[1] if lead else None,
            )

    # Blocks

    def _benchmark_in(self, start: int, end: int) -> str:
        at = bisect_left(self._mark_starts, start)
        return self._marks[at][2] if at < len(self._marks) and self._marks[at][1] <= end else ""

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
            numbers = [
                left
                for number, each in enumerate(numbers)
                if (left := each if number not in taken else self._behind_name(each, mentions)) is not None
            ]
        return Scene(
            self._text, self._low, start, end, numbers, mentions, self._dates.within(start, end), label,
            told=self._context.told,
            heading=self._context.heading_words, benchmarks=marks, is_fragment=is_fragment, pairs=self._pairs,
        )  # fmt: skip

    def _behind_name(self, each: Quantity, mentions: Sequence[Mention]) -> Quantity | None:
        """`Kestrel 3 — 123B parameters`: what looks like a range is a name's number and a count of its own."""
        name = next(mention for mention in mentions if mention.start <= each.number_start < mention.end)
        if each.low is None or each.end <= name.end:
            return None
        digit = _DIGIT.search(self._text, name.end, each.end)
        return replace(each, low=None, start=digit.start(), number_start=digit.start()) if digit else None

    def _read(self, scene: Scene, span: tuple[int, int], carried: tuple[str, ...]) -> Iterator[Claim]:
        is_titled = bool(self._context.title) and not self._context.recent
        if not (scene.mentions or carried or is_titled) and not _may_be_of_project(scene):
            # Whatever it says, it is said of nobody.
            return
        found = [each for find in self._cues.asked(scene) for each in find(scene)]
        if self._context.tier is not None:
            found += placed(scene, self._context.tier)
        if not found:
            return
        if is_titled and not scene.mentions and not carried:
            # `Kalavai Fiction AI`, and below it `410M parameter specialist model`: a list of things by their names.
            found = [each for each in found if each.field in ("parameters_total", "context_length", "licence")]
            carried = (self._context.title,)
        owners = Owners(scene, carried, self._context.pair)
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
                        if scene.is_fragment and not any(sign.isdigit() for sign in name):
                            # `Multimodal Llama.`, below `Llama 3.2 Vision`.
                            name = self._context.narrowed(name)
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
        start, end = self._plain.written(*quoted(self._text, found, span))
        if found.field == "parameters_total":
            self._context.counted(subject, found.value)
        return Claim(
            subject=subject,
            field=found.field,
            value=found.value,
            quote=self._written[start:end],
            start=start,
            end=end,
            unit=found.unit,
            qualifier=", ".join(found.qualifiers),
            address=self._page.address,
            told=found.told or told or self._context.told,
            published=self._published,
            fetched=self._page.fetched,
        )
