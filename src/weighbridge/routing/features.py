"""What a prompt looks like, as numbers: hashed words and letters, and a few signs of its form; nothing of it is kept.

A long prompt is looked at in its head and its tail: the task stands in one of them, and the time stays bounded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .excerpt import HEAD_LETTERS, TAIL_LETTERS, excerpt

if TYPE_CHECKING:
    from .embedding import Embedding

try:
    from . import _looks  # type: ignore[attr-defined,unused-ignore]  # compiled when the package is installed
except ImportError:  # no compiler, or no headers of Python, was there then
    _looks = None
_VERSION = 1
"""As in looks.c."""
if getattr(_looks, "VERSION", 0) != _VERSION:
    _looks = None

Floats = NDArray[np.float32]
Hashes = NDArray[np.uint32]

_MOST_BYTES = 4 * (HEAD_LETTERS + TAIL_LETTERS) + 1
LETTERS_OF_A_PIECE = 4
TABLE = 1 << 16
"""Entries in a table of how rare a hash is."""

# Polynomial hashes modulo 2^32 with an odd base (Karp and Rabin 1987): a prefix sum gives every piece's hash at once,
# and an odd base has an inverse, by which a piece hashes alike wherever it stands.
_BASE = 0x9E3779B1


def _powers(base: int) -> Hashes:
    found, power = np.empty(_MOST_BYTES, np.uint32), 1
    for at in range(_MOST_BYTES):
        found[at] = power
        power = power * base % (1 << 32)
    return found


_POWERS, _INVERSES = _powers(_BASE), _powers(pow(_BASE, -1, 1 << 32))

# Classes of bytes. Every byte of a letter beyond ASCII counts as part of a word.
_SPACE, _LOWER, _UPPER, _DIGIT, _FOREIGN, _NEWLINE, _MATHS, _CODE, _ASKING, _COMMA, _QUOTE, _OTHER = range(12)
_CLASSES = np.full(256, _OTHER, np.uint8)
for _class, _bytes in {
    _SPACE: b" \t\r",
    _LOWER: bytes(range(97, 123)),
    _UPPER: bytes(range(65, 91)),
    _DIGIT: bytes(range(48, 58)),
    _FOREIGN: bytes(range(128, 256)),
    _NEWLINE: b"\n",
    _MATHS: b"+-*/=^<>\\$%",
    _CODE: b"{}[]();_#@|&",
    _ASKING: b"?",
    _COMMA: b",",
    _QUOTE: b"'\"`",
}.items():
    _CLASSES[list(_bytes)] = _class
_IN_WORD = np.isin(_CLASSES, (_LOWER, _UPPER, _DIGIT, _FOREIGN)) | (np.arange(256) == ord("_"))
# As bytes: `translate` maps a prompt in one go, where looking each up in an array takes several.
_CLASS_OF, _WORD_OF = _CLASSES.tobytes(), _IN_WORD.astype(np.uint8).tobytes()
_NO_SIGN = bytes(np.flatnonzero(_IN_WORD | (_CLASSES == _SPACE) | (_CLASSES == _NEWLINE)).astype(np.uint8))
_CODE_WORDS = (b"def ", b"```", b"return", b"import ", b"function", b"class ")

_CHOICE = re.compile(rb"\n[A-Z][.)]")

_ONE = np.uint32(1)
_SIGNED, _OF_PIECE = np.uint32(2 * TABLE - 1), np.uint32(2 * TABLE)
_LOGS = np.log1p(np.arange(_MOST_BYTES + 1))

SIGNS = (
    "length", "words", "letters a word", "digits", "capitals", "line ends", "lines", "maths signs", "code signs",
    "letters beyond ASCII", "question marks", "commas", "quotes", "distinct words", "numbers", "choices", "code words",
    "examples",
)  # fmt: skip
"""What each sign of form says."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """A prompt's hashes and signs of form. Two are never taken for the same, so that each is a prompt of its own."""

    words: Hashes
    """Words, signs, and pairs of neighbouring words."""
    pieces: Hashes
    """Every four bytes in a row."""
    signs: Floats
    embedded: Floats | None = None
    """Its vector by an `Embedding`; None where there is none, or only the hashes were kept."""


