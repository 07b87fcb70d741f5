"""`Scene`: a sentence, a list item or a table's cell as the fields see it, and `Found`: what a field finds in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .dates import Told
from .mention import Mention
from .quantities import Quantity

_NEGATION = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bno longer|\binstead of|\brather than|\bneither|\bnor|\bwithout|\bfar from"
    r"|\bkein\w*|\bnicht|(?:^|[,(;|] ?|is |are |with |and )no)\b"
    r"(?! (?:only|just|merely))[^.,;:()]{0,14}$"
)
_QUANTIZED = re.compile(r"^(?:at|in|as)? ?(?:i?q\d\w*|\d(?:\.\d)?-bit|fp8|int4|int8|qat|awq|gptq|gguf)$")
# `DeepSeek V4 (April 2026) (1.6T)`
_BRACKET = re.compile(r"^\([^()]{1,40}\)$")
_DENIAL = re.compile(
    r"not|n['’]t|no(?<=\bno)\b|never|longer|instead|rather|neither|nor|without|far|kein|believ|myth|contra|wrong|false|mistak"
    r"|incorr|erron|debunk|wrote"
)
_MISTAKEN = re.compile(
    r"\b(?:(?:do not|don['’]t|never) believe|(?:is|it['’]s) (?:a myth|not true) that|contrary to|wrongly"
    r"|falsely|mistakenly|incorrectly|erroneously|debunk\w*|i wrote that)\b"
)
_HEARSAY = re.compile(
    r"\b(?:reportedly|allegedly|rumou?red|rumou?rs?|said to|according to (?:leaks|rumou?rs)|leak(?:s|ed)?"
    r"|purported(?:ly)?|"
    r"supposed(?:ly)?|apparently|unconfirmed|speculat(?:ion|ions|ed|es|ing)|suggests?|hints?|angeblich|claimed)\b"
)
_FUTURE = re.compile(
    r"\b(?:will|['’]ll|expected|expects?|upcoming|imminent|anticipated|planned|plans to|going to|pre-release"
    r"|pre-launch|slated|"
    r"scheduled|forthcoming|about to|should (?:arrive|land|ship|launch)|set to|due (?:in|on|by|this|next)"
    r"|teas(?:ed|es)|"
    r"coming|soon to be|wird|erwartet|countdown|launch window|preparing|not yet released|yet to be released)\b"
)


@dataclass(slots=True)
class Found:
    """A value that a field finds, before it is known of whom it is said."""

    field: str
    value: float | str | bool
    start: int
    end: int
    unit: str = ""
    qualifiers: tuple[str, ...] = ()
    subject: str | None = None
    """The name where the words leave no doubt; None: who stands nearest."""
    told: str | None = None
    needs_name: bool = False
    """Whether it is said of nobody unless the sentence itself names somebody."""


@dataclass(slots=True)
class Scene:
    """A stretch of the page that says one thing."""

    text: str
    low: str
    """The whole page in lower case, with the same offsets."""
    start: int
    end: int
    quantities: Sequence[Quantity]
    mentions: Sequence[Mention]
    dates: Sequence[Told]
    label: str = ""
    """What stands before it in lower case: the header of its column, the words before a colon."""
    recent_benchmark: str = ""
    """The benchmark that the sentences before in the same paragraph spoke of."""
    labelled_benchmark: str = ""
    """The benchmark that its column or row is of."""
    heading: str = ""
    benchmarks: Sequence[tuple[int, int, str]] = ()
    """Benchmarks' names with their places."""
    told: str | None = None
    """The day of its item or row, where that has one."""
    is_forecast: bool = False
    """Whether its table is of what is expected."""
    is_event: bool = False
    """Whether its row tells an event: then a date is the event's."""
    is_measured: bool = False
    """Whether its table is of speeds: its lengths are conditions."""
    is_fragment: bool = False
    """A list item, a cell or a heading: no whole sentence."""
    may_deny: bool | None = None
    """Whether any word of it denies something; None: not looked yet."""
    compared: set[int] | None = None
    """The numbers of those mentions that others are compared with; None: not looked yet."""
    words: str = ""
    """The stretch in lower case."""
    pairs: list[tuple[str, ...]] = field(default_factory=list)
    """Benchmarks that the page named side by side, the latest last: `87.6% / 64.3%` means these."""

    def __post_init__(self) -> None:
        self.words = self.low[self.start : self.end]

    def before(self, at: int, most: int) -> str:
        """What stands before a place, in lower case."""
        return self.low[max(self.start, at - most) : at]

    def after(self, at: int, most: int) -> str:
        """What stands behind a place, in lower case."""
        return self.low[at : min(self.end, at + most)]

    def is_negated(self, at: int) -> bool:
        """Whether the words before a place deny what follows, or call it a mistake."""
        if self.may_deny is None:
            self.may_deny = _DENIAL.search(self.low, self.start, self.end) is not None
        if not self.may_deny:
            return False
        return _NEGATION.search(self.before(at, 34)) is not None or _MISTAKEN.search(self.before(at, 160)) is not None

    def modality(self) -> tuple[str, ...]:
        """`reportedly` and `expected` where the sentence says so."""
        found = []
        words = self.words
        if _HEARSAY.search(words):
            found.append("reportedly")
        if _FUTURE.search(words):
            found.append("expected")
        return tuple(found)

    def is_future(self) -> bool:
        """Whether the sentence speaks of what is to come."""
        return _FUTURE.search(self.words) is not None

    def in_brackets_behind(self, at: int) -> Mention | None:
        """The name right before the bracket that a place stands in: `Qwen 3 (72B)`."""
        opening = self.text.rfind("(", max(self.start, at - 160), at)
        if opening < 0 or self.text.find(")", opening, at) >= 0:
            return None
        for mention in reversed(self.mentions):
            gap = _QUANTIZED.sub("", self.low[mention.end : opening].strip(" *_`\"'”"))
            gap = _BRACKET.sub("", gap)
            if mention.end <= opening and (
                not gap or re.fullmatch(r"(?:'s|’s)?\s?(?:variant|model|models|family|series|version|flagship)?", gap)
            ):
                return mention
            if mention.end <= opening:
                return None
        return None


def overlaps(start: int, end: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Whether a stretch touches one of these."""
    return any(start < last and first < end for first, last in spans)
