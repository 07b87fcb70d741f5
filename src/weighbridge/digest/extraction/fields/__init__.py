"""What may be said of a model: a module a kind of statement, found by its name.

A module has `find(scene) -> Iterator[Found]`, which yields what a sentence, an item or a cell says, whoever is meant;
`STEMS`, the beginnings of words of which one must occur in a sentence for it to be asked; and `NEEDS_NUMBER`: whether
it is asked too where a number occurs. Where a label stands before the words, all are asked.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..alternation import any_of
from ..scene import Found, Scene

Finder = Callable[[Scene], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Field:
    """A module that finds one kind of statement."""

    find: Finder
    stems: frozenset[str]
    needs_number: bool


@functools.cache
def fields() -> tuple[Field, ...]:
    """Every module of this folder, by their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(Field(module.find, frozenset(module.STEMS.split()), module.NEEDS_NUMBER) for module in modules)


@functools.cache
def _stems() -> tuple[re.Pattern[str], dict[str, int]]:
    """One pattern for all stems, and which fields each asks, a bit a field."""
    masks: dict[str, int] = {}
    for number, field in enumerate(fields()):
        for stem in field.stems:
            masks[stem] = masks.get(stem, 0) | 1 << number
    longest = sorted(masks, key=len, reverse=True)
    for stem in longest:
        for other in longest:
            if stem != other and stem.startswith(other):
                masks[stem] |= masks[other]
    words = any_of(stem for stem in longest if stem[0].isalnum())
    signs = any_of(stem for stem in longest if not stem[0].isalnum())
    return re.compile(rf"\b(?:{words})|{signs}"), masks


class Cues:
    """Which fields each stretch of a page asks."""

    def __init__(self, low: str) -> None:
        pattern, masks = _stems()
        found = [(match.start(), masks[match[0]]) for match in pattern.finditer(low)]
        self._starts = [start for start, _ in found]
        self._masks = [mask for _, mask in found]
        self._numeric = sum(1 << number for number, field in enumerate(fields()) if field.needs_number)

    def asked(self, scene: Scene) -> tuple[Finder, ...]:
        """The finders that may find something in a scene."""
        mask = self._numeric if scene.quantities else 0
        for at in range(bisect_left(self._starts, scene.start), bisect_left(self._starts, scene.end)):
            mask |= self._masks[at]
        if scene.label:
            mask = -1
        return _of_mask(mask)


@functools.lru_cache(maxsize=4096)
def _of_mask(mask: int) -> tuple[Finder, ...]:
    return tuple(field.find for number, field in enumerate(fields()) if mask >> number & 1)
