"""`extract()`: what a page claims of models, by a grammar: the same page gives the same claims, and no model is asked.

A page is parted (`layout`), its names, quantities, dates and benchmarks are found once, each sentence is shown to the
fields (`fields/`), and each finding gets its owner (`subjects`). The time is in proportion to the page's length.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from ..claim import Claim
from ..page import Page
from .claiming import LEAD_DATE
from .comparing import headed, main_subject, objects
from .context import carries
from .dates import dates
from .labels import GLUED_LINE, LABEL_WORDS, LABELLED_LINE, TABLE_HEAD, WHOLE_LABEL, is_label, is_section, titled
from .layout import Block, Kind, Table, sentences
from .proposals import Proposal, verified
from .quantities import quantities
from .scene import Scene
from .tabulating import Tabulating
from .tiers import tier_of
from .unglueing import unglued
from .words import key

MOST_CLAIMS = 5000
_LABEL = re.compile(r"[*_`\[]{0,3}([^\W\d_][\w /()#&.-]{0,46}?)[*_`\]]{0,3}\s?[::]\s?[*_`]{0,3}\s*(?=\S)")
_RUN_IN = re.compile(r"\*\*[^*\n]{2,60}[.:!?—-]\*\*|\*\*[^*\n]{2,60}\*\*\s?[—–-]")
_COMPARES = re.compile(r"\W*(?:for comparison|for context|by contrast|in comparison|zum vergleich)\b")
_LAUNCHES = re.compile(r"(?i)\b(?:launch|releas|introduc|unveil|announc|debut|open-sourc|drop|ship)(?:e?s|ed|ing) ")
# What a note's front matter tells of the note.
_OF_NOTE = frozenset("date created modified updated published aliases author source url".split())
_VALUED = re.compile(r"^[a-z][a-z ]{2,24} (?:n/a$|[$€£~]?\d[\d.,]*\s?(?:[kmbt]|gb|tokens)?$)")
# `A 744B model with a long memory.`: a sentence that has no verb of its own.
_APPOSED = re.compile(
    r"(?:an?|one of|another) (?:[\w.,%-]+ ){0,8}?(?:models?|llm|vlm|moe|family|release|variant|system|checkpoint)\b"
    r"(?=,? (?:with|that|which|for|from|by|built|designed|trained|aimed|optimi[sz]ed|tuned|released)\b|\s?[,—–.:;(]|$)"
    r"(?![^.;]{0,60} (?:is|are|was|were|can|will|needs|runs|fits) )"
)
# `256K context.` says as much as a list's item.
_MOST_OF_FRAGMENT = 48
_MOST_OF_BARE_ITEM = 64
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|do|does|did|will|can|could|should|may|might|must|would|it|this|that"
    r"|they"
    r"|we|you|i|who|which|what|there|(?!modified|based|mixed)\w{3,}(?:ed|es|ing))\b"
)


def extract(page: Page, proposals: Iterable[Proposal] = ()) -> tuple[Claim, ...]:
    """The claims of a page in the order of their places, each with its exact words.

    `proposals` are claims that somebody else read there, a local model perhaps: they are taken where the page's words
    bear them out, and only beside what the grammar finds.
    """
    found = list(islice(_Extraction(page).claims(), MOST_CLAIMS))
    known = {(key(claim.subject), claim.field, claim.value) for claim in found}
    for claim in verified(page, proposals):
        if (key(claim.subject), claim.field, claim.value) not in known:
            found.append(claim)
            known.add((key(claim.subject), claim.field, claim.value))
    return tuple(sorted(found, key=lambda claim: (claim.start, claim.end, claim.field, str(claim.value))))


class _Extraction(Tabulating):
    def claims(self) -> Iterator[Claim]:
        yield from self._existing()
        for part in self._parts:
            if isinstance(part, Table):
                yield from self._table(part)
            elif part.kind is Kind.CODE:
                continue
            elif part.kind is Kind.FRONT:
                yield from self._front(part)
            else:
                yield from self._block(part)

    # Names

    def _block(self, block: Block) -> Iterator[Claim]:
        context = self._context
        labelled = self._labelled_line(block)
        if labelled is not None:
            yield from self._read(labelled, (block.start, block.end), context.subjects)
            return
        self._enter(block)
        lead = LEAD_DATE.match(self._text, block.start, block.end)
        context.told = lead[1] if lead else None
        context.spoken = []
        context.benchmark = ""
        if block.start in self._glued_starts:
            yield from self._glued(block)
            return
        label, context.label = context.label, ""
        words = self._low[block.start : block.end].strip(" *_`:")
        if WHOLE_LABEL.fullmatch(words):
            context.label = words
            return
        if label and block.end - block.start <= 48:
            scene = self._scene(block.start, block.end, label=label, is_fragment=True)
            yield from self._read(scene, (block.start, block.end), context.heading or context.document)
            return
        is_item = block.kind is not Kind.PARAGRAPH
        for start, end in sentences(self._text, block.start, block.end):
            yield from self._sentence(start, end, is_item=is_item)
        if block.kind is Kind.ITEM:
            context.items.append((block.level, context.recent))
            context.item_benchmark = context.benchmark or context.item_benchmark
            is_short = block.end - block.start < _MOST_OF_BARE_ITEM
            context.run += 1
            context.is_bare_item = context.run == 1 and is_short and not _VERB.search(self._low, block.start, block.end)
        else:
            context.item_benchmark = ""
            context.above = context.recent
            context.run = 0
            # `Some facts about the 18B:` is said of the list behind it.
            context.lead = ()
        if self._text[block.end - 1] in ":：":
            context.lead = context.recent
        context.told = None

    def _labelled_line(self, block: Block) -> Scene | None:
        """The value of a short line that begins with its label and has no colon."""
        if block.end - block.start > 80 or block.kind is Kind.ITEM:
            return None
        glued = GLUED_LINE.match(self._text, block.start, block.end)
        if glued is not None:
            return self._apart(glued.end(), block.end, glued["label"].lower())
        if block.end - block.start > 60:
            return None
        if self._low[block.start : block.end].partition(" ")[0] not in LABEL_WORDS:
            return None
        found = LABELLED_LINE.match(self._low, block.start, block.end)
        return self._scene(found.end(), block.end, label=found["label"], is_fragment=True) if found else None

    def _apart(self, start: int, end: int, label: str) -> Scene:
        """A stretch that is glued to its label: its numbers and dates are read without what stands before."""
        words = self._text[start:end]
        numbers = [each.moved(start) for each in quantities(words, 0, len(words))]
        told = [each.moved(start) for each in dates(words, 0, len(words), self._today, self._year)]
        return Scene(
            self._text, self._low, start, end, numbers, self._names.within(start, end), told, label,
            told=self._context.told, heading=self._context.heading_words, is_fragment=True, pairs=self._pairs,
        )  # fmt: skip

    def _enter(self, block: Block) -> None:
        """Forget whom the text spoke of where a block begins another matter."""
        context = self._context
        is_line = bool(context.title) and block.level == 7 and self._text[block.start].isdigit()
        if block.kind is Kind.HEADING and not is_line and not self._is_labelled(block):
            self._enter_heading(block)
        elif block.kind is Kind.ITEM:
            context.items = [item for item in context.items if item[0] < block.level]
            if context.items:
                context.recent = context.items[-1][1]
            elif context.lead:
                context.recent = context.lead
            else:
                context.recent = () if context.heading or context.document else context.above
        elif block.kind is Kind.PARAGRAPH and context.items and not self._text[block.start].isspace():
            # Behind a list the text goes on with whom it spoke of before; behind an item of a name, with that one.
            context.recent = context.recent if context.is_bare_item else context.above
            context.items = []
        elif _RUN_IN.match(self._text, block.start, block.end):
            # `**Price watch.** ...`: another matter.
            context.recent = ()

    def _is_labelled(self, block: Block) -> bool:
        """Whether a short line is a label or its value, not a heading: the subject stays."""
        words = self._low[block.start : block.end].strip(" *_`:")
        if block.level == 7 and TABLE_HEAD.fullmatch(words):
            return True
        if block.level == 7 and len(words) < 48 and _VALUED.search(words) and is_label(words):
            # `Max Output 98K`
            return not self._names.within(block.start, block.end)
        label, colon, value = words.partition(": ")
        if block.level == 7 and colon and value and len(label) <= 24 and is_label(label):
            # `License: MIT` on a line of its own.
            return not self._names.within(block.start, block.start + len(label))
        is_value = bool(self._context.label) and block.end - block.start <= 48
        return block.level == 7 and (is_value or WHOLE_LABEL.fullmatch(words) is not None)

    @functools.cached_property
    def _headings(self) -> Counter[str]:
        """How often the page has each heading."""
        parts = (part for part in self._parts if isinstance(part, Block) and part.kind is Kind.HEADING)
        return Counter(self._text[part.start : part.end] for part in parts)

    def _enter_heading(self, block: Block) -> None:
        named = {m.name for m in self._names.within(block.start, block.end) if m.is_specific}
        told = (
            headed(self._scene(block.start, block.end, label="", is_fragment=True)) if len(named) > 1 else tuple(named)
        )
        context = self._context
        context.heading_words = self._low[block.start : block.end]
        context.recent = ()
        context.items = []
        context.tier = tier_of(context.heading_words) if not named else None
        words = self._text[block.start : block.end]
        # A heading that the page has again and again is a section's, not a name.
        context.title = titled(words) if not named and self._headings[words] < 2 else ""
        is_part = is_section(context.heading_words)
        is_bare = sum(map(len, told)) * 2 > block.end - block.start
        context.enter(
            block.level, told or (None if named else ()), is_part=is_part, is_entry=bool(context.title), is_bare=is_bare
        )
        is_title = block.level == 1 or (block.level == 7 and block.start <= self._parts[0].start)
        if block.level == 1 and named and context.document and told != context.document:
            # Headings of the first rank that name one model each: the page is of none of them.
            context.document = ()
        elif len(told) == 1 and is_title and not context.document and len(context.ranks) < 2:
            context.document = told

    def _label_of(self, start: int, end: int) -> re.Match[str] | None:
        """The words before a colon that label what stands behind it; a name there is whom the sentence is about."""
        colon = self._text.find(":", start, min(end, start + 64)) >= 0 or self._text.find("：", start, start + 64) >= 0
        match = _LABEL.match(self._text, start, end) if colon else None
        if match is None or match[1].count("(") != match[1].count(")"):
            return None
        inside = self._names.within(match.start(1), match.end(1))
        if match.end() >= end or len(match[1].split()) > 6 or (inside and _LAUNCHES.search(match[1])):
            # `Acme launches Kestrel 2: a small open model`
            return None
        is_named = inside and (inside[0].end - inside[0].start) * 2 >= match.end(1) - match.start(1)
        if is_named and inside[0].is_specific:
            self._context.recent = (inside[0].name,)
            return None
        if inside and is_label(match[1].lower()) and any(sign.isdigit() for sign in inside[0].name):
            # `Tern 5 comes in three sizes: ...`
            self._context.recent = (inside[0].name,)
        return match

    def _sentence(self, start: int, end: int, *, is_item: bool) -> Iterator[Claim]:
        match = self._label_of(start, end)
        label = match[1].lower() if match else ""
        is_item = is_item or (end - start < _MOST_OF_FRAGMENT and not _VERB.search(self._low, start, end))
        is_item = is_item or (bool(self._context.recent) and _APPOSED.match(self._low, start, end) is not None)
        if label and is_label(label) and match:
            scene = self._scene(match.end(), end, label=label, is_fragment=True)
            scene.labelled_benchmark = self._benchmark_in(match.start(1), match.end(1))
        else:
            scene = self._scene(start, end, label="", is_fragment=is_item)
        scene.recent_benchmark = self._context.benchmark
        if not scene.recent_benchmark and " same " in scene.words:
            # `- Tern 5 at 77% on the same benchmark`, below an item that names it.
            scene.recent_benchmark = self._context.last_benchmark
        elif not scene.recent_benchmark and is_item:
            scene.recent_benchmark = self._context.item_benchmark
        yield from self._read(scene, (start, end), self._context.carried(scene))
        if scene.benchmarks:
            self._context.benchmark = self._context.last_benchmark = scene.benchmarks[-1][2]
        compared = objects(scene)
        for number, mention in enumerate(scene.mentions):
            if carries(mention) and number not in compared:
                spoken = [name for name in self._context.spoken if name != mention.name]
                self._context.spoken = [*spoken[-5:], mention.name]
        subject = main_subject(scene)
        if subject is not None and carries(subject):
            if self._text[start] != "(":
                opening = headed(scene) if is_item and len(scene.mentions) > 1 else ()
                self._context.recent = opening if len(opening) > 1 else (self._context.narrowed(subject.name),)
            if not _COMPARES.match(scene.words) and (not is_item or subject.start - start < 12):
                section = [name for name in self._context.section if name != subject.name]
                self._context.section = [*section[-5:], subject.name]

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
            if label == "title" and not self._context.document:
                named = [m.name for m in self._names.within(begin, end) if m.is_specific]
                self._context.document = tuple(named[:1])
            if begin < end and label and label not in _OF_NOTE:
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

    def _glued(self, block: Block) -> Iterator[Claim]:
        """The text of a drawing, whose words have lost the gaps between them: a name that the page knows begins a
        new piece, and what follows up to the next name is said of it."""
        pieces = list(unglued(self._text[block.start : block.end], [mention.name for mention in self._mentions]))
        for name, start, end in pieces:
            begin, stop = block.start + start, block.start + end
            words = self._text[begin:stop]
            numbers = [each.moved(begin) for each in quantities(words, 0, len(words))]
            scene = Scene(
                self._text, self._low, begin, stop, numbers, (), (), "", heading="", is_fragment=True, pairs=self._pairs
            )
            yield from self._read(scene, (begin, stop), (name,))

    # Scenes
