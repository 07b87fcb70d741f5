"""The words of a page that can be part of a name, and what each can be in it."""

from __future__ import annotations

import functools
import re
from enum import StrEnum
from typing import NamedTuple

from .lexicon import NO_MODELS, PACKINGS, SUFFIXES, families, makers

# Words that can be part of a name: with a capital, a digit, or a sign inside; a plain one only before a digit.
# Most words are plain, and no part of a name: those before a run are skipped with it.
_RUN = re.compile(r"(?:[a-z]{1,30}[,.;:]?[ \n](?![0-9]))*(\S{1,400})")
_CHUNK = re.compile(
    r"https?://[^\s<>)\]\"'|]{1,400}|(?<![^\W_])(?:[^\W_a-z]\w*(?:[.\-+/:@]\w+)*\+?"
    r"|[a-z][a-z]*(?:[\d.\-/_:@]\w+|\d)(?:[.\-+/:@]\w+)*|[a-z]+[A-Z]\w*(?:[.\-+/:@]\w+)*|[a-z]{2,20}(?= \d))"
)
SIZE = re.compile(r"(?:\d{1,3}x)?[aeAE]?\d{1,4}(?:\.\d{1,3})?[BbMTt](?:x\d{1,4}[Ee]|[aA]\d{1,4}(?:\.\d)?[bB])?\Z")
_VERSION = re.compile(
    r"(?:[vV]\d{1,3}(?:\.\d{1,3}){0,3}|\d{1,2}(?:\.\d{1,3}){0,2}[a-wyz]?|[A-Za-z]{1,2}\d{1,2}(?:\.\d{1,2})?)\Z"
)
QUANT = re.compile(r"I?Q\d(?:_\w+)?\Z")
"""How weights are packed: `IQ4_XS`."""
_BUILD = re.compile(r"\d{4,8}\Z")
# OpenAI's `o1`, `o3-mini`: nobody else's models are called by a single small letter.
_O_SERIES = re.compile(r"o[134](?:-(?:mini|preview|pro|high))*\Z")
_REPOSITORY = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,60})/[A-Za-z0-9][\w.-]{0,95}\Z")
_HUB = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]{1,60}/[\w.-]{1,95})\Z")
_HEAD = re.compile(r"([A-Za-z]+?)(?:\.?[vV]?\d+(?:\.\d+)*[a-z]{0,2})?\Z")
_DIGITS = "0123456789"
_KEY = re.compile(r"\d+(?:\.\d+)*(?:[bmtk](?![a-z]))?|[a-z]+\+?")


# `MiniMax-hosted`, `Gemma-like`: said of something else.
_COMPOUNDS = tuple(
    f"-{word}"
    for word in (
        "class style level like based hosted powered compatible trained native specific inspired derived tuned"
        " optimized optimised only first backed built grade family series announcement team ai labs org hf "
        "research hilab community".split()
    )
)

# `ollama:gemma4:12b`: what runs it is no part of the name.
_RUNNERS = ("ollama:", "vllm:", "lmstudio:", "openrouter:", "hf:", "groq:")
# `the post-Llama 2 era`, `sub-40B models`
_PREFIXES = ("post-", "pre-", "sub-", "non-", "anti-", "ex-", "mid-", "pro-", "multi-")


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


@functools.lru_cache(maxsize=1 << 13)
def key(name: str) -> tuple[str, ...]:
    """The words of a name, however they are joined: `Qwen3-72B` and `Qwen 3 72B` have one key."""
    return tuple(_KEY.findall(name.lower().rpartition("/")[2]))


def sizes_in(name: str) -> tuple[float, ...]:
    """All sizes that a name tells, in billions, those of `A3B` and `8x7B` too."""
    found = []
    for counts, number in re.findall(r"(?<![\w.])(?:(\d{1,3})x|[aAeE])?(\d{1,4}(?:\.\d{1,3})?)[bB](?![a-zA-Z])", name):
        found.append(float(number) * (float(counts) if counts else 1))
    return tuple(found)


def size_in(name: str) -> float:
    """The parameters that a name tells, in billions; 0 where it tells none."""
    found = re.search(r"(?<![\w.])(\d{1,4}(?:\.\d{1,3})?)[bB](?![a-zA-Z])", name)
    return float(found[1]) if found else 0.0


