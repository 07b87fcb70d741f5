"""How good a router is: the area under its cost-quality curve, APGR and CPT, each with a bootstrap interval.

AIQ: area under the non-decreasing convex hull of (logarithm of mean cost, mean quality) points, between the cheapest
and the dearest model, over its width (Hu and others 2024, RouterBench, there with linear cost). PGR: share of the gap
in quality between a weak and a strong model that is recovered at a share of calls to the strong one; APGR its mean over
all shares, CPT(50 %) the least share of calls that recovers half (Ong and others 2024, RouteLLM).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Places = NDArray[np.intp]

_WORTHS = np.concatenate(([0.0], np.geomspace(1e-3, 3, 48)))
_BOOTSTRAPS = 200
_SEED = 7


@dataclass(frozen=True, slots=True)
class Interval:
    """A value, and where 95 % of bootstrap samples of the prompts lie."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def choices(quality: Doubles, costs: Doubles) -> list[Places]:
    """For each worth of cost, the model chosen of each prompt: quality less worth times cost, in doublings and in
    shares of the mean cost. Ties go to the cheaper."""
    doublings, shares = np.log2(costs / costs.min()), costs / costs.mean()
    tie = 1e-9 * shares
    found = [(quality - worth * doublings - tie).argmax(1) for worth in _WORTHS]
    return found + [(quality - worth * shares - tie).argmax(1) for worth in _WORTHS[1:]]


def area(points: list[tuple[float, float]], low: float, high: float) -> float:
    """Mean height of the hull between two costs; beyond its last point it stays level."""
    hull: list[tuple[float, float]] = []
    best = -np.inf
    for cost, quality in sorted((float(np.log(cost)), quality) for cost, quality in points):
        if quality <= best:
            continue
        best = quality
        while hull and hull[-1][0] >= cost - 1e-12:
            hull.pop()
        while len(hull) >= 2 and _sags(hull[-2], hull[-1], (cost, quality)):
            hull.pop()
        hull.append((cost, quality))
    if not hull:
        return float("nan")
    steps = np.linspace(np.log(low), np.log(high), 1001)
    return float(np.interp(steps, [at for at, _ in hull], [height for _, height in hull]).mean())


def _sags(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    rise = (middle[1] - first[1]) * (last[0] - first[0])
    return rise <= (last[1] - first[1]) * (middle[0] - first[0])


def aiq(chosen: list[Places], scores: Doubles, costs: Doubles, rows: Places | None = None) -> float:
    """Of choices at each worth of cost; costs that do not differ leave the quality of the first choice."""
    rows = np.arange(len(scores)) if rows is None else rows
    means = costs[rows].mean(0)
    if means.max() - means.min() < 1e-12 * means.max():
        return float(scores[rows, chosen[0][rows]].mean())
    points = [(float(costs[rows, models[rows]].mean()), float(scores[rows, models[rows]].mean())) for models in chosen]
    return area(points, float(means.min()), float(means.max()))


def recovered(gaps: Doubles, weak: Doubles, strong: Doubles, rows: Places | None = None) -> Doubles:
    """PGR by the number of calls to the strong model, those first whose expected gap is greatest; ties by chance."""
    rows = np.arange(len(gaps)) if rows is None else rows
    chance = np.random.default_rng(_SEED).random(len(rows))
    order = rows[np.lexsort((chance, -gaps[rows]))]
    gained = np.concatenate(([0.0], np.cumsum((strong - weak)[order])))
    return np.asarray(gained / gained[-1])


def apgr(gaps: Doubles, weak: Doubles, strong: Doubles, rows: Places | None = None) -> float:
    """Mean PGR over all shares of calls; 0.5 by chance."""
    shares = recovered(gaps, weak, strong, rows)
    return float((shares[1:] + shares[:-1]).mean() / 2)


def cpt(gaps: Doubles, weak: Doubles, strong: Doubles, part: float = 0.5, rows: Places | None = None) -> float:
    """The least share of calls to the strong model with this PGR."""
    shares = recovered(gaps, weak, strong, rows)
    return float(np.argmax(shares >= part) / (len(shares) - 1))


def interval(value: Callable[[Places], float], count: int) -> Interval:
    """By the percentile bootstrap over prompts (Efron 1979)."""
    rng = np.random.default_rng(_SEED)
    drawn = [value(rng.integers(0, count, count)) for _ in range(_BOOTSTRAPS)]
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return Interval(value(np.arange(count)), float(low), float(high))


def calibration_error(quality: Doubles, scores: Doubles, bins: int = 10) -> float:
    """Mean distance between expected and found score, over bins of equal size (ECE, Naeini and others 2015)."""
    known = ~np.isnan(scores)
    expected, found = quality[known], scores[known]
    parts = np.array_split(np.argsort(expected, kind="stable"), bins)
    return float(
        sum(abs(expected[part].mean() - found[part].mean()) * len(part) for part in parts if len(part)) / len(expected)
    )
