"""Two systems on the same samples: how far apart they are, and whether that could be chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .distributions import fair_binomial_at_most, normal_quantile, t_above, t_quantile
from .intervals import LEVEL, Interval, clustered_error, deviation

_EXACT = "exact McNemar"


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of (first - second) over the samples that both have a score on."""

    value: float
    n: int
    interval: Interval
    p_value: float
    """How often a difference this large comes about where there is none."""
    test: str
    """How `p_value` was found."""
    variance: float | None
    """Of one sample's difference; with clusters, n times the squared clustered error. None: one alone tells none."""
    clusters: int | None = None

    @property
    def variance_if_equal(self) -> float | None:
        """The variance that the test supposes of two equal systems; of right or wrong, the share on which they differ:
        where all speak for one, there is no spread about the mean, and yet equal systems would differ as often."""
        if self.variance is None or self.test != _EXACT:
            return self.variance
        return self.variance + self.value**2


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """The two-sided p-value that two systems are right equally often, from the samples on which just one is right.

    The exact binomial test: Q. McNemar (1947), Psychometrika 12:153. 10 against 2 give 0.0386.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError("counts cannot be negative")
    return min(1.0, 2 * fair_binomial_at_most(min(only_first, only_second), only_first + only_second))


def tango(only_first: int, only_second: int, n: int, level: float = LEVEL) -> Interval:
    """The score interval of the difference of two paired proportions: all that the score test does not reject.

    T. Tango (1998), Statistics in Medicine 17:891. It keeps its promise where the usual interval, mean and 1.96
    standard errors, fails: with few samples, or with none on which the two disagree.
    """
    z = normal_quantile((1 + level) / 2)

    def statistic(delta: float) -> float:
        b = -only_first - only_second + (2 * n - only_first + only_second) * delta
        c = -only_second * delta * (1 - delta)
        nuisance = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * nuisance + delta * (1 - delta))
        distance = only_first - only_second - n * delta
        return distance / math.sqrt(variance) if variance > 1e-12 else math.copysign(math.inf, distance)

    def crossing(low: float, high: float, wanted: float) -> float:
        # The statistic falls as the difference grows.
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if statistic(middle) > wanted else (low, middle)
        return (low + high) / 2

    found = (only_first - only_second) / n
    low = -1.0 if found <= -1 else crossing(-1 + 1e-12, found, z)
    high = 1.0 if found >= 1 else crossing(found, 1 - 1e-12, -z)
    return Interval(low, high, level)


def compare(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[object] | None = None, level: float = LEVEL
) -> Difference | None:
    """How far the first is ahead of the second on the same samples; None without samples.

    Right-or-wrong scores: exact McNemar and Tango's interval. Graded ones, and clusters: Student's t of the mean
    difference, with the clustered error where there are clusters (Miller 2024, arXiv:2411.00640, section 4.2).
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if not n:
        return None
    mean = math.fsum(differences) / n
    variance = deviation(differences) ** 2 if n > 1 else None
    if clusters is not None and len(set(clusters)) < n:
        error, count = clustered_error(differences, clusters)
        return _by_t(mean, n, error, count, "t of clustered differences", level, clusters=count)
    if all(value in (0, 1) for value in (*first, *second)):
        ahead, behind = differences.count(1), differences.count(-1)
        return Difference(mean, n, tango(ahead, behind, n, level), mcnemar_exact(ahead, behind), _EXACT, variance)
    error = math.inf if variance is None else math.sqrt(variance / n)
    return _by_t(mean, n, error, n, "t of paired differences", level)


def _by_t(
    mean: float, n: int, error: float, units: int, test: str, level: float, clusters: int | None = None
) -> Difference:
    if units < 2 or math.isinf(error):
        return Difference(mean, n, Interval(-1.0, 1.0, level), 1.0, test, None, clusters)
    if not error:
        # Nothing varies: either no difference at all, or the same one everywhere, as likely as a row of equal signs.
        p_value = 1.0 if not mean else min(1.0, 2.0 ** (1 - units))
        wide = 1 - (1 - level) ** (1 / units)
        return Difference(
            mean, n, Interval(max(-1, mean - wide), min(1, mean + wide), level), p_value, test, 0.0, clusters
        )
    reach = t_quantile((1 + level) / 2, units - 1) * error
    p_value = 2 * t_above(abs(mean) / error, units - 1)
    interval = Interval(max(-1.0, mean - reach), min(1.0, mean + reach), level)
    return Difference(mean, n, interval, min(1.0, p_value), test, n * error**2, clusters)
