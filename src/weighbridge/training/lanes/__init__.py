"""Lanes: narrow jobs with a generator of their own, on which bundled specialists are trained and measured.

A lane is a module in this folder with `NAME`, `sample(rng, held_out)` and `foreign(rng)`. It needs the standard
library only, so that a test can draw items from it without the training extra.
"""

from __future__ import annotations

import importlib
import pkgutil
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a lane and its only right answer, with the steps that lead to it where the lane shows them."""

    prompt: str
    answer: str
    kind: str
    working: str = ""


class Lane(Protocol):
    """What a module in this folder offers."""

    NAME: str
    TITLE: str
    DECLINE: str

    def sample(self, rng: random.Random, *, held_out: bool) -> Item:
        """An item of the lane; held-out items and training items never share their content."""

    def foreign(self, rng: random.Random) -> Item:
        """A prompt from outside the lane with the answer that declines it; for training."""

    def unseen(self, rng: random.Random) -> Item:
        """A held-out item in a form that training never showed: how far the skill carries."""


def names() -> list[str]:
    """The names of all lanes, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> Lane:
    """The lane of that name; KeyError names those that exist."""
    if name not in names():
        raise KeyError(f"no lane {name!r}; there are: {', '.join(names())}")
    return cast("Lane", importlib.import_module(f"{__name__}.{name}"))


def is_held_out(content: str) -> bool:
    """Whether this content is kept from training: one in ten, decided by its CRC so that no run can disagree."""
    return zlib.crc32(content.encode()) % 10 == 0


def held_out_items(name: str, count: int, seed: int = 2026) -> Iterator[Item]:
    """`count` held-out items of a lane, the same ones for the same seed."""
    lane, rng = get(name), random.Random(f"{name}:{seed}")
    for _ in range(count):
        yield lane.sample(rng, held_out=True)
