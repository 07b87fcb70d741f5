"""A mean score with its interval: binary or graded, of single samples or of clusters that belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .distributions import normal_quantile, t_quantile

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies, with a confidence of `level`."""

    low: float
    high: float
    level: float = LEVEL

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of n scores between 0 and 1."""

    value: float
    n: int
    interval: Interval
    standard_error: float | None
    """None where one sample, or one cluster, says nothing about how scores vary."""
    clusters: int | None
    """How many groups of samples belong together; None: each sample stands alone."""


def wilson(successes: float, n: float, level: float = LEVEL, quantile: float | None = None) -> Interval:
    """The score interval of a proportion: all p that a test of the normal approximation does not reject.

    E. B. Wilson (1927), J. Am. Stat. Assoc. 22:209. 8 of 10 at 95 %: 0.490 to 0.943. `n` may be an effective one,
    and `quantile` another than the normal's.
    """
    z = normal_quantile((1 + level) / 2) if quantile is None else quantile
    share, square = successes / n, z * z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(max(0.0, share * (1 - share) / n + square / (4 * n * n))) / (1 + square / n)
    # The limits are exact at the ends: only rounding keeps them from it.
    return Interval(
        0.0 if successes <= 0 else max(0.0, centre - half), 1.0 if share >= 1 else min(1.0, centre + half), level
    )


def clustered_error(scores: Sequence[float], clusters: Sequence[object]) -> tuple[float, int]:
    """The standard error of the mean of scores that come in clusters, and the number of clusters.

    sqrt(G/(G-1) * sum over clusters of (sum of deviations)^2) / n: K.-Y. Liang and S. L. Zeger (1986), Biometrika
    73:13, with the correction for few clusters; for evals, E. Miller (2024), arXiv:2411.00640, section 2.2.
    """
    mean = math.fsum(scores) / len(scores)
    sums: dict[object, float] = {}
    for score, cluster in zip(scores, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + score - mean
    count = len(sums)
    if count < 2:
        return math.inf, count
    return math.sqrt(math.fsum(value * value for value in sums.values()) * count / (count - 1)) / len(scores), count


def deviation(scores: Sequence[float]) -> float:
    """The standard deviation of at least two scores, with n - 1."""
    mean = math.fsum(scores) / len(scores)
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1))


def estimate(
    scores: Sequence[float], clusters: Sequence[object] | None = None, level: float = LEVEL
) -> Estimate | None:
    """The mean of scores between 0 and 1, with its interval; None without scores.

    Single samples: Wilson's interval, for graded scores with the n at which a proportion would vary as they do. With
    clusters: the same with the effective n, p (1-p) / SE^2, and Student's t for G - 1 degrees of freedom (N. Dean and
    M. Pagano, 2015, J. Surv. Stat. Methodol. 3:484), so that it stays within 0 and 1. Where nothing varies, a cluster
    counts as one sample.
    """
    n = len(scores)
    if not n:
        return None
    mean = math.fsum(scores) / n
    spread = mean * (1 - mean)
    if clusters is not None and len(set(clusters)) < n:
        error, count = clustered_error(scores, clusters)
        if count < 2:
            # All in one cluster: n is one.
            return Estimate(mean, n, Interval(0.0, 1.0, level), None, count)
        effective = min(float(n), spread / error**2) if error > 0 and spread > 0 else float(count)
        interval = wilson(mean * effective, effective, level, t_quantile((1 + level) / 2, count - 1))
        return Estimate(mean, n, interval, error, count)
    if n < 2:
        return Estimate(mean, n, wilson(mean, n, level), None, None)
    error = deviation(scores) / math.sqrt(n)
    if all(score in (0, 1) for score in scores) or not error:
        return Estimate(mean, n, wilson(mean * n, n, level), error, None)
    effective = spread / error**2
    interval = wilson(mean * effective, effective, level, t_quantile((1 + level) / 2, n - 1))
    return Estimate(mean, n, interval, error, None)
