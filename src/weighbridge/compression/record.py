"""`Record`: what is kept of each position of a text, and what all of them together tell."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace

import numpy as np

from .divergence import Divergence
from .intervals import Interval, Segments, interval_of_mean, interval_of_share

SEGMENT = 64
"""Positions of which only the mean is kept: neighbours are alike, and intervals are made of such runs."""
_WORST = 5


@dataclass(slots=True)
class Record:
    """What is kept of each position."""

    parts: list[Divergence] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Of segments."""
    worst: list[tuple[float, int, int]] = field(default_factory=list)
    """(divergence, place in the record, place in the text), a heap of the largest, one a segment."""
    count: int = 0

    def add(self, part: Divergence, place: int, segment: int = SEGMENT) -> None:
        """A step's positions; the first foretells the token at this place of the text."""
        size = len(part.kl)
        for start in range(0, size, segment):
            run = part.kl[start : start + segment]
            self.lengths.append(len(run))
            at = start + int(run.argmax())
            heapq.heappush(self.worst, (float(part.kl[at]), self.count + at, place + at))
            if len(self.worst) > _WORST:
                heapq.heappop(self.worst)
        self.parts.append(part)
        self.count += size

    def joined(self) -> Divergence:
        """All positions, one after another."""
        names = Divergence.__slots__
        return Divergence(*(np.concatenate([getattr(part, name) for part in self.parts]) for name in names))

    @property
    def divergence(self) -> Interval:
        """Its mean, in nats a token; none lies below 0."""
        found = interval_of_mean(Segments.of(self.joined().kl, self.lengths))
        return found if found.low is None else replace(found, low=max(0.0, found.low))

    @property
    def agreement(self) -> Interval:
        """The share of positions where both held the same token likeliest."""
        return interval_of_share(Segments.of(self.joined().agrees.astype(np.float64), self.lengths))