def _mixed(hashes: Hashes) -> Hashes:
    """Spread over all bits (the finaliser of MurmurHash3, with other constants)."""
    hashes = (hashes ^ (hashes >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    hashes = (hashes ^ (hashes >> np.uint32(12))) * np.uint32(0x297A2D39)
    return hashes ^ (hashes >> np.uint32(15))


def look(prompt: str, letters: int | None = None, embedding: Embedding | None = None) -> Looks:
    """The prompt's features; 2 to 12 µs by its length (40 to 90 where looks.c was not compiled), and what the embedding
    takes. Of an `excerpt`, `letters` is how long it was."""
    raw = excerpt(prompt).encode("utf-8", "replace")
    embedded = embedding.of(prompt) if embedding is not None else None
    known = len(prompt) if letters is None else letters
    if _looks is not None:
        words, pieces, signs = _looks.look(raw, known)
        return Looks(
            words=np.frombuffer(words, np.uint32),
            pieces=np.frombuffer(pieces, np.uint32),
            signs=np.frombuffer(signs, np.float32),
            embedded=embedded,
        )
    return Looks(*_hashed(raw, known), embedded=embedded)


def _hashed(raw: bytes, letters: int) -> tuple[Hashes, Hashes, Floats]:
    """The same with arrays: words, pieces and signs."""
    size = len(raw)
    prefix = np.zeros(size + 1, np.uint32)
    hashed = np.frombuffer(raw.lower(), np.uint8).astype(np.uint32)
    hashed += _ONE
    hashed *= _POWERS[:size]
    np.add.accumulate(hashed, out=prefix[1:])
    in_word = np.frombuffer(b"\0%b\0" % raw.translate(_WORD_OF), np.uint8)
    edges = (in_word[1:] != in_word[:-1]).nonzero()[0]
    starts, ends = edges[::2], edges[1::2]
    words = _mixed((prefix[ends] - prefix[starts]) * _INVERSES[starts])
    between = np.frombuffer(raw.translate(None, _NO_SIGN), np.uint8).astype(np.uint32)
    pairs = words[:-1] * np.uint32(0x85EBCA6B) + words[1:] + np.uint32(11)
    signs = between * np.uint32(0x9E3779B1) + np.uint32(7)
    count = max(size - LETTERS_OF_A_PIECE + 1, 0)
    pieces = (prefix[LETTERS_OF_A_PIECE:] - prefix[:count]) * _INVERSES[:count] if count else prefix[:0]
    rest = _mixed(np.concatenate((signs, pairs, pieces + np.uint32(3))))
    count = len(signs) + len(pairs)
    return np.concatenate((words, rest[:count])), rest[count:], _signs(letters, raw, words, starts)


def looks_of(prompts: Sequence[str | Looks], embedding: Embedding | None = None) -> list[Looks]:
    """Of each, where it is not known already."""
    return [each if isinstance(each, Looks) else look(each, embedding=embedding) for each in prompts]


def _signs(letters: int, raw: bytes, words: Hashes, starts: NDArray[np.intp]) -> Floats:
    classes = np.frombuffer(raw.translate(_CLASS_OF), np.uint8)
    counts = np.bincount(classes, minlength=12).tolist()
    size, count = max(len(raw), 1), max(len(words), 1)
    choices = len(_CHOICE.findall(raw)) if counts[_NEWLINE] else 0
    numbers = np.count_nonzero(classes[starts] == _DIGIT)
    in_words = counts[_LOWER] + counts[_UPPER] + counts[_DIGIT] + counts[_FOREIGN]
    code = sum([word in raw for word in _CODE_WORDS])
    examples = raw.count(b"Answer") + raw.count(b"A:") + raw.count(b"Example")
    return np.array(
        (
            log1p(letters), log1p(count), in_words / count / 10, counts[_DIGIT] / size * 5,
            counts[_UPPER] / size * 5, counts[_NEWLINE] / size * 20, log1p(counts[_NEWLINE]),
            counts[_MATHS] / size * 10, counts[_CODE] / size * 10, counts[_FOREIGN] / size,
            counts[_ASKING] / size * 30, counts[_COMMA] / size * 20, counts[_QUOTE] / size * 20,
            len(set(words.tolist())) / count, log1p(numbers), log1p(choices), log1p(code), log1p(examples),
        ),
        np.float32,
    )  # fmt: skip


def rarity(hashed: list[Hashes]) -> Floats:
    """By hash, how rare it is among these prompts: log of the inverse share of prompts that hold it, and a little."""
    counts = np.zeros(TABLE, np.int64)
    for hashes in hashed:
        counts[np.unique(hashes & np.uint32(TABLE - 1))] += 1
    return (np.log((1 + len(hashed)) / (1 + counts)) + 0.3).astype(np.float32)


def signed(rare_words: Floats, rare_pieces: Floats) -> Floats:
    """How rare each hash of a word, then of a piece, is, by one bit more than the table has: that gives the sign."""
    return np.concatenate((rare_words, -rare_words, rare_pieces, -rare_pieces))


def sketch(looks: Looks, rare: Floats, width: int) -> tuple[Hashes, NDArray[np.float64]]:
    """Words and pieces as places in two halves of `width` and weights there, of length one a half but for the few
    that fall on the same place.

    Each hash weighs the logarithm of its count times its rarity (`signed`). Folded into `width` numbers with random
    signs, which keeps inner products (Weinberger and others 2009).
    """
    if _looks is not None:
        told, weighed = _looks.sketch(looks.words, looks.pieces, rare, width)
        return np.frombuffer(told, np.uint32), np.frombuffer(weighed)
    return _sketched(looks, rare, width)


def _sketched(looks: Looks, rare: Floats, width: int) -> tuple[Hashes, NDArray[np.float64]]:
    """The same with arrays."""
    both = np.concatenate((looks.words & _SIGNED, looks.pieces & _SIGNED | _OF_PIECE))
    if not len(both):
        return both, np.zeros(0)
    both.sort()
    is_first = np.empty(len(both), bool)
    is_first[0] = True
    np.not_equal(both[1:], both[:-1], out=is_first[1:])
    firsts = is_first.nonzero()[0]
    hashes = both[firsts]
    counts = np.empty(len(firsts), np.intp)
    np.subtract(firsts[1:], firsts[:-1], out=counts[:-1])
    counts[-1] = len(both) - firsts[-1]
    weights: NDArray[np.float64] = _LOGS.take(counts) * rare.take(hashes)
    words = int(hashes.searchsorted(_OF_PIECE))
    places: Hashes = hashes & np.uint32(width - 1)
    places[words:] += np.uint32(width)
    for own in (weights[:words], weights[words:]):
        length = sqrt(own @ own)
        if length:
            own /= length
    return places, weights
