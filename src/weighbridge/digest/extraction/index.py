"""Things with places on a page, found by a stretch of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Placed(Protocol):
    """What has a place."""

    @property
    def start(self) -> int:
        """Where it begins."""

    @property
    def end(self) -> int:
        """Where it ends."""


P = TypeVar("P", bound=Placed)


class Index(Generic[P]):
    """Things with places, found by a stretch."""

    def __init__(self, things: Iterable[P]) -> None:
        self._things = sorted(things, key=lambda thing: thing.start)
        self._starts = [thing.start for thing in self._things]

    def within(self, start: int, end: int) -> list[P]:
        """Those that lie in the stretch."""
        first = bisect_left(self._starts, start)
        last = bisect_left(self._starts, end)
        """Those that begin and end in it."""
        return [thing for thing in self._things[first:last] if thing.end <= end]
