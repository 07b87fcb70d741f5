"""How many samples it takes to tell two systems apart, and what a given number can tell."""

from __future__ import annotations

import math

from .distributions import normal_quantile

POWER = 0.8
ERROR = 0.05
_FEWEST = 6
"""Samples that must all speak for one before the exact two-sided test falls below 0.05: 2 / 2^6 = 0.031."""


def samples_needed(
    difference: float, variance: float | None, variance_if_equal: float | None = None, power: float = POWER
) -> int | None:
    """Samples in all for a paired test to see this mean difference with the given power; None for no difference, or
    where nothing varied.

    (z(1 - error/2) + z(power))^2 variance / difference^2, `variance` being that of one sample's difference: Miller
    (2024), arXiv:2411.00640, section 5. A gap of 0.05 at a variance of 0.25: 785. For scores of right or wrong the test
    supposes another variance than there is, that of two equal systems: (z(1 - error/2) sqrt(variance_if_equal) +
    z(power) sqrt(variance))^2 / difference^2, R. J. Connor (1987), Biometrics 43:207. A gap of 0.98 with 0.98 of the
    samples right by one alone: 6, with which an exact test first falls below 0.05.
    """
    if not difference or variance is None:
        return None
    at_error, at_power = normal_quantile(1 - ERROR / 2), normal_quantile(power)
    if variance_if_equal is None:
        return math.ceil((at_error + at_power) ** 2 * variance / difference**2) if variance else None
    reach = at_error * math.sqrt(variance_if_equal) + at_power * math.sqrt(variance)
    return max(_FEWEST, math.ceil(reach**2 / difference**2))


def detectable_difference(n: int, variance: float, power: float = POWER) -> float:
    """The smallest mean difference that n samples show with the given power: `samples_needed` turned round."""
    reach = normal_quantile(1 - ERROR / 2) + normal_quantile(power)
    return reach * math.sqrt(variance / n)
