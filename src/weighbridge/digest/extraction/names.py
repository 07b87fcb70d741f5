"""`Mention`: a model's name on a page, found by families that are known and by the form that names have.

A name is a head (`Qwen3`, `Zephyrion`) with versions, sizes and variants behind it (`Llama 4 Scout 17B`,
`glm-5.1-fp8`), or a repository (`org/name`). What follows it in short (`Scout`, `V4`, `the 31B`) is led back to
the name in full that the page gives elsewhere. A model that nobody has heard of is found by form: a capitalised word
with a size behind it, or with a version where the sentence speaks of models.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .lexicon import MAKERS, NO_MODELS, PACKINGS, SUFFIXES, families, makers, needs_more

_CHUNK = re.compile(r"https?://[^\s<>)\]\"'|]{1,400}|[^\W_]\w*(?:[.\-+/:@]\w+)*\+?")
_SIZE = re.compile(r"(?:\d{1,3}x)?[aeAE]?\d{1,4}(?:\.\d{1,3})?[BbMTt](?:x\d{1,4}[Ee])?\Z")
_VERSION = re.compile(
    r"(?:[vV]\d{1,3}(?:\.\d{1,3}){0,3}|\d{1,2}(?:\.\d{1,3}){0,2}[a-z]?|[A-Za-z]{1,2}\d{1,2}(?:\.\d{1,2})?)\Z"
)
_BUILD = re.compile(r"\d{4,8}\Z")
_REPOSITORY = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,60})/[A-Za-z0-9][\w.-]{0,95}\Z")
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]{1,60}/[\w.-]{1,95})\Z")
_HEAD = re.compile(r"([A-Za-z][A-Za-z]*?)(?:[vV]?\d+(?:\.\d+)*[a-z]?)?\Z")
_KEY = re.compile(r"\d+(?:\.\d+)*(?:[bmtk](?![a-z]))?|[a-z]+\+?")
_CUES = re.compile(
    r"\b(?:models?|llms?|weights?|parameters?|params|checkpoints?|open-sourc\w+|releas\w+|launch\w+|licen[cs]\w+|"
    r"benchmarks?|context|fine-?tun\w+|quantiz\w+|variants?|announc\w+|ships|shipped|scor\w+|outperform\w+"
    r"|tokens?|moe|"
    r"inference|multimodal|vlm|dense|experts?|\d{1,4}(?:\.\d{1,2})?[bt])\b",
    re.IGNORECASE,
)
_MOST_MENTIONS = 4000


class Kind(StrEnum):
    """How a name is given."""

    FULL = "full"
    REPOSITORY = "repository"
    SHORT = "short"
    FAMILY = "family"


@dataclass(slots=True)
class Mention:
    """A name and its place. `name` is the name in full."""

    start: int
    end: int
    name: str
    kind: Kind

    @property
    def is_specific(self) -> bool:
        """Whether it names a release or a variant, not a whole line of models."""
        return self.kind is not Kind.FAMILY


class Part(StrEnum):
    """What a word can be in a name."""

    FAMILY = "family"
    """A known family, with or without more."""
    FORM = "form"
    """An unknown word with a size in it: `Kestrel-34B`."""
    WEAK = "weak"
    """An unknown word with a version in it: `Kestrel-2`."""
    REPOSITORY = "repository"
    SIZE = "size"
    VERSION = "version"
    TAIL = "tail"
    """Versions, sizes and suffixes, joined: `3.5-9B`, `V4-Pro`."""
    SUFFIX = "suffix"
    CAPITAL = "capital"
    NUMBERED = "numbered"
    OTHER = "other"


class Chunk(NamedTuple):
    """A word of the page."""

    text: str
    start: int
    end: int
    part: Part


def key(name: str) -> tuple[str, ...]:
    """The words of a name, however they are joined: `Qwen3-72B` and `Qwen 3 72B` have one key."""
    return tuple(_KEY.findall(name.lower().rpartition("/")[2]))


@functools.lru_cache(maxsize=1 << 15)
def _part(text: str) -> Part:
    """What a word can be."""
    low = text.lower()
    if "/" in text:
        return Part.REPOSITORY if _is_repository(text) else Part.OTHER
    if not text[0].isupper() and text.isalpha() and low not in families():
        return Part.SUFFIX if low in SUFFIXES else Part.OTHER
    if _SIZE.match(text):
        return Part.SIZE
    head = low.partition("-")[0]
    if low in NO_MODELS or head in NO_MODELS or len(text) > 90:
        return Part.VERSION if _VERSION.match(text) and low not in NO_MODELS else Part.OTHER
    stem = _HEAD.match(head)
    if (stem and stem[1] in families()) or low in families() or head in families():
        return Part.OTHER if low.endswith(("-class", "-style", "-level", "-like", "-based")) else Part.FAMILY
    if _VERSION.match(text):
        return Part.VERSION
    if low in SUFFIXES and text[0].isupper():
        return Part.SUFFIX
    pieces = [piece for piece in re.split(r"[-_:]", text) if piece]
    if len(pieces) > 1:
        return _joined(pieces, low)
    if text[0].isupper():
        return Part.NUMBERED if text[-1].isdigit() and len(text) > 3 and text[:2].isalpha() else Part.CAPITAL
    return Part.OTHER


def _joined(pieces: list[str], low: str) -> Part:
    if low.endswith(("-class", "-style", "-level", "-like", "-based", "-only", "-bit", "-token", "-parameter")):
        return Part.OTHER
    if all(_is_tail(piece) for piece in pieces):
        return Part.TAIL
    head = pieces[0]
    stem = _HEAD.match(head)
    if not stem or len(head) < 3 or low.endswith("bench") or "bench-" in low or head.isdigit():
        return Part.OTHER
    if any(_SIZE.match(piece) and piece[-1] in "Bb" for piece in pieces[1:]):
        return Part.FORM
    if any(_VERSION.match(piece) and not piece.isalpha() for piece in pieces[1:]) and head[0].isupper():
        return Part.WEAK
    return Part.CAPITAL if head[0].isupper() and all(piece[0].isupper() for piece in pieces) else Part.OTHER


def _is_tail(piece: str) -> bool:
    low = piece.lower()
    return (
        bool(_SIZE.match(piece) or _VERSION.match(piece) or _BUILD.match(piece)) or low in SUFFIXES or low in PACKINGS
    )


def _is_repository(text: str) -> bool:
    if not _REPOSITORY.match(text):
        return False
    organisation, _, name = text.partition("/")
    low = name.lower()
    if organisation.lower() in makers() - frozenset({"by", "and", "or", "of", "with", "for", "from"}):
        return len(name) > 2 and ("-" in name or any(sign.isdigit() for sign in name)) and not _is_tail(organisation)
    pieces = [piece for piece in re.split(r"[-_]", name) if piece]
    if any(_is_tail(piece) for piece in organisation.split("-")) or len(organisation) < 3:
        return False
    has_digit = any(sign.isdigit() for sign in name) and any(sign.isalpha() for sign in name)
    head = _HEAD.match(pieces[0]) if pieces else None
    known = head is not None and head[1].lower() in families()
    return len(pieces) > 1 and (known or (has_digit and len(pieces) > 2)) and not low.endswith((".py", ".md", ".json"))


def chunks(text: str) -> list[Chunk]:
    """The page's words, each with what it can be in a name."""
    found = []
    for match in _CHUNK.finditer(text):
        word = match[0]
        if word.startswith("http"):
            hub = _HUB.match(word.rstrip("/.,"))
            if hub and hub[1].partition("/")[0] not in ("datasets", "spaces", "blog", "docs", "papers", "collections"):
                start = match.start() + hub.start(1)
                found.append(Chunk(hub[1], start, start + len(hub[1]), Part.REPOSITORY))
            continue
        part = _part(word) if len(word) < 200 else Part.OTHER
        if part is Part.OTHER and ("/" in word or ":" in word):
            at = match.start()
            for piece in re.split(r"[/:]", word):
                if piece:
                    found.append(Chunk(piece, at, at + len(piece), _part(piece) if len(piece) < 200 else Part.OTHER))
                at += len(piece) + 1
        else:
            found.append(Chunk(word, match.start(), match.end(), part))
    return found


