"""What users thought of answers, kept in the store: a score, and what the prompt looked like, never its text."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weighbridge.store import FILE_NAME, Store

from .evidence import Outcome
from .features import SIGNS, TABLE, Looks, look

MOST_KEPT = 20_000
"""The newest thumbs are kept."""
_BITS = np.uint32(2 * TABLE - 1)
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Thumb:
    """What a user thought of one answer."""

    request_id: str
    model: str
    score: float
    """From 0, useless, to 1, all right."""
    task: str | None = None
    better: str | None = None
    """A model whose answer would have been right."""
    comment: str | None = None


def keep_thumb(folder: Path, thumb: Thumb, prompt: str, letters: int) -> None:
    """Keep it, with what the prompt's excerpt looks like; a later one of the same request takes its place.

    Of each word only 17 bits of its hash are kept, without their order: enough to learn from, and no text. Whoever has
    the file may still guess whether a word that he thinks of was in it.
    """
    with Store(folder) as store, store.transaction():
        store.write(
            "INSERT OR REPLACE INTO thumbs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (thumb.request_id, time.time(), thumb.model, thumb.score, thumb.task, thumb.better, thumb.comment,
             _packed(look(prompt, letters))),
        )  # fmt: skip
        store.write(
            "DELETE FROM thumbs WHERE given_at < (SELECT given_at FROM thumbs ORDER BY given_at DESC LIMIT 1 OFFSET ?)",
            (MOST_KEPT - 1,),
        )


def read_thumbs(folder: Path) -> Iterator[Outcome]:
    """Each as an outcome of the model that answered, and as a right one of the model that would have been better."""
    if not (folder / FILE_NAME).exists():
        return
    with Store(folder) as store:
        found = store.rows("SELECT model, score, task, better, looks FROM thumbs ORDER BY given_at")
    for model, score, task, better, packed in found:
        looks = _unpacked(packed)
        yield Outcome(model, looks, score, task, source="feedback")
        if better is not None and better != model:
            yield Outcome(better, looks, 1.0, task, source="feedback")


def _packed(looks: Looks) -> bytes:
    words, pieces = (np.sort(hashes & _BITS) for hashes in (looks.words, looks.pieces))
    head = np.array([len(words), len(pieces)], "<u4").tobytes()
    body = b"".join(np.diff(hashes, prepend=np.uint32(0)).astype("<u4").tobytes() for hashes in (words, pieces))
    return zlib.compress(head + looks.signs.astype("<f4").tobytes() + body)


def _unpacked(packed: bytes) -> Looks:
    raw = zlib.decompressobj().decompress(packed, _MOST_BYTES)
    words, pieces = (int(each) for each in np.frombuffer(raw, "<u4", 2))
    signs = np.frombuffer(raw, "<f4", len(SIGNS), 8).astype(np.float32)
    steps = np.frombuffer(raw, "<u4", words + pieces, 8 + 4 * len(SIGNS))
    return Looks(np.cumsum(steps[:words], dtype=np.uint32), np.cumsum(steps[words:], dtype=np.uint32), signs)
