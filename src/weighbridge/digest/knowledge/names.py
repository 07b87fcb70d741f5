"""The words of a name that tell one model from another, as people, services and repositories write it."""

from __future__ import annotations

import re
from functools import lru_cache

from weighbridge.catalogue.naming import words_of

# Words that tell what kind of thing it is, and no part of its name.
_KINDS = frozenset(
    "moe dense model models family series variant variants weights open source based release checkpoint checkpoints"
    " llm params parameters parameter version edition ai team active total the new original".split()
)
_MAKERS = frozenset(
    "alibaba zhipu zai moonshot microsoft mistralai openai anthropic xiaomi tencent baidu bytedance ibm cohere nvidia"
    " meta google deepmind huggingface apple amazon xai".split()
)
_SIZE = re.compile(r"^(?:a|e)?\d+(?:\.\d+)?[bmtk]$|^\d+x\d+(?:\.\d+)?b$")
_VERSION = re.compile(r"^\d+(?:\.\d+)*$")
_REVISION = re.compile(r"0\.\d")
_JOINED = re.compile(r"(?<=\d)-(?=\d{1,2}(?![\d.]*[bmtkx\d]))")
# 2512 and 0324 and 20260512: a month with its year, a day, or both.
_DAY = re.compile(
    r"20\d\d(?:0[1-9]|1[0-2])[0-3]\d|2[2-9](?:0[1-9]|1[0-2])(?:[0-3]\d)?|(?:0[1-9]|1[0-2])(?:[0-3]\d|2\d)"
)


@lru_cache(maxsize=4096)
def words_of_name(name: str) -> frozenset[str]:
    """The words that tell: `Qwen 3 MoE (235B)` has qwen, 3 and 235b; `Command R+` has command, r and plus."""
    text = re.sub(r"(?<=[A-Za-z0-9])\+(?!\w)", " plus ", name[:200].lower().rpartition("/")[2])
    text = re.sub(r"(\d(?:\.\d+)?)\s*(?:billion|bn)\b(?:\s+param\w*)?", r"\1b ", text)
    text = _JOINED.sub(".", text)
    words = words_of(text)
    return words - _KINDS - (_MAKERS if len(words) > 1 else frozenset())


def sizes_in(words: frozenset[str]) -> dict[str, float]:
    """Sizes among the words of a name, by how they are written: {`235b`: 235e9, `a22b`: 22e9}."""
    found = {}
    has_billions = any(word[-1] == "b" and _SIZE.match(word) for word in words)
    for word in words:
        if _SIZE.match(word):
            if has_billions and word[-1] in "mk":
                # `GLM-4-9B-1M` tells its context.
                continue
            counts, _, each = word.lstrip("ae").rpartition("x")
            number = float(each[:-1]) * (float(counts) if counts else 1)
            found[word] = number * {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}[word[-1]]
    return found


def unit_of(word: str, size: float) -> float:
    """What one unit of the last digit that a size is written with stands for: 1e9 in `14b`, 1e8 in `1.5b`."""
    written = re.sub(r"[^\d.]", "", word.rpartition("x")[2])
    number = float(written or 1)
    return size / number * 10.0 ** -len(written.partition(".")[2]) if number else size


def versions_in(words: frozenset[str]) -> frozenset[str]:
    """Numbers among the words of a name that are no sizes: {`3.1`}."""
    return frozenset(word for word in words if _VERSION.match(word))


def is_dated(word: str) -> bool:
    """Whether a number of a name is a day or a month: 2507, 0324, 20260512."""
    return bool(_DAY.fullmatch(word))


def is_revision(word: str) -> bool:
    """Whether a number of a name counts tunings of one network: the 0.1 of Mixtral-8x7B-v0.1."""
    return bool(_REVISION.fullmatch(word))