class Namer:
    """Finds the mentions of one page."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._chunks = chunks(text)
        self._plain = {chunk.text for chunk in self._chunks if chunk.part is Part.OTHER and chunk.text.islower()}
        self._accepted: set[str] = set()

    def mentions(self) -> list[Mention]:
        """All mentions in their order; short ones carry the name in full."""
        found = [*self._full()]
        return _Shortener(self._text, self._chunks, found).all()

    def _full(self) -> Iterator[Mention]:
        number = 0
        weak: list[tuple[int, int]] = []
        found: list[Mention] = []
        while number < len(self._chunks) and len(found) < _MOST_MENTIONS:
            chunk = self._chunks[number]
            if chunk.part is Part.REPOSITORY:
                found.append(Mention(chunk.start, chunk.end, chunk.text, Kind.REPOSITORY))
                number += 1
                continue
            last, is_weak = self._span(number)
            if last is None:
                number += 1
                continue
            if is_weak:
                weak.append((number, last))
            else:
                found.append(self._mention(number, last))
            number = last + 1
        found += self._weak(weak)
        return iter(sorted(found, key=lambda mention: mention.start))

    def _span(self, number: int) -> tuple[int | None, bool]:
        """The last word of the name that begins at this one, and whether it needs more to be believed."""
        chunk = self._chunks[number]
        if chunk.part is Part.FAMILY:
            last = self._extended(number)
            alone = last == number and chunk.text.isalpha() and needs_more(chunk.text.lower())
            if alone or (needs_more(chunk.text.lower()) and not chunk.text[0].isupper()):
                return None, False
            return last, False
        if chunk.part is Part.FORM:
            return self._extended(number), False
        if chunk.part is Part.WEAK:
            return self._extended(number), True
        if chunk.part in (Part.CAPITAL, Part.NUMBERED):
            return self._unknown(number)
        return None, False

    def _unknown(self, number: int) -> tuple[int | None, bool]:
        """A capitalised word that nobody knows: a name where a size or a version follows."""
        chunk = self._chunks[number]
        if chunk.text.lower() in self._plain or (chunk.text.isupper() and len(chunk.text) < 3):
            return None, False
        if chunk.text.lower() in makers():
            return None, False
        last = number
        while last + 1 < len(self._chunks) and last < number + 3 and self._adjoins(last):
            following = self._chunks[last + 1]
            if following.part in (Part.SIZE, Part.TAIL, Part.VERSION):
                if following.part is Part.VERSION and not self._is_version(last + 1):
                    return None, False
                end = self._extended(last)
                sized = any(self._chunks[at].part in (Part.SIZE, Part.TAIL) for at in range(last, end + 1))
                return end, not (sized and self._text[following.end - 1] in "Bb")
            if following.part not in (Part.CAPITAL, Part.SUFFIX) or following.text.lower() in self._plain:
                break
            last += 1
        return (number, True) if chunk.part is Part.NUMBERED else (None, False)

    def _adjoins(self, number: int) -> bool:
        gap = self._text[self._chunks[number].end : self._chunks[number + 1].start]
        return gap in (" ", "-", "\u00a0", "‑")

    def _is_version(self, number: int) -> bool:
        chunk = self._chunks[number]
        tail = self._text[chunk.end : chunk.end + 10].lower()
        if (tail[:1] in ("%", ",") and tail[1:2].isdigit()) or tail[:1] in ("%", "x", "×", "$"):
            return False
        following = tail.strip(" -").split(" ")[0] if tail.strip() else ""
        return not following.startswith(
            ("million", "billion", "trillion", "percent", "points", "times", "hours", "days", "weeks", "gb", "tokens",
             "gpus", "bit", "others", "more", "experts", "downloads", "stars", "of")
        )  # fmt: skip

    def _extended(self, number: int) -> int:
        """The last word of a name: versions, sizes, variants, and a capitalised word that one of these follows."""
        last = number
        while last + 1 < len(self._chunks) and last < number + 7 and self._adjoins(last):
            following = self._chunks[last + 1]
            if not self._belongs(number, last, following):
                break
            last += 1
        return last

    def _belongs(self, first: int, last: int, following: Chunk) -> bool:
        if following.part is Part.VERSION:
            return self._is_version(last + 1)
        if following.part is Part.SIZE:
            return following.text[-1] not in "Tt" and not self._is_quantity(last + 1)
        if following.part is Part.SUFFIX:
            return following.text[0].isupper() or self._text[following.start - 1] == "-"
        if following.part is Part.CAPITAL:
            return self._goes_on(first, last + 1)
        if following.part is Part.FAMILY:
            return self._is_inner_family(last, last + 1)
        return following.part is Part.TAIL

    def _is_quantity(self, number: int) -> bool:
        tail = self._text[self._chunks[number].end : self._chunks[number].end + 14].lower().lstrip(" -+")
        return tail.startswith(("parameter", "param", "active", "token", "total", "download", "activated"))

    def _is_inner_family(self, last: int, number: int) -> bool:
        """`Mistral` and `Mixtral` name two; `Qwen Coder`'s second word, `NVIDIA Nemotron`, one: a maker goes before."""
        before = self._chunks[last].text.lower()
        return before in ("mistral", "deepseek", "claude", "gemini", "minimax", "cohere", "kimi") and self._chunks[
            number
        ].text.lower().startswith(("opus", "sonnet", "haiku", "command", "code"))

    def _goes_on(self, first: int, number: int) -> bool:
        chunk = self._chunks[number]
        low = chunk.text.lower()
        if low in self._plain or low in NO_MODELS or low in makers() or not chunk.text[0].isupper():
            return False
        if low in ("license", "licence", "terms", "community", "team", "series", "family", "stack", "model", "models"):
            return False
        if needs_more(self._chunks[first].text.lower()) and number == first + 1:
            return True
        if number + 1 >= len(self._chunks) or not self._adjoins(number):
            return False
        after = self._chunks[number + 1]
        if after.part is Part.VERSION:
            return self._is_version(number + 1)
        return after.part in (Part.SIZE, Part.TAIL) or (after.part is Part.SUFFIX and after.text[0].isupper())

    def _weak(self, spans: list[tuple[int, int]]) -> Iterator[Mention]:
        """Names by form alone, where the words around them speak of models."""
        for first, last in spans:
            name = self._text[self._chunks[first].start : self._chunks[last].end]
            base = key(name)[:1]
            start = self._chunks[first].start
            around = self._text[max(0, start - 90) : self._chunks[last].end + 110]
            if "".join(base) in self._accepted or _CUES.search(around):
                self._accepted.add("".join(base))
                yield self._mention(first, last)

    def _mention(self, first: int, last: int) -> Mention:
        while first < last and self._chunks[first].text.lower() in MAKERS:
            first += 1
        start, end = self._chunks[first].start, self._chunks[last].end
        name = self._text[start:end]
        is_family = first == last and name.isalpha()
        return Mention(start, end, name, Kind.FAMILY if is_family else Kind.FULL)


