"""`Context`: whom the text speaks of, from part to part, and so whom a sentence without a name means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .mention import Kind, Mention
from .scene import Scene
from .words import key, size_in

_BY_SIZE = re.compile(
    r"\W*(?:and |but |while )?the (?P<size>larger|bigger|smaller|lighter)(?: one| model| variant| version| of "
    r"the two)?\b"
)
_BY_COUNT = re.compile(
    r"\bthe (?P<count>\d{1,4}(?:\.\d{1,2})?)(?P<scale>[bt])(?:[- ]parameter)? (?:(?:flagship|dense|moe|sparse|base) )?"
    r"(?:model|variant|version|one|flagship)\b"
)
_SEVERAL = re.compile(
    r"^\W*(?:both|beide)\b|\b(?:both (?:models|fit|run|are|were|support|have|use|come|ship|need|read)|the two "
    r"models|all three|beide modelle)\b"
)

MOST_COUNTS = 2000
"""How many names a page's sizes are kept of."""
_LINE = 7
"""The rank of a line that is a heading by its form alone."""


def carries(mention: Mention | None) -> bool:
    """Whether the sentences that follow may speak of it."""
    return mention is not None and mention.kind is not Kind.FAMILY


@dataclass(slots=True)
class Context:
    """Whom the text speaks of, from part to part."""

    document: tuple[str, ...] = ()
    headings: list[tuple[int, tuple[str, ...] | None]] = field(default_factory=list)
    """The headings that are open, each with its rank and whom it names; None: something that is no known model."""
    ranks: set[int] = field(default_factory=set)
    """The ranks of the headings that named one model each: of that rank are the page's entries."""
    is_bare: bool = False
    """Whether the last heading that named somebody was little more than the name."""
    heading_words: str = ""
    recent: tuple[str, ...] = ()
    spoken: list[str] = field(default_factory=list)
    """Whom the block spoke of, the latest last: `both` means the last two."""
    lead: tuple[str, ...] = ()
    """Whom the line before a list was about."""
    section: list[str] = field(default_factory=list)
    """Whom the sentences of the section were about."""
    items: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    run: int = 0
    """How many items of a list stand one behind the other."""
    is_bare_item: bool = False
    """Whether the last item, which has none before it, was little more than a name: what follows is said of it."""
    told: str | None = None
    benchmark: str = ""
    """The benchmark that the block spoke of."""
    last_benchmark: str = ""
    item_benchmark: str = ""
    """The benchmark of an item before in the same list."""
    label: str = ""
    """A line of its own that labels the next: `Context Length`."""
    above: tuple[str, ...] = ()
    """Whom the last block that is no list's item was about."""
    counts: dict[str, float] = field(default_factory=dict)
    """How many parameters the page said that each has."""
    tier: float | None = None
    """The bytes of memory that the heading sets."""
    title: str = ""
    """A heading that may be an unknown model's name."""

    @property
    def heading(self) -> tuple[str, ...]:
        """Whom the nearest heading that names somebody names."""
        return next((names for _, names in reversed(self.headings) if names != ()), None) or ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Whom a sentence without a name speaks of; nobody, below the heading of somebody who is not known."""
        if self.recent or self.is_strange:
            return self.recent
        return self.heading or self.document

    @property
    def is_strange(self) -> bool:
        """Whether the text stands below a heading of something that is no known model."""
        return next((names is None for _, names in reversed(self.headings) if names != ()), False)

    def enter(self, level: int, names: tuple[str, ...] | None, *, is_part: bool, is_entry: bool, is_bare: bool) -> None:
        """A heading ends those of its rank and below, and what they were about, save where it heads a part of it.

        `names`: of whom it tells that they are meant; None: it names several, and does not tell which.
        `is_part`: its words tell of a part (`Pricing`); `is_entry`: they may be a name, beside the names of others;
        `is_bare`: they are little more than a name.
        """
        is_part = is_part and (2 < level < _LINE or (level == _LINE and self.is_bare))
        self.headings = [each for each in self.headings if each[0] < level or (is_part and each[0] == level)]
        if names or names is None:
            self.headings = [each for each in self.headings if each[0] < level]
        if names:
            self.headings.append((level, names))
            self.ranks.add(level)
            self.is_bare = is_bare
        elif level != _LINE and (names is None or (is_entry and not is_part and level in self.ranks)):
            self.headings.append((level, None))

    def carried(self, scene: Scene) -> tuple[str, ...]:
        """Whom a sentence without a name speaks of; `both` and `all three` mean the last two or three."""
        by_count = _BY_COUNT.search(scene.words) if not scene.mentions and "the " in scene.words else None
        if by_count is not None:
            return self._of_count(float(by_count["count"]) * (1e9 if by_count["scale"] == "b" else 1e12))
        by_size = _BY_SIZE.match(scene.words)
        if by_size and not scene.mentions:
            return self._of_size(by_size["size"])
        count = _count_meant(scene.words)
        if not count and not scene.mentions and re.search(r"\bboth\b", scene.words):
            count = 2
        for spoken in (self.spoken, self.section):
            if count and len(spoken) >= count:
                return tuple(spoken[-count:])
        return self.subjects

    @property
    def pair(self) -> tuple[str, ...]:
        """The last two of whom the text spoke: `the former` and `the latter`; none where it spoke of fewer."""
        last = self.spoken if len(self.spoken) > 1 else self.section
        return tuple(last[-2:]) if len(last) > 1 else ()

    def counted(self, name: str, count: object) -> None:
        """Note how many parameters the page said that one has."""
        if isinstance(count, float) and len(self.counts) < MOST_COUNTS:
            self.counts.setdefault(name, count)

    def _of_count(self, count: float) -> tuple[str, ...]:
        """`The 123B model`: the one that the page said to be of that size; not one that it said to be of another."""
        same = tuple(name for name, told in self.counts.items() if told == count)
        if same:
            return same if len(same) == 1 else tuple(name for name in same if name in self.subjects)
        return tuple(name for name in self.subjects if self.counts.get(name, count) == count)

    def _of_size(self, word: str) -> tuple[str, ...]:
        """`The larger one` and `the smaller` of the last two that have sizes in their names."""
        for spoken in (self.spoken, self.section):
            sized = [(size, name) for name in spoken[-2:] if (size := size_in(name))]
            if len(sized) == 2 and sized[0][0] != sized[1][0]:
                return ((min if word in ("smaller", "lighter") else max)(sized)[1],)
        return ()

    def narrowed(self, name: str) -> str:
        """In a section on Gemma 3 9B, `Gemma 3` is that one."""
        for wider in (self.heading, self.document):
            if len(wider) == 1 and key(wider[0])[: len(key(name))] == key(name):
                return wider[0]
        return name


def _count_meant(words: str) -> int:
    if "both" not in words and "three" not in words and "two models" not in words and "beide" not in words:
        return 0
    found = _SEVERAL.search(words)
    return 0 if not found else 3 if "three" in found[0] else 2
