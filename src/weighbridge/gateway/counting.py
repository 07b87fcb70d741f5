"""Counters, gauges and histograms, and Prometheus' text format of them (version 0.0.4).

Plain numbers that one thread changes: what the official library does for many threads and many formats costs some
microseconds a request and 7 MiB.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf, isnan
from typing import Generic, TypeVar

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)
    kind = "counter"

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, count: float = 1) -> None:
        """So many more."""
        self.value += count

    def take(self) -> float:
        """What was counted, and count from nothing again."""
        value, self.value = self.value, 0.0
        return value

    def add(self, counted: float) -> None:
        """What another process has counted."""
        self.value += counted

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Suffix of the name, one more label, value."""
        yield "_total", "", self.value


class Gauge:
    """A number as it is now."""

    __slots__ = ("value",)
    kind = "gauge"

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        """It is now this."""
        self.value = float(value)

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Suffix of the name, one more label, value."""
        yield "", "", self.value


class Histogram:
    """How many of the observed seconds were no more than each of some bounds."""

    __slots__ = ("_counts", "_sum")
    kind = "histogram"
    bounds: Sequence[float] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, inf)

    def __init__(self) -> None:
        self._counts = [0] * len(self.bounds)
        self._sum = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """One more, or several that took as long in the mean."""
        self._counts[bisect_left(self.bounds, seconds)] += times
        self._sum += seconds * times

    def take(self) -> list[float]:
        """What was observed: the counts of all buckets and the sum, or nothing; and count from nothing again."""
        if not any(self._counts):
            return []
        taken = [*self._counts, self._sum]
        self._counts[:] = [0] * len(self.bounds)
        self._sum = 0.0
        return taken

    def add(self, counted: Sequence[float]) -> None:
        """What another process has observed."""
        *counts, seconds = counted
        for at, count in zip(range(len(self.bounds)), counts, strict=True):
            self._counts[at] += int(count)
        self._sum += seconds

    @property
    def counts(self) -> tuple[int, ...]:
        """How many lie in each of the buckets that the bounds make."""
        return tuple(self._counts)

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Suffix of the name, one more label, value."""
        for bound, count in zip(self.bounds, accumulate(self._counts), strict=True):
            yield "_bucket", f'le="{_shown(float(bound))}"', count
        yield "_count", "", sum(self._counts)
        yield "_sum", "", self._sum


C = TypeVar("C", Counter, Gauge, Histogram)


class BriefHistogram(Histogram):
    """For times between tokens: from half a millisecond on."""

    __slots__ = ()
    bounds = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, inf)


class Family(Generic[C]):
    """One name, with a number or a histogram for each set of values of its labels."""

    def __init__(self, make: type[C], name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self._make: type[C] = make
        self._meaning = meaning
        self._names = tuple(labels)
        self._members: dict[tuple[str, ...], C] = {}

    def labels(self, *values: object) -> C:
        """The one with these values, made when it is first asked for."""
        key = tuple(map(str, values))
        member = self._members.get(key)
        if member is None:
            assert len(key) == len(self._names), (self.name, key)
            member = self._members[key] = self._make()
        return member

    @property
    def members(self) -> Mapping[tuple[str, ...], C]:
        """All of them, by the values of their labels."""
        return self._members

    def clear(self) -> None:
        """Forget all members: what is not there any more is not told."""
        self._members.clear()

    def lines(self) -> Iterator[str]:
        """All of it, as text."""
        kind: str = self._make.kind
        full = self.name + ("_total" if kind == "counter" else "")
        yield f"# HELP {full} {self._meaning}"
        yield f"# TYPE {full} {kind}"
        for values, member in self._members.items():
            pairs = sorted(zip(self._names, values, strict=True))
            own: list[str] = [f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs]
            for suffix, more, value in member.rows():
                labels = ",".join([*own, more] if more else own)
                yield f"{self.name}{suffix}" + (f"{{{labels}}}" if labels else "") + f" {_shown(value)}"


def as_text(families: Iterable[Family[Counter] | Family[Gauge] | Family[Histogram]]) -> bytes:
    """The families in Prometheus' text format."""
    return "\n".join([*(line for family in families for line in family.lines()), ""]).encode()


def _shown(value: float) -> str:
    if isnan(value):
        return "NaN"
    return ("+Inf" if value > 0 else "-Inf") if abs(value) == inf else repr(float(value))