_GENERIC_SHORT = frozenset(
    "base instruct chat it pt dev latest preview live v r exp experimental dense moe large small medium high low "
    "fast heavy research edge cloud voice speech code math vision audio reasoning thinking".split()
)


class _Shortener:
    """Leads short names back to those in full."""

    def __init__(self, text: str, words: list[Chunk], full: list[Mention]) -> None:
        self._text = text
        self._words = words
        self._full = full
        self._by_last: dict[str, list[str]] = {}
        self._by_tail: dict[tuple[str, ...], str] = {}
        for mention in full:
            if mention.kind is Kind.FULL:
                self._index(mention.name)

    def _index(self, name: str) -> None:
        words = key(name)
        for at in range(1, min(len(words), 6)):
            tail = words[at:]
            known = self._by_tail.get(tail)
            if known is None or len(key(known)) > len(words):
                self._by_tail[tail] = name
        named = [word for word in words[1:] if word.isalpha() and len(word) > 2 and word not in _GENERIC_SHORT]
        if named:
            self._by_last.setdefault(named[-1], []).append(name)

    def all(self) -> list[Mention]:
        found: list[Mention] = []
        place = 0
        skip_until = -1
        for number, chunk in enumerate(self._words):
            while place < len(self._full) and self._full[place].start <= chunk.start:
                found.append(self._whole(self._full[place]))
                skip_until = self._full[place].end
                place += 1
            if chunk.start < skip_until:
                continue
            short = self._short(number, found)
            if short is not None and len(found) < _MOST_MENTIONS:
                found.append(short)
                skip_until = short.end
        return [*found, *self._full[place:]]

    def _whole(self, mention: Mention) -> Mention:
        """`Opus 4.7` is `Claude Opus 4.7` where the page says so once."""
        known = self._by_tail.get(key(mention.name)) if mention.kind is Kind.FULL else None
        if known is not None and known[0].isalpha() and not mention.name[0].isdigit():
            return Mention(mention.start, mention.end, known, mention.kind)
        return mention

    def _short(self, number: int, before: Sequence[Mention]) -> Mention | None:
        chunk = self._words[number]
        if chunk.part is Part.SIZE:
            return self._sized(number, before)
        if chunk.part in (Part.VERSION, Part.TAIL):
            return self._versioned(number, before)
        if chunk.part in (Part.CAPITAL, Part.SUFFIX) and chunk.text[0].isupper():
            return self._worded(number, before)
        return None

    def _joined_to(self, chunk: Chunk, before: Sequence[Mention]) -> Mention | None:
        """The mention that this word is joined to by `and`, `/` or a comma."""
        if not before or chunk.start - before[-1].end > 12:
            return None
        gap = self._text[before[-1].end : chunk.start].strip().lower()
        return before[-1] if gap in ("and", "/", ",", "&", "or", ", and", "+", "and the") else None

    def _sized(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`the 31B Dense variant`, `the 72B variant of Qwen 3`, `Qwen3-8B and 14B`."""
        chunk = self._words[number]
        if chunk.text[-1] not in "Bb" or chunk.text[0] in "aA":
            return None
        end = self._end_of_sized(number)
        joined = self._joined_to(chunk, before)
        if joined is not None and joined.kind is Kind.FULL and _has_size(joined.name) and not self._is_counted(end):
            return Mention(chunk.start, end, f"{_without_size(joined.name)} {chunk.text}", Kind.SHORT)
        head = self._text[max(0, chunk.start - 6) : chunk.start].lower()
        if not head.endswith(("the ", "its ", "’s ", "'s ")) or self._is_counted(end):
            return None
        tail = self._text[end : end + 30].lower()
        of = re.match(r" (?:variant|version|model|checkpoint|member|sibling|edition|size)s? (?:of|in) (?:the )?", tail)
        base = None
        if of:
            start = end + of.end()
            base = next((m for m in self._full if m.start == start), None)
        elif head.endswith(("the ", "its ")) and re.match(
            r" (?:variant|version|model|checkpoint|sibling|one|edition|size|is|was|has|scores|runs|fits|needs"
            r"|beats|can)\b|[,.)]",
            tail,
        ):
            base = next((m for m in reversed(before) if chunk.start - m.end < 3000), None)
        if base is None or base.kind is Kind.REPOSITORY:
            return None
        words = self._text[chunk.start : end]
        return Mention(chunk.start, end, f"{_without_size(base.name)} {words}", Kind.SHORT)

    def _end_of_sized(self, number: int) -> int:
        end = self._words[number].end
        for following in self._words[number + 1 : number + 4]:
            if (
                following.part is Part.SUFFIX
                and self._text[end : following.start] in (" ", "-")
                and following.text[0].isupper()
            ):
                end = following.end
            else:
                break
        return end

    def _is_counted(self, end: int) -> bool:
        tail = self._text[end : end + 14].lower().lstrip(" -+")
        return tail.startswith(
            ("parameter", "param", "active", "token", "total", "download", "activated", "dense", "class")
        )

    def _versioned(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`V4`, `V4-Pro`, `M2.7`: a version with a letter that a name on the page has, or its sibling."""
        chunk = self._words[number]
        words = key(chunk.text)
        if len(words) < 2 and not (words and words[0][0].isalpha()):
            return None
        known = self._by_tail.get(words)
        if known is not None and chunk.text[0].isalpha():
            return Mention(chunk.start, chunk.end, known, Kind.SHORT)
        if not chunk.text[0].isalpha() or len(words[0]) > 1 or not before:
            return None
        for mention in reversed(before[-40:]):
            if mention.kind is Kind.FULL and words[0] in key(mention.name)[1:]:
                stem = re.split(
                    rf"(?<![A-Za-z]){re.escape(chunk.text[0])}(?=\d)", mention.name, maxsplit=1, flags=re.I
                )[0]
                if len(stem) < len(mention.name):
                    return Mention(chunk.start, chunk.end, f"{stem}{chunk.text}", Kind.SHORT)
        return None

    def _worded(self, number: int, before: Sequence[Mention]) -> Mention | None:
        """`Scout`, `Opus 4.7`, and `Maverick` right behind `Llama 4 Scout and`."""
        end = number
        words = key(self._words[number].text)
        best: tuple[int, str] | None = None
        while end < len(self._words) and end < number + 4:
            name = self._by_tail.get(words)
            if (
                name is not None
                and (len(words) > 1 or words[0] not in _GENERIC_SHORT)
                and not words[-1].isdigit()
                | (end == number and len(words[0]) < 4 and words[0] not in ("pro", "max", "air"))
            ) or (name is not None and len(words) > 1 and words[0].isalpha()):
                best = (end, name)
            if end + 1 >= len(self._words) or self._text[self._words[end].end : self._words[end + 1].start] not in (
                " ",
                "-",
            ):
                break
            end += 1
            words += key(self._words[end].text)
        chunk = self._words[number]
        if best is not None:
            return Mention(chunk.start, self._words[best[0]].end, best[1], Kind.SHORT)
        word = chunk.text.lower()
        if word in _GENERIC_SHORT:
            return None
        named = self._by_last.get(word)
        if named:
            return Mention(chunk.start, chunk.end, min(named, key=lambda name: len(key(name))), Kind.SHORT)
        joined = self._joined_to(chunk, before)
        if joined is not None and chunk.part is Part.SUFFIX and joined.kind is not Kind.FAMILY:
            stem = joined.name.rpartition(" ")[0] or joined.name.rpartition("-")[0]
            if stem and key(joined.name)[-1:] and key(joined.name)[-1] in SUFFIXES:
                return Mention(chunk.start, chunk.end, f"{stem} {chunk.text}", Kind.SHORT)
        return None


def _has_size(name: str) -> bool:
    return any(_SIZE.match(piece) for piece in re.split(r"[-_ ]", name))


def _without_size(name: str) -> str:
    pieces = re.split(r"([-_ ])", name)
    kept = [piece for piece in pieces if not _SIZE.match(piece)]
    return re.sub(r"[-_ ]{2,}", " ", "".join(kept)).strip(" -_")
