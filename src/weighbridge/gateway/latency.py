"""How long requests took in each minute of the last hour, from histograms that are counted anyway."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import isinf
from typing import Any

from .counting import Histogram
from .metrics import Metrics

_MINUTES = 60
_MINUTE_SECONDS = 60.0


class Latency:
    """Differences between what histograms said a minute ago and say now: what a request costs for it is nothing."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._past: deque[dict[str, Any]] = deque(maxlen=_MINUTES)
        self._since = time.time()
        self._before = self._counts()

    def tick(self) -> None:
        """Have a minute end, if one is over."""
        if time.time() - self._since >= _MINUTE_SECONDS:
            self._past.append(self._minute())
            self._since, self._before = time.time(), self._counts()

    def minutes(self) -> list[dict[str, Any]]:
        """The last hour, oldest first, and the minute that is not over yet: how many requests, and seconds."""
        return [*self._past, self._minute()]

    def _counts(self) -> tuple[list[int], list[int]]:
        every = list(self._metrics.all_counts)
        return _together(counts.seconds for counts in every), _together(counts.first_token for counts in every)

    def _minute(self) -> dict[str, Any]:
        (total, first), (total_before, first_before) = self._counts(), self._before
        total = [now - then for now, then in zip(total, total_before, strict=True)]
        first = [now - then for now, then in zip(first, first_before, strict=True)]
        return {
            "time": self._since,
            "count": sum(total),
            "total_p50": quantile(Histogram.bounds, total, 0.5),
            "total_p95": quantile(Histogram.bounds, total, 0.95),
            "first_p50": quantile(Histogram.bounds, first, 0.5),
            "first_p95": quantile(Histogram.bounds, first, 0.95),
        }


def _together(histograms: Iterable[Histogram]) -> list[int]:
    found = [0] * len(Histogram.bounds)
    for histogram in histograms:
        found = [one + other for one, other in zip(found, histogram.counts, strict=True)]
    return found


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The value below which this share lies, taken to be spread evenly within its bucket, as Prometheus'
    `histogram_quantile` does; in the last bucket the bound below it. None of nothing."""
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    edges = [0.0, *bounds]
    reached = [0, *accumulate(counts)]
    for (low, high), (before, after) in zip(pairwise(edges), pairwise(reached), strict=True):
        if after >= rank and after > before:
            return low if isinf(high) else low + (high - low) * (rank - before) / (after - before)
    return edges[-2]