@functools.lru_cache(maxsize=1 << 15)
def _part(text: str) -> Part:
    """What a word can be."""
    low = text.lower()
    if "/" in text:
        return Part.REPOSITORY if _is_repository(text) else Part.OTHER
    if not text[0].isupper() and text.isalpha() and low not in families():
        return Part.SUFFIX if low in SUFFIXES else Part.OTHER
    if SIZE.match(text) or _O_SERIES.match(text):
        return Part.SIZE if text[0] != "o" else Part.FORM
    head = low.partition("-")[0]
    if low in SUFFIXES and text[0].isupper():
        return Part.SUFFIX
    pieces = [piece for piece in re.split(r"[-_:]", text) if piece]
    if (
        head in NO_MODELS
        and low not in NO_MODELS
        and len(pieces) > 2
        and len(head) > 3
        and pieces[-1].lower() in SUFFIXES
    ):
        # `Step-4-Flash`
        return Part.FAMILY
    if text.isupper() and text.count("_") > 1:
        # `VLLM_USE_FLASHINFER_MOE_FP8`
        return Part.OTHER
    if low in NO_MODELS or head in NO_MODELS or len(text) > 90 or low.startswith(_PREFIXES):
        return Part.VERSION if _VERSION.match(text) and low not in NO_MODELS else Part.OTHER
    stem = _HEAD.match(head)
    if (stem and stem[1] in families()) or low in families() or head in families():
        return Part.OTHER if low.endswith(_COMPOUNDS) else Part.FAMILY
    if _VERSION.match(text):
        return Part.VERSION
    if len(pieces) > 1:
        return _joined(pieces, low)
    if text[0].isupper():
        is_numbered = (
            text[-1].isdigit() and len(text) > 3 and text[:2].isalpha() and low.rstrip(_DIGITS + ".") not in NO_MODELS
        )
        return Part.NUMBERED if is_numbered else Part.CAPITAL
    return Part.OTHER


def _joined(pieces: list[str], low: str) -> Part:
    if low.endswith((*_COMPOUNDS, "-only", "-bit", "-token", "-parameter")):
        return Part.OTHER
    if all(_is_tail(piece) for piece in pieces) or (_VERSION.match(pieces[0]) and SIZE.match(pieces[-1])):
        # `R1-Distill-Qwen-32B`
        return Part.TAIL
    head = pieces[0]
    stem = _HEAD.match(head)
    if not stem or len(head) < 3 or low.endswith("bench") or "bench-" in low or head.isdigit():
        return Part.OTHER
    if any(SIZE.match(piece) and piece[-1] in "Bb" for piece in pieces[1:]):
        return Part.FORM
    if any(_VERSION.match(piece) and not piece.isalpha() for piece in pieces[1:]) and head[0].isupper():
        return Part.WEAK
    is_name = all(piece[0].isupper() or piece in SUFFIXES for piece in pieces)
    return Part.CAPITAL if head[0].isupper() and is_name else Part.OTHER


def _is_tail(piece: str) -> bool:
    low = piece.lower()
    return bool(SIZE.match(piece) or _VERSION.match(piece) or _BUILD.match(piece)) or low in SUFFIXES or low in PACKINGS


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
    found: list[Chunk] = []
    for run in _RUN.finditer(text):
        word = run[1]
        end = run.end()
        if (
            word.islower()
            and (word.isalpha() or (word[:-1].isalpha() and not word[-1].isdigit()))
            and not text[end + 1 : end + 2].isdigit()
        ):
            continue
        for match in _CHUNK.finditer(text, run.start(1), end + 2):
            if match.start() >= end:
                break
            _add(match, found)
    return found


def _add(match: re.Match[str], found: list[Chunk]) -> None:
    word = match[0]
    if word.startswith("http"):
        hub = _HUB.match(word.rstrip("/.,"))
        if hub and hub[1].partition("/")[0] not in ("datasets", "spaces", "blog", "docs", "papers", "collections"):
            start = match.start() + hub.start(1)
            found.append(Chunk(hub[1], start, start + len(hub[1]), Part.REPOSITORY))
        return
    runner = word.find(":") + 1 if word.lower().startswith(_RUNNERS) else 0
    if runner and runner < len(word):
        found.append(Chunk(word[runner:], match.start() + runner, match.end(), _part(word[runner:][:200])))
        return
    part = _part(word) if len(word) < 200 else Part.OTHER
    if part is Part.OTHER and ("/" in word or ":" in word):
        at = match.start()
        for piece in re.split(r"[/:]", word):
            if piece:
                found.append(Chunk(piece, at, at + len(piece), _part(piece) if len(piece) < 200 else Part.OTHER))
            at += len(piece) + 1
    elif part is not Part.OTHER or not word[0].islower():
        found.append(Chunk(word, match.start(), match.end(), part))


def adjoin(text: str, words: list[Chunk], number: int) -> bool:
    """Whether a word and the next are parted by a blank or a hyphen alone."""
    gap = text[words[number].end : words[number + 1].start]
    return gap in (" ", "-", "\u00a0", "‑", "]] ")
