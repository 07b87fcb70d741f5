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
    costs, heights = [at for at, _ in hull], [height for _, height in hull]
    first, last = float(np.log(low)), float(np.log(high))
    nodes = [first, *(at for at in costs if first < at < last), last]
    return float(np.trapezoid(np.interp(nodes, costs, heights), nodes) / (last - first))


def _sags(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    rise = (middle[1] - first[1]) * (last[0] - first[0])
    return rise <= (last[1] - first[1]) * (middle[0] - first[0])


class Curve:
    """Choices at each worth of cost, and what came of them."""

    def __init__(self, chosen: list[Places], scores: Doubles, costs: Doubles) -> None:
        every = np.arange(len(scores))
        self._scores = np.array([scores[every, models] for models in chosen])
        self._costs = np.array([costs[every, models] for models in chosen])
        self._all_costs = costs

    def area(self, rows: Places) -> float:
        """AIQ of these prompts; costs that do not differ leave the quality of the first choice."""
        means = self._all_costs[rows].mean(0)
        low, high = float(means.min()), float(means.max())
        if high - low < 1e-12 * high:
            return float(self._scores[0, rows].mean())
        points = zip(self._costs[:, rows].mean(1).tolist(), self._scores[:, rows].mean(1).tolist(), strict=True)
        return area(list(points), low, high)


@dataclass(frozen=True, slots=True)
class Pair:
    """A weak and a strong model, and how a router puts prompts in order: to the strong one go those first whose
    expected gap is greatest."""

    gaps: Doubles
    """Expected, a prompt each."""
    weak: Doubles
    strong: Doubles
    """What was scored."""
    fold: Places
    """Which prompts are ordered together: gaps that were learnt apart cannot be compared. Measures are means over
    folds."""

    @classmethod
    def of(cls, columns: tuple[int, int], expected: Doubles, scores: Doubles, fold: Places) -> Pair:
        """Of the weak and the strong model's columns."""
        weak, strong = columns
        return cls(expected[:, strong] - expected[:, weak], scores[:, weak], scores[:, strong], fold)

    def apgr(self, rows: Places) -> float:
        """Mean share of the gap that is recovered, over all shares of calls; 0.5 by chance. NaN where the strong model
        is no better."""
        return self._mean(lambda shares: float((shares[1:] + shares[:-1]).mean() / 2), rows)

    def cpt(self, rows: Places, part: float = 0.5) -> float:
        """The least share of calls to the strong model that recovers this part of the gap."""
        return self._mean(lambda shares: float(np.argmax(shares >= part) / (len(shares) - 1)), rows)

    def _mean(self, measure: Callable[[Doubles], float], rows: Places) -> float:
        values = []
        for each in np.unique(self.fold).tolist():
            shares = self._recovered(rows[self.fold[rows] == each])
            if shares is not None:
                values.append(measure(shares))
        return float(np.mean(values)) if values else float("nan")

    def _recovered(self, rows: Places) -> Doubles | None:
        """PGR by the number of calls to the strong model; ties by chance. None where there is no gap."""
        chance = np.random.default_rng(_SEED).random(len(rows))
        order = rows[np.lexsort((chance, -self.gaps[rows]))]
        gained = np.concatenate(([0.0], np.cumsum((self.strong - self.weak)[order])))
        return np.asarray(gained / gained[-1]) if gained[-1] > 0 else None


def weak_and_strong(scores: Doubles, costs: Doubles) -> tuple[int, int] | None:
    """Columns of the cheapest and of the best model; of two whose cost is not known, or the same, the worse and the
    better. None where these are one, or where nothing says which of many is the weak one."""
    quality, cost = scores.mean(0), costs.mean(0)
    strong = int(quality.argmax())
    if cost.max() - cost.min() > 1e-12 * cost.max():
        weak = int(np.lexsort((quality, cost))[0])
    elif len(quality) == 2:
        weak = 1 - strong
    else:
        return None
    return (weak, strong) if weak != strong else None


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
